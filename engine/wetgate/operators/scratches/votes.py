"""How candidates for scratches move beside the picture: with the film, or with what is filmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

_Float = NDArray[np.float64]


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
        for behind in [k for k in pictures if k < i]:  # pairs ascend
            del pictures[behind]
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
