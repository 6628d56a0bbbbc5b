"""Film: exposure, printing density and its 10-bit code, and grain with a known law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.random import Domain, stream

DENSITY_PER_CODE = 0.002
"""Printing density of one 10-bit code."""

_WHITE_CODE = 685.0
_BLACK_CODE = 95.0
_GAMMA = 0.6
CODES_PER_DECADE = _GAMMA / DENSITY_PER_CODE
"""10-bit log codes that a factor of ten in light takes."""
_BLACK = 10.0 ** ((_BLACK_CODE - _WHITE_CODE) / CODES_PER_DECADE)


def log_encode(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode scene-linear light as a Cineon log code scaled by 1/1023, not rounded.

    `code = 685 + 300 log10(x (1 - b) + b)`, `b = 10 ** ((95 - 685) / 300)`: white 1.0 is code
    685, black 0 is code 95, 300 codes a decade (0.6 of gamma at 0.002 density a code). Light
    below zero, which film cannot record, counts as none.

    Source: Kennel, "Digital film scanning and recording: the technology and practice", SMPTE
    Journal, March 1994; Kodak, "Conversion of 10-bit log film data to 8-bit linear or video
    data for the Cineon digital film system", 1995.
    """
    light = np.maximum(linear, np.float32(0)).astype(np.float64) * (1 - _BLACK) + _BLACK
    code = _WHITE_CODE + CODES_PER_DECADE * np.log10(light)
    result: NDArray[np.float32] = (code / 1023.0).astype(np.float32)
    return result


def log_decode(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Invert `log_encode`."""
    exponent = (encoded.astype(np.float64) * 1023.0 - _WHITE_CODE) / CODES_PER_DECADE
    result: NDArray[np.float32] = ((10.0**exponent - _BLACK) / (1 - _BLACK)).astype(np.float32)
    return result


def expand_highlights(picture: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Guess the scene behind a photograph that was rendered for a display.

    `x / (1 - (1 - 1/peak) x)`: slope 1 at black, and display white becomes `peak`, as the
    shoulder of a camera's rendering would have it.

    Args:
        picture: display light, 0-1.
        peak: scene-linear value of display white, above 1.
    """
    clipped = np.clip(picture, 0, 1)
    result: NDArray[np.float32] = (clipped / (1 - (1 - 1 / peak) * clipped)).astype(np.float32)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class GrainSpec:
    """Film grain in printing density.

    The grain of one channel is `sigma(D) * g`, with `g` a stationary Gaussian field of variance 1.
    Its power spectrum is the square of the sampled kernel's transform (`spectrum`), and
    `sigma(D)**2 = gain**2 * (floor**2 + granularity**2 * D)`. With `disk` the spectrum is that of
    the Boolean model of thin coverage, `(2 J1(v) / v)**2` with `v = 2 pi disk f`, seen through the
    aperture.

    Source of the square-root law: Nutting, "On the absorption of light in heterogeneous media",
    Phil. Mag. 26, 1913. The Gaussian-blurred field stands for the Boolean grain model seen through
    a scanner aperture: Newson, Delon, Galerne, "A stochastic film grain model for
    resolution-independent rendering", Computer Graphics Forum 36, 2017.

    Attributes:
        granularity: standard deviation at density 1, in density.
        floor: standard deviation at density 0 (base fog and scanner), in density.
        radius: standard deviation of the Gaussian aperture, px; 0 gives white noise.
        channel_gain: factor on sigma for red, green, blue (the blue layer is coarsest).
        correlation: correlation between any two channels, 0-1.
        disk: radius of the grains of the Boolean model, px; 0 leaves the aperture alone.
        density: of the film that the grain lies on: "negative" is dense where the scene is
            bright, "print" where it is dark (density 0 at the top code).
    """

    granularity: float = 0.042
    floor: float = 0.006
    radius: float = 0.7
    channel_gain: tuple[float, float, float] = (1.0, 0.9, 1.35)
    correlation: float = 0.25
    disk: float = 0.0
    density: Literal["negative", "print"] = "negative"

    def sigma(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the grain's standard deviation at `encoded` log values, in encoded units.

        Density is that above code 0, or below the top code on a print. Shape `(..., 3)` in and
        out.
        """
        height = encoded if self.density == "negative" else 1 - encoded
        density = np.maximum(height, np.float32(0)) * np.float32(1023 * DENSITY_PER_CODE)
        gains = np.asarray(self.channel_gain, np.float32)
        deviation = np.sqrt(np.float32(self.floor**2) + np.float32(self.granularity**2) * density)
        result: NDArray[np.float32] = deviation * gains / np.float32(1023 * DENSITY_PER_CODE)
        return result

    def kernel(self) -> NDArray[np.float64]:
        """Return the aperture along one axis; its squares sum to 1."""
        if self.radius <= 0:
            return np.ones(1)
        reach = math.ceil(4 * self.radius)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.radius) ** 2)
        result: NDArray[np.float64] = taps / np.sqrt(np.sum(taps**2))
        return result

    def kernel_2d(self) -> NDArray[np.float64]:
        """Return the grain's shape under the aperture, `(size, size)`; its squares sum to 1."""
        taps = self.kernel()
        if self.disk <= 0:
            return np.outer(taps, taps)
        reach = taps.size // 2 + math.ceil(self.disk + 0.5)
        fine = 8
        axis = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
        cell = np.hypot(axis[:, None], axis[None, :]) <= self.disk
        # A grain is averaged over each pixel before the aperture sees it.
        grain = cell.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean(axis=(1, 3))
        for tap_axis in (0, 1):
            grain = np.apply_along_axis(np.convolve, tap_axis, grain, taps, "same")
        result: NDArray[np.float64] = grain / np.sqrt(np.sum(grain**2))
        return result

    def spectrum_2d(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the power density at frequencies `x` and `y` (one shape), cycles/px; mean 1."""
        kernel = self.kernel_2d()
        offsets = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
        across = np.cos(2 * np.pi * np.multiply.outer(x, offsets))
        down = np.cos(2 * np.pi * np.multiply.outer(y, offsets))
        # The kernel is symmetric: its transform is real, a sum of products of cosines.
        transform = np.einsum("...j,jk,...k->...", down, kernel, across)
        result: NDArray[np.float64] = transform**2
        return result

    def spectrum(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the power density along one axis at `frequency`, cycles/px; its mean is 1.

        The two-dimensional density is the product of the two axes' (without `disk`; with it,
        `spectrum_2d`).
        """
        taps = self.kernel()
        offsets = np.arange(taps.size) - taps.size // 2
        transform = np.cos(2 * np.pi * np.multiply.outer(frequency, offsets)) @ taps
        result: NDArray[np.float64] = transform**2
        return result


def grain_field(
    spec: GrainSpec, seed: int, number: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the unit grain of one frame, float32 `(height, width, 3)`, variance 1 a channel."""
    taps = spec.kernel()
    kernel = spec.kernel_2d() if spec.disk > 0 else None
    reach = taps.size // 2 if kernel is None else kernel.shape[0] // 2
    height, width = shape
    # Made with a margin, so that the field is stationary up to the edge.
    white = stream(seed, Domain.GRAIN, number).standard_normal(
        (height + 2 * reach, width + 2 * reach, 3), dtype=np.float32
    )
    field = np.zeros((height, width, 3), np.float32)
    if kernel is None:
        tall = np.zeros((height, *white.shape[1:]), np.float32)
        for k, weight in enumerate(taps.astype(np.float32)):
            tall += weight * white[k : k + height]
        for k, weight in enumerate(taps.astype(np.float32)):
            field += weight * tall[:, k : k + width]
    else:
        for row, column in zip(*np.nonzero(kernel), strict=True):
            weight = np.float32(kernel[row, column])
            field += weight * white[row : row + height, column : column + width]
    covariance = np.full((3, 3), spec.correlation) + (1 - spec.correlation) * np.eye(3)
    mix = np.linalg.cholesky(covariance).astype(np.float32)
    # Summed by hand: a matrix product may order its sums by the number of threads.
    red, green, blue = field[..., 0], field[..., 1], field[..., 2]
    return np.stack(
        (
            mix[0, 0] * red,
            mix[1, 0] * red + mix[1, 1] * green,
            mix[2, 0] * red + mix[2, 1] * green + mix[2, 2] * blue,
        ),
        axis=-1,
    )


def add_grain(
    encoded: NDArray[np.float32], spec: GrainSpec, seed: int, number: int
) -> NDArray[np.float32]:
    """Add grain to a log picture `(height, width, 3)`; returns a new array, not clipped."""
    field = grain_field(spec, seed, number, (encoded.shape[0], encoded.shape[1]))
    result: NDArray[np.float32] = encoded + spec.sigma(encoded) * field
    return result
