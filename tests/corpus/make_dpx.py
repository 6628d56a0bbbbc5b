"""Make DPX files with known codes, by the text of SMPTE ST 268-1 alone.

An oracle for the codec must not share its code: nothing of wetgate is imported here, and samples
are placed by computing the word and the bit of each one. Run it to look at the files:

    python tests/corpus/make_dpx.py DIRECTORY
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PACKED, METHOD_A, METHOD_B = 0, 1, 2

# descriptor: samples stored for each pixel (4:2:2 alternates Cb and Cr in the first of them).
SAMPLES = {
    **dict.fromkeys((0, 1, 2, 3, 4, 6, 8, 10, 11), 1),
    50: 3,
    51: 4,
    52: 4,
    100: 2,
    101: 3,
    102: 3,
    103: 4,
}

# Every field that a reader may interpret, with a value no writer uses by default.
FIELDS: dict[str, tuple[int, str, object]] = {
    "DittoKey": (20, "I", 1),
    "FileName": (36, "100s", b"reel07/plate.1043.dpx"),
    "CreationDate": (136, "24s", b"1998:11:05:13:45:59:PST"),
    "Creator": (160, "100s", b"Spirit 4K rev 2"),
    "Project": (260, "200s", b"The Long Reel"),
    "Copyright": (460, "200s", b"(c) someone, 1998"),
    "EncryptionKey": (660, "I", 0x1234ABCD),
    "Orientation": (768, "H", 5),
    "XOffset": (1408, "I", 17),
    "YOffset": (1412, "I", 23),
    "XCenter": (1416, "f", 511.5),
    "YCenter": (1420, "f", 389.25),
    "XOriginalSize": (1424, "I", 4112),
    "YOriginalSize": (1428, "I", 3008),
    "SourceFileName": (1432, "100s", b"scan_0001.raw"),
    "SourceDate": (1532, "24s", b"1998:11:04:08:00:00:CET"),
    "InputDevice": (1556, "32s", b"Northlight"),
    "InputDeviceSerial": (1588, "32s", b"NL-0042"),
    "BorderXL": (1620, "H", 3),
    "BorderXR": (1622, "H", 5),
    "BorderYT": (1624, "H", 7),
    "BorderYB": (1626, "H", 11),
    "PixelAspectHorizontal": (1628, "I", 2),
    "PixelAspectVertical": (1632, "I", 1),
    "XScannedSize": (1636, "f", 24.892),
    "YScannedSize": (1640, "f", 18.669),
    "FilmManufacturer": (1664, "2s", b"02"),
    "FilmType": (1666, "2s", b"4E"),
    "PerfOffset": (1668, "2s", b"03"),
    "FilmPrefix": (1670, "6s", b"A12345"),
    "FilmCount": (1676, "4s", b"6789"),
    "FilmFormat": (1680, "32s", b"Super 35"),
    "FramePosition": (1712, "I", 42),
    "SequenceLength": (1716, "I", 1440),
    "HeldCount": (1720, "I", 2),
    "FrameRate": (1724, "f", 23.976),
    "ShutterAngle": (1728, "f", 172.8),
    "FrameId": (1732, "32s", b"1043"),
    "SlateInfo": (1764, "100s", b"12A take 3"),
    "TimeCodeBCD": (1920, "I", 0x01020304),
    "UserBits": (1924, "I", 0x0BADCAFE),
    "Interlace": (1928, "B", 1),
    "FieldNumber": (1929, "B", 2),
    "VideoSignal": (1930, "B", 150),
    "HorizontalRate": (1932, "f", 13.5e6),
    "VerticalRate": (1936, "f", 59.94),
    "TemporalRate": (1940, "f", 29.97),
    "TimeOffset": (1944, "f", 1.5),
    "Gamma": (1948, "f", 1.7),
    "BlackLevel": (1952, "f", 95.0),
    "BlackGain": (1956, "f", 0.5),
    "Breakpoint": (1960, "f", 0.25),
    "WhiteLevel": (1964, "f", 685.0),
    "IntegrationTime": (1968, "f", 0.02),
}


@dataclass(frozen=True)
class Spec:
    """One file to make. `elements` are image descriptors, all of one depth and size."""

    width: int
    height: int = 3
    bits: int = 10
    packing: int = METHOD_A
    elements: tuple[int, ...] = (50,)
    order: str = ">"
    version: bytes = b"V2.0"
    user_bytes: int = 0
    gap: int = 0
    line_padding: int = 0
    image_padding: int = 0
    trailing: int = 0
    odd_fill: bool = False
    aligned: bool = True
    seed: int = 0

    @property
    def name(self) -> str:
        """A file name that says everything."""
        parts = (
            f"{self.bits}{'pab'[self.packing]}",
            "be" if self.order == ">" else "le",
            "+".join(map(str, self.elements)),
            f"{self.width}x{self.height}",
            self.version.decode(),
        )
        flags = "".join(
            letter
            for letter, on in (
                ("u", self.user_bytes),
                ("g", self.gap),
                ("l", self.line_padding),
                ("i", self.image_padding),
                ("t", self.trailing),
                ("f", self.odd_fill),
                ("n", not self.aligned),
            )
            if on
        )
        return "_".join((*parts, flags or "plain")) + ".dpx"


def make(spec: Spec) -> tuple[bytes, list[np.ndarray]]:
    """Return the file and, for each element, its codes (or float bits), (rows, samples)."""
    rng = np.random.default_rng([spec.seed, spec.width, spec.bits, *spec.elements])
    planes, codes = [], []
    for descriptor in spec.elements:
        samples = spec.width * SAMPLES[descriptor]
        values = rng.integers(0, 1 << spec.bits, (spec.height, samples), dtype=np.uint64)
        values[0, 0], values[-1, -1] = 0, (1 << spec.bits) - 1
        if spec.bits == 32:
            values[0, : len(ODD_FLOATS)] = ODD_FLOATS[:samples]
        codes.append(values)
        planes.append(_rows(spec, values, SAMPLES[descriptor], rng))
    start = 2048 + spec.user_bytes + spec.gap
    file = bytearray(rng.bytes(start))
    offsets = []
    for plane in planes:
        offsets.append(len(file))
        file += plane + rng.bytes(spec.image_padding)
    file += rng.bytes(spec.trailing)
    _header(file, spec, offsets)
    return bytes(file), codes


# Zeros, infinities, a quiet and a signalling NaN with payload, the smallest subnormal.
ODD_FLOATS = np.array(
    [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC01234, 0x7F800001, 1, 0x3F800000], dtype=np.uint64
)


def _rows(spec: Spec, codes: np.ndarray, per_pixel: int, rng: np.random.Generator) -> bytes:
    """Place each sample of each row by word and bit; the other bits are zero or noise."""
    count = codes.shape[1]
    index = np.arange(count)
    if spec.bits in (8, 16, 32):
        unit, shift, word = spec.bits // 8, np.zeros(count, np.uint64), index
        words = count
    elif spec.packing == PACKED:
        unit, word = 4, index * spec.bits // 32
        shift = (index * spec.bits % 32).astype(np.uint64)
        words = -(-count * spec.bits // 32)
    elif spec.bits == 12:
        unit, word, words = 2, index, count
        shift = np.full(count, 4 if spec.packing == METHOD_A else 0, np.uint64)
    else:
        unit, word, words = 4, index // 3, -(-count // 3)
        # One component a pixel fills a word from its low end, several from its high end.
        place = index % 3 if per_pixel == 1 else 2 - index % 3
        shift = (place * 10 + (2 if spec.packing == METHOD_A else 0)).astype(np.uint64)
    held = np.zeros((spec.height, words + 1), np.uint64)
    used = np.zeros(words + 1, np.uint64)
    low = np.uint64(0xFFFFFFFF)
    top = np.uint64((1 << spec.bits) - 1)
    # Every fourth sample lies in a word of its own, so plain indexing suffices in four turns.
    for turn in range(4):
        picked = index[turn::4]
        at, up = word[picked], shift[picked]
        wide, mask = codes[:, picked] << up, top << up
        held[:, at] |= wide & low
        used[at] |= mask & low
        held[:, at + 1] |= wide >> np.uint64(32)
        used[at + 1] |= mask >> np.uint64(32)
    held, used = held[:, :words], used[:words]
    if spec.odd_fill:
        noise = rng.integers(0, 1 << (8 * unit), held.shape, dtype=np.uint64)
        held |= noise & ~used
    grid = held.astype(f"{spec.order}u{unit}").view(np.uint8).reshape(spec.height, -1)
    pad = (-grid.shape[1] % 4 if spec.aligned else 0) + spec.line_padding
    tail = np.zeros((spec.height, pad), np.uint8)
    if spec.odd_fill:
        tail = rng.integers(0, 256, tail.shape, dtype=np.uint8)
    return np.concatenate([grid, tail], axis=1).tobytes()


def _header(file: bytearray, spec: Spec, offsets: list[int]) -> None:
    """Write every known field over the noise that stands in the reserved blocks."""

    def put(at: int, code: str, *values: object) -> None:
        struct.pack_into(spec.order + code, file, at, *values)

    for at, code, value in FIELDS.values():
        put(at, code, value)
    file[:4] = b"SDPX" if spec.order == ">" else b"XPDS"
    put(4, "I8sI", offsets[0], spec.version, len(file))
    put(24, "III", 1664, 384, spec.user_bytes)
    put(770, "HII", len(spec.elements), spec.width, spec.height)
    for number, (descriptor, offset) in enumerate(zip(spec.elements, offsets, strict=True)):
        at = 780 + 72 * number
        top = (1 << min(spec.bits, 31)) - 1
        put(at, "IIfIf", 0, 95 + number, 0.125, top, 2.046)
        put(at + 20, "BBBB", descriptor, 3, 1, spec.bits)
        put(at + 24, "HHIII", spec.packing, 0, offset, spec.line_padding, spec.image_padding)
        put(at + 40, "32s", b"element %d" % (number + 1))


DEPTHS = (
    (8, PACKED),
    (10, PACKED),
    (10, METHOD_A),
    (10, METHOD_B),
    (12, PACKED),
    (12, METHOD_A),
    (12, METHOD_B),
    (16, PACKED),
    (32, PACKED),
)
LAYOUTS = ((50,), (51,), (52,), (6,), (100,), (101,), (102,), (103,), (1,), (4,), (1, 2, 3))
SMALL_WIDTHS = (5, 6, 7, 8)
FILM_WIDTHS = (1998, 2048, 3655, 3656, 4096)


def corpus() -> Iterator[Spec]:
    """Yield the whole corpus: depth x packing x order x layout x width, then the odd ones."""
    seed = 0
    for bits, packing in DEPTHS:
        for order in "><":
            for elements in LAYOUTS:
                film = FILM_WIDTHS if elements in LAYOUTS[:5] else FILM_WIDTHS[seed % 5 :][:1]
                for width in (*SMALL_WIDTHS, *film):
                    seed += 1
                    yield _varied(Spec(width, 3, bits, packing, elements, order, seed=seed))
            yield from _odd_ones(bits, packing, order)


def _varied(spec: Spec) -> Spec:
    """Let version, user data, gaps, paddings and fill take turns over the corpus."""
    turn = spec.seed
    return replace(
        spec,
        version=(b"V2.0", b"V1.0")[turn % 2],
        user_bytes=(0, 0, 6144, 37)[turn % 4],
        gap=(0, 128, 5)[turn % 3],
        line_padding=(0, 0, 0, 4, 3)[turn % 5],
        image_padding=(0, 0, 11)[turn % 3],
        trailing=(0, 61)[turn % 7 == 0],
        odd_fill=turn % 2 == 1,
    )


def _odd_ones(bits: int, packing: int, order: str) -> Iterator[Spec]:
    base = Spec(13, 4, bits, packing, order=order, seed=bits)
    yield replace(base, width=1, height=1)
    yield replace(base, width=1, elements=(6,), odd_fill=True)
    yield replace(base, width=2, height=1, elements=(100,))
    for pair in ((50, 6), (50, 50), (50, 4), (6, 10, 11), (3, 2, 1, 4), (50, 0), (100, 4)):
        yield replace(base, elements=pair, odd_fill=True, image_padding=8, trailing=7)
    yield replace(base, height=5, line_padding=1001, odd_fill=True)
    if bits in (8, 16):
        yield replace(base, width=15, aligned=False)


def write_corpus(directory: Path) -> list[Path]:
    """Write every file of the corpus; return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, spec in enumerate(corpus()):
        path = directory / f"{number:04d}_{spec.name}"
        path.write_bytes(make(spec)[0])
        paths.append(path)
    return paths


if __name__ == "__main__":
    sys.stdout.write(f"{len(write_corpus(Path(sys.argv[1])))} files\n")
