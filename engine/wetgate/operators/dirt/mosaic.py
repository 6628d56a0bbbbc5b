"""Lay a hole from several frames where one alone does not serve all of it.

Across an edge of motion, or where another thing passes behind, each part of a hole is shown by
another frame or at another displacement. Every pixel is taken from the candidate that the rim near
it and the other frames speak for, in patches, so that one real picture is delivered at each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.candidates import MOST_LEFT, Candidate, judged_rim
from wetgate.operators.dirt.places import Place

NOBODY = -1
"""Stands for no candidate."""
_FAR_OFF = 25.0  # mean squares beyond are simply wrong
_PATCH = 5
_SPREAD = 1.5  # by how much frames that show the same may be apart beyond the noise
_DOUBTFUL = 9.0  # mean square of the rim nearby, beyond which a candidate needs another's word
_VOTES = 2.0
_ALONE = 0.5
_FAR, _BETWEEN = 0.05, 0.15
_MAIN = 0.4  # in favor of the candidate that is best over the whole hole
_PASSES = 1.5  # px a frame by which another thing moves differently
_BEFORE, _SEEN_BY = 0.5, 1.5
_TOGETHER = 1.5
_ROUNDS = 4
_AT_ONCE = 1024
"""Pixels of a hole that are laid against its whole rim at a time: 4 MB an array of float64."""

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosaic:
    """What is laid in a hole.

    Attributes:
        chosen: `(pixels of the hole,)`, which of the candidates, `NOBODY` where none shows it.
        expected: of each pixel, mean square in units that two clean frames leave, as the rim near
            it and the other frames let expect.
        agreeing: frames that show the same at a pixel, its own among them; mean over the hole.
    """

    chosen: NDArray[np.intp]
    expected: NDArray[np.float64]
    agreeing: float


def lay(place: Place, offered: Sequence[tuple[int, Candidate]]) -> Mosaic:
    """Choose for every pixel of a hole which candidate shows it.

    The cost of a candidate at a pixel is the root of what it leaves of the rim, weighted by
    distance ** -4, and `2 / (0.5 + votes)`, a vote being each other frame that shows the same in
    a patch of 5 x 5 px there. Costs are averaged over such patches, and parts that differ from
    what surrounds them pay for it. What moves otherwise than most of the rim, and is seen to by
    other frames, passes before it: both agree with themselves, and the one behind is hidden.

    Args:
        offered: candidates and the frames they are of; a frame may have several.
    """
    shown = np.stack([~c.behind for _, c in offered])
    plane = _Plane(place)
    near = _rim_errors(place, [c for _, c in offered])
    votes = _votes(place, plane, offered, shown)
    cost = np.sqrt(near) + _VOTES / (_ALONE + votes)
    for i, (step, candidate) in enumerate(offered):
        cost[i] += _FAR * abs(step) + (0.0 if candidate.way.is_whole else _BETWEEN)
    worst = np.sqrt(_FAR_OFF) + _VOTES / _ALONE
    cost = np.where(shown, cost, worst)
    cost = np.stack([plane.mean(c) for c in cost])
    main = int(np.argmin(cost.mean(axis=1)))
    cost[main] -= _MAIN
    for i, (step, candidate) in enumerate(offered):
        if _apart(offered[main], (step, candidate)) > _PASSES:
            cost[i] -= _BEFORE * (votes[i] >= _SEEN_BY)
    cost = np.where(shown, cost, np.inf)
    chosen = np.argmin(cost, axis=0)
    for _ in range(_ROUNDS):
        around = np.stack([plane.mean((chosen == i).astype(np.float64)) for i in range(len(cost))])
        moved = np.argmin(cost - _TOGETHER * around, axis=0)
        if np.array_equal(moved, chosen):
            break
        chosen = moved
    rows = np.arange(chosen.size)
    agreed = votes[chosen, rows]
    expected = np.maximum(near[chosen, rows], 1.0)
    # One that does not fit the rim near it, with no other frame to speak for it, shows nothing.
    believed = (expected <= _DOUBTFUL) | (agreed >= _ALONE)
    chosen = np.where(shown.any(axis=0) & believed, chosen, NOBODY)
    return Mosaic(chosen=chosen, expected=expected, agreeing=float(1.0 + agreed.mean()))


def _apart(one: tuple[int, Candidate], other: tuple[int, Candidate]) -> float:
    """Return by how many px a frame two candidates move differently."""
    (a, first), (b, second) = one, other
    return max(abs(p / a - q / b) for p, q in zip(first.way.shift, second.way.shift, strict=True))


class _Plane:
    """Means over patches of a hole, of whatever shape it is."""

    def __init__(self, place: Place) -> None:
        hole = place.hole
        self._shape = hole.height, hole.width
        self._at = place.y - hole.y0, place.x - hole.x0
        self._count = self._sum(np.ones(place.y.size))

    def mean(self, values: _Float) -> _Float:
        """Return the mean of `(pixels of the hole,)` over the patch around each."""
        return self._sum(values) / self._count

    def mean_where(self, values: _Float, where: NDArray[np.bool_]) -> _Float:
        """Return the same over the pixels of a mask; NaN where a patch has none."""
        count = self._sum(where.astype(np.float64))
        total = self._sum(np.where(where, values, 0.0))
        return np.where(count > 0.5, total / np.maximum(count, 1.0), np.nan)

    def _sum(self, values: _Float) -> _Float:
        import cv2

        grid = np.zeros(self._shape)
        grid[self._at] = values
        summed = cv2.boxFilter(
            grid, -1, (_PATCH, _PATCH), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        return np.asarray(summed[self._at], np.float64)


def _rim_errors(place: Place, candidates: Sequence[Candidate]) -> _Float:
    """Return `(candidate, pixel)` mean squares that the rim near each pixel is left with."""
    rim_y, rim_x = judged_rim(place)
    left = np.stack([c.left for c in candidates]).astype(np.float64)
    known = np.isfinite(left)
    bounded = np.where(known, np.minimum(left, _FAR_OFF), 0.0)
    counts = known.astype(np.float64)
    errors = np.empty((len(candidates), place.y.size))
    for start in range(0, place.y.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        apart = (place.y[part, None] - rim_y) ** 2 + (place.x[part, None] - rim_x) ** 2
        weight = 1.0 / (apart.astype(np.float64) + 4.0) ** 2
        # No BLAS here: its last bits depend on how many threads it takes.
        total = np.einsum("cr,pr->cp", bounded, weight)
        counted = np.einsum("cr,pr->cp", counts, weight)
        # Where a neighbor shows little of the rim nearby, that little is not worth much.
        lacking = weight.sum(axis=1) - counted
        errors[:, part] = (total + lacking * np.sqrt(_FAR_OFF)) / weight.sum(axis=1)
    return errors


def _votes(
    place: Place,
    plane: _Plane,
    offered: Sequence[tuple[int, Candidate]],
    shown: NDArray[np.bool_],
) -> _Float:
    """Return `(candidate, pixel)` how many other frames show the same, each 0-1."""
    unit = place.sigma * np.sqrt(2.0)
    pictures = [c.values / unit for _, c in offered]
    steps = sorted({step for step, _ in offered})
    votes = np.zeros((len(offered), len(steps), place.y.size))
    for i, (a, _) in enumerate(offered):
        for j in range(i + 1, len(offered)):
            b = offered[j][0]
            if a == b:
                continue
            square = np.mean(np.minimum((pictures[i] - pictures[j]) ** 2, MOST_LEFT), axis=1)
            apart = plane.mean_where(np.minimum(square, _FAR_OFF), shown[i] & shown[j])
            vote = np.exp(-np.maximum(apart - 1.0, 0.0) / _SPREAD)
            vote = np.where(np.isfinite(vote), vote, 0.0)
            for one, other in ((i, steps.index(b)), (j, steps.index(a))):
                np.maximum(votes[one, other], vote, out=votes[one, other])
    return np.asarray(votes.sum(axis=1))
