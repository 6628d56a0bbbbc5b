"""A scratch along the film: where it begins and ends, and how its strength comes and goes.

Strips of consecutive frames make one series, as they did on the film. How fast a scratch may fade
is not given: of several stiffnesses the one is taken under which the strips are most likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.scratches.fit import Course, course_at, turns_of
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.profile import smoothed

_FADES = (0.3, 0.1, 0.03, 0.01, 0.003)
"""Deviations of the second difference from strip to strip, as a share of the usual strength."""
_CHUNK, _OVERLAP = 192, 48
_WEAK = 0.5
_MOST = 3.0
_FAR_OFF = 3.0
_SEEN = 0.7
_WEAVES = 0.4
_SHADOW = 4.0

_Float = NDArray[np.float64]


def extended(courses: Mapping[int, Course], strips: Strips, frames: int) -> dict[int, Course]:
    """Return courses that go on for a frame's height at both ends, where the film does."""
    longer = dict(courses)
    first, last = min(courses), max(courses)
    head, tail = courses[first], courses[last]
    longer[first] = _grown(head, head.first, 0)
    longer[last] = _grown(longer[last], 0, strips.count - tail.stop)
    none = np.zeros(0)
    if first > 0 and head.first < strips.count:
        empty = course_at(head.first, none)
        more = _grown(empty, 0, strips.count - head.first, float(head.place[:3].mean()))
        longer[first - 1] = more
    if last < frames - 1 and tail.stop > 0:
        empty = course_at(0, none)
        longer[last + 1] = _grown(empty, 0, tail.stop, float(tail.place[-3:].mean()))
    return {k: c for k, c in sorted(longer.items()) if len(c.place) >= 2}


def _grown(course: Course, before: int, after: int, place: float | None = None) -> Course:
    """Return a course with strips added, at the place of its ends."""
    head = place if place is not None else float(course.place[:3].mean())
    tail = place if place is not None else float(course.place[-3:].mean())
    widths = before, after

    def grown(values: _Float) -> _Float:
        return np.pad(values, widths)

    return Course(
        course.first - before,
        np.concatenate([np.full(before, head), course.place, np.full(after, tail)]),
        grown(course.strength),
        grown(course.error),
        grown(course.own),
        grown(course.level),
        np.pad(course.beside, (widths, (0, 0))),
        np.pad(course.steps, (widths, (0, 0))),
    )


def trimmed(courses: Mapping[int, Course]) -> dict[int, Course]:
    """Cut off the ends where strips say that nothing is there."""
    own, error, _ = _series(courses)
    usual = float(np.median(own[own > 0])) if (own > 0).any() else 0.0
    weak = _WEAK * usual
    ratio = (own * weak - 0.5 * weak**2) / np.maximum(error, 1e-9) ** 2
    total = np.cumsum(np.clip(ratio / _alike(courses), -_MOST, _MOST))
    last = int(np.argmax(total))
    ahead = np.concatenate([[0.0], total[:last]])
    first = int(np.argmin(ahead))
    kept, at = {}, 0
    for index in sorted(courses):
        course = courses[index]
        low, high = max(first - at, 0), min(last + 1 - at, len(course.place))
        at += len(course.place)
        if high - low >= 2:
            kept[index] = _part(course, low, high)
    return kept


def joined(courses: Mapping[int, Course], strips: Strips) -> dict[int, Course]:
    """Return courses whose places go on from frame to frame as they do on the film.

    Each frame is smoothed together with the two beside it; where frames meet the line may jump by
    what a gate weaves.
    """
    turns = turns_of(strips)
    smooth = {}
    for index, course in courses.items():
        near = [courses[k] for k in (index - 1, index, index + 1) if k in courses]
        if len(course.aim) != len(course.place) or any(len(c.aim) != len(c.place) for c in near):
            smooth[index] = course
            continue
        aim, trust = (np.concatenate([getattr(c, n) for c in near]) for n in ("aim", "trust"))
        wiggle = np.full(max(len(aim) - 2, 0), turns)
        for end in np.cumsum([len(c.place) for c in near])[:-1]:
            wiggle[max(0, end - 2) : end] = np.hypot(turns, _WEAVES)
        place = smoothed(aim, trust, wiggle)
        before = len(near[0].place) if index - 1 in courses else 0
        smooth[index] = replace(course, place=place[before : before + len(course.place)])
    return smooth


def shadowed(lines: Sequence[Mapping[int, Course]], peaks: Sequence[float]) -> list[int]:
    """Return which lines run along a stronger one: its side lobe, or its own ghost.

    Args:
        peaks: of the cross section of each.
    """
    size = [
        p * float(np.mean([c.strength.mean() for c in line.values()])) if line else 0.0
        for line, p in zip(lines, peaks, strict=True)
    ]
    found: list[int] = []
    for i in sorted(range(len(lines)), key=lambda k: (size[k], -k)):
        total = sum(len(c.place) for c in lines[i].values())
        for j, other in enumerate(lines):
            if i == j or j in found or (size[j], -j) < (size[i], -i) or not other:
                continue
            near = 0
            for index in lines[i].keys() & other.keys():
                a, b = lines[i][index], other[index]
                low, high = max(a.first, b.first), min(a.stop, b.stop)
                if high > low:
                    mine = a.place[low - a.first : high - a.first]
                    its = b.place[low - b.first : high - b.first]
                    near += int((np.abs(mine - its) < _SHADOW).sum())
            if 2 * near > total > 0:
                found.append(i)
                break
    return found


def stands(courses: Mapping[int, Course]) -> bool:
    """Whether a line is seen in most strips: of what is none, as many say less than nothing."""
    own, error, _ = _series(courses)
    weight = 1.0 / np.maximum(error, 1e-9)
    return bool(np.average(own > 0, weights=weight / weight.sum()) > _SEEN)


def _part(course: Course, low: int, high: int) -> Course:
    cut = slice(low, high)
    return Course(
        course.first + low,
        course.place[cut],
        course.strength[cut],
        course.error[cut],
        course.own[cut],
        course.level[cut],
        course.beside[cut],
        course.steps[cut],
    )


def _series(courses: Mapping[int, Course]) -> tuple[_Float, _Float, list[int]]:
    """Return own strengths and their deviations along the film, and where each frame begins."""
    known = [courses[k] for k in sorted(courses)]
    starts = np.cumsum([0, *(len(c.place) for c in known)])
    own = np.concatenate([c.own for c in known])
    error = np.concatenate([c.error for c in known])
    return own, error, [int(s) for s in starts]


def _alike(courses: Mapping[int, Course]) -> float:
    """Return how many neighboring strips say the same, because the picture goes on.

    Source: Bartlett, "On the theoretical specification and sampling properties of autocorrelated
    time-series", Suppl. J. Royal Stat. Soc. 8 (1946), for a series of the first order.
    """
    product = square = 0.0
    for course in courses.values():
        if len(course.place) < 2:
            continue
        z = course.beside / np.maximum(course.error, 1e-12)[:, None]
        product += float((z[1:] * z[:-1]).sum())
        square += float((z[:-1] ** 2).sum())
    share = min(max(product / square if square > 0 else 0.0, 0.0), 0.9)
    return (1 + share) / (1 - share)


def with_strength(
    courses: Mapping[int, Course], value: float | None = None, polarity: int = 1
) -> dict[int, Course]:
    """Return courses with strengths that are smooth along the film.

    Args:
        value: luma of what shows where the emulsion is lost: strength then counts what share of
            the picture is covered, which is what changes slowly.
        polarity: +1 where that is brighter than the picture, -1 where it is darker.
    """
    own, error, starts = _series(courses)
    if value is not None:
        level = np.concatenate([courses[k].level for k in sorted(courses)])
        # Where the picture is as bright as what replaced it, nothing can be read.
        apart = np.maximum(polarity * (value - level), 0.02)
        own, error = own / apart, error / apart
    error = error * np.sqrt(_alike(courses))
    smooth = film_smoothed(own, error)
    # What stands far off, an edge of the picture most likely, counts for little.
    off = np.abs(own - smooth) / np.maximum(error, 1e-12)
    smooth = film_smoothed(own, error * np.maximum(1.0, off / _FAR_OFF))
    smooth = np.maximum(smooth, 0.0)
    if value is not None:
        smooth = np.minimum(smooth, 1.0)
    return {
        k: replace(courses[k], strength=smooth[starts[i] : starts[i + 1]])
        for i, k in enumerate(sorted(courses))
    }


def film_smoothed(values: _Float, errors: _Float) -> _Float:
    """Return the smooth curve through a long series, as stiff as the series itself suggests.

    Source: Wahba, "A comparison of GCV and GML for choosing the smoothing parameter in the
    generalized spline smoothing problem", Annals of Statistics 13 (1985): the second of the two.
    """
    count = len(values)
    usual = max(abs(float(np.median(values))), 1e-12)
    errors = np.maximum(errors, 0.01 * usual)
    if count < 4:
        return np.full(count, float(np.average(values, weights=1.0 / errors**2)))
    starts = range(0, max(1, count - _OVERLAP), _CHUNK - _OVERLAP)
    chunks = [(s, min(s + _CHUNK, count)) for s in starts]
    likelihood = np.zeros(len(_FADES))
    curves: list[list[_Float]] = []
    for low, high in chunks:
        found = [_graduated(values[low:high], errors[low:high], f * usual) for f in _FADES]
        likelihood += [f[1] for f in found]
        curves.append([f[0] for f in found])
    best = int(np.argmax(likelihood))
    total, weight = np.zeros(count), np.zeros(count)
    for (low, high), found_curves in zip(chunks, curves, strict=True):
        size = high - low
        ramp = np.minimum(np.arange(size) + 1.0, size - np.arange(size)).clip(max=_OVERLAP)
        total[low:high] += ramp * found_curves[best]
        weight[low:high] += ramp
    return np.asarray(total / weight)


def _graduated(values: _Float, errors: _Float, wiggle: float) -> tuple[_Float, float]:
    """Return the smooth curve and the log likelihood of its stiffness, up to a constant."""
    count = len(values)
    if count < 4:
        return np.full(count, float(np.average(values, weights=1.0 / errors**2))), 0.0
    rows = np.arange(count - 2)
    bend = np.zeros((count - 2, count))
    bend[rows, rows], bend[rows, rows + 1], bend[rows, rows + 2] = 1.0, -2.0, 1.0
    weights = 1.0 / errors**2
    matrix = np.diag(weights) + bend.T @ bend / wiggle**2
    curve = np.linalg.solve(matrix, weights * values)
    misfit = float(weights @ (values - curve) ** 2 + np.sum((bend @ curve) ** 2) / wiggle**2)
    size = float(np.linalg.slogdet(matrix)[1]) + 2 * (count - 2) * np.log(wiggle)
    return np.asarray(curve), -0.5 * (misfit + size)
