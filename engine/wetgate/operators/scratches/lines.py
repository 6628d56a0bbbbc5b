"""How much each place of a frame looks like a thin upright line, strip by strip.

A strip is a few rows high: short enough for a line of three degrees to stay within a pixel, tall
enough to average grain. A line is what is brighter (or darker) than the picture on *both* sides
of it, by more than those sides differ from each other: a step, such as the border of a letterbox
or of a wall, has one side only and is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels

CORES = ((1, 2, 1), (1, 3, 3), (3, 4, 4), (5, 7, 5))
"""Widths of the core, distances of the middle of a side from it, widths of the sides; px."""
LEVELS_PER_DEVIATION = 16
"""Steps of the stored evidence: int8, up to 7.9 deviations either way."""
_BLOCK = 32
_LIMIT = 1.5
_LEAST_SHARE = 0.3
_RIM = 6
_SIDES_OVER = 5
_SIDES_FACTOR = 2.0
_SIDES_SLACK = 0.5

Evidence = NDArray[np.int8]
"""`(strip, column)`: deviations of the local scatter, times `LEVELS_PER_DEVIATION`; positive for
bright lines, negative for dark ones."""


@dataclass(frozen=True, slots=True)
class Strips:
    """How a frame is cut into strips: all of `rows` px, the last one may be shorter."""

    height: int
    rows: int

    @staticmethod
    def of(height: int) -> Strips:
        """Return the strips of frames of a height: 8 to 16 rows each."""
        return Strips(height, min(max(round(height / 64), 8), 16))

    @property
    def count(self) -> int:
        """Return how many strips there are."""
        return -(-self.height // self.rows)

    @property
    def middles(self) -> NDArray[np.float64]:
        """Return the middle row of each strip, `(count,)`, px."""
        starts = np.arange(self.count) * self.rows
        ends = np.minimum(starts + self.rows, self.height)
        return np.asarray(0.5 * (starts + ends - 1.0), np.float64)

    def mean(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Average `(height, ...)` over each strip, `(count, ...)`."""
        starts = np.arange(self.count) * self.rows
        sums = np.add.reduceat(rows, starts, axis=0, dtype=np.float32)
        sizes = np.minimum(starts + self.rows, self.height) - starts
        shape = (-1,) + (1,) * (rows.ndim - 1)
        return np.asarray(sums / sizes.astype(np.float32).reshape(shape), np.float32)


def luma_of(pixels: Pixels) -> NDArray[np.float32]:
    """Return the mean of the channels, `(h, w)`; what is not finite becomes 0."""
    mean = pixels.mean(axis=2, dtype=np.float32)
    return np.asarray(np.nan_to_num(mean, nan=0.0, posinf=0.0, neginf=0.0), np.float32)


def evidence_of(luma: NDArray[np.float32], strips: Strips) -> tuple[Evidence, ...]:
    """Return how much each strip of each column looks like part of a line, for each of `CORES`.

    Args:
        luma: `(height, width)`, working encoding.
    """
    import cv2

    cv2.setNumThreads(1)
    return tuple(_evidence(luma, strips, *core) for core in CORES)


def _evidence(
    luma: NDArray[np.float32], strips: Strips, core: int, distance: int, side: int
) -> Evidence:
    import cv2

    middle = cv2.blur(luma, (core, 1), borderType=cv2.BORDER_REFLECT_101)
    around = cv2.blur(luma, (side, 1), borderType=cv2.BORDER_REFLECT_101)
    around = np.pad(around, ((0, 0), (distance, distance)), mode="reflect")
    left = middle - around[:, : -2 * distance]
    right = middle - around[:, 2 * distance :]
    # A few rows with an edge of the picture in them must not outvote all the others.
    limit = _LIMIT * _scatter(left)
    first = strips.mean(np.minimum(np.maximum(left, -limit), limit))
    second = strips.mean(np.minimum(np.maximum(right, -limit), limit))
    line = 0.5 * (first + second)
    scatter = _local_scatter(line)
    over = min(_SIDES_OVER, strips.count)
    one = np.asarray(cv2.blur(first, (1, over), borderType=cv2.BORDER_REPLICATE))
    other = np.asarray(cv2.blur(second, (1, over), borderType=cv2.BORDER_REPLICATE))
    slack = _SIDES_SLACK * scatter
    most = np.maximum(np.minimum(one, other), 0) * _SIDES_FACTOR + slack
    least = np.minimum(np.maximum(one, other), 0) * _SIDES_FACTOR - slack
    deviations = np.minimum(np.maximum(line, least), most) / scatter
    deviations[:, :_RIM] = 0
    deviations[:, -_RIM:] = 0
    levels = np.rint(np.minimum(np.maximum(deviations, -7.9), 7.9) * LEVELS_PER_DEVIATION)
    return np.asarray(levels, np.int8)


def _scatter(values: NDArray[np.float32]) -> np.float32:
    """Return the deviation of values around 0 by their median, zeros left out."""
    seen = np.abs(values[::3, ::2])
    seen = seen[seen > 0]
    return np.float32(1.4826 * np.median(seen) if seen.size else 1.0)


def _local_scatter(strips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the deviation of each strip's columns within about 100 px, by medians of blocks.

    Never below a share of that of the whole frame: in graphics or letterbox bars, where hardly
    anything differs from its neighbors, the least step would stand out.
    """
    width = strips.shape[1]
    blocks = max(1, width // _BLOCK)
    edges = np.linspace(0, width, blocks + 1).round().astype(int)
    size = np.abs(strips)
    local = np.stack(
        [
            np.median(size[:, edges[max(0, b - 1)] : edges[min(blocks, b + 2)]], axis=1)
            for b in range(blocks)
        ],
        axis=1,
    )
    seen = size[size > 0]
    whole = np.float32(np.median(seen) if seen.size else 1.0)
    local = 1.4826 * np.maximum(local, _LEAST_SHARE * whole)
    places = np.minimum(np.arange(width) * blocks // width, blocks - 1)
    return np.asarray(local[:, places], np.float32)
