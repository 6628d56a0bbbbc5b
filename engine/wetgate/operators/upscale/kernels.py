"""Resampling kernels by phase: how the pixels of a picture weigh in one `scale` times its size.

Pixel centers are what is kept in place: pixel `i` of the large picture lies at
`(i + 0.5) / scale - 0.5` of the small one. So each small pixel owns `scale` x `scale` large ones,
and the picture neither moves nor grows by a fraction of a pixel. Averaging over those squares, and
the antialiased bicubic of MATLAB's `imresize`, are what an upscale by these kernels inverts.

All weights are worked out in float64, have sum 1, and where the kernel interpolates also first
moment 0, so that a flat field stays flat and a ramp stays a ramp.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

RADIUS = 3
"""No kernel here reaches farther than this from the small pixel that owns the large one."""

Separable = Literal["lanczos", "bicubic"]
Reducing = Literal["bicubic", "area"]

_JINC_ZEROS = (1.2196698912665045, 3.2383154841662362)
"""First and third zero of the jinc, in units where its argument is the radius in px."""


def phase_offsets(scale: int) -> Doubles:
    """Return where the `scale` large pixels of one small pixel lie, in small px from its center."""
    return (np.arange(scale) + 0.5) / scale - 0.5


def bicubic(x: Doubles) -> Doubles:
    """Evaluate the cubic convolution kernel with a = -1/2.

    Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29
    (1981).
    """
    t = np.abs(x)
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))


def lanczos3(x: Doubles) -> Doubles:
    """Evaluate `sinc(x) sinc(x / 3)` within 3 px.

    Source: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorology 18 (1979).
    """
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


def jinc(x: Doubles) -> Doubles:
    """Evaluate `2 J1(pi x) / (pi x)`, 1 at 0.

    J1 by its integral over half a period; the trapezoidal rule converges faster than any power
    there, and 64 points are exact to float64 in the range used.

    Source: Abramowitz, Stegun, "Handbook of mathematical functions", 9.1.21.
    """
    z = np.pi * np.asarray(x, np.float64)
    angle = (np.arange(64) + 0.5) * (np.pi / 64)
    bessel = np.cos(angle - z[..., None] * np.sin(angle)).mean(axis=-1)
    small = np.abs(z) < 1e-6
    return np.where(small, 1.0, 2.0 * bessel / np.where(small, 1.0, z))


def ewa_lanczos(radius: Doubles) -> Doubles:
    """Evaluate the jinc windowed by the main lobe of a wider jinc, three lobes, by radius in px.

    Source: Heckbert, "Fundamentals of texture mapping and image warping", 1989, for the elliptical
    weighted average; the zeros of J1 from Abramowitz, Stegun, table 9.5.
    """
    first, third = _JINC_ZEROS
    inside = np.abs(radius) < third
    return np.where(inside, jinc(radius) * jinc(radius * (first / third)), 0.0)


@lru_cache(maxsize=16)
def enlarging(scale: int, kernel: Separable) -> NDArray[np.float32]:
    """Return the weights of an axis: `(scale, 2 * RADIUS + 1)`, phase by tap from -3 to 3."""
    offset = phase_offsets(scale)[:, None]
    distance = np.arange(-RADIUS, RADIUS + 1) - offset
    shape, support = (lanczos3, 3.0) if kernel == "lanczos" else (bicubic, 2.0)
    weight = shape(distance)
    window = np.maximum(0.0, 1.0 - np.abs(distance) / support)
    return np.stack(
        [
            _balanced(w, v, d[None]).astype(np.float32)
            for w, v, d in zip(weight, window, distance, strict=True)
        ]
    )


@lru_cache(maxsize=4)
def enlarging_ewa(scale: int) -> NDArray[np.float32]:
    """Return the radial weights: `(scale, scale, 7, 7)`, phases by taps, rows first."""
    offset = phase_offsets(scale)
    tap = np.arange(-RADIUS, RADIUS + 1)
    y, x = (tap - offset[:, None]), (tap - offset[:, None])
    out = np.empty((scale, scale, len(tap), len(tap)), np.float32)
    for p in range(scale):
        for q in range(scale):
            dy, dx = np.meshgrid(y[p], x[q], indexing="ij")
            radius = np.hypot(dy, dx)
            weight = ewa_lanczos(radius)
            window = np.maximum(0.0, 1.0 - radius / _JINC_ZEROS[1])
            out[p, q] = _balanced(weight, window, np.stack([dy, dx]))
    return out


@lru_cache(maxsize=16)
def reducing(scale: int, kernel: Reducing) -> NDArray[np.float32]:
    """Return the weights of an axis of the opposite way: `(scale, 5)`, phase by tap from -2 to 2.

    Small pixel `y` is the sum over phases and taps of `weight[p, t]` times large pixel
    `scale * (y + t) + p`. "bicubic" is widened by `scale`, as MATLAB's `imresize` does it;
    "area" is the mean of the square that the small pixel covers.
    """
    offset = phase_offsets(scale)[:, None]
    tap = np.arange(-2, 3)
    weight = bicubic(tap + offset) if kernel == "bicubic" else (tap == 0) * np.ones_like(offset)
    return np.asarray(weight / weight.sum(), np.float32)


def _balanced(weight: Doubles, window: Doubles, distance: Doubles) -> Doubles:
    """Scale to sum 1, then add a plane times a window, such that each first moment is 0 too."""
    weight = weight / weight.sum()
    base = np.concatenate([np.ones((1, *weight.shape)), distance]).reshape(len(distance) + 1, -1)
    moments = base @ weight.ravel()
    wanted = np.zeros(len(base))
    wanted[0] = 1.0
    normal = (base * window.ravel()) @ base.T
    plane = np.linalg.solve(normal, wanted - moments)
    return np.asarray(weight + (plane @ base).reshape(weight.shape) * window)
