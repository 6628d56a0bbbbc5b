"""Decide what to put into the hole of one defect, from what its neighbors offer.

One frame's real pixels are delivered: where several candidates show the same, that of the one in
their middle. Where no frame serves the whole hole, it is laid from parts. Where dirt only dims or
tints, the picture under it is still there, and the law of the dirt is undone instead. Where nothing
fits the defect stays, and the answer says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.candidates import MOST_LEFT, Candidate
from wetgate.operators.dirt.defects import Defect, Mask, Repaired, Values
from wetgate.operators.dirt.mosaic import NOBODY, lay
from wetgate.operators.dirt.parts import Motion, motions_of
from wetgate.operators.dirt.places import Place, grown
from wetgate.operators.dirt.translucent import undo
from wetgate.operators.dirt.ways import Way
from wetgate.operators.fixes import Provenance

WORST = 2.4
"""Rim error of a candidate, in deviations that two clean frames leave, up to which it is believed
as it is."""
EXPLAINED = 0.8
"""Share of the rim's contrast up to which one may be off beyond that: what explains nothing of
the rim shows something else."""
ALIKE = 1.8
"""Largest difference of two candidates that show the same, in that unit, times their errors."""
REACH_OUT = 3
"""How far the seam may lie outside of what was detected, px."""
_SEEN = 2.5
_SOFT = 0.1
_SPREAD_COUNTS = 0.5
_LONE = 0.5
_BETWEEN = 0.15
_FAR = 0.05
_FINE = 1.4  # rim error up to which one frame serves the whole hole
_WORTH = 0.5  # excess of a repair over the noise, share of the defect's own, up to which it pays
_SHOWS = 0.1  # least excess of a defect over the noise
_LOST = 0.5  # share of a defect that nobody shows, from which all of it stays
_SHARE_CLEAN = 0.02  # of a hole that a neighbor must show to be asked
_UNEVEN = 1.4
_CLEAR = 2.0  # mean square expected of a repair, up to which it tells picture from defect
_LEFT = 25.0  # mean square that a pixel which stays counts for, against one that is repaired
_PIECED = 1.3  # what is chosen by its error from much promises more than it keeps

HIDDEN = "no frame shows what is behind"
ASTRAY = "no frame fits around it"
POINTLESS = "a repair would show as much as the defect"


def ranked(place: Place, candidates: Mapping[int, Candidate]) -> tuple[list[int], int]:
    """Order candidates, best first, and count how many show what the first does.

    Args:
        candidates: by frames from the defect's frame.
    """
    steps = sorted(candidates, key=lambda k: (abs(k), k))
    apart = {
        (i, j): _distance(place, candidates[i], candidates[j])
        for i in steps
        for j in steps
        if i < j
    }

    def alike(i: int) -> list[float]:
        found = []
        for j in steps:
            if j != i:
                distance = apart[min(i, j), max(i, j)]
                bound = ALIKE * max(candidates[i].error, candidates[j].error, 1.0)
                if distance <= bound:
                    found.append(distance)
        return found

    agreed = {i: alike(i) for i in steps}

    def badness(i: int) -> tuple[float, int, int]:
        others = agreed[i]
        spread = float(np.mean(others)) if len(others) >= 2 else ALIKE
        score = candidates[i].error + _SPREAD_COUNTS * spread + _LONE * max(0, 2 - len(others))
        score += float(np.mean(candidates[i].behind))
        score += _FAR * abs(i) + (0.0 if candidates[i].way.is_whole else _BETWEEN)
        return score, abs(i), i

    order = sorted(steps, key=badness)
    return order, 1 + len(agreed[order[0]])


Offered = Sequence[tuple[int, Candidate]]


class Closer(Protocol):
    """Looks closer at what neighbors show around one hole."""

    def sides(self, step: int) -> Sequence[Candidate]:
        """Return what the neighbor so many frames on offers for parts of the rim."""
        ...

    def along(self, step: int, motions: Sequence[Motion]) -> Sequence[Candidate]:
        """Return what it offers where parts of the rim have moved on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """What a hole may become, and how good that is.

    Attributes:
        sources: frames from the defect's, and what they offer.
        chosen: of these, for each pixel; `NOBODY` where none shows it.
        expected: of each pixel, mean square that is expected to be left, in units that two clean
            frames leave.
        error: the root of that over the hole.
        agreeing: frames that show the same.
    """

    sources: Offered
    chosen: NDArray[np.intp]
    expected: NDArray[np.float64]
    error: float
    agreeing: float

    def values(self, otherwise: Values) -> Values:
        """Return the pixels of the hole; `otherwise` where nobody shows them."""
        values = otherwise.copy()
        for i, (_, candidate) in enumerate(self.sources):
            here = self.chosen == i
            values[here] = candidate.values[here]
        return values


def repair(
    place: Place,
    defect: Defect,
    offered: Mapping[int, Candidate | None],
    closer: Closer | None = None,
) -> Repaired | str:
    """Repair a defect, or say why it stays.

    Args:
        offered: by frames from the defect's frame; None where a neighbor has nothing.
        closer: looks for what neighbors offer for parts of the hole; asked where no neighbor
            serves the whole of it.
    """
    core = defect.alpha >= 1.0
    usable = {k: c for k, c in offered.items() if c is not None and _shows(c)}
    filled = _from_one(place, usable, core) if usable else None
    if filled is None or not _is_good(filled, core, len(usable)):
        parts = [(k, c) for k, c in _parts(offered, closer) if _shows(c)]
        if len(parts) > 1:
            laid = lay(place, parts)
            piece = _Filled(
                sources=parts,
                chosen=laid.chosen,
                expected=laid.expected,
                error=_root(laid.expected[core & (laid.chosen != NOBODY)]),
                agreeing=laid.agreeing,
            )
            if filled is None or _worse(filled, core) > _PIECED * _worse(piece, core):
                filled = piece
    if filled is None:
        return HIDDEN
    known = filled.chosen != NOBODY
    if np.count_nonzero(core & ~known) > _LOST * np.count_nonzero(core):
        return HIDDEN
    error = filled.error
    if error > max(WORST, EXPLAINED * place.contrast):
        return ASTRAY
    values = filled.values(defect.source)
    unit = place.sigma * np.sqrt(2.0)
    change = (defect.source.astype(np.float64) - values) / unit
    shown = np.minimum(change[core & known] ** 2, MOST_LEFT)
    excess = float(np.mean(shown)) - 1.0
    if excess < _SHOWS or error**2 - 1.0 > _WORTH * excess:
        return ASTRAY if error > WORST else POINTLESS
    used = _reached(place, defect, change, filled.expected) & known
    weight = used.astype(np.float32)
    if error > _UNEVEN:  # the rims differ: soften the seam by a pixel
        weight = np.maximum(weight, np.float32(0.5) * (_beside(place, used) & known))
    classes = np.where(weight > 0, np.uint8(Provenance.BORROWED), np.uint8(0)).astype(np.uint8)
    facts = {
        "rim error": round(error, 4),
        "agreeing": round(filled.agreeing, 2),
        "contrast": round(float(np.sqrt(excess + 1.0)), 3),
    }
    undone = undo(place, defect, values, used)
    borrows = weight > 0
    if undone is not None:
        clean, fits, share = undone
        values = np.where(fits[:, None], clean, values)
        classes[fits] = Provenance.REEXPOSED
        weight[fits] = 1.0
        borrows &= ~fits
        facts["shines through"] = round(share, 4)
    lost = int(np.count_nonzero(core & ~known))
    if lost:
        facts["left"] = float(lost)
    chosen = np.where(borrows, filled.chosen, NOBODY)
    full = (weight == 1)[:, None]
    mixed = defect.source + weight[:, None] * (values - defect.source)
    return Repaired(
        values=np.where(full, values, np.where(weight[:, None] == 0, defect.source, mixed)),
        weight=weight,
        classes=classes,
        facts=facts,
        **_told_of(place, filled.sources, chosen, facts),
    )


def _parts(offered: Mapping[int, Candidate | None], closer: Closer | None) -> Offered:
    """Return all that neighbors offer: for the whole of a hole, and along the motions around it.

    Motion is found between the nearest frames, and followed from there to the others.
    """
    steps = sorted(offered, key=lambda k: (abs(k), k))
    found = [(k, c) for k in steps if (c := offered[k]) is not None]
    if closer is None or not steps:
        return found
    near = [k for k in steps if abs(k) == abs(steps[0])]
    first = [(k, c) for k, c in found if k in near]
    first += [(k, c) for k in near for c in closer.sides(k)]
    motions = motions_of(first)
    found = [*first, *((k, c) for k, c in found if k not in near)]
    known = {(k, c.way) for k, c in found}
    along = [(k, c) for k in steps for c in closer.along(k, motions)]
    return [*found, *((k, c) for k, c in along if (k, c.way) not in known)]


def _shows(candidate: Candidate) -> bool:
    return bool(np.mean(candidate.behind) <= 1.0 - _SHARE_CLEAN)


def _is_good(filled: _Filled, core: Mask, frames: int) -> bool:
    """Tell whether nothing better than one frame's picture need be looked for."""
    whole = not (core & (filled.chosen == NOBODY)).any()
    return filled.error <= _FINE and whole and filled.agreeing >= min(frames, 3)


def _worse(filled: _Filled, core: Mask) -> float:
    """Return a measure of how bad a filling is: what it leaves counts as wrong."""
    lost = float(np.mean(filled.chosen[core] == NOBODY)) if core.any() else 0.0
    return filled.error**2 * (1.0 - lost) + _LEFT * lost


def _root(squares: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(squares))) if squares.size else float(np.sqrt(MOST_LEFT))


def _from_one(place: Place, usable: Mapping[int, Candidate], core: Mask) -> _Filled:
    """Take the picture of one frame, and what is dirty there from those that show the same."""
    order, agreeing = ranked(place, usable)
    best = usable[order[0]]
    same = [k for k in order if usable[k].error <= 1.5 * max(best.error, 1.0)]
    chosen = np.full(best.behind.shape, NOBODY, np.intp)
    for i, k in enumerate(same):
        chosen[(chosen == NOBODY) & ~usable[k].behind] = i
    return _Filled(
        sources=[(k, usable[k]) for k in same],
        chosen=chosen,
        expected=np.full(chosen.shape, max(best.error**2, 1.0)),
        error=best.error,
        agreeing=float(agreeing),
    )


class _Origins(TypedDict):
    steps: NDArray[np.int32]
    shifts: NDArray[np.float32]
    main: int
    way: Way | None


def _told_of(
    place: Place, sources: Offered, chosen: NDArray[np.intp], facts: dict[str, float]
) -> _Origins:
    """Say where every pixel is from, and of the blob where most of it is."""
    steps = np.zeros(chosen.shape, np.int32)
    shifts = np.zeros((chosen.size, 2), np.float32)
    counts = [int(np.count_nonzero(chosen == i)) for i in range(len(sources))]
    for i, (step, candidate) in enumerate(sources):
        here = chosen == i
        steps[here] = step
        shifts[here] = np.stack(candidate.way.at(place.y[here], place.x[here]), axis=-1)
    if not any(counts):
        return _Origins(steps=steps, shifts=shifts, main=0, way=None)
    first = max(range(len(sources)), key=lambda i: (counts[i], -i))
    main, candidate = sources[first]
    facts["sources"] = float(np.count_nonzero(counts))
    # The largest of all that has pixels: where it is 0 every one of them is a bare sample.
    offsets = [
        np.abs(c.offset / place.sigma) for (_, c), n in zip(sources, counts, strict=True) if n
    ]
    facts["rim offset"] = round(float(np.max(offsets)), 4)
    return _Origins(steps=steps, shifts=shifts, main=main, way=candidate.way)


def _reached(
    place: Place, defect: Defect, change: NDArray[np.float64], expected: NDArray[np.float64]
) -> Mask:
    """Return the pixels that the defect reaches: where it was found and on while it shows.

    Args:
        expected: mean square that the repair is expected to be off by: no defect shows by less.
    """
    found = defect.alpha >= _SOFT
    means = change.mean(axis=1) * np.sqrt(change.shape[1])
    least = _SEEN * np.sqrt(expected)
    shows = np.abs(means) >= least
    if defect.polarity:
        shows = defect.polarity * means >= least
    # Where the repair itself is doubtful it tells nothing of the picture around.
    shows &= expected <= _CLEAR
    hole = place.hole
    reached = np.zeros((hole.height, hole.width), np.uint8)
    may = np.zeros_like(reached)
    at = place.y - hole.y0, place.x - hole.x0
    reached[at] = found
    may[at] = found | shows
    for _ in range(REACH_OUT):
        reached = grown(reached, 1) & may
    return reached[at] > 0


def _beside(place: Place, used: Mask) -> Mask:
    hole = place.hole
    plane = np.zeros((hole.height, hole.width), np.uint8)
    at = place.y - hole.y0, place.x - hole.x0
    plane[at] = used
    return (grown(plane, 1)[at] > 0) & ~used


def _distance(place: Place, a: Candidate, b: Candidate) -> float:
    """Return how far two candidates differ in the hole; two clean frames differ by 1."""
    both = ~(a.behind | b.behind)
    if not both.any():
        return float("inf")
    change = (a.values[both].astype(np.float64) - b.values[both]) / place.sigma
    return float(np.sqrt(np.mean(np.minimum(change**2, 400.0)) / 2.0))
