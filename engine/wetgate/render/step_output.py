"""Put what the last stage of a step returns, tile by tile, into the source encoding.

Both classes are used from several threads at once: every tile writes to a part of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.frame import SampleType
from wetgate.operators.base import Judged, Pixels, Provenance, Resamples, Window
from wetgate.render.bound import BoundStep
from wetgate.render.canvas import ResizedPlane, nearest_index, scaled_box
from wetgate.render.encoding import compose, compose_fixed, compose_resized
from wetgate.render.fixing import (
    HELD_OUT,
    FrameFixes,
    PackedPlane,
    TileFixes,
    fixed_pixels,
    join_fixes,
    pack,
)
from wetgate.render.judging import Marks, MarksPlane, TileDone, count_guarded, marks_of
from wetgate.render.store import Plane
from wetgate.render.windows import gather, gather_if


@dataclass(frozen=True, slots=True)
class Stepped:
    """One frame after a step.

    Attributes:
        color: None for those of the source. touched: the marks of all steps so far.
        fixes: the fixes of all steps so far; None when no step named any.
    """

    color: Pixels | None
    touched: Marks | None
    fixes: FrameFixes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """What a step makes of one frame of the same size.

    Attributes:
        color: the step's input in the source encoding. working: in the working encoding.
        matte, alpha: at the size of the output.
        touched: marks of the steps before; None when there are none.
        several: marks are wanted for every pixel, because other steps leave theirs.
        number: of the frame. index, label: of the step.
        fixes: those of the steps before. rejected: ids of own fixes that are to be taken back.
    """

    step: BoundStep
    number: int
    index: int
    label: str
    color: Plane
    working: Plane
    matte: Plane | None
    alpha: Plane | None
    touched: Marks | None
    several: bool
    sample_type: SampleType
    fixes: FrameFixes | None = None
    rejected: frozenset[str] = frozenset()
    out: Pixels = field(init=False)

    def __post_init__(self) -> None:
        height, width, count = self.color.shape
        size = int(height * self.scale), int(width * self.scale), count
        object.__setattr__(self, "out", np.empty(size, dtype=np.float32))

    @property
    def scale(self) -> Fraction:
        """Output size / input size."""
        return self.step.scale

    def write(self, window: Window, judged: Judged) -> TileDone:
        """Take one tile."""
        box = window.tile
        seen = window.center[box.within(window.region)]
        guarded = count_guarded(self.step, judged.classes)
        if self.step.repairs or judged.fixes is not None:
            return self._write_fixes(window, judged, seen, guarded)
        told = TileFixes(box=box, planes=_packed(judged)) if judged.planes else None
        if _same_memory(judged.pixels, seen):
            return TileDone(box=box, written=False, guarded=guarded, notes=judged.notes, fixes=told)
        # What an operator got without a conversion is the source: no need to cut it out twice.
        plain = seen if self.working is self.color else gather(self.color, box)
        result = compose(
            plain,
            seen,
            judged.pixels,
            self.step.encoding,
            strength=self.step.strength,
            matte=gather_if(self.matte, box),
            alpha=gather_if(self.alpha, box),
            sample_type=self.sample_type,
        )
        self.out[box.within(window.frame)] = result
        marks = None
        if self.several or judged.classes is not None:
            marks = np.where(_differs(result, plain), marks_of(self.step, judged.classes), _ZERO)
        return TileDone(
            box=box, written=True, marks=marks, guarded=guarded, notes=judged.notes, fixes=told
        )

    def _write_fixes(self, window: Window, judged: Judged, seen: Pixels, guarded: int) -> TileDone:
        """Take one tile of a step that changes single defects and nothing beside them."""
        box, numbers = window.tile, judged.fixes
        if numbers is not None and judged.classes is not None:
            numbers = np.where(judged.classes == Provenance.UNTOUCHED, np.uint32(0), numbers)
        told = TileFixes(box=box, planes=_packed(judged), records=judged.records)
        if numbers is None or not numbers.any():
            return TileDone(box=box, written=False, guarded=guarded, notes=judged.notes, fixes=told)
        which = numbers > 0
        weight = np.full((box.height, box.width, 1), self.step.strength, np.float32)
        matte = gather_if(self.matte, box)
        if matte is not None:
            weight *= matte
        held = which & (weight[..., 0] == 0)
        made = which & ~held
        plain = gather(self.color, box)
        alpha = gather_if(self.alpha, box)
        result = plain.copy()
        result[made] = compose_fixed(
            plain[made],
            seen[made],
            judged.pixels[made],
            self.step.encoding,
            weight=weight[made],
            alpha=None if alpha is None else alpha[made],
            sample_type=self.sample_type,
        )
        self.out[box.within(window.frame)] = result
        told = replace(
            told,
            pixels=fixed_pixels(
                np.where(made, numbers, np.uint32(0)), judged.origins, box, window.frame.width
            ),
            claimed=_count(numbers[which]),
            held_out=_count(numbers[held]),
        )
        marks = np.where(_differs(result, plain), marks_of(self.step, judged.classes), _ZERO)
        return TileDone(
            box=box, written=True, marks=marks, guarded=guarded, notes=judged.notes, fixes=told
        )

    def finish(self, done: Sequence[TileDone], *, first: bool) -> Stepped:
        """Return the frame once all its tiles are there.

        Args:
            first: the step is the first, so that what it leaves alone is the source itself.
        """
        height, width, _ = self.out.shape
        frame = Box.of_size(width, height)
        written = any(tile.written for tile in done)
        for tile in done:
            if written and not tile.written:
                self.out[tile.box.within(frame)] = gather(self.color, tile.box)
        touched = self.touched
        if self.several or any(tile.marks is not None for tile in done):
            touched = np.zeros((height, width), np.uint8) if touched is None else touched.copy()
            for tile in done:
                inside = tile.box.within(frame)
                marks = tile.marks
                if tile.written and marks is None:
                    changed = _differs(self.out[inside], gather(self.color, tile.box))
                    marks = np.where(changed, np.uint8(self.step.mark), _ZERO)
                if marks is not None:
                    np.maximum(touched[inside], marks, out=touched[inside])
        color = self.out if written else None if first else self.color.rows(0, height)
        return Stepped(color, touched, self._joined_fixes(done, (height, width)))

    def _joined_fixes(self, done: Sequence[TileDone], size: tuple[int, int]) -> FrameFixes | None:
        told = [tile.fixes for tile in done if tile.fixes is not None]
        if not told:
            return self.fixes
        return join_fixes(
            told,
            size=size,
            step=self.index,
            label=self.label,
            frame=self.number,
            before=self.fixes,
            held_by=HELD_OUT if self.matte is not None else "the strength of the step is 0",
            rejected=self.rejected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedOutput(StepOutput):
    """What a step makes of one frame of another size: every pixel is new."""

    def write(self, window: Window, judged: Judged) -> TileDone:
        """Take one tile."""
        box = scaled_box(window.tile, self.scale)
        nearest = gather(ResizedPlane(self.color, self.scale, "nearest"), box)
        plain, weight = self._plain(window, box)
        self.out[box.within(scaled_box(window.frame, self.scale))] = compose_resized(
            nearest,
            judged.pixels,
            self.step.encoding,
            plain=plain,
            weight=weight,
            alpha=gather_if(self.alpha, box),
            sample_type=self.sample_type,
        )
        marks: Marks = np.broadcast_to(marks_of(self.step, judged.classes), (box.height, box.width))
        if weight is not None:
            alone = np.broadcast_to(weight, (box.height, box.width, 1))[..., 0] == 0
            marks = np.where(alone, np.uint8(Provenance.RESAMPLED), marks)
        return TileDone(
            box=box,
            written=True,
            marks=marks
            if self.several or judged.classes is not None or plain is not None
            else None,
            guarded=count_guarded(self.step, judged.classes),
            held=int(np.count_nonzero(~np.isfinite(nearest).all(axis=-1))),
            notes=judged.notes,
        )

    def finish(self, done: Sequence[TileDone], *, first: bool) -> Stepped:
        """Return the frame once all its tiles are there."""
        height, width, _ = self.out.shape
        fixes = self.fixes
        if fixes is not None:
            rows, columns = (
                nearest_index(0, size, self.scale, before)
                for size, before in ((height, fixes.size[0]), (width, fixes.size[1]))
            )
            fixes = fixes.taken(rows, columns, float(self.scale))
        if not self.several and all(tile.marks is None for tile in done):
            return Stepped(self.out, None, fixes)
        touched = np.zeros((height, width), np.uint8)
        if self.touched is not None:
            before = ResizedPlane(MarksPlane(self.touched), self.scale, "nearest")
            touched[...] = before.rows(0, height)[..., 0].astype(np.uint8)
        frame = Box.of_size(width, height)
        for tile in done:
            inside = tile.box.within(frame)
            marks = np.uint8(self.step.mark) if tile.marks is None else tile.marks
            np.maximum(touched[inside], marks, out=touched[inside])
        return Stepped(self.out, touched, fixes)

    def _plain(self, window: Window, box: Box) -> tuple[Pixels | None, Pixels | np.float32 | None]:
        """Return the classical result and the weight of the operator's, where they blend."""
        strength = np.float32(self.step.strength)
        if strength == 1 and self.matte is None:
            return None, None
        operator = self.step.operator
        if not isinstance(operator, Resamples):  # the planner has refused this before any frame
            raise TypeError(f"{self.step.spec.name!r} has no plain way to change the size")
        unit = self.scale.denominator
        halo = -(-self.step.spec.footprint.halo // unit) * unit
        region = window.tile.grown(halo)
        whole = operator.resample(gather(self.working, region))
        plain = whole[box.within(scaled_box(region, self.scale))]
        return plain, strength if self.matte is None else gather(self.matte, box) * strength


_ZERO = np.uint8(0)


def _packed(judged: Judged) -> dict[str, PackedPlane]:
    return {name: pack(plane) for name, plane in judged.planes.items()}


def _count(numbers: NDArray[np.uint32]) -> dict[int, int]:
    found, counts = np.unique(numbers, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _differs(a: Pixels, b: Pixels) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    bits = np.ascontiguousarray(a).view(np.uint32) != np.ascontiguousarray(b).view(np.uint32)
    changed: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = bits.any(axis=-1)
    return changed


def _same_memory(a: Pixels, b: Pixels) -> bool:
    here, there = a.__array_interface__, b.__array_interface__
    return here["data"][0] == there["data"][0] and a.strides == b.strides and a.shape == b.shape
