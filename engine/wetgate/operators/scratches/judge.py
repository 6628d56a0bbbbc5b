"""Tell scratches from lines of the picture: poles, stems, mullions, borders.

A scratch belongs to the film. It goes on at the top of a frame where it left the one before; it
does not follow the picture's motion; it lies on top of whatever the picture shows, over the whole
height, and adds the same to all of it. A line of the picture does at least one of these
otherwise, or nothing can be told, and then the line stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import FrameReader, SourceFacts
from wetgate.operators.scratches.confidence import confidence_of
from wetgate.operators.scratches.fit import Course
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.profile import Profile
from wetgate.operators.scratches.votes import Votes, motion_votes

_STEEP = 3.5
COVERS = 0.3
"""Share of the picture under its core that a scratch hides from which on it tore the emulsion."""
_ADDS, _GROWS = 0.35, 0.2
_WANDERS = 0.35
_HIDES = 0.15
_PRESENT, _ABSENT = 0.94, 25.0
_CLEAR, _UNEVEN, _FRAMES = 3.5, 0.4, 4.0
_UNSTEADY, _STEP = 1.1, 3.0

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a candidate is held to be.

    Attributes:
        confidence: 0-1, that it is a scratch. why: what speaks most against it.
        facts: what the verdict was made of.
    """

    confidence: float
    why: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)


def judge_candidate(
    courses: Mapping[int, Course], profile: Profile, strips: Strips, votes: Votes
) -> Verdict:
    """Weigh what is known of one candidate.

    Rules say what speaks against it; how sure that makes was fitted (`confidence.py`).
    """
    jump, unsteady = _jumps(courses)
    covers, unsure = _covers(courses, profile)
    facts = {
        "frames": float(len(courses)),
        "film": votes.film / votes.told if votes.told else 0.0,
        "picture": votes.picture / votes.told if votes.told else 0.0,
        "told": votes.told,
        "jump": jump,
        "unsteady": unsteady,
        "steepness": _steepness(courses, strips),
        "covers": covers,
        "covers_deviation": unsure,
        "wanders": _wanders(courses),
        "present": _present(courses, strips),
        "clear": _clear(courses),
        "step": _step(courses, profile),
        "uneven": _uneven(courses),
    }
    score = -1.5
    why = "cannot be told from a line of the picture"
    score += 6.0 * (facts["film"] - 1.5 * facts["picture"]) * min(1.0, votes.told / 2.0)
    score += 3.0 * min(max(facts["clear"] - _CLEAR, -2.0), 0.5)
    # Of a few strips anything may look like a line.
    score -= 0.75 * max(_FRAMES - facts["frames"], 0.0)
    told = min(1.0, votes.told / 2.0)
    # Where nothing moves, it must be seen to add the same to whatever lies below it.
    adds = covers + 2.0 * unsure < _ADDS and facts["present"] > 0.95
    adds &= facts["frames"] >= _FRAMES
    score += (1.0 - told) * (1.5 if adds else -2.0)
    if facts["picture"] > facts["film"]:
        why = "moves with the picture"
    if covers - unsure > _HIDES and facts["wanders"] < _WANDERS:
        # A thing before the lens stays where it is too, and hides what is behind it.
        score -= 8.0
        why = "hides the picture and stands still"
    if covers + 2.0 * unsure < -_GROWS:
        score -= 8.0
        why = "differs with what it lies on"
    if facts["jump"] > 1.0:
        score -= 3.0 * min(facts["jump"] - 1.0, 2.0)
        why = "moves from frame to frame as the picture does"
    if facts["unsteady"] > _UNSTEADY:
        score -= 6.0 * min(facts["unsteady"] - _UNSTEADY, 2.0)
        why = "jumps from frame to frame"
    if facts["present"] < _PRESENT:
        score -= _ABSENT * (_PRESENT - facts["present"])
        why = "does not reach over the height of the frame"
    if facts["uneven"] > _UNEVEN:
        score -= 8.0 * min(facts["uneven"] - _UNEVEN, 1.0)
        why = "comes and goes within a few rows"
    if facts["step"] > 1.0:
        score -= 4.0 + 6.0 * min(facts["step"] - 1.0, 2.0)
        why = "is the border between two sides"
    if facts["steepness"] > _STEEP:
        score -= 4.0
        why = "too slanted"
    facts["rules"] = score
    return Verdict(confidence_of(facts, strips.height), why, facts)


def _jumps(courses: Mapping[int, Course]) -> tuple[float, float]:
    """Return how surely a line jumps one way at each new frame, and by how much either way, px.

    A scratch is one line on the film: where frames meet it moves no further than a gate weaves,
    and on the whole not at all. The first is above 1 where it surely does.
    """
    values = np.array(
        [
            float(courses[j].place[0] - courses[i].place[-1])
            for i, j in pairwise(sorted(courses))
            if j == i + 1
        ]
    )
    if len(values) < 2:
        return 0.0, float(np.abs(values).max(initial=0.0))
    error = float(values.std()) / np.sqrt(len(values))
    return float(abs(values.mean()) / (0.3 + 3.0 * error)), float(np.sqrt(np.mean(values**2)))


def _uneven(courses: Mapping[int, Course]) -> float:
    """Return how far single strips stray from the smooth strength, as a share of it.

    What the readings themselves are off by is taken away: a faint scratch is noisy, not uneven.
    """
    own = np.concatenate([c.own for c in courses.values()])
    smooth = np.concatenate([c.strength for c in courses.values()])
    error = np.concatenate([c.error for c in courses.values()])
    usual = max(float(np.median(smooth)), 1e-12)
    stray = float(np.median((own - smooth) ** 2)) / 0.455  # median of chi squared, one degree
    return float(np.sqrt(max(stray - float(np.median(error**2)), 0.0)) / usual)


def _steepness(courses: Mapping[int, Course], strips: Strips) -> float:
    """Return the median angle from upright, degrees."""
    slopes = [
        np.polyfit(strips.middles[c.first : c.stop], c.place, 1)[0]
        for c in courses.values()
        if len(c.place) >= 4
    ]
    return float(np.degrees(np.arctan(np.abs(np.median(slopes))))) if slopes else 0.0


def _covers(courses: Mapping[int, Course], profile: Profile) -> tuple[float, float]:
    """Return how much of the picture's changes under the core is gone, and its deviation.

    What strips of the line differ by from those nearby, against the same of the picture beside.
    An addition stays the same whatever lies below it (0); paint and poles do not (about 1).
    """
    known = [c for c in courses.values() if len(c.own) >= 8]
    if not known:
        return 0.0, 1.0
    own = np.concatenate([_detail(c.own) for c in known])
    level = np.concatenate([_detail(c.level) for c in known])
    weight = 1.0 / np.maximum(np.concatenate([c.error for c in known]), 1e-9) ** 2
    square = float((weight * level**2).sum())
    if square <= 0:
        return 0.0, 1.0
    slope = float((weight * own * level).sum()) / square
    rest = float(np.mean(weight * (own - slope * level) ** 2))
    peak = float(profile.values.mean(axis=0)[profile.values.shape[1] // 2])
    return -slope * peak, abs(peak) * float(np.sqrt(rest / square))


def _wanders(courses: Mapping[int, Course]) -> float:
    """Return the deviation of the line's place from frame to frame, px."""
    places = [float(c.place.mean()) for c in courses.values()]
    return float(np.std(places))


def _detail(values: _Float) -> _Float:
    """Return values less the mean of the seven around."""
    padded = np.pad(values, 3, mode="edge")
    return values - np.convolve(padded, np.full(7, 1 / 7), "valid")


def _present(courses: Mapping[int, Course], strips: Strips) -> float:
    """Return the share of the frame's height in which the line usually shows."""
    table = np.full((len(courses), strips.count), np.nan)
    for row, course in enumerate(courses.values()):
        table[row, course.first : course.stop] = course.own
    usual = float(np.nanmedian(table))
    seen = ~np.isnan(table).all(axis=0)
    middle = np.nanmedian(table[:, seen], axis=0)
    padded = np.pad(middle, 1, mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return float((smooth > 0.2 * usual).mean())


def _step(courses: Mapping[int, Course], profile: Profile) -> float:
    """Return how surely a line is the border of two sides, above 1 where it is.

    The right differs from the left, always the same way, by far more than places beside do, and
    by no less than a good part of the line itself.
    """
    steps = np.concatenate([c.steps for c in courses.values()])
    own = np.concatenate([c.own for c in courses.values()])
    step = abs(float(np.median(steps[:, 0])))
    usual = float(np.sqrt(np.mean(steps[:, 1:] ** 2)))
    peak = float(np.abs(profile.values).mean(axis=0).max())
    height = peak * max(float(np.median(own)), 1e-12)
    return min(step / max(_STEP * usual, 1e-12), step / (0.2 * height))


def _clear(courses: Mapping[int, Course]) -> float:
    """Return how far the strength stands out of what the filter says beside, in deviations."""
    own = np.concatenate([c.own for c in courses.values()])
    beside = np.concatenate([c.beside for c in courses.values()])
    spread = float(np.sqrt(np.mean(beside.mean(axis=0) ** 2)))
    noise = float(beside.std()) / np.sqrt(len(beside))
    return float(abs(own.mean()) / max(np.hypot(spread, noise), 1e-12))


def judge(
    courses: Sequence[Mapping[int, Course]],
    profiles: Sequence[Profile],
    read: FrameReader,
    frames: Sequence[int],
    facts: SourceFacts,
) -> list[Verdict]:
    """Judge all candidates of a shot, each by its courses by frame index."""
    strips = Strips.of(facts.height)
    votes = motion_votes(courses, profiles, read, frames, facts)
    return [
        judge_candidate(c, p, strips, v) for c, p, v in zip(courses, profiles, votes, strict=True)
    ]
