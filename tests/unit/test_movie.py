"""Movies: every frame, any order, the same bits, in the values that the standards give."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wetgate.io import formats, movie
from wetgate.io.options import Limits
from wetgate.io.sandbox import Reader
from wetgate.io.ycc import Coding, rgb_from_ycc, upsample
from wetgate.model.errors import FrameReadError, OutputError, UnsupportedImage

av = pytest.importorskip("av", reason="the movie extra is not installed")

WIDTH, HEIGHT, COUNT = 64, 48, 24


def encode(
    path: Path, codec: str, pixel_format: str, *, gap: int = 0, **options: str
) -> list[list[np.ndarray]]:
    """Encode random planes; return them. `gap` delays every frame after the tenth."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    rng = np.random.default_rng(5)
    made: list[list[np.ndarray]] = []
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.options = options
        for index in range(COUNT):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
            bits = frame.format.components[0].bits
            dtype = np.dtype("u1" if bits <= 8 else "<u2")
            planes = []
            for plane in frame.planes:
                row = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
                shape = (plane.height, plane.width)
                row[:, : plane.width] = rng.integers(16 << (bits - 8), 235 << (bits - 8), shape)
                plane.update(row.tobytes())
                planes.append(row[:, : plane.width].copy())
            made.append(planes)
            frame.pts = index + (gap if index > 10 else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made


def test_rgb_codes_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    made = encode(path, "ffv1", "gbrp10le")
    for number in (1, 9, COUNT):
        frame = formats.read_frame(path, number, color_space="any")
        assert frame.channels == ("R", "G", "B")
        assert frame.sample_type == "uint10"
        green, blue, red = made[number - 1]
        expected = np.stack([red, green, blue], axis=2).astype("f4") / np.float32(1023)
        assert frame.pixels.tobytes() == expected.tobytes()


def test_ycc_444_follows_the_standard(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    made = encode(path, "ffv1", "yuv444p10le")
    frame = formats.read_frame(path, 3, color_space="any")
    y, cb, cr = (p.astype(float) for p in made[2])
    luma, blue, red = (y - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    expected = np.stack(
        # BT.601-7, solved by hand: 2 (1 - 0.299), 2 (1 - 0.114)
        [luma + 1.402 * red, luma - 0.344136286 * blue - 0.714136286 * red, luma + 1.772 * blue],
        axis=2,
    )
    assert np.abs(frame.pixels - expected).max() < 2e-6
    assert frame.header.attributes["movie:matrix"] == "bt601 (assumed)"
    assert frame.header.attributes["movie:range"] == "legal (assumed)"


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options", "sample_type"),
    [
        ("p.mov", "prores_ks", "yuv422p10le", {}, "uint10"),
        ("h.mp4", "libx264", "yuv420p", {"g": "8", "bf": "2"}, "uint8"),
        ("h10.mp4", "libx264", "yuv420p10le", {"g": "250", "bf": "3"}, "uint10"),
        ("f.mkv", "ffv1", "yuv422p10le", {}, "uint10"),
    ],
)
def test_any_order_gives_the_same_bits(
    tmp_path: Path,
    name: str,
    codec: str,
    pixel_format: str,
    options: dict[str, str],
    sample_type: str,
) -> None:
    path = tmp_path / name
    encode(path, codec, pixel_format, **options)
    opened = movie.Movie(path, Limits())
    assert opened.count == COUNT
    assert opened.frame_rate == Fraction(24000, 1001)
    forward = [opened.read(n).samples.tobytes() for n in range(1, COUNT + 1)]
    assert len(set(forward)) == COUNT
    for number in [*range(COUNT, 0, -1), *np.random.default_rng(0).permutation(COUNT) + 1]:
        assert opened.read(int(number)).samples.tobytes() == forward[number - 1]
    assert opened.info().sample_type == sample_type
    with Reader() as reader:
        frame = reader.read_frame(path, 7, color_space="any")
        assert frame.pixels.tobytes() == forward[6]
        assert reader.read_info(path).header.attributes["movie:frames"] == COUNT


def test_alpha_comes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    made = encode(path, "ffv1", "yuva444p10le")
    frame = formats.read_frame(path, 2, color_space="any")
    assert frame.channels == ("R", "G", "B", "A")
    assert (np.rint(frame.pixels[..., 3] * 1023) == made[1][3]).all()


def test_a_frame_beyond_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode(path, "ffv1", "gray")
    assert formats.read_frame(path, COUNT, color_space="any").channels == ("Y",)
    for number in (0, COUNT + 1):
        with pytest.raises(FrameReadError, match=f"frame {number}: no such frame.*1-{COUNT}"):
            formats.read_frame(path, number, color_space="any")


def test_a_variable_frame_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode(path, "ffv1", "gray", gap=1)
    with pytest.raises(UnsupportedImage, match="variable frame rate: frame 12"):
        formats.read_info(path)


def test_a_truncated_movie_fails_the_lost_frames_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode(path, "ffv1", "gbrp10le")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    opened = movie.Movie(path, Limits())
    assert 10 < opened.count < COUNT
    assert opened.read(5).samples.shape == (HEIGHT, WIDTH, 3)


def test_rubbish_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 20)
    with pytest.raises(FrameReadError):
        formats.read_info(path)


def test_movies_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    encode(path, "ffv1", "gray")
    frame = formats.read_frame(path, 1, color_space="any")
    with pytest.raises(OutputError, match="movies are not written; expected a sequence"):
        formats.write_frame(frame, tmp_path / "b.mkv")


def test_without_pyav_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3")
    with pytest.raises(UnsupportedImage, match=r'pip install "wetgate\[movie\]"'):
        formats.read_info(path)


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "bt2020"])
@pytest.mark.parametrize("full", [True, False])
def test_gray_and_white_are_neutral(matrix: str, full: bool) -> None:
    coding = Coding(bits=10, matrix=matrix, matrix_stated=True, full_range=full, range_stated=True)
    black, white = (0, 1023) if full else (64, 940)
    luma = np.array([[black, white]], "f4")
    found = rgb_from_ycc([luma, np.full((1, 2), 512, "f4"), np.full((1, 2), 512, "f4")], coding)
    assert np.allclose(found, [[[0, 0, 0], [1, 1, 1]]], atol=1e-6)


def test_chroma_is_interpolated_where_it_lies() -> None:
    ramp = np.arange(4, dtype="f4")[None]
    assert upsample(ramp, (1, 8), centered=False).tolist() == [[0, 0.5, 1, 1.5, 2, 2.5, 3, 3]]
    centered = upsample(ramp.T.copy(), (8, 1), centered=False)[:, 0]
    assert centered.tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert upsample(ramp, (1, 7), centered=True).shape == (1, 7)
