"""What a file's samples can hold, and whether what was read back is what was meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.frame import SampleType, code_depth
from wetgate.operators.base import Pixels

_TIE = 1e-3
"""How far from the middle between two codes a value must be to decide for one."""


def quantized(pixels: Pixels, sample_type: SampleType) -> Pixels:
    """Round to the nearest value that the sample type holds; integer codes hold NaN as 0."""
    depth = code_depth(sample_type)
    if depth is not None:
        top = np.float32((1 << depth) - 1)
        codes = _in_range(pixels)
        codes *= top
        np.rint(codes, out=codes)
        codes /= top
        return codes
    if sample_type == "half":
        with np.errstate(over="ignore"):
            return pixels.astype(np.float16).astype(np.float32)
    return pixels


def holds(wanted: Pixels, got: Pixels, sample_type: SampleType) -> bool:
    """Whether `got` is `wanted` in the precision of the file.

    Integer codes must be the nearest (either one at a tie); half and float must be the rounded
    value bit for bit, NaN payloads included.
    """
    depth = code_depth(sample_type)
    if depth is None:
        return bool(same_bits(got, quantized(wanted, sample_type)).all())
    top = float((1 << depth) - 1)
    apart = _in_range(wanted)
    np.subtract(got, apart, out=apart)
    np.abs(apart, out=apart)
    apart *= np.float32(top)
    # float32 holds a code to 2^-25 and the product to 2^-24. "Not greater" would let NaN pass.
    return bool(apart.max(initial=0.0) <= 0.5 + _TIE + top * 2.0**-23)


def _in_range(pixels: Pixels) -> Pixels:
    """Hold values between 0 and 1, and NaN at 0, as every integer codec does."""
    held: Pixels = np.fmax(pixels, np.float32(0), dtype=np.float32)
    return np.fmin(held, np.float32(1), out=held)


def same_bits(a: Pixels, b: Pixels) -> NDArray[np.bool_]:
    """Compare float32 samples by their bits."""
    return np.equal(
        np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32)
    )


@dataclass(slots=True)
class Change:
    """Counts what differs from the source, band by band."""

    pixels: int = 0
    changed: int = 0
    greatest: float = 0.0

    def add(self, source: Pixels, got: Pixels) -> NDArray[np.bool_]:
        """Compare a band of colors; return the `(h, w)` mask of pixels that differ."""
        height, width, count = got.shape
        self.pixels += height * width
        apart = np.not_equal(
            np.ascontiguousarray(got).view(np.uint32), np.ascontiguousarray(source).view(np.uint32)
        )
        mask: NDArray[np.bool_] = apart[..., 0].copy()
        for channel in range(1, count):
            mask |= apart[..., channel]
        found = int(np.count_nonzero(mask))
        if found:
            self.changed += found
            with np.errstate(invalid="ignore", over="ignore"):
                # Picking out what differs costs more than the difference where most does.
                few = 2 * found < mask.size
                difference = got[mask] - source[mask] if few else got - source
            # The ends of the range instead of every magnitude: one pass less over the band.
            greatest = max(float(difference.max()), -float(difference.min()))
            if not np.isfinite(greatest):
                finite = difference[np.isfinite(difference)]
                greatest = float(np.abs(finite).max(initial=0.0))
            self.greatest = max(self.greatest, greatest)
        return mask

    @property
    def share(self) -> float:
        """Share of pixels that differ."""
        return self.changed / self.pixels if self.pixels else 0.0
