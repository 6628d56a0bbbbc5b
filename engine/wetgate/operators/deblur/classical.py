"""Deconvolution without a network: the best short filter for each place, and a guard on rings.

What a lens does is linear in light, so the filter runs in scene-linear. It is a sum of Gaussian
blurs of the source, `out = x + sum_k c_k (G_k x - x)`, and the factors c follow from how much
the picture varies around a pixel against its noise. They minimise the error expected of a
picture whose power falls as |w|^-3.5 where it is worth sharpening,

    E(c) = sum_w S(w) mean_j |H_j(w) (1 + d(w)) - 1|^2 + N |d(w)|^2,  d = sum_k c_k (G_k(w) - 1),

where H_j are the blurs that it may have been (Gaussians and discs of nearly the measured width,
each as likely as the edges say) and N is the noise. The noise term counts noise that is added,
not noise that is there: a flat wall keeps its grain as it was. It is a quadratic form, so c is
the solution of a small system.

Rings: a highlight of 1000 beside 0.1 must not dig a hole. What comes out is held within what the
source has nearby, extended by its contrast there in a logarithmic encoding; see `ring_bounds`.

Sources: Wiener, "Extrapolation, interpolation and smoothing of stationary time series", 1949,
for the criterion; Field, "Relations between the statistics of natural images and the response
properties of cortical cells", JOSA A 4 (1987), for the falling power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.operators.base import Pixels
from wetgate.operators.deblur.psf import disc_psf, gaussian_psf, gaussian_taps, response

KNEE = 1.0 / 32.0
"""Knee of the logarithmic encoding in which contrast and noise are counted. With it one step is
within a half of the same step in a display's codes everywhere above 1 % of white."""

LEAST_SIGMA, MOST_SIGMA, SIGMA_STEP = 0.35, 2.6, 0.05
"""px; less is not worth the noise, more is beyond what a short filter brings back."""

GUARD = 2
"""px around a pixel in which `ring_bounds` looks."""

_RATIOS = (0.5, 0.75, 1.1, 1.6, 2.4)
_LEVELS = np.arange(-4.0, 21.0)
"""log2 of picture variance over noise variance."""
_FALL = 3.5
_BAND = (0.6, 1.8)
_WINDOW = 1.0
_DOUBTS = (0.88, 1.0, 1.12)
_REACH = 2.9  # deviations of the widest Gaussian
_OVER = 0.5  # contrast in the neighborhood by which values may go beyond it
_DARKEST = 0.75  # black outlines beside bright things are what the eye sees first
_BRIGHTEST = math.log(4.0) / math.log1p(1.0 / KNEE)  # a factor of 4 in light, at most

Shape = Literal["gaussian", "disc", "either"]
_CHANCES: Mapping[Shape, tuple[float, float]] = {
    "gaussian": (0.8, 0.2),
    "disc": (0.2, 0.8),
    "either": (0.5, 0.5),
}
"""How likely a Gaussian and a disc are, by what the edges said."""

_Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Design:
    """The filters for one width of blur.

    Attributes:
        sigma: px. taps: half kernels of the Gaussians, middle first. window: of the variance.
        table: `(level, gaussian)` factors c. reach: px that the filters look either side.
    """

    sigma: float
    taps: tuple[NDArray[np.float32], ...]
    band: tuple[NDArray[np.float64], NDArray[np.float64]]
    gain: float
    window: NDArray[np.float64]
    table: _Table
    reach: int


def encode(linear: Pixels) -> Pixels:
    """Return the logarithmic encoding of scene-linear values."""
    return signed_log(linear, KNEE)


def decode(logged: Pixels) -> Pixels:
    """Return scene-linear values of the logarithmic encoding."""
    return signed_log_inverse(logged, KNEE)


def nearest_sigma(sigma: float) -> float:
    """Return the width nearest to `sigma` for which filters are made."""
    steps = round(min(max(sigma, LEAST_SIGMA), MOST_SIGMA) / SIGMA_STEP)
    return round(steps * SIGMA_STEP, 6)


def halo_of(sigma: float) -> int:
    """Return the px around a tile that `deconvolve` needs for a blur of `sigma` px."""
    return max(math.ceil(_REACH * _RATIOS[-1] * sigma), GUARD, sum(_band_reach(sigma)))


def _band_reach(sigma: float) -> tuple[int, int]:
    """Return the px that the band-pass and the window over it look either side."""
    return math.ceil(_REACH * _BAND[1] * sigma), math.ceil(2.2 * (_WINDOW + sigma))


@lru_cache(maxsize=64)
def design(sigma: float, shape: Shape = "either") -> Design:
    """Solve for the factors of one blur; see the module.

    Args:
        shape: "gaussian" or "disc" when it was told apart; the other still counts a little.
    """
    reach = halo_of(sigma)
    omega = (np.arange(48) + 0.5) / 48 * np.pi
    radius = np.hypot(omega[:, None], omega[None, :])
    kernels = [gaussian_psf(sigma * d) for d in _DOUBTS]
    kernels += [disc_psf(2.0 * sigma * d) for d in _DOUBTS]
    blurs = np.stack([response(k, omega) for k in kernels])
    chance = np.repeat(_CHANCES[shape], len(_DOUBTS)) / len(_DOUBTS)
    widths = [sigma * r for r in _RATIOS]
    reaches = [min(reach, max(1, math.ceil(_REACH * w))) for w in widths]
    taps = [gaussian_taps(w, r) for w, r in zip(widths, reaches, strict=True)]
    basis = np.stack([response(np.outer(t, t), omega) - 1.0 for t in taps])
    far, near = _band_reach(sigma)
    window = gaussian_taps(_WINDOW + sigma, near)
    pair = [gaussian_taps(sigma * r, far) for r in _BAND]
    band = response(np.outer(pair[0], pair[0]), omega) - response(np.outer(pair[1], pair[1]), omega)
    power = radius**-_FALL
    gain = float((band**2).mean())
    square = np.tensordot(chance, blurs**2, 1)
    cross = np.tensordot(chance, blurs * (1.0 - blurs), 1)
    seen = power * square * band**2 / gain
    power = power / seen.mean()  # a picture that varies by 1 in the window once blurred
    table = np.zeros((len(_LEVELS), len(taps)), np.float64)
    flat = basis.reshape(len(taps), -1)
    for row, level in enumerate(_LEVELS):
        ratio = power * 2.0**level
        weight = (ratio * square + 1.0).ravel()
        form = (flat * weight) @ flat.T
        form += np.eye(len(taps)) * 1e-9 * np.trace(form)
        table[row] = np.linalg.solve(form, flat @ (ratio * cross).ravel())
    return Design(
        sigma=sigma,
        taps=tuple(t[len(t) // 2 :].astype(np.float32) for t in taps),
        band=(pair[0][far:], pair[1][far:]),
        gain=gain,
        window=window[near:],
        table=table.astype(np.float32),
        reach=reach,
    )


def deconvolve(region: Pixels, noise: NDArray[np.float32], made: Design) -> Pixels:
    """Return the region without its rim of `made.reach` px, sharpened and guarded.

    Args:
        region: scene-linear `(h, w, channel)`, un-clamped.
        noise: `(h, w)` deviation of the noise of `encode`d luma, above 0; without the rim, too.
    """
    rim = made.reach
    logged = encode(region)
    luma = logged.mean(axis=2, dtype=np.float64)
    far, near = len(made.band[0]) - 1, len(made.window) - 1
    spare = rim - far - near
    luma = _inside(luma, spare)
    band = blurred(luma, made.band[0], far) - blurred(luma, made.band[1], far)
    energy = blurred(band * band, made.window, near) / made.gain
    excess = energy / np.square(noise, dtype=np.float64) - 1.0
    level = np.log2(np.maximum(excess, 2.0 ** _LEVELS[0])) - _LEVELS[0]
    level = np.minimum(level, len(_LEVELS) - 1.0)
    row = np.minimum(level.astype(np.intp), len(_LEVELS) - 2)
    part = (level - row).astype(np.float32)
    source = _inside(region, rim)
    change = np.zeros_like(source)
    for k, taps in enumerate(made.taps):
        column = made.table[:, k]
        factor = column[row] + part * (column[row + 1] - column[row])
        change += factor[..., None] * (blurred(region, taps, rim) - source)
    low, high = ring_bounds(
        logged[rim - GUARD :, rim - GUARD :][
            : source.shape[0] + 2 * GUARD, : source.shape[1] + 2 * GUARD
        ]
    )
    held: Pixels = np.minimum(np.maximum(source + change, decode(low)), decode(high))
    return held


def ring_bounds(logged: Pixels) -> tuple[Pixels, Pixels]:
    """Return what a sharpened value may lie between, in the logarithmic encoding.

    The range of the source within `GUARD` px, extended either way by `_OVER` times its width: a
    thin line that a blur has flattened may rise again. But where all of the source is above 0,
    nothing falls below `_DARKEST` times the least of it: light has no negative lobes. And nothing
    gets more than four times as bright as the brightest of it, which in hard light would be within
    that range.

    Args:
        logged: `(h + 2 GUARD, w + 2 GUARD, channel)`.
    """
    low, high = local_range(logged, GUARD)
    width = np.float32(_OVER) * (high - low)
    floor = np.where(low > 0, np.float32(_DARKEST) * low, low * np.float32(2 - _DARKEST))
    return np.maximum(low - width, floor), high + np.minimum(width, np.float32(_BRIGHTEST))


def local_range(planes: Pixels, reach: int) -> tuple[Pixels, Pixels]:
    """Return least and greatest within `reach` px, without the rim."""
    low = high = planes
    for axis in (0, 1):
        count = planes.shape[axis] - 2 * reach
        parts = [slice(k, k + count) for k in range(2 * reach + 1)]
        cuts = [(p, slice(None)) if axis == 0 else (slice(None), p) for p in parts]
        low_next, high_next = low[cuts[0]].copy(), high[cuts[0]].copy()
        for cut in cuts[1:]:
            np.minimum(low_next, low[cut], out=low_next)
            np.maximum(high_next, high[cut], out=high_next)
        low, high = low_next, high_next
    return low, high


def blurred(
    planes: NDArray[np.floating], half: NDArray[np.floating], rim: int
) -> NDArray[np.floating]:
    """Return planes `(h, w[, channel])` blurred by a symmetric kernel, without a rim of px.

    By shifts and sums in a fixed order, so that the bits do not depend on where a tile was cut.

    Args:
        half: taps from the middle outward, at most `rim + 1`.
    """
    for axis in (0, 1):
        count = planes.shape[axis] - 2 * rim

        def cut(shift: int, axis: int = axis, count: int = count) -> tuple[slice, ...]:
            along = slice(rim + shift, rim + shift + count)
            return (along,) if axis == 0 else (slice(None), along)

        total = planes[cut(0)] * half[0]
        pair = np.empty_like(total)
        for k in range(1, len(half)):
            np.add(planes[cut(-k)], planes[cut(k)], out=pair)
            pair *= half[k]
            total += pair
        planes = total
    return planes


def _inside(planes: Pixels, rim: int) -> Pixels:
    return planes[rim : planes.shape[0] - rim, rim : planes.shape[1] - rim]
