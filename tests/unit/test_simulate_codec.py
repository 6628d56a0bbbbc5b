"""Compression in the simulator: exact codes, exact conversions, the decoder's own truth."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.errors import UsageError
from wetgate.simulate.codec import CodecResult, CodecSpec, compress, encode_decode
from wetgate.simulate.ycc import JPEG_CODING, planes_from_rgb, subsample, video_coding

av = pytest.importorskip("av", reason="the movie extra is not installed")

Pixels = NDArray[np.float32]


def clip(count: int = 7, height: int = 70, width: int = 101) -> Pixels:
    """Smooth color and a moving hard edge."""
    y, x = np.mgrid[0:height, 0:width]
    frames = []
    for k in range(count):
        wave = 0.5 + 0.25 * np.sin((x + 2 * k) / 9) * np.cos(y / 8)
        edge = 0.3 + 0.4 * ((x + 3 * k) // 24 % 2)
        frames.append(np.stack((wave, edge * 0.9, 0.5 + 0.3 * np.cos((x + y) / 17)), axis=-1))
    return np.stack(frames).astype(np.float32)


def psnr(result: CodecResult, frames: Pixels) -> float:
    return float(-10 * np.log10(np.mean((result.frames.astype(np.float64) - frames) ** 2)))


class TestConversion:
    @pytest.mark.parametrize("matrix", ["bt709", "bt601"])
    def test_codes_of_primaries_are_those_of_the_standard(self, matrix: str) -> None:
        # Code values of 100 % bars, 8 bit: white, black, red, blue as tabled for each standard.
        table = {
            "bt709": [(235, 128, 128), (16, 128, 128), (63, 102, 240), (32, 240, 118)],
            "bt601": [(235, 128, 128), (16, 128, 128), (81, 90, 240), (41, 240, 110)],
        }
        for color, codes in zip(
            [(1, 1, 1), (0, 0, 0), (1, 0, 0), (0, 0, 1)], table[matrix], strict=True
        ):
            flat = np.broadcast_to(np.float32(color), (1, 6, 8, 3)).astype(np.float32)
            planes = planes_from_rgb(flat, video_coding(matrix))
            found = planes.luma[0, 3, 4], planes.blue[0, 1, 2], planes.red[0, 1, 2]
            assert found == codes

    def test_a_gray_ramp_comes_back_within_half_a_code(self) -> None:
        ramp = np.linspace(-0.07, 1.08, 252, dtype=np.float32)[None, None, :, None]
        frames = np.broadcast_to(ramp, (1, 4, 252, 3)).astype(np.float32)
        for coding, span in ((video_coding("bt709"), 219), (JPEG_CODING, 255)):
            low, high = (0, 1) if coding.full_range else (-16 / 219, 239 / 219)
            back = planes_from_rgb(frames, coding).to_rgb()
            assert np.abs(back - np.clip(frames, low, high)).max() * span <= 0.501

    @pytest.mark.parametrize("centered", [False, True])
    def test_subsampled_chroma_lies_where_it_is_said_to(self, centered: bool) -> None:
        y, x = np.mgrid[0:20, 0:30].astype(np.float64)
        half = subsample(3 * x + 5 * y, centered=centered)
        rows, columns = np.mgrid[0:10, 0:15]
        expected = 3 * (2 * columns + 0.5 * centered) + 5 * (2 * rows + 0.5)
        assert half[:, 1:-1] == pytest.approx(expected[:, 1:-1])

    def test_odd_sizes_repeat_the_last_row_and_column(self) -> None:
        plane = np.arange(15, dtype=np.float64).reshape(3, 5)
        even = np.pad(plane, ((0, 1), (0, 1)), mode="edge")
        assert np.array_equal(subsample(plane, centered=True), subsample(even, centered=True))
        assert subsample(plane, centered=False).shape == (2, 3)


class TestVideo:
    def test_lossless_x264_gives_back_every_code(self) -> None:
        frames = clip()
        result = encode_decode(frames, codec="h264", crf=0)
        given = planes_from_rgb(frames, video_coding("bt709"))
        for name in ("luma", "blue", "red"):
            assert np.array_equal(getattr(result.planes, name), getattr(given, name))
        assert result.frames.tobytes() == given.to_rgb().tobytes()
        assert not result.quality.any()

    def test_frames_come_back_in_their_order_with_b_frames(self) -> None:
        frames = np.linspace(0.1, 0.9, 12, dtype=np.float32)[:, None, None, None]
        flat = np.broadcast_to(frames, (12, 32, 48, 3)).astype(np.float32)
        for settings in ({"codec": "h264", "crf": 20}, {"codec": "mpeg2", "qscale": 3}):
            result = encode_decode(flat, **settings)
            assert "B" in result.frame_types or settings["codec"] == "h264"
            assert result.frames.mean(axis=(1, 2, 3)) == pytest.approx(frames.ravel(), abs=0.02)
        assert set(encode_decode(clip(12), codec="mpeg2", qscale=3).frame_types) == set("IPB")

    def test_more_quantisation_loses_more_and_says_so(self) -> None:
        frames = clip()
        results = [encode_decode(frames, codec="h264", crf=crf) for crf in (18, 30, 42)]
        losses = [psnr(r, frames) for r in results]
        assert losses[0] > losses[1] + 1 > losses[2] + 2
        means = [float(r.quality.mean()) for r in results]
        assert means[0] < means[1] - 6
        assert means[1] < means[2] - 6
        assert results[0].bytes > results[1].bytes > results[2].bytes

    def test_mpeg2_states_the_quantiser_that_was_asked_for(self) -> None:
        for qscale in (2, 7, 31):
            result = encode_decode(clip(), codec="mpeg2", qscale=qscale)
            assert result.quality_map.shape == (7, 5, 7)
            assert np.all(result.quality_map == qscale)

    def test_quality_is_that_of_each_macroblock_and_mean_of_the_frame(self) -> None:
        result = encode_decode(clip(), codec="h264", crf=30)
        assert result.quality_map.shape == (7, 5, 7)
        assert result.quality_map.std() > 0.5
        assert result.quality == pytest.approx(result.quality_map.mean(axis=(1, 2)))

    def test_a_bitrate_is_kept_to(self) -> None:
        noise = np.random.default_rng(1).standard_normal((48, 70, 101, 3)).astype(np.float32)
        frames = clip(48) + np.float32(0.04) * noise
        for codec in ("h264", "mpeg2"):
            result = encode_decode(frames, codec=codec, bitrate=400, frame_rate=Fraction(24))
            assert result.bytes * 8 / 2 / 1000 == pytest.approx(400, rel=0.25)

    def test_every_run_gives_the_same_bits(self) -> None:
        # At sizes that are no multiple of 16, x264 depended on the alignment of memory.
        frames = clip(10, 101, 131)
        for settings in ({"codec": "h264", "crf": 40}, {"codec": "mpeg2", "bitrate": 500}):
            digests = set()
            for run in range(6):
                junk = [np.full(1000 * n + run, run, np.uint8) for n in range(1, 300, 13)]
                del junk
                digests.add(encode_decode(frames, generations=2, **settings).planes.luma.tobytes())
            assert len(digests) == 1

    def test_generations_are_codings_of_the_codes_of_the_one_before(self) -> None:
        frames = clip()
        twice = encode_decode(frames, codec="mpeg2", qscale=9, generations=2)
        once = encode_decode(frames, codec="mpeg2", qscale=9)
        assert np.array_equal(twice.generation_quality[0], once.quality)
        # Its own codes back through R'G'B' are the same codes: the conversion loses nothing
        # beyond rounding, hence coding the first result again is the second generation.
        assert psnr(twice, frames) < psnr(once, frames)
        again = encode_decode(once.frames, codec="mpeg2", qscale=9)
        assert np.abs(again.planes.luma.astype(int) - twice.planes.luma).mean() < 0.2

    def test_interlaced_coding_keeps_fields_apart(self) -> None:
        # Two fields of a different time: coding them as one frame is dear, as fields cheap.
        moving = clip(8, 64, 96)
        woven = moving[0::2].copy()
        woven[:, 1::2] = moving[1::2, 1::2]
        flat = encode_decode(woven, codec="mpeg2", qscale=6)
        fields = encode_decode(woven, codec="mpeg2", qscale=6, interlaced=True)
        assert fields.bytes < flat.bytes
        assert fields.quality_map.shape == flat.quality_map.shape
        assert np.all(fields.quality_map == 6)

    def test_codes_are_those_another_reader_finds(self, tmp_path: Path) -> None:
        from wetgate.io.movie import load
        from wetgate.io.options import Limits

        frames = clip(3, 64, 96)
        planes = planes_from_rgb(frames, video_coding("bt709"))
        path = tmp_path / "clip.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=24)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            stream.codec_context.colorspace = 1
            stream.codec_context.color_range = 1
            for k in range(3):
                packed = [p[k].ravel() for p in (planes.luma, planes.blue, planes.red)]
                frame = av.VideoFrame.from_ndarray(
                    np.concatenate(packed).reshape(96, 96), format="yuv420p"
                )
                frame.colorspace, frame.color_range = 1, 1
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        read = load(path, 2, limits=Limits())
        assert read.info.header.attributes["movie:matrix"] == "bt709"
        assert read.samples == pytest.approx(planes.to_rgb()[1], abs=1e-6)


class TestJpeg:
    def test_pixels_are_those_of_another_decoder(self) -> None:
        import cv2

        frames = clip(1, 64, 96)
        result = encode_decode(frames, codec="jpeg", quality=40)
        codes = np.rint(frames[0] * 255).astype(np.uint8)
        settings = [cv2.IMWRITE_JPEG_QUALITY, 40]
        file = cv2.imencode(".jpg", np.ascontiguousarray(codes[..., ::-1]), settings)[1]
        theirs = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)
        apart = np.abs(np.clip(result.frames[0], 0, 1) * 255 - theirs)
        # Their inverse DCT and their chroma interpolation round; ours are FFmpeg's and exact.
        assert apart.mean() < 0.5
        assert apart.max() < 4
        assert result.frame_bytes[0] == file.size

    def test_each_frame_stands_by_itself(self) -> None:
        frames = clip(4)
        together = encode_decode(frames, codec="jpeg", quality=25)
        alone = encode_decode(frames[2:3], codec="jpeg", quality=25)
        assert alone.frames[0].tobytes() == together.frames[2].tobytes()
        assert set(together.frame_types) == {"I"}
        assert np.all(together.quality == 25)

    def test_an_odd_size_is_kept(self) -> None:
        result = encode_decode(clip(1, 33, 47), codec="jpeg", quality=90)
        assert result.frames.shape == (1, 33, 47, 3)
        assert result.planes.blue.shape == (1, 17, 24)
        assert psnr(result, clip(1, 33, 47)) > 25


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"codec": "h264"}, "crf, bitrate"),
            ({"codec": "h264", "qscale": 4}, "crf, bitrate"),
            ({"codec": "mpeg2", "qscale": 4, "bitrate": 100}, "qscale, bitrate"),
            ({"codec": "jpeg", "quality": 0}, "1 to 100"),
            ({"codec": "h264", "crf": 60}, "0 to 51"),
            ({"codec": "vp9", "crf": 30}, "h264, mpeg2, jpeg"),
            ({"codec": "h264", "crf": 30, "generations": 0}, "1 or more"),
            ({"codec": "jpeg", "quality": 5, "interlaced": True}, "no fields"),
        ],
    )
    def test_settings_that_do_not_fit_are_named(self, settings: dict, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            CodecSpec(**settings)

    def test_values_that_are_not_finite_are_refused(self) -> None:
        frames = clip(2)
        frames[1, 3, 3] = np.nan
        with pytest.raises(UsageError, match="NaN"):
            compress(frames, CodecSpec(crf=20))

    def test_a_single_picture_is_no_clip(self) -> None:
        with pytest.raises(UsageError, match="frame, height, width"):
            compress(clip(1)[0], CodecSpec(crf=20))

    def test_without_the_extra_the_remedy_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(UsageError, match=r"wetgate\[movie\]"):
            encode_decode(clip(1), codec="h264", crf=20)
