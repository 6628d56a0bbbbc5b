"""Read and write DPX frames; a frame read and written unchanged is the same file, byte for byte.

Everything that is not a sample travels beside the pixels: header, user data, gaps, further
elements, trailing bytes, and the fill bits and paddings inside the rows when any of them is set.
Source: SMPTE ST 268-1.

Caveats:
    * Orientation is reported (`header.attributes["Orientation"]`), never applied: pixels are in
      file order.
    * Integer samples are code / (2**bits - 1). Writing takes the nearest code, ties to even;
      values outside [0, 1] take the nearest code there is, NaN takes code 0.
    * 4:2:2 chroma comes at full width, each value on both pixels that share it; writing stores
      their mean.
"""

from __future__ import annotations

import errno
import functools
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.io import dpx_reference
from wetgate.io.dpx_header import (
    HEADER_BYTES,
    DpxHeader,
    HeaderError,
    attributes,
    frame_rate,
    parse_header,
    pixel_aspect,
)
from wetgate.io.dpx_layout import DpxLayout, LayoutRefused, Region, TruncatedFile, lay_out
from wetgate.io.dpx_output import header_to_write
from wetgate.io.options import Limits, WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import DiskFull, FrameReadError, OutputError, UnsupportedImage
from wetgate.model.frame import Frame, ImageInfo, SourceHeader

# Rows are decoded in blocks that stay in the processor's cache between read and unpack.
_BLOCK_BYTES = 1 << 19

_scratch = threading.local()


@dataclass(frozen=True, slots=True)
class DpxPayload:
    """What only a DPX writer can put back: all bytes of the source that are not samples.

    Attributes:
        source_name: base name of the file; a different output name is written into the header.
        file_bytes: its size.
        layout: where its samples lay.
        after: the bytes behind each region, up to the next one or the end of the file.
        fill: for each region, the bits of each block of rows that are not samples, deflated;
            blocks without any are absent.
    """

    source_name: str
    file_bytes: int
    layout: DpxLayout
    after: tuple[bytes, ...]
    fill: tuple[dict[int, bytes], ...]


def read_info(path: Path, *, limits: Limits | None = None) -> ImageInfo:
    """Read what a DPX file says about itself, without decoding a pixel.

    Raises:
        FrameReadError: missing, truncated, or a header that contradicts the file.
        UnsupportedImage: a feature the codec does not carry as pixels, by name.
    """
    with _open(path) as file:
        header, layout, raw = _describe(file, path, None, limits or Limits())
    return _info(header, layout, raw)


def read_frame(
    path: Path,
    number: int,
    *,
    color_space: str,
    limits: Limits | None = None,
) -> Frame:
    """Read one DPX frame.

    Args:
        number: the frame's number; the header's own numbering is not consulted.

    Raises:
        FrameReadError: missing, truncated, or a header that contradicts the file.
        UnsupportedImage: a feature the codec does not carry as pixels, by name.
    """
    limits = limits or Limits()
    with _open(path, number) as file:
        header, layout, raw = _describe(file, path, number, limits)
        size = os.fstat(file.fileno()).st_size
        pixels = _empty_frame(header.height, header.width, len(layout.channels))
        fill, after = [], []
        try:
            for region, gap_end in zip(layout.regions, _gap_ends(layout, size), strict=True):
                fill.append(_read_region(file, region, pixels))
                after.append(_read_exactly(file, gap_end - region.end))
        except TruncatedFile as error:
            raise FrameReadError(
                "the file shrank while it was read",
                path=path,
                frame=number,
                expected=f"{size} bytes",
            ) from error
        except OSError as error:
            raise FrameReadError(f"cannot be read: {error}", path=path, frame=number) from error
    info = _info(header, layout, raw)
    payload = DpxPayload(path.name, size, layout, tuple(after), tuple(fill))
    return Frame(
        number=number,
        pixels=pixels,
        channels=layout.channels,
        data_window=info.data_window,
        display_window=info.display_window,
        color_space=color_space,
        sample_type=layout.sample_type,
        header=SourceHeader("dpx", info.header.attributes, raw, payload),
        pixel_aspect=info.pixel_aspect,
        non_finite=_non_finite(pixels) if layout.sample_type == "float" else None,
    )


def read_samples(
    path: Path, number: int, region: Region, size: tuple[int, int], channels: int
) -> NDArray[np.float32]:
    """Decode one region of any file that stores samples as DPX does (Cineon).

    Returns:
        float32 (height, width, channel) of `size` = (width, height).
    """
    width, height = size
    with _open(path, number) as file:
        try:
            file.seek(region.offset)
            pixels = _empty_frame(height, width, channels)
            _read_region(file, region, pixels)
        except TruncatedFile as error:
            raise FrameReadError(
                "the file shrank while it was read",
                path=path,
                frame=number,
                expected=f"{region.end} bytes",
            ) from error
        except OSError as error:
            raise FrameReadError(f"cannot be read: {error}", path=path, frame=number) from error
    return pixels


def write_frame(frame: Frame, path: Path, *, options: WriteOptions | None = None) -> None:
    """Write one frame as DPX, to exactly `path`.

    A frame that came from a DPX file keeps its header, and only what truly changed is patched:
    the file name when the output is named otherwise, offsets and sizes when the picture has
    another size, transfer and colorimetric bytes when the color space changed. A frame from
    another format gets a new header; half and float become 32-bit float.

    Raises:
        UnsupportedImage: channels no DPX descriptor has, or elements that cannot follow a new
            size.
        DiskFull, OutputError: the file cannot be written.
    """
    source = frame.header.payload if frame.header.format == "dpx" else None
    payload = source if isinstance(source, DpxPayload) else None
    same_shape = (
        payload is not None
        and payload.layout.channels == frame.channels
        and payload.layout.sample_type == frame.sample_type
        and payload.layout.regions[0].rows == frame.pixels.shape[0]
        and parse_header(frame.header.raw or b"").width == frame.pixels.shape[1]
    )
    options = options or WriteOptions()
    kept = payload.layout if payload is not None else None
    try:
        prefix, regions = header_to_write(
            frame,
            options,
            kept=kept,
            same_shape=same_shape,
            after_bytes=sum(map(len, payload.after)) if payload is not None else 0,
            renamed=payload is None or options.file_name not in (None, payload.source_name),
        )
    except LayoutRefused as refusal:
        raise UnsupportedImage(f"cannot write {refusal}", path=path, frame=frame.number) from None
    after: Sequence[bytes] = payload.after if payload is not None else (b"",)
    fill: Sequence[dict[int, bytes]] = payload.fill if payload is not None else ({},)
    if not same_shape:
        after, fill = (after[-1],), ({},)
    try:
        with FileIO(path, "w") as file:
            _write_all(file, memoryview(prefix))
            for region, marks, gap in zip(regions, fill, after, strict=True):
                _write_region(file, region, frame.pixels, marks)
                _write_all(file, memoryview(gap))
    except OSError as error:
        cause = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else OutputError
        raise cause(
            f"cannot be written: {error.strerror}", path=path, frame=frame.number
        ) from error


def _open(path: Path, number: int | None = None) -> FileIO:
    try:
        return FileIO(path, "r")
    except OSError as error:
        raise FrameReadError(
            f"cannot be opened: {error.strerror}", path=path, frame=number
        ) from error


def _describe(
    file: FileIO, path: Path, number: int | None, limits: Limits
) -> tuple[DpxHeader, DpxLayout, bytes]:
    """Parse and check the header; leave the file at its first sample."""
    try:
        size = os.fstat(file.fileno()).st_size
        if size < HEADER_BYTES:
            raise TruncatedFile(size, HEADER_BYTES)
        start = _read_exactly(file, HEADER_BYTES)
        header = parse_header(start)
        layout = lay_out(header, size)
        _check_limits(header, layout, size, limits)
        raw = start + _read_exactly(file, layout.regions[0].offset - HEADER_BYTES)
    except LayoutRefused as refusal:
        raise UnsupportedImage(
            f"DPX with {refusal}",
            path=path,
            frame=number,
            expected="uncompressed 8, 10, 12 or 16-bit integer or 32-bit float samples",
        ) from None
    except TruncatedFile as error:
        raise FrameReadError(
            f"truncated: {error.found} bytes",
            path=path,
            frame=number,
            expected=f"{error.expected} bytes",
        ) from None
    except HeaderError as error:
        raise FrameReadError(f"damaged DPX header: {error}", path=path, frame=number) from None
    except OSError as error:
        raise FrameReadError(f"cannot be read: {error}", path=path, frame=number) from error
    return header, layout, raw


def _check_limits(header: DpxHeader, layout: DpxLayout, size: int, limits: Limits) -> None:
    decoded = header.width * header.height * len(layout.channels) * 4
    for what, found, most in (
        ("pixels along one side", max(header.width, header.height), limits.resolution),
        ("channels", len(layout.channels), limits.channels),
        ("elements", len(header.elements), limits.parts),
        ("decoded megabytes", decoded // 1_000_000, limits.image_mb),
        ("megabytes in the file", size // 1_000_000, limits.image_mb),
    ):
        if found > most:
            raise HeaderError(f"{found} {what}, the limit is {most}")


def _info(header: DpxHeader, layout: DpxLayout, raw: bytes) -> ImageInfo:
    window = Box.of_size(header.width, header.height)
    return ImageInfo(
        header=SourceHeader("dpx", attributes(header), raw),
        channels=layout.channels,
        sample_type=layout.sample_type,
        data_window=window,
        display_window=window,
        pixel_aspect=pixel_aspect(header) or 1.0,
        frame_rate=frame_rate(header),
        carried=layout.carried,
    )


def _gap_ends(layout: DpxLayout, size: int) -> list[int]:
    return [*(region.offset for region in layout.regions[1:]), size]


def _non_finite(pixels: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    mask = np.logical_not(np.isfinite(pixels)).any(axis=2)
    return np.asarray(mask) if mask.any() else None


# ---- samples ------------------------------------------------------------------------------------


def _read_region(file: FileIO, region: Region, pixels: NDArray[np.float32]) -> dict[int, bytes]:
    """Decode one element into its channels; return the fill bits of the blocks that have any."""
    unpack, pack = _kernels()
    fill: dict[int, bytes] = {}
    for first, last in _blocks(region):
        block = _buffer("read", (last - first) * region.row_bytes)
        _read_into(file, block.data)
        if unpack(block, pixels[first:last], **region.kernel):
            samples = _buffer("fill", len(block))
            pack(pixels[first:last], samples, **region.kernel)
            fill[first] = zlib.compress((block ^ samples).tobytes(), 1)
    return fill


def _write_region(
    file: FileIO, region: Region, pixels: NDArray[np.float32], fill: dict[int, bytes]
) -> None:
    _, pack = _kernels()
    for first, last in _blocks(region):
        block = _buffer("write", (last - first) * region.row_bytes)
        pack(np.ascontiguousarray(pixels[first:last]), block, **region.kernel)
        if first in fill:
            block ^= np.frombuffer(zlib.decompress(fill[first]), np.uint8)
        _write_all(file, block.data)


def _blocks(region: Region) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK_BYTES // region.row_bytes)
    for first in range(0, region.rows, step):
        yield first, min(first + step, region.rows)


def _buffer(use: str, size: int) -> NDArray[np.uint8]:
    """Return this thread's scratch bytes for one use, kept from call to call."""
    held: NDArray[np.uint8] | None = getattr(_scratch, use, None)
    if held is None or held.size < size:
        held = np.empty(max(size, _BLOCK_BYTES), np.uint8)
        if size <= 4 * _BLOCK_BYTES:
            setattr(_scratch, use, held)
    return held[:size]


@functools.cache
def _kernels() -> tuple[Callable[..., bool], Callable[..., None]]:
    """Return unpack and pack: the native loops, or numpy where they are not built."""
    try:
        from wetgate import _native
    except ImportError:
        return dpx_reference.unpack, dpx_reference.pack
    return _native.dpx_unpack, _native.dpx_pack


def _empty_frame(height: int, width: int, channels: int) -> NDArray[np.float32]:
    try:
        from wetgate import _native
    except ImportError:
        return np.empty((height, width, channels), np.float32)
    return _native.empty_frame(height, width, channels)


# ---- whole reads and writes ---------------------------------------------------------------------


def _read_exactly(file: FileIO, size: int) -> bytes:
    held = bytearray(size)
    _read_into(file, memoryview(held))
    return bytes(held)


def _read_into(file: FileIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise TruncatedFile(file.tell(), file.tell() + len(view) - done)
        done += count


def _write_all(file: FileIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += file.write(view[done:]) or 0
