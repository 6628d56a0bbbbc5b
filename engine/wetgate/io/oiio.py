"""The one module that touches OpenImageIO: every call checked, every failure a typed error.

OpenImageIO reports failure by a boolean and leaves a text behind; a text that nobody fetched is
reported by the next call. All of that ends here. It is loaded at first use, never at import.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import output_error
from wetgate.io.options import Limits
from wetgate.model.errors import DiskFull, FrameReadError, OutputError, UnsupportedImage

Samples = NDArray[Any]
"""`(height, width, channel)` in a type of the file: uint8, uint16, uint32, float16, float32."""

_DTYPES: Mapping[str, str] = {
    "uint8": "u1",
    "uint16": "u2",
    "uint": "u4",
    "uint32": "u4",
    "half": "f2",
    "float": "f4",
}
_NAMES = {np.dtype(v): k for k, v in _DTYPES.items() if k != "uint32"}
_HARMLESS = "failed TIFFWriteCustomDirectory() of the Exif data"
"""Said after every TIFF, even one without Exif data, by OpenImageIO 3.2.2."""
_NO_ROOM = re.compile(r"No space left|disk (?:is )?full|quota", re.IGNORECASE)


def _module() -> ModuleType:
    import OpenImageIO

    return OpenImageIO


def version() -> str:
    """Return the version of OpenImageIO in use."""
    return str(_module().__version__)


def _said(geterror: Callable[[], str]) -> str:
    """Fetch and so clear a pending text; damaged files put bytes into it that are no text."""
    try:
        return geterror().strip()
    except UnicodeDecodeError:
        return "a message that is not text"


def _drain(*sources: Any) -> str:
    """Return the pending texts of these objects and of the library, as one line."""
    texts = [_said(s.geterror) for s in sources if s is not None]
    texts.append(_said(_module().geterror))
    return " ".join(" ".join(t for t in texts if t).split())


def set_threads(count: int) -> None:
    """Set how many threads decode and encode; 1 works in the calling thread."""
    oiio = _module()
    oiio.attribute("threads", count)
    oiio.attribute("exr_threads", count if count > 1 else -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One image of a file, as OpenImageIO lays it out.

    Attributes:
        x, y, width, height: the data window; full_*: the display window.
        channels: names in OpenImageIO's order (color first), not the file's.
        types: one of "uint8", "uint16", "uint", "half", "float" a channel.
        tile: `(width, height)` of tiles; None for scan lines.
        levels: number of mip levels stored.
        attributes: metadata by OpenImageIO's names.
    """

    x: int = 0
    y: int = 0
    width: int
    height: int
    full_x: int = 0
    full_y: int = 0
    full_width: int
    full_height: int
    channels: tuple[str, ...]
    types: tuple[str, ...]
    tile: tuple[int, int] | None = None
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def uniform(self) -> str | None:
        """Return the type of all channels, None when they differ."""
        return self.types[0] if len(set(self.types)) == 1 else None


class ImageReader:
    """An open image file. Use as a context manager.

    Args:
        path: the file.
        format_name: OpenImageIO's name of the format that the content must be.
        limits: what the file may ask for.

    Raises:
        FrameReadError: when it cannot be opened.
        UnsupportedImage: when it is beyond `limits` or of another format.
    """

    def __init__(
        self, path: Path, format_name: str | None, limits: Limits, *, raw_color: bool = False
    ) -> None:
        oiio = _module()
        oiio.attribute("limits:channels", limits.channels)
        oiio.attribute("limits:imagesize_MB", limits.image_mb)
        oiio.attribute("limits:resolution", limits.resolution)
        self.path = path
        config = oiio.ImageSpec()
        config.attribute("oiio:UnassociatedAlpha", 1)
        if raw_color:
            config.attribute("oiio:RawColor", 1)
        _drain()
        self._input = oiio.ImageInput.open(str(path), config)
        why = _drain(self._input)
        if self._input is None:
            raise _refusal(why or "cannot be opened", path)
        found = str(self._input.format_name())
        if format_name is not None and found != format_name:
            self._input.close()
            raise UnsupportedImage(f"content reads as {found}", path=path, expected=format_name)
        self.format_name = found

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._input.close()
        _drain(self._input)

    def _seek(self, index: int, level: int = 0) -> bool:
        found = bool(self._input.seek_subimage(index, level))
        self._why = _drain(self._input)
        return found

    def part(self, index: int) -> Part:
        """Return the layout of one image of the file.

        Raises:
            FrameReadError: when there is no such image or its header is damaged.
        """
        if not self._seek(index):
            raise FrameReadError(self._why or f"no image {index}", path=self.path)
        try:
            spec = self._input.spec()
            if spec.deep:
                raise UnsupportedImage("deep image", path=self.path, expected="a flat image")
            if spec.depth > 1:
                raise UnsupportedImage("volume image", path=self.path, expected="a flat image")
            names = tuple(str(n) for n in spec.channelnames)
        except UnicodeDecodeError as error:
            raise FrameReadError("a channel name is not text", path=self.path) from error
        types = tuple(str(t) for t in spec.channelformats) or (str(spec.format),) * len(names)
        return Part(
            x=spec.x,
            y=spec.y,
            width=spec.width,
            height=spec.height,
            full_x=spec.full_x,
            full_y=spec.full_y,
            full_width=spec.full_width,
            full_height=spec.full_height,
            channels=names,
            types=types,
            tile=(spec.tile_width, spec.tile_height) if spec.tile_width else None,
            attributes=MappingProxyType(_attributes(spec)),
        )

    def count_parts(self, most: int) -> int:
        """Return the number of images, counting up to `most`."""
        count = 1
        while count < most and self._seek(count):
            count += 1
        return count

    def read(self, index: int, first: int, last: int, sample_type: str) -> Samples:
        """Decode channels `first` to `last` (exclusive, OpenImageIO's order) of one image.

        Raises:
            FrameReadError: when any of it is missing or damaged.
        """
        dtype = np.dtype(_DTYPES[sample_type])
        wanted = _module().TypeDesc("uint" if sample_type == "uint32" else sample_type)
        pixels = self._input.read_image(index, 0, first, last, wanted)
        why = _drain(self._input)
        if pixels is None or why:
            # Damage may leave a full array and a text, or no array and no text.
            raise FrameReadError(why or "pixels cannot be decoded", path=self.path)
        if pixels.dtype != dtype or pixels.ndim != 3 or pixels.shape[2] != last - first:
            raise FrameReadError(
                f"decoder gave {pixels.dtype} {pixels.shape}",
                path=self.path,
                expected=f"{dtype} with {last - first} channels",
            )
        return np.asarray(pixels)


def _refusal(why: str, path: Path) -> FrameReadError | UnsupportedImage:
    unsupported = ("not supported", "unsupported", "limits:", "exceeds", "too large", "subsampled")
    if any(word in why.lower() for word in unsupported):
        return UnsupportedImage(why, path=path)
    return FrameReadError(why, path=path)


def _attributes(spec: Any) -> dict[str, object]:
    """Collect the metadata; a value that is not text is left out (its bytes are unknown)."""
    found: dict[str, object] = {}
    for index in range(len(spec.extra_attribs)):
        try:
            item = spec.extra_attribs[index]
            name, value = str(item.name), item.value
            if isinstance(value, str):
                value.encode()
            if value is not None:
                found[name] = value
        except UnicodeError:
            continue
    return found


def _build_spec(part: Part) -> Any:
    oiio = _module()
    spec = oiio.ImageSpec(part.width, part.height, len(part.channels), part.types[0])
    spec.channelnames = part.channels
    if part.uniform is None:
        spec.channelformats = tuple(oiio.TypeDesc(t) for t in part.types)
    spec.x, spec.y = part.x, part.y
    spec.full_x, spec.full_y = part.full_x, part.full_y
    spec.full_width, spec.full_height = part.full_width, part.full_height
    spec.alpha_channel = part.channels.index("A") if "A" in part.channels else -1
    if part.tile is not None:
        spec.tile_width, spec.tile_height = part.tile
    for name, value in part.attributes.items():
        spec.attribute(name, value)
    return spec


@dataclass(frozen=True, slots=True)
class Output:
    """One image to write: its layout and where its samples come from.

    Exactly one of `samples` (all channels of one type) and `carrier` is set. `carrier` is a file
    that OpenImageIO reads with the same channels in the same types; copying from it is the only
    way to write channels of several types without passing them through float32.
    """

    part: Part
    samples: Samples | None = None
    carrier: Path | None = None


def write_images(
    path: Path, format_name: str, outputs: Sequence[Output], *, named: Path | None = None
) -> None:
    """Write one file of one or more images to exactly `path`.

    Args:
        named: the file to speak of in errors, when `path` is but a step towards it.

    Raises:
        DiskFull, OutputError: when any step fails; what lies at `path` is then worthless.
    """
    oiio = _module()
    oiio.attribute("tiff:half", 1)  # else half samples become float in a TIFF
    named = named or path
    _drain()
    writer = oiio.ImageOutput.create(format_name)
    if writer is None:
        raise OutputError(f"no writer for {format_name}: {_drain()}", path=named)
    specs = [_build_spec(o.part) for o in outputs]
    try:
        for index, output in enumerate(outputs):
            if index == 0:
                first = specs[0] if len(specs) == 1 else tuple(specs)
                done = writer.open(str(path), first)
            else:
                done = writer.open(str(path), specs[index], "AppendSubimage")
            _check(done, writer, named)
            _write_one(writer, output, named)
    except BaseException:
        writer.close()
        _drain(writer)
        raise
    _check(writer.close(), writer, named)


def _write_one(writer: Any, output: Output, path: Path) -> None:
    if output.samples is not None:
        samples = np.ascontiguousarray(output.samples)
        if _NAMES.get(samples.dtype) != output.part.uniform:
            raise TypeError(f"{samples.dtype} samples for channels of {output.part.types}")
        _check(writer.write_image(samples), writer, path)
        return
    source = _module().ImageInput.open(str(output.carrier))
    if source is None:
        raise OutputError(f"intermediate file cannot be read: {_drain()}", path=path)
    try:
        _check(writer.copy_image(source), writer, path)
    finally:
        source.close()


def _check(done: bool, writer: Any, path: Path) -> None:
    why = _drain(writer)
    if done and why in ("", _HARMLESS):
        return
    if _NO_ROOM.search(why):
        raise output_error(OSError(errno.ENOSPC, why), path)
    if not _has_room(path):
        raise DiskFull(why or "cannot be written", path=path, remedy="free space, then resume")
    raise OutputError(why or "cannot be written", path=path)


def _has_room(path: Path) -> bool:
    """Whether the volume takes one more page: EXR says `File output failed` on a full disk."""
    from wetgate.io.atomic import free_bytes

    return free_bytes(path) > 1 << 16
