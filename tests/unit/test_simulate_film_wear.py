"""Grain, fade, scratches, flicker and weave of the simulator against their declared laws."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.simulate import (
    CameraSpec,
    DamagedShot,
    DamageSpec,
    DirtSpec,
    GrainSpec,
    WeaveSpec,
    preset,
)
from wetgate.simulate.camera import film_grid
from wetgate.simulate.fade import FadeSpec, FadeTruth, density_of, encoded_from, fade_truth
from wetgate.simulate.film import grain_field
from wetgate.simulate.flicker import FlickerSpec, flicker_truth
from wetgate.simulate.lens import bessel_j1
from wetgate.simulate.process import Series
from wetgate.simulate.random import Domain
from wetgate.simulate.resample import sample_at, sample_grid
from wetgate.simulate.scratches import ScratchSpec
from wetgate.simulate.weave import WeaveFrame, still, weave_frame

Pixels = NDArray[np.float32]


def picture(height: int = 60, width: int = 80, seed: int = 3) -> Pixels:
    rng = np.random.default_rng(seed)
    return (0.1 + 0.6 * rng.random((height, width, 3))).astype(np.float32)


def film_xy(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return film_grid(still((width, height)))


class TestSeries:
    @pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
    def test_autocorrelation_is_that_of_the_declared_process(self, memory: float) -> None:
        series = Series(memory, 40)
        path = np.array([series.at(3, Domain.FLICKER, n)[0] for n in range(240)])
        variance = (path**2).mean()
        assert variance == pytest.approx(1, abs=0.15)
        for lag in (1, 2, 4):
            shared = (path[lag:] * path[:-lag]).mean() / variance
            assert shared == pytest.approx(memory**lag, abs=0.05)

    def test_weights_give_the_closed_form_exactly(self) -> None:
        weights = Series(0.8, 1).weights()
        assert (weights**2).sum() == pytest.approx(1, abs=1e-12)
        for lag in (1, 3, 6):
            covariance = (weights[lag:] * weights[:-lag]).sum()
            assert covariance == pytest.approx(0.8**lag, abs=1e-3)

    def test_a_memory_beyond_reach_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"0\.99"):
            Series(0.999, 1)


class TestBooleanGrain:
    def test_the_spectrum_is_that_of_disks_under_the_aperture(self) -> None:
        spec = GrainSpec(radius=0.5, disk=2.5)
        frequency = np.linspace(0.02, 0.3, 8)
        v = 2 * math.pi * 2.5 * frequency
        disks = (2 * bessel_j1(v) / v) ** 2
        aperture = np.exp(-((2 * math.pi * 0.5 * frequency) ** 2))
        closed = disks * aperture * np.sinc(frequency) ** 2
        zero = np.zeros(1)
        measured = spec.spectrum_2d(frequency, np.zeros(8)) / spec.spectrum_2d(zero, zero)[0]
        assert measured == pytest.approx(closed, abs=0.012)

    def test_a_field_has_the_spectrum_and_variance_one(self) -> None:
        spec = GrainSpec(radius=0.6, disk=1.3, correlation=0.3)
        size, power = 96, np.zeros((96, 96))
        for number in range(20):
            field = grain_field(spec, 5, number, (size, size))[..., 0].astype(np.float64)
            power += np.abs(np.fft.fft2(field)) ** 2 / size**2 / 20
        assert power.mean() == pytest.approx(1, abs=0.04)
        frequency = np.fft.fftfreq(size)
        x, y = np.meshgrid(frequency, frequency)
        declared = spec.spectrum_2d(x, y)
        ring = np.hypot(x, y)
        for low, high in ((0.03, 0.1), (0.1, 0.18), (0.18, 0.26)):
            band = (ring >= low) & (ring < high)
            assert power[band].mean() == pytest.approx(declared[band].mean(), rel=0.08)

    def test_a_print_is_grainy_where_it_is_dark(self) -> None:
        dark, bright = (np.full((1, 1, 3), v, np.float32) for v in (0.2, 0.8))
        printed, negative = GrainSpec(density="print"), GrainSpec()
        assert (printed.sigma(dark) > printed.sigma(bright)).all()
        assert (negative.sigma(dark) < negative.sigma(bright)).all()
        assert printed.sigma(dark) == pytest.approx(negative.sigma(1 - dark), rel=1e-5)


class TestFade:
    SPEC = FadeSpec(keep=(0.5, 0.9, 0.7), resist=(0.06, 0.0, 0.03), uneven=0.4)

    def truth(self, spec: FadeSpec | None = None) -> FadeTruth:
        x, y = film_xy(80, 60)
        return fade_truth(spec or self.SPEC, 4, x / 39.5 - 1, y / 29.5 - 1)

    def test_it_can_be_undone(self) -> None:
        # Whiter than white and blacker than film too.
        given = (picture() * 1.6 - 0.2).astype(np.float32)
        truth = self.truth()
        assert truth.undo(truth.apply(given)) == pytest.approx(given, abs=2e-6)

    def test_one_patch_by_hand(self) -> None:
        spec = FadeSpec(
            keep=(0.5, 0.8, 1.0),
            resist=(0.1, 0.0, 0.0),
            crosstalk=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
            stain=(0.0, 0.0, 0.1),
        )
        density = np.array([[[1.2, 0.5, 0.3]]])
        faded = density_of(self.truth(spec).apply(encoded_from(density))[:1, :1])
        # Cyan 1.2 (0.5 + 0.1 * 1.2), magenta 0.5 * 0.8, yellow as it was plus the stain.
        assert faded[0, 0] == pytest.approx([0.744, 0.4, 0.4], abs=1e-5)

    def test_dyes_mix_through_their_side_absorptions(self) -> None:
        amounts = np.array([0.9, 0.4, 0.6])
        spec = FadeSpec(keep=(0.5, 1.0, 1.0), resist=(0.0, 0.0, 0.0), stain=(0.0, 0.0, 0.0))
        matrix = np.array(spec.crosstalk)
        before = encoded_from((matrix @ amounts)[None, None])
        after = density_of(self.truth(spec).apply(before)[:1, :1])[0, 0]
        assert after == pytest.approx(matrix @ (amounts * (0.5, 1, 1)), abs=1e-5)

    def test_corners_have_faded_further_and_every_frame_alike(self) -> None:
        keep = self.truth().keep
        assert keep[30, 40, 0] <= 0.5
        assert keep.min(axis=(0, 1)) == pytest.approx(np.power((0.5, 0.9, 0.7), 1.4), rel=0.15)
        assert keep[30, 40, 0] > keep[..., 0].min() * 1.1
        spec = DamageSpec(fade=self.SPEC, bits=None)
        shot = DamagedShot(lambda _: picture(), spec)
        for number in (1, 9):
            fade = shot[number].truth.fade
            assert fade is not None
            assert fade.undo(shot.after(number, "fade")) == pytest.approx(
                shot.after(number, "grain"), abs=3e-6
            )

    def test_nothing_can_be_kept_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="above 0"):
            FadeSpec(keep=(0.0, 1.0, 1.0))


class TestFlicker:
    SPEC = FlickerSpec(gain=0.2, gain_jitter=0.1, gamma=0.05, patches=3, patch_gain=0.2)

    @pytest.mark.parametrize("law", ["density", "gain"])
    def test_it_can_be_undone_exactly(self, law: str) -> None:
        x, y = film_xy(80, 60)
        given = (picture() * 1.4 - 0.2).astype(np.float32)
        for number in range(5):
            truth = flicker_truth(
                self.SPEC, 3, number, x / 39.5 - 1, y / 29.5 - 1, law=law, unit=0.4
            )
            assert truth.local.any()
            assert truth.undo(truth.apply(given)) == pytest.approx(given, abs=2e-6)

    def test_a_stop_is_a_factor_of_two_in_light(self) -> None:
        from wetgate.simulate import log_decode, log_encode

        light = np.full((8, 8, 3), 0.4, np.float32)
        flickering = DamageSpec(flicker=FlickerSpec(gain=0.5, gamma=0.0), bits=None)
        for spec, decode in (
            (flickering, log_decode),
            (
                DamageSpec(encoding="video", flicker=FlickerSpec(gain=0.5, gamma=0.0), bits=None),
                lambda v: v**2.4,
            ),
        ):
            frame = DamagedShot(lambda _: light, spec)[5]
            assert frame.truth.flicker is not None
            stops = frame.truth.flicker.stops
            assert abs(stops) > 0.05
            seen = float(decode(frame.pixels).mean())
            assert seen == pytest.approx(0.4 * 2**stops, rel=0.01)
        assert log_encode(light).max() < 1

    def test_the_curve_has_the_declared_deviation(self) -> None:
        x, y = film_xy(4, 4)
        spec = FlickerSpec(gain=0.2, gain_jitter=0.1)
        curve = [
            flicker_truth(spec, seed, n, x, y, law="density", unit=1).stops
            for seed in range(6)
            for n in range(60)
        ]
        assert np.std(curve) == pytest.approx(math.hypot(0.2, 0.1), rel=0.15)

    def test_patches_drift_and_have_the_declared_strength(self) -> None:
        x, y = film_xy(80, 60)
        fields = np.array(
            [
                flicker_truth(
                    FlickerSpec(patches=1, patch_gain=0.3),
                    s,
                    4,
                    x / 39.5 - 1,
                    y / 29.5 - 1,
                    law="density",
                    unit=1,
                ).local
                for s in range(60)
            ]
        )
        peaks = np.abs(fields).max(axis=(1, 2))
        assert np.sqrt((peaks**2).mean()) == pytest.approx(0.3, rel=0.25)


class TestWeave:
    def test_the_map_is_inverted_to_rounding(self) -> None:
        spec = WeaveSpec(rotation=0.2, rotation_jitter=0.1, flex=0.8)
        gate = weave_frame(spec, 5, 77, (200, 120))
        y, x = np.mgrid[0:120:7, 0:200:9].astype(np.float64)
        back = gate.pixel(*gate.film(x, y))
        assert back[0] == pytest.approx(x, abs=1e-9)
        assert back[1] == pytest.approx(y, abs=1e-9)

    def test_angle_and_bend_have_the_declared_size(self) -> None:
        spec = WeaveSpec(drift=(0, 0), jitter=(0, 0), rotation=0.3, rotation_jitter=0.4, flex=0.5)
        gates = [weave_frame(spec, s, n, (90, 60)) for s in range(5) for n in range(0, 400, 20)]
        assert np.std([g.angle for g in gates]) == pytest.approx(math.radians(0.5), rel=0.15)
        flat = [WeaveFrame(g.offset, 0.0, g.bend, g.size).displacement() for g in gates]
        mean_square = np.mean([(f.astype(np.float64) ** 2).mean(axis=(0, 1)) for f in flat], axis=0)
        assert np.sqrt(mean_square) == pytest.approx([0.5, 0.5], rel=0.15)

    def test_a_known_turn_moves_a_known_point(self) -> None:
        gate = WeaveFrame((2.0, -1.0), math.radians(90), np.zeros((2, 3)), (101, 101))
        # What lay 10 px right of the center lies 10 px below it now, and 2 right, 1 up.
        x, y = gate.pixel(np.array(60.0), np.array(50.0))
        assert (float(x), float(y)) == pytest.approx((52.0, 59.0))

    def test_flow_is_exact_when_film_turns_and_bends(self) -> None:
        y, x = np.mgrid[0:200, 0:260].astype(np.float32)
        ramp = np.stack((x, y, x + y), axis=-1) / np.float32(260)
        spec = DamageSpec(
            size=(120, 80),
            camera=CameraSpec(scale=1.2, pan=(1.5, -0.7), zoom=0.99, shake=1.0),
            encoding="as-is",
            weave=WeaveSpec(rotation=0.3, flex=0.6),
            bits=None,
        )
        shot = DamagedShot(ramp, spec)
        here, there = shot[1003].pixels, shot[1004].pixels
        flow = shot.flow(1003, 1004)
        rows, columns = np.mgrid[0:80, 0:120].astype(np.float64)
        inner = (slice(6, -6), slice(6, -6))
        looked = sample_at(there, columns + flow[..., 0], rows + flow[..., 1])
        assert np.abs(looked - here)[inner].max() * 260 < 0.02
        assert np.abs(flow[0, 0] - flow[-1, -1]).max() > 0.3

    def test_sampling_anywhere_agrees_with_sampling_a_grid(self) -> None:
        given = picture(40, 50)
        y, x = np.mgrid[0:20, 0:30].astype(np.float64)
        any_way = sample_at(given, x + 5.3, y + 8.6)
        assert any_way == pytest.approx(sample_grid(given, (30, 20), (5.3, 8.6), 1.0), abs=2e-6)


class TestWhole:
    def test_any_frame_alone_is_the_frame_in_a_range(self) -> None:
        spec = preset("1950s-print", 5)
        shot = DamagedShot(lambda n: picture(seed=n), spec)
        ranged = {n: shot[n] for n in range(1001, 1005)}
        alone = DamagedShot(lambda n: picture(seed=n), spec)[1003]
        assert alone.pixels.tobytes() == ranged[1003].pixels.tobytes()
        for name in ("clean", "undirtied", "matte", "scratch_matte", "dirt_coverage"):
            assert (
                getattr(alone.truth, name).tobytes() == getattr(ranged[1003].truth, name).tobytes()
            )

    def test_the_damage_is_the_sum_of_its_truths(self) -> None:
        spec = preset("1950s-print", 5)
        shot = DamagedShot(lambda n: picture(seed=n), spec)
        frame, truth = shot[1002], shot[1002].truth
        assert truth.fade and truth.dirt and truth.scratches and truth.flicker and truth.sensor
        # Every stage again, from what the truth says alone.
        made = truth.fade.apply(shot.after(1002, "grain"))
        made = truth.flicker.apply(truth.scratches.apply(truth.dirt.apply(made)))
        made = made + truth.sensor.noise
        assert made == pytest.approx(shot.after(1002, "sensor"), abs=1e-6)
        back = truth.flicker.undo(made - truth.sensor.noise)
        back = truth.dirt.undo(truth.scratches.undo(back))
        well = (truth.dirt.keep > 0.2) & (truth.scratches.keep > 0.2)
        assert truth.fade.undo(back)[well] == pytest.approx(
            shot.after(1002, "grain")[well], abs=2e-4
        )
        assert frame.pixels.tobytes() == shot.after(1002, "stored").tobytes()

    def test_dirt_and_scratches_know_their_own_codes(self) -> None:
        spec = DamageSpec(
            seed=4,
            encoding="as-is",
            grain=GrainSpec(),
            dirt=DirtSpec(specks=12),
            scratches=ScratchSpec(count=4),
        )
        frame = DamagedShot(lambda _: picture(), spec)[3]
        assert frame.truth.matte.any()
        assert frame.truth.scratch_matte.any()
        assert np.array_equal((frame.pixels != frame.truth.undirtied).any(-1), frame.truth.matte)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"encoding": "as-is", "lens": True}, "lens"),
            ({"encoding": "video", "fade": FadeSpec()}, "density"),
            ({"encoding": "film-log", "codec": "x"}, "8-bit"),
            ({"occluders": -1}, "occluders"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, fields: dict, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            DamageSpec(**fields)
