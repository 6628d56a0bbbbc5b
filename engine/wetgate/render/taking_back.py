"""Take rejected fixes back, behind the repairing steps and before any other.

A verdict on one fix must not move another. Where scratches are taken off before dirt is looked
for, a scratch that somebody rejects would stand in the picture again, and dirt would find and
repair otherwise around it. So a repairing step makes its rejected fixes like all others, and the
repairing steps right behind it go on from there: each sees what it saw before the verdict. Where
such a block of steps ends, the pixels whose last fix is rejected get what the block began with:
the scan's bits where it is the first. Those that a later fix made stay its own. This is what
`wetgate revert` does to a file that is written already. Steps of another kind see the picture
with the rejected fixes taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wetgate.operators.base import Pixels
from wetgate.render.bound import BoundStep
from wetgate.render.fixing import FrameFixes, Index, joined
from wetgate.render.step_input import StepInput
from wetgate.render.step_output import Stepped
from wetgate.render.store import Plane, row_bands


def repair_blocks(steps: Sequence[BoundStep]) -> dict[int, int]:
    """Return the index of the last step of each block of repairing steps, and that of its first.

    A step between two that repair belongs to them when it does nothing: strength 0, same size.
    """
    blocks: dict[int, int] = {}
    first: int | None = None
    last = 0
    for index, step in enumerate(steps):
        if step.repairs:
            first = index if first is None else first
            last = index
        elif first is not None and not (step.strength == 0 and step.scale == 1):
            blocks[last] = first
            first = None
    if first is not None:
        blocks[last] = first
    return blocks


def take_back(stepped: Stepped, before: StepInput, *, first: bool) -> Stepped:
    """Return a frame behind a block of repairing steps without its rejected fixes.

    Args:
        before: what the first step of the block started from.
        first: that is the source itself.
    """
    fixes = stepped.fixes
    if fixes is None or stepped.color is None:
        return stepped
    gone = fixes.of_rejected()
    if not gone.any():
        return stepped
    at = fixes.pixels.at[gone]
    kept = _uncovered(fixes, gone, before.fixes)
    if first and not len(kept.pixels.at):
        # Repairing steps change what is on record alone, so that nothing is changed any more.
        return Stepped(None, _put_marks(stepped, before, at), kept)
    # What a step wrote is nobody else's; a view of a plane that is kept is read-only.
    color = stepped.color if stepped.color.flags.writeable else stepped.color.copy()
    _put_rows(color, before.color, at)
    return Stepped(color, _put_marks(stepped, before, at), kept)


def _uncovered(
    fixes: FrameFixes, gone: np.ndarray[tuple[int], np.dtype[np.bool_]], before: FrameFixes | None
) -> FrameFixes:
    """Return the account without some pixels; what an earlier block had made there shows again."""
    parts = [fixes.pixels.chosen(~gone)]
    if before is not None:
        beneath = before.pixels
        parts.append(beneath.chosen(np.isin(beneath.at, fixes.pixels.at[gone])))
    return replace(fixes, pixels=joined(parts))


def _put_rows(color: Pixels, source: Plane, at: Index) -> None:
    """Put the pixels of a plane at flat indices into a frame; other rows of it are not read."""
    width = color.shape[1]
    y, x = np.divmod(at, width)
    for band in row_bands(color.shape):
        here = (y >= band.start) & (y < band.stop)
        if here.any():
            rows = source.rows(band.start, band.stop)
            color[y[here], x[here]] = rows[y[here] - band.start, x[here]]


def _put_marks(
    stepped: Stepped, before: StepInput, at: Index
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None:
    if stepped.touched is None:
        return None
    touched = stepped.touched.copy()
    touched.reshape(-1)[at] = 0 if before.touched is None else before.touched.reshape(-1)[at]
    return touched
