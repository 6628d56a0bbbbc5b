"""Whole ranges: telecine, interlace and compression of a damaged shot."""

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.errors import UsageError
from wetgate.simulate import DamagedShot, DamageSpec, TelecineSpec, damage_range, preset
from wetgate.simulate.telecine import cadence, film_frame, weave_fields

Pixels = NDArray[np.float32]


def scene(number: int) -> Pixels:
    y, x = np.mgrid[0:48, 0:64]
    wave = 0.4 + 0.3 * np.sin((x + 5 * number) / 6) * np.cos(y / 5)
    return np.stack((wave, 0.9 * wave, 0.6 * wave), axis=-1).astype(np.float32)


class TestCadence:
    def test_two_three_pull_down_is_the_published_table(self) -> None:
        # SMPTE RP 197: A, B, C, D fill AA BB BC CD DD.
        table = cadence(TelecineSpec(), (10, 11, 12, 13))
        assert [(f.top, f.bottom) for f in table] == [
            (10, 10),
            (11, 11),
            (11, 12),
            (12, 13),
            (13, 13),
        ]
        assert [f.is_mixed for f in table] == [False, False, True, True, False]

    def test_the_bottom_field_first_swaps_the_mixed_frames(self) -> None:
        top = cadence(TelecineSpec(), range(8))
        bottom = cadence(TelecineSpec(order="bff"), range(8))
        assert [(f.bottom, f.top) for f in bottom] == [(f.top, f.bottom) for f in top]

    @pytest.mark.parametrize(
        ("pattern", "count"), [("2:3", 30), ("3:2", 30), ("2:2", 24), ("interlace", 12)]
    )
    def test_a_second_of_film_becomes_so_many_frames(self, pattern: str, count: int) -> None:
        table = cadence(TelecineSpec(pattern=pattern), range(24))
        assert [f.index for f in table] == list(range(count))
        # Fields run on in time.
        fields = [n for f in table for n in (f.top, f.bottom)]
        assert fields == sorted(fields)

    def test_a_phase_begins_within_the_pattern(self) -> None:
        whole = [n for f in cadence(TelecineSpec(), range(12)) for n in (f.top, f.bottom)]
        late = [n for f in cadence(TelecineSpec(phase=3), range(12)) for n in (f.top, f.bottom)]
        assert late == whole[3 : 3 + len(late)]

    def test_too_short_a_range_is_refused(self) -> None:
        with pytest.raises(UsageError, match="no video frame"):
            cadence(TelecineSpec(pattern="interlace"), (1,))


class TestFields:
    def test_rows_come_from_the_stated_frames(self) -> None:
        shot = DamagedShot(scene, preset("telecine", 3))
        made = damage_range(shot, range(1001, 1009))
        assert made.table is not None
        assert made.outputs == tuple(range(1001, 1011))
        for number, video in zip(made.outputs, made.table, strict=True):
            frame = made[number]
            assert np.array_equal(frame[0::2], shot[video.top].pixels[0::2])
            assert np.array_equal(frame[1::2], shot[video.bottom].pixels[1::2])

    def test_the_cadence_gives_back_the_film(self) -> None:
        shot = DamagedShot(scene, preset("telecine", 3))
        made = damage_range(shot, range(1001, 1009))
        assert made.table is not None
        video = [made[n] for n in made.outputs]
        for number in range(1001, 1009):
            assert film_frame(made.table, video, number).tobytes() == shot[number].pixels.tobytes()

    def test_a_frame_that_lost_a_field_is_named(self) -> None:
        table = cadence(TelecineSpec(phase=1), range(4))
        video = [scene(0)] * len(table)
        with pytest.raises(UsageError, match="film frame 0"):
            film_frame(table, video, 0)

    def test_combing_is_where_there_is_motion(self) -> None:
        comb = weave_fields(scene(1), scene(2))
        still = weave_fields(scene(1), scene(1))
        across = np.abs(np.diff(comb, axis=0)).mean(), np.abs(np.diff(still, axis=0)).mean()
        assert across[0] > 1.5 * across[1]


class TestCompression:
    def test_the_codec_sees_the_damaged_frames_and_nothing_else(self) -> None:
        pytest.importorskip("av", reason="the movie extra is not installed")
        from wetgate.simulate.codec import compress

        shot = DamagedShot(scene, preset("vhs-h264", 5))
        seen = []
        made = damage_range(shot, range(1, 7), on_frame=seen.append)
        assert [f.number for f in seen] == list(range(1, 7))
        assert shot.spec.codec is not None
        alone = compress([shot[n].pixels for n in range(1, 7)], shot.spec.codec)
        assert made.codec is not None
        assert made.codec.planes.luma.tobytes() == alone.planes.luma.tobytes()
        expected = np.clip(np.rint(alone.frames[3] * 255), 0, 255)
        assert np.array_equal(np.rint(made[4] * 255), expected)

    def test_fields_come_after_the_codec(self) -> None:
        pytest.importorskip("av", reason="the movie extra is not installed")
        from dataclasses import replace

        spec = replace(preset("mpeg2-medium", 5), telecine=TelecineSpec())
        made = damage_range(DamagedShot(scene, spec), range(1, 5))
        assert len(made.outputs) == 5
        assert np.array_equal(made[3][1::2], made.film(3)[1::2])
        assert np.array_equal(made[3][0::2], made.film(2)[0::2])

    def test_each_level_of_a_codec_loses_more(self) -> None:
        pytest.importorskip("av", reason="the movie extra is not installed")
        for name in ("h264", "mpeg2", "jpeg"):
            losses = []
            for level in ("light", "medium", "heavy"):
                shot = DamagedShot(scene, preset(f"{name}-{level}", 1))
                made = damage_range(shot, range(1, 5))
                apart = made[2].astype(np.float64) - shot[2].truth.clean
                losses.append(float(np.sqrt((apart**2).mean())))
            assert losses == sorted(losses)
            assert losses[2] > 1.5 * losses[0]

    def test_a_codec_wants_display_codes(self) -> None:
        from wetgate.simulate.codec import CodecSpec

        with pytest.raises(ValueError, match="8-bit"):
            DamageSpec(encoding="video", bits=10, codec=CodecSpec(crf=20))
