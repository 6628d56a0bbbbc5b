"""Read 10-bit Cineon frames.

Source: Kodak, Cineon image file format V4.5. Writing is refused: the DPX file that followed the
format holds the same codes, and everything that reads one reads the other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from wetgate.io import dpx
from wetgate.io.dpx_layout import Region, sample_row_bytes
from wetgate.io.options import Limits
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, UnsupportedImage
from wetgate.model.frame import Frame, ImageInfo, SourceHeader

HEADER_BYTES = 2048
_MAGIC = {b"\x80\x2a\x5f\xd7": ">", b"\xd7\x5f\x2a\x80": "<"}
_UNDEFINED = 0xFFFFFFFF
_CHANNEL_AT, _CHANNEL_BYTES = 196, 28
_LEFT, _RIGHT = 5, 6  # three 10-bit samples in a word, against its high or its low end
_METHODS = {_LEFT: 1, _RIGHT: 2}
# Second byte of a channel designator.
_NAMES = {1: "R", 2: "G", 3: "B", 4: "R", 5: "G", 6: "B"}

_FIELDS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "Version": (24, "8s"),
        "FileName": (32, "100s"),
        "CreationDate": (132, "12s"),
        "CreationTime": (144, "12s"),
        "Orientation": (192, "B"),
        "Label": (452, "200s"),
        "XOffset": (712, "i"),
        "YOffset": (716, "i"),
        "SourceFileName": (720, "100s"),
        "SourceDate": (820, "12s"),
        "SourceTime": (832, "12s"),
        "InputDevice": (844, "64s"),
        "InputDeviceModel": (908, "32s"),
        "InputDeviceSerial": (940, "32s"),
        "XDevicePitch": (972, "f"),
        "YDevicePitch": (976, "f"),
        "Gamma": (980, "f"),
        "FilmManufacturer": (1024, "B"),
        "FilmType": (1025, "B"),
        "PerfOffset": (1026, "B"),
        "FilmPrefix": (1028, "I"),
        "FilmCount": (1032, "I"),
        "FilmFormat": (1036, "32s"),
        "FramePosition": (1068, "I"),
        "FrameRate": (1072, "f"),
        "FrameId": (1076, "32s"),
        "SlateInfo": (1108, "200s"),
    }
)


def read_info(path: Path, *, limits: Limits | None = None) -> ImageInfo:
    """Read what a Cineon file says about itself, without decoding a pixel.

    Raises:
        FrameReadError: missing, truncated or damaged.
        UnsupportedImage: another depth, packing or number of channels, by name.
    """
    return _describe(path, None, limits or Limits())[0]


def read_frame(
    path: Path,
    number: int,
    *,
    color_space: str,
    limits: Limits | None = None,
) -> Frame:
    """Read one Cineon frame; samples are code / 1023.

    Raises:
        FrameReadError: missing, truncated or damaged.
        UnsupportedImage: another depth, packing or number of channels, by name.
    """
    info, region = _describe(path, number, limits or Limits())
    return Frame(
        number=number,
        pixels=dpx.read_samples(path, number, region, info.data_window.size, len(info.channels)),
        channels=info.channels,
        data_window=info.data_window,
        display_window=info.display_window,
        color_space=color_space,
        sample_type="uint10",
        header=info.header,
        pixel_aspect=info.pixel_aspect,
    )


def _describe(path: Path, number: int | None, limits: Limits) -> tuple[ImageInfo, Region]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(HEADER_BYTES)
    except OSError as error:
        raise FrameReadError(
            f"cannot be opened: {error.strerror}", path=path, frame=number
        ) from error
    order = _MAGIC.get(raw[:4])
    if len(raw) < HEADER_BYTES or order is None:
        raise FrameReadError(
            f"{len(raw)} bytes that start with {raw[:4].hex() or 'nothing'}",
            path=path,
            frame=number,
            expected=f"a Cineon header of {HEADER_BYTES} bytes",
        )
    region, channels, width = _layout(raw, order, path, number)
    if max(width, region.rows) > limits.resolution:
        raise FrameReadError(
            f"{width} x {region.rows} pixels", path=path, frame=number,
            expected=f"at most {limits.resolution} along one side",
        )  # fmt: skip
    if region.end > size:
        raise FrameReadError(
            f"truncated: {size} bytes", path=path, frame=number, expected=f"{region.end} bytes"
        )
    if width * region.rows * len(channels) * 4 > limits.image_mb * 1_000_000:
        raise FrameReadError(
            f"{width} x {region.rows} pixels of {len(channels)} channels",
            path=path,
            frame=number,
            expected=f"at most {limits.image_mb} MB",
        )
    window = Box.of_size(width, region.rows)
    found = _attributes(raw, order)
    rate = found.get("FrameRate")
    info = ImageInfo(
        header=SourceHeader("cineon", MappingProxyType(found), raw),
        channels=channels,
        sample_type="uint10",
        data_window=window,
        display_window=window,
        frame_rate=Fraction(rate).limit_denominator(1001)
        if isinstance(rate, float) and 0.1 <= rate <= 10_000
        else None,
    )
    return info, region


def _layout(
    raw: bytes, order: str, path: Path, number: int | None
) -> tuple[Region, tuple[str, ...], int]:
    """Find the samples; refuse by name what is not interleaved 10-bit words."""

    def refuse(what: str) -> NoReturn:
        raise UnsupportedImage(
            f"Cineon with {what}",
            path=path,
            frame=number,
            expected="three interleaved channels of 10 bits, one pixel to a 32-bit word",
        )

    (offset,) = struct.unpack_from(order + "I", raw, 4)
    count = raw[193]
    interleave, packing, sign = raw[680], raw[681], raw[682]
    (line_padding,) = struct.unpack_from(order + "I", raw, 684)
    if count != 3:
        refuse(f"{count} channels")
    channels = [
        struct.unpack_from(order + "BBBxII", raw, _CHANNEL_AT + i * _CHANNEL_BYTES)
        for i in range(count)
    ]
    if any(bits != 10 for _, _, bits, _, _ in channels):
        refuse(f"{channels[0][2]}-bit samples")
    if len({(width, height) for *_, width, height in channels}) != 1:
        refuse("channels of different sizes")
    if interleave != 0:
        refuse(f"interleave {interleave}")
    if packing not in _METHODS:
        refuse(f"packing {packing}")
    if sign == 1:
        refuse("signed samples")
    width, height = channels[0][3:]
    if not width or not height or offset < HEADER_BYTES:
        raise FrameReadError(
            f"damaged Cineon header: {width} x {height} pixels at byte {offset}",
            path=path,
            frame=number,
        )
    names = tuple(_NAMES.get(code, "") for _, code, *_ in channels)
    if set(names) != {"R", "G", "B"}:
        refuse(f"channel designators {[code for _, code, *_ in channels]}")
    method = _METHODS[packing]
    padding = 0 if line_padding == _UNDEFINED else line_padding
    region = Region(
        element=0,
        offset=offset,
        rows=height,
        row_bytes=sample_row_bytes(width * count, 10, method) + padding,
        bits=10,
        packing=method,
        big_endian=order == ">",
        channel=tuple("RGB".index(name) for name in names),
    )
    return region, ("R", "G", "B"), width


def _attributes(raw: bytes, order: str) -> dict[str, object]:
    """Return the fields that say something, by the names DPX uses for the same."""
    found: dict[str, object] = {"ByteOrder": "big" if order == ">" else "little"}
    for name, (at, code) in _FIELDS.items():
        value = struct.unpack_from(order + code, raw, at)[0]
        if isinstance(value, bytes):
            text = value.split(b"\0", 1)[0]
            if text and text.count(0xFF) != len(text):
                found[name] = text.decode("latin-1")
        elif isinstance(value, float):
            if abs(value) < float("inf"):
                found[name] = value
        elif value not in (_UNDEFINED, -0x80000000) and not (code == "B" and value == 0xFF):
            found[name] = value
    return found
