"""Read place and strength of a scratch on one frame, strip by strip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.profile import (
    PHASES,
    ROUGHNESS,
    ProfileSums,
    RowFilters,
    smoothed,
)
from wetgate.operators.scratches.tracks import along

ROUNDS = 3
"""How often a place is looked at again."""
_FARTHEST = 1.5
_TURNS = 0.6
_FADES = 0.25
_LEAST_STRENGTH = 0.35

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Course:
    """A scratch on one frame.

    Attributes:
        first: number of its first strip. place: `(n,)` x of the core in the middle of each strip,
            px. strength: `(n,)`. error: `(n,)` standard deviation of a strip's own strength before
            it was smoothed.
        own: `(n,)` strength of each strip before smoothing. level: `(n,)` the picture beside it.
        beside: `(n, m)` the same filter's answer at `m` places beside, where no scratch is.
        steps: `(n, 1 + m)` what the right of the line differs by from its left, there and beside.
        aim, trust: `(n,)` where each strip alone would have it, and one over that's variance; empty
            before anything is read.
    """

    first: int
    place: _Float
    strength: _Float
    error: _Float
    own: _Float
    level: _Float
    beside: _Float
    steps: _Float
    aim: _Float = field(default_factory=lambda: np.zeros(0))
    trust: _Float = field(default_factory=lambda: np.zeros(0))

    @property
    def stop(self) -> int:
        """Return the number of the strip after the last."""
        return self.first + len(self.place)

    def rows(self, strips: Strips) -> tuple[NDArray[np.intp], _Float, _Float]:
        """Return the rows it runs over, and place and strength in each."""
        top = self.first * strips.rows
        bottom = min(self.stop * strips.rows, strips.height)
        rows = np.arange(top, bottom)
        middles = strips.middles[self.first : self.stop]
        return rows, along(rows, middles, self.place), np.interp(rows, middles, self.strength)


def gathered(
    pixels: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], half: int
) -> NDArray[np.float32]:
    """Return `(row, 2 * half + 1, ...)` px around a column of each row; the edge is repeated."""
    around = columns[:, None] + np.arange(-half, half + 1)
    around = np.minimum(np.maximum(around, 0), pixels.shape[1] - 1)
    return np.asarray(pixels[rows[:, None], around], np.float32)


def course_at(first: int, place: _Float) -> Course:
    """Return a course of which nothing is known but the place."""
    none = np.zeros(len(place))
    return Course(
        first, place, none, none, none, none, np.zeros((len(place), 4)), np.zeros((len(place), 5))
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """What rows say at a course's place, strip by strip.

    Attributes:
        own: `(n,)` strength. moved: `(n,)` strength times displacement, px.
        beside, sides: `(n, m)` the same at places beside, where no scratch is.
        level, steps: as in `Course`.
    """

    own: _Float
    moved: _Float
    beside: _Float
    sides: _Float
    level: _Float
    steps: _Float


def fit_frame(
    luma: NDArray[np.float32],
    strips: Strips,
    first: int,
    place: _Float,
    filters: RowFilters,
    *,
    fixed: bool = False,
) -> Course:
    """Fit a scratch on a frame.

    Args:
        luma: `(height, width)`.
        first, place: the strip where it begins, and its x in the middle of each strip, px.
        fixed: keep the place.
    """
    course = start = course_at(first, place)
    for _ in range(1 if fixed else ROUNDS):
        reading = read_plain(luma, strips, course, filters)
        course = course_of(course, reading, strips)
        if not fixed:
            course = moved_on(course, reading, strips, start.place)
    return course


def course_of(course: Course, reading: Reading, strips: Strips) -> Course:
    """Return a course with what was read, strengths smoothed over the frame."""
    fades = _FADES * min(1.0, (2 * np.pi / (0.5 * strips.count)) ** 2)
    error = deviation(reading.beside)
    usual = max(abs(float(np.median(reading.own))), 1e-9)
    strength = smoothed(reading.own, 1.0 / np.maximum(error, 1e-3 * usual) ** 2, fades * usual)
    return Course(
        course.first,
        course.place,
        np.maximum(strength, 0.0),
        error,
        reading.own,
        reading.level,
        reading.beside,
        reading.steps,
    )


def moved_on(course: Course, reading: Reading, strips: Strips, start: _Float) -> Course:
    """Return a course where a reading points at, smooth, and never far from where it began."""
    usual = max(float(np.median(course.strength)), 1e-12)
    firm = np.maximum(course.strength, _LEAST_STRENGTH * usual)
    shift = np.clip(reading.moved / firm, -_FARTHEST, _FARTHEST)
    trust = (firm / np.maximum(deviation(reading.sides), 1e-12)) ** 2
    aim = course.place + shift
    place = np.clip(smoothed(aim, trust, turns_of(strips)), start - 3.0, start + 3.0)
    return replace(course, place=place, aim=aim, trust=trust)


def turns_of(strips: Strips) -> float:
    """Return the deviation of the second difference of a scratch's place from strip to strip."""
    return float(_TURNS * (2 * np.pi / strips.count) ** 2)


def read_plain(
    luma: NDArray[np.float32], strips: Strips, course: Course, filters: RowFilters
) -> Reading:
    """Read strengths at a course's place, the picture taken for a random walk with grain."""
    rows, x, _ = course.rows(strips)
    whole = np.rint(x).astype(np.intp)
    half = filters.half
    aside = (half + 2, half + 7)
    reach = half + aside[-1]
    band = gathered(luma, rows, whole, reach).astype(np.float64)
    rough, level, _ = roughness(band, half)
    # One choice a strip, or rows of one strip would be read by different rules.
    rough = np.rint(per_strip(rough, strips)).astype(np.intp)
    per_row = rough[(rows - rows[0]) // strips.rows]
    phase = np.rint((x - whole + 0.5) * PHASES).astype(np.intp)
    taps = filters.taps[per_row, phase]
    offsets = (0, *aside, *(-a for a in aside))
    parts = np.stack([band[:, reach + o - half : reach + o + half + 1] for o in offsets], axis=2)
    answers = per_strip(np.matmul(taps, parts), strips)
    sides = per_strip(parts[:, -3:].mean(axis=1) - parts[:, :3].mean(axis=1), strips)
    own, moved = answers[:, 0, 0], answers[:, 1, 0]
    # The phase is rounded: what is left of the place belongs to the displacement.
    left = per_strip(x - whole + 0.5 - phase / PHASES, strips)
    return Reading(
        own=own,
        moved=moved - left * own,
        beside=answers[:, 0, 1:],
        sides=answers[:, 1, 1:],
        level=per_strip(level, strips),
        steps=sides,
    )


def roughness(band: _Float, half: int) -> tuple[_Float, _Float, _Float]:
    """Return per row which of `ROUGHNESS` fits the picture beside, its level and its grain."""
    middle = band.shape[1] // 2
    sides = [band[:, : middle - half + 3], band[:, middle + half - 2 :]]
    near = sum(np.mean(np.diff(s, axis=1) ** 2, axis=1) for s in sides) / 2
    far = sum(np.mean((s[:, 4:] - s[:, :-4]) ** 2, axis=1) for s in sides) / 2
    walk = np.maximum(far - near, 0.0) / 3.0
    grain = np.full_like(walk, max(float(np.median(np.maximum(near - walk, 0.0))) * 0.5, 1e-12))
    ratio = np.maximum(walk / grain, 1e-6)
    edges = np.log(np.sqrt(np.array(ROUGHNESS[:-1]) * np.array(ROUGHNESS[1:])))
    index = np.searchsorted(edges, np.log(ratio)).astype(np.float64)
    level = 0.5 * (
        band[:, middle - half : middle - half + 4].mean(axis=1)
        + band[:, middle + half - 3 : middle + half + 1].mean(axis=1)
    )
    return index, level, grain


def per_strip(values: _Float, strips: Strips) -> _Float:
    """Return the mean of each strip's rows `(n, ...)` without outliers; `values` `(row, ...)`."""
    full = len(values) // strips.rows
    table = values[: full * strips.rows].reshape(full, strips.rows, *values.shape[1:])
    means = _without_outliers(table)
    if len(values) > full * strips.rows:
        means = np.concatenate([means, _without_outliers(values[None, full * strips.rows :])])
    return means


def _without_outliers(table: _Float) -> _Float:
    middle = np.median(table, axis=1, keepdims=True)
    limit = 1.5 * 1.4826 * np.median(np.abs(table - middle), axis=1, keepdims=True)
    return np.asarray(np.minimum(np.maximum(table, middle - limit), middle + limit).mean(axis=1))


def deviation(beside: _Float) -> _Float:
    """Return what the filter answers where nothing is, root mean square over nearby strips."""
    square = np.pad(np.mean(beside**2, axis=1), 2, mode="edge")
    nearby = np.convolve(square, np.full(5, 0.2), "valid")
    return np.sqrt(np.maximum(nearby, 0.05 * float(square.mean())))


def add_profile(
    sums: ProfileSums,
    pixels: Pixels,
    luma: NDArray[np.float32],
    strips: Strips,
    course: Course,
    filters: RowFilters,
    share: _Float,
) -> None:
    """Add the rows along a course, and what each channel says of its strength.

    Args:
        share: `(strip,)` how much a strip relies on other frames; above a half its rows are not
            added here.
    """
    rows, x, strength = course.rows(strips)
    whole = np.rint(x).astype(np.intp)
    phase = np.rint((x - whole + 0.5) * PHASES).astype(np.intp)
    half = (sums.rows.shape[2] - 1) // 2
    band = gathered(luma, rows, whole, half).astype(np.float64)
    rough, _, grain = roughness(band, half - 8)
    rough = np.rint(per_strip(rough, strips)).astype(np.intp)
    rough = rough[(rows - rows[0]) // strips.rows]
    # What the filters answer beside the scratch says how much the rows of a strip can tell.
    noise = course.error**2 * strips.rows
    noise = noise[(rows - rows[0]) // strips.rows] / filters.variance[rough, phase]
    weight = np.where(share > 0.5, 0.0, 1.0)[(rows - rows[0]) // strips.rows]
    weight = weight / np.maximum(noise, grain)
    # The level must not tell anything at all.
    sums.add(rough, phase, band - band.mean(axis=1, keepdims=True), strength, weight)
    wide = gathered(pixels, rows, whole, filters.half).astype(np.float64)
    wide -= gathered(luma, rows, whole, filters.half)[..., None]
    taps = filters.taps[rough, phase, 0]
    weight = 1.0 / np.maximum(course.error, 1e-9) ** 2
    every = per_strip(np.einsum("rk,rkc->rc", taps, wide), strips)
    for c in range(pixels.shape[2]):
        # Color is smoother than luma: what a channel has more than luma is read as it stands.
        own = every[:, c] + course.own
        sums.gains[c, 0] += float((weight * own * course.strength).sum())
        sums.gains[c, 1] += float((weight * course.strength**2).sum())


def tint_of(
    pixels: Pixels, luma: NDArray[np.float32], strips: Strips, course: Course, half: int
) -> _Float:
    """Return what each channel of the picture beside a course differs by from luma."""
    rows, x, _ = course.rows(strips)
    whole = np.rint(x).astype(np.intp)
    outer = np.abs(np.arange(-half, half + 1)) > half - 4
    band = gathered(pixels, rows, whole, half)[:, outer]
    gray = gathered(luma, rows, whole, half)[:, outer]
    return np.asarray((band - gray[..., None]).mean(axis=(0, 1), dtype=np.float64))
