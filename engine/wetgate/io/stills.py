"""Read and write TIFF and PNG; read the other still formats.

Alpha is handed over as stored: PNG and most TIFF store color that is not multiplied by alpha,
and say so as `oiio:UnassociatedAlpha` in the header's attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from wetgate.io.atomic import AtomicFile
from wetgate.io.oiio import ImageReader, Output, Part, Samples, write_images
from wetgate.io.options import Limits, WriteOptions
from wetgate.io.raw import NanBits, RawFrame, to_codes, to_half
from wetgate.io.still_headers import (
    PngChunk,
    PngHeader,
    drop_tiff_tags,
    kept_chunks,
    png_attributes,
    png_text,
    read_png_header,
    replace_png_chunks,
    tiff_tags,
    uncarried_tiff_tags,
)
from wetgate.model.box import Box
from wetgate.model.errors import OutputError, UnsupportedImage, UsageError
from wetgate.model.frame import Frame, ImageInfo, SampleType, SourceHeader

READABLE: Mapping[str, str] = MappingProxyType(
    {
        "tiff": "tiff",
        "png": "png",
        "jpeg": "jpeg",
        "bmp": "bmp",
        "targa": "targa",
        "sgi": "sgi",
        "pnm": "pnm",
        "webp": "webp",
        "jpegxl": "jpegxl",
        "jpeg2000": "jpeg2000",
        "hdr": "hdr",
    }
)
"""Our names of formats and OpenImageIO's."""

WRITABLE = frozenset({"tiff", "png"})
TIFF_COMPRESSIONS = ("none", "lzw", "zip", "packbits")

_SAMPLES: Mapping[str, tuple[SampleType, int | None]] = MappingProxyType(
    {
        "uint8": ("uint8", 255),
        "uint16": ("uint16", 65535),
        "half": ("half", None),
        "float": ("float", None),
    }
)
_KEPT = ("planarconfig", "oiio:UnassociatedAlpha", "tiff:RowsPerStrip")
_DROPPED_PREFIXES = ("oiio:", "tiff:", "png:", "jpeg:", "bmp:", "openexr:")
_DATE_TIME, _XMP = 306, 700
_NO_DATE = "1970:01:01 00:00:00"
"""Given where the source states none, or the library would invent one; then taken out."""
_COLOR = ("ICCProfile", "oiio:ColorSpace")


@dataclass(frozen=True, slots=True)
class StillPayload:
    """What the writer of the same format puts back.

    Attributes:
        parts: layout and metadata of every page; the first is the frame.
        pages: samples of the further pages.
        png: the source's chunks, for PNG.
    """

    parts: tuple[Part, ...]
    pages: tuple[Samples, ...] = ()
    png: PngHeader | None = None
    nan_bits: NanBits | None = None

    def with_nan_bits(self, bits: NanBits) -> StillPayload:
        """Return the payload with the bits of NaN samples."""
        return replace(self, nan_bits=bits)


def read_info(path: Path, kind: str, *, limits: Limits) -> ImageInfo:
    """Read what a still says about itself.

    Raises:
        FrameReadError: when it is damaged.
        UnsupportedImage: for samples that float32 cannot hold, or beyond the limits.
    """
    with ImageReader(path, READABLE[kind], limits) as reader:
        return _info(path, kind, _pages(reader, limits))


def load(path: Path, kind: str, *, limits: Limits) -> RawFrame:
    """Decode a still with all its pages; raises as `read_info`."""
    with ImageReader(path, READABLE[kind], limits) as reader:
        parts = _pages(reader, limits)
        info = _info(path, kind, parts)
        first = parts[0].types[0]
        samples = reader.read(0, 0, len(parts[0].channels), first)
        pages = tuple(
            reader.read(i, 0, len(p.channels), p.types[0]) for i, p in enumerate(parts) if i
        )
    payload = replace(_payload_of(info), pages=pages)
    return RawFrame(info, samples, scale=_SAMPLES[first][1]).with_payload(payload)


def _payload_of(info: ImageInfo) -> StillPayload:
    payload = info.header.payload
    assert isinstance(payload, StillPayload)
    return payload


def _pages(reader: ImageReader, limits: Limits) -> tuple[Part, ...]:
    count = reader.count_parts(limits.parts + 1)
    if count > limits.parts:
        raise UnsupportedImage(f"more than {limits.parts} pages", path=reader.path)
    parts = tuple(reader.part(i) for i in range(count))
    total = sum(p.width * p.height * len(p.channels) * 4 for p in parts)
    if total > limits.image_mb << 20:
        raise UnsupportedImage(
            f"{total >> 20} MB of pixels", path=reader.path, expected=f"<= {limits.image_mb} MB"
        )
    for part in parts:
        if part.uniform not in _SAMPLES:
            raise UnsupportedImage(
                f"samples of type {', '.join(sorted(set(part.types)))}",
                path=reader.path,
                expected="8 or 16 bits, half or float",
            )
        bits = part.attributes.get("oiio:BitsPerSample")
        if reader.format_name == "tiff" and bits not in (None, 8, 16, 32):
            raise UnsupportedImage(f"{bits}-bit TIFF", path=reader.path, expected="8, 16 or 32")
    return parts


def _info(path: Path, kind: str, parts: tuple[Part, ...]) -> ImageInfo:
    part = parts[0]
    png = read_png_header(path) if kind == "png" else None
    attributes = dict(part.attributes)
    if png is not None:
        attributes.pop("oiio:ColorSpace", None)  # assumed where nothing is said
        attributes.update(png_attributes(png))
    aspect = attributes.get("PixelAspectRatio")
    return ImageInfo(
        header=SourceHeader(
            kind, MappingProxyType(attributes), payload=StillPayload(parts, png=png)
        ),
        channels=part.channels,
        sample_type=_SAMPLES[part.types[0]][0],
        data_window=Box(part.x, part.y, part.x + part.width, part.y + part.height),
        display_window=Box(
            part.full_x,
            part.full_y,
            part.full_x + part.full_width,
            part.full_y + part.full_height,
        ),
        pixel_aspect=aspect if isinstance(aspect, float) and aspect > 0 else 1.0,
        carried=tuple(f"page {i + 1}" for i in range(1, len(parts))),
        losses=_losses(path, kind, part, png),
    )


def _losses(path: Path, kind: str, part: Part, png: PngHeader | None) -> tuple[str, ...]:
    if kind not in WRITABLE:
        return (f"{kind} is read only: choose another output format",)
    found = []
    if png is not None and png.is_expanded:
        what = "palette" if png.color_type == 3 else f"{png.bits}-bit samples"
        found.append(f"{what}: written as 8-bit samples")
    if kind == "tiff":
        tags = uncarried_tiff_tags(tiff_tags(path))
        if tags:
            found.append(f"TIFF tags {', '.join(map(str, tags))}")
        if part.attributes.get("tiff:PhotometricInterpretation") not in (None, 1, 2):
            found.append("photometric interpretation: written as gray or RGB")
        if part.attributes.get("compression") not in (None, *TIFF_COMPRESSIONS):
            found.append(f"compression {part.attributes['compression']}: written with zip")
    return tuple(found)


def write(frame: Frame, path: Path, kind: str, options: WriteOptions) -> None:
    """Write one frame as TIFF or PNG to exactly `path`.

    Integer samples are rounded to nearest and held within their range. A frame of another
    format becomes 8-bit if it was, else 16-bit PNG, or TIFF of its own kind of samples. PNG has
    no data window: pixels outside the display window are cut, missing ones are zero.

    Raises:
        DiskFull, OutputError: when it cannot be written.
        UsageError: for an unknown compression.
    """
    payload = frame.header.payload
    same = frame.header.format == kind and isinstance(payload, StillPayload)
    source = payload if same and isinstance(payload, StillPayload) else None
    if kind == "png":
        frame = _fill_display(frame)
    first = _layout(frame, kind, source, options)
    samples = _to_samples(frame, first.types[0], source)
    outputs = [Output(first, samples=samples)]
    if source is not None:
        outputs += [
            Output(_cleaned(p, p.attributes, options, working=False), samples=s)
            for p, s in zip(source.parts[1:], source.pages, strict=True)
        ]
    if kind != "png":
        write_images(path, "tiff", outputs)
        stated = source is not None and "DateTime" in source.parts[0].attributes
        drop_tiff_tags(path, frozenset({_XMP} if stated else {_XMP, _DATE_TIME}))
        return
    with AtomicFile(path) as scratch:
        write_images(scratch.temp, "png", outputs, named=path)
        chunks: tuple[PngChunk, ...] = ()
        if source is not None and source.png is not None:
            same_layout = not source.png.is_expanded
            chunks = kept_chunks(
                source.png, color=not options.color_space_changed, layout=same_layout
            )
        facts = (png_text(f"wetgate:{k}", v) for k, v in sorted(options.provenance.items()))
        replace_png_chunks(scratch.temp, (*chunks, *facts), path)


def _layout(frame: Frame, kind: str, source: StillPayload | None, options: WriteOptions) -> Part:
    if kind == "png" and len(frame.channels) > 4:
        raise OutputError(
            f"{len(frame.channels)} channels", frame=frame.number, expected="at most 4 in a PNG"
        )
    sample = _sample_name(frame, kind)
    box, shown = frame.data_window, frame.display_window
    part = Part(
        x=box.x0,
        y=box.y0,
        width=box.width,
        height=box.height,
        full_x=shown.x0,
        full_y=shown.y0,
        full_width=shown.width,
        full_height=shown.height,
        channels=frame.channels,
        types=(sample,) * len(frame.channels),
        tile=source.parts[0].tile if source else None,
    )
    if kind == "png":  # all its metadata are chunks, which are put back as they were
        return replace(part, attributes=MappingProxyType({"oiio:UnassociatedAlpha": 1}))
    return _cleaned(part, source.parts[0].attributes if source else {}, options, working=True)


def _cleaned(
    part: Part, known: Mapping[str, object], options: WriteOptions, *, working: bool
) -> Part:
    """Give a page its metadata, less the image library's own workings."""
    kept = {k: v for k, v in known.items() if k in _KEPT or not k.startswith(_DROPPED_PREFIXES)}
    if options.color_space_changed and working:
        kept = {k: v for k, v in kept.items() if k not in _COLOR}
    compression = options.compression or kept.get("compression", "zip")
    if options.compression is not None and compression not in TIFF_COMPRESSIONS:
        raise UsageError(
            f"compression {compression!r}", expected=f"one of {', '.join(TIFF_COMPRESSIONS)}"
        )
    kept.setdefault("DateTime", _NO_DATE)
    kept["compression"] = compression if compression in TIFF_COMPRESSIONS else "zip"
    return replace(part, attributes=MappingProxyType(kept))


def _sample_name(frame: Frame, kind: str) -> str:
    if frame.sample_type == "uint8":
        return "uint8"
    if kind == "png" or frame.sample_type in ("uint10", "uint12", "uint16"):
        return "uint16"
    if frame.sample_type == "half" and frame.header.format == "tiff":
        return "half"
    return "float"  # few programs read a half TIFF


def _to_samples(frame: Frame, kind: str, source: StillPayload | None) -> Samples:
    scale = _SAMPLES[kind][1]
    if scale is not None:
        return to_codes(frame.pixels, scale)
    if kind == "half":
        return to_half(frame.pixels, source.nan_bits if source else None)
    return frame.pixels


def _fill_display(frame: Frame) -> Frame:
    shown = frame.display_window
    if frame.data_window == shown:
        return frame
    pixels = np.zeros((shown.height, shown.width, len(frame.channels)), np.float32)
    common = frame.data_window.intersect(shown)
    if not common.is_empty:
        pixels[common.within(shown)] = frame.pixels[common.within(frame.data_window)]
    return replace(frame, pixels=pixels, data_window=shown, non_finite=None)
