"""Dye fade: cyan, magenta and yellow lose their densities at different speeds, and a stain grows.

Densities of the dyes add at every wavelength (Beer-Lambert), hence approximately in the three
bands of a scanner: `D = M a`, with `a` the amounts of cyan, magenta and yellow and `M` their
densities for red, green and blue, side absorptions included. Fading acts on `a`; the stain adds to
`D`. Amounts fade by `a' = a (keep + resist * a)` where a > 0, linear below: dense areas keep a
larger share, as measured for chromogenic dyes.

Source of the matrix model: Gschwind and Frey, "Electronic imaging, a tool for the reconstruction
of faded color photographs", Journal of Imaging Science and Technology 38, 1994.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.film import DENSITY_PER_CODE
from wetgate.simulate.random import Domain, stream

_WHITE_CODE = 685.0
_SCALE = 1023 * DENSITY_PER_CODE


@dataclass(frozen=True, slots=True, kw_only=True)
class FadeSpec:
    """How far each dye has gone.

    Attributes:
        keep: share of thin cyan, magenta and yellow that is left, each above 0.
        resist: what `keep` gains per unit of amount, cyan, magenta, yellow; 0 or more.
        crosstalk: density for red, green, blue (rows) of one unit of cyan, magenta, yellow
            (columns).
        stain: density added to red, green, blue everywhere.
        uneven: how much further the worst corner has faded, as an exponent: there
            `keep ** (1 + uneven)` is left. 0 for an even fade.
    """

    keep: tuple[float, float, float] = (0.55, 0.9, 0.7)
    resist: tuple[float, float, float] = (0.05, 0.02, 0.03)
    crosstalk: tuple[tuple[float, float, float], ...] = (
        (1.0, 0.10, 0.02),
        (0.18, 1.0, 0.12),
        (0.08, 0.25, 1.0),
    )
    stain: tuple[float, float, float] = (0.0, 0.02, 0.08)
    uneven: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 < k <= 1 for k in self.keep):
            raise ValueError(f"keep must be above 0 and at most 1, got {self.keep}")
        if min(self.resist) < 0:
            raise ValueError(f"resist must not be negative, got {self.resist}")


@dataclass(frozen=True, slots=True)
class FadeTruth:
    """The fade of one frame.

    Attributes:
        crosstalk: float64 `(3, 3)`, as in the spec.
        keep: float32 `(height, width, 3)`: what is left of thin dye, pixel by pixel.
        resist, stain: float64 `(3,)`.
    """

    crosstalk: NDArray[np.float64]
    keep: NDArray[np.float32]
    resist: NDArray[np.float64]
    stain: NDArray[np.float64]

    def apply(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fade a log picture `(height, width, 3)`; monotone in each dye, nothing clipped."""
        amount = _mix(_inverse(self.crosstalk), density_of(encoded))
        left = amount * (self.keep + self.resist * np.maximum(amount, 0))
        return encoded_from(_mix(self.crosstalk, left) + self.stain)

    def undo(self, faded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `apply`."""
        left = _mix(_inverse(self.crosstalk), density_of(faded) - self.stain)
        keep = self.keep.astype(np.float64)
        # The positive root of resist a^2 + keep a = left, in the form that resist 0 allows.
        root = np.sqrt(keep**2 + 4 * self.resist * np.maximum(left, 0))
        amount = np.where(left > 0, 2 * left / (keep + root), left / keep)
        return encoded_from(_mix(self.crosstalk, amount))


def density_of(encoded: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the density of a positive: 0 at log white (code 685), more where it is darker.

    Whiter than white is a negative density; it fades linearly.
    """
    return _WHITE_CODE * DENSITY_PER_CODE - encoded.astype(np.float64) * _SCALE


def encoded_from(density: NDArray[np.float64]) -> NDArray[np.float32]:
    """Invert `density_of`."""
    return ((_WHITE_CODE * DENSITY_PER_CODE - density) / _SCALE).astype(np.float32)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.linalg.inv(matrix).astype(np.float64)
    return result


def _mix(matrix: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Summed by hand: a matrix product may order its sums by the number of threads.
    red, green, blue = values[..., 0], values[..., 1], values[..., 2]
    return np.stack([row[0] * red + row[1] * green + row[2] * blue for row in matrix], axis=-1)


def fade_truth(
    spec: FadeSpec,
    seed: int,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> FadeTruth:
    """Return the fade at film coordinates, the same for every frame of a seed.

    Args:
        x, y: `(height, width)`, film coordinates: 0 at the center, 1 at the farther edge.
    """
    draw = stream(seed, Domain.FADE)
    heading = float(draw.uniform(0, 2 * math.pi))
    bow = float(draw.uniform(0.3, 0.7))
    along = 0.5 + 0.5 * (x * math.cos(heading) + y * math.sin(heading)) / math.sqrt(2)
    reach = bow * np.clip(along, 0, 1) + (1 - bow) * np.minimum(1, (x**2 + y**2) / 2)
    exponent = 1 + spec.uneven * reach
    keep = np.stack([k**exponent for k in spec.keep], axis=-1)
    return FadeTruth(
        np.array(spec.crosstalk, np.float64),
        keep.astype(np.float32),
        np.array(spec.resist, np.float64),
        np.array(spec.stain, np.float64),
    )
