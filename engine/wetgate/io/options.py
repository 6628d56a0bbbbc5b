"""What a caller may ask of a reader (`Limits`) and of a writer (`WriteOptions`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a file may ask of the reader, checked before memory is taken.

    Set them from what the plan expects (expected size times 1.5); the defaults admit every
    frame of ordinary work and refuse headers made to exhaust the machine.

    Attributes:
        channels: most channels in one part.
        image_mb: most uncompressed megabytes of one image.
        resolution: most pixels along one side.
        parts: most parts or elements in one file.
        seconds: wall-clock seconds one read may take in the child process.
        memory_mb: address space of the child process beyond what it needs to start, MB.
    """

    channels: int = 1024
    image_mb: int = 4096
    resolution: int = 65536
    parts: int = 256
    seconds: float = 60.0
    memory_mb: int = 12288


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How one frame is to be written.

    Attributes:
        format: file format to write; None keeps the source's.
        compression: name of the compression, e.g. "zip" or "dwaa:45"; None keeps the source's.
        file_name: name the file will finally have, for headers that store one. The writer gets
            a temporary path and must not leak it.
        color_space_changed: the pixels are in another color space than the source's, so that
            inherited color metadata is stale and goes.
        interop_id: color interop id of the pixels, stated where the format has room for it.
        provenance: facts about the making, written where the format has room (EXR: `wetgate:*`).
        pixels_changed: False when the pixels are exactly those that were read.
        creation_time: when the pixels were made, "YYYY:MM:DD:HH:MM:SS:zone", for headers that
            store it; None keeps the source's, so that equal work gives equal files.
        extra_planes: `(h, w)` uint32, float16 or float32 planes that an EXR gets as channels of
            these names beside the picture; none of them may be a name of the source.
    """

    format: str | None = None
    compression: str | None = None
    file_name: str | None = None
    color_space_changed: bool = False
    interop_id: str | None = None
    provenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    pixels_changed: bool = True
    creation_time: str | None = None
    extra_planes: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}))
