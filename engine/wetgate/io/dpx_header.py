"""The 2048-byte header of a DPX file: parsed into facts, kept as bytes, patched field by field.

Source: SMPTE ST 268-1 (file versions V1.0 and V2.0, whose fields sit at the same places).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

HEADER_BYTES = 2048
MAX_ELEMENTS = 8
UNDEFINED_U32 = 0xFFFFFFFF

_MAGIC = {b"SDPX": ">", b"XPDS": "<"}
_ELEMENTS_AT = 780
_ELEMENT_BYTES = 72

# name: (offset, struct code). "s" fields are text, padded with NUL.
FIELDS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "ImageOffset": (4, "I"),
        "Version": (8, "8s"),
        "FileSize": (16, "I"),
        "DittoKey": (20, "I"),
        "GenericSize": (24, "I"),
        "IndustrySize": (28, "I"),
        "UserDataSize": (32, "I"),
        "FileName": (36, "100s"),
        "CreationDate": (136, "24s"),
        "Creator": (160, "100s"),
        "Project": (260, "200s"),
        "Copyright": (460, "200s"),
        "EncryptionKey": (660, "I"),
        "Orientation": (768, "H"),
        "Elements": (770, "H"),
        "Width": (772, "I"),
        "Height": (776, "I"),
        "XOffset": (1408, "I"),
        "YOffset": (1412, "I"),
        "XCenter": (1416, "f"),
        "YCenter": (1420, "f"),
        "XOriginalSize": (1424, "I"),
        "YOriginalSize": (1428, "I"),
        "SourceFileName": (1432, "100s"),
        "SourceDate": (1532, "24s"),
        "InputDevice": (1556, "32s"),
        "InputDeviceSerial": (1588, "32s"),
        "BorderXL": (1620, "H"),
        "BorderXR": (1622, "H"),
        "BorderYT": (1624, "H"),
        "BorderYB": (1626, "H"),
        "PixelAspectHorizontal": (1628, "I"),
        "PixelAspectVertical": (1632, "I"),
        "XScannedSize": (1636, "f"),
        "YScannedSize": (1640, "f"),
        "FilmManufacturer": (1664, "2s"),
        "FilmType": (1666, "2s"),
        "PerfOffset": (1668, "2s"),
        "FilmPrefix": (1670, "6s"),
        "FilmCount": (1676, "4s"),
        "FilmFormat": (1680, "32s"),
        "FramePosition": (1712, "I"),
        "SequenceLength": (1716, "I"),
        "HeldCount": (1720, "I"),
        "FrameRate": (1724, "f"),
        "ShutterAngle": (1728, "f"),
        "FrameId": (1732, "32s"),
        "SlateInfo": (1764, "100s"),
        "TimeCodeBCD": (1920, "I"),
        "UserBits": (1924, "I"),
        "Interlace": (1928, "B"),
        "FieldNumber": (1929, "B"),
        "VideoSignal": (1930, "B"),
        "HorizontalRate": (1932, "f"),
        "VerticalRate": (1936, "f"),
        "TemporalRate": (1940, "f"),
        "TimeOffset": (1944, "f"),
        "Gamma": (1948, "f"),
        "BlackLevel": (1952, "f"),
        "BlackGain": (1956, "f"),
        "Breakpoint": (1960, "f"),
        "WhiteLevel": (1964, "f"),
        "IntegrationTime": (1968, "f"),
    }
)

# The same for one image element, offsets from the element's first byte.
ELEMENT_FIELDS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "DataSign": (0, "I"),
        "LowData": (4, "I"),
        "LowQuantity": (8, "f"),
        "HighData": (12, "I"),
        "HighQuantity": (16, "f"),
        "Descriptor": (20, "B"),
        "Transfer": (21, "B"),
        "Colorimetric": (22, "B"),
        "BitDepth": (23, "B"),
        "Packing": (24, "H"),
        "Encoding": (26, "H"),
        "DataOffset": (28, "I"),
        "EndOfLinePadding": (32, "I"),
        "EndOfImagePadding": (36, "I"),
        "Description": (40, "32s"),
    }
)

# Transfer and colorimetric bytes by color interop id, where ST 268-1 has a word for the space.
# Every other space is 0, "user defined": saying nothing is better than saying what was.
_COLOR_BYTES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "lin_rec709_scene": (2, 6),
        "wetgate:cineon_rec709_scene": (3, 1),
        "ocio:itu709_rec709_scene": (6, 6),
        "ocio:adx10_apd_scene": (13, 1),
        "ocio:adx16_apd_scene": (13, 1),
    }
)

# Rates a float32 field stands for; the text of a header cannot say 24000/1001.
_EXACT_RATES = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120))


class HeaderError(ValueError):
    """The header contradicts the standard or the file; the caller adds path and frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpxElement:
    """One image element as its 72 header bytes describe it; nothing checked yet."""

    data_sign: int
    descriptor: int
    transfer: int
    colorimetric: int
    bit_depth: int
    packing: int
    encoding: int
    data_offset: int
    line_padding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DpxHeader:
    """The header of one DPX file.

    Attributes:
        raw: its 2048 bytes, verbatim; every other attribute is read from them.
        byte_order: of the header and the samples.
        image_offset: where the file says its first pixel is, bytes.
        file_size: what the file says its size is, bytes; often wrong, 0xFFFFFFFF if unstated.
        elements: the image elements in use, in file order.
    """

    raw: bytes
    byte_order: Literal["big", "little"]
    image_offset: int
    file_size: int
    user_data_bytes: int
    width: int
    height: int
    elements: tuple[DpxElement, ...]

    @property
    def big_endian(self) -> bool:
        """Whether the most significant byte comes first."""
        return self.byte_order == "big"

    def value(self, name: str, element: int | None = None) -> int | float | str | None:
        """Return one field by name; None where the file leaves it undefined.

        Args:
            element: index of the image element whose field is meant, or None for the file's.
        """
        offset, code = _place(name, element)
        order = ">" if self.big_endian else "<"
        return _defined(struct.unpack_from(order + code, self.raw, offset)[0], code)

    def patched(self, changes: Mapping[tuple[str, int | None], int | float | str]) -> DpxHeader:
        """Return the header with some fields replaced and every other byte as it was.

        Args:
            changes: `(field name, element index or None)` -> new value; text is cut to its
                field, ASCII ("?" for the rest), and padded with NUL.
        """
        raw = bytearray(self.raw)
        order = ">" if self.big_endian else "<"
        for (name, element), value in changes.items():
            offset, code = _place(name, element)
            stored = value.encode("ascii", "replace") if isinstance(value, str) else value
            struct.pack_into(order + code, raw, offset, stored)
        return parse_header(bytes(raw))


def _place(name: str, element: int | None) -> tuple[int, str]:
    if element is None:
        return FIELDS[name]
    offset, code = ELEMENT_FIELDS[name]
    return _ELEMENTS_AT + element * _ELEMENT_BYTES + offset, code


def _defined(value: int | float | bytes, code: str) -> int | float | str | None:
    if isinstance(value, bytes):
        text = value.split(b"\0", 1)[0]
        if not text or text.count(0xFF) == len(text):
            return None
        return text.decode("latin-1")
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return None if value == (1 << 8 * struct.calcsize("<" + code)) - 1 else value


def parse_header(raw: bytes) -> DpxHeader:
    """Parse the first 2048 bytes of a DPX file.

    Raises:
        HeaderError: too short, no DPX magic word, or an impossible number of elements or pixels.
    """
    if len(raw) < HEADER_BYTES:
        raise HeaderError(f"the header has {len(raw)} bytes of {HEADER_BYTES}")
    raw = raw[:HEADER_BYTES]
    order = _MAGIC.get(raw[:4])
    if order is None:
        raise HeaderError(f"the magic word is {raw[:4]!r}, not SDPX or XPDS")
    count, width, height = struct.unpack_from(order + "HII", raw, FIELDS["Elements"][0])
    if not 1 <= count <= MAX_ELEMENTS:
        raise HeaderError(f"the header claims {count} image elements, a DPX file has 1 to 8")
    if not 1 <= width < UNDEFINED_U32 or not 1 <= height < UNDEFINED_U32:
        raise HeaderError(f"the header claims {width} x {height} pixels")
    image_offset, file_size = (
        struct.unpack_from(order + "I", raw, FIELDS[name][0])[0]
        for name in ("ImageOffset", "FileSize")
    )
    (user_bytes,) = struct.unpack_from(order + "I", raw, FIELDS["UserDataSize"][0])
    return DpxHeader(
        raw=raw,
        byte_order="big" if order == ">" else "little",
        image_offset=image_offset,
        file_size=file_size,
        user_data_bytes=0 if user_bytes == UNDEFINED_U32 else user_bytes,
        width=width,
        height=height,
        elements=tuple(_element(raw, order, i) for i in range(count)),
    )


def _element(raw: bytes, order: str, index: int) -> DpxElement:
    at = _ELEMENTS_AT + index * _ELEMENT_BYTES
    sign, _, _, _, _, descriptor, transfer, colorimetric, bits, packing, encoding = (
        struct.unpack_from(order + "IIfIfBBBBHH", raw, at)
    )
    offset, line_padding = struct.unpack_from(order + "II", raw, at + 28)
    return DpxElement(
        data_sign=sign,
        descriptor=descriptor,
        transfer=transfer,
        colorimetric=colorimetric,
        bit_depth=bits,
        packing=packing,
        encoding=encoding,
        data_offset=offset,
        line_padding=0 if line_padding == UNDEFINED_U32 else line_padding,
    )


def attributes(header: DpxHeader) -> Mapping[str, object]:
    """Return what the header says, by field name; undefined fields are absent.

    Fields of the first element have plain names ("Transfer"), those of further elements a prefix
    ("Element2.Transfer"). Derived: "ByteOrder"; "TimeCode" as HH:MM:SS:FF; "KeyCode" as the ten
    hexadecimal or text groups of the film section, joined; "PixelAspectRatio".
    """
    found: dict[str, object] = {"ByteOrder": header.byte_order}
    for name in FIELDS:
        found[name] = header.value(name)
    for index in range(len(header.elements)):
        prefix = "" if index == 0 else f"Element{index + 1}."
        for name in ELEMENT_FIELDS:
            found[prefix + name] = header.value(name, index)
    found["TimeCode"] = time_code(header)
    found["KeyCode"] = key_code(header)
    found["PixelAspectRatio"] = pixel_aspect(header)
    return MappingProxyType({name: value for name, value in found.items() if value is not None})


def time_code(header: DpxHeader) -> str | None:
    """Return the SMPTE time code as "HH:MM:SS:FF", or None when undefined or not decimal."""
    packed = header.value("TimeCodeBCD")
    if not isinstance(packed, int):
        return None
    digits = f"{packed:08x}"
    return ":".join(digits[i : i + 2] for i in range(0, 8, 2)) if digits.isdecimal() else None


def key_code(header: DpxHeader) -> str | None:
    """Return the film edge code "manufacturer type prefix count perf", None when incomplete."""
    names = ("FilmManufacturer", "FilmType", "FilmPrefix", "FilmCount", "PerfOffset")
    groups = [header.value(name) for name in names]
    return None if None in groups else " ".join(str(group) for group in groups)


def pixel_aspect(header: DpxHeader) -> float | None:
    """Return width / height of a pixel, None when undefined or absurd."""
    horizontal = header.value("PixelAspectHorizontal")
    vertical = header.value("PixelAspectVertical")
    if not isinstance(horizontal, int) or not isinstance(vertical, int) or not vertical:
        return None
    ratio = horizontal / vertical
    return ratio if 0.01 <= ratio <= 100 else None


def frame_rate(header: DpxHeader) -> Fraction | None:
    """Return frames per second from the film or else the television section, made exact.

    23.976 and its kin in float32 become n * 1000 / 1001; other rates their nearest fraction with
    a denominator up to 1001.
    """
    for name in ("FrameRate", "TemporalRate"):
        rate = header.value(name)
        if isinstance(rate, float) and 0.1 <= rate <= 10_000:
            for exact in _EXACT_RATES:
                if abs(rate - float(exact)) < 0.005:
                    return exact
            return Fraction(rate).limit_denominator(1001)
    return None


def color_bytes(interop_id: str | None) -> tuple[int, int]:
    """Return the transfer and colorimetric bytes that truthfully describe a color space."""
    return _COLOR_BYTES.get(interop_id or "", (0, 0))
