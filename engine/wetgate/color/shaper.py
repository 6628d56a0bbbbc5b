"""Invertible range curves for scene-linear values of either sign and any size.

Both are odd, smooth, unbounded and have a closed inverse, so nothing is clamped: negatives of a
wide gamut and highlights far above 1 keep their places. They are evaluated in float64 and rounded
once, which keeps a float32 round trip near the curve's own conditioning (16 ulp at 65504) and the
result independent of how arrays are cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LOG_KNEE = 1.0 / 128.0
"""Where `signed_log` turns from linear to logarithmic; the break of ACEScct (0.0078125)."""

ASINH_KNEE = 1.0 / 256.0
ASINH_WHITE = 16.0
"""Scene-linear value that `asinh_shaper` maps to 1."""

_CHUNK = 1 << 16

_Doubles = NDArray[np.float64]


def signed_log(x: NDArray[np.float32], knee: float = LOG_KNEE) -> NDArray[np.float32]:
    """Return `sign(x) * log1p(|x| / knee) / log1p(1 / knee)`: 0 -> 0, 1 -> 1, odd, C1 at 0.

    Args:
        x: float32, any shape, scene-linear, un-clamped. NaN and Inf pass through.
        knee: above 0; near-linear below it, logarithmic above.

    Source: the signed logarithm; with the knee at ACEScct's break the range of half floats
    maps to +-3.3.
    """
    scale = 1.0 / np.log1p(1.0 / _positive(knee, "knee"))
    return _evaluate(x, lambda v: np.copysign(np.log1p(np.abs(v) / knee) * scale, v))


def signed_log_inverse(y: NDArray[np.float32], knee: float = LOG_KNEE) -> NDArray[np.float32]:
    """Return the `x` of which `signed_log(x, knee)` is `y`; Inf where float32 ends."""
    scale = np.log1p(1.0 / _positive(knee, "knee"))
    return _evaluate(y, lambda v: np.copysign(np.expm1(np.abs(v) * scale) * knee, v))


def asinh_shaper(
    x: NDArray[np.float32], knee: float = ASINH_KNEE, white: float = ASINH_WHITE
) -> NDArray[np.float32]:
    """Return `asinh(x / knee) / asinh(white / knee)`: 0 -> 0, `white` -> 1, odd, smooth.

    Args:
        x: float32, any shape, scene-linear, un-clamped. NaN and Inf pass through.
    """
    scale = 1.0 / np.arcsinh(_positive(white, "white") / _positive(knee, "knee"))
    return _evaluate(x, lambda v: np.arcsinh(v / knee) * scale)


def asinh_shaper_inverse(
    y: NDArray[np.float32], knee: float = ASINH_KNEE, white: float = ASINH_WHITE
) -> NDArray[np.float32]:
    """Return the `x` of which `asinh_shaper(x, knee, white)` is `y`; Inf where float32 ends."""
    scale = np.arcsinh(_positive(white, "white") / _positive(knee, "knee"))
    return _evaluate(y, lambda v: np.sinh(v * scale) * knee)


def _positive(value: float, name: str) -> float:
    if not 0.0 < value < np.inf:
        raise ValueError(f"{name} must be above 0, got {value}")
    return value


def _evaluate(
    values: NDArray[np.float32], curve: Callable[[_Doubles], _Doubles]
) -> NDArray[np.float32]:
    if values.dtype != np.float32:
        raise ValueError(f"a shaper takes float32, got {values.dtype}")
    out = np.array(values, dtype=np.float32, order="C", copy=True)
    flat = out.reshape(-1)
    # NaN carries no information here, and beyond float32 the honest answer is Inf.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            part[:] = curve(part.astype(np.float64))
    return out
