"""Show a network values in 0-1 and bring back what it changed, whatever the range was.

Networks from elsewhere were trained on display-referred pictures in 0-1. Scene-linear light is
shown to them in a curve that is sRGB's up to 1 and logarithmic beyond; what still lies outside 0-1
is brought inside by a local affine map, smooth in space, so that a lamp of 1000 dims nothing but
its own surroundings. Nothing is clamped: the network only ever gives a difference.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wetgate.color.shaper import LOG_KNEE

Pixels = NDArray[np.float32]
Doubles = NDArray[np.float64]

RADIUS = 16
REACH = 2 * RADIUS
"""Px that `local_range` looks at: a dilation, then a blur that stays within it."""

_TOE, _TOE_SLOPE, _GAMMA, _OFFSET = 0.0031308, 12.92, 2.4, 0.055
_TOE_END = _TOE_SLOPE * _TOE
_BEYOND = (1.0 + _OFFSET) / _GAMMA
"""Slope of the curve at 1, where the logarithm takes over."""
_SPAN = float(np.log1p(1.0 / LOG_KNEE))
"""What the logarithm of the working encoding is divided by."""


def display(linear: Doubles) -> Doubles:
    """Return the curve of scene-linear values: odd, continuous, unbounded, 0 -> 0, 1 -> 1.

    Source: IEC 61966-2-1 up to 1; beyond it the logarithm of the same slope.
    """
    size = np.abs(linear)
    middle = (1.0 + _OFFSET) * np.maximum(size, _TOE) ** (1.0 / _GAMMA) - _OFFSET
    far = 1.0 + _BEYOND * np.log(np.maximum(size, 1.0))
    curve = np.where(size <= _TOE, _TOE_SLOPE * size, np.where(size <= 1.0, middle, far))
    return np.copysign(curve, linear)


def display_inverse(shown: Doubles) -> Doubles:
    """Return the scene-linear values of which `display` is `shown`; Inf where float64 ends."""
    size = np.abs(shown)
    middle = ((np.clip(size, _TOE_END, 1.0) + _OFFSET) / (1.0 + _OFFSET)) ** _GAMMA
    with np.errstate(over="ignore"):
        far = np.exp((np.maximum(size, 1.0) - 1.0) / _BEYOND)
    linear = np.where(size <= _TOE_END, size / _TOE_SLOPE, np.where(size <= 1.0, middle, far))
    return np.copysign(linear, shown)


def to_display(working: Pixels, *, is_log: bool) -> Pixels:
    """Return what a network is shown of the working encoding, before `local_range`."""
    return _evaluate(working, _shown_of_log) if is_log else working


def from_display(shown: Pixels, *, is_log: bool) -> Pixels:
    """Return the working encoding of which `to_display` is `shown`."""
    return _evaluate(shown, _log_of_shown) if is_log else shown


def _shown_of_log(log: Doubles) -> Doubles:
    """Return `display` of the light of which `log` is `color.shaper.signed_log`.

    Beyond 1 both curves are logarithms: the light itself, which may not fit a number, is skipped.
    """
    size = np.abs(log) * _SPAN
    inside = display(np.expm1(np.minimum(size, _SPAN)) * LOG_KNEE)
    exponent = np.maximum(size, _SPAN)
    stops = exponent + np.log1p(-np.exp(-exponent)) + np.log(LOG_KNEE)
    return np.copysign(np.where(size <= _SPAN, inside, 1.0 + _BEYOND * stops), log)


def _log_of_shown(shown: Doubles) -> Doubles:
    """Return the inverse of `_shown_of_log`."""
    size = np.abs(shown)
    inside = np.log1p(display_inverse(np.minimum(size, 1.0)) / LOG_KNEE)
    stops = (np.maximum(size, 1.0) - 1.0) / _BEYOND
    beyond = np.logaddexp(0.0, stops - np.log(LOG_KNEE))
    return np.copysign(np.where(size <= 1.0, inside, beyond) / _SPAN, shown)


def local_range(shown: Pixels) -> tuple[Pixels, Pixels]:
    """Return an offset and a scale per pixel that bring every value into 0-1.

    Exactly 0 and 1 where nothing within `REACH` px lies outside 0-1, so ordinary pictures are
    shown as they are. All channels share them: colors keep their hue.

    Args:
        shown: float32 `(height, width, channel)`, finite.

    Returns:
        `(offset, scale)`, each `(height, width, 1)`; `0 <= (shown - offset) / scale <= 1` up to
        rounding.
    """
    above = _spread(np.maximum(shown.max(axis=2) - np.float32(1.0), np.float32(0.0)))
    below = _spread(np.maximum(-shown.min(axis=2), np.float32(0.0)))
    scale = np.float32(1.0) + above + below
    return -below[..., None], scale[..., None]


def _spread(plane: Pixels) -> Pixels:
    """Return a smooth plane that is nowhere below the given one.

    A dilation by 16 px, then two boxes of 16 px, whose reach is 15: the mean of values that are
    all at least as large. Sums are trees of shifted planes, so bits do not depend on the cut.
    """
    if not plane.any():
        return plane
    for axis in (0, 1):
        plane = _combine(plane, axis, np.maximum, doubling=(1, 2, 4, 8, 16), first=-RADIUS)
        plane = _combine(plane, axis, np.maximum, doubling=(1,), first=0)
    for axis in (0, 1):
        for first in (-(RADIUS - 1), 0):
            total = _combine(plane, axis, np.add, doubling=(1, 2, 4, 8), first=first)
            plane = total * np.float32(1.0 / RADIUS)
    return plane


def _combine(
    plane: Pixels, axis: int, join: np.ufunc, *, doubling: tuple[int, ...], first: int
) -> Pixels:
    """Join `2 ** len(doubling)` neighbors, from `first` on; beyond the rim it is the rim."""
    count = 1 << len(doubling)
    pads = [(0, 0), (0, 0)]
    pads[axis] = (max(0, -first), max(0, first + count - 1))
    wide = np.pad(plane, pads, mode="edge")
    for step in doubling:
        here: list[slice] = [slice(None), slice(None)]
        there = list(here)
        here[axis], there[axis] = slice(None, -step), slice(step, None)
        wide = join(wide[tuple(here)], wide[tuple(there)])
    start = max(0, first)
    cut: list[slice] = [slice(None), slice(None)]
    cut[axis] = slice(start, start + plane.shape[axis])
    return np.ascontiguousarray(wide[tuple(cut)], dtype=np.float32)


def _evaluate(values: Pixels, curve: Callable[[Doubles], Doubles]) -> Pixels:
    made: Pixels = curve(values.astype(np.float64)).astype(np.float32)
    return made
