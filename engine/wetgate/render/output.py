"""Write frames so that what stands under a final name is whole, verified and on record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from wetgate.io.atomic import AtomicFile, digest_file, free_bytes
from wetgate.io.options import WriteOptions
from wetgate.model.errors import DiskFull, VerifyFailed, WetgateError
from wetgate.model.frame import Frame
from wetgate.render.events import FrameReport
from wetgate.render.fix_sink import FixSink, Samples, WrittenFixes
from wetgate.render.fixing import FrameFixes
from wetgate.render.manifest import FrameRecord, Journal
from wetgate.render.order import (
    Account,
    WriteOrder,
    check_account,
    color_names,
    color_rows,
    color_type,
    pick,
    source_rows,
    take_account,
    unchanged_account,
)
from wetgate.render.planes import LAYER_PREFIX, PlanesOutput, check_layers, make_planes
from wetgate.render.precision import holds
from wetgate.render.store import row_bands

_log = logging.getLogger(__name__)

LOSSY_COMPRESSIONS = frozenset({"dwaa", "dwab", "b44", "b44a", "pxr24", "jpeg", "lossy"})
RESERVE_BYTES = 8 << 20
"""Stop this far before the volume is full: a full system disk harms more than this job."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A frame read back.

    Attributes:
        got: its pixels. exact: they are those that were meant, and no lossy compression's.
    """

    digest: str
    nbytes: int
    got: Frame
    account: Account
    warnings: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the samples are those that were meant."""
        return not self.warnings


class FrameWriter:
    """Writes, reads back, compares, records and names one frame after another.

    Args:
        path_of: final path of a frame number.
        options: as for every frame; file name and change flags are set here.
        template: the record's fields that are the same for all frames.
        expected_bytes: size of a frame on disk, for the look at free space.
        layer: the one layer of the source that is the picture.
        planes: writes class, origin and fix of every pixel; None for not at all.
        sinks: take what became of each frame.
        discard: removes the planes of a frame that an earlier run has left, when this one writes
            none there.
        policy: what the pixels are held to.
    """

    def __init__(
        self,
        *,
        path_of: Callable[[int], Path],
        journal: Journal,
        options: WriteOptions,
        template: FrameRecord,
        expected_bytes: int,
        layer: str | None = None,
        planes: PlanesOutput | None = None,
        sinks: Sequence[FixSink] = (),
        discard: Callable[[int], None] | None = None,
        policy: str = "creative",
    ) -> None:
        self._path_of = path_of
        self._journal = journal
        self._options = options
        self._template = template
        self._expected = expected_bytes
        self._layer = layer
        self._planes = planes
        self._sinks = tuple(sinks)
        self._discard = discard
        self._policy = policy

    def write(self, order: WriteOrder) -> FrameReport:
        """Write one frame.

        Raises:
            DiskFull, OutputError: nothing of the frame is under its final name.
            VerifyFailed: what was read back is not what was meant, or the policy keeps it out.
        """
        started = time.perf_counter()
        target = self._path_of(order.frame.number)
        self._check_room(target)
        with ExitStack() as stack:
            atomic = stack.enter_context(AtomicFile(target))
            self._write_pixels(order, atomic.temp, target)
            found = self._verify(order, atomic.temp, target)
            check_account(order, found.account, policy=self._policy, exact=found.exact)
            written = self._account(order, found, target)
            sidecar = None
            if written is not None and self._planes is not None:
                planes = make_planes(written, order.fixes)
                if self._planes.layers:
                    digest, nbytes = self._with_layers(order, planes, atomic.temp, target)
                    found = replace(found, digest=digest, nbytes=nbytes)
                    written = replace(written, digest=digest)
                else:
                    sidecar = stack.enter_context(self._planes.write(order.frame, planes))
            for sink in self._sinks:
                if written is not None:
                    sink.take(written)
            seconds = order.seconds + time.perf_counter() - started
            record = self._record(order, target, found, seconds)
            if sidecar is not None:
                record = replace(record, provenance_file=sidecar.name, provenance=sidecar.digest)
            self._journal.append(record)
            if sidecar is not None:
                sidecar.commit()
            elif self._discard is not None:
                self._discard(order.frame.number)
            atomic.commit()
        for sink in self._sinks:
            sink.named(record.frame, record.digest)
        return _report(record, target)

    def fail(
        self, number: int, source_file: str, error: WetgateError, seconds: float
    ) -> FrameReport:
        """Put a failed frame on record."""
        record = replace(
            self._template,
            frame=number,
            status="failed",
            source_file=source_file,
            seconds=seconds,
            error=str(error),
        )
        self._journal.append(record)
        return replace(_report(record, None), exit_code=error.exit_code)

    def _check_room(self, target: Path) -> None:
        free = free_bytes(target.parent)
        if free < self._expected + RESERVE_BYTES:
            raise DiskFull(
                f"{free >> 20} MB are free",
                path=target,
                expected=f"{(self._expected + RESERVE_BYTES) >> 20} MB for one more frame",
                remedy="free space, then run again with --resume",
            )

    def _account(self, order: WriteOrder, found: _Verified, target: Path) -> WrittenFixes | None:
        """Return all that is known of the pixels, when anybody wants it."""
        classes = found.account.classes
        if classes is None:
            return None
        size = (classes.shape[0], classes.shape[1])
        fixes = (order.fixes or FrameFixes(size=size)).where(classes > 0)
        reasons = (
            ("another size", order.resized),
            ("another color space", order.space_changed),
            ("lossy compression", not found.exact),
        )
        why = next((reason for reason, true in reasons if true), "")
        return WrittenFixes(
            frame=order.frame.number,
            file=target.name,
            digest=found.digest,
            source_file=order.source_file,
            source_digest=order.source_digest,
            fixes=fixes.records,
            made=fixes.made(),
            classes=classes,
            origins=fixes.origins(),
            only_fixes=order.only_fixes and not why,
            not_comparable=why,
            sample_type=color_type(order, found.got),
            channels=tuple(color_names(order)),
            source_colors=source_rows(order, found.got),
            colors=color_rows(order, found.got),
        )

    def _with_layers(
        self, order: WriteOrder, planes: Mapping[str, Samples], temp: Path, target: Path
    ) -> tuple[str, int]:
        """Write the frame again with the planes in it, and prove both."""
        layers = {LAYER_PREFIX + name: samples for name, samples in planes.items()}
        self._write_pixels(order, temp, target, layers)
        check_layers(temp, planes, order.frame)
        found = self._verify(order, temp, target)
        return found.digest, found.nbytes

    def _write_pixels(
        self,
        order: WriteOrder,
        temp: Path,
        target: Path,
        layers: Mapping[str, Samples] = MappingProxyType({}),
    ) -> None:
        from wetgate.io.formats import write_frame

        options = replace(
            self._options,
            file_name=target.name,
            color_space_changed=order.space_changed,
            pixels_changed=not order.unchanged,
            extra_planes=layers,
        )
        write_frame(order.frame, temp, options=options)

    def _verify(self, order: WriteOrder, temp: Path, target: Path) -> _Verified:
        digest, nbytes = digest_file(temp), temp.stat().st_size
        mapped = self._planes is not None or bool(self._sinks)
        if order.unchanged and digest == order.source_digest:
            # The very bytes that were decoded: what they decode to needs no second look.
            return _Verified(digest, nbytes, order.frame, unchanged_account(order, mapped=mapped))
        from wetgate.io.formats import layer_in, read_frame

        number, space = order.frame.number, order.frame.color_space
        got = read_frame(temp, number, color_space=space, layer=layer_in(temp, self._layer))
        lossy = _lossy(self._options.compression, got)
        warnings: tuple[str, ...] = ()
        if not self._equal(order.frame, got):
            if lossy is None:
                raise VerifyFailed(
                    "what was read back differs from what was to be written",
                    path=target,
                    frame=order.frame.number,
                    remedy="the storage or its driver is at fault; nothing was kept",
                )
            warnings = (f"{lossy} compression changes samples; compared for decoding only",)
        account = take_account(order, got, mapped=mapped)
        return _Verified(digest, nbytes, got, account, warnings)

    def _equal(self, wanted: Frame, got: Frame) -> bool:
        if got.pixels.shape[:2] != wanted.pixels.shape[:2]:
            return False
        if not set(wanted.channels) <= set(got.channels):
            return False
        order = [got.channels.index(name) for name in wanted.channels]
        straight = order == list(range(len(got.channels)))
        from wetgate.io.formats import channel_types

        types = channel_types(got)
        kinds = [types[at] for at in order]
        for band in row_bands(wanted.pixels.shape):
            there = got.pixels[band] if straight else got.pixels[band][..., order]
            for kind in set(kinds):
                # Color in half beside depth in float is ordinary: each has its own precision.
                which = [at for at, its in enumerate(kinds) if its == kind]
                if not holds(pick(wanted.pixels[band], which), pick(there, which), kind):
                    return False
        return True

    def _record(
        self, order: WriteOrder, target: Path, found: _Verified, seconds: float
    ) -> FrameRecord:
        account, change = found.account, found.account.change
        records = order.fixes.records if order.fixes is not None else ()
        return replace(
            self._template,
            frame=order.frame.number,
            status="written" if change.changed else "passed-through",
            file=target.name,
            digest=found.digest,
            nbytes=found.nbytes,
            source_file=order.source_file,
            source_digest=order.source_digest,
            source_bytes=order.source_bytes,
            matte=order.matte_digest,
            seconds=round(seconds, 4),
            changed=change.share,
            classes=account.shares,
            generative=account.generative,
            max_change=change.greatest,
            fixed=sum(record.fix.applied for record in records),
            left=sum(not record.fix.applied for record in records),
            network_off=order.network_off,
            notes=order.notes,
            warnings=order.warnings + found.warnings,
        )


def _lossy(asked: str | None, got: Frame) -> str | None:
    """Return the name of a compression that changes samples, or None."""
    stated = asked or str(got.header.attributes.get("compression", ""))
    name = stated.split(":")[0].lower()
    if name == "pxr24" and got.sample_type != "float":
        return None
    return name if name in LOSSY_COMPRESSIONS else None


def _report(record: FrameRecord, path: Path | None) -> FrameReport:
    return FrameReport(
        number=record.frame,
        status=record.status,  # type: ignore[arg-type]
        path=path,
        digest=record.digest or None,
        seconds=record.seconds,
        changed_fraction=record.changed,
        generative_fraction=record.generative,
        classes=tuple((int(k), v) for k, v in record.classes.items()),
        max_change=record.max_change,
        fixed=record.fixed,
        left=record.left,
        network_off=record.network_off,
        notes=record.notes,
        warnings=record.warnings,
        error=record.error,
    )


def report_skipped(record: FrameRecord, path: Path) -> FrameReport:
    """Return the report of a frame that an earlier run has done."""
    return replace(_report(record, path), status="skipped")
