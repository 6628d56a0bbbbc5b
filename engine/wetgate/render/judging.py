"""What stages say of their pixels: classes per pixel, and notes for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.errors import BackendError
from wetgate.operators.base import Judged, Pixels, Provenance
from wetgate.render.bound import GENERATIVE, BoundStep
from wetgate.render.fixing import TileFixes
from wetgate.render.windows import gather

Marks = NDArray[np.uint8]
"""Provenance class of each pixel, with the bit `GENERATIVE`; 0 is untouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileDone:
    """What became of one tile.

    Attributes:
        box: where its output lies. written: False when the stage returned its very input.
        marks: of the pixels that changed; None when the step's own mark holds for all of them.
        guarded: pixels whose class is below the step's own, and not untouched.
        held: pixels of another size that take a sample of the source that is not finite.
        notes: what the stage had to say.
        fixes: what it said of single defects.
    """

    box: Box
    written: bool
    marks: Marks | None = None
    guarded: int = 0
    held: int = 0
    notes: tuple[str, ...] = ()
    fixes: TileFixes | None = None


@dataclass(frozen=True, slots=True)
class FrameNotes:
    """What one stage had to say about one frame.

    Attributes:
        network_off: share of the frame that came about without the step's network.
    """

    notes: tuple[str, ...] = ()
    network_off: float = 0.0


def take_apart(
    step: BoundStep,
    result: Pixels | Judged,
    shape: tuple[int, int, int],
    *,
    last: bool,
    frame: int,
    near: Sequence[int],
) -> Judged:
    """Return what a stage gave as judged pixels, once it is what its contract says.

    Args:
        shape: `(height, width, channel)` that the pixels must have.
        last: the stage is the last of its step, so that it may speak of fixes.
        frame: number of the center frame. near: those that it may borrow from.

    Raises:
        BackendError: another shape or type, a class above that of the operator, or fixes and
            pixels that contradict each other.
    """
    judged = result if isinstance(result, Judged) else Judged(result)
    name, spec = step.spec.name, step.spec
    pixels, classes = judged.pixels, judged.classes
    if pixels.shape != shape or pixels.dtype != np.float32:
        raise BackendError(
            f"operator {name!r} returned {pixels.dtype} {pixels.shape}",
            expected=f"float32 {shape}",
        )
    if classes is not None:
        _check_array(name, "classes", classes, np.uint8, shape[:2])
        highest = int(classes.max(initial=0))
        if highest > spec.provenance:
            raise BackendError(
                f"operator {name!r} returned pixels of class {highest}",
                expected=f"at most the class {int(spec.provenance)} that it declares",
            )
    if judged.fixes is not None or judged.records or judged.planes or judged.origins is not None:
        _check_fixes(step, judged, shape, last=last, frame=frame, near=near)
    return judged


def _check_array(
    name: str, what: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(
            f"operator {name!r} returned {what} {array.dtype} {array.shape}",
            expected=f"{np.dtype(dtype)} {shape}",
        )


def _check_fixes(
    step: BoundStep,
    judged: Judged,
    shape: tuple[int, int, int],
    *,
    last: bool,
    frame: int,
    near: Sequence[int],
) -> None:
    """Hold an operator to what it says: every px of a fix is on record, of an allowed class."""
    name, spec = step.spec.name, step.spec

    def wrong(found: str, expected: str) -> BackendError:
        return BackendError(f"operator {name!r} {found}", expected=expected, frame=frame)

    if not last or step.scale != 1:
        raise wrong("names fixes", "fixes from the last stage of an operator that keeps the size")
    for plane in judged.planes:
        _check_array(name, plane, judged.planes[plane], np.float32, shape[:2])
    for fix in judged.records:
        if fix.frame != frame or fix.number < 1:
            raise wrong(f"has fix {fix.number} of frame {fix.frame}", f"1 and up, of frame {frame}")
        if fix.provenance > spec.provenance:
            raise wrong(
                f"made fix {fix.number} of class {int(fix.provenance)}",
                f"at most the class {int(spec.provenance)} that it declares",
            )
    if judged.origins is not None:
        _check_array(name, "origins", judged.origins, np.float32, (*shape[:2], 3))
    if judged.fixes is None:
        return
    _check_array(name, "fixes", judged.fixes, np.uint32, shape[:2])
    own = np.uint8(spec.provenance) if judged.classes is None else judged.classes
    classes = np.where(judged.fixes > 0, own, np.uint8(0))
    highest = np.zeros(int(judged.fixes.max(initial=0)) + 1, np.int16)
    highest[1:] = -1
    for fix in judged.records:
        if fix.applied and fix.number < len(highest):
            highest[fix.number] = fix.provenance
    # Pixels that it calls untouched keep the scan's bits, whatever fix they are put under.
    allowed = highest[np.where(classes > 0, judged.fixes, np.uint32(0))]
    if (allowed < 0).any():
        unknown = int(judged.fixes[allowed < 0][0])
        raise wrong(f"changed pixels by fix {unknown}", "a record of it that says `applied`")
    if (classes > allowed).any():
        raise wrong("made pixels of a class above that of their fix", "the highest class on record")
    borrowed = classes == Provenance.BORROWED
    if not borrowed.any():
        return
    origins = judged.origins[borrowed] if judged.origins is not None else np.zeros((1, 3))
    if not origins.any(axis=-1).all():
        raise wrong("borrowed pixels from nowhere", "the origin of every pixel of class 4")
    missing = sorted({frame + float(o) for o in np.unique(origins[:, 0])} - set(near))
    if missing:
        raise wrong(
            f"borrowed pixels of frame {missing[0]:g}",
            f"one of the frames that it saw: {', '.join(map(str, near))}",
        )


def marks_of(step: BoundStep, classes: NDArray[np.uint8] | None) -> Marks:
    """Return the marks of changed pixels, `(h, w)`; of shape `()` when one holds for all.

    A pixel that changed and is called untouched gets the step's own class: nothing is hidden.
    """
    if classes is None:
        return np.asarray(step.mark, np.uint8)
    own = np.uint8(step.spec.provenance)
    marks = np.where(classes == 0, own, classes)
    if step.invents:
        marks = np.where(marks == own, marks | np.uint8(GENERATIVE), marks)
    return marks


class MarksPlane:
    """Marks as a plane, to be cut or resized like one; 8-bit values are exact in float32."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, 1)`."""
        height, width = self._marks.shape
        return height, width, 1

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows of marks."""
        return self._marks[start:stop, :, None].astype(np.float32)

    def release(self) -> None:
        """Nothing is held."""


def joined_classes(
    step: BoundStep, done: Sequence[TileDone], shape: tuple[int, int, int]
) -> MarksPlane | None:
    """Return what an inner stage said of each pixel of a frame; None when it said nothing.

    Args:
        done: tiles whose `marks` are the classes as the stage gave them.
    """
    if all(tile.marks is None for tile in done):
        return None
    height, width, _ = shape
    classes = np.full((height, width), step.spec.provenance, np.uint8)
    for tile in done:
        if tile.marks is not None:
            classes[tile.box.within(Box.of_size(width, height))] = tile.marks
    return MarksPlane(classes)


def gather_classes(plane: MarksPlane | None, region: Box) -> NDArray[np.uint8] | None:
    """Cut the classes of a region, which may reach beyond the frame."""
    return None if plane is None else gather(plane, region)[..., 0].astype(np.uint8)


def count_guarded(step: BoundStep, classes: NDArray[np.uint8] | None) -> int:
    """Return how many pixels came about in a lower class than the step may use.

    Those that the stage calls untouched do not count: it looked at them and left them alone.
    """
    if classes is None:
        return 0
    lower = (classes < np.uint8(step.spec.provenance)) & (classes > 0)
    return int(np.count_nonzero(lower))


def gather_notes(step: BoundStep, done: Sequence[TileDone], *, last: bool) -> FrameNotes:
    """Join what the tiles of one stage said, each sentence once, in the order of the tiles.

    Args:
        last: the stage is the last of its step, so that its classes count.
    """
    name = step.spec.name
    notes = dict.fromkeys(f"{name}: {text}" for tile in done for text in tile.notes)
    held = sum(tile.held for tile in done)
    if held:
        told = f"{name}: {held} pixels stay not finite, as the nearest sample of the source is"
        notes[told] = None
    guarded = sum(tile.guarded for tile in done)
    if not last or not guarded or step.spec.provenance < Provenance.INFERRED:
        return FrameNotes(tuple(notes))
    return FrameNotes(tuple(notes), guarded / sum(tile.box.area for tile in done))
