"""The cross section of a scratch, and filters that read its strength and place from rows of pixels.

A row near a scratch is `picture + a d(x - x0)`. The picture is taken for a random walk with grain
on it (variance of a difference at `k` px: `2 s^2 + k t^2`), its level unknown. Generalised least
squares then gives the filters that tell `a` and the place with the least error; on a smooth picture
they look far to both sides, on a rough one at the nearest pixels only.

Source: Aitken, "On least squares and linear combination of observations", Proc. Royal Soc.
Edinburgh 55 (1935); generalised covariances of intrinsic functions: Matheron, "The intrinsic
random functions and their applications", Adv. Appl. Prob. 5 (1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

STEPS = 4
"""Samples of a profile a px."""
MOST_REACH = 16
PHASES = 8
"""Parts of a px at which filters are made."""
ROUGHNESS = (0.003, 0.03, 0.3, 3.0, 30.0)
"""Ratios `t^2 / s^2` for which filters are made."""
_AROUND = 4
_ALIKE = 3.0
"""How many strips say the same of a picture, that stays for some frames."""
_BEND = 0.08
_DEVIATION, _LEAST_DEVIATION, _NEAR = 0.15, 0.004, 2.5
_SHOWS = 0.015
_SURE = 4.0

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Profile:
    """A cross section of each channel, `STEPS` samples a px.

    Attributes:
        values: `(channel, 2 * reach * STEPS + 1)`, the middle sample on the core's center;
            encoded units where the strength `a` is 1. 0 from `reach` px on.
    """

    values: _Float

    @property
    def reach(self) -> int:
        """Return the px either side of the center beyond which nothing is changed."""
        return int((self.values.shape[1] - 1) // (2 * STEPS))

    def at(self, distance: _Float) -> _Float:
        """Return the profile at distances from the center, `(..., channel)`: cubic through samples.

        Source: Catmull, Rom, "A class of local interpolating splines", 1974.
        """
        last = self.values.shape[1] - 1
        place = distance * STEPS + 0.5 * last
        inside = (place > 0) & (place < last)
        place = np.where(inside, place, 0.0)
        below = np.floor(place).astype(np.intp)
        t = place - below
        padded = np.pad(self.values, ((0, 0), (1, 2)))
        p0, p1, p2, p3 = (padded[:, below + k] for k in range(4))
        cubic = p1 + 0.5 * t * (
            p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
        )
        return np.moveaxis(np.where(inside, cubic, 0.0), 0, -1)


def gaussian_profile(sigma: float, strength: float) -> Profile:
    """Return a Gaussian averaged over pixels, without side lobes, for a first look."""
    reach = min(int(np.ceil(4 * sigma)) + 1, MOST_REACH)
    values = _pixel_gauss(np.arange(-reach * STEPS, reach * STEPS + 1) / STEPS, sigma)
    return Profile(strength * (values / values.max())[None])


@dataclass(frozen=True, slots=True)
class RowFilters:
    """Filters over `2 * half + 1` px around a whole column.

    Attributes:
        taps: `(roughness, phase, 2, 2 * half + 1)`: for the strength, and for strength times
            displacement in px.
        variance: `(roughness, phase)`, of the strength where the grain's is 1.
        half: px either side.
    """

    taps: _Float
    variance: _Float
    half: int


def row_filters(profile: Profile) -> RowFilters:
    """Make the filters of a profile's luma."""
    half = profile.reach + _AROUND
    u = np.arange(-half, half + 1, dtype=np.float64)
    taps = np.empty((len(ROUGHNESS), PHASES + 1, 2, len(u)))
    variance = np.empty((len(ROUGHNESS), PHASES + 1))
    luma = Profile(profile.values.mean(axis=0, keepdims=True))
    for r, rough in enumerate(ROUGHNESS):
        inverse = inverse_covariance(half, rough)
        for phase in range(PHASES + 1):
            at = u - (phase / PHASES - 0.5)
            own = luma.at(at)[:, 0]
            slope = (luma.at(at + 0.125)[:, 0] - luma.at(at - 0.125)[:, 0]) / 0.25
            design = np.stack([own, -slope, np.ones_like(u)], axis=1)
            weighed = design.T @ inverse
            normal = np.linalg.inv(weighed @ design)
            taps[r, phase] = (normal @ weighed)[:2]
            variance[r, phase] = normal[0, 0]
    return RowFilters(taps, variance, half)


def smoothed(values: _Float, weights: _Float, wiggle: float | _Float) -> _Float:
    """Return the smooth curve through weighted samples.

    Minimises `sum w (v - z)^2 + sum (second difference of z)^2 / wiggle^2`.

    Args:
        values, weights: `(n,)`; a weight is one over the variance of a sample, or 0.
        wiggle: deviation of the second difference that is expected of the curve; one, or
            `(n - 2,)`.

    Source: Whittaker, "On a new method of graduation", Proc. Edinburgh Math. Soc. 41 (1923).
    """
    count = len(values)
    total = float(weights.sum())
    if count < 3 or total <= 0:
        mean = float((weights * values).sum() / total) if total > 0 else float(values.mean())
        return np.full(count, mean)
    bend = np.zeros((count - 2, count))
    rows = np.arange(count - 2)
    bend[rows, rows], bend[rows, rows + 1], bend[rows, rows + 2] = 1.0, -2.0, 1.0
    bend /= np.broadcast_to(np.asarray(wiggle, np.float64), count - 2)[:, None]
    stiff = bend.T @ bend
    # A trace of a pull to the mean, for where no sample has any weight.
    mean = (weights * values).sum() / total
    trace = 1e-9 * (weights.max() + stiff.max())
    matrix = np.diag(weights + trace) + stiff
    return np.asarray(np.linalg.solve(matrix, weights * values + trace * mean), np.float64)


@dataclass(slots=True)
class ProfileSums:
    """Sums over rows from which the cross section follows by generalised least squares.

    Attributes:
        strength: `(roughness, phase)`, sum of weight times squared strength.
        rows: `(roughness, phase, 2 * half + 1)`, sum of weight times strength times row.
        gains: `(channel, 2)`, products of each channel's strength with luma's, and of luma's with
            itself.
        normal, right: normal equations of what other frames told.
    """

    strength: _Float
    rows: _Float
    gains: _Float
    normal: _Float
    right: _Float

    @staticmethod
    def empty(channels: int, half: int) -> ProfileSums:
        """Start with nothing, for rows of `2 * half + 1` px."""
        shape = len(ROUGHNESS), PHASES + 1
        size = 2 * (half - _AROUND) * STEPS + 1
        return ProfileSums(
            np.zeros(shape),
            np.zeros((*shape, 2 * half + 1)),
            np.zeros((channels, 2)),
            np.zeros((size, size)),
            np.zeros(size),
        )

    def add(
        self,
        rough: NDArray[np.intp],
        phase: NDArray[np.intp],
        band: _Float,
        strength: _Float,
        weight: _Float,
    ) -> None:
        """Add rows `(row, 2 * half + 1)` of luma with their strengths and weights `(row,)`."""
        np.add.at(self.strength, (rough, phase), weight * strength**2)
        np.add.at(self.rows, (rough, phase), (weight * strength)[:, None] * band)

    def estimate(self) -> Profile:
        """Return the profile of luma times each channel's share in it.

        Of a Gaussian with side lobes that fits best it keeps what the rows do not contradict: a
        faint scratch gets a plain cross section, a strong one its own.
        """
        half = (self.rows.shape[2] - 1) // 2
        reach = half - _AROUND
        size = 2 * reach * STEPS + 1
        normal, right = self.normal / _ALIKE, self.right / _ALIKE
        for r, rough in enumerate(ROUGHNESS):
            inverse = inverse_covariance(half, rough)
            for phase in range(PHASES + 1):
                lay = _lay(reach, half, phase)
                weighed = lay.T @ inverse / _ALIKE
                normal += self.strength[r, phase] * (weighed @ lay)
                right += weighed @ self.rows[r, phase]
        first, scale, sigma = _best_shape(normal, right, reach)
        bend = np.zeros((size - 2, size))
        at = np.arange(size - 2)
        bend[at, at], bend[at, at + 1], bend[at, at + 2] = 1.0, -2.0, 1.0
        # Far from the core what differs is the picture, which rows alike say again and again.
        away = np.abs(np.arange(size) / STEPS - reach) / (_NEAR * sigma)
        free = scale * (_DEVIATION * np.exp(-0.5 * away**2) + _LEAST_DEVIATION)
        stiff = bend.T @ bend / (_BEND * scale) ** 2 + np.diag(1.0 / free**2)
        known = np.linalg.inv(normal + stiff)
        shape = known @ (right + stiff @ first)
        u = np.abs(np.arange(size) / STEPS - reach)
        # It reaches as far as the best shape does, and where the rows surely say more.
        more = np.abs(shape - first) > _SURE * np.sqrt(np.diag(known))
        shows = (np.abs(first) > _SHOWS * scale) | (more & (np.abs(shape) > 3 * _SHOWS * scale))
        keep = 1.0
        while keep < reach and shows[(u >= keep) & (u <= keep + 1.0)].any():
            keep += 0.5
        keep = min(keep + 0.5, float(reach))
        whole = int(np.ceil(keep))
        cut = (reach - whole) * STEPS
        shape = (shape * np.clip(keep - u, 0.0, 1.0))[cut : size - cut]
        gains = self.gains[:, 0] / np.maximum(self.gains[:, 1], 1e-30)
        gains = gains / gains.mean() if abs(gains.mean()) > 0.2 else np.ones_like(gains)
        return Profile(np.clip(gains, 0.0, 2.5)[:, None] * shape[None])


def _best_shape(normal: _Float, right: _Float, reach: int) -> tuple[_Float, float, float]:
    """Return the Gaussian with side lobes that explains most, its peak and its deviation."""
    u = np.arange(-reach * STEPS, reach * STEPS + 1) / STEPS
    best, gain, peak, width = np.zeros(len(u)), -1.0, 1e-9, 1.0
    for sigma in np.geomspace(0.4, 2.6, 14):
        for lobes in (0.0, 0.2, 0.4):
            for away in (2.5, 3.0, 3.5) if lobes else (3.0,):
                core = _pixel_gauss(u, sigma)
                sides = _pixel_gauss(u - away * sigma, sigma) + _pixel_gauss(
                    u + away * sigma, sigma
                )
                shape = core - 0.5 * lobes * sides
                square = float(shape @ normal @ shape)
                fit = float(shape @ right)
                if square > 0 and fit**2 / square > gain:
                    gain = fit**2 / square
                    best = shape * (fit / square)
                    peak, width = float(np.abs(best).max()), float(sigma)
    return best, max(peak, 1e-9), width


def _pixel_gauss(u: _Float, sigma: float) -> _Float:
    root = sigma * sqrt(2.0)
    return np.array([erf((v + 0.5) / root) - erf((v - 0.5) / root) for v in u])


@lru_cache(maxsize=64)
def inverse_covariance(half: int, rough: float) -> _Float:
    """Return the inverse covariance of `2 * half + 1` px of picture and grain of variance 1."""
    u = np.arange(-half, half + 1, dtype=np.float64)
    apart = np.abs(u[:, None] - u[None, :])
    # The level is free: a large constant in the covariance says so.
    inverse = np.linalg.inv(np.eye(len(u)) + rough * (100.0 * len(u) - 0.5 * apart) + 100.0)
    inverse.setflags(write=False)
    return np.asarray(inverse)


def lay_weights(distance: _Float, reach: int) -> tuple[NDArray[np.intp], _Float]:
    """Return the samples that land on px at distances from the center, and their weights.

    Both `(..., 4)`; weights are those of `Profile.at`, 0 from `reach` px on.
    """
    last = 2 * reach * STEPS
    place = distance * STEPS + 0.5 * last
    inside = (place > 0) & (place < last)
    place = np.where(inside, place, 0.0)
    below = np.floor(place).astype(np.intp)
    t = place - below
    weights = np.stack(
        [
            0.5 * t * (-1 + t * (2 - t)),
            1 + 0.5 * t**2 * (-5 + 3 * t),
            0.5 * t * (1 + t * (4 - 3 * t)),
            0.5 * t**2 * (-1 + t),
        ],
        axis=-1,
    )
    at = below[..., None] + np.arange(-1, 3)
    weights = np.where(inside[..., None] & (at >= 0) & (at <= last), weights, 0.0)
    return np.clip(at, 0, last), weights


@lru_cache(maxsize=256)
def _lay(reach: int, half: int, phase: int) -> _Float:
    """Return how samples of a profile land on the pixels of a row, `(2 half + 1, samples)`."""
    samples = 2 * reach * STEPS + 1
    profile = Profile(np.eye(samples))
    u = np.arange(-half, half + 1, dtype=np.float64) - (phase / PHASES - 0.5)
    lay = profile.at(u)
    lay.setflags(write=False)
    return lay
