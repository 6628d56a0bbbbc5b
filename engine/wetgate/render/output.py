"""Write frames so that what stands under a final name is whole, verified and on record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import AtomicFile, digest_file, free_bytes
from wetgate.io.options import WriteOptions
from wetgate.model.errors import DiskFull, VerifyFailed, WetgateError
from wetgate.model.frame import Frame
from wetgate.operators.base import Pixels, Provenance
from wetgate.render.bound import GENERATIVE
from wetgate.render.events import FrameReport
from wetgate.render.manifest import FrameRecord, Journal
from wetgate.render.precision import Change, holds, quantized
from wetgate.render.store import row_bands

_log = logging.getLogger(__name__)

LOSSY_COMPRESSIONS = frozenset({"dwaa", "dwab", "b44", "b44a", "pxr24", "jpeg", "lossy"})
RESERVE_BYTES = 8 << 20
"""Stop this far before the volume is full: a full system disk harms more than this job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOrder:
    """One finished frame and what is known about it.

    Attributes:
        frame: the pixels to be written, all channels.
        source_rows: gives a band of the source's own pixels, all channels.
        color_index: channels that steps may change.
        unchanged: the engine knows that no sample differs from the source.
        space_changed: the whole picture is in another color space than the source.
        resized: it has another size, so that no pixel is one of the source's.
        touched: provenance marks by pixel, when several steps ran; else `mark` goes for all.
        notes: what the stages said. network_off: share of the frame that did without a network.
        matte_digest: of the matte file. seconds: spent on the frame so far.
    """

    frame: Frame
    source_rows: Callable[[slice], Pixels]
    source_file: str
    source_digest: str
    source_bytes: int
    color_index: tuple[int, ...]
    unchanged: bool
    space_changed: bool
    touched: NDArray[np.uint8] | None
    mark: int
    resized: bool = False
    notes: tuple[str, ...] = ()
    network_off: float = 0.0
    matte_digest: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Verified:
    digest: str
    nbytes: int
    change: Change
    classes: Mapping[str, float]
    generative: float
    warnings: tuple[str, ...]


class FrameWriter:
    """Writes, reads back, compares, records and names one frame after another.

    Args:
        path_of: final path of a frame number.
        options: as for every frame; file name and change flags are set here.
        template: the record's fields that are the same for all frames.
        expected_bytes: size of a frame on disk, for the look at free space.
        layer: the one layer of the source that is the picture.
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
    ) -> None:
        self._path_of = path_of
        self._journal = journal
        self._options = options
        self._template = template
        self._expected = expected_bytes
        self._layer = layer

    def write(self, order: WriteOrder) -> FrameReport:
        """Write one frame.

        Raises:
            DiskFull, OutputError: nothing of the frame is under its final name.
            VerifyFailed: what was read back is not what was meant.
        """
        started = time.perf_counter()
        target = self._path_of(order.frame.number)
        self._check_room(target)
        with AtomicFile(target) as atomic:
            self._write_pixels(order, atomic.temp, target)
            found = self._verify(order, atomic.temp, target)
            seconds = order.seconds + time.perf_counter() - started
            record = self._record(order, target, found, seconds)
            self._journal.append(record)
            atomic.commit()
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

    def _write_pixels(self, order: WriteOrder, temp: Path, target: Path) -> None:
        from wetgate.io.formats import write_frame

        options = replace(
            self._options,
            file_name=target.name,
            color_space_changed=order.space_changed,
            pixels_changed=not order.unchanged,
        )
        write_frame(order.frame, temp, options=options)

    def _verify(self, order: WriteOrder, temp: Path, target: Path) -> _Verified:
        digest, nbytes = digest_file(temp), temp.stat().st_size
        if order.unchanged and digest == order.source_digest:
            # The very bytes that were decoded: what they decode to needs no second look.
            pixels = order.frame.pixels.shape[0] * order.frame.pixels.shape[1]
            return _Verified(digest, nbytes, Change(pixels=pixels), {}, 0.0, ())
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
        change, classes, generative = _measure(order, got)
        return _Verified(digest, nbytes, change, classes, generative, warnings)

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
                if not holds(_pick(wanted.pixels[band], which), _pick(there, which), kind):
                    return False
        return True

    def _record(
        self, order: WriteOrder, target: Path, found: _Verified, seconds: float
    ) -> FrameRecord:
        return replace(
            self._template,
            frame=order.frame.number,
            status="written" if found.change.changed else "passed-through",
            file=target.name,
            digest=found.digest,
            nbytes=found.nbytes,
            source_file=order.source_file,
            source_digest=order.source_digest,
            source_bytes=order.source_bytes,
            matte=order.matte_digest,
            seconds=round(seconds, 4),
            changed=found.change.share,
            classes=found.classes,
            generative=found.generative,
            max_change=found.change.greatest,
            network_off=order.network_off,
            notes=order.notes,
            warnings=order.warnings + found.warnings,
        )


def _measure(order: WriteOrder, got: Frame) -> tuple[Change, dict[str, float], float]:
    """Count what differs from the source in the file's own precision, by provenance class."""
    change = Change()
    counts: dict[int, int] = {}
    wanted = order.frame
    if order.resized:
        return _all_new(order)
    names = [wanted.channels[i] for i in order.color_index] or list(wanted.channels)
    there = [got.channels.index(name) for name in names]
    here = [wanted.channels.index(name) for name in names]
    for band in row_bands(wanted.pixels.shape):
        source = _pick(order.source_rows(band), here)
        if got.sample_type != wanted.sample_type:
            source = quantized(source, got.sample_type)
        mask = change.add(source, _pick(got.pixels[band], there))
        if order.touched is not None:
            for mark, count in zip(
                *np.unique(order.touched[band][mask], return_counts=True), strict=True
            ):
                counts[int(mark)] = counts.get(int(mark), 0) + int(count)
    if order.touched is None and change.changed:
        counts[order.mark] = change.changed
    if order.space_changed:
        counts.setdefault(int(Provenance.REEXPOSED), 0)
        counts[int(Provenance.REEXPOSED)] += counts.pop(0, 0)
    total = max(1, change.pixels)
    classes: dict[str, float] = {}
    for mark, count in sorted(counts.items()):
        name = str(mark & ~GENERATIVE)
        if count and name != "0":
            classes[name] = classes.get(name, 0.0) + count / total
    generative = sum(c for mark, c in counts.items() if mark & GENERATIVE) / total
    return change, classes, generative


def _all_new(order: WriteOrder) -> tuple[Change, dict[str, float], float]:
    """Count a frame of another size: every pixel is new, and no difference can be told."""
    height, width, _ = order.frame.pixels.shape
    marks = np.full((1, 1), order.mark, np.uint8) if order.touched is None else order.touched
    found, count = np.unique(marks, return_counts=True)
    classes: dict[str, float] = {}
    generative = 0.0
    for mark, share in zip(found.tolist(), (count / marks.size).tolist(), strict=True):
        name = str(mark & ~GENERATIVE)
        classes[name] = classes.get(name, 0.0) + share
        generative += share if mark & GENERATIVE else 0.0
    return Change(pixels=height * width, changed=height * width), classes, generative


def _pick(pixels: Pixels, index: list[int]) -> Pixels:
    return pixels if index == list(range(pixels.shape[2])) else pixels[..., index]


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
        network_off=record.network_off,
        notes=record.notes,
        warnings=record.warnings,
        error=record.error,
    )


def report_skipped(record: FrameRecord, path: Path) -> FrameReport:
    """Return the report of a frame that an earlier run has done."""
    return replace(_report(record, path), status="skipped")
