"""The characteristic curve: how a film or a print holds light back in toe and shoulder.

Source: Hurter and Driffield, "Photochemical investigations and a new method of determination of
the sensitiveness of photographic plates", 1890: density against the logarithm of exposure has a
toe, a straight part of slope gamma and a shoulder. The logistic form has all three and a closed
inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneSpec:
    """A logistic curve in encoded units (which are proportional to log exposure).

    `y = low + (high - low) / (1 + exp(-k (x - center)))`, `k = 4 contrast / (high - low)`.

    Attributes:
        contrast: slope in the middle; 1 copies, 1.3 is the print of a print.
        center: encoded value in the middle of the straight part.
        low, high: encoded values that are never passed: base fog and the deepest silver.
    """

    contrast: float = 1.25
    center: float = 0.46
    low: float = 0.07
    high: float = 0.78

    def __post_init__(self) -> None:
        if not (self.contrast > 0 and self.low < self.high):
            raise ValueError(f"need contrast > 0 and low < high, got {self}")

    def apply(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map encoded values; any real value in, strictly between `low` and `high` out."""
        span = self.high - self.low
        slope = 4 * self.contrast / span
        t = slope * (encoded.astype(np.float64) - self.center)
        curve = 0.5 * (1 + np.tanh(0.5 * t))
        result: NDArray[np.float32] = (self.low + span * curve).astype(np.float32)
        return result

    def undo(self, toned: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `apply`; minus or plus infinity at `low` and `high`, NaN beyond them."""
        span = self.high - self.low
        share = (toned.astype(np.float64) - self.low) / span
        slope = 4 * self.contrast / span
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.log(share / (1 - share))
        result: NDArray[np.float32] = (self.center + t / slope).astype(np.float32)
        return result


def expose(linear: NDArray[np.float32], stops: float) -> NDArray[np.float32]:
    """Multiply scene-linear light by `2 ** stops`."""
    result: NDArray[np.float32] = linear * np.float32(math.pow(2.0, stops))
    return result
