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
from wetgate.operators.denoise.flow import Flow, FlowPicture, estimate_flow, flow_picture
from wetgate.operators.scratches.fit import Course
from wetgate.operators.scratches.lines import Strips, luma_of
from wetgate.operators.scratches.profile import Profile

_PAIRS = 6
"""Pairs of frames looked at for each candidate and each distance in time."""
_FAR = 8
_OFF, _WITH, _MOVES = 0.6, 0.35, 0.5
_SIDES = (4, 8, 12)
_LEAST_TEXTURE = 1.5
_BACK = 0.5
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


@dataclass(slots=True)
class Votes:
    """How many strips, of how many that can tell, go with the picture and how many do not."""

    film: float = 0.0
    picture: float = 0.0
    told: float = 0.0

    def add(
        self, moved: _Float, flows: Sequence[_Float], tells: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Add a pair of frames.

        Args:
            moved: `(strip,)` px by which the candidate moved.
            flows, tells: the same of the picture on each side, and whether it can be trusted.
        """
        apart = np.full(len(moved), np.inf)
        moves = np.abs(moved) > _MOVES
        told = np.zeros(len(moved), np.bool_)
        for flow, tell in zip(flows, tells, strict=True):
            apart = np.where(tell, np.minimum(apart, np.abs(moved - flow)), apart)
            moves |= tell & (np.abs(flow) > _MOVES)
            told |= tell
        told &= moves
        if told.any():
            self.film += float((apart[told] > _OFF).mean())
            self.picture += float((apart[told] < _WITH).mean())
            self.told += 1.0


def motion_votes(
    courses: Sequence[Mapping[int, Course]],
    profiles: Sequence[Profile],
    read: FrameReader,
    frames: Sequence[int],
    facts: SourceFacts,
) -> list[Votes]:
    """Compare how candidates and the picture beside them move, on pairs of frames."""
    strips = Strips.of(facts.height)
    votes = [Votes() for _ in courses]
    pictures: dict[int, FlowPicture] = {}
    limits: list[float] = []

    def picture(index: int) -> FlowPicture:
        if index not in pictures:
            luma = luma_of(read(frames[index])).copy()
            for own, profile in zip(courses, profiles, strict=True):
                if index in own:
                    rows, place, _ = own[index].rows(strips)
                    bridge(luma, rows, place, profile.reach)
            if not limits:
                limits.extend(float(v) for v in np.percentile(luma, (0.5, 99.5)))
            pictures[index] = flow_picture(luma, limits[0], limits[1], 1.5)
        return pictures[index]

    for i, j in _pairs(courses):
        here, there = picture(i), picture(j)
        forward, backward = estimate_flow(here, there), estimate_flow(there, here)
        rough = _texture(here)
        for own, profile, vote in zip(courses, profiles, votes, strict=True):
            if i not in own or j not in own:
                continue
            a, b = own[i], own[j]
            low, high = max(a.first, b.first), min(a.stop, b.stop)
            if high - low < 2:
                continue
            x = a.place[low - a.first : high - a.first]
            moved = b.place[low - b.first : high - b.first] - x
            y = strips.middles[low:high]
            found = [
                _beside(forward, backward, rough, here.scale, x, y, sign, profile.reach, facts)
                for sign in (-1, 1)
            ]
            vote.add(moved, [f[0] for f in found], [f[1] for f in found])
    return votes


def _pairs(courses: Sequence[Mapping[int, Course]]) -> list[tuple[int, int]]:
    """Spread pairs over the life of each candidate; what candidates share is looked at once."""
    wanted: set[tuple[int, int]] = set()
    for own in courses:
        known = sorted(own)
        for lag in (1, _FAR):
            lag = min(lag, max(1, len(known) // 2))
            starts = [n for n in known if n + lag in own]
            if starts:
                # Multiples of a step: candidates that live at the same time share pairs.
                step = max(1, -(-len(starts) // _PAIRS))
                wanted.update((n, n + lag) for n in starts if n % step == 0)
    return sorted(wanted)


def bridge(luma: NDArray[np.float32], rows: NDArray[np.intp], place: _Float, reach: int) -> None:
    """Replace a line by what lies on either side, in place, so that flow does not see it."""
    whole = np.rint(place).astype(np.intp)
    last = luma.shape[1] - 1
    left = luma[rows, np.clip(whole - reach - 1, 0, last)]
    right = luma[rows, np.clip(whole + reach + 1, 0, last)]
    for k in range(-reach, reach + 1):
        at = whole + k
        share = np.float32((k + reach + 1) / (2 * reach + 2))
        inside = (at >= 0) & (at <= last)
        luma[rows[inside], at[inside]] = (left + share * (right - left))[inside]


def _texture(picture: FlowPicture) -> NDArray[np.float32]:
    """Return the root mean square of the upright gradient near each sample, codes."""
    import cv2

    plane = picture.picture.astype(np.float32)
    slope = np.zeros_like(plane)
    slope[:, 1:-1] = 0.5 * (plane[:, 2:] - plane[:, :-2])
    return np.sqrt(cv2.blur(slope**2, (9, 9)))


def _beside(
    forward: Flow,
    backward: Flow,
    rough: NDArray[np.float32],
    scale: int,
    x: _Float,
    y: _Float,
    sign: int,
    reach: int,
    facts: SourceFacts,
) -> tuple[_Float, NDArray[np.bool_]]:
    """Return the picture's motion on one side, and whether to trust it."""
    rows = np.rint(y).astype(np.int64)
    found, sure = [], []
    for away in _SIDES:
        columns = np.rint(x).astype(np.int64) + sign * (reach + away)
        inside = (columns >= 0) & (columns < facts.width)
        columns = np.clip(columns, 0, facts.width - 1)
        flow = _at(forward, columns, rows)
        to_x = np.clip(np.rint(columns + flow[:, 0]).astype(np.int64), 0, facts.width - 1)
        to_y = np.clip(np.rint(rows + flow[:, 1]).astype(np.int64), 0, facts.height - 1)
        back = _at(backward, to_x, to_y)
        returns = np.abs(flow + back).max(axis=1) < _BACK
        seen = rough[
            np.minimum(rows // scale, rough.shape[0] - 1),
            np.minimum(columns // scale, rough.shape[1] - 1),
        ]
        found.append(flow[:, 0])
        sure.append(inside & returns & (seen > _LEAST_TEXTURE))
    trusted = np.stack(sure).sum(axis=0) >= 2
    return np.median(np.stack(found), axis=0), trusted


def _at(flow: Flow, x: NDArray[np.int64], y: NDArray[np.int64]) -> _Float:
    """Return displacements `(n, 2)` at `n` places."""
    return np.stack([flow.at(x[k : k + 1], y[k : k + 1])[0, 0] for k in range(len(x))])


def judge_candidate(
    courses: Mapping[int, Course], profile: Profile, strips: Strips, votes: Votes
) -> Verdict:
    """Weigh what is known of one candidate."""
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
    confidence = float(1.0 / (1.0 + np.exp(-score)))
    return Verdict(confidence, why, facts)


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
