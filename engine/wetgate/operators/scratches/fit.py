"""Read place and strength of a scratch on one frame, strip by strip."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

_ROUNDS = 3
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
    """

    first: int
    place: _Float
    strength: _Float
    error: _Float
    own: _Float
    level: _Float
    beside: _Float
    steps: _Float

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
    per_frame = strips.count
    turns = _TURNS * (2 * np.pi / per_frame) ** 2
    fades = _FADES * min(1.0, (2 * np.pi / (0.5 * per_frame)) ** 2)
    for _ in range(1 if fixed else _ROUNDS):
        course, moved, spread = _measured(luma, strips, course, filters, fades)
        if fixed:
            break
        usual = max(float(np.median(course.strength)), 1e-12)
        firm = np.maximum(course.strength, _LEAST_STRENGTH * usual)
        shift = np.clip(moved / firm, -_FARTHEST, _FARTHEST)
        weight = (firm / np.maximum(spread, 1e-12)) ** 2
        place = smoothed(course.place + shift, weight, turns)
        place = np.clip(place, start.place - 3.0, start.place + 3.0)
        course = replace(course, place=place)
    return course


def _measured(
    luma: NDArray[np.float32],
    strips: Strips,
    course: Course,
    filters: RowFilters,
    fades: float,
) -> tuple[Course, _Float, _Float]:
    """Return strengths at the course's place, strength times displacement, and its deviation."""
    rows, x, _ = course.rows(strips)
    whole = np.rint(x).astype(np.intp)
    half = filters.half
    aside = (half + 2, half + 7)
    reach = half + aside[-1]
    band = gathered(luma, rows, whole, reach).astype(np.float64)
    rough, level, _ = _roughness(band, half)
    # One choice a strip, or rows of one strip would be read by different rules.
    rough = np.rint(_per_strip(rough, course, strips)[0]).astype(np.intp)
    per_row = rough[(rows - rows[0]) // strips.rows]
    phase = np.rint((x - whole + 0.5) * PHASES).astype(np.intp)
    taps = filters.taps[per_row, phase]
    answers, steps = [], []
    for offset in (0, *aside, *(-a for a in aside)):
        part = band[:, reach + offset - half : reach + offset + half + 1]
        answers.append(np.einsum("rkc,rc->rk", taps, part))
        steps.append(part[:, -3:].mean(axis=1) - part[:, :3].mean(axis=1))
    own, moved = (_per_strip(answers[0][:, k], course, strips)[0] for k in range(2))
    # The phase is rounded: what is left of the place belongs to the displacement.
    left = _per_strip(x - whole + 0.5 - phase / PHASES, course, strips)[0]
    beside = np.stack([_per_strip(a[:, 0], course, strips)[0] for a in answers[1:]], axis=1)
    sides = np.stack([_per_strip(a[:, 1], course, strips)[0] for a in answers[1:]], axis=1)
    error, spread = _deviation(beside), _deviation(sides)
    usual = max(abs(float(np.median(own))), 1e-9)
    strength = smoothed(own, 1.0 / np.maximum(error, 1e-3 * usual) ** 2, fades * usual)
    fitted = Course(
        course.first,
        course.place,
        np.maximum(strength, 0.0),
        error,
        own,
        _per_strip(level, course, strips)[0],
        beside,
        np.stack([_per_strip(s, course, strips)[0] for s in steps], axis=1),
    )
    return fitted, moved - left * own, spread


def _roughness(band: _Float, half: int) -> tuple[_Float, _Float, _Float]:
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


def _per_strip(values: _Float, course: Course, strips: Strips) -> tuple[_Float, _Float]:
    """Return the mean of each strip's rows without outliers, and their deviation."""
    count = len(course.place)
    padded = np.full(count * strips.rows, np.nan)
    padded[: len(values)] = values
    table = padded.reshape(count, strips.rows)
    middle = np.nanmedian(table, axis=1, keepdims=True)
    limit = 1.5 * 1.4826 * np.nanmedian(np.abs(table - middle), axis=1, keepdims=True)
    kept = np.minimum(np.maximum(table, middle - limit), middle + limit)
    return np.nanmean(kept, axis=1), limit[:, 0] / 1.5


def _deviation(beside: _Float) -> _Float:
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
) -> None:
    """Add the rows along a course, and what each channel says of its strength."""
    rows, x, strength = course.rows(strips)
    whole = np.rint(x).astype(np.intp)
    phase = np.rint((x - whole + 0.5) * PHASES).astype(np.intp)
    half = (sums.rows.shape[2] - 1) // 2
    band = gathered(luma, rows, whole, half).astype(np.float64)
    rough, _, grain = _roughness(band, half - 8)
    rough = np.rint(_per_strip(rough, course, strips)[0]).astype(np.intp)
    rough = rough[(rows - rows[0]) // strips.rows]
    # What the filters answer beside the scratch says how much the rows of a strip can tell.
    noise = course.error**2 * strips.rows
    noise = noise[(rows - rows[0]) // strips.rows] / filters.variance[rough, phase]
    weight = 1.0 / np.maximum(noise, grain)
    # The level must not tell anything at all.
    sums.add(rough, phase, band - band.mean(axis=1, keepdims=True), strength, weight)
    wide = gathered(pixels, rows, whole, filters.half).astype(np.float64)
    taps = filters.taps[rough, phase, 0]
    weight = 1.0 / np.maximum(course.error, 1e-9) ** 2
    for c in range(pixels.shape[2]):
        own = _per_strip(np.einsum("rc,rc->r", taps, wide[..., c]), course, strips)[0]
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
