"""The noise model of a shot, and the curves that turn pixels into units of that noise.

Variance of noise against signal x, per channel: `v(x) = a + b x + c x^2`, in the operator's
working encoding. Pixels are stabilised by `g(x) = integral dx / sqrt(v(x))`, so that noise has
unit deviation everywhere, and come back through the exact unbiased inverse: not `g^-1` but the
inverse of `h(x) = E[g(n(x))]`, n(x) being the noisy and, for sources that clip, clipped sample.

Sources: Makitalo, Foi, "Optimal inversion of the generalized Anscombe transformation", IEEE TIP
22 (2013), for the idea of inverting the expectation; for the clipped normal distribution its
textbook moments, E[clip] = x (Phi(b) - Phi(a)) + s (phi(a) - phi(b)) + 1 - Phi(b).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

KNOTS = 4096
_DEVIATIONS = 6.0
_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChannelNoise:
    """Noise of one channel.

    Attributes:
        a, b, c: variance polynomial in the working encoding.
        low, high: range of the signal it was measured on.
        clips_low, clips_high: whether the source cut noise off at 0 and at 1.
    """

    a: float
    b: float
    c: float
    low: float
    high: float
    clips_low: bool = False
    clips_high: bool = False

    def variance(self, x: _Float) -> _Float:
        """Return the variance before clipping; never below a hundredth of its mean.

        Beyond the measured range the curve goes on straight, by no more than a factor of four.
        """
        ends = np.linspace(self.low, self.high, 33)
        curve = self._polynomial(ends)
        floor = max(float(np.mean(np.maximum(curve, 0.0))) * 0.01, 1e-16)
        t = np.clip(x, self.low, self.high)
        inside = np.maximum(self._polynomial(t), floor)
        straight = inside + (self.b + 2.0 * self.c * t) * (x - t)
        return np.maximum(np.clip(straight, 0.25 * inside, 4.0 * inside), floor)

    def _polynomial(self, x: _Float) -> _Float:
        return self.a + self.b * x + self.c * x**2

    @property
    def clips(self) -> bool:
        """Whether the source cut noise off at either end."""
        return self.clips_low or self.clips_high


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function on uniform knots, continued by straight lines."""

    values: NDArray[np.float32]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NoiseUnits:
    """The curves of one channel: into noise units, and back without bias."""

    forward: Curve
    backward: Curve
    gain_levels: NDArray[np.float32]
    """Noise variance left in noise units at each knot of `forward` (1 where nothing clips)."""
    gain_signal: NDArray[np.float32]
    """Expected value in noise units at each knot of `forward`."""


@lru_cache(maxsize=64)
def noise_units(noise: ChannelNoise) -> NoiseUnits:
    """Build the curves of one channel.

    Source: see the module. The expectation is a sum over a fine grid of normal deviates, which
    also holds where clipping puts a spike at the end of the range.
    """
    spread = float(np.sqrt(noise.variance(np.array([noise.low, noise.high])).max()))
    low = noise.low - _DEVIATIONS * spread
    high = noise.high + _DEVIATIONS * spread
    x = np.linspace(low, high, KNOTS)
    deviation = np.sqrt(noise.variance(x))
    slope = 1.0 / deviation
    g = np.concatenate([[0.0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(x))])
    g -= np.interp(0.5 * (noise.low + noise.high), x, g)
    forward = Curve(g.astype(np.float32), low, high)
    if noise.b == 0.0 and noise.c == 0.0 and not noise.clips:
        backward = Curve(
            np.interp(np.linspace(g[0], g[-1], KNOTS), g, x).astype(np.float32),
            float(g[0]),
            float(g[-1]),
        )
        return NoiseUnits(forward, backward, np.ones(KNOTS, np.float32), forward.values)
    mean, variance = _expectation(noise, x, deviation, g)
    # Where clipping flattens the expectation there is nothing to invert: keep it rising, and
    # never return a signal beyond the end that clipped.
    first = np.searchsorted(x, 0.0) if noise.clips_low else 0
    last = np.searchsorted(x, 1.0) if noise.clips_high else KNOTS - 1
    rising = np.maximum.accumulate(mean[first : last + 1])
    keep = np.concatenate([[True], np.diff(rising) > 1e-9])
    h, signal = rising[keep], x[first : last + 1][keep]
    if noise.clips_low:
        signal[0] = 0.0
    if noise.clips_high:
        signal[-1] = 1.0
    t = np.linspace(h[0], h[-1], KNOTS)
    inverse = np.interp(t, h, signal)
    # Below the expectation of black lies black, above that of white lies white.
    if noise.clips_low:
        inverse[1] = inverse[0]
    if noise.clips_high:
        inverse[-2] = inverse[-1]
    backward = Curve(inverse.astype(np.float32), float(t[0]), float(t[-1]))
    return NoiseUnits(forward, backward, variance.astype(np.float32), mean.astype(np.float32))


def _expectation(
    noise: ChannelNoise, x: _Float, deviation: _Float, g: _Float
) -> tuple[_Float, _Float]:
    z = np.linspace(-5.0, 5.0, 401)
    weight = np.exp(-0.5 * z**2)
    weight /= weight.sum()
    mean = np.zeros_like(x)
    square = np.zeros_like(x)
    for deviate, w in zip(z, weight, strict=True):
        sample = x + deviate * deviation
        if noise.clips_low:
            sample = np.maximum(sample, 0.0)
        if noise.clips_high:
            sample = np.minimum(sample, 1.0)
        value = _extended(sample, x, g)
        mean += w * value
        square += w * value**2
    return mean, np.maximum(square - mean**2, 1e-4)


def _extended(sample: _Float, x: _Float, g: _Float) -> _Float:
    value = np.interp(sample, x, g)
    below, above = sample < x[0], sample > x[-1]
    value = np.where(below, g[0] + (sample - x[0]) * (g[1] - g[0]) / (x[1] - x[0]), value)
    rate = (g[-1] - g[-2]) / (x[-1] - x[-2])
    return np.where(above, g[-1] + (sample - x[-1]) * rate, value)


def clipped_moments(x: _Float, deviation: float | _Float) -> tuple[_Float, _Float]:
    """Return mean and variance of `clip(x + deviation * z, 0, 1)`, z standard normal.

    Source: moments of the normal distribution censored at 0 and 1 (see the module docstring).
    """
    s = np.maximum(np.asarray(deviation, np.float64), 1e-12)
    alpha, beta = -x / s, (1.0 - x) / s
    pa, pb = _normal(alpha), _normal(beta)
    ca, cb = _cumulative(alpha), _cumulative(beta)
    inside = cb - ca
    mean = x * inside + s * (pa - pb) + (1.0 - cb)
    second = (
        (x**2 + s**2) * inside
        + s * (pa * (2 * x + s * alpha) - pb * (2 * x + s * beta))
        + (1.0 - cb)
    )
    return mean, np.maximum(second - mean**2, 0.0)


def _normal(t: _Float) -> _Float:
    result: _Float = np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi)
    return result


def _cumulative(t: _Float) -> _Float:
    """Standard normal distribution function, absolute error below 1e-7 (fine for a noise fit).

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17.
    """
    k = 1.0 / (1.0 + 0.2316419 * np.abs(t))
    poly = k * (
        0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429)))
    )
    upper = _normal(t) * poly
    return np.where(t >= 0, 1.0 - upper, upper)
