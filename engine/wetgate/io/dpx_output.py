"""Decide the header of a DPX file to be written, and where its samples go."""

from __future__ import annotations

import struct
from fractions import Fraction

from wetgate.io.dpx_header import (
    ELEMENT_FIELDS,
    FIELDS,
    HEADER_BYTES,
    MAX_ELEMENTS,
    DpxHeader,
    color_bytes,
    parse_header,
)
from wetgate.io.dpx_layout import DpxLayout, LayoutRefused, Region, bits_of, fresh_region
from wetgate.io.options import WriteOptions
from wetgate.model.frame import Frame

_METHOD_A = 1
_Changes = dict[tuple[str, int | None], int | float | str]


def header_to_write(
    frame: Frame,
    options: WriteOptions,
    *,
    kept: DpxLayout | None,
    same_shape: bool,
    after_bytes: int,
    renamed: bool,
) -> tuple[bytes, tuple[Region, ...]]:
    """Return the bytes before the first sample and the regions of samples.

    Args:
        kept: layout of the DPX source, None when the frame came from another format.
        same_shape: the frame has the source's size, channels and depth.
        after_bytes: bytes of the source between and behind its regions.
        renamed: the output has another base name than the source.

    Raises:
        LayoutRefused: when the channels fit no descriptor, or carried elements would have to
            change their size.
    """
    changes: _Changes = {}
    if kept is None:
        header, rest = _blank_header(frame), b""
    else:
        raw = frame.header.raw or b""
        header, rest = parse_header(raw), raw[HEADER_BYTES:]
    if kept is not None and same_shape:
        regions = kept.regions
    else:
        regions, changes = _new_shape(frame, header, kept, len(rest), after_bytes)
    if options.color_space_changed or kept is None:
        transfer, colorimetric = color_bytes(options.interop_id)
        for region in regions:
            changes["Transfer", region.element] = transfer
            changes["Colorimetric", region.element] = colorimetric
    stated = kept is None or header.value("FileName") is not None
    if renamed and options.file_name is not None and stated:
        changes["FileName", None] = options.file_name
    if options.creation_time is not None and options.pixels_changed:
        changes["CreationDate", None] = options.creation_time
    return (header.patched(changes).raw if changes else header.raw) + rest, regions


def _new_shape(
    frame: Frame, header: DpxHeader, kept: DpxLayout | None, gap: int, after_bytes: int
) -> tuple[tuple[Region, ...], _Changes]:
    """Lay the samples out anew as one element behind the header and what follows it."""
    if kept is not None and kept.carried:
        raise LayoutRefused(f"another size, channels or depth beside {', '.join(kept.carried)}")
    height, width, _ = frame.pixels.shape
    bits = bits_of(frame.sample_type)
    packing = _METHOD_A if bits in (10, 12) else 0
    if kept is not None and kept.sample_type == frame.sample_type:
        packing = kept.regions[0].packing
    big_endian = header.big_endian
    descriptor, region = fresh_region(frame.channels, width, height, bits, packing, big_endian)
    region = region.at(HEADER_BYTES + gap)
    changes: _Changes = {
        ("ImageOffset", None): region.offset,
        ("FileSize", None): min(region.end + after_bytes, 0xFFFFFFFF),
        ("Elements", None): 1,
        ("Width", None): width,
        ("Height", None): height,
        ("Descriptor", 0): descriptor,
        ("BitDepth", 0): bits,
        ("Packing", 0): packing,
        ("Encoding", 0): 0,
        ("DataSign", 0): 0,
        ("DataOffset", 0): region.offset,
        ("EndOfLinePadding", 0): 0,
        ("EndOfImagePadding", 0): 0,
    }
    if (kept is None or kept.sample_type != frame.sample_type) and bits < 32:
        changes["LowData", 0] = 0
        changes["HighData", 0] = (1 << bits) - 1
    return (region,), changes


def _blank_header(frame: Frame) -> DpxHeader:
    """Make a header that states nothing but what is certain; all else is undefined."""
    raw = bytearray(HEADER_BYTES)
    numeric = [(at, code) for at, code in FIELDS.values() if not code.endswith("s")]
    for index in range(MAX_ELEMENTS):
        base = 780 + 72 * index
        numeric += [
            (base + at, code) for at, code in ELEMENT_FIELDS.values() if not code.endswith("s")
        ]
    for at, code in numeric:
        size = struct.calcsize(">" + code)
        raw[at : at + size] = b"\xff" * size
    raw[:4] = b"SDPX"
    for name, value in (("Elements", 1), ("Width", 1), ("Height", 1)):
        struct.pack_into(">" + FIELDS[name][1], raw, FIELDS[name][0], value)
    aspect = Fraction(frame.pixel_aspect).limit_denominator(10_000)
    stated: _Changes = {
        ("Version", None): "V2.0",
        ("DittoKey", None): 1,
        ("GenericSize", None): 1664,
        ("IndustrySize", None): 384,
        ("UserDataSize", None): 0,
        ("Creator", None): "wetgate",
        ("Orientation", None): 0,
        ("PixelAspectHorizontal", None): aspect.numerator,
        ("PixelAspectVertical", None): aspect.denominator,
    }
    return parse_header(bytes(raw)).patched(stated)
