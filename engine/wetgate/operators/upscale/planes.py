"""What the upscale networks see: the picture with its slow luma taken out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

DETAIL_REACH = 3
DETAIL_NAMES = ("detail.r", "detail.g", "detail.b")


def detail(small: Pixels) -> Pixels:
    """Subtract from every channel the mean over 7 x 7 px of the mean of the channels.

    A network that sees only this gives the same correction at any exposure: one stop is an offset
    in a log encoding, and offsets are gone. So highlights of 100 and shadows below 0 look to it
    like the mid-tones it was trained on.

    Args:
        small: `(height, width, 3)`, working encoding, any range. Looks at `DETAIL_REACH` px around;
            beyond the edges the edge pixel goes on.

    Returns:
        the same shape.
    """
    height, width, _ = small.shape
    mean = (small[..., 0] + small[..., 1] + small[..., 2]) * np.float32(1 / 3)
    wide = np.pad(mean, DETAIL_REACH, mode="edge")
    size = 2 * DETAIL_REACH + 1
    # Added tap by tap, not by running sums: those would depend on where the picture is cut.
    rows = wide[:height].copy()
    for i in range(1, size):
        rows += wide[i : i + height]
    slow = rows[:, :width].copy()
    for j in range(1, size):
        slow += rows[:, j : j + width]
    slow *= np.float32(1 / size**2)
    return np.asarray(small - slow[..., None])
