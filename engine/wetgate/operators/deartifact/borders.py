"""Even out what is left of the jumps at block borders.

Where gradients jump more across a border than in the middle of the blocks around, the jump is
scaled until both agree, and both sides are bent towards each other. Jumps far beyond the error of
coding are edges of the picture and stay.

Source of the jump: Minami, Zakhor, "An optimization approach for removing blocking effects in
transform coding", IEEE CSVT 5(2), 1995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Plane = NDArray[np.float32]

PERIOD = 4
"""Borders are looked for at every corner of a transform of H.264, 8 px blocks among them, px."""
ALONG = 16
"""How far along a border jumps are compared, either way, px."""
HALO = 24
"""What the change of a pixel depends on: bend, jump, and either `ALONG` or the lines around."""
_SAME = (-16, 0, 16)
"""Lines that are borders of one kind: 4, 8 and 16 px blocks need not be told apart."""
_BETWEEN = (-18, -14, -10, -6, -2, 2, 6, 10, 14, 18)
"""Lines that no border's jump reaches."""
_BEND = (0.4, 0.15)
"""Share of a jump that each side takes, from the border outwards."""
_MOST = 4.0
"""Largest jump that counts in the means, in errors of coding."""
_EDGE = (3.0, 7.0)
"""Jumps in errors of coding: up to the first they are taken for the codec's, from the second on
for the picture's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evening:
    """How readily borders are evened.

    Attributes:
        share: 0-1, of the excess jump that is taken.
        start, full: how many times as large as between the borders the mean jump is where that
            begins, and where all of `share` is taken.
    """

    share: float
    start: float
    full: float


def even_borders(plane: _Plane, anchor: tuple[int, int], error: float, evening: Evening) -> _Plane:
    """Return the change of a plane that evens borders out; the same bits whatever the cut.

    Args:
        plane: `(height, width)`. anchor: `(x, y)` of a corner of a block in it.
        error: RMS error of coding.
    """
    across = _across(plane, anchor[0], error, evening)
    down = _across(np.ascontiguousarray(plane.T), anchor[1], error, evening)
    change: _Plane = across + down.T
    return change


def _across(plane: _Plane, start: int, error: float, evening: Evening) -> _Plane:
    """Return the change across borders before columns `start`, `start + PERIOD`, ..."""
    height, width = plane.shape
    lines = np.arange(start % PERIOD, width, PERIOD)
    jumps = _jumps(plane)
    rim = max(_BETWEEN)
    limited = np.pad(
        np.minimum(np.abs(jumps), np.float32(_MOST * error)), ((0, 0), (rim, rim + PERIOD))
    )
    # The lines of the borders, and those in the middle between two of them.
    first = start % PERIOD + rim
    at = _summed_along(limited[:, (first + _SAME[0]) % PERIOD :: PERIOD])
    middle = _summed_along(limited[:, (first + _BETWEEN[0]) % PERIOD :: PERIOD])
    here = _mean_of(at, (first + _SAME[0]) // PERIOD, _SAME, lines.size)
    usual = _mean_of(middle, (first + _BETWEEN[0]) // PERIOD, _BETWEEN, lines.size)
    times = here / np.maximum(usual, np.float32(1e-12))
    sure = np.clip((times - np.float32(evening.start)) / (evening.full - evening.start), 0, 1)
    excess = np.clip(1 - 1 / np.maximum(times, np.float32(1e-12)), 0, 1)
    own = jumps[:, lines]
    low, high = _EDGE[0] * error, _EDGE[1] * error
    codec = np.clip((np.float32(high) - np.abs(own)) / np.float32(high - low), 0, 1)
    taken = (np.float32(evening.share) * sure * excess * codec * own).astype(np.float32)
    reach = len(_BEND)
    change = np.zeros((height, width + 2 * reach), np.float32)
    for step, share in enumerate(_BEND):
        change[:, lines + reach - 1 - step] += np.float32(share) * taken
        change[:, lines + reach + step] -= np.float32(share) * taken
    return change[:, reach : reach + width]


def _jumps(plane: _Plane) -> _Plane:
    """Return how far the step before each pixel is from the mean of the steps on both sides."""
    jumps = np.zeros_like(plane)
    steps = plane[:, 1:] - plane[:, :-1]
    jumps[:, 2:-1] = steps[:, 1:-1] - np.float32(0.5) * (steps[:, :-2] + steps[:, 2:])
    return jumps


def _summed_along(values: _Plane) -> _Plane:
    """Sum over `ALONG` rows either way; in the same order everywhere."""
    height = values.shape[0]
    wide = np.pad(values, ((ALONG, ALONG), (0, 0)))
    total = wide[:height].copy()
    for k in range(1, 2 * ALONG + 1):
        total += wide[k : k + height]
    return total


def _mean_of(sums: _Plane, first: int, places: tuple[int, ...], count: int) -> _Plane:
    """Return the mean jump over some lines around each border, from sums along the lines.

    Args:
        first: which column of `sums` belongs to the first of `places`, for the first border.
    """
    total: _Plane = np.zeros((sums.shape[0], count), np.float32)
    for place in places:
        column = first + (place - places[0]) // PERIOD
        total += sums[:, column : column + count]
    return total * np.float32(1.0 / (len(places) * (2 * ALONG + 1)))
