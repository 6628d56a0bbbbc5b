"""What is dirt, what is clean and what nobody can tell, on a frame whose damage is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate import DamagedFrame

SEEN_DEVIATIONS = 3.0
"""A blob that changes no pixel by more is lost in the grain: nobody is asked to find it."""
_LEAST_CHANGE = 1.0
_LEAST_ALPHA = 0.05
_RIM = 3

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """The dirt of one frame, `(height, width)` each.

    Attributes:
        touched: any of its codes was changed by dirt.
        core: dirt covers at least half as much as the most that it covers within 2 px, hidden
            blobs and all.
        dirt: of the core what shows: changed by more than a deviation of the grain, in a blob
            that somewhere changes a pixel by more than three.
        ignored: neither dirt nor clean: soft rims, hidden blobs, hidden parts of others.
        objects: int32 numbers of the visible blobs of `core` from 1, else 0 (`connected`).
        count: how many objects. hidden: how many blobs are hidden altogether.
        change: what dirt changed in deviations of the grain, the largest over the channels.
    """

    touched: Mask
    core: Mask
    dirt: Mask
    ignored: Mask
    objects: NDArray[np.int32]
    count: int
    hidden: int
    change: NDArray[np.float32]

    @property
    def told(self) -> Mask:
        """Return what a repair is told: every pixel touched within 3 px of a blob that shows."""
        return self.touched & grown(self.objects > 0, _RIM)


def masks_of(frame: DamagedFrame) -> Masks:
    """Return the masks of a simulated frame with grain and dirt."""
    import cv2

    truth = frame.truth
    change = in_deviations(frame, truth.undirtied, frame.pixels)
    alpha = truth.dirt_coverage
    most = cv2.dilate(alpha, np.ones((5, 5), np.uint8))
    core = truth.matte & (alpha >= 0.5 * most) & (alpha > _LEAST_ALPHA)
    number, labels = connected(core)
    top = np.zeros(number + 1, np.float32)
    np.maximum.at(top, labels.ravel(), change.ravel())
    seen = top > SEEN_DEVIATIONS
    seen[0] = False
    renumber = np.where(seen, np.cumsum(seen), 0).astype(np.int32)
    objects = renumber[labels]
    dirt = (objects > 0) & (change > _LEAST_CHANGE)
    return Masks(
        touched=truth.matte,
        core=core,
        dirt=dirt,
        ignored=truth.matte & ~dirt,
        objects=objects,
        count=int(seen.sum()),
        hidden=int(number - seen.sum()),
        change=change,
    )


def in_deviations(
    frame: DamagedFrame, before: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how far two pictures are apart in deviations of the frame's grain, `(h, w)`.

    The largest over the channels.

    Raises:
        ValueError: for a frame without grain.
    """
    sigma = frame.truth.grain_sigma
    if sigma is None:
        raise ValueError("the frame needs grain to measure changes by")
    result: NDArray[np.float32] = (np.abs(after - before) / sigma).max(axis=-1)
    return result


def connected(mask: Mask) -> tuple[int, NDArray[np.int32]]:
    """Return how many parts a mask has, and their numbers from 1.

    Parts within 2 px are one, diagonals too: a thin hair that covers less than half of a pixel
    here and there is one hair.
    """
    import cv2

    joined = grown(mask, 1).astype(np.uint8)
    number, labels = cv2.connectedComponents(joined, connectivity=8)
    return number - 1, np.where(mask, np.asarray(labels, np.int32), np.int32(0))


def grown(mask: Mask, reach: int) -> Mask:
    """Return a mask with everything within `reach` px, diagonals too."""
    import cv2

    if reach == 0:
        return mask
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8))) > 0
