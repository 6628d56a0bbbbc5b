"""What a PNG states about its color, read from its chunks.

Libraries fill in sRGB for a PNG that says nothing; only the chunks tell a statement from a habit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 4096
_WANTED = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"iCCP": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PngTags:
    """The color chunks of one PNG; None where there is none.

    Attributes:
        cicp: (primaries, transfer) of ITU-T H.273.
        srgb: whether an sRGB chunk stands.
        icc_name: name of the embedded ICC profile.
        gamma: encoding exponent, 0.45455 for display gamma 2.2.
        chromaticities: CIE xy of red, green, blue, white.
    """

    cicp: tuple[int, int] | None = None
    srgb: bool = False
    icc_name: str | None = None
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None


def read_png_tags(path: Path) -> PngTags:
    """Read the color chunks before the first pixel; an unreadable or odd file has none.

    Source: PNG (Third Edition), W3C, section 11.3.2.
    """
    try:
        chunks = _color_chunks(path)
    except OSError:
        return PngTags()
    cicp, gamma, xy, icc = (chunks.get(k) for k in (b"cICP", b"gAMA", b"cHRM", b"iCCP"))
    white_first = [v / 100000 for v in struct.unpack(">8I", xy)] if xy else None
    return PngTags(
        cicp=(cicp[0], cicp[1]) if cicp else None,
        srgb=b"sRGB" in chunks,
        icc_name=icc.split(b"\0", 1)[0].decode("latin-1") if icc else None,
        gamma=int.from_bytes(gamma, "big") / 100000 if gamma else None,
        chromaticities=tuple(white_first[2:] + white_first[:2]) if white_first else None,
    )


def _color_chunks(path: Path) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        if file.read(8) != _SIGNATURE:
            return found
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                break
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            wanted = kind in _WANTED
            body = file.read(min(length, 128)) if wanted else b""
            size = _WANTED.get(kind)
            if wanted and body and (size is None or length == size == len(body)):
                found.setdefault(kind, body)
            file.seek(length - len(body) + 4, 1)
    return found
