"""What a neighbor shows where no one displacement serves all of the rim of a defect.

Parts of the rim are searched for by themselves: what moves alike, and the halves to each side. What
moves so between the nearest frames is followed to the others, where it would be hard to find anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.denoise.flow import Flow
from wetgate.operators.dirt.candidates import (
    EDGE,
    Candidate,
    Search,
    flow_at,
    judged_rim,
    starts_of,
)
from wetgate.operators.dirt.places import Place, Places
from wetgate.operators.dirt.ways import Way

_LEAST_PART = 12
_MOST_MOTIONS = 4
_FITTING = 1.5

_Float = NDArray[np.float64]


def find_sides(
    place: Place,
    here: Pixels,
    there: Pixels,
    dirty: NDArray[np.uint8],
    flow: Flow | None,
    known: Candidate | None,
) -> tuple[Candidate, ...]:
    """Find what a neighbor shows by parts of the rim, where all of it does not follow one motion.

    The two sides of an edge of motion and the halves to each side of the hole are searched for by
    themselves. A part that `known` fits already is passed over.

    Args:
        here, there, dirty, flow: as in `find_candidate`.
        known: what that found.

    Returns:
        Candidates of other ways than `known`'s, each judged by all of the rim.
    """
    y, x = judged_rim(place)
    if y.size == 0:
        return ()
    wanted = []
    for part in _parts(flow, place, y, x):
        if np.count_nonzero(part) < _LEAST_PART:
            continue
        if known is None or not _fits(known.left[part]):
            wanted.append((part, starts_of(flow, y[part], x[part])))
    return _by_parts(place, here, there, dirty, wanted, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How a part of a rim was seen to move.

    Attributes:
        speed: `(x, y)` px a frame.
        part: of `judged_rim`, what moves so.
    """

    speed: tuple[float, float]
    part: NDArray[np.bool_]


def motions_of(found: Sequence[tuple[int, Candidate]]) -> tuple[Motion, ...]:
    """Return the motions that explain most of a rim together, the most common first.

    Args:
        found: candidates of the nearest neighbors, and their distance in frames.
    """
    fits = [np.nan_to_num(c.left, nan=np.inf) <= _FITTING**2 for _, c in found]
    motions: list[Motion] = []
    while fits and len(motions) < _MOST_MOTIONS:
        best = max(range(len(fits)), key=lambda i: (int(np.count_nonzero(fits[i])), -i))
        part = fits[best]
        if np.count_nonzero(part) < _LEAST_PART:
            break
        step, candidate = found[best]
        x, y = candidate.way.shift
        motions.append(Motion(speed=(x / step, y / step), part=part))
        fits = [f & ~part for f in fits]
    return tuple(motions)


def find_along(
    place: Place,
    here: Pixels,
    there: Pixels,
    dirty: NDArray[np.uint8],
    motions: Sequence[Motion],
    step: int,
) -> tuple[Candidate, ...]:
    """Find what a neighbor shows where the parts of a rim are if they move on as they did.

    Args:
        here, there, dirty: as in `find_candidate`.
        step: frames from `here` to `there`.
    """
    wanted = [
        (m.part, [(int(np.rint(m.speed[0] * step)), int(np.rint(m.speed[1] * step)))])
        for m in motions
    ]
    return _by_parts(place, here, there, dirty, wanted, None)


def _by_parts(
    place: Place,
    here: Pixels,
    there: Pixels,
    dirty: NDArray[np.uint8],
    wanted: Sequence[tuple[NDArray[np.bool_], list[tuple[int, int]]]],
    known: Candidate | None,
) -> tuple[Candidate, ...]:
    """Search by parts of the rim, each from its own starts, and judge by all of it."""
    y, x = judged_rim(place)
    own = here[y, x] / place.sigma
    whole = Search(place, own, y, x, there, dirty)
    found: dict[Way, Candidate] = {}
    for part, starts in wanted:
        side = Search(place, own[part], y[part], x[part], there, dirty)
        best = side.best_whole(starts)
        made = None if best is None else side.finish(best)
        if made is None or made.way in found or (known is not None and made.way == known.way):
            continue
        left = whole.left(made.way, made.offset)
        if not np.isnan(left).all():
            error = float(np.sqrt(np.nanmean(left)))
            found[made.way] = replace(made, left=left, error=error)
    return tuple(found.values())


def _fits(left: NDArray[np.float32]) -> bool:
    return bool(np.mean(np.isnan(left)) < 0.5 and np.nanmean(left) < _FITTING)


def _parts(flow: Flow | None, place: Place, y: Places, x: Places) -> Iterator[NDArray[np.bool_]]:
    """Yield what of a rim moves alike, then the halves of the rim."""
    if flow is not None:
        yield from _motions(flow_at(flow, y, x))
    middle_x, middle_y = place.center
    yield from (x < middle_x, x > middle_x, y < middle_y, y > middle_y)


def _motions(moved: _Float) -> Iterator[NDArray[np.bool_]]:
    """Yield the displacements that are alike, the most frequent first; nothing if all are."""
    rest = np.ones(len(moved), np.bool_)
    for _ in range(_MOST_MOTIONS):
        if np.count_nonzero(rest) < _LEAST_PART:
            return
        _, members, counts = np.unique(
            np.rint(moved[rest] / EDGE), axis=0, return_inverse=True, return_counts=True
        )
        at = np.median(moved[rest][np.ravel(members) == int(np.argmax(counts))], axis=0)
        alike = rest & (np.abs(moved - at).max(axis=1) <= EDGE)
        if not alike.any() or alike.all():
            return
        yield alike
        rest &= ~alike
