"""Where a repair happens: the hole of one defect, and the clean rim around it.

Everything here looks at whole frames, so that a place is the same whichever tile asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Pixels

RING = 5
"""Width of the rim that candidates are judged by, px."""
WIDEST = 12
"""The same where too little of that is clean."""
_FEWEST = 12

Mask = NDArray[np.bool_]
Places = NDArray[np.int32]
Deviations = Callable[[Pixels], Pixels]
"""Gives the deviation of the noise at every sample of `(..., channel)` pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One defect, where it lies and by what its repair is judged.

    Attributes:
        hole: box of the pixels that may be replaced, px of the full frame.
        y, x: those pixels, px of the full frame, in the order of the rows.
        rim_y, rim_x: clean pixels around the hole; none where there are too few.
        sigma: deviation of the noise `(channel,)` at the level of the rim, above 0.
        contrast: what the rim would be off by if it were filled with its own mean, in deviations
            that two clean frames would leave.
    """

    hole: Box
    y: Places
    x: Places
    rim_y: Places
    rim_x: Places
    sigma: NDArray[np.float64]
    contrast: float

    @property
    def center(self) -> tuple[float, float]:
        """Return the middle `(x, y)` of the hole, px of the full frame."""
        return 0.5 * (self.hole.x0 + self.hole.x1 - 1), 0.5 * (self.hole.y0 + self.hole.y1 - 1)


def make_place(
    mask: Mask,
    corner: tuple[int, int],
    *,
    picture: Pixels,
    dirty: Mask,
    sigma: Deviations,
) -> Place:
    """Lay the rim around a hole.

    Args:
        mask: `(h, w)`, the hole; at least one pixel.
        corner: `(x, y)` px of the frame at which `mask` begins.
        picture: the whole frame `(height, width, channel)`, in the working encoding.
        dirty: the whole frame, True where any defect may be: no rim lies there.
        sigma: deviation of the noise against the signal.
    """
    y, x = np.nonzero(mask)
    y, x = y + corner[1], x + corner[0]
    hole = Box(int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
    frame = Box.of_size(dirty.shape[1], dirty.shape[0])
    for reach in (RING, WIDEST):
        box = hole.grown(reach).intersect(frame)
        own = np.zeros((box.height, box.width), np.uint8)
        own[y - box.y0, x - box.x0] = 1
        rim = (grown(own, reach) > 0) & (grown(own, 1) == 0) & ~dirty[box.within(frame)]
        if np.count_nonzero(rim) >= _FEWEST:
            break
    else:
        rim = np.zeros_like(own, np.bool_)
    rim_y, rim_x = (i + start for i, start in zip(np.nonzero(rim), (box.y0, box.x0), strict=True))
    around = picture[rim_y, rim_x] if rim_y.size else picture[y, x]
    level = np.median(around, axis=0, keepdims=True).astype(np.float32)
    deviation = sigma(level)[0].astype(np.float64)
    spread = (around.astype(np.float64) - around.mean(axis=0, dtype=np.float64)) / deviation
    return Place(
        hole=hole,
        y=y.astype(np.int32),
        x=x.astype(np.int32),
        rim_y=rim_y.astype(np.int32),
        rim_x=rim_x.astype(np.int32),
        sigma=deviation,
        contrast=float(np.sqrt(np.mean(spread**2) / 2.0)),
    )


def grown(mask: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Grow by `by` px in every direction, as a disk does; nothing comes in from outside."""
    import cv2

    cv2.setNumThreads(1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(
        cv2.dilate(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8
    )
