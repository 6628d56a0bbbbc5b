"""Give an EXR file another header, and write the plainest EXR there is.

Source: OpenEXR file layout, https://openexr.com/en/latest/OpenEXRFileLayout.html: after the
headers comes one table of 64-bit file offsets a part, then the chunks without gaps.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wetgate.io.atomic import output_error
from wetgate.io.exr_header import Attribute, FileHeader, PartHeader
from wetgate.io.exr_losses import (
    ACES_FLAGS,
    COLOR_ATTRIBUTES,
    USES_LINEAR,
    hash_attributes,
    is_aces_container,
    leaked_attributes,
    previews,
)
from wetgate.io.oiio import Samples
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import OutputError

_FROM_CHUNKS = (
    "channels",
    "compression",
    "dataWindow",
    "displayWindow",
    "lineOrder",
    "tiles",
    "chunkCount",
    "dwaCompressionLevel",
)
"""Values that describe the chunks: taken from the file that holds them."""

_OURS = "wetgate:"
_COPY_BYTES = 4 << 20


def text_attribute(name: str, value: str) -> Attribute:
    """Make a header value of type string."""
    return Attribute(name, "string", value.encode("utf-8", "surrogateescape"))


def merged_header(
    source: PartHeader | None, made: PartHeader, options: WriteOptions, *, working: bool
) -> PartHeader:
    """Combine what the source said with what describes the new chunks.

    Args:
        source: the header of the part as it was read; None for a part that never was EXR.
        made: the header that the encoder wrote.
        working: the part holds the frame's pixels; other parts travel untouched.
    """
    if source is None:
        merged = made.without(["capDate", "DateTime", *leaked_attributes(made)])
    else:
        merged = _structured(source, made)
    merged = merged.without(_stale(merged, options, working=working))
    if working:
        for name, value in sorted(options.provenance.items()):
            full = name if name.startswith(_OURS) else _OURS + name
            merged = merged.with_attribute(text_attribute(full, value))
        if options.interop_id is not None:
            merged = merged.with_attribute(text_attribute("colorInteropID", options.interop_id))
    return merged


def _structured(source: PartHeader, made: PartHeader) -> PartHeader:
    merged = source
    for name in _FROM_CHUNKS:
        new, old = made.get(name), source.get(name)
        if name == "channels" and _same_channels(source, made):
            continue
        if new is None and old is not None:
            merged = merged.without([name])
        elif new is not None and new != old:
            merged = merged.with_attribute(new)
    for name in ("name", "type"):  # a file of several parts needs them
        new = made.get(name)
        if new is not None and (source.get(name) is None or name == "type"):
            merged = merged.with_attribute(new)
    return merged


def _same_channels(source: PartHeader, made: PartHeader) -> bool:
    """Whether the source's channel list, with its `pLinear` marks, describes the new chunks."""
    kept = [(c.name, c.type) for c in source.channels]
    return kept == [(c.name, c.type) for c in made.channels] and made.compression not in USES_LINEAR


def _stale(part: PartHeader, options: WriteOptions, *, working: bool) -> set[str]:
    gone = set(leaked_attributes(part))
    if options.pixels_changed and working:
        gone |= hash_attributes(part) | previews(part)
    if options.color_space_changed:
        gone |= COLOR_ATTRIBUTES
    if not is_aces_container(part):
        gone |= ACES_FLAGS
    return gone


def replace_header(made_path: Path, made: FileHeader, wanted: FileHeader, path: Path) -> None:
    """Write to `path` the chunks of `made_path` under another header.

    Raises:
        DiskFull, OutputError: when that fails, or the chunk table is not whole.
    """
    head = wanted.packed()
    try:
        with open(made_path, "rb", buffering=0) as source, open(path, "wb", buffering=0) as target:
            source.seek(made.size)
            table = _read_table(source.fileno(), made.size, path)
            target.write(head)
            target.write((table + np.uint64(len(head)) - np.uint64(made.size)).tobytes())
            _copy_rest(source.fileno(), target.fileno())
    except OSError as error:
        raise output_error(error, path) from error


def _read_table(source: int, start: int, path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Read the tables of all parts: they end where the first chunk begins."""
    first, found = 1 << 63, b""
    while start + len(found) < first:
        more = os.read(source, 8)
        if len(more) < 8:
            raise OutputError("the chunk table is cut off", path=path)
        first = min(first, struct.unpack("<Q", more)[0])
        found += more
    if start + len(found) != first:
        raise OutputError("the chunk table is not whole", path=path)
    return np.frombuffer(found, dtype="<u8")


def _copy_rest(source: int, target: int) -> None:
    while data := os.read(source, _COPY_BYTES):
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]


_NUMPY = {"uint32": (0, "<u4"), "float16": (1, "<f2"), "float32": (2, "<f4")}


def write_carrier(path: Path, box: Box, channels: Mapping[str, Samples], *, named: Path) -> None:
    """Write an uncompressed scan-line EXR of channels of any types.

    The image library writes channels of several types exactly only when it copies them from a
    file; this is that file.
    """
    names = tuple(sorted(channels, key=lambda n: n.encode("utf-8", "surrogateescape")))
    kinds = {n: _NUMPY[str(channels[n].dtype)] for n in names}
    listed = b"".join(
        n.encode("utf-8", "surrogateescape") + b"\0" + struct.pack("<iBxxxii", kinds[n][0], 0, 1, 1)
        for n in names
    )
    corners = struct.pack("<4i", box.x0, box.y0, box.x1 - 1, box.y1 - 1)
    part = PartHeader(
        (
            Attribute("channels", "chlist", listed + b"\0"),
            Attribute("compression", "compression", b"\0"),
            Attribute("dataWindow", "box2i", corners),
            Attribute("displayWindow", "box2i", corners),
            Attribute("lineOrder", "lineOrder", b"\0"),
            Attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            Attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            Attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
        )
    )
    head = FileHeader(0, (part,), 0).packed()
    fields = [(f"c{i}", kinds[n][1], (box.width,)) for i, n in enumerate(names)]
    line = np.dtype([("y", "<i4"), ("size", "<i4"), *fields])
    lines = np.empty(box.height, line)
    lines["y"] = np.arange(box.y0, box.y1)
    lines["size"] = line.itemsize - 8
    for i, name in enumerate(names):
        # As bits: copying half or float values must not touch NaN.
        bits = f"u{channels[name].dtype.itemsize}"
        lines[f"c{i}"].view(bits)[...] = np.ascontiguousarray(channels[name]).view(bits)
    first = len(head) + 8 * box.height
    table = first + line.itemsize * np.arange(box.height, dtype="<u8")
    try:
        with open(path, "wb") as file:
            file.write(head)
            file.write(table.astype("<u8").tobytes())
            file.write(lines.tobytes())
    except OSError as error:
        raise output_error(error, named) from error
