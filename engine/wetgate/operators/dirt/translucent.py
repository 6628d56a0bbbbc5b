"""Undo dirt that lets the picture shine through, rather than replace it."""

from __future__ import annotations

import numpy as np

from wetgate.operators.dirt.defects import Defect, Mask, Values
from wetgate.operators.dirt.places import Place, grown

_THIN = 0.5  # least share of the picture's contrast that must come through to undo dirt
_FEWEST_THIN = 16
_FITS = 1.6
_ENOUGH = 2.0  # mean over channels; noise makes 0.8


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
