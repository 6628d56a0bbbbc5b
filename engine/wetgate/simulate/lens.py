"""The lens: diffraction, defocus and aberration that grow toward the corners, in linear light.

The point spread function (PSF) of a pixel is a mixture of those on a few rings around the center,
linear in the distance between two rings, so that the blur of the whole picture is a sum of plain
convolutions and the PSF of every pixel is known exactly.

Source: Goodman, "Introduction to Fourier Optics": the Airy pattern `(2 J1(v) / v)**2` with
`v = pi r / (wavelength * f-number)`, first zero at `r = 1.22 * wavelength * f-number`; geometric
defocus spreads a point over a disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RINGS = 4
_FINE = 5
_FIRST_ZERO = 1.2196698912665045
_AIRY_REACH = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LensSpec:
    """How the lens blurs, in px of the shot.

    Attributes:
        airy: radius of the first dark ring (0.5 is sharp; f/8 on 5 um pixels is 1.07); 0 for none.
        defocus: radius of the disk of confusion.
        aberration: standard deviation of a Gaussian blur.
        corner: factor by which defocus and aberration have grown in the corner, as the square of
            the distance to the center.
    """

    airy: float = 0.8
    defocus: float = 0.0
    aberration: float = 0.0
    corner: float = 1.0


@dataclass(frozen=True, slots=True)
class LensTruth:
    """What the lens did.

    Attributes:
        sigma: float32 `(height, width)`: standard deviation of the PSF along one axis, px.
        kernels: float64 `(ring, size, size)`, each with sum 1.
        weights: float32 `(ring, height, width)` with sum 1: the PSF of a pixel is the sum of
            `weights[:, y, x] * kernels`.
    """

    sigma: NDArray[np.float32]
    kernels: NDArray[np.float64]
    weights: NDArray[np.float32]

    def psf(self, x: int, y: int) -> NDArray[np.float64]:
        """Return the PSF of one pixel, `(size, size)`, sum 1."""
        result: NDArray[np.float64] = np.tensordot(
            self.weights[:, y, x].astype(np.float64), self.kernels, 1
        )
        return result


def bessel_j1(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Bessel function J1 by its integral over 0 to pi; exact to 1e-12 for x < 60."""
    nodes = 128
    angle = (np.arange(nodes) + 0.5) * math.pi / nodes
    result: NDArray[np.float64] = np.cos(angle - np.multiply.outer(x, np.sin(angle))).mean(axis=-1)
    return result


def point_spread(airy: float, defocus: float, aberration: float, reach: int) -> NDArray[np.float64]:
    """Return the PSF over pixels, `(2 reach + 1, 2 reach + 1)`, sum 1.

    The three parts are sampled on a grid `_FINE` times finer, convolved with one another, and
    integrated over each pixel.
    """
    fine = (2 * reach + 1) * _FINE
    axis = (np.arange(fine) - (fine - 1) / 2) / _FINE
    distance = np.hypot(axis[:, None], axis[None, :])
    result = _unit(distance < 0.5 / _FINE)
    if airy > 0:
        result = _unit(_airy(distance, airy))
    if defocus > 0:
        # The share of a fine cell inside the disk, linear across its rim.
        result = _convolve(result, _unit(np.clip((defocus - distance) * _FINE + 0.5, 0, 1)))
    if aberration > 0:
        result = _convolve(result, _unit(np.exp(-0.5 * (distance / aberration) ** 2)))
    blocks = result.reshape(2 * reach + 1, _FINE, 2 * reach + 1, _FINE).sum(axis=(1, 3))
    return _unit(np.maximum(blocks, 0))


def _airy(distance: NDArray[np.float64], first_zero: float) -> NDArray[np.float64]:
    v = np.maximum(distance * (math.pi * _FIRST_ZERO / first_zero), 1e-9)
    result: NDArray[np.float64] = (2 * bessel_j1(v) / v) ** 2
    return result


def _unit(values: NDArray[np.generic]) -> NDArray[np.float64]:
    weights = np.asarray(values, np.float64)
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def _convolve(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve two centered arrays of the same odd size, keeping the size."""
    size = a.shape[0]
    full = np.fft.irfft2(np.fft.rfft2(a, (2 * size, 2 * size)) * np.fft.rfft2(b, (2 * size,) * 2))
    start = (size - 1) // 2
    return full[start : start + size, start : start + size]


def _reach(spec: LensSpec) -> int:
    grown = max(1.0, spec.corner)
    parts = _AIRY_REACH * spec.airy, spec.defocus * grown, 4 * spec.aberration * grown
    return max(1, math.ceil(sum(parts)))


def lens_truth(spec: LensSpec, size: tuple[int, int]) -> LensTruth:
    """Return the PSF over a picture of `size` `(width, height)`.

    Raises:
        ValueError: when a radius is negative.
    """
    if min(spec.airy, spec.defocus, spec.aberration, spec.corner) < 0:
        raise ValueError(f"radii must not be negative, got {spec}")
    width, height = size
    rings = 1 if spec.corner == 1 else _RINGS
    reach = _reach(spec)
    kernels = []
    for ring in range(rings):
        share = (ring / max(1, rings - 1)) ** 2
        grown = 1 + (spec.corner - 1) * share
        kernels.append(
            point_spread(spec.airy, spec.defocus * grown, spec.aberration * grown, reach)
        )
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
    radius /= max(math.hypot((width - 1) / 2, (height - 1) / 2), 1e-9)
    place = radius * (rings - 1)
    weights = np.stack([np.maximum(0, 1 - np.abs(place - k)) for k in range(rings)])
    stack = np.stack(kernels)
    axis = np.arange(-reach, reach + 1)
    moments = (stack.sum(axis=1) * axis**2).sum(axis=1)
    sigma = np.sqrt(np.tensordot(moments, weights, axes=(0, 0)))
    return LensTruth(sigma.astype(np.float32), stack, weights.astype(np.float32))


def _fast_length(length: int) -> int:
    """Return the next length that has no prime factor above 5."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def blur(picture: NDArray[np.float32], truth: LensTruth) -> NDArray[np.float32]:
    """Blur linear light `(height, width, channel)`; the picture is reflected at its edges.

    Each pixel gathers with its own PSF. Sums are taken in float64, so that light of 1000 leaves
    no ringing of its own beside a shadow.
    """
    reach = truth.kernels.shape[-1] // 2
    height, width = picture.shape[:2]
    padded = np.pad(picture.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), "reflect")
    shape = _fast_length(padded.shape[0]), _fast_length(padded.shape[1])
    spectrum = np.fft.rfft2(padded, shape, axes=(0, 1))
    result: NDArray[np.float64] = np.zeros(picture.shape, np.float64)
    for kernel, weight in zip(truth.kernels, truth.weights, strict=True):
        # The PSFs are symmetric: to correlate and to convolve is the same.
        transfer = np.fft.rfft2(kernel, shape)
        blurred = np.fft.irfft2(spectrum * transfer[..., None], shape, axes=(0, 1))
        inner = blurred[2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]
        result += weight[..., None] * inner
    return result.astype(np.float32)
