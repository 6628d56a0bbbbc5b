"""Named planes in an EXR of their own: mattes, maps of numbers, offsets.

Planes keep their type: uint32 becomes `uint`, float16 `half`, float32 `float`. Such a file is
mostly zeros, so it is packed here and not by the image library, which would want all of it
uncompressed in a file first.

Source: OpenEXR file layout, https://openexr.com/en/latest/OpenEXRFileLayout.html; the ZIP
compression (16 lines a chunk, halves of bytes apart, differences, zlib) is that of its
"Technical Introduction".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from wetgate.io.atomic import output_error
from wetgate.io.exr_header import Attribute, FileHeader, PartHeader, read_header
from wetgate.io.exr_rewrite import text_attribute
from wetgate.io.oiio import ImageReader, Samples
from wetgate.io.options import Limits
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError

_MOST_PARTS = 256
_LINES = 16
_ZIP = b"\x03"
_LEVEL = 4
"""Of zlib; what the OpenEXR library takes when nobody asks."""

_TYPES = {"uint32": (0, "<u4"), "float16": (1, "<f2"), "float32": (2, "<f4")}


def encode_planes(
    planes: Mapping[str, Samples],
    *,
    data_window: Box,
    display_window: Box,
    pixel_aspect: float = 1.0,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Return the bytes of an EXR of `(h, w)` planes by name.

    Args:
        facts: put into the header as `wetgate:<name>`.
    """
    names = sorted(planes, key=lambda name: name.encode())
    head = _header(planes, names, data_window, display_window, pixel_aspect, facts).packed()
    rows = [_bytes_of(planes[name]) for name in names]
    chunks = []
    for top in range(0, data_window.height, _LINES):
        block = np.concatenate([plane[top : top + _LINES] for plane in rows], axis=1)
        packed = _zipped(block.reshape(-1))
        chunks.append(struct.pack("<ii", data_window.y0 + top, len(packed)) + packed)
    sizes = np.asarray([0, *(len(chunk) for chunk in chunks[:-1])], np.uint64)
    table = np.cumsum(sizes, dtype=np.uint64) + np.uint64(len(head) + 8 * len(chunks))
    return b"".join([head, table.astype("<u8").tobytes(), *chunks])


def write_planes(path: Path, data: bytes) -> None:
    """Write what `encode_planes` made to exactly `path`.

    Raises:
        DiskFull, OutputError: when it cannot be written.
    """
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise output_error(error, path) from error


def read_planes(path: Path, *, prefix: str = "", part: int = 0) -> dict[str, Samples]:
    """Return the planes of one part of an EXR by name, in the types of the file.

    Args:
        prefix: reads only channels whose name begins so, and takes it off.

    Raises:
        FrameReadError: missing or damaged.
    """
    header = read_header(path, most_parts=_MOST_PARTS)
    if part >= len(header.parts):
        raise FrameReadError(f"has {len(header.parts)} parts", path=path, expected=f"part {part}")
    found = {}
    with ImageReader(path, "openexr", Limits()) as reader:
        layout = reader.part(part)
        wanted = [at for at, name in enumerate(layout.channels) if name.startswith(prefix)]
        while wanted:
            # The library decodes a whole chunk for each call: neighbors of one type go together.
            kind, first = layout.types[wanted[0]], wanted[0]
            last = first
            while wanted and wanted[0] == last and layout.types[last] == kind:
                wanted.pop(0)
                last += 1
            samples = reader.read(part, first, last, kind)
            for at in range(first, last):
                name = layout.channels[at][len(prefix) :]
                found[name] = np.ascontiguousarray(samples[..., at - first])
    return found


def _header(
    planes: Mapping[str, Samples],
    names: list[str],
    data_window: Box,
    display_window: Box,
    pixel_aspect: float,
    facts: Mapping[str, str],
) -> FileHeader:
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iBxxxii", _TYPES[str(planes[name].dtype)][0], 0, 1, 1)
        for name in names
    )
    part = PartHeader(
        (
            Attribute("channels", "chlist", listed + b"\0"),
            Attribute("compression", "compression", _ZIP),
            _corners("dataWindow", data_window),
            _corners("displayWindow", display_window),
            Attribute("lineOrder", "lineOrder", b"\0"),
            Attribute("pixelAspectRatio", "float", struct.pack("<f", pixel_aspect)),
            Attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            Attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            *(text_attribute(f"wetgate:{name}", text) for name, text in sorted(facts.items())),
        )
    )
    return FileHeader(0, (part,), 0)


def _corners(name: str, box: Box) -> Attribute:
    return Attribute(name, "box2i", struct.pack("<4i", box.x0, box.y0, box.x1 - 1, box.y1 - 1))


def _bytes_of(plane: Samples) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return a plane as rows of little-endian bytes; a view where it can be."""
    samples = np.ascontiguousarray(plane, _TYPES[str(plane.dtype)][1])
    return samples.view(np.uint8).reshape(plane.shape[0], -1)


def _zipped(raw: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> bytes:
    """Pack the bytes of one chunk; as they are where that is not less."""
    apart = np.concatenate([raw[0::2], raw[1::2]])
    steps = apart.copy()
    # Differences of bytes, offset by 128, modulo 256.
    steps[1:] = apart[1:] - apart[:-1] + np.uint8(128)
    packed = zlib.compress(steps.tobytes(), _LEVEL)
    return packed if len(packed) < raw.size else raw.tobytes()
