"""What one neighboring frame offers for the hole of one defect.

Motion is taken from the rim, never from within the dirt: the flow of the rim, each side of an edge
of motion and no motion at all compete by what they leave of the rim. The best whole displacement is
kept, which borrows the neighbor's very samples; a fractional one only where the rim says that it
is worth the softer grain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.model.box import Box
from wetgate.operators.base import Pixels
from wetgate.operators.denoise.flow import FLOW_UNITS_PER_PIXEL, Flow
from wetgate.operators.dirt.places import Place, Places
from wetgate.operators.dirt.ways import Way, power, read, rounded

REACH = 64
"""Largest displacement along each axis, px."""
SEARCH = 3
EDGE = 1.5
"""Px between the displacements to both sides of an edge of motion."""
_MOST_RIM = 480
_LEAST = 0.3  # share of the rim that must be there and clean in the neighbor
_BOUND = 400.0  # of a squared change: what is 20 deviations off is simply wrong
MOST_LEFT = 0.5 * _BOUND
"""The same where two clean frames leave 1."""
_ROUGH = 3.0  # mean square left of a rim; noise leaves 2
_PAYS = 0.6
_FLAT = 0.35  # offsets below this share of the noise's deviation are invisible
_SURE = 3.0
_AFFINE_FROM = 32
_STEPS = 3
_COARSE = 4.0  # samples of grain that tell as much as one that is independent
DIRTY, NEAR_DIRT = 1, 2

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Pixels of one neighbor for one hole.

    Attributes:
        offset: `(channel,)`, added to what is borrowed; zero where the rims agree.
        error: what is left of the rim, in deviations that two clean frames would leave: 1 is
            perfect.
        values: `(pixels of the hole, channel)` float32, offset included.
        behind: `(pixels of the hole,)`, those that may be dirty there as well or lie outside.
        left: of each pixel of `judged_rim`, mean square over channels in that unit squared, at
            most `MOST_LEFT`; NaN where the neighbor does not show it.
    """

    way: Way
    offset: NDArray[np.float32]
    error: float
    values: NDArray[np.float32]
    behind: NDArray[np.bool_]
    left: NDArray[np.float32]


def find_candidate(
    place: Place, here: Pixels, there: Pixels, dirty: NDArray[np.uint8], flow: Flow | None
) -> Candidate | None:
    """Find what a neighbor shows at the place of a hole.

    Args:
        here, there: whole frames `(height, width, channel)` in the working encoding; `here` is
            looked at in the rim alone.
        dirty: of the neighbor: `DIRTY` where it may be dirty itself, `NEAR_DIRT` within the reach
            of the taps of such a pixel, 0 elsewhere.
        flow: from `here` to `there`; None for no motion.

    Returns:
        None where there is no rim, or the neighbor's frame does not hold the place.
    """
    y, x = judged_rim(place)
    if y.size == 0:
        return None
    search = Search(place, here[y, x] / place.sigma, y, x, there, dirty)
    whole = search.best_whole(starts_of(flow, y, x))
    return None if whole is None else search.finish(whole)


def judged_rim(place: Place) -> tuple[Places, Places]:
    """Return the pixels `(y, x)` of the rim by which candidates are judged."""
    y, x = place.rim_y, place.rim_x
    if y.size > _MOST_RIM:
        pick = np.linspace(0, y.size - 1, _MOST_RIM).round().astype(np.intp)
        y, x = y[pick], x[pick]
    return y, x


def flow_at(flow: Flow, y: Places, x: Places) -> _Float:
    """Return the displacements `(len(y), 2)` px, x then y, at pixels of the full frame."""
    rows, columns = flow.vectors.shape[:2]
    at = np.minimum(y // flow.scale, rows - 1), np.minimum(x // flow.scale, columns - 1)
    return np.asarray(flow.vectors[at] / float(FLOW_UNITS_PER_PIXEL))


def _sides_of(moved: _Float) -> NDArray[np.bool_] | None:
    """Tell which displacements are on one side of an edge of motion; None without an edge."""
    ordered = np.sort(moved, axis=0)
    low, high = ordered[len(moved) // 5], ordered[(4 * len(moved)) // 5]
    axis = int(np.argmax(high - low))
    if high[axis] - low[axis] <= EDGE:
        return None
    upper = moved[:, axis] >= 0.5 * (low[axis] + high[axis])
    return upper if upper.any() and not upper.all() else None


def starts_of(flow: Flow | None, y: Places, x: Places) -> list[tuple[int, int]]:
    """Return whole displacements to search around: the rim's flow, its two sides, none."""
    if flow is None:
        return [(0, 0)]
    moved = flow_at(flow, y, x)
    found = [np.sort(moved, axis=0)[len(moved) // 2]]
    upper = _sides_of(moved)
    if upper is not None:
        found += [np.median(moved[side], axis=0) for side in (~upper, upper)]
    whole = [(int(np.rint(v[0])), int(np.rint(v[1]))) for v in found]
    return list(dict.fromkeys([*whole, (0, 0)]))


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a way leaves of the rim: mean square in units of the noise, and the offset."""

    way: Way
    square: float
    offset: NDArray[np.float32]


class Search:
    """The rim of one place against one neighbor, in deviations of the noise."""

    def __init__(
        self, place: Place, own: _Float, y: Places, x: Places, there: Pixels,
        dirty: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        self.place, self.own, self.y, self.x = place, own, y, x
        self.there, self.dirty = there, dirty
        self.frame = Box.of_size(dirty.shape[1], dirty.shape[0])

    def best_whole(self, starts: list[tuple[int, int]]) -> tuple[int, int] | None:
        """Return the whole displacement that leaves least of the rim; None where none fits."""
        hole, frame = self.place.hole, self.frame
        # Within reach, and so that some of the hole stays in the frame.
        low_x, high_x = max(1 - hole.x1, -REACH), min(frame.x1 - 1 - hole.x0, REACH)
        low_y, high_y = max(1 - hole.y1, -REACH), min(frame.y1 - 1 - hole.y0, REACH)
        tried = {
            (dx, dy): None
            for sx, sy in starts
            for dy in range(max(sy - SEARCH, low_y), min(sy + SEARCH, high_y) + 1)
            for dx in range(max(sx - SEARCH, low_x), min(sx + SEARCH, high_x) + 1)
        }
        if not tried:
            return None
        shifts = list(tried)
        errors = _native.rim_errors(
            self.there, self.dirty, self.y, self.x, self.own, self.place.sigma,
            np.array(shifts, np.int32), _LEAST, _BOUND,
        )  # fmt: skip
        ranked = [
            (float(e), abs(s[0]) + abs(s[1]), *s) for e, s in zip(errors, shifts, strict=True)
        ]
        best = min(ranked)
        if not np.isfinite(best[0]):
            return None
        # On flat ground any displacement does: one that is expected beats one that noise picks.
        noise = 5.0 * np.sqrt(2.0 / max(self.own.size / _COARSE, 1.0))
        within = [r for r in ranked if r[0] <= best[0] + noise and (r[2], r[3]) in starts]
        _, _, dx, dy = min(within, default=best)
        return dx, dy

    def finish(self, whole: tuple[int, int]) -> Candidate | None:
        """Refine a whole displacement and read the hole."""
        chosen = self._measure(
            Way(shift=(float(whole[0]), float(whole[1])), center=self.place.center)
        )
        if chosen.square > _ROUGH:
            way = self._refined(chosen.way)
            if way is not None and not way.is_whole:
                between = self._measure(way)
                # What interpolation takes from the noise must not pass for a better match.
                left = between.square - 1.0 - power(way.shift)
                if left < _PAYS * (chosen.square - 2.0) - 0.1:
                    chosen = between
        if not np.isfinite(chosen.square):
            return None
        values = read(self.there, self.frame, chosen.way, self.place.y, self.place.x)
        marks = self.dirty[self._places(chosen.way, self.place.y, self.place.x)]
        hidden = marks == DIRTY if chosen.way.is_whole else marks > 0
        dx, dy = chosen.way.at(self.place.y, self.place.x)
        to_x, to_y = self.place.x + dx, self.place.y + dy
        # A quarter of a pixel beyond the last one is still that one, read with its neighbors.
        hidden |= (to_x < -0.25) | (to_x > self.frame.x1 - 0.75)
        hidden |= (to_y < -0.25) | (to_y > self.frame.y1 - 0.75)
        return Candidate(
            way=chosen.way,
            offset=chosen.offset,
            error=float(np.sqrt(chosen.square / 2.0)),
            values=values + chosen.offset if chosen.offset.any() else values,
            behind=hidden,
            left=self.left(chosen.way, chosen.offset),
        )

    def left(self, way: Way, offset: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what a way leaves of each pixel of the rim, as in `Candidate.left`."""
        clean = self._is_clean(way)
        there = read(self.there, self.frame, way, self.y, self.x)
        change = self.own - (there + offset) / self.place.sigma
        square = 0.5 * np.mean(np.minimum(change**2, _BOUND), axis=1)
        return np.where(clean, square, np.nan).astype(np.float32)

    def _is_clean(self, way: Way) -> NDArray[np.bool_]:
        return np.asarray(self.dirty[self._places(way, self.y, self.x)] != DIRTY)

    def _places(self, way: Way, y: Places, x: Places) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        dx, dy = way.at(y, x)
        return (
            np.clip(np.rint(y + dy).astype(np.intp), 0, self.frame.y1 - 1),
            np.clip(np.rint(x + dx).astype(np.intp), 0, self.frame.x1 - 1),
        )

    def _measure(self, way: Way) -> _Measured:
        none = np.zeros(len(self.place.sigma), np.float32)
        clean = self._is_clean(way)
        if np.count_nonzero(clean) < _LEAST * clean.size:
            return _Measured(way, float("inf"), none)
        values = read(self.there, self.frame, way, self.y[clean], self.x[clean])
        change = self.own[clean] - values / self.place.sigma
        middle = np.median(change, axis=0)
        far = np.abs(change - middle)
        spread = np.maximum(1.4826 * np.median(far, axis=0), 1.0)
        inside = far <= 3.0 * spread
        count = np.maximum(np.count_nonzero(inside, axis=0), 1)
        mean = (change * inside).sum(axis=0) / count
        # Grain is coarser than a pixel: neighbors tell less than their number.
        doubt = _SURE * spread / np.sqrt(np.maximum(count / _COARSE, 1.0))
        offset = np.where(np.abs(mean) > np.maximum(doubt, _FLAT), mean, 0.0)
        square = float(np.mean(np.minimum((change - offset) ** 2, _BOUND)))
        return _Measured(way, square, (offset * self.place.sigma).astype(np.float32))

    def _refined(self, start: Way) -> Way | None:
        """Return the fractional way of the rim by Gauss-Newton steps; None where they stray.

        Source: Lucas, Kanade, "An iterative image registration technique", IJCAI 1981.
        """
        hole, sigma = self.place.hole, self.place.sigma
        px, py = self.x - start.center[0], self.y - start.center[1]
        row, column = self._places(start, self.y, self.x)
        up, down = np.maximum(row - 1, 0), np.minimum(row + 1, self.frame.y1 - 1)
        left, right = np.maximum(column - 1, 0), np.minimum(column + 1, self.frame.x1 - 1)
        gx = 0.5 * (self.there[row, right] - self.there[row, left]) / sigma
        gy = 0.5 * (self.there[down, column] - self.there[up, column]) / sigma
        columns = [gx, gy]
        if max(hole.width, hole.height) >= _AFFINE_FROM and self.x.size >= 60:
            columns += [gx * px[:, None], gx * py[:, None], gy * px[:, None], gy * py[:, None]]
        system = np.stack([c.ravel() for c in columns], axis=1)
        # Where the rim says little the way stays as it is.
        held = np.diag(np.array([4.0, 4.0, 400.0, 400.0, 400.0, 400.0])[: len(columns)])
        way, total = start, np.zeros(len(columns))
        for _ in range(_STEPS):
            change = self.own - read(self.there, self.frame, way, self.y, self.x) / sigma
            change = change - np.median(change, axis=0)
            bound = 3.0 * max(1.4826 * float(np.median(np.abs(change))), 1.0)
            weight = np.minimum(1.0, bound / np.maximum(np.abs(change), 1e-9)).ravel()
            weighted = system * weight[:, None]
            step = np.linalg.solve(weighted.T @ system + held, weighted.T @ change.ravel())
            total = total + np.clip(step, -0.7, 0.7)
            slope = total[2:] if total.size > 2 else np.zeros(4)
            if np.abs(total[:2]).max() > 1.5 or np.abs(slope).max() > 0.1:
                return None
            way = rounded(start, total[:2], slope)
            if np.abs(step[:2]).max() < 0.02:
                break
        return way
