"""R'G'B' to 8-bit Y'CbCr 4:2:0 and back, as an encoder and a decoder of video do it.

The inverse (matrix, ranges, chroma positions) is the one with which movies are read
(`wetgate.io.ycc`). Forward: `Cb' = (B' - Y') / (2 (1 - Kb))`, `Cr' = (R' - Y') / (2 (1 - Kr))`;
limited range `Y = 16 + 219 Y'`, `C = 128 + 224 C'`; full range (JFIF) `Y = 255 Y'`,
`C = 128 + 255 C'`. Chroma at the left column takes taps 1-2-1 along a row and 1-1 down a column;
chroma between the columns takes 1-1 both ways.

Source: ITU-R BT.709-6 (items 3 and 4), BT.601-7; ITU-T T.871 (JFIF); chroma positions of ITU-T
H.264 Annex E, type 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.io.ycc import Coding, rgb_from_ycc, upsample

Codes = NDArray[np.uint8]

# Kr and Kb of the standards, for the forward direction (red and blue share of Y').
_LUMA = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}


@dataclass(frozen=True, slots=True)
class Planes:
    """8-bit 4:2:0 codes of a clip.

    Attributes:
        luma: `(frame, height, width)`.
        blue, red: Cb and Cr, `(frame, ceil(height / 2), ceil(width / 2))`.
        coding: matrix and range. Chroma lies between the columns when the range is full.
    """

    luma: Codes
    blue: Codes
    red: Codes
    coding: Coding

    def __len__(self) -> int:
        return int(self.luma.shape[0])

    def to_rgb(self) -> NDArray[np.float32]:
        """Return R'G'B' `(frame, height, width, 3)`, neither rounded nor clipped."""
        return np.stack([self.rgb(k) for k in range(len(self))])

    def rgb(self, index: int) -> NDArray[np.float32]:
        """Return R'G'B' of one frame, `(height, width, 3)`, neither rounded nor clipped."""
        luma = self.luma[index].astype(np.float32)
        centered = self.coding.full_range
        chroma = [
            upsample(c[index].astype(np.float32), luma.shape, centered=centered)
            for c in (self.blue, self.red)
        ]
        return rgb_from_ycc([luma, *chroma], self.coding)


def video_coding(matrix: str) -> Coding:
    """Return the coding of 8-bit video in limited range."""
    return Coding(bits=8, matrix=matrix, matrix_stated=True, full_range=False, range_stated=True)


JPEG_CODING = Coding(bits=8, matrix="bt601", matrix_stated=True, full_range=True, range_stated=True)
"""The coding of a JFIF file."""


def planes_from_rgb(
    frames: NDArray[np.float32] | Iterable[NDArray[np.float32]], coding: Coding
) -> Planes:
    """Convert R'G'B' `(frame, height, width, 3)`, 0-1 between black and white, to 4:2:0 codes.

    Frames are taken one by one, and only their codes are kept: rounded to the nearest, and what
    lies beyond 0 and 255 is clipped to them.
    """
    made = [_encode(frame, coding) for frame in frames]
    luma, blue, red = (np.stack([m[k] for m in made]) for k in range(3))
    return Planes(luma, blue, red, coding)


def _encode(frame: NDArray[np.float32], coding: Coding) -> tuple[Codes, Codes, Codes]:
    red_weight, blue_weight = _LUMA[coding.matrix]
    r, g, b = (frame[..., k].astype(np.float64) for k in range(3))
    y = red_weight * r + (1 - red_weight - blue_weight) * g + blue_weight * b
    low, span, chroma_span = (0.0, 255.0, 255.0) if coding.full_range else (16.0, 219.0, 224.0)
    cb = subsample((b - y) / (2 * (1 - blue_weight)), centered=coding.full_range)
    cr = subsample((r - y) / (2 * (1 - red_weight)), centered=coding.full_range)
    return _round(low + span * y), _round(128 + chroma_span * cb), _round(128 + chroma_span * cr)


def subsample(plane: NDArray[np.float64], *, centered: bool) -> NDArray[np.float64]:
    """Halve a plane both ways; an odd last row or column repeats."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    rows = 0.5 * (even[0::2] + even[1::2])
    if centered:
        return 0.5 * (rows[:, 0::2] + rows[:, 1::2])
    before = np.concatenate((rows[:, :1], rows[:, 1:-1:2]), axis=1)
    return 0.25 * (before + rows[:, 1::2]) + 0.5 * rows[:, 0::2]


def _round(values: NDArray[np.float64]) -> Codes:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
