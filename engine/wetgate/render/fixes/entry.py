"""The journal lines and the tile data of one written frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import BackendError
from wetgate.model.frame import SampleType
from wetgate.render.fixes.codes import Codes, digest_of_codes, sample_bits
from wetgate.render.fixes.lines import FixLine, FrameLine
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.fixing import StepFix
from wetgate.render.store import row_bands


class Written(Protocol):
    """What the journal asks of a written frame: the part of the engine's account that it uses."""

    @property
    def frame(self) -> int:
        """Return its number."""
        ...

    @property
    def file(self) -> str:
        """Return the name that it will have."""
        ...

    @property
    def digest(self) -> str:
        """Return the digest of the file."""
        ...

    @property
    def source_file(self) -> str:
        """Return the name of the scan's frame."""
        ...

    @property
    def source_digest(self) -> str:
        """Return the digest of the scan's frame."""
        ...

    @property
    def fixes(self) -> tuple[StepFix, ...]:
        """Return all that was found, in order of number, as delivered."""
        ...

    @property
    def made(self) -> NDArray[np.uint32]:
        """Return the number of the fix that made each px, `(h, w)`; 0 where none did."""
        ...

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Return the provenance class of each px, `(h, w)`."""
        ...

    @property
    def origins(self) -> NDArray[np.float32]:
        """Return frame offset, x and y where a px was borrowed, `(h, w, 3)`."""
        ...

    @property
    def only_fixes(self) -> bool:
        """Whether every px that changed was changed by fixes alone."""
        ...

    @property
    def not_comparable(self) -> str:
        """Return why a px of the scan has no place in the output; empty when it has."""
        ...

    @property
    def sample_type(self) -> SampleType:
        """Return how the file stores its color samples."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the names of the color channels."""
        ...

    def before(self, box: Box) -> NDArray[np.generic]:
        """Return the scan's samples as this file would hold them, `(h, w, channel)`."""
        ...

    def after(self, box: Box) -> NDArray[np.generic]:
        """Return the samples of the file, `(h, w, channel)`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNote:
    """What the journal says of the job beside each frame.

    Attributes:
        layer: of the source that is the picture. write: how frames are written; with_layers:
            with planes of provenance among their channels.
        context, recipe: digests as in the manifest.
        thresholds, versions: of the operator of each step; a threshold is None where it has none.
    """

    layer: str | None = None
    write: WriteOptions | None = None
    with_layers: bool = False
    context: str = ""
    recipe: str = ""
    thresholds: Sequence[float | None] = ()
    versions: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal keeps of one frame; `tiles` is None when no fix changed a pixel."""

    fixes: tuple[FixLine, ...]
    frame: FrameLine
    tiles: Tiles | None


def make_entry(written: Written, note: JobNote) -> Entry:
    """Make the lines of a written frame, all but the name of the tile data, and that data.

    Raises:
        BackendError: pixels were changed in the name of a fix that nobody described.
    """
    tiles = _tiles(written) if not written.not_comparable else None
    fixes = tuple(_fix_line(written, note, fix, tiles) for fix in written.fixes)
    height, width = written.made.shape
    frame = FrameLine(
        frame=written.frame,
        output=written.digest,
        file=written.file,
        samples=digest_of_codes(
            sample_bits(written.after(Box(0, band.start, width, band.stop)))
            for band in row_bands((height, width, len(written.channels)))
        ),
        source_file=written.source_file,
        source_digest=written.source_digest,
        context=note.context,
        recipe=note.recipe,
        fixes=len(fixes),
        tiles="",
        tiles_digest="",
        only_fixes=written.only_fixes and not written.not_comparable,
        channels=tuple(written.channels),
        sample_type=written.sample_type,
        layer=note.layer,
        write={**write_facts(note.write or WriteOptions()), "layers": note.with_layers},
        closed=written.not_comparable,
    )
    return Entry(fixes, frame, tiles)


def write_facts(options: WriteOptions) -> dict[str, object]:
    """Return what replay must know of how a frame was written, as JSON values."""
    return {
        "format": options.format,
        "compression": options.compression,
        "color_space_changed": options.color_space_changed,
        "interop_id": options.interop_id,
        "provenance": dict(options.provenance),
        "creation_time": options.creation_time,
    }


def _fix_line(written: Written, note: JobNote, made: StepFix, tiles: Tiles | None) -> FixLine:
    fix, step = made.fix, made.step
    at = tiles.index(made.number) if tiles is not None else None
    span = tiles.span(at) if tiles is not None and at is not None else slice(0, 0)
    threshold = note.thresholds[step] if step < len(note.thresholds) else None
    return FixLine(
        id=made.id,
        output=written.digest,
        step=step,
        operator=made.operator,
        version=note.versions[step] if step < len(note.versions) else 0,
        threshold=None if threshold is None else float(threshold),
        number=int(made.number),
        frame=written.frame,
        anchor=(int(fix.anchor[0]), int(fix.anchor[1])),
        box=(int(fix.box.x0), int(fix.box.y0), int(fix.box.x1), int(fix.box.y1)),
        kind=fix.kind,
        area=int(fix.area),
        polarity=int(fix.polarity),
        confidence=float(fix.confidence),
        applied=bool(fix.applied),
        why=fix.why,
        provenance=int(fix.provenance),
        source=int(fix.source),
        offset=(float(fix.offset[0]), float(fix.offset[1])),
        facts={key: float(value) for key, value in sorted(fix.facts.items())},
        pixels=span.stop - span.start,
        digest=tiles.digest(at) if tiles is not None and at is not None else "",
    )


def _tiles(written: Written) -> Tiles | None:
    """Collect the pixels that fixes made and that differ from the scan."""
    made = written.made
    height, width = made.shape
    found: list[tuple[NDArray[np.intp], NDArray[np.intp], Codes, Codes]] = []
    for band in row_bands((height, width, len(written.channels))):
        if not made[band].any():
            continue
        box = Box(0, band.start, width, band.stop)
        before, after = sample_bits(written.before(box)), sample_bits(written.after(box))
        differs = np.not_equal(before, after).any(axis=-1) & (made[band] > 0)
        y, x = np.nonzero(differs)
        if y.size:
            found.append((y + band.start, x, before[y, x], after[y, x]))
    if not found:
        return None
    y, x, before, after = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(made[y, x], kind="stable")
    y, x = y[order], x[order]
    numbers, starts = np.unique(made[y, x], return_index=True)
    _check_known(written, numbers)
    return Tiles(
        number=numbers.astype(np.int32),
        first=np.append(starts, len(y)).astype(np.int64),
        x=x.astype(np.int32),
        y=y.astype(np.int32),
        before=before[order],
        after=after[order],
        classes=written.classes[y, x],
        origins=np.ascontiguousarray(written.origins[y, x], np.float32),
    )


def _check_known(written: Written, numbers: NDArray[np.uint32]) -> None:
    known: Mapping[int, StepFix] = {fix.number: fix for fix in written.fixes}
    alien = [number for number in numbers.tolist() if number not in known]
    if alien:
        raise BackendError(
            f"pixels were changed in the name of fix {alien[0]}",
            frame=written.frame,
            expected="a record of every fix that changes one",
        )
