"""Flicker: exposure and contrast that change from frame to frame, over all and in patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.process import Series
from wetgate.simulate.random import Domain

_PATCH_LANE = 1
_LARGEST_GAMMA = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FlickerSpec:
    """How strongly the exposure wavers.

    Attributes:
        gain: standard deviation of the slow part of the exposure, stops.
        gain_jitter: the same for the part without memory.
        gamma: standard deviation of the contrast about 1.
        memory: correlation of the slow parts from one frame to the next, 0-0.99.
        patches: how many soft patches drift over the picture.
        patch_gain: standard deviation of a patch's exposure in its center, stops.
        patch_size: standard deviation of a patch's extent, share of the picture's height.
    """

    gain: float = 0.06
    gain_jitter: float = 0.03
    gamma: float = 0.015
    memory: float = 0.5
    patches: int = 0
    patch_gain: float = 0.08
    patch_size: float = 0.22


@dataclass(frozen=True, slots=True)
class FlickerTruth:
    """The flicker of one frame, an exact law from steady to flickering values.

    With `law` "density" (log codes): `y = pivot + gamma (x - pivot) + unit (stops + local)`.
    With "gain" (display codes): `y = sign(x) pivot |x / pivot| ** gamma * 2 ** (unit (stops +
    local))`.

    Attributes:
        stops: exposure over the whole frame.
        gamma: contrast about `pivot`.
        local: float32 `(height, width)`, further exposure, stops.
        law, pivot, unit: as above; `unit` is encoded units (or decades of two) a stop.
    """

    stops: float
    gamma: float
    local: NDArray[np.float32]
    law: Literal["density", "gain"]
    pivot: float
    unit: float

    def apply(self, steady: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let a picture `(height, width, channel)` flicker."""
        x = steady.astype(np.float64)
        exposure = self.unit * (self.stops + self.local.astype(np.float64))[..., None]
        if self.law == "density":
            y = self.pivot + self.gamma * (x - self.pivot) + exposure
        else:
            y = self._power(x, self.gamma) * np.exp2(exposure)
        result: NDArray[np.float32] = y.astype(np.float32)
        return result

    def undo(self, flickering: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `apply`."""
        y = flickering.astype(np.float64)
        exposure = self.unit * (self.stops + self.local.astype(np.float64))[..., None]
        if self.law == "density":
            x = self.pivot + (y - exposure - self.pivot) / self.gamma
        else:
            x = self._power(y * np.exp2(-exposure), 1 / self.gamma)
        result: NDArray[np.float32] = x.astype(np.float32)
        return result

    def _power(self, x: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.sign(x) * self.pivot * np.abs(x / self.pivot) ** gamma
        return result


def flicker_truth(
    spec: FlickerSpec,
    seed: int,
    number: int,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    law: Literal["density", "gain"],
    unit: float,
    pivot: float = 0.46,
) -> FlickerTruth:
    """Return the flicker of one frame.

    Args:
        x, y: `(height, width)` film coordinates: 0 at the center, 1 at the right and lower edge.
        law, unit, pivot: as in `FlickerTruth`.
    """
    slow, white = Series(spec.memory, 2).at(seed, Domain.FLICKER, number)
    gamma = 1 + spec.gamma * float(slow[1])
    local = np.zeros(x.shape, np.float64)
    if spec.patches:
        # Place and strength of each patch; places move four times slower than strengths.
        strength, _ = Series(spec.memory, spec.patches).at(
            seed, Domain.FLICKER, number, _PATCH_LANE
        )
        places, _ = Series(max(spec.memory, 0.9), 2 * spec.patches).at(
            seed, Domain.FLICKER, number, _PATCH_LANE + 1
        )
        aspect = x.shape[1] / x.shape[0]
        size = 2 * spec.patch_size
        for k in range(spec.patches):
            far = ((x - 0.5 * places[2 * k]) * aspect) ** 2 + (y - 0.5 * places[2 * k + 1]) ** 2
            local += spec.patch_gain * strength[k] * np.exp(-0.5 * far / size**2)
    return FlickerTruth(
        stops=spec.gain * float(slow[0]) + spec.gain_jitter * float(white[0]),
        gamma=min(max(gamma, _LARGEST_GAMMA), 1 / _LARGEST_GAMMA),
        local=local.astype(np.float32),
        law=law,
        pivot=pivot,
        unit=unit,
    )


def stop_in_codes(codes_per_decade: float) -> float:
    """Return how many encoded units (of 1023 codes) one stop is on a log scale."""
    return codes_per_decade * math.log10(2) / 1023
