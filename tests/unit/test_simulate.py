"""The damage simulator against its declared laws."""

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.errors import UsageError
from wetgate.simulate import (
    PRESETS,
    CameraSpec,
    DamagedShot,
    DamageSpec,
    DirtSpec,
    GrainSpec,
    Layer,
    WeaveSpec,
    damage_shot,
    expand_highlights,
    log_decode,
    log_encode,
    preset,
)
from wetgate.simulate.camera import travel
from wetgate.simulate.film import grain_field
from wetgate.simulate.random import Domain, stream
from wetgate.simulate.resample import sample_grid
from wetgate.simulate.weave import weave_offset

Pixels = NDArray[np.float32]

MOVING = CameraSpec(scale=1.3, pan=(1.7, -0.6), zoom=0.99, shake=1.2)


def photo(height: int = 160, width: int = 220) -> Pixels:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = 0.3 + 0.1 * np.sin(x / 7) * np.cos(y / 5)
    return np.stack((waves, waves * 0.8, waves * 0.5), axis=-1).astype(np.float32)


def full_damage() -> DamageSpec:
    return DamageSpec(
        seed=11, size=(96, 64), camera=MOVING, weave=WeaveSpec(), grain=GrainSpec(), dirt=DirtSpec()
    )


class TestDeterminism:
    def test_a_frame_alone_has_the_bits_it_has_in_a_range(self) -> None:
        ranged = list(damage_shot(photo(), full_damage(), range(1001, 1006)))
        for number in (1005, 1002):
            alone = DamagedShot(photo(), full_damage())[number]
            inside = ranged[number - 1001]
            assert inside.number == number
            assert alone.pixels.tobytes() == inside.pixels.tobytes()
            assert alone.truth.matte.tobytes() == inside.truth.matte.tobytes()

    def test_frames_and_seeds_differ(self) -> None:
        first, second = damage_shot(photo(), full_damage(), (1001, 1002))
        assert not np.array_equal(first.pixels, second.pixels)
        assert stream(1, Domain.GRAIN, 5).random() != stream(2, Domain.GRAIN, 5).random()
        assert stream(1, Domain.GRAIN, 5).random() != stream(1, Domain.DIRT, 5).random()
        assert stream(1, Domain.GRAIN, 5, 0).random() != stream(1, Domain.GRAIN, 5, 1).random()

    def test_neighboring_streams_do_not_overlap(self) -> None:
        ahead = stream(3, Domain.GRAIN, 1).random(40_000)
        following = stream(3, Domain.GRAIN, 2).random(8)
        assert not np.isin(following, ahead).any()


class TestGrain:
    def test_the_variance_follows_the_declared_law_of_density(self) -> None:
        spec = GrainSpec(granularity=0.04, floor=0.01, channel_gain=(1.0, 0.7, 1.6))
        for code in (95, 445, 685, 900):
            flat = np.full((256, 256, 3), code / 1023, np.float32)
            shot = DamagedShot(
                lambda _, flat=flat: flat,
                DamageSpec(encoding="as-is", grain=spec, bits=None, seed=code),
            )
            measured = (shot[1].pixels - flat).astype(np.float64).std(axis=(0, 1))
            density = code * 0.002
            expected = np.sqrt(0.01**2 + 0.04**2 * density) / 0.002 / 1023 * np.array((1, 0.7, 1.6))
            # 65,536 correlated samples: about 1 % of standard error.
            assert measured == pytest.approx(expected, rel=0.04)

    @pytest.mark.parametrize("radius", [0.0, 0.7, 1.4])
    def test_the_spectrum_is_the_declared_one(self, radius: float) -> None:
        spec = GrainSpec(radius=radius)
        size = 128
        power = np.zeros((size, size))
        window = np.outer(np.hanning(size), np.hanning(size))
        for number in range(24):
            field = grain_field(spec, 5, number, (size, size))[..., 0].astype(np.float64)
            power += np.abs(np.fft.fft2(field * window)) ** 2 / np.sum(window**2) / 24
        frequency = np.fft.fftfreq(size)
        declared = np.outer(spec.spectrum(frequency), spec.spectrum(frequency))
        ring = np.hypot(*np.meshgrid(frequency, frequency))
        for low, high in ((0.02, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4)):
            band = (ring >= low) & (ring < high)
            # Any window leaks a little; only bands above its leakage are compared.
            if declared[band].mean() > 0.01:
                assert power[band].mean() == pytest.approx(declared[band].mean(), rel=0.06)

    def test_the_spectrum_of_a_wide_aperture_is_the_gaussian_closed_form(self) -> None:
        radius = 1.4
        frequency = np.linspace(0, 0.25, 9)
        closed = 2 * np.sqrt(np.pi) * radius * np.exp(-((2 * np.pi * radius * frequency) ** 2))
        assert GrainSpec(radius=radius).spectrum(frequency) == pytest.approx(closed, abs=2e-3)

    def test_channels_are_correlated_as_declared(self) -> None:
        field = grain_field(GrainSpec(correlation=0.4, radius=0.5), 2, 9, (300, 300))
        matrix = np.corrcoef(field.reshape(-1, 3).T)
        assert matrix[np.triu_indices(3, 1)] == pytest.approx([0.4] * 3, abs=0.02)
        assert field.reshape(-1, 3).std(axis=0) == pytest.approx([1.0] * 3, abs=0.02)

    def test_grain_is_new_on_every_frame(self) -> None:
        here, there = (grain_field(GrainSpec(), 2, n, (200, 200)).ravel() for n in (1, 2))
        assert abs(np.corrcoef(here, there)[0, 1]) < 0.02


class TestWeave:
    def test_variance_and_memory_are_the_declared_ones(self) -> None:
        spec = WeaveSpec(drift=(0.5, 0.8), jitter=(0.2, 0.1), memory=0.8)
        path = np.array([weave_offset(spec, seed, n) for seed in range(40) for n in range(60)])
        tracks = path.reshape(40, 60, 2)
        assert tracks.mean(axis=(0, 1)) == pytest.approx([0, 0], abs=0.12)
        expected = np.array((0.5**2 + 0.2**2, 0.8**2 + 0.1**2))
        assert (tracks**2).mean(axis=(0, 1)) == pytest.approx(expected, rel=0.12)
        for lag in (1, 3):
            covariance = (tracks[:, lag:] * tracks[:, :-lag]).mean(axis=(0, 1))
            assert covariance == pytest.approx(np.array((0.25, 0.64)) * 0.8**lag, rel=0.3)

    def test_weave_displaces_a_clean_shot_by_the_stated_amount(self) -> None:
        ramp = np.tile(np.arange(80, dtype=np.float32)[:, None], (1, 3))[None].repeat(60, 0) / 100
        spec = DamageSpec(encoding="as-is", weave=WeaveSpec(), bits=None)
        frame = DamagedShot(lambda _: ramp, spec)[1007]
        inner = (slice(8, -8), slice(8, -8))
        moved = (ramp[inner] - frame.pixels[inner]) * 100
        assert moved == pytest.approx(np.full_like(moved, frame.truth.weave[0]), abs=1e-3)


class TestDirt:
    def test_the_matte_is_exactly_where_codes_changed(self) -> None:
        spec = DamageSpec(seed=3, size=(96, 64), camera=MOVING, grain=GrainSpec(), dirt=DirtSpec())
        without = DamageSpec(seed=3, size=(96, 64), camera=MOVING, grain=GrainSpec())
        seen = 0
        for number in range(1001, 1006):
            dirty = DamagedShot(photo(), spec)[number]
            plain = DamagedShot(photo(), without)[number].pixels
            assert dirty.truth.undirtied.tobytes() == plain.tobytes()
            assert np.array_equal(dirty.truth.matte, (dirty.pixels != plain).any(axis=-1))
            assert not dirty.truth.matte[dirty.truth.dirt_coverage == 0].any()
            seen += int(dirty.truth.matte.sum())
        assert seen > 50

    def test_dirt_lives_for_one_frame(self) -> None:
        flat = np.full((120, 160, 3), 0.4, np.float32)
        spec = DamageSpec(encoding="as-is", dirt=DirtSpec(specks=25, hairs=2))
        here, there = (f.truth.matte for f in damage_shot(lambda _: flat, spec, (1, 2)))
        chance = here.mean() * there.mean()
        assert (here & there).mean() < chance + 0.01
        assert here.any()
        assert there.any()

    def test_counts_follow_the_declared_mean_and_both_kinds_occur(self) -> None:
        flat = np.full((400, 400, 3), 0.4, np.float32)
        dirt = DirtSpec(specks=12, hairs=0, radius=1.5, opacity=(1, 1))
        shot = DamagedShot(lambda _: flat, DamageSpec(encoding="as-is", dirt=dirt, bits=None))
        import cv2

        pieces, dark, bright = 0, 0, 0
        for number in range(60):
            frame = shot[number]
            # Coverage by shape: connected regions, bar the few that touch by chance.
            pieces += cv2.connectedComponents(frame.truth.matte.astype(np.uint8))[0] - 1
            dark += int((frame.pixels < 0.35).any(-1).sum())
            bright += int((frame.pixels > 0.45).any(-1).sum())
        assert pieces / 60 == pytest.approx(12, rel=0.15)
        assert dark > bright > 0


class TestCamera:
    def test_the_flow_is_exact_on_a_ramp(self) -> None:
        y, x = np.mgrid[0:300, 0:400].astype(np.float32)
        ramp = np.stack((x, y, x + y), axis=-1) / np.float32(400)
        spec = DamageSpec(
            size=(120, 80), camera=MOVING, encoding="as-is", weave=WeaveSpec(), bits=None
        )
        shot = DamagedShot(ramp, spec)
        here, there = shot[1003].pixels, shot[1005].pixels
        flow = shot.flow(1003, 1005)
        rows, columns = np.mgrid[0:80, 0:120]
        # On a ramp the picture's value at any point is known without interpolation.
        step_x = (there[0, -1, 0] - there[0, 0, 0]) / 119
        step_y = (there[-1, 0, 1] - there[0, 0, 1]) / 79
        looked_x = there[0, 0, 0] + step_x * (columns + flow[..., 0])
        looked_y = there[0, 0, 1] + step_y * (rows + flow[..., 1])
        assert np.abs(looked_x - here[..., 0]).max() * 400 < 2e-3
        assert np.abs(looked_y - here[..., 1]).max() * 400 < 2e-3
        assert np.abs(flow).max() > 1

    def test_a_front_layer_moves_by_its_parallax_and_hides_the_rear(self) -> None:
        rear = np.full((200, 300, 3), 0.2, np.float32)
        front = np.full((200, 300, 3), 0.9, np.float32)
        alpha = np.zeros((200, 300), np.float32)
        alpha[80:120, 120:180] = 1
        spec = DamageSpec(
            size=(150, 100), camera=CameraSpec(pan=(2, 0)), encoding="as-is", bits=None
        )
        shot = DamagedShot((Layer(rear), Layer(front, alpha, parallax=1.5)), spec)
        flow = shot.flow(1001, 1002)
        # Center of the shot lies in the front layer, its corner in the rear one.
        assert flow[50, 75] == pytest.approx([-3.0, 0.0], abs=1e-5)
        assert flow[2, 2] == pytest.approx([-2.0, 0.0], abs=1e-5)
        assert shot[1001].pixels[50, 75] == pytest.approx([0.9] * 3, abs=1e-5)
        assert shot[1001].pixels[2, 2] == pytest.approx([0.2] * 3, abs=1e-5)

    def test_the_shake_is_smooth_and_of_the_declared_size(self) -> None:
        spec = CameraSpec(shake=2.0, first=0)
        path = np.array([travel(spec, seed, n) for seed in range(12) for n in range(240)])
        tracks = path.reshape(12, 240, 2)
        assert tracks.std() == pytest.approx(2.0, rel=0.2)
        assert np.abs(np.diff(tracks, n=2, axis=1)).max() < 0.8

    def test_a_camera_that_leaves_the_picture_is_refused(self) -> None:
        spec = DamageSpec(size=(96, 64), camera=CameraSpec(scale=1.0, pan=(40, 0)))
        with pytest.raises(UsageError, match="leaves the picture"):
            DamagedShot(photo(), spec)[1010]

    def test_a_clean_shot_has_no_known_flow(self) -> None:
        shot = DamagedShot(lambda _: photo(), DamageSpec())
        with pytest.raises(UsageError, match="not known"):
            shot.flow(1, 2)

    def test_a_camera_goes_with_a_photograph_only(self) -> None:
        with pytest.raises(UsageError, match="camera path"):
            DamagedShot(photo(), DamageSpec())


class TestSampling:
    @pytest.mark.parametrize(
        ("origin", "step"), [(10.0, 1.0), (10.37, 1.0), (9.2, 1.83), (20, 0.4)]
    )
    def test_a_ramp_is_sampled_exactly(self, origin: float, step: float) -> None:
        ramp = np.arange(120, dtype=np.float32)[None, :, None].repeat(40, 0)
        sampled = sample_grid(ramp, (30, 5), (origin, 8.0), step)
        assert sampled[2, :, 0] == pytest.approx(origin + step * np.arange(30), abs=2e-4)

    def test_no_move_gives_the_same_bits(self) -> None:
        picture = photo()
        assert np.array_equal(sample_grid(picture, (220, 160), (0.0, 0.0), 1.0), picture)

    def test_making_smaller_does_not_alias(self) -> None:
        x = np.arange(400, dtype=np.float32)
        fine = np.cos(np.pi * 0.9 * x)[None, :, None].repeat(20, 0).astype(np.float32)
        assert np.abs(sample_grid(fine, (100, 3), (40.3, 8.0), 2.5)).max() < 0.12


class TestEncoding:
    def test_log_codes_of_white_black_and_gray(self) -> None:
        codes = log_encode(np.array([[[1.0, 0.0, 0.18]]], np.float32)) * 1023
        # 0.18 by hand: 685 + 300 log10(0.18 * (1 - b) + b), b = 10 ** (-590 / 300).
        assert codes[0, 0] == pytest.approx([685.0, 95.0, 467.84], abs=0.01)

    def test_decode_inverts_encode(self) -> None:
        light = np.geomspace(1e-3, 12, 60, dtype=np.float32).reshape(4, 5, 3)
        assert log_decode(log_encode(light)) == pytest.approx(light, rel=2e-4, abs=2e-5)

    def test_highlights_expand_to_the_peak_with_slope_one_at_black(self) -> None:
        out = expand_highlights(np.array([0.0, 1e-4, 1.0], np.float32), 6.0)
        assert out == pytest.approx([0.0, 1e-4, 6.0], rel=1e-3)

    @pytest.mark.parametrize("bits", [8, 10, 12, 16])
    def test_codes_are_whole_numbers_in_range(self, bits: int) -> None:
        wide = np.linspace(-0.2, 1.2, 3000, dtype=np.float32).reshape(10, 100, 3)
        shot = DamagedShot(lambda _: wide, DamageSpec(encoding="as-is", bits=bits))
        codes = shot[1].pixels.astype(np.float64) * (2**bits - 1)
        assert np.abs(codes - np.rint(codes)).max() < 0.01
        assert (codes.min(), codes.max()) == (0, 2**bits - 1)

    def test_white_noise_is_clipped_only_with_codes(self) -> None:
        dark = np.full((200, 200, 3), 0.02, np.float32)
        clipped = DamagedShot(lambda _: dark, preset("awgn-20", 1))[1].pixels
        free = DamagedShot(lambda _: dark, preset("awgn-20-float", 1))[1].pixels
        assert clipped.min() == 0
        assert free.min() < -0.1
        assert (free - dark).std() == pytest.approx(20 / 255, rel=0.01)
        assert clipped.mean() > 0.035

    def test_an_unknown_preset_names_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match="film-print"):
            preset("film-noir", 1)
        assert all(preset(name, 1).seed == 1 for name in PRESETS)
