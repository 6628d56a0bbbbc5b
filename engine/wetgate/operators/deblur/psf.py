"""Point spread functions of lenses: what a point of light becomes, in px of the frame."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_FINE = 9  # samples a px and direction inside a disc's rim

Kernel = NDArray[np.float64]
"""`(side, side)`, side odd, sum 1."""


def gaussian_taps(sigma: float, reach: int | None = None) -> NDArray[np.float64]:
    """Return the taps `-reach..reach` of a sampled Gaussian, sum 1.

    Args:
        sigma: px; 0 gives a single 1 in the middle.
        reach: px either side; None for what lies within 3.2 deviations.
    """
    if reach is None:
        reach = max(1, math.ceil(3.2 * sigma))
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    if sigma <= 0.0:
        return np.asarray(x == 0, np.float64)
    taps = np.exp(-0.5 * (x / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def gaussian_psf(sigma: float) -> Kernel:
    """Return the Gaussian of `sigma` px: many small aberrations together, or a soft lens."""
    taps = gaussian_taps(sigma, max(1, math.ceil(4.0 * sigma)))
    return np.outer(taps, taps)


def disc_psf(radius: float) -> Kernel:
    """Return the disc of `radius` px that geometric optics gives a point out of focus.

    Each px holds the share of its area that the disc covers, by `_FINE`^2 samples.
    """
    reach = max(1, math.ceil(radius))
    fine = (np.arange((2 * reach + 1) * _FINE) + 0.5) / _FINE - reach - 0.5
    inside = (fine[:, None] ** 2 + fine[None, :] ** 2 <= radius**2).astype(np.float64)
    side = 2 * reach + 1
    kernel = inside.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3))
    return np.asarray(kernel / kernel.sum())


def motion_psf(length: float, degrees: float) -> Kernel:
    """Return the trace of a point that moves `length` px in a straight line at even speed.

    Args:
        degrees: direction, counted from right to down.
    """
    reach = max(1, math.ceil(length / 2 + 1))
    side = 2 * reach + 1
    kernel = np.zeros((side, side))
    angle = math.radians(degrees)
    count = max(2, math.ceil(length * 32))
    for along in (np.arange(count) + 0.5) / count * length - length / 2:
        x, y = reach + along * math.cos(angle), reach + along * math.sin(angle)
        x0, y0 = math.floor(x), math.floor(y)
        for dy, wy in ((0, y0 + 1 - y), (1, y - y0)):
            for dx, wx in ((0, x0 + 1 - x), (1, x - x0)):
                kernel[y0 + dy, x0 + dx] += wx * wy
    return np.asarray(kernel / kernel.sum())


def deviation_of(kernel: Kernel) -> float:
    """Return the standard deviation of a kernel along one axis, mean of both, px."""
    at = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    return float(np.sqrt(0.5 * np.sum(kernel * (at[:, None] ** 2 + at[None, :] ** 2))))


def response(kernel: Kernel, omega: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the transfer function of a symmetric kernel at `omega x omega` radians a px."""
    at = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    waves = np.cos(np.multiply.outer(omega, at))
    return np.asarray(waves @ kernel @ waves.T)
