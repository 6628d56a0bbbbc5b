"""Gate weave: the film sits a little differently in the gate at every frame, and bends in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.process import Series
from wetgate.simulate.random import Domain, stream

Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveSpec:
    """A first-order autoregressive drift plus white jitter on each axis, and the like for angle.

    Variance of the offset on an axis is `drift**2 + jitter**2`; its covariance at a lag of n > 0
    frames is `drift**2 * memory**n` (up to `memory**128`, where the series is cut).

    Attributes:
        drift: standard deviation `(x, y)` of the slow part, px.
        jitter: standard deviation `(x, y)` of the part without memory, px.
        memory: correlation of the slow part from one frame to the next, 0 <= memory < 1.
        rotation: standard deviation of the slow part of the angle about the center, degrees.
        rotation_jitter: the same for the part without memory.
        flex: how far the film bends in the gate: standard deviation of the displacement on each
            axis over picture and time, px, of a quadratic field without offset and rotation.
    """

    drift: tuple[float, float] = (0.5, 0.7)
    jitter: tuple[float, float] = (0.12, 0.18)
    memory: float = 0.85
    rotation: float = 0.0
    rotation_jitter: float = 0.0
    flex: float = 0.0


_TERMS = 64
_ANGLE_LANE, _FLEX_LANE = 1, 2
_INVERSIONS = 12


@dataclass(frozen=True, slots=True)
class WeaveFrame:
    """The place of one frame in the gate.

    Pixel `p` shows the film at `c + R(-angle) (p - offset - c) - flex(p)`, with `c` the center.

    Attributes:
        offset: `(x, y)` px by which the picture is displaced.
        angle: radians, by which it is turned (y down: positive is clockwise).
        bend: float64 `(2, 3)`: on x and y, the px of each quadratic mode.
        size: `(width, height)` of the picture.
    """

    offset: tuple[float, float]
    angle: float
    bend: NDArray[np.float64]
    size: tuple[int, int]

    @property
    def is_shift(self) -> bool:
        """Return whether the film is only displaced."""
        return self.angle == 0 and not self.bend.any()

    def film(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Return the film coordinates that a pixel shows, px of the shot."""
        cx, cy = (self.size[0] - 1) / 2, (self.size[1] - 1) / 2
        px, py = x - cx - self.offset[0], y - cy - self.offset[1]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        bend_x, bend_y = self._bend(x, y)
        return cx + cos * px + sin * py - bend_x, cy - sin * px + cos * py - bend_y

    def pixel(self, film_x: Field, film_y: Field) -> tuple[Field, Field]:
        """Invert `film`: the turn in closed form, the bend by iteration to rounding error."""
        x, y = self._placed(film_x, film_y)
        if self.bend.any():
            for _ in range(_INVERSIONS):
                bend_x, bend_y = self._bend(x, y)
                x, y = self._placed(film_x + bend_x, film_y + bend_y)
        return x, y

    def _placed(self, film_x: Field, film_y: Field) -> tuple[Field, Field]:
        if self.angle == 0:
            return film_x + self.offset[0], film_y + self.offset[1]
        cx, cy = (self.size[0] - 1) / 2, (self.size[1] - 1) / 2
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        px, py = film_x - cx, film_y - cy
        x = cx + self.offset[0] + cos * px - sin * py
        return x, cy + self.offset[1] + sin * px + cos * py

    def displacement(self) -> NDArray[np.float32]:
        """Return by how much each pixel's content is displaced, `(height, width, 2)`, px."""
        y, x = np.mgrid[0 : self.size[1], 0 : self.size[0]].astype(np.float64)
        film_x, film_y = self.film(x, y)
        return np.stack((x - film_x, y - film_y), axis=-1).astype(np.float32)

    def _bend(self, x: Field, y: Field) -> tuple[Field, Field]:
        if not self.bend.any():
            return np.zeros(()), np.zeros(())
        u = 2 * x / max(1, self.size[0] - 1) - 1
        v = 2 * y / max(1, self.size[1] - 1) - 1
        # Mean square over the picture is 4/45 for the squares and 1/9 for the product.
        modes = (u * u - 1 / 3) * math.sqrt(45 / 4), 3 * u * v, (v * v - 1 / 3) * math.sqrt(45 / 4)
        first, second = (
            row[0] * modes[0] + row[1] * modes[1] + row[2] * modes[2] for row in self.bend
        )
        return first, second


def weave_offset(spec: WeaveSpec, seed: int, number: int) -> tuple[float, float]:
    """Return `(x, y)` in px by which the picture is displaced at one frame.

    The drift is a finite moving average of per-frame innovations, so that any frame can be made
    without those before it.
    """
    powers = spec.memory ** np.arange(_TERMS)
    scale = 1.0 / np.sqrt(np.sum(powers**2))
    innovations = np.array(
        [stream(seed, Domain.WEAVE, number - k).standard_normal(4)[:2] for k in range(_TERMS)]
    )
    slow = scale * (powers @ innovations)
    white = stream(seed, Domain.WEAVE, number).standard_normal(4)[2:]
    x, y = np.asarray(spec.drift) * slow + np.asarray(spec.jitter) * white
    return float(x), float(y)


def weave_frame(spec: WeaveSpec, seed: int, number: int, size: tuple[int, int]) -> WeaveFrame:
    """Return the place of one frame of `size` `(width, height)` in the gate."""
    angle, bend = 0.0, np.zeros((2, 3))
    if spec.rotation or spec.rotation_jitter:
        series = Series(min(spec.memory, 0.99), 1)
        slow, white = series.at(seed, Domain.WEAVE, number, _ANGLE_LANE)
        angle = math.radians(
            spec.rotation * float(slow[0]) + spec.rotation_jitter * float(white[0])
        )
    if spec.flex:
        slow, _ = Series(min(spec.memory, 0.99), 6).at(seed, Domain.WEAVE, number, _FLEX_LANE)
        bend = spec.flex / math.sqrt(3) * slow.reshape(2, 3)
    return WeaveFrame(weave_offset(spec, seed, number), angle, bend, size)


def still(size: tuple[int, int]) -> WeaveFrame:
    """Return a frame that sits where it should."""
    return WeaveFrame((0.0, 0.0), 0.0, np.zeros((2, 3)), size)
