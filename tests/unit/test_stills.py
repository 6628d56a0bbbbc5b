"""TIFF and PNG come back as they were, judged by other libraries."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from wetgate.io import formats
from wetgate.io.atomic import digest_file
from wetgate.io.options import Limits, WriteOptions
from wetgate.io.raw import to_codes
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, OutputError, UnsupportedImage
from wetgate.model.frame import Frame

UNCHANGED = WriteOptions(pixels_changed=False)
LIMITS = Limits()
RNG = np.random.default_rng(0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, samples: np.ndarray, *chunks: bytes, bits: int = 8) -> None:
    """Write a PNG by the specification: no filter, one IDAT."""
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    big = samples.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    if bits < 8:
        planes = np.unpackbits(samples[..., None], axis=2)[..., -bits:]
        packed = np.packbits(planes.reshape(height, -1), axis=1)
        rows = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def rewrite(path: Path, out: Path, options: WriteOptions = UNCHANGED) -> Frame:
    frame = formats.read_frame(path, 1, color_space="any")
    formats.write_frame(frame, out, options=options)
    return frame


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_png_samples_survive(tmp_path: Path, bits: int, count: int) -> None:
    samples = RNG.integers(0, 2**bits, (33, 21, count), f"u{bits // 8}")
    path, out = tmp_path / "a.png", tmp_path / "b.png"
    png(path, samples, bits=bits)
    frame = rewrite(path, out)
    assert frame.sample_type == f"uint{bits}"
    assert frame.pixels.max() <= 1
    read = cv2.imread(str(out), cv2.IMREAD_UNCHANGED).reshape(samples.shape)
    order = [2, 1, 0, 3][:count] if count > 1 else [0]
    assert read.dtype == samples.dtype
    assert (read[..., order] == samples).all()


def test_png_color_under_zero_alpha_survives(tmp_path: Path) -> None:
    samples = RNG.integers(0, 256, (8, 8, 4), "u1")
    samples[..., 3] = 0
    path, out = tmp_path / "a.png", tmp_path / "b.png"
    png(path, samples)
    frame = rewrite(path, out)
    assert frame.header.attributes["oiio:UnassociatedAlpha"] == 1
    assert (cv2.imread(str(out), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]] == samples).all()


def test_png_chunks_survive_byte_for_byte(tmp_path: Path) -> None:
    chunks = (
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        chunk(b"tEXt", b"Comment\0gr\xfcn"),
        chunk(b"prVt", b"private to a studio"),
    )
    path, out = tmp_path / "a.png", tmp_path / "b.png"
    png(path, RNG.integers(0, 256, (8, 8, 3), "u1"), *chunks)
    frame = rewrite(path, out)
    assert frame.header.attributes["png:gAMA"] == 0.45455
    assert frame.header.attributes["png:cICP"] == (9, 16, 0, 1)
    data = out.read_bytes()
    assert all(c in data for c in chunks)
    assert formats.read_info(path).losses == ()
    options = WriteOptions(color_space_changed=True, provenance={"recipe": "x"})
    formats.write_frame(frame, out, options=options)
    data = out.read_bytes()
    assert b"gAMA" not in data and b"cICP" not in data
    assert chunks[3] in data and b"wetgate:recipe\0x" in data


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_low_bit_depths_say_that_they_become_eight(tmp_path: Path, bits: int) -> None:
    samples = RNG.integers(0, 2**bits, (8, 8), "u1")
    path, out = tmp_path / "a.png", tmp_path / "b.png"
    png(path, samples, bits=bits)
    rewrite(path, out)
    assert formats.read_info(path).losses == (f"{bits}-bit samples: written as 8-bit samples",)
    expected = samples.astype(int) * 255 // (2**bits - 1)
    assert (cv2.imread(str(out), cv2.IMREAD_UNCHANGED) == expected).all()


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    png(path, RNG.integers(0, 256, (64, 64, 3), "u1"), chunk(b"tEXt", b"a\0b"))
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], data.replace(b"a\0b", b"a\0c"), data[:20]):
        path.write_bytes(broken)
        with pytest.raises((FrameReadError, UnsupportedImage)):
            formats.read_frame(path, 1, color_space="any")


def tiff(path: Path, pages: list[np.ndarray], extra: tuple[int, bytes] | None = None) -> None:
    """Write an uncompressed little-endian TIFF by the specification."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    link = 4
    for page in pages:
        height, width, count = page.shape
        data_at = len(out)
        out += page.tobytes()
        bits_at = len(out)
        bits = 8 * page.dtype.itemsize
        form = 3 if page.dtype.kind == "f" else 1
        out += struct.pack(f"<{2 * count}H", *[bits] * count, *[form] * count)
        entries = [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, count, bits_at),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (273, 4, 1, data_at),
            (277, 3, 1, count),
            (278, 4, 1, height),
            (279, 4, 1, page.nbytes),
            (339, 3, count, bits_at + 2 * count),
        ]
        if count == 4:
            entries.append((338, 3, 1, 2))
        if extra is not None:
            text_at = len(out)
            out += extra[1]
            entries.append((extra[0], 7, len(extra[1]), text_at))
        struct.pack_into("<I", out, link, len(out))
        out += struct.pack("<H", len(entries))
        for entry in sorted(entries):
            out += struct.pack("<HHII", *entry)
        link = len(out)
        out += bytes(4)
    path.write_bytes(out)


def tiff_pages(path: Path) -> list[np.ndarray]:
    done, pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
    assert done
    return [p[..., [2, 1, 0, 3][: p.shape[2]]] for p in pages]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("count", [3, 4])
def test_tiff_samples_survive(tmp_path: Path, dtype: str, count: int) -> None:
    samples = (RNG.random((33, 21, count)) * 255).astype(dtype)
    path, out = tmp_path / "a.tif", tmp_path / "b.tif"
    tiff(path, [samples])
    rewrite(path, out)
    assert samples.tobytes() in out.read_bytes()  # one uncompressed strip, as it was
    if count == 3:  # OpenCV multiplies 8-bit color by alpha
        (read,) = tiff_pages(out)
        assert read.dtype == samples.dtype
        assert read.tobytes() == samples.tobytes()


def test_tiff_half_survives_with_every_pattern(tmp_path: Path) -> None:
    samples = np.arange(65536, dtype="u2").view("f2").reshape(256, 256, 1).repeat(3, axis=2)
    path, out = tmp_path / "a.tif", tmp_path / "b.tif"
    tiff(path, [samples])
    frame = rewrite(path, out)
    assert frame.sample_type == "half"
    again = formats.read_frame(out, 1, color_space="any")
    assert samples.tobytes() in path.read_bytes()
    written = formats.load(out, 1, "tiff", limits=LIMITS, layer=None).samples
    assert written.tobytes() == samples.tobytes()
    assert again.sample_type == "half"


def test_tiff_pages_survive_and_lost_tags_are_named(tmp_path: Path) -> None:
    pages = [RNG.integers(0, 256, (9, 7, 3), "u1") for _ in range(3)]
    path, out = tmp_path / "a.tif", tmp_path / "b.tif"
    tiff(path, pages, extra=(65000, b"private!"))
    rewrite(path, out)
    assert [p.tobytes() for p in tiff_pages(out)] == [p.tobytes() for p in pages]
    info = formats.read_info(path)
    assert info.carried == ("page 2", "page 3")
    assert info.losses == ("TIFF tags 65000",)


def test_tiff_holds_no_time_of_its_own(tmp_path: Path) -> None:
    path, out = tmp_path / "a.tif", tmp_path / "b.tif"
    tiff(path, [RNG.integers(0, 256, (9, 7, 3), "u1")])
    rewrite(path, out)
    first = digest_file(out)
    assert "DateTime" not in formats.read_info(out).header.attributes
    rewrite(path, out)
    assert digest_file(out) == first


def test_uint32_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiff(path, [RNG.integers(0, 2**32, (9, 7, 3), "u4")])
    with pytest.raises(UnsupportedImage, match="samples of type uint"):
        formats.read_info(path)


def test_content_decides_the_format_and_the_suffix_does_not(tmp_path: Path) -> None:
    path = tmp_path / "named.exr"
    png(path, RNG.integers(0, 256, (8, 8, 3), "u1"))
    assert formats.sniff_format(path) == "png"
    assert formats.read_info(path).header.format == "png"
    (tmp_path / "text.exr").write_bytes(b"hello world, this is text")
    with pytest.raises(FrameReadError, match="starts with 68 65 6c 6c; expected a exr"):
        formats.sniff_format(tmp_path / "text.exr")
    (tmp_path / "empty.dpx").write_bytes(b"")
    with pytest.raises(FrameReadError, match="empty"):
        formats.sniff_format(tmp_path / "empty.dpx")


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".ppm"])
def test_read_only_formats_say_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), RNG.integers(0, 256, (16, 16, 3), "u1"))
    frame = formats.read_frame(path, 1, color_space="any")
    assert frame.pixels.shape == (16, 16, 3)
    assert "read only" in formats.read_info(path).losses[0]
    with pytest.raises(OutputError, match="is not written; expected exr, dpx, tiff or png"):
        formats.write_frame(frame, tmp_path / "out")
    if suffix != ".jpg":
        assert (np.rint(frame.pixels * 255) == cv2.imread(str(path))[..., ::-1]).all()


def test_png_is_cut_and_filled_to_the_display_window(tmp_path: Path) -> None:
    path, out = tmp_path / "a.png", tmp_path / "b.png"
    png(path, np.full((4, 4, 3), 200, "u1"))
    frame = formats.read_frame(path, 1, color_space="any")
    moved = Frame(
        number=1,
        pixels=frame.pixels,
        channels=frame.channels,
        data_window=Box(-2, 1, 2, 5),
        display_window=Box(0, 0, 3, 6),
        color_space="any",
        sample_type="uint8",
        header=frame.header,
    )
    formats.write_frame(moved, out)
    expected = np.zeros((6, 3), int)
    expected[1:5, :2] = 200
    assert (cv2.imread(str(out))[..., 0] == expected).all()


def test_codes_round_to_nearest_and_stay_in_range() -> None:
    values = np.array([-1, 0, 0.499 / 255, 0.501 / 255, 1, 2, np.nan, np.inf, -np.inf], "f4")
    assert to_codes(values, 255).tolist() == [0, 0, 0, 1, 255, 255, 0, 255, 0]
    every = (np.arange(65536) / 65535).astype("f4")
    assert (to_codes(every, 65535) == np.arange(65536)).all()
