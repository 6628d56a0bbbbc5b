"""What PNG and TIFF files say beside their pixels, read by ourselves.

PNG: the chunks are kept as bytes and put back. TIFF: the tags are listed, so that those which the
image library does not carry can be named as lost.

Sources: W3C Portable Network Graphics (third edition), chunk layout; TIFF 6.0 section 2;
BigTIFF (libtiff), file layout.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wetgate.io.atomic import output_error
from wetgate.model.errors import FrameReadError, OutputError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 64 << 20
_PIXEL_CHUNKS = frozenset({"IHDR", "PLTE", "IDAT", "IEND", "tRNS"})
_LAYOUT_CHUNKS = frozenset({"bKGD", "sBIT", "hIST", "sPLT"})
"""Meaningless once a palette or a low bit depth has been expanded."""
COLOR_CHUNKS = frozenset({"sRGB", "gAMA", "cHRM", "iCCP", "cICP", "mDCV", "cLLI"})
_BEHIND_PIXELS = frozenset({"tIME", "tEXt", "zTXt", "iTXt", "eXIf"})


@dataclass(frozen=True, slots=True)
class PngChunk:
    """One chunk that is not pixels; `behind` the pixels or before them."""

    kind: str
    data: bytes
    behind: bool


@dataclass(frozen=True, slots=True)
class PngHeader:
    """The facts of a PNG: bits a sample, color type (3 is a palette), other chunks."""

    bits: int
    color_type: int
    chunks: tuple[PngChunk, ...]

    @property
    def is_expanded(self) -> bool:
        """Whether the image library turns the samples into others (palette, under 8 bits)."""
        return self.color_type == 3 or self.bits < 8


def read_png_header(path: Path) -> PngHeader:
    """Read all chunks of a PNG but the pixels.

    Raises:
        FrameReadError: when a chunk is cut off or damaged.
    """
    chunks: list[PngChunk] = []
    shape, behind, total = b"", False, 0
    for kind, size, data, _ in _png_chunks(path):
        total += size
        if kind == "IHDR":
            shape = data
        elif kind == "IDAT":
            behind = True
        elif kind not in _PIXEL_CHUNKS:
            chunks.append(PngChunk(kind, data, behind))
    if len(shape) != 13:
        raise FrameReadError("the PNG has no header", path=path)
    return PngHeader(shape[8], shape[9], tuple(chunks))


def _png_chunks(path: Path) -> Iterator[tuple[str, int, bytes, int]]:
    """Yield `(kind, size, data, offset)`; the data of pixel chunks is left out."""
    try:
        with open(path, "rb") as file:
            if file.read(8) != PNG_MAGIC:
                raise FrameReadError("does not start as a PNG", path=path)
            while head := file.read(8):
                offset = file.tell() - 8
                if len(head) < 8:
                    raise FrameReadError("cut off between chunks", path=path)
                size, kind = struct.unpack(">I4s", head)
                name = kind.decode("latin-1")
                if name == "IDAT":
                    file.seek(size + 4, 1)
                    yield name, size, b"", offset
                    continue
                if size > _MOST_BYTES:
                    raise FrameReadError(f"chunk {name} claims {size} bytes", path=path)
                data, check = file.read(size), file.read(4)
                if len(data) < size or check != struct.pack(">I", zlib.crc32(kind + data)):
                    raise FrameReadError(f"chunk {name} is damaged", path=path)
                yield name, size, data, offset
                if name == "IEND":
                    return
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error


def png_attributes(header: PngHeader) -> dict[str, object]:
    """Return what the chunks say, as `png:<chunk>`: numbers where known, else bytes.

    `png:sRGB` is the rendering intent, `png:gAMA` the encoding exponent, `png:cHRM` eight
    chromaticities (white, R, G, B), `png:cICP` (primaries, transfer, matrix, full range),
    `png:iCCP` the profile's name.
    """
    found: dict[str, object] = {"png:bits": header.bits, "png:color_type": header.color_type}
    for chunk in header.chunks:
        value: object = chunk.data
        if chunk.kind == "sRGB" and len(chunk.data) == 1:
            value = chunk.data[0]
        elif chunk.kind == "gAMA" and len(chunk.data) == 4:
            value = struct.unpack(">I", chunk.data)[0] / 100_000
        elif chunk.kind == "cHRM" and len(chunk.data) == 32:
            value = tuple(v / 100_000 for v in struct.unpack(">8I", chunk.data))
        elif chunk.kind == "cICP" and len(chunk.data) == 4:
            value = tuple(chunk.data)
        elif chunk.kind == "iCCP":
            value = chunk.data.partition(b"\0")[0].decode("latin-1")
        elif chunk.kind == "tEXt":
            key, _, text = chunk.data.partition(b"\0")
            found[f"png:tEXt:{key.decode('latin-1')}"] = text.decode("latin-1")
            continue
        found.setdefault(f"png:{chunk.kind}", value)
    return found


def png_text(key: str, value: str) -> PngChunk:
    """Make a text chunk; text beyond Latin-1 goes into the international kind."""
    try:
        return PngChunk("tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"), True)
    except UnicodeEncodeError:
        body = key.encode("latin-1", "replace") + b"\0\0\0\0\0" + value.encode()
        return PngChunk("iTXt", body, True)


def kept_chunks(header: PngHeader, *, color: bool, layout: bool) -> tuple[PngChunk, ...]:
    """Return the chunks worth keeping once color space or sample layout have changed."""
    return tuple(
        c
        for c in header.chunks
        if (color or c.kind not in COLOR_CHUNKS) and (layout or c.kind not in _LAYOUT_CHUNKS)
    )


def replace_png_chunks(made: Path, chunks: Iterable[PngChunk], path: Path) -> None:
    """Write to `path` the pixels of `made` among other chunks.

    Raises:
        DiskFull, OutputError: when that fails.
    """
    chunks = tuple(chunks)
    front = b"".join(_packed(c) for c in chunks if not c.behind)
    back = b"".join(_packed(c) for c in chunks if c.behind)
    try:
        layout = list(_png_chunks(made))
        with open(made, "rb") as source, open(path, "wb") as target:
            target.write(PNG_MAGIC)
            for index, (kind, size, _, offset) in enumerate(layout):
                if kind not in _PIXEL_CHUNKS:
                    continue
                if kind == "IEND":
                    target.write(back)
                source.seek(offset)
                target.write(source.read(size + 12))
                if index == 0:
                    target.write(front)
    except OSError as error:
        raise output_error(error, path) from error
    except FrameReadError as error:
        raise OutputError(f"encoder wrote a bad PNG: {error.found}", path=path) from error


def _packed(chunk: PngChunk) -> bytes:
    kind = chunk.kind.encode("latin-1")
    check = struct.pack(">I", zlib.crc32(kind + chunk.data))
    return struct.pack(">I", len(chunk.data)) + kind + chunk.data + check


# fmt: off
_CARRIED_TAGS = frozenset({
    254, 255, 256, 257, 258, 259, 262, 266, 269, 270, 271, 272, 273, 274, 277, 278, 279, 282, 283,
    284, 285, 286, 287, 296, 297, 305, 306, 315, 316, 317, 322, 323, 324, 325, 338, 339, 33300,
    33301, 33432, 34675,
})
# fmt: on
"""Tags that the image library carries or makes anew."""


@dataclass(frozen=True, slots=True)
class _TiffForm:
    """How the numbers of one TIFF are stored: classic or BigTIFF, either byte order."""

    order: str
    big: bool

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12

    def tag(self, entry: bytes) -> int:
        return int(struct.unpack_from(self.order + "H", entry)[0])


def _read_directory(file: BinaryIO, form: _TiffForm, start: int) -> tuple[list[bytes], int]:
    """Read the entries of one directory and the offset of the next."""
    file.seek(start)
    (count,) = form.count.unpack(file.read(form.count.size))
    if count > 65536:
        raise ValueError(f"{count} tags")
    size = form.entry_bytes
    table = file.read(count * size)
    if len(table) < count * size:
        raise ValueError("tags are cut off")
    (following,) = form.offset.unpack(file.read(form.offset.size))
    return [table[i * size : (i + 1) * size] for i in range(count)], following


def _read_form(file: BinaryIO) -> tuple[_TiffForm, int]:
    """Read the start of the file; return its form and the offset of the first directory."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise ValueError("does not start as a TIFF")
    form = _TiffForm(order, struct.unpack_from(f"{order}H", head, 2)[0] == 43)
    return form, int(form.offset.unpack_from(head, 8 if form.big else 4)[0])


def tiff_tags(path: Path) -> frozenset[int]:
    """Return the numbers of the first image's tags.

    Raises:
        FrameReadError: when its directory is damaged.
    """
    try:
        with open(path, "rb") as file:
            form, start = _read_form(file)
            entries, _ = _read_directory(file, form, start)
    except (OSError, struct.error, ValueError) as error:
        raise FrameReadError(f"TIFF directory cannot be read: {error}", path=path) from error
    return frozenset(form.tag(e) for e in entries)


def uncarried_tiff_tags(tags: Iterable[int]) -> tuple[int, ...]:
    """Return those that a rewrite loses."""
    return tuple(sorted(t for t in tags if t not in _CARRIED_TAGS))


def drop_tiff_tags(path: Path, tags: frozenset[int]) -> None:
    """Take tags out of every directory of a TIFF that was just written, in place.

    Raises:
        OutputError: when that fails.
    """
    try:
        with open(path, "r+b") as file:
            form, start = _read_form(file)
            while start:
                entries, following = _read_directory(file, form, start)
                kept = [e for e in entries if form.tag(e) not in tags]
                file.seek(start)
                file.write(form.count.pack(len(kept)) + b"".join(kept))
                file.write(form.offset.pack(following))
                file.write(bytes(form.entry_bytes * (len(entries) - len(kept))))
                start = following
    except OSError as error:
        raise output_error(error, path) from error
    except (struct.error, ValueError) as error:
        raise OutputError(f"encoder wrote a bad TIFF: {error}", path=path) from error
