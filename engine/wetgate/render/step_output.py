"""Put what the last stage of a step returns, tile by tile, into the source encoding.

Both classes are used from several threads at once: every tile writes to a part of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from wetgate.model.box import Box
from wetgate.model.frame import SampleType
from wetgate.operators.base import Judged, Pixels, Provenance, Resamples, Window
from wetgate.render.bound import BoundStep
from wetgate.render.canvas import ResizedPlane, scaled_box
from wetgate.render.encoding import compose, compose_resized
from wetgate.render.judging import Marks, MarksPlane, TileDone, count_guarded, marks_of
from wetgate.render.store import Plane
from wetgate.render.windows import gather, gather_if

Stepped = tuple[Pixels | None, Marks | None]
"""Colors after a step, None for those of the source, and the marks of all steps so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """What a step makes of one frame of the same size.

    Attributes:
        color: the step's input in the source encoding. working: in the working encoding.
        matte, alpha: at the size of the output.
        touched: marks of the steps before; None when there are none.
        several: marks are wanted for every pixel, because other steps leave theirs.
    """

    step: BoundStep
    color: Plane
    working: Plane
    matte: Plane | None
    alpha: Plane | None
    touched: Marks | None
    several: bool
    sample_type: SampleType
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
        if _same_memory(judged.pixels, seen):
            return TileDone(box=box, written=False, guarded=guarded, notes=judged.notes)
        plain = gather(self.color, box)
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
        return TileDone(box=box, written=True, marks=marks, guarded=guarded, notes=judged.notes)

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
        if not written:
            return (None if first else self.color.rows(0, height)), touched
        return self.out, touched


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
        if not self.several and all(tile.marks is None for tile in done):
            return self.out, None
        height, width, _ = self.out.shape
        touched = np.zeros((height, width), np.uint8)
        if self.touched is not None:
            before = ResizedPlane(MarksPlane(self.touched), self.scale, "nearest")
            touched[...] = before.rows(0, height)[..., 0].astype(np.uint8)
        frame = Box.of_size(width, height)
        for tile in done:
            inside = tile.box.within(frame)
            marks = np.uint8(self.step.mark) if tile.marks is None else tile.marks
            np.maximum(touched[inside], marks, out=touched[inside])
        return self.out, touched

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


def _differs(a: Pixels, b: Pixels) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    bits = np.ascontiguousarray(a).view(np.uint32) != np.ascontiguousarray(b).view(np.uint32)
    changed: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = bits.any(axis=-1)
    return changed


def _same_memory(a: Pixels, b: Pixels) -> bool:
    here, there = a.__array_interface__, b.__array_interface__
    return here["data"][0] == there["data"][0] and a.strides == b.strides and a.shape == b.shape
