"""Make EXR files with known content by the OpenEXR library, not by wetgate.

Where the Python bindings of OpenEXR cannot write something, its bytes are spliced in from the
text of the file layout, or OpenImageIO writes it. Run it to look at the files:

    python tests/corpus/make_exr.py DIRECTORY
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256", "HTJ2K32", "ZSTD")
LOSSY = ("PXR24", "B44", "B44A", "DWAA", "DWAB", "LJ2K")

Pixels = dict[str, Any]


def compression(name: str) -> Any:
    """Return OpenEXR's value for a compression, None when this build lacks it."""
    return getattr(OpenEXR, f"{name}_COMPRESSION", None)


def every_half() -> np.ndarray[Any, Any]:
    """All 65,536 bit patterns, 256 x 256: zeros, subnormals, infinities, NaN of every payload."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256).view(np.float16)


def every_kind_of_float(seed: int, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Random float32 bit patterns, with quiet and signalling NaN."""
    bits = np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint64).astype(np.uint32)
    bits[0, :4] = (0x7F800001, 0xFFC12345, 0x7F800000, 0x80000000)
    return bits.view(np.float32)


def ids(seed: int, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Random uint32, most beyond what float32 can hold."""
    found = np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint64)
    found[0, :3] = (16777217, 2**32 - 1, 0)
    return found.astype(np.uint32)


def smooth(seed: int, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A picture with grain, as a half, for lossy compressions."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / 32
    return (0.4 + 0.3 * np.sin(x + seed) * np.cos(y) + rng.normal(0, 0.02, shape)).astype("f2")


def rgb(make: Callable[[int, tuple[int, int]], Any], shape: tuple[int, int]) -> Pixels:
    return {c: make(i, shape) for i, c in enumerate("RGB")}


def window(x: int, y: int, width: int, height: int) -> Any:
    return np.array([x, y], "i4"), np.array([x + width - 1, y + height - 1], "i4")


def every_attribute() -> dict[str, Any]:
    """One value of every type that the bindings write, plain and standard names."""
    preview = np.zeros((3, 5), dtype=[(c, "u1") for c in "rgba"])
    preview["r"] = np.arange(15).reshape(3, 5)
    found: dict[str, Any] = {
        "capDate": "2019:03:01 12:13:14",
        "utcOffset": 3600.0,
        "owner": "The Owner",
        "comments": "grün ✓",
        "expTime": 0.02,
        "aperture": 2.8,
        "isoSpeed": 800.0,
        "focus": 3.5,
        "longitude": 9.99,
        "latitude": 53.55,
        "altitude": 6.0,
        "wrapmodes": "clamp,mirror",
        "whiteLuminance": 100.0,
        "adoptedNeutral": np.array([0.3127, 0.329], "f4"),
        "chromaticities": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
        "framesPerSecond": Fraction(24000, 1001),
        "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, 1, 0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8),
        "keyCode": OpenEXR.KeyCode(1, 2, 3, 4, 5, 4, 64),
        "envmap": OpenEXR.ENVMAP_LATLONG,
        "preview": OpenEXR.PreviewImage(preview),
        "multiView": ["left", "right"],
        "nuke/node_hash": "deadbeef",
        "camera.lens:focal": 35.0,
        "a name of more than thirty-one characters": 7,
        "floats": [1.0, 2.5, -3.25],
        "double": np.array([1.0 / 3.0]),
        "box2i": window(1, 2, 3, 4),
        "box2f": (np.array([0.5, 1.5], "f4"), np.array([2.5, 3.5], "f4")),
        "empty": "",
    }
    for kind in ("i4", "f4", "f8"):
        for count in (2, 3):
            found[f"v{count}{kind}"] = np.arange(count).astype(kind) + 1
    for kind in ("f4", "f8"):
        for count in (3, 4):
            found[f"m{count}{kind}"] = np.arange(count * count).reshape(count, count).astype(kind)
    return found


def splice(path: Path, extra: bytes) -> None:
    """Put attributes, as bytes, at the front of the header of a scan-line file with one part."""
    data = path.read_bytes()
    (flags,) = struct.unpack_from("<I", data, 4)
    assert not flags & 0x1000
    at = 8
    while data[at]:
        at = data.index(0, data.index(0, at) + 1) + 1
        at += 4 + struct.unpack_from("<i", data, at)[0]
    table = at + 1
    first = struct.unpack_from("<Q", data, table)[0]
    count = (first - table) // 8
    offsets = np.frombuffer(data, "<u8", count, table) + np.uint64(len(extra))
    path.write_bytes(data[:8] + extra + data[8:table] + offsets.tobytes() + data[first:])


def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
    return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value


def write(path: Path, header: dict[str, Any], channels: Pixels) -> None:
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, **header}, channels).write(str(path))


def write_mipmap(path: Path) -> None:
    """Write a tiled file with mip levels; the bindings of OpenEXR write one level only."""
    import OpenImageIO as oiio

    image = oiio.ImageBuf(oiio.ImageSpec(64, 48, 3, "half"))
    values = np.stack([smooth(i, (48, 64)) for i in range(3)], axis=2).astype(np.float32)
    image.set_pixels(oiio.ROI(), values)
    config = oiio.ImageSpec()
    config.attribute("maketx:fileformatname", "openexr")
    assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, image, str(path), config)


def generate(directory: Path) -> Iterator[Path]:
    """Write every file, each under the name of what it tests."""
    directory.mkdir(parents=True, exist_ok=True)

    def named(name: str) -> Path:
        return directory / f"{name}.exr"

    half = every_half()
    small = (61, 47)
    for name in LOSSLESS:
        code = compression(name)
        if code is None:
            continue
        path = named(f"half-{name.lower()}")
        channels = {"R": half, "G": half[::-1].copy(), "B": half.T.copy(), "A": half.copy()}
        write(path, {"compression": code}, channels)
        yield path
        path = named(f"mixed-{name.lower()}")
        write(
            path,
            {"compression": code},
            {
                **rgb(smooth, small),
                "Z": every_kind_of_float(3, small),
                "id": ids(4, small),
                "aov.X": half[:61, :47].copy(),
                "aov.id": ids(5, small),
            },
        )
        yield path
    for name in LOSSY:
        code = compression(name)
        if code is None:
            continue
        path = named(f"lossy-{name.lower()}")
        write(
            path,
            {"compression": code},
            {**rgb(smooth, (96, 130)), "Z": smooth(7, (96, 130)).astype("f4") / 3},
        )
        yield path
    for level in (5.0, 200.0):
        path = named(f"dwaa-level-{level:g}")
        header = {"compression": OpenEXR.DWAA_COMPRESSION, "dwaCompressionLevel": level}
        write(path, header, rgb(smooth, (96, 130)))
        yield path
    path = named("float")
    write(path, {}, rgb(every_kind_of_float, small))
    yield path
    path = named("mixed-nan")  # NaN of every payload beside a float channel
    write(path, {}, {"R": half, "G": half.T.copy(), "Z": every_kind_of_float(1, (256, 256))})
    yield path
    path = named("attributes")
    write(path, every_attribute(), rgb(smooth, small))
    yield path
    path = named("unknown-types")
    write(path, {}, rgb(smooth, small))
    splice(
        path,
        attribute(b"studio/private", b"studioType", bytes(range(256)))
        + attribute(b"empty", b"studioType", b""),
    )
    yield path
    for corner in ((-7, -5), (20, 30)):
        path = named(f"window-{corner[0]}-{corner[1]}")
        header = {
            "dataWindow": window(*corner, 47, 61),
            "displayWindow": window(3, 4, 40, 50),
            "pixelAspectRatio": 2.0,
            "screenWindowCenter": np.array([0.25, -0.5], "f4"),
            "screenWindowWidth": 1.5,
        }
        write(path, header, rgb(smooth, small))
        yield path
    for order in ("INCREASING_Y", "DECREASING_Y", "RANDOM_Y"):
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize = 16, 24
        header = {"type": OpenEXR.tiledimage, "tiles": tiles, "lineOrder": getattr(OpenEXR, order)}
        path = named(f"tiles-{order.lower()}")
        write(path, header, {**rgb(smooth, small), "id": ids(1, small)})
        yield path
    path = named("scanlines-decreasing")
    write(path, {"lineOrder": OpenEXR.DECREASING_Y}, rgb(smooth, small))
    yield path
    path = named("views")
    channels = {
        **rgb(smooth, small),
        **{f"right.{c}": smooth(i, small) for i, c in enumerate("RGB")},
    }
    write(path, {"multiView": ["left", "right"]}, channels)
    yield path
    path = named("gray")
    write(path, {}, {"Y": smooth(0, small)})
    yield path
    path = named("linear-mark")
    marked = {c: OpenEXR.Channel(p, 1, 1, True) for c, p in rgb(smooth, small).items()}
    write(path, {}, marked)
    yield path
    path = named("four-parts")
    write_parts(path)
    yield path
    path = named("mipmap")
    write_mipmap(path)
    yield path


def write_parts(path: Path) -> None:
    """Four parts: a float depth, the picture, uint ids, the other view; windows of their own."""
    shown = window(0, 0, 64, 48)
    common = {"displayWindow": shown, "timeCode": every_attribute()["timeCode"]}
    parts = [
        (
            {"name": "depth", "compression": OpenEXR.ZIPS_COMPRESSION},
            window(0, 0, 64, 48),
            {"Z": every_kind_of_float(0, (48, 64))},
        ),
        (
            {"name": "beauty", "view": "left", "compression": OpenEXR.PIZ_COMPRESSION, "take": 3},
            window(-4, -4, 72, 56),
            {**rgb(smooth, (56, 72)), "A": smooth(9, (56, 72))},
        ),
        (
            {"name": "ids", "compression": OpenEXR.ZIP_COMPRESSION},
            window(10, 12, 20, 30),
            {"id": ids(1, (30, 20)), "cover": smooth(2, (30, 20))},
        ),
        (
            {"name": "other", "view": "right", "compression": OpenEXR.RLE_COMPRESSION},
            window(0, 0, 64, 48),
            {f"right.{c}": smooth(i + 3, (48, 64)) for i, c in enumerate("RGB")},
        ),
    ]
    made = [
        OpenEXR.Part({**common, "dataWindow": box, "type": OpenEXR.scanlineimage, **head}, pixels)
        for head, box, pixels in parts
    ]
    OpenEXR.File(made).write(str(path))


def write_deep(path: Path) -> None:
    samples = np.empty((4, 4), object)
    for i in range(16):
        samples.flat[i] = np.arange(i % 3, dtype=np.float32)
    header = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.deepscanline}
    OpenEXR.File(header, {"Z": samples}).write(str(path))


def write_subsampled(path: Path) -> None:
    """Write a file whose header says that BY has half the rows and columns."""
    write(path, {}, {"BY": smooth(0, (8, 8)), "Y": smooth(1, (8, 8))})
    data = bytearray(path.read_bytes())
    at = data.index(b"BY\0") + 3 + 8
    struct.pack_into("<ii", data, at, 2, 2)
    path.write_bytes(data)


if __name__ == "__main__":
    for made_path in generate(Path(sys.argv[1])):
        sys.stdout.write(f"{made_path}\n")
