"""Fit the noise model of one channel to the residual blocks of a shot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.denoise.noise import ChannelNoise, clipped_moments

BINS = 32
_MEDIAN_OF_BLOCK = 0.98949  # median of chi-squared over 63 degrees of freedom, per degree


def fit_channel(
    means: NDArray[np.float64], residual: NDArray[np.float64], clips_low: bool, clips_high: bool
) -> tuple[ChannelNoise, tuple[tuple[float, float, int], ...]]:
    """Fit variance against signal.

    Args:
        means: mean signal of each block.
        residual: noise of each block, `(block, 8, 8)`.
        clips_low, clips_high: whether the source cut noise off at 0 and at 1.

    Returns:
        The model, and the rows (signal, deviation, blocks) that it was fitted to.
    """
    # Blocks that vary as a whole (a light that flickers) say nothing of grain: their mean goes.
    energy = residual.reshape(len(residual), -1)
    variance = energy.var(axis=1) * (energy.shape[1] / (energy.shape[1] - 1)) / _MEDIAN_OF_BLOCK
    order = np.argsort(means, kind="stable")
    rows: list[tuple[float, float, int]] = []
    for part in np.array_split(order, max(1, min(BINS, means.size // 24))):
        if part.size:
            rows.append(
                (
                    float(np.mean(means[part])),
                    float(np.sqrt(np.median(variance[part]))),
                    int(part.size),
                )
            )
    x = np.array([r[0] for r in rows])
    v = np.array([r[1] for r in rows]) ** 2
    weight = np.sqrt(np.array([r[2] for r in rows], np.float64))
    low, high = float(x.min()), float(x.max())
    if high - low < 1e-6:
        high = low + 1e-6
    if clips_low or clips_high:
        a, b, c = _fit_clipped(x, v, weight)
        if clips_low:
            low = min(low, 0.0)
        if clips_high:
            high = max(high, 1.0)
    else:
        a, b, c = _fit_polynomial(x, v, weight)
    noise = ChannelNoise(a, b, c, low, high, clips_low, clips_high)
    return noise, tuple(rows)


def _fit_polynomial(
    x: NDArray[np.float64], v: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Fit a + b x + c x^2 by iteratively re-weighted least squares on relative errors."""
    if x.size < 6 or np.ptp(x) < 1e-3:
        return float(np.average(v, weights=weight)), 0.0, 0.0
    basis = np.stack([np.ones_like(x), x, x**2], axis=1)
    w = weight / np.maximum(v, 1e-16)
    coefficients: NDArray[np.float64] = np.zeros(3)
    for _ in range(12):
        coefficients = np.asarray(
            np.linalg.lstsq(basis * w[:, None], v * w, rcond=None)[0], np.float64
        )
        excess = (v - basis @ coefficients) / np.maximum(v, 1e-16)
        # What lies above the curve is texture that moved; what lies below is chance.
        doubt = np.where(excess > 0, (excess / 0.1) ** 2, -excess / 0.1)
        w = weight / np.maximum(v, 1e-16) / np.maximum(1.0, doubt)
    a, b, c = (float(t) for t in coefficients)
    return a, b, c


def _fit_clipped(
    x: NDArray[np.float64], v: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Find the noise before clipping whose clipped mean and variance explain the bins.

    Additive noise first, then noise with a slope when it explains clearly more; a least
    absolute fit of log variance over a grid, refined once around its best point.
    """
    if not v.any():  # black or white throughout
        return 0.0, 0.0, 0.0
    truth = np.linspace(-0.5, 1.5, 1001)
    usual = float(np.median(v[v > 0]))
    scale = float(np.sqrt(max(usual, 1e-12)))
    weight = weight * np.sqrt(np.minimum(v, usual))

    def cost(a: float, b: float) -> float:
        deviation = np.sqrt(np.maximum(a + b * np.clip(truth, 0, 1), 1e-12))
        mean, variance = clipped_moments(truth, deviation)
        predicted = np.interp(x, mean, variance)
        excess = np.log(np.maximum(v, 1e-12)) - np.log(np.maximum(predicted, 1e-12))
        # Texture that moved lies far above the curve: beyond a factor it counts no more.
        error = np.where(excess > 0, np.minimum(excess, 0.5), np.minimum(-excess, 1.0))
        return float(np.average(error, weights=weight))

    def best(slopes: Sequence[float]) -> tuple[float, float, float]:
        candidates = scale * np.geomspace(0.2, 3.0, 81)
        found = min((cost(s**2, k * s**2), s, k) for s in candidates for k in slopes)
        fine = found[1] * np.linspace(0.97, 1.03, 25)
        return min((cost(s**2, found[2] * s**2), s, found[2]) for s in fine)

    flat = best([0.0])
    sloped = best([-0.8, -0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    _, deviation, slope = sloped if sloped[0] < 0.7 * flat[0] else flat
    return float(deviation**2), float(slope * deviation**2), 0.0
