"""Samples as a file stores them: integer codes, and the bits of half and float.

The journal keeps what stood in a file and not what float32 makes of it, so that giving a sample
back gives its very bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from wetgate.io.raw import to_codes, to_half
from wetgate.model.errors import UnsupportedImage
from wetgate.model.frame import Frame, SampleType, code_depth
from wetgate.operators.base import Pixels
from wetgate.render.store import row_bands

Codes = NDArray[np.uint16] | NDArray[np.uint32]
"""`(..., channel)`: codes of integer samples, bits of half and float ones."""


def sample_bits(samples: NDArray[np.generic]) -> Codes:
    """Return codes or IEEE 754 bits of samples as a file holds them.

    Args:
        samples: uint8 or uint16 codes, float16 or float32.
    """
    if samples.dtype == np.float16:
        return np.ascontiguousarray(samples).view(np.uint16)
    if samples.dtype == np.float32:
        return np.ascontiguousarray(samples).view(np.uint32)
    return samples.astype(np.uint16)


def codes_of(pixels: Pixels, kind: SampleType) -> Codes:
    """Return what a file of this sample type holds for float32 samples."""
    depth = code_depth(kind)
    if depth is not None:
        return to_codes(pixels, (1 << depth) - 1).astype(np.uint16)
    return sample_bits(to_half(pixels, None) if kind == "half" else pixels)


def pixels_of(codes: Codes, kind: SampleType) -> Pixels:
    """Return float32 samples that a writer turns into just these codes."""
    depth = code_depth(kind)
    if depth is not None:
        return (codes.astype(np.float64) / ((1 << depth) - 1)).astype(np.float32)
    if kind == "half":
        return codes.astype(np.uint16).view(np.float16).astype(np.float32)
    return codes.astype(np.uint32).view(np.float32)


def color_columns(frame: Frame, channels: Sequence[str]) -> list[int]:
    """Return where the channels of the journal are among those of a frame.

    Raises:
        UnsupportedImage: one of them is not there.
    """
    missing = [name for name in channels if name not in frame.channels]
    if missing:
        raise UnsupportedImage(
            f"no channel {missing[0]!r}", frame=frame.number, expected=", ".join(channels)
        )
    return [frame.channels.index(name) for name in channels]


def digest_of_codes(bands: Iterable[Codes]) -> str:
    """Return `xxh128:<32 hex digits>` of codes, row by row, little-endian."""
    state = xxhash.xxh3_128()
    for band in bands:
        state.update(np.ascontiguousarray(band, band.dtype.newbyteorder("<")).tobytes())
    return f"xxh128:{state.hexdigest()}"


def samples_digest(frame: Frame, channels: Sequence[str]) -> str:
    """Return the digest of a frame's color samples, whatever the bytes of its file.

    It covers the codes of the named channels, pixel by pixel and row by row, little-endian:
    16 bits for integer and half samples, 32 for float.
    """
    columns = color_columns(frame, channels)
    return digest_of_codes(
        codes_of(np.ascontiguousarray(frame.pixels[band][..., columns]), frame.sample_type)
        for band in row_bands(frame.pixels.shape)
    )
