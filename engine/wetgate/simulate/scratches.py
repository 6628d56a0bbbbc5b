"""Scratches: lines that run along the film over many frames.

A scratch lives on the film, not on the frame: its place and strength are functions of the length of
film that has run, so that it goes on at the top of a frame where it left the one before. It adds a
profile of density; where the emulsion is torn off the picture is lost instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.random import Domain, stream

_BLOCK = 16
"""Scratches are drawn by the block of frames in which they begin."""
_LONGEST = 5.0
_LOBE_DISTANCE = 3.0
_REACH = 4.0 + _LOBE_DISTANCE
_WAVES = 4

_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchSpec:
    """How many scratches, and what they look like.

    Attributes:
        count: mean number on a frame.
        life: mean length, frames; exponential, cut at five times the mean.
        width: range of the core's standard deviation, px.
        strength: range of the density in the core, encoded units.
        bright_share: share that is bright; the rest are dark.
        lobes: strength of the two side lobes together as a share of the core's, with the other
            sign: the edges of a groove refract light away from it.
        wander: standard deviation of the sideways motion, px.
        fading: how much of its strength a scratch loses now and then, 0-1.
        lost_share: share of scratches that tore the emulsion off: the picture below is gone.
        bright, dark: encoded value of a torn scratch.
    """

    count: float = 2.0
    life: float = 40.0
    width: tuple[float, float] = (0.5, 1.4)
    strength: tuple[float, float] = (0.03, 0.14)
    bright_share: float = 0.5
    lobes: float = 0.35
    wander: float = 2.0
    fading: float = 0.7
    lost_share: float = 0.15
    bright: float = 0.80
    dark: float = 0.09


@dataclass(frozen=True, slots=True)
class Scratch:
    """One scratch on one frame.

    Attributes:
        identity: `(block, index)`, the same on every frame it runs over.
        center: `(height,)` film x of its core in each film row, px.
        amplitude: `(height,)` share of its strength there, 0 where it has not begun or has ended.
        sigma: standard deviation of the core, px.
        strength: encoded units, negative when dark; or the painted value when `lost`.
        lobes: as in the spec; 0 when `lost`.
        lost: whether the picture below is gone.
    """

    identity: tuple[int, int]
    center: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    sigma: float
    strength: float
    lobes: float
    lost: bool

    def profile(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the profile integrated over a pixel at `distance` px from the core's center.

        Its sum over a row of pixels is `sigma sqrt(2 pi) (1 - lobes)`.
        """
        core = _pixel_gauss(distance, self.sigma)
        if not self.lobes:
            return core
        away = _LOBE_DISTANCE * self.sigma
        sides = _pixel_gauss(distance - away, self.sigma) + _pixel_gauss(
            distance + away, self.sigma
        )
        return core - 0.5 * self.lobes * sides


@dataclass(frozen=True, slots=True)
class ScratchTruth:
    """The scratches of one frame: `scratched = keep * picture + add`, for every channel.

    Attributes:
        keep: float32 `(height, width)`: 1 but where the picture is lost, 0 where wholly.
        add: float32 `(height, width)`, encoded units.
        scratches: what lies on the frame.
    """

    keep: NDArray[np.float32]
    add: NDArray[np.float32]
    scratches: tuple[Scratch, ...]

    def apply(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scratch a picture `(height, width, channel)`; bits stay where there is no scratch."""
        hit = (self.keep != 1) | (self.add != 0)
        result = picture.copy()
        result[hit] = self.keep[hit][:, None] * picture[hit] + self.add[hit][:, None]
        return result

    def undo(self, scratched: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `apply` where something is left of the picture; elsewhere NaN."""
        hit = (self.keep != 1) | (self.add != 0)
        result = scratched.copy()
        left = np.where(self.keep > 0, self.keep, np.float32(np.nan))[hit][:, None]
        result[hit] = (scratched[hit] - self.add[hit][:, None]) / left
        return result


def _pixel_gauss(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Integrate `exp(-u^2 / 2 sigma^2)` over a pixel around each distance."""
    root = sigma * math.sqrt(2)
    edges = _erf((distance + 0.5) / root) - _erf((distance - 0.5) / root)
    result: NDArray[np.float64] = sigma * math.sqrt(math.pi / 2) * edges
    return result


def scratches_on(
    spec: ScratchSpec, seed: int, number: int, size: tuple[int, int]
) -> tuple[Scratch, ...]:
    """Return the scratches that run over one frame of `size` `(width, height)`, on the film."""
    width, height = size
    longest = math.ceil(_LONGEST * spec.life)
    rows = number + np.arange(height) / height
    found = []
    for block in range((number - longest) // _BLOCK, number // _BLOCK + 1):
        draw = stream(seed, Domain.SCRATCH, block)
        for index in range(int(draw.poisson(spec.count * _BLOCK / spec.life))):
            start = block * _BLOCK + float(draw.uniform(0, _BLOCK))
            life = min(float(draw.exponential(spec.life)), float(longest))
            here = _draw_scratch(draw, spec, (block, index), rows, width)
            alive = (rows >= start) & (rows < start + life)
            if alive.any():
                found.append(
                    Scratch(
                        here.identity,
                        here.center,
                        here.amplitude * alive,
                        here.sigma,
                        here.strength,
                        here.lobes,
                        here.lost,
                    )
                )
    return tuple(found)


def _draw_scratch(
    draw: np.random.Generator,
    spec: ScratchSpec,
    identity: tuple[int, int],
    rows: NDArray[np.float64],
    width: int,
) -> Scratch:
    """Draw one scratch; always the same number of draws, so that those after it stay."""
    middle = float(draw.uniform(0, width - 1))
    sigma = float(draw.uniform(*spec.width))
    strength = float(draw.uniform(*spec.strength))
    is_bright = bool(draw.uniform() < spec.bright_share)
    is_lost = bool(draw.uniform() < spec.lost_share)
    # Waves of the film's sideways run: periods of one to forty frames, more of the long ones.
    periods = np.exp(draw.uniform(0, math.log(40), _WAVES))
    phases = draw.uniform(0, 2 * math.pi, (2, _WAVES))
    shares = np.sqrt(periods)
    shares *= math.sqrt(2) * spec.wander / math.sqrt(float(np.sum(shares**2)))
    swing = (np.sin(2 * math.pi * rows[:, None] / periods + phases[0]) * shares).sum(axis=1)
    slow = np.cos(2 * math.pi * rows[:, None] / (0.15 + periods / 4) + phases[1]).mean(axis=1)
    amplitude = 1 - spec.fading * np.clip(0.5 - slow, 0, 1)
    value = (spec.bright if is_bright else spec.dark) if is_lost else strength
    return Scratch(
        identity,
        middle + swing,
        amplitude,
        sigma,
        value if is_lost or is_bright else -value,
        0.0 if is_lost else spec.lobes,
        is_lost,
    )


def scratch_truth(
    spec: ScratchSpec,
    seed: int,
    number: int,
    film_x: NDArray[np.float64],
    film_y: NDArray[np.float64],
) -> ScratchTruth:
    """Lay the scratches of one frame on its pixels.

    Args:
        film_x, film_y: `(height, width)` film coordinates that each pixel shows, px.
    """
    height, width = film_x.shape
    keep = np.ones((height, width), np.float64)
    add = np.zeros((height, width), np.float64)
    found = scratches_on(spec, seed, number, (width, height))
    for scratch in found:
        row = np.clip(film_y, 0, height - 1)
        below = np.minimum(row.astype(np.intp), max(0, height - 2))
        share = row - below
        above = np.minimum(below + 1, height - 1)
        center = (1 - share) * scratch.center[below] + share * scratch.center[above]
        distance = film_x - center
        near = np.abs(distance) < _REACH * scratch.sigma + 1
        amplitude = scratch.amplitude[np.rint(row[near]).astype(np.intp)]
        drawn = amplitude * scratch.profile(distance[near])
        if scratch.lost:
            cover = np.minimum(drawn, 1)
            keep[near] *= 1 - cover
            add[near] = add[near] * (1 - cover) + cover * scratch.strength
        else:
            add[near] += scratch.strength * drawn
    return ScratchTruth(keep.astype(np.float32), add.astype(np.float32), found)
