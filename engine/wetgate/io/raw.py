"""What a decoder gives before it becomes a frame: samples in the file's own type.

Decoding may happen in another process; turning samples into float32 happens in this one, straight
out of the shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wetgate.io.oiio import Samples
from wetgate.model.frame import Frame, ImageInfo

_ROWS = 64
"""Rows converted at once; bounds the memory of values widened to double."""


@dataclass(frozen=True, slots=True)
class NanBits:
    """The bits of NaN samples of half type, which a conversion through float32 may change.

    Attributes:
        at: positions in the flattened `(height, width, channel)` array.
        half: bits in the file; full: bits of the float32 handed out for them.
    """

    at: NDArray[np.int64]
    half: NDArray[np.uint16]
    full: NDArray[np.uint32]


@runtime_checkable
class NanKeeper(Protocol):
    """A payload whose writer gives NaN samples their bits back."""

    def with_nan_bits(self, bits: NanBits) -> object:
        """Return the payload with these bits."""
        ...


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One decoded frame.

    Attributes:
        info: facts of the frame; `info.header.payload` is what rides along.
        samples: `(height, width, channel)` as stored; integers are codes.
        scale: the largest code for integers, None for half and float.
        nan_bits: known already when half samples came as float32 among others.
    """

    info: ImageInfo
    samples: Samples
    scale: int | None = None
    nan_bits: NanBits | None = None

    def frame(self, number: int, color_space: str) -> Frame:
        """Make the frame; its pixels are its own memory, never a view of `samples`."""
        pixels = _to_float(self.samples, self.scale)
        mask = None if self.scale is not None else find_non_finite(pixels)
        bits, header = self.nan_bits, self.info.header
        if mask is not None and self.samples.dtype == np.float16:
            bits = find_nan_bits(self.samples, pixels)
        if bits is not None and isinstance(header.payload, NanKeeper):
            header = replace(header, payload=header.payload.with_nan_bits(bits))
        info = self.info
        return Frame(
            number=number,
            pixels=pixels,
            channels=info.channels,
            data_window=info.data_window,
            display_window=info.display_window,
            color_space=color_space,
            sample_type=info.sample_type,
            header=header,
            pixel_aspect=info.pixel_aspect,
            non_finite=mask,
        )

    def with_samples(self, samples: Samples) -> RawFrame:
        """Return the frame with its samples, which travelled apart from the rest."""
        if samples.ndim != 3 or samples.shape[2] != len(self.info.channels):
            raise ValueError(f"samples of shape {samples.shape} for {self.info.channels}")
        return replace(self, samples=samples)

    def with_payload(self, payload: object) -> RawFrame:
        """Return the frame with something riding along."""
        return replace(
            self, info=replace(self.info, header=replace(self.info.header, payload=payload))
        )


def _to_float(samples: Samples, scale: int | None) -> NDArray[np.float32]:
    if scale is None:
        return np.array(samples, dtype=np.float32, order="C", copy=True)
    # A table of the quotients rounded once: codes come back from `code / scale` exactly.
    table = (np.arange(scale + 1, dtype=np.float64) / scale).astype(np.float32)
    return table[samples]


def find_non_finite(pixels: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return the `(height, width)` mask of pixels with NaN or Inf, None when there is none."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(pixels.sum(dtype=np.float32)):  # NaN and Inf survive a sum
            return None
    mask = np.asarray(np.logical_not(np.isfinite(pixels)).any(axis=2), dtype=np.bool_)
    return mask if mask.any() else None


def find_nan_bits(half: NDArray[np.float16], full: NDArray[np.float32]) -> NanBits | None:
    """Remember the half bits of every NaN; None when there is none."""
    at = np.flatnonzero(np.isnan(full))
    if not at.size:
        return None
    flat_half = np.ascontiguousarray(half).reshape(-1).view(np.uint16)
    flat_full = full.reshape(-1).view(np.uint32)
    return NanBits(at, flat_half[at], flat_full[at])


def to_half(pixels: NDArray[np.float32], bits: NanBits | None) -> NDArray[np.float16]:
    """Round to half, to nearest, ties to even; finite samples stay finite.

    A finite sample beyond the largest half (65504) becomes that, not infinity: the file would
    else hold a hole that the picture had not. NaN samples that are still those handed out get
    the bits back that they had in the file.
    """
    try:
        with np.errstate(over="raise", invalid="ignore", under="ignore"):
            half = pixels.astype(np.float16)
    except FloatingPointError:
        largest = np.float32(np.finfo(np.float16).max)
        held = np.where(np.isfinite(pixels), np.clip(pixels, -largest, largest), pixels)
        with np.errstate(invalid="ignore"):
            half = held.astype(np.float16)
    if bits is not None and bits.at[-1] < pixels.size:
        same = np.ascontiguousarray(pixels).reshape(-1).view(np.uint32)[bits.at] == bits.full
        half.reshape(-1).view(np.uint16)[bits.at[same]] = bits.half[same]
    return half


def to_codes(pixels: NDArray[np.float32], scale: int) -> Samples:
    """Round to codes `0..scale`, to nearest; beyond the range lies the nearest code, NaN is 0."""
    codes = np.empty(pixels.shape, np.uint8 if scale <= 255 else np.uint16)
    for start in range(0, len(pixels), _ROWS):
        # Near 2^16 a product in float32 would itself be off by 1/256 of a code.
        scaled = pixels[start : start + _ROWS].astype(np.float64) * scale
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=scale, neginf=0.0)
        codes[start : start + _ROWS] = np.rint(np.clip(scaled, 0, scale))
    return codes
