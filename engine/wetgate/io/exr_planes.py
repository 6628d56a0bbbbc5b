"""Named planes in an EXR of their own: mattes, maps of numbers, offsets.

Planes keep their type: uint32 becomes `uint`, float16 `half`, float32 `float`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from wetgate.io.exr_header import read_header
from wetgate.io.exr_write import planes_part, write_parts
from wetgate.io.oiio import ImageReader, Samples
from wetgate.io.options import Limits, WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError

_MOST_PLANES = 256


def write_planes(
    path: Path,
    planes: Mapping[str, Samples],
    *,
    data_window: Box,
    display_window: Box,
    pixel_aspect: float = 1.0,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write `(h, w)` planes by name as EXR with ZIP to exactly `path`.

    Args:
        facts: put into the header as `wetgate:<name>`.

    Raises:
        DiskFull, OutputError: when it cannot be written.
    """
    part = planes_part(
        planes, data_window=data_window, display_window=display_window, pixel_aspect=pixel_aspect
    )
    write_parts([part], path, WriteOptions(provenance=facts))


def read_planes(path: Path, *, prefix: str = "", part: int = 0) -> dict[str, Samples]:
    """Return the planes of one part of an EXR by name, in the types of the file.

    Args:
        prefix: reads only channels whose name begins so, and takes it off.

    Raises:
        FrameReadError: missing or damaged.
    """
    header = read_header(path, most_parts=_MOST_PLANES)
    if part >= len(header.parts):
        raise FrameReadError(f"has {len(header.parts)} parts", path=path, expected=f"part {part}")
    found = {}
    with ImageReader(path, "openexr", Limits()) as reader:
        layout = reader.part(part)
        for at, (name, kind) in enumerate(zip(layout.channels, layout.types, strict=True)):
            if name.startswith(prefix):
                found[name[len(prefix) :]] = reader.read(part, at, at + 1, kind)[..., 0]
    return found
