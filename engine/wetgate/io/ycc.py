"""Y'CbCr to R'G'B' in float, un-clamped.

Source: ITU-R BT.709-6 (items 3 and 4), BT.601-7, BT.2020-2 (non-constant luminance); chroma
positions of ITU-T H.264 Annex E, type 0 (left, between the rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How Y'CbCr codes stand for R'G'B'.

    Attributes:
        bits: of one code.
        matrix: "bt709", "bt601" or "bt2020"; `matrix_stated` unless assumed from the height.
        full_range: codes use the whole range; else 16-235 (240) at 8 bits, scaled for more.
    """

    bits: int
    matrix: str
    matrix_stated: bool
    full_range: bool
    range_stated: bool

    def described(self) -> dict[str, object]:
        """Return the coding as attributes, assumptions marked."""
        matrix = self.matrix if self.matrix_stated else f"{self.matrix} (assumed)"
        named = "full" if self.full_range else "legal"
        stated = named if self.range_stated else f"{named} (assumed)"
        return {"movie:matrix": matrix, "movie:range": stated}

    def luma(self, codes: NDArray[np.uint16] | Plane) -> Plane:
        """Return Y', 0 at black and 1 at white."""
        unit = 2.0 ** (self.bits - 8)
        low, span = (0.0, 2.0**self.bits - 1) if self.full_range else (16 * unit, 219 * unit)
        return ((codes.astype(np.float64) - low) / span).astype(np.float32)

    def chroma(self, codes: Plane) -> Plane:
        """Return Cb or Cr, 0 at gray and within -0.5 to 0.5 for colors of the range."""
        unit = 2.0 ** (self.bits - 8)
        span = 2.0**self.bits - 1 if self.full_range else 224 * unit
        return ((codes.astype(np.float64) - 128 * unit) / span).astype(np.float32)


def rgb_from_ycc(planes: Sequence[Plane], coding: Coding) -> NDArray[np.float32]:
    """Return `(height, width, 3 or 4)` of full-size Y', Cb and Cr codes and, finished, alpha."""
    red_weight, blue_weight = _WEIGHTS[coding.matrix]
    luma = coding.luma(planes[0])
    blue = luma + np.float32(2 * (1 - blue_weight)) * coding.chroma(planes[1])
    red = luma + np.float32(2 * (1 - red_weight)) * coding.chroma(planes[2])
    green = luma - np.float32(red_weight) * red - np.float32(blue_weight) * blue
    green /= np.float32(1 - red_weight - blue_weight)
    return np.stack([red, green, blue, *planes[3:]], axis=2)


def upsample(chroma: Plane, size: tuple[int, int], *, centered: bool) -> Plane:
    """Interpolate a chroma plane linearly to `(height, width)`; edges repeat.

    Args:
        centered: samples lie between the columns (full-range JPEG habit); else on the left one.
    """
    rows = _double(chroma, size[0], 0, centered=True) if chroma.shape[0] != size[0] else chroma
    if rows.shape[1] == size[1]:
        return rows
    return _double(rows, size[1], 1, centered=centered)


def _double(plane: Plane, length: int, axis: int, *, centered: bool) -> Plane:
    plane = np.moveaxis(plane, axis, 0)
    before = np.concatenate([plane[:1], plane[:-1]])
    after = np.concatenate([plane[1:], plane[-1:]])
    even = 0.75 * plane + 0.25 * before if centered else plane
    odd = 0.75 * plane + 0.25 * after if centered else 0.5 * (plane + after)
    both = np.stack([even, odd], axis=1).reshape(2 * plane.shape[0], *plane.shape[1:])
    return np.ascontiguousarray(np.moveaxis(both[:length], 0, axis), dtype=np.float32)
