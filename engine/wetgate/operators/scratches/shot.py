"""Find the scratches of a shot: candidates, their fit, the verdict, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import FrameReader, Pixels, SourceFacts
from wetgate.operators.scratches.behind import Window, radius_of
from wetgate.operators.scratches.closer import add_rest, fit_closer
from wetgate.operators.scratches.film import (
    extended,
    joined,
    shadowed,
    stands,
    trimmed,
    with_strength,
)
from wetgate.operators.scratches.fit import Course, add_profile, course_at, tint_of
from wetgate.operators.scratches.follow import Path, follow, merged
from wetgate.operators.scratches.judge import COVERS, Verdict, judge
from wetgate.operators.scratches.lines import Evidence, Strips, evidence_of, luma_of
from wetgate.operators.scratches.lost import find_loans, value_of
from wetgate.operators.scratches.profile import (
    Profile,
    ProfileSums,
    RowFilters,
    gaussian_profile,
    row_filters,
)
from wetgate.operators.scratches.rest import rests
from wetgate.operators.scratches.tracks import Track, TrackOnFrame

_SEGMENT = 1 << 25
"""Most strips times columns followed in one go: 32 MB for each width of core, twice that where
other frames were taken away as well."""
_LEAST_FRAMES = 1.0
_TURNS = 3
_LEAST_SIDE = 64
_LEAST_SHOT = 2
_FIRST_SIGMA = (0.6, 0.8, 1.2, 2.0)
_BAND = 58
_HALF = 20
"""px either side of a core of which the cross section is made."""

_Float = NDArray[np.float64]


@dataclass(slots=True)
class Candidate:
    """A line that may be a scratch, as far as it is known."""

    path: Path
    first_frame: int
    courses: dict[int, Course] = field(default_factory=dict)
    profile: Profile | None = None
    tint: _Float = field(default_factory=lambda: np.zeros(1))
    """What each channel of the picture beside differs by from luma."""

    def begins(self, strips: Strips) -> dict[int, tuple[int, _Float]]:
        """Return the strip and the columns where the path enters each frame, by frame index."""
        found = {}
        count = strips.count
        for index in range(self.path.start // count, (self.path.stop - 1) // count + 1):
            low = max(self.path.start, index * count)
            high = min(self.path.stop, (index + 1) * count)
            columns = self.path.columns[low - self.path.start : high - self.path.start]
            if high - low >= 2:
                at = self.first_frame + index
                found[at] = (low - index * count, columns.astype(np.float64))
        return found


def find_candidates(
    read: FrameReader, frames: Sequence[int], facts: SourceFacts
) -> list[Candidate]:
    """Follow lines through the shot; long shots in parts, lest memory grows with them."""
    strips = Strips.of(facts.height)
    at_once = max(4, _SEGMENT // (strips.count * facts.width))
    parts = max(1, -(-len(frames) // at_once))
    edges = np.linspace(0, len(frames), parts + 1).round().astype(int)
    found: list[Candidate] = []
    for start, stop in pairwise(edges):
        plain: list[tuple[Evidence, ...]] = []
        moved: list[tuple[Evidence, ...]] = []
        window = Window(radius_of(facts.height, facts.width), strips)

        def luma(index: int) -> NDArray[np.float32]:
            return luma_of(_sized(read(frames[index]), facts))

        gained = False
        for here, rest in rests(luma, int(start), int(stop), window):
            plain.append(evidence_of(here, strips))
            moved.append(plain[-1] if rest is None else evidence_of(rest, strips))
            gained |= rest is not None
        least = round(_LEAST_FRAMES * strips.count)
        paths = follow(plain, least_strips=least)
        if gained:
            paths = merged(paths, follow(moved, least_strips=least), moved)
        found += [Candidate(p, int(start)) for p in paths]
    return found


def _sized(pixels: Pixels, facts: SourceFacts) -> Pixels:
    """Return a stray frame of another size as an empty one."""
    shape = facts.height, facts.width, facts.channels
    return pixels if pixels.shape == shape else np.zeros(shape, np.float32)


def fit_candidates(
    candidates: Sequence[Candidate],
    read: FrameReader,
    frames: Sequence[int],
    facts: SourceFacts,
) -> None:
    """Refine place, strength and cross section of every candidate."""
    strips = Strips.of(facts.height)
    filters: list[RowFilters] = []
    fitted: list[dict[int, Course]] = [{} for _ in candidates]
    for candidate in candidates:
        for index, (strip, place) in candidate.begins(strips).items():
            candidate.courses[index] = course_at(strip, place)
        core = candidate.path.core
        filters.append(row_filters(gaussian_profile(_FIRST_SIGMA[core], candidate.path.polarity)))
    window = Window(radius_of(facts.height, facts.width), strips)
    for turn in range(_TURNS):
        tints: list[list[_Float]] = [[] for _ in candidates]
        sums = [ProfileSums.empty(facts.channels, _HALF) for _ in candidates]
        window.clear()
        window.keep_lines({i for i, c in enumerate(candidates) if c.courses})
        ahead = 0
        for index, number in enumerate(frames):
            here = [i for i, c in enumerate(candidates) if index in c.courses]
            if not here:
                continue
            ahead = max(ahead, index - window.radius)
            while ahead < min(index + window.radius + 1, len(frames)):
                lines = [
                    (c.courses[ahead], c.profile)
                    for c in candidates
                    if ahead in c.courses and c.profile is not None
                ]
                window.put(ahead, luma_of(_sized(read(frames[ahead]), facts)), lines)
                ahead += 1
            pixels = _sized(read(number), facts)
            luma = luma_of(pixels)
            for i in here:
                known = candidates[i]
                fixed = turn == _TURNS - 1
                profile = known.profile or gaussian_profile(
                    _FIRST_SIGMA[known.path.core], known.path.polarity
                )
                band = window.band(
                    index, i, known.courses, profile, _BAND, removed=known.profile is not None
                )
                course, share = fit_closer(
                    luma,
                    strips,
                    known.courses[index],
                    filters[i],
                    profile,
                    band,
                    fixed=fixed,
                    removed=known.profile is not None,
                )
                fitted[i][index] = course
                if fixed:
                    tints[i].append(tint_of(pixels, luma, strips, course, filters[i].half))
                else:
                    add_profile(sums[i], pixels, luma, strips, course, filters[i], share)
                    if band is not None:
                        add_rest(
                            sums[i],
                            band,
                            strips,
                            course,
                            profile,
                            share,
                            removed=known.profile is not None,
                        )
        for candidate, courses in zip(candidates, fitted, strict=True):
            candidate.courses.update(courses)
            courses.clear()
        if turn == _TURNS - 1:
            for candidate, tint in zip(candidates, tints, strict=True):
                candidate.tint = np.mean(tint, axis=0) if tint else np.zeros(facts.channels)
            break
        for i, candidate in enumerate(candidates):
            if not candidate.courses:  # no strip of it stood up to a closer look
                continue
            candidate.courses = joined(candidate.courses, strips)
            candidate.profile = sums[i].estimate()
            filters[i] = row_filters(candidate.profile)
            if turn == 0 and not stands(candidate.courses):
                candidate.courses = {}
            elif turn > 0:
                candidate.courses = trimmed(candidate.courses)
        if turn == 0:
            peaks = [
                float(np.abs(c.profile.values).max()) if c.profile else 0.0 for c in candidates
            ]
            for i in shadowed([c.courses for c in candidates], peaks):
                candidates[i].courses = {}
            for candidate in candidates:
                if candidate.courses:
                    candidate.courses = extended(candidate.courses, strips, len(frames))
    for candidate in candidates:
        if candidate.courses:
            candidate.courses = with_strength(candidate.courses)


def analysis_bytes(pixels: int) -> int:
    """Return the most memory that `analyse_shot` takes for frames of so many px.

    The frames of a window, and the lines of as many as are followed in one go: nine bytes for each
    of `_SEGMENT` places.
    """
    return 100 * pixels + (40 << 20) + 9 * _SEGMENT


def analyse_shot(
    read: FrameReader,
    frames: Sequence[int],
    facts: SourceFacts,
    *,
    threshold: float,
    radius: int,
) -> dict[str, object]:
    """Find, fit and judge the scratches of a shot, and where lost cores are borrowed.

    Args:
        threshold: confidence from which a line is repaired.
        radius: frames either side that may lend.
    """
    if min(facts.width, facts.height) < _LEAST_SIDE or len(frames) < _LEAST_SHOT:
        return {"tracks": []}
    strips = Strips.of(facts.height)
    candidates = find_candidates(read, frames, facts)
    candidates = [c for c in candidates if c.begins(strips)]
    fit_candidates(candidates, read, frames, facts)
    known = [(c, c.profile) for c in candidates if c.profile is not None and c.courses]

    def sized(number: int) -> Pixels:
        return _sized(read(number), facts)

    profiles = [p for _, p in known]
    verdicts = judge([c.courses for c, _ in known], profiles, sized, frames, facts)
    tracks = [
        _track(candidate, profile, verdict, frames, threshold)
        for (candidate, profile), verdict in zip(known, verdicts, strict=True)
    ]
    loans = find_loans(tracks, sized, frames, facts, radius)
    tracks = [
        replace(
            t,
            frames={
                n: replace(own, loans=found[n]) if n in found else own
                for n, own in t.frames.items()
            },
        )
        for t, found in zip(tracks, loans, strict=True)
    ]
    return {"tracks": [t.as_json() for t in tracks]}


def _track(
    candidate: Candidate,
    profile: Profile,
    verdict: Verdict,
    frames: Sequence[int],
    threshold: float,
) -> Track:
    """Put together what is known of a line."""
    courses, polarity = candidate.courses, candidate.path.polarity
    covers, unsure = verdict.facts["covers"], verdict.facts["covers_deviation"]
    value: tuple[float, ...] = ()
    if covers - 2.0 * unsure > COVERS:
        luma = value_of(courses, profile, min(covers, 1.0))
        courses = with_strength(courses, luma, polarity)
        gains = profile.values.mean(axis=1)
        apart = luma - float(np.mean([c.level.mean() for c in courses.values()]))
        gains = gains / gains.mean()
        value = tuple(float(v) for v in luma + (gains - 1.0) * apart + candidate.tint)
        middle = profile.values.mean(axis=0, keepdims=True)
        profile = Profile(np.repeat(np.abs(middle), len(profile.values), axis=0))
    return Track(
        profile=profile,
        polarity=polarity,
        confidence=verdict.confidence,
        why=verdict.why if verdict.confidence < threshold else "",
        value=value,
        frames={
            frames[i]: TrackOnFrame(c.first, c.place, c.strength)
            for i, c in sorted(courses.items())
        },
        facts=verdict.facts,
    )
