"""Packing and unpacking of DPX rows in plain numpy.

The path taken where `wetgate._native` is absent, and the judge of it: both give the same bits.
Ten to twenty times slower than the native loops.

Caveats:
    * 4:2:2 chroma is delivered at full width, each stored value on both pixels that share it;
      packing stores the mean of the two, which is the very value when they are equal. The last
      pixel of an odd width has no Cr of its own and repeats its neighbor's.
    * Packing rounds to the nearest code, ties to even; values outside [0, 1] take the nearest
      code the file can hold, and NaN takes code 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.io.dpx_layout import sample_row_bytes

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint32]
Floats = NDArray[np.float32]


def unpack(
    data: Bytes,
    pixels: Floats,
    *,
    row_bytes: int,
    bits: int,
    packing: int,
    big_endian: bool,
    channel: tuple[int, ...],
    odd_channel: int = -1,
) -> bool:
    """Decode whole rows into `pixels`, float32 (rows, width, channel).

    Args:
        data: file bytes, `row_bytes` a row.
        channel: index in `pixels` of each stored sample of a pixel.
        odd_channel: 4:2:2: index of Cr, stored in slot 0 of odd pixels; -1 otherwise.

    Returns:
        Whether any bit that is not a sample is set.
    """
    rows, width, _ = pixels.shape
    count = width * len(channel)
    used = sample_row_bytes(count, bits, packing)
    grid = data[: rows * row_bytes].reshape(rows, row_bytes)
    block = np.ascontiguousarray(grid[:, :used])
    if bits == 32:
        values = block.view(_dtype(4, big_endian, "f")).astype(np.float32)
        neutral = np.float32(0)
        fill = False
    else:
        codes = _codes(block, count, bits, packing, big_endian, single=len(channel) == 1)
        top = np.float32((1 << bits) - 1)
        values = codes.astype(np.float32) / top
        neutral = np.float32(1 << (bits - 1)) / top
        again = _bytes(codes, bits, packing, big_endian, single=len(channel) == 1)
        fill = bool((again != block).any())
    _spread(values.reshape(rows, width, len(channel)), pixels, channel, odd_channel, neutral)
    return fill or bool(grid[:, used:].any())


def pack(
    pixels: Floats,
    data: Bytes,
    *,
    row_bytes: int,
    bits: int,
    packing: int,
    big_endian: bool,
    channel: tuple[int, ...],
    odd_channel: int = -1,
) -> None:
    """Encode `pixels` into whole rows of `data`; whatever is not a sample becomes zero."""
    rows, width, _ = pixels.shape
    count = width * len(channel)
    used = sample_row_bytes(count, bits, packing)
    values = _gather(pixels, channel, odd_channel).reshape(rows, count)
    grid = data[: rows * row_bytes].reshape(rows, row_bytes)
    grid[:, used:] = 0
    if bits == 32:
        grid[:, :used] = values.astype(_dtype(4, big_endian, "f")).view(np.uint8)
        return
    top = float((1 << bits) - 1)
    # Near 2**16 a product in float32 would itself be off by 1/256 of a code.
    inside = np.minimum(np.where(values > 0, values, np.float32(0)), np.float32(1))
    scaled = inside.astype(np.float64) * top if bits == 16 else inside * np.float32(top)
    codes = np.rint(scaled).astype(np.uint32)
    grid[:, :used] = _bytes(codes, bits, packing, big_endian, single=len(channel) == 1)


def _dtype(size: int, big_endian: bool, kind: str = "u") -> np.dtype[np.generic]:
    return np.dtype(f"{'>' if big_endian else '<'}{kind}{size}")


def _shifts(packing: int, single: bool) -> NDArray[np.uint32]:
    """Return the low bit of each of the three samples of a filled word, in reading order."""
    base = 2 if packing == 1 else 0
    order = (0, 10, 20) if single else (20, 10, 0)
    return np.array([base + shift for shift in order], dtype=np.uint32)


def _codes(
    block: Bytes, count: int, bits: int, packing: int, big_endian: bool, *, single: bool
) -> Codes:
    rows = len(block)
    if bits == 8:
        return block.astype(np.uint32)
    if bits == 16 or (bits == 12 and packing != 0):
        words = block.view(_dtype(2, big_endian)).astype(np.uint32)
        shift = 4 if bits == 12 and packing == 1 else 0
        return (words >> np.uint32(shift)) & np.uint32((1 << bits) - 1)
    words = block.view(_dtype(4, big_endian)).astype(np.uint32)
    if packing != 0:
        filled = (words[:, :, None] >> _shifts(packing, single)) & np.uint32(1023)
        return filled.reshape(rows, -1)[:, :count]
    flags = np.unpackbits(words.astype("<u4").view(np.uint8), axis=1, bitorder="little")
    flags = flags[:, : count * bits].reshape(rows, count, bits)
    weights = (1 << np.arange(bits)).astype(np.uint32)
    return np.asarray((flags * weights).sum(axis=2, dtype=np.uint32))


def _bytes(codes: Codes, bits: int, packing: int, big_endian: bool, *, single: bool) -> Bytes:
    rows, count = codes.shape
    if bits == 8:
        return codes.astype(np.uint8)
    if bits == 16 or (bits == 12 and packing != 0):
        shift = 4 if bits == 12 and packing == 1 else 0
        return (codes << shift).astype(_dtype(2, big_endian)).view(np.uint8)
    if packing != 0:
        padded = np.zeros((rows, (count + 2) // 3 * 3), dtype=np.uint32)
        padded[:, :count] = codes
        words = np.bitwise_or.reduce(
            padded.reshape(rows, -1, 3) << _shifts(packing, single), axis=2
        )
        return np.asarray(words).astype(_dtype(4, big_endian)).view(np.uint8)
    flags = (codes[:, :, None] >> np.arange(bits, dtype=np.uint32)) & 1
    run = np.zeros((rows, (count * bits + 31) // 32 * 32), dtype=np.uint8)
    run[:, : count * bits] = flags.reshape(rows, -1)
    words = np.packbits(run, axis=1, bitorder="little").view("<u4")
    return words.astype(_dtype(4, big_endian)).view(np.uint8)


def _spread(
    values: Floats, pixels: Floats, channel: tuple[int, ...], odd_channel: int, neutral: np.float32
) -> None:
    width = values.shape[1]
    for slot, index in enumerate(channel):
        if slot or odd_channel < 0:
            pixels[:, :, index] = values[:, :, slot]
    if odd_channel < 0:
        return
    chroma = values[:, :, 0]
    pixels[:, :, channel[0]] = np.repeat(chroma[:, 0::2], 2, axis=1)[:, :width]
    pairs = width // 2 * 2
    pixels[:, :pairs, odd_channel] = np.repeat(chroma[:, 1::2], 2, axis=1)
    if width % 2:
        pixels[:, -1, odd_channel] = pixels[:, -2, odd_channel] if width > 1 else neutral


def _gather(pixels: Floats, channel: tuple[int, ...], odd_channel: int) -> Floats:
    values = pixels[:, :, list(channel)]
    if odd_channel >= 0:
        width = pixels.shape[1]
        values[:, 0::2, 0] = _shared(pixels[:, :, channel[0]])
        values[:, 1::2, 0] = _shared(pixels[:, :, odd_channel])[:, : width // 2]
    return values


def _shared(plane: Floats) -> Floats:
    """Return one value for each pair of columns; a last single column stands for itself."""
    even = np.ascontiguousarray(plane[:, 0::2])
    odd = even.copy()
    odd[:, : plane.shape[1] // 2] = plane[:, 1::2]
    with np.errstate(invalid="ignore"):  # NaN and infinities are data here
        mean = (0.5 * (even.astype(np.float64) + odd.astype(np.float64))).astype(np.float32)
    return np.where(even.view(np.uint32) == odd.view(np.uint32), even, mean)
