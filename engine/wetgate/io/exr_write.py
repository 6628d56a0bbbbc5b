"""Write EXR: chunks by OpenImageIO, the header by us.

OpenImageIO encodes the pixels into a scratch file. The header it makes is thrown away but for
what describes the chunks; the source's own header, edited where something truly changed, takes
its place, and the table of chunks is moved by the difference in length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wetgate.io.atomic import AtomicFile
from wetgate.io.exr import ExrPayload
from wetgate.io.exr_header import COMPRESSIONS, LINE_ORDERS, PartHeader, read_header
from wetgate.io.exr_losses import is_lossy
from wetgate.io.exr_rewrite import merged_header, replace_header, write_carrier
from wetgate.io.oiio import ImageReader, Output, Part, Samples, write_images
from wetgate.io.options import Limits, WriteOptions
from wetgate.io.raw import to_half
from wetgate.model.box import Box
from wetgate.model.errors import OutputError, UsageError
from wetgate.model.frame import Frame

_OUR_OWN = Limits(channels=1 << 20, image_mb=1 << 20, resolution=1 << 30, parts=1 << 16)


@dataclass(frozen=True, slots=True)
class Block:
    """Channels of one type: `samples` is `(height, width, len(names))`."""

    names: tuple[str, ...]
    samples: Samples


_KINDS = {"uint32": "uint", "float16": "half", "float32": "float"}


@dataclass(frozen=True, slots=True)
class _PartOut:
    """One part about to be written.

    Attributes:
        source: the header it had; None for a frame of another format.
        lossless: the samples must read back exactly, whatever the compression.
    """

    source: PartHeader | None
    layout: Part
    blocks: tuple[Block, ...]
    compression: str
    lossless: bool

    def compressed(self, compression: str) -> _PartOut:
        attributes = {**self.layout.attributes, "compression": compression}
        return replace(
            self, compression=compression, layout=replace(self.layout, attributes=attributes)
        )

    def columns(self) -> Iterator[tuple[str, Samples]]:
        """Yield every channel's name and its `(height, width)` samples."""
        for block in self.blocks:
            for at, name in enumerate(block.names):
                yield name, block.samples[..., at]


def write(frame: Frame, path: Path, options: WriteOptions) -> None:
    """Write one frame as EXR to exactly `path`.

    A frame that came from EXR keeps its parts, channels, types, windows, tiles, line order and
    header values. Another gets half channels, or float when half cannot hold its codes.

    Raises:
        DiskFull, OutputError: when it cannot be written.
        UsageError: for an unknown compression.
    """
    payload = frame.header.payload
    source = payload if isinstance(payload, ExrPayload) else None
    if source is None:
        parts, working = [_new_part(frame, options)], 0
    else:
        count = len(source.header.parts)
        parts = [_old_part(frame, source, index, options) for index in range(count)]
        working = source.part
    with AtomicFile(path) as scratch:
        _encode(parts, scratch.temp, path)
        made = read_header(scratch.temp, most_parts=len(parts))
        merged = [
            merged_header(part.source, now, options, working=index == working)
            for index, (part, now) in enumerate(zip(parts, made.parts, strict=True))
        ]
        replace_header(scratch.temp, made, made.with_parts(merged), path)


def _encode(parts: Sequence[_PartOut], scratch: Path, path: Path) -> None:
    """Write the chunks; parts that lose what they must not are written again with ZIP."""
    _write_chunks(parts, scratch, path)
    doubtful = [p.lossless and is_lossy(p.compression, p.layout.types) for p in parts]
    if not any(doubtful):
        return
    with ImageReader(scratch, "openexr", _OUR_OWN) as reader:
        lost = [
            check and not _reads_back(reader, index, part)
            for index, (part, check) in enumerate(zip(parts, doubtful, strict=True))
        ]
    if any(lost):
        safe = [p.compressed("zip") if gone else p for p, gone in zip(parts, lost, strict=True)]
        _write_chunks(safe, scratch, path)


def _reads_back(reader: ImageReader, index: int, part: _PartOut) -> bool:
    layout = reader.part(index)
    at = {name: i for i, name in enumerate(layout.channels)}
    for name, samples in part.columns():
        i = at[name]
        read = reader.read(index, i, i + 1, layout.types[i])[..., 0]
        if read.tobytes() != samples.tobytes():
            return False
    return True


def _write_chunks(parts: Sequence[_PartOut], scratch: Path, path: Path) -> None:
    carriers: list[AtomicFile] = []
    try:
        outputs = []
        for part in parts:
            if part.layout.uniform is not None:
                outputs.append(Output(part.layout, samples=_joined(part.blocks)))
                continue
            carrier = AtomicFile(path)
            carriers.append(carrier)
            box = Box.of_size(part.layout.width, part.layout.height)
            write_carrier(carrier.temp, box, dict(part.columns()), named=path)
            with ImageReader(carrier.temp, "openexr", _OUR_OWN) as reader:
                order = reader.part(0).channels  # copied by position, not by name
            outputs.append(Output(_reordered(part.layout, order), carrier=carrier.temp))
        write_images(scratch, "openexr", outputs, named=path)
    finally:
        for carrier in carriers:
            carrier.discard()


def _joined(blocks: tuple[Block, ...]) -> Samples:
    if len(blocks) == 1:
        return blocks[0].samples
    return np.concatenate([b.samples for b in blocks], axis=2)


def _reordered(layout: Part, order: tuple[str, ...]) -> Part:
    kinds = dict(zip(layout.channels, layout.types, strict=True))
    return replace(layout, channels=order, types=tuple(kinds[n] for n in order))


def _old_part(frame: Frame, source: ExrPayload, index: int, options: WriteOptions) -> _PartOut:
    header = source.header.parts[index]
    blocks = [Block(p.channels, p.samples) for p in source.planes if p.part == index]
    window, compression = header.box("dataWindow"), header.compression
    if index == source.part:
        if blocks and frame.data_window != window:
            raise OutputError(
                f"the data window became {frame.data_window}, but channels "
                f"{', '.join(n for b in blocks for n in b.names)} cover {window}",
                frame=frame.number,
                expected="one window for all channels of a part",
            )
        window = frame.data_window
        blocks += _drawn_blocks(frame, source) + _plane_blocks(options.extra_planes)
        if options.pixels_changed and is_lossy(compression, {c.type for c in header.channels}):
            compression = "zip"
    if options.compression is not None:
        compression = _known_compression(options.compression)
    else:
        compression = _with_level(compression, header)
    kinds = {c.name: c.type for c in header.channels}
    if index == source.part:
        kinds |= _kinds_of(options.extra_planes)
    attributes: dict[str, object] = {"compression": compression}
    order = header.value("lineOrder")
    if order in LINE_ORDERS:
        attributes["openexr:lineOrder"] = order
    if len(source.header.parts) > 1:
        attributes["oiio:subimagename"] = header.name or f"part{index}"
    tiles = header.value("tiles")
    layout = _layout(frame, window, blocks, kinds, attributes)
    if isinstance(tiles, tuple):
        layout = replace(layout, tile=(tiles[0], tiles[1]))
    return _PartOut(header, layout, tuple(blocks), compression, options.compression is None)


def _layout(
    frame: Frame,
    window: Box,
    blocks: Sequence[Block],
    kinds: dict[str, str],
    attributes: dict[str, object],
) -> Part:
    names = tuple(n for b in blocks for n in b.names)
    shown = frame.display_window
    return Part(
        x=window.x0,
        y=window.y0,
        width=window.width,
        height=window.height,
        full_x=shown.x0,
        full_y=shown.y0,
        full_width=shown.width,
        full_height=shown.height,
        channels=names,
        types=tuple(kinds[n] for n in names),
        attributes={"PixelAspectRatio": frame.pixel_aspect, **attributes},
    )


def _drawn_blocks(frame: Frame, source: ExrPayload) -> list[Block]:
    """Bring the frame's pixels back to the types of the file."""
    if set(frame.channels) != set(source.names):
        raise OutputError(
            f"channels {frame.channels}", frame=frame.number, expected=f"{tuple(source.names)}"
        )
    kinds = {c.name: c.type for c in source.header.parts[source.part].channels}
    files = tuple(source.names[n] for n in frame.channels)
    halves = [i for i, n in enumerate(files) if kinds[n] == "half"]
    floats = [i for i, n in enumerate(files) if kinds[n] != "half"]
    # Positions of the NaN bits count channels in the order of the file's reading.
    bits = source.nan_bits if frame.channels == tuple(source.names) else None
    blocks = []
    if halves:
        drawn = to_half(frame.pixels, bits)
        drawn = drawn if not floats else np.ascontiguousarray(drawn[..., halves])
        blocks.append(Block(tuple(files[i] for i in halves), drawn))
    if floats:
        drawn32 = frame.pixels if not halves else np.ascontiguousarray(frame.pixels[..., floats])
        blocks.append(Block(tuple(files[i] for i in floats), drawn32))
    return blocks


def _new_part(frame: Frame, options: WriteOptions) -> _PartOut:
    """Lay out a frame that came from another format."""
    # The codes of a movie have been through a matrix: no longer a few round numbers.
    coded = frame.header.format != "movie" and frame.sample_type in ("uint8", "uint10")
    exact_in_half = coded or frame.sample_type == "half"
    samples = to_half(frame.pixels, None) if exact_in_half else frame.pixels
    blocks = [Block(frame.channels, samples), *_plane_blocks(options.extra_planes)]
    kind = "half" if exact_in_half else "float"
    compression = _known_compression(options.compression or "zip")
    attributes: dict[str, object] = {"compression": compression}
    kinds = dict.fromkeys(frame.channels, kind) | _kinds_of(options.extra_planes)
    layout = _layout(frame, frame.data_window, blocks, kinds, attributes)
    return _PartOut(None, layout, tuple(blocks), compression, options.compression is None)


def _plane_blocks(planes: Mapping[str, Samples]) -> list[Block]:
    return [Block((name,), samples[..., None]) for name, samples in planes.items()]


def _kinds_of(planes: Mapping[str, Samples]) -> dict[str, str]:
    return {name: _KINDS[str(samples.dtype)] for name, samples in planes.items()}


def _known_compression(name: str) -> str:
    if name.partition(":")[0] not in COMPRESSIONS:
        raise UsageError(f"compression {name!r}", expected=f"one of {', '.join(COMPRESSIONS)}")
    return name


def _with_level(compression: str, header: PartHeader) -> str:
    """Ask for the level that the source's encoder used; a reader does not tell."""
    level = header.value("dwaCompressionLevel")
    if compression.startswith("dwa") and isinstance(level, float):
        return f"{compression}:{level:g}"
    return compression
