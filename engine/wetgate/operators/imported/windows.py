"""Run a network that looks at everything it is given, in windows of one size.

The windows lie on a grid that begins at (0, 0) of the full frame, overlap by a quarter and fade
into each other, so a pixel is made of the same windows whatever tile it was asked for in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.backends import Session
from wetgate.model.box import Box

Planes = NDArray[np.float32]


def apply_in_windows(
    session: Session, planes: Planes, *, region: Box, tile: Box, window: int
) -> Planes:
    """Return the network's answer for the tile.

    Args:
        planes: float32 `(c, h, w)` covering `region`, which has a halo of `window` px.
        tile: what to return, in px of the full frame.

    Returns:
        float32 `(c', tile height * scale, tile width * scale)`.
    """
    scale, channels = session.card.scale, len(session.card.outputs)
    stride = window - window // 4
    fade = _fade(window, stride, scale)
    size = tile.height * scale, tile.width * scale
    total = np.zeros((channels, *size), np.float32)
    weight = np.zeros(size, np.float32)
    for y in _starts(tile.y0, tile.y1, window, stride):
        for x in _starts(tile.x0, tile.x1, window, stride):
            top, left = y - region.y0, x - region.x0
            part = planes[None, :, top : top + window, left : left + window]
            made = session.run(np.ascontiguousarray(part))[0]
            down = _overlap(y, tile.y0, tile.y1, window)
            across = _overlap(x, tile.x0, tile.x1, window)
            inside = tuple(slice(a * scale, b * scale) for a, b in (down[0], across[0]))
            target = tuple(slice(a * scale, b * scale) for a, b in (down[1], across[1]))
            if scale == 1:
                # Fade the change, so that no change stays none.
                made = made - part[0]
            share = fade[inside[0], None] * fade[None, inside[1]]
            total[(slice(None), *target)] += made[(slice(None), *inside)] * share
            weight[target] += share
    total /= weight
    if scale == 1:
        rows, columns = tile.within(region)
        total += planes[:, rows, columns]
    return total


def _starts(low: int, high: int, window: int, stride: int) -> range:
    """Return where the windows begin that touch the px `low` to `high`, on the frame's grid."""
    first = -(-(low - window + 1) // stride) * stride
    return range(first, high, stride)


def _overlap(
    start: int, low: int, high: int, window: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the common px of a window and the tile, counted from either's beginning."""
    a, b = max(start, low), min(start + window, high)
    return (a - start, b - start), (a - low, b - low)


def _fade(window: int, stride: int, scale: int) -> Planes:
    """Return the weight of a window's px along an axis: 1, falling towards both ends."""
    overlap = (window - stride) * scale
    place = np.arange(window * scale) + 0.5
    rising = np.minimum(place, place[::-1]) / overlap
    fade: Planes = np.minimum(rising, 1.0).astype(np.float32)
    return fade
