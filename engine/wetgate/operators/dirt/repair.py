"""Decide what to put into the hole of one defect, from what its neighbors offer.

One frame's real pixels are delivered: where several candidates show the same, that of the one in
their middle. Where dirt only dims or tints, the picture under it is still there, and the law of
the dirt is undone instead. Where nothing fits the defect stays, and the answer says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.candidates import Candidate
from wetgate.operators.dirt.places import Place, grown
from wetgate.operators.fixes import Provenance

WORST = 2.4
"""Largest rim error of a candidate, in deviations that two clean frames leave."""
EXPLAINED = 0.4
"""Share of the rim's contrast up to which a candidate may be off where three agree: fine detail
that a displacement cannot follow hides what is left."""
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
_NOT_WORTH = 0.6
_LOST = 0.05
_SHARE_CLEAN = 0.5
_UNEVEN = 1.4
_THIN = 0.5  # least share of the picture's contrast that must come through to undo dirt
_FEWEST_THIN = 16
_FITS = 1.6
_ENOUGH = 2.0  # mean over channels; noise makes 0.8

HIDDEN = "no frame shows what is behind"
ASTRAY = "no frame fits around it"
POINTLESS = "a repair would show as much as the defect"

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What one hole becomes. Arrays have one row for a pixel of the place.

    Attributes:
        values: `(n, channel)`; those of pixels that stay are the source's.
        weight: 0-1, share of the new value; 0 stays.
        classes: provenance; 0 stays.
        steps: frames from the defect's to the one borrowed from, 0 where nothing is borrowed.
        candidates: by those steps.
        main: the step that most pixels are borrowed from, 0 for none.
        facts: what was measured on the way.
    """

    values: Values
    weight: NDArray[np.float32]
    classes: NDArray[np.uint8]
    steps: NDArray[np.int32]
    candidates: Mapping[int, Candidate]
    main: int
    facts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What is known of a defect besides its place; a row for a pixel of the place.

    Attributes:
        alpha: 0-1, how far dirt was found to cover it.
        source: `(n, channel)`, the pixels as they are.
        polarity: 1 brighter than the picture, -1 darker, 0 mixed.
    """

    alpha: NDArray[np.float32]
    source: Values
    polarity: int


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


def repair(place: Place, defect: Defect, offered: Mapping[int, Candidate | None]) -> Repaired | str:
    """Repair a defect, or say why it stays.

    Args:
        offered: by frames from the defect's frame; None where a neighbor has nothing.
    """
    usable = {
        k: c
        for k, c in offered.items()
        if c is not None and np.mean(c.behind) <= 1.0 - _SHARE_CLEAN
    }
    if not usable:
        return HIDDEN
    order, agreeing = ranked(place, usable)
    best = usable[order[0]]
    limit = max(WORST, EXPLAINED * place.contrast) if agreeing >= 3 else WORST
    if best.error > limit:
        return ASTRAY
    same = [k for k in order if usable[k].error <= 1.5 * max(best.error, 1.0)]
    values, steps = _filled(usable, same)
    known = steps != 0
    core = defect.alpha >= 1.0
    if np.count_nonzero(core & ~known) > _LOST * np.count_nonzero(core):
        return HIDDEN
    unit = place.sigma * np.sqrt(2.0)
    change = (defect.source.astype(np.float64) - values) / unit
    change[~known] = 0.0
    defect_rms = float(np.sqrt(np.mean(change[core & known] ** 2)))
    if best.error > _NOT_WORTH * defect_rms:
        return POINTLESS
    used = _reached(place, defect, change) & known
    weight = used.astype(np.float32)
    if best.error > _UNEVEN:  # the rims differ: soften the seam by a pixel
        weight = np.maximum(weight, np.float32(0.5) * (_beside(place, used) & known))
    classes = np.where(weight > 0, np.uint8(Provenance.BORROWED), np.uint8(0)).astype(np.uint8)
    facts = {
        "rim error": round(best.error, 4),
        "agreeing": float(agreeing),
        "contrast": round(defect_rms, 3),
        "rim offset": round(float(np.abs(best.offset / place.sigma).max()), 4),
    }
    undone = undo(place, defect, values, used)
    if undone is not None:
        clean, fits, share = undone
        values = np.where(fits[:, None], clean, values)
        classes[fits] = Provenance.REEXPOSED
        weight[fits] = 1.0
        steps = np.where(fits, 0, steps)
        facts["shines through"] = round(share, 4)
    steps = np.where(weight > 0, steps, 0)
    borrowed = steps[steps != 0]
    main = 0
    if borrowed.size:
        found, counts = np.unique(borrowed, return_counts=True)
        main = int(min(zip(-counts, np.abs(found), found, strict=True))[2])
    full = (weight == 1)[:, None]
    mixed = defect.source + weight[:, None] * (values - defect.source)
    return Repaired(
        values=np.where(full, values, np.where(weight[:, None] == 0, defect.source, mixed)),
        weight=weight,
        classes=classes,
        steps=steps.astype(np.int32),
        candidates={int(k): usable[int(k)] for k in np.unique(borrowed)},
        main=main,
        facts=facts,
    )


def _filled(
    candidates: Mapping[int, Candidate], order: Sequence[int]
) -> tuple[Values, NDArray[np.int32]]:
    """Take every pixel from the first candidate that is clean there, and tell which."""
    first = candidates[order[0]]
    values = first.values.copy()
    steps = np.where(first.behind, 0, order[0]).astype(np.int32)
    for k in order[1:]:
        missing = steps == 0
        if not missing.any():
            break
        here = missing & ~candidates[k].behind
        values[here] = candidates[k].values[here]
        steps[here] = k
    return values, steps


def _reached(place: Place, defect: Defect, change: NDArray[np.float64]) -> Mask:
    """Return the pixels that the defect reaches: where it was found and on while it shows."""
    found = defect.alpha >= _SOFT
    means = change.mean(axis=1) * np.sqrt(change.shape[1])
    shows = np.abs(means) >= _SEEN
    if defect.polarity:
        shows = defect.polarity * means >= _SEEN
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


def _well_inside(place: Place, used: Mask) -> Mask:
    """Return the pixels with nothing but used ones around them."""
    hole = place.hole
    outside = np.ones((hole.height + 2, hole.width + 2), np.uint8)
    at = place.y - hole.y0 + 1, place.x - hole.x0 + 1
    outside[at] = ~used
    return np.asarray(used & (grown(outside, 1)[at] == 0))


def undo(
    place: Place, defect: Defect, behind: Values, used: Mask
) -> tuple[Values, Mask, float] | None:
    """Undo dirt that lets the picture shine through: `source = share * picture + tint`.

    The share is found from how much of the contrast (and grain) of what a neighbor shows is left;
    the tint is the rest, a channel at a time. It is believed where it leaves no more than the
    noise of both frames.

    Args:
        behind: `(n, channel)`, what a neighbor shows of the place.
        used: the pixels to repair.

    Returns:
        The pixels without the dirt, where that holds, and the share; None where dirt is opaque,
        uneven or small.
    """
    source, picture = defect.source.astype(np.float64), behind.astype(np.float64)
    change = (source - picture) / place.sigma
    size = np.abs(change.mean(axis=1))
    # Where the dirt thins out toward its edge the law is another one.
    inside = _well_inside(place, used)
    inner = inside & (defect.alpha >= 1.0)
    if np.count_nonzero(inner) < _FEWEST_THIN:
        return None
    inner &= size >= 0.7 * np.median(size[inner])
    if np.count_nonzero(inner) < _FEWEST_THIN:
        return None
    a, b = source[inner], picture[inner]
    a, b = (a - a.mean(axis=0)) / place.sigma, (b - b.mean(axis=0)) / place.sigma
    share = float(np.sqrt(np.mean(a * a) / max(float(np.mean(b * b)), 1e-12)))
    share = min(share, 1.0)
    if share < _THIN:
        return None
    left = float(np.mean((a - share * b) ** 2))
    if left > _FITS * 2.0 * share**2:
        return None
    tint = source[inner].mean(axis=0) - share * picture[inner].mean(axis=0)
    clean = (source - tint) / share
    off = (np.abs(clean - picture) / (place.sigma * np.sqrt(2.0))).mean(axis=1)
    return clean.astype(np.float32), inside & (off <= _ENOUGH), share


def _distance(place: Place, a: Candidate, b: Candidate) -> float:
    """Return how far two candidates differ in the hole; two clean frames differ by 1."""
    both = ~(a.behind | b.behind)
    if not both.any():
        return float("inf")
    change = (a.values[both].astype(np.float64) - b.values[both]) / place.sigma
    return float(np.sqrt(np.mean(np.minimum(change**2, 400.0)) / 2.0))
