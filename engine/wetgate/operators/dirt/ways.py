"""Where in a neighbor the pixels of a place are found, and how they are read there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.model.box import Box
from wetgate.operators.base import Pixels
from wetgate.operators.dirt.places import Places

TAPS = 6
"""Of the windowed sinc that reads between pixels."""
_GRAIN_OF_SHIFT, _GRAIN_OF_SLOPE = 64.0, 8192.0

Float = NDArray[np.float64]
Slope = tuple[float, float, float, float]
_LEVEL: Slope = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where in a neighbor the pixels of a place are found.

    Attributes:
        shift: `(x, y)` px at `center`: out(p) = there(p + shift).
        slope: how the shift changes with px: x by x, x by y, y by x, y by y.
        center: `(x, y)` px of the full frame, about which the slope turns.
    """

    shift: tuple[float, float]
    slope: Slope = _LEVEL
    center: tuple[float, float] = (0.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether it leads from pixels to pixels."""
        return (
            float(self.shift[0]).is_integer()
            and float(self.shift[1]).is_integer()
            and (self.slope == _LEVEL)
        )

    def at(self, y: Places, x: Places) -> tuple[Float, Float]:
        """Return the displacements `(x, y)` at pixels of the full frame."""
        px, py = x - self.center[0], y - self.center[1]
        a, b, c, d = self.slope
        return self.shift[0] + a * px + b * py, self.shift[1] + c * px + d * py


def read(pixels: Pixels, region: Box, way: Way, y: Places, x: Places) -> NDArray[np.float32]:
    """Read `(len(y), channel)` samples of a neighbor at displaced places.

    Whole displacements give the samples as they are. Between pixels a windowed sinc of `TAPS`
    reads, held within the smallest and largest of the 4 x 4 samples around, so that nothing rings.

    Args:
        pixels: the neighbor over `region`.
        y, x: px of the full frame.

    Source: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorology 18 (1979).
    """
    dx, dy = way.at(y, x)
    if way.is_whole:
        height, width = pixels.shape[:2]
        row = np.clip(y - region.y0 + int(way.shift[1]), 0, height - 1)
        column = np.clip(x - region.x0 + int(way.shift[0]), 0, width - 1)
        return pixels[row, column]
    return _native.read_between(pixels, y + dy - region.y0, x + dx - region.x0, TAPS)


def rounded(start: Way, by: Float, slope: Float) -> Way:
    """Return a way on a fixed grid, so that no last bit of a solver decides anything."""
    moved = np.rint((np.array(start.shift) + by) * _GRAIN_OF_SHIFT) / _GRAIN_OF_SHIFT
    a, b, c, d = (float(v) for v in np.rint(slope * _GRAIN_OF_SLOPE) / _GRAIN_OF_SLOPE)
    return Way(shift=(float(moved[0]), float(moved[1])), slope=(a, b, c, d), center=start.center)


def power(shift: tuple[float, float]) -> float:
    """Return the share of white noise that reading between pixels passes."""
    power = 1.0
    for t in shift:
        x = np.arange(TAPS) - (TAPS // 2 - 1) - (t - np.floor(t))
        kernel = np.sinc(x) * np.sinc(x / (TAPS // 2))
        power *= float(((kernel / kernel.sum()) ** 2).sum())
    return power
