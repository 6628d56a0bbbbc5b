"""EXR headers as bytes: parsed to be understood, kept to be written back exactly.

An EXR header is a list of named, typed values. Passing it through a general image library loses
some and invents others; here every value stays the bytes it was, and only what truly changed is
replaced. Source: OpenEXR file layout, https://openexr.com/en/latest/OpenEXRFileLayout.html.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, UnsupportedImage

MAGIC = b"\x76\x2f\x31\x01"
_TILED, _LONG_NAMES, _DEEP, _MULTIPART = 0x200, 0x400, 0x800, 0x1000
_KNOWN_FLAGS = _TILED | _LONG_NAMES | _DEEP | _MULTIPART
_MOST_BYTES = 64 << 20
_MOST_ATTRIBUTES = 65536

COMPRESSIONS = (
    "none",
    "rle",
    "zips",
    "zip",
    "piz",
    "pxr24",
    "b44",
    "b44a",
    "dwaa",
    "dwab",
    "htj2k256",
    "htj2k32",
    "lj2k",
    "zstd",
)
"""Names by the number that the file stores."""

LINE_ORDERS = ("increasingY", "decreasingY", "randomY")
_CHANNEL_TYPES = ("uint", "half", "float")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One value of a header, as stored."""

    name: str
    type: str
    value: bytes

    def packed(self) -> bytes:
        """Return its bytes in a file."""
        name, kind = _bytes(self.name), _bytes(self.type)
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(self.value)) + self.value


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of a channel list."""

    name: str
    type: str
    linear: int
    x_step: int
    y_step: int


@dataclass(frozen=True, slots=True)
class PartHeader:
    """The header of one part, in the order of the file."""

    attributes: tuple[Attribute, ...]

    def get(self, name: str) -> Attribute | None:
        """Return the stored value of that name."""
        return next((a for a in self.attributes if a.name == name), None)

    def value(self, name: str) -> object | None:
        """Return the decoded value of that name."""
        found = self.get(name)
        return None if found is None else decode(found)

    def without(self, names: Iterable[str]) -> PartHeader:
        """Return the header less some values."""
        gone = set(names)
        return PartHeader(tuple(a for a in self.attributes if a.name not in gone))

    def with_attribute(self, new: Attribute) -> PartHeader:
        """Return the header with one value replaced in its place, or added at the end."""
        if self.get(new.name) is None:
            return PartHeader((*self.attributes, new))
        return PartHeader(tuple(new if a.name == new.name else a for a in self.attributes))

    def packed(self) -> bytes:
        """Return the bytes in a file, with the closing null."""
        return b"".join(a.packed() for a in self.attributes) + b"\0"

    @property
    def name(self) -> str:
        """Return the part's name, empty when it has none."""
        return str(self.value("name") or "")

    @property
    def view(self) -> str:
        """Return the part's view, empty when it has none."""
        return str(self.value("view") or "")

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Return the channels in the order of the file."""
        found = self.value("channels")
        return found if isinstance(found, tuple) else ()

    @property
    def compression(self) -> str:
        """Return the name of the compression."""
        return str(self.value("compression"))

    @property
    def levels(self) -> str:
        """Return "one", "mipmap" or "ripmap"."""
        tiles = self.value("tiles")
        return str(tiles[2]) if isinstance(tiles, tuple) else "one"

    def box(self, name: str) -> Box:
        """Return a window, half-open."""
        found = self.get(name)
        if found is None or len(found.value) != 16:
            raise ValueError(f"no {name}")
        x0, y0, x1, y1 = struct.unpack("<4i", found.value)
        return Box(x0, y0, x1 + 1, y1 + 1)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """All headers of one file.

    Attributes:
        flags: the version word without the version number.
        parts: one a part.
        size: bytes from the start of the file to the chunk tables.
    """

    flags: int
    parts: tuple[PartHeader, ...]
    size: int

    @property
    def is_multipart(self) -> bool:
        """Whether the file is laid out for several parts (there may be one)."""
        return bool(self.flags & _MULTIPART)

    @property
    def is_deep(self) -> bool:
        """Whether some part holds deep data."""
        return bool(self.flags & _DEEP)

    def packed(self) -> bytes:
        """Return the bytes from the start of the file to the chunk tables."""
        flags = self.flags
        if any(len(_bytes(t)) > 31 for p in self.parts for a in p.attributes for t in _texts(a)):
            flags |= _LONG_NAMES
        body = b"".join(p.packed() for p in self.parts)
        return MAGIC + struct.pack("<I", 2 | flags) + body + (b"\0" if self.is_multipart else b"")

    def with_parts(self, parts: Iterable[PartHeader]) -> FileHeader:
        """Return the header with other parts."""
        return replace(self, parts=tuple(parts))


def _texts(attribute: Attribute) -> tuple[str, ...]:
    names = (attribute.name, attribute.type)
    if attribute.type != "chlist":
        return names
    found = decode(attribute)
    return (*names, *(c.name for c in found)) if isinstance(found, tuple) else names


class _Cursor:
    """Reads forward through the start of a file, never past its end or the bound."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`
        self._data = bytearray()

    def close(self) -> None:
        self._file.close()

    def _need(self, count: int) -> None:
        if count > _MOST_BYTES:
            raise UnsupportedImage(
                "header is larger than 64 MB", path=self.path, expected="an ordinary header"
            )
        while len(self._data) < count:
            more = self._file.read(max(1 << 16, count - len(self._data)))
            if not more:
                raise FrameReadError("file ends inside the header", path=self.path)
            self._data += more

    def take(self, count: int) -> bytes:
        self._need(self.at + count)
        found = bytes(self._data[self.at : self.at + count])
        self.at += count
        return found

    def text(self) -> str:
        """Read a name: at most 255 bytes and a null."""
        for length in range(256):
            self._need(self.at + length + 1)
            if self._data[self.at + length] == 0:
                return self.take(length + 1)[:-1].decode("utf-8", "surrogateescape")
        raise FrameReadError("a name in the header is longer than 255 bytes", path=self.path)


def read_header(path: Path, *, most_parts: int) -> FileHeader:
    """Read the headers of an EXR file.

    Raises:
        FrameReadError: when the file is not EXR, ends early or makes no sense.
        UnsupportedImage: when it has more than `most_parts` parts or an unknown version.
    """
    try:
        cursor = _Cursor(path)
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error
    try:
        return _read_header(cursor, most_parts)
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error
    finally:
        cursor.close()


def _read_header(cursor: _Cursor, most_parts: int) -> FileHeader:
    path = cursor.path
    if cursor.take(4) != MAGIC:
        raise FrameReadError("does not start as an EXR file", path=path)
    (word,) = struct.unpack("<I", cursor.take(4))
    if word & 0xFF != 2 or word & ~0xFF & ~_KNOWN_FLAGS:
        raise UnsupportedImage(f"EXR version word {word:#x}", path=path, expected="version 2")
    flags = word & _KNOWN_FLAGS
    parts: list[PartHeader] = []
    while True:
        attributes = _read_attributes(cursor)
        if not attributes:
            break
        parts.append(PartHeader(tuple(attributes)))
        if len(parts) > most_parts:
            raise UnsupportedImage(f"more than {most_parts} parts", path=path)
        if not flags & _MULTIPART:
            break
    if not parts:
        raise FrameReadError("the header holds no part", path=path)
    for part in parts:
        _check_part(part, path)
    return FileHeader(flags, tuple(parts), cursor.at)


def _read_attributes(cursor: _Cursor) -> list[Attribute]:
    found: list[Attribute] = []
    while name := cursor.text():
        kind = cursor.text()
        (size,) = struct.unpack("<i", cursor.take(4))
        if size < 0 or len(found) >= _MOST_ATTRIBUTES:
            raise FrameReadError(f"header value {name!r} has size {size}", path=cursor.path)
        found.append(Attribute(name, kind, cursor.take(size)))
    return found


def _check_part(part: PartHeader, path: Path) -> None:
    try:
        empty = part.box("dataWindow").is_empty or part.box("displayWindow").is_empty
    except ValueError as error:
        raise FrameReadError(f"the header has {error}", path=path) from error
    if empty:
        raise FrameReadError("a window of the header is empty", path=path)
    if not part.channels:
        raise FrameReadError("the header has no channels", path=path)
    for channel in part.channels:
        if printable(channel.name) != channel.name:
            raise UnsupportedImage(f"channel name {printable(channel.name)!r}", path=path)
    if part.compression not in COMPRESSIONS:
        raise UnsupportedImage(f"compression {part.compression}", path=path)


def decode(attribute: Attribute) -> object:
    """Return a stored value as Python's: numbers, text, tuples; bytes for unknown types."""
    reader = _DECODERS.get(attribute.type)
    if reader is None:
        return attribute.value
    try:
        return reader(attribute.value)
    except (struct.error, ValueError, IndexError, ZeroDivisionError):
        return attribute.value


def _numbers(form: str) -> Callable[[bytes], object]:
    shape = struct.Struct("<" + form)

    def read(value: bytes) -> object:
        found = shape.unpack(value)
        return found[0] if len(found) == 1 else found

    return read


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """Return a name with bytes that are no text spelled out, fit for any report."""
    return _bytes(text).decode("utf-8", "backslashreplace")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _texts_of(value: bytes) -> tuple[str, ...]:
    found, at = [], 0
    while at < len(value):
        (size,) = struct.unpack_from("<i", value, at)
        if size < 0 or at + 4 + size > len(value):
            raise ValueError("text runs past its end")
        found.append(_text(value[at + 4 : at + 4 + size]))
        at += 4 + size
    return tuple(found)


def _floats(value: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(value) // 4}f", value)


def _rational(value: bytes) -> Fraction:
    return Fraction(*struct.unpack("<iI", value))


def _channels(value: bytes) -> tuple[Channel, ...]:
    found, at = [], 0
    while value[at]:
        end = value.index(0, at)
        kind, linear, x_step, y_step = struct.unpack_from("<iBxxxii", value, end + 1)
        if not 0 <= kind < len(_CHANNEL_TYPES):
            raise ValueError(f"channel type {kind}")
        name = value[at:end].decode("utf-8", "surrogateescape")
        found.append(Channel(name, _CHANNEL_TYPES[kind], linear, x_step, y_step))
        at = end + 17
    return tuple(found)


def _tiles(value: bytes) -> tuple[int, int, str, str]:
    width, height, mode = struct.unpack("<IIB", value)
    levels, rounding = mode & 0xF, mode >> 4
    return width, height, ("one", "mipmap", "ripmap")[levels], ("down", "up")[rounding]


def _choice(names: tuple[str, ...]) -> Callable[[bytes], object]:
    return lambda value: names[value[0]] if value[0] < len(names) else value[0]


_DECODERS: Mapping[str, Callable[[bytes], object]] = MappingProxyType(
    {
        "int": _numbers("i"),
        "float": _numbers("f"),
        "double": _numbers("d"),
        "string": _text,
        "stringvector": _texts_of,
        "floatvector": _floats,
        "rational": _rational,
        "v2i": _numbers("2i"),
        "v2f": _numbers("2f"),
        "v2d": _numbers("2d"),
        "v3i": _numbers("3i"),
        "v3f": _numbers("3f"),
        "v3d": _numbers("3d"),
        "m33f": _numbers("9f"),
        "m33d": _numbers("9d"),
        "m44f": _numbers("16f"),
        "m44d": _numbers("16d"),
        "box2i": _numbers("4i"),
        "box2f": _numbers("4f"),
        "chromaticities": _numbers("8f"),
        "timecode": _numbers("2I"),
        "keycode": _numbers("7i"),
        "compression": _choice(COMPRESSIONS),
        "lineOrder": _choice(LINE_ORDERS),
        "envmap": _choice(("latlong", "cube")),
        "deepImageState": _choice(("messy", "sorted", "non_overlapping", "tidy")),
        "chlist": _channels,
        "tiledesc": _tiles,
    }
)
