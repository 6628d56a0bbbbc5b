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

REACH = 64
"""Largest displacement along each axis, px."""
SEARCH = 3
TAPS = 6
"""Of the windowed sinc that reads between pixels."""
_MOST_RIM = 480
_LEAST = 0.3  # share of the rim that must be there and clean in the neighbor
_BOUND = 400.0  # of a squared change: what is 20 deviations off is simply wrong
_ROUGH = 3.0  # mean square left of a rim; noise leaves 2
_PAYS = 0.6
_FLAT = 0.35  # offsets below this share of the noise's deviation are invisible
_SURE = 3.0
_AFFINE_FROM = 32
_STEPS = 3
_GRAIN_OF_SHIFT, _GRAIN_OF_SLOPE = 64.0, 8192.0
DIRTY, NEAR_DIRT = 1, 2

_Float = NDArray[np.float64]
Slope = tuple[float, float, float, float]
_LEVEL: Slope = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where in a neighbor the pixels of a place are found.

    Attributes:
        shift: `(x, y)` px at `center`: out(p) = there(p + shift).
        slope: how the shift changes with px: x by x, x by y, y by x, y by y.
        center: `(x, y)` px of the full frame, about which the slope turns.
    """

    shift: tuple[float, float]
    slope: Slope = _LEVEL
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether it leads from pixels to pixels."""
        return (
            float(self.shift[0]).is_integer()
            and float(self.shift[1]).is_integer()
            and (self.slope == _LEVEL)
        )

    def at(self, y: Places, x: Places) -> tuple[_Float, _Float]:
        """Return the displacements `(x, y)` at pixels of the full frame."""
        px, py = x - self.center[0], y - self.center[1]
        a, b, c, d = self.slope
        return self.shift[0] + a * px + b * py, self.shift[1] + c * px + d * py


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Pixels of one neighbor for one hole.

    Attributes:
        offset: `(channel,)`, added to what is borrowed; zero where the rims agree.
        error: what is left of the rim, in deviations that two clean frames would leave: 1 is
            perfect.
        values: `(pixels of the hole, channel)` float32, offset included.
        behind: `(pixels of the hole,)`, those that may be dirty there as well or lie outside.
    """

    way: Way
    offset: NDArray[np.float32]
    error: float
    values: NDArray[np.float32]
    behind: NDArray[np.bool_]


def read(pixels: Pixels, region: Box, way: Way, y: Places, x: Places) -> NDArray[np.float32]:
    """Read `(len(y), channel)` samples of a neighbor at displaced places.

    Whole displacements give the samples as they are. Between pixels a windowed sinc of `TAPS`
    reads, held within the smallest and largest of the 4 x 4 samples around, so that nothing rings.

    Args:
        pixels: the neighbor over `region`.
        y, x: px of the full frame.

    Source: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorology 18 (1979).
    """
    dx, dy = way.at(y, x)
    if way.is_whole:
        height, width = pixels.shape[:2]
        row = np.clip(y - region.y0 + int(way.shift[1]), 0, height - 1)
        column = np.clip(x - region.x0 + int(way.shift[0]), 0, width - 1)
        return pixels[row, column]
    return _native.read_between(pixels, y + dy - region.y0, x + dx - region.x0, TAPS)


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
    y, x = place.rim_y, place.rim_x
    if y.size == 0:
        return None
    if y.size > _MOST_RIM:
        pick = np.linspace(0, y.size - 1, _MOST_RIM).round().astype(np.intp)
        y, x = y[pick], x[pick]
    search = _Search(place, here[y, x] / place.sigma, y, x, there, dirty)
    whole = search.best_whole(_starts(flow, y, x))
    return None if whole is None else search.finish(whole)


def _starts(flow: Flow | None, y: Places, x: Places) -> list[tuple[int, int]]:
    """Return whole displacements to search around: the rim's flow, its two sides, none."""
    if flow is None:
        return [(0, 0)]
    rows, columns = flow.vectors.shape[:2]
    at = np.minimum(y // flow.scale, rows - 1), np.minimum(x // flow.scale, columns - 1)
    moved = flow.vectors[at] / float(FLOW_UNITS_PER_PIXEL)
    ordered = np.sort(moved, axis=0)
    found = [ordered[len(moved) // 2]]
    low, high = ordered[len(moved) // 5], ordered[(4 * len(moved)) // 5]
    axis = int(np.argmax(high - low))
    if high[axis] - low[axis] > 1.5:  # an edge of motion runs through the place
        upper = moved[:, axis] >= 0.5 * (low[axis] + high[axis])
        found += [np.median(moved[side], axis=0) for side in (~upper, upper) if side.any()]
    whole = [(int(np.rint(v[0])), int(np.rint(v[1]))) for v in found]
    return list(dict.fromkeys([*whole, (0, 0)]))


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a way leaves of the rim: mean square in units of the noise, and the offset."""

    way: Way
    square: float
    offset: NDArray[np.float32]


class _Search:
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
        tried = {
            (dx, dy): None
            for sx, sy in starts
            for dy in range(sy - SEARCH, sy + SEARCH + 1)
            for dx in range(sx - SEARCH, sx + SEARCH + 1)
            if max(abs(dx), abs(dy)) <= REACH and not frame.intersect(hole.shifted(dx, dy)).is_empty
        }
        if not tried:
            return None
        shifts = list(tried)
        errors = _native.rim_errors(
            self.there, self.dirty, self.y, self.x, self.own, self.place.sigma,
            np.array(shifts, np.int32), _LEAST, _BOUND,
        )  # fmt: skip
        error, _, dx, dy = min(
            (float(e), abs(s[0]) + abs(s[1]), *s) for e, s in zip(errors, shifts, strict=True)
        )
        return (dx, dy) if np.isfinite(error) else None

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
                left = between.square - 1.0 - _power(way.shift)
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
        )

    def _places(self, way: Way, y: Places, x: Places) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        dx, dy = way.at(y, x)
        return (
            np.clip(np.rint(y + dy).astype(np.intp), 0, self.frame.y1 - 1),
            np.clip(np.rint(x + dx).astype(np.intp), 0, self.frame.x1 - 1),
        )

    def _measure(self, way: Way) -> _Measured:
        none = np.zeros(len(self.place.sigma), np.float32)
        clean = self.dirty[self._places(way, self.y, self.x)] != DIRTY
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
        doubt = _SURE * spread / np.sqrt(np.maximum(count / 4.0, 1.0))
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
            way = _rounded(start, total[:2], slope)
            if np.abs(step[:2]).max() < 0.02:
                break
        return way


def _rounded(start: Way, by: _Float, slope: _Float) -> Way:
    """Return a way on a fixed grid, so that no last bit of a solver decides anything."""
    moved = np.rint((np.array(start.shift) + by) * _GRAIN_OF_SHIFT) / _GRAIN_OF_SHIFT
    a, b, c, d = (float(v) for v in np.rint(slope * _GRAIN_OF_SLOPE) / _GRAIN_OF_SLOPE)
    return Way(shift=(float(moved[0]), float(moved[1])), slope=(a, b, c, d), center=start.center)


def _power(shift: tuple[float, float]) -> float:
    """Return the share of white noise that reading between pixels passes."""
    power = 1.0
    for t in shift:
        x = np.arange(TAPS) - (TAPS // 2 - 1) - (t - np.floor(t))
        kernel = np.sinc(x) * np.sinc(x / (TAPS // 2))
        power *= float(((kernel / kernel.sum()) ** 2).sum())
    return power
