"""Damaged shots as files, read back by another reader than the one that wrote them."""

import json
from pathlib import Path

import numpy as np
import pytest
from wetgate.color.config import load_config
from wetgate.io.formats import read_frame, read_info
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import (
    ColorSpaceUnknown,
    FrameReadError,
    OutputError,
    TargetExists,
    UsageError,
)
from wetgate.simulate import log_encode, preset
from wetgate.simulate.files import time_code_bcd, write_shot
from wetgate.simulate.source import open_clean, slow_pan

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "install" / "sample" / "dandelions.jpg"
SRGB = "sRGB Encoded Rec.709 (sRGB)"


def make(out: Path, name: str, frames: str = "1001-1002", truth: Path | None = None) -> None:
    source = open_clean(
        str(PHOTO),
        preset(name, 7),
        config=load_config(),
        frames=FrameRange.from_str(frames),
        input_space=SRGB,
        size=(160, 90),
    )
    done = list(write_shot(source, out, config=load_config(), truth=truth))
    assert done == list(FrameRange.from_str(frames))


def pixels(path: Path) -> np.ndarray:
    return read_frame(path, 1, color_space="Raw").pixels


class TestFilm:
    def test_the_plate_is_what_a_scanner_would_write(self, tmp_path: Path) -> None:
        import OpenImageIO as oiio

        make(tmp_path, "film-print")
        file = oiio.ImageInput.open(str(tmp_path / "plate.1002.dpx"))
        spec = file.spec()
        assert (spec.width, spec.height, spec.nchannels) == (160, 90, 3)
        assert spec.getattribute("oiio:BitsPerSample") == 10
        assert spec.getattribute("dpx:TimeCode") == "01:00:00:01"
        assert spec.getattribute("dpx:FrameRate") == 24
        assert spec.getattribute("dpx:Transfer") == "Logarithmic"
        assert (tmp_path / "plate.1002.dpx").read_bytes()[:4] == b"SDPX"
        # Their reader widens 10 bits to 16 by repeating bits; codes must agree.
        theirs = np.asarray(file.read_image("uint16")).reshape(90, 160, 3) >> 6
        ours = np.rint(pixels(tmp_path / "plate.1002.dpx") * 1023)
        assert np.array_equal(theirs, ours)

    def test_a_frame_alone_is_the_same_file(self, tmp_path: Path) -> None:
        make(tmp_path / "range", "film-print", "1001-1004")
        make(tmp_path / "alone", "film-print", "1001-1004x3")
        for number in (1001, 1004):
            name = f"plate.{number}.dpx"
            mine, other = (
                bytearray((tmp_path / d / name).read_bytes()) for d in ("range", "alone")
            )
            # Only the header says how long the shot is and where in it the frame stands.
            assert mine[2048:] == other[2048:]

    def test_the_truth_stands_beside_it(self, tmp_path: Path) -> None:
        make(tmp_path / "plate", "film-print", truth=tmp_path / "truth")
        plate = pixels(tmp_path / "plate" / "plate.1001.dpx")
        clean = pixels(tmp_path / "truth" / "clean" / "clean.1001.exr")
        matte = pixels(tmp_path / "truth" / "matte" / "matte.1001.exr")[..., 0]
        flow = read_frame(tmp_path / "truth" / "flow" / "flow.1001.exr", 1, color_space="Raw")
        assert set(np.unique(matte)) <= {0.0, 1.0}
        apart = (plate - clean)[matte == 0] * 1023
        assert 8 < apart.std() < 30
        assert abs(apart.mean()) < 1
        assert flow.channels == ("u", "v")  # of the layer "forward"
        record = json.loads((tmp_path / "truth" / "truth.json").read_text())
        assert record["schema"] == "wetgate.truth/2"
        assert set(record["weave_px"]) == {"1001", "1002"}
        # The picture's own motion: the camera's pan, to the left, and the weave between frames.
        weave = record["weave_px"]["1002"][0] - record["weave_px"]["1001"][0]
        pan = record["damage"]["camera"]["pan"][0]
        assert flow.pixels[45, 80, 0] == pytest.approx(weave - pan, abs=0.6)

    def test_our_film_log_is_the_cineon_space_of_the_config(self) -> None:
        light = np.geomspace(1e-3, 12, 300, dtype=np.float32).reshape(10, 10, 3)
        to_log = load_config().processor("lin_rec709_scene", "Cineon Log - Film Scan")
        assert np.abs(to_log.apply(light) - log_encode(light)).max() < 2e-6


class TestStages:
    def test_the_files_of_the_truth_undo_the_plate(self, tmp_path: Path) -> None:
        make(tmp_path / "plate", "1950s-print", truth=tmp_path / "truth")

        def truth(kind: str, *channels: str) -> np.ndarray:
            path = tmp_path / "truth" / kind / f"{kind}.1002.exr"
            frame = read_frame(path, 1002, color_space="Raw")
            return frame.pixels[..., [frame.channels.index(c) for c in channels]]

        record = json.loads((tmp_path / "truth" / "truth.json").read_text())
        assert record["schema"] == "wetgate.truth/2"
        assert set(record["frames"]) == {"1001", "1002"}
        entry = record["frames"]["1002"]
        kinds = {p.name for p in (tmp_path / "truth").iterdir() if p.is_dir()}
        assert kinds >= {"clean", "matte", "sharp", "dirt", "scratches", "scratch-matte", "weave"}
        assert kinds >= {"flow", "fade-keep", "flicker-local", "grain-sigma", "sensor-variance"}
        # By hand from the files: flicker, scratches and dirt off, then the dyes back.
        plate = pixels(tmp_path / "plate" / "plate.1002.dpx").astype(np.float64)
        flicker = entry["flicker"]
        exposure = flicker["unit"] * (flicker["stops"] + truth("flicker-local", "Y"))
        steady = flicker["pivot"] + (plate - exposure - flicker["pivot"]) / flicker["gamma"]
        left_by = truth("scratches", "keep"), truth("dirt", "keep")
        whole = (steady - truth("scratches", "add")) / np.maximum(left_by[0], 1e-3)
        whole = (whole - truth("dirt", "paint")) / np.maximum(left_by[1], 1e-3)
        matrix = np.array(entry["fade"]["crosstalk"])
        density = 1.37 - whole * 2.046 - entry["fade"]["stain"]
        left = density @ np.linalg.inv(matrix).T
        keep, resist = (
            truth("fade-keep", "cyan", "magenta", "yellow"),
            np.array(entry["fade"]["resist"]),
        )
        root = np.sqrt(keep**2 + 4 * resist * np.maximum(left, 0))
        dyes = np.where(left > 0, 2 * left / (keep + root), left / keep) @ matrix.T
        restored = (1.37 - dyes) / 2.046
        well = (left_by[0] > 0.9)[..., 0] & (left_by[1] > 0.9)[..., 0]
        clean = truth("clean", "R", "G", "B")
        before, after = (np.abs((p - clean)[well]).mean() for p in (plate, restored))
        assert after < 0.4 * before
        assert abs((restored - clean)[well].mean()) < 0.01
        assert entry["dirt"][0].keys() >= {"identity", "kind", "box", "area", "opacity", "value"}
        lens = np.load(tmp_path / "truth" / "lens.npz")
        assert lens["sigma"].shape == (90, 160)
        assert lens["kernels"].sum(axis=(1, 2)) == pytest.approx(1)

    def test_a_range_has_its_codec_and_cadence_on_record(self, tmp_path: Path) -> None:
        pytest.importorskip("av", reason="the movie extra is not installed")
        make(tmp_path / "plate", "vhs-h264", "1001-1004", truth=tmp_path / "truth")
        record = json.loads((tmp_path / "truth" / "truth.json").read_text())
        frames = record["codec"]["frames"]
        assert [frames[str(n)]["type"] for n in (1001,)] == ["I"]
        assert record["codec"]["bytes"] == sum(f["bytes"] for f in frames.values())
        quality = np.load(tmp_path / "truth" / "codec-quality.npz")["quality"]
        assert quality.shape == (4, 6, 10)
        for index, number in enumerate(range(1001, 1005)):
            assert quality[index].mean() == pytest.approx(
                frames[str(number)]["quality"][-1], abs=1e-3
            )
        coded = pixels(tmp_path / "plate" / "plate.1003.png")
        uncoded = pixels(tmp_path / "truth" / "uncoded" / "uncoded.1003.png")
        assert 0.001 < np.abs(coded - uncoded).mean() < 0.1

    def test_telecine_makes_five_files_of_four(self, tmp_path: Path) -> None:
        source = open_clean(
            str(PHOTO),
            preset("telecine", 7),
            config=load_config(),
            frames=FrameRange.from_str("1-4"),
            input_space=SRGB,
            size=(96, 64),
        )
        out, truth = tmp_path / "plate", tmp_path / "truth"
        done = list(write_shot(source, out, config=load_config(), truth=truth))
        assert done == [1, 2, 3, 4, 5]
        record = json.loads((truth / "truth.json").read_text())
        assert record["cadence"]["3"] == {"top": 2, "bottom": 3, "mixed": True}
        mixed = pixels(out / "plate.0003.png")
        for parity, number in ((0, 2), (1, 3)):
            film = pixels(truth / "uncoded" / f"uncoded.{number:04d}.png")
            assert np.array_equal(mixed[parity::2], film[parity::2])


class TestNoise:
    def test_depth_decides_the_format(self, tmp_path: Path) -> None:
        make(tmp_path / "clipped", "awgn-40")
        make(tmp_path / "free", "awgn-40-float")
        assert read_info(tmp_path / "clipped" / "plate.1001.png").sample_type == "uint8"
        assert read_info(tmp_path / "free" / "plate.1001.exr").sample_type == "float"
        assert pixels(tmp_path / "clipped" / "plate.1001.png").min() == 0
        assert pixels(tmp_path / "free" / "plate.1001.exr").min() < -0.05

    def test_a_sequence_is_damaged_in_its_own_encoding(self, tmp_path: Path) -> None:
        make(tmp_path / "clean", "awgn-10")
        source = open_clean(
            str(tmp_path / "clean"), preset("awgn-20", 3), config=load_config(), input_space=SRGB
        )
        assert source.numbers == (1001, 1002)
        list(write_shot(source, tmp_path / "noisy", config=load_config()))
        added = pixels(tmp_path / "noisy" / "plate.1001.png") - pixels(
            tmp_path / "clean" / "plate.1001.png"
        )
        assert 14 < added.std() * 255 < 20.5


class TestRefusals:
    def test_a_photograph_without_a_space_is_not_guessed(self) -> None:
        with pytest.raises(ColorSpaceUnknown, match="--input-space"):
            open_clean(str(PHOTO), preset("film-print", 7), config=load_config())

    def test_what_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        make(tmp_path, "film-grain")
        with pytest.raises(TargetExists, match="--overwrite"):
            make(tmp_path, "film-grain")

    def test_a_damaged_photograph_is_named(self, tmp_path: Path) -> None:
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(PHOTO.read_bytes()[:200])
        with pytest.raises(FrameReadError, match=r"bad\.jpg"):
            open_clean(str(bad), preset("awgn-10", 1), config=load_config(), input_space=SRGB)

    def test_a_sequence_keeps_its_size(self, tmp_path: Path) -> None:
        make(tmp_path, "film-grain")
        with pytest.raises(UsageError, match="--size"):
            open_clean(
                str(tmp_path),
                preset("awgn-10", 1),
                config=load_config(),
                input_space="cineon",
                size=(64, 64),
            )


def test_time_code_is_packed_as_decimals() -> None:
    assert f"{time_code_bcd(0):08x}" == "01000000"
    assert f"{time_code_bcd(23):08x}" == "01000023"
    assert f"{time_code_bcd(24 * 3661 + 5):08x}" == "02010105"
    assert f"{time_code_bcd(-1):08x}" == "00595923"


@pytest.mark.parametrize("size", [(960, 540), (480, 480), (320, 100)])
def test_the_pan_stays_inside_the_photograph(size: tuple[int, int], tmp_path: Path) -> None:
    from wetgate.simulate.camera import Layer, view_of

    picture = Layer(np.zeros((1242, 2208, 3), np.float32))
    numbers = range(1001, 1025)
    camera = slow_pan((2208, 1242), size, numbers)
    for number in numbers:
        for seed in range(5):
            view = view_of(camera, seed, number, size=size, layer=picture, offset=(2.5, 2.5))
            assert view.origin[0] >= 0
            assert view.origin[1] >= 0
            assert view.origin[0] + view.scale * size[0] <= 2208
            assert view.origin[1] + view.scale * size[1] <= 1242


def test_a_folder_that_cannot_be_or_is_the_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO.read_bytes())
    (tmp_path / "file").write_bytes(b"")
    source = open_clean(
        str(tmp_path / "photo.jpg"),
        preset("awgn-10", 7),
        config=load_config(),
        frames=FrameRange.from_str("1"),
        input_space=SRGB,
        size=(32, 32),
    )
    for out, truth in (("file", None), ("file/x", None), (".", None), ("out", ".")):
        there = tmp_path / truth if truth else None
        with pytest.raises(OutputError):
            list(write_shot(source, tmp_path / out, config=load_config(), truth=there))
    assert {p.name for p in tmp_path.rglob("*")} <= {"photo.jpg", "file", "out"}
