"""Lens, tone, scanner and sensor of the simulator against closed forms."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.simulate import CameraSpec, DamagedShot, DamageSpec
from wetgate.simulate.lens import LensSpec, bessel_j1, blur, lens_truth, point_spread
from wetgate.simulate.scanner import ScannerSpec, gauss_taps, scan
from wetgate.simulate.sensor import SensorSpec, SensorTruth, sensor_draws, sensor_truth
from wetgate.simulate.tone import ToneSpec

Pixels = NDArray[np.float32]


def noise_picture(height: int, width: int, seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def noise_over(flat: Pixels, spec: SensorSpec, number: int, law: str) -> SensorTruth:
    height, width, _ = flat.shape
    return sensor_truth(flat, spec, sensor_draws(spec, 5, number, (height, width, 3)), law=law)


class TestLens:
    def test_bessel_against_tabled_values(self) -> None:
        # Abramowitz and Stegun, table 9.1, and the first three zeros of table 9.5.
        x = np.array([0.0, 1.0, 2.0, 5.0, 10.0, 3.8317059702, 7.0155866698, 10.1734681351])
        table = [0, 0.4400505857, 0.5767248078, -0.3275791376, 0.0434727462, 0, 0, 0]
        assert bessel_j1(x) == pytest.approx(table, abs=1e-9)

    @pytest.mark.parametrize("parts", [(1.2, 0.0, 0.0), (0.0, 3.0, 0.0), (0.8, 1.5, 0.7)])
    def test_a_psf_has_sum_one_and_is_symmetric(self, parts: tuple[float, float, float]) -> None:
        psf = point_spread(*parts, 16)
        assert psf.sum() == pytest.approx(1, abs=1e-12)
        assert psf.min() >= 0
        assert psf == pytest.approx(psf.T, abs=1e-12)
        assert psf == pytest.approx(psf[::-1, ::-1], abs=1e-12)

    def test_second_moments_add_and_are_the_closed_forms(self) -> None:
        axis = np.arange(-20, 21)
        for defocus, sigma in ((4.0, 0.0), (0.0, 1.5), (3.0, 1.2)):
            psf = point_spread(0.0, defocus, sigma, 20)
            moment = float((psf.sum(axis=0) * axis**2).sum())
            # A disk has r^2 / 4 along one axis, a pixel 1 / 12.
            assert moment == pytest.approx(defocus**2 / 4 + sigma**2 + 1 / 12, rel=0.02)

    def test_diffraction_has_the_transfer_of_a_round_aperture(self) -> None:
        first_zero = 3.0
        psf = point_spread(first_zero, 0.0, 0.0, 24)
        axis = np.arange(-24, 25)
        cutoff = 1.2196698912665045 / first_zero
        for share in (0.1, 0.3, 0.5, 0.8):
            frequency = share * cutoff
            measured = float((psf.sum(axis=0) * np.cos(2 * math.pi * frequency * axis)).sum())
            ideal = 2 / math.pi * (math.acos(share) - share * math.sqrt(1 - share**2))
            assert measured == pytest.approx(ideal * np.sinc(frequency), abs=0.02)

    def test_a_point_becomes_the_stated_psf_anywhere(self) -> None:
        spec = LensSpec(airy=0.9, defocus=1.0, aberration=0.4, corner=2.5)
        truth = lens_truth(spec, (81, 61))
        reach = truth.kernels.shape[-1] // 2
        for x, y in ((40, 30), (64, 15)):
            impulse = np.zeros((61, 81, 1), np.float32)
            impulse[y, x] = 1
            # Pixels gather with their own PSF: what pixel q takes from here is psf_q(here - q).
            seen = blur(impulse, truth)[..., 0]
            for dx, dy in ((0, 0), (2, -1), (-3, 4)):
                stated = truth.psf(x + dx, y + dy)[reach - dy, reach - dx]
                assert seen[y + dy, x + dx] == pytest.approx(stated, abs=1e-6)

    def test_the_blur_map_grows_to_the_corner_as_stated(self) -> None:
        truth = lens_truth(LensSpec(airy=0, defocus=0, aberration=1.0, corner=2.0), (101, 75))
        assert truth.sigma[37, 50] == pytest.approx(math.sqrt(1 + 1 / 12), rel=0.01)
        assert truth.sigma[0, 0] == pytest.approx(math.sqrt(4 + 1 / 12), rel=0.01)
        psf = truth.psf(10, 20)
        axis = np.arange(psf.shape[0]) - psf.shape[0] // 2
        moment = (psf.sum(axis=0) * axis**2).sum()
        assert truth.sigma[20, 10] == pytest.approx(math.sqrt(moment), rel=1e-5)

    def test_flat_light_stays_and_hdr_leaves_no_ringing(self) -> None:
        truth = lens_truth(LensSpec(airy=1.2, defocus=2.0, corner=1.5), (64, 48))
        flat = np.full((48, 64, 3), 0.37, np.float32)
        assert np.abs(blur(flat, truth) - flat).max() < 1e-6
        lamp = np.full((48, 64, 1), -0.05, np.float32)
        lamp[24, 32] = 1000
        seen = blur(lamp, truth)
        assert seen.min() >= -0.05 - 1e-6
        assert seen[2, 2, 0] == pytest.approx(-0.05, abs=1e-5)

    def test_it_acts_on_light_before_the_film(self) -> None:
        picture = noise_picture(70, 90)
        spec = DamageSpec(size=(60, 40), camera=CameraSpec(), lens=LensSpec(), bits=None)
        shot = DamagedShot(picture, spec)
        truth = shot[3].truth
        assert truth.lens is not None
        light = shot.after(3, "camera")
        assert shot.after(3, "lens") == pytest.approx(blur(light, truth.lens), abs=1e-7)
        assert not np.array_equal(shot.sharp(3), truth.clean)
        plain = DamagedShot(picture, DamageSpec(size=(60, 40), camera=CameraSpec(), bits=None))
        assert shot.sharp(3).tobytes() == plain[3].truth.clean.tobytes()


class TestTone:
    def test_the_curve_has_its_slope_and_its_limits(self) -> None:
        spec = ToneSpec(contrast=1.4, center=0.5, low=0.05, high=0.9)
        near = spec.apply(np.array([0.499, 0.501], np.float32)).astype(np.float64)
        assert (near[1] - near[0]) / 0.002 == pytest.approx(1.4, rel=1e-3)
        assert near.mean() == pytest.approx(0.475, abs=1e-6)
        far = spec.apply(np.array([-9.0, 9.0], np.float32))
        assert far == pytest.approx([0.05, 0.9], abs=1e-6)

    def test_it_can_be_undone(self) -> None:
        spec = ToneSpec()
        x = np.linspace(0.05, 0.9, 200, dtype=np.float32)
        assert spec.undo(spec.apply(x)) == pytest.approx(x, abs=2e-6)

    def test_an_impossible_curve_is_refused(self) -> None:
        with pytest.raises(ValueError, match="low < high"):
            ToneSpec(low=0.8, high=0.2)


class TestScanner:
    def test_transfer_is_what_a_wave_keeps(self) -> None:
        spec = ScannerSpec(blur=(0.8, 0.5), sharpen=0.6, sharpen_radius=1.2)
        y, x = np.mgrid[0:64, 0:96]
        for fx, fy in ((1 / 8, 0.0), (0.0, 1 / 6), (1 / 12, 1 / 8)):
            wave = np.cos(2 * math.pi * (fx * x + fy * y))
            picture = np.repeat(wave[..., None], 3, 2).astype(np.float32)
            inner = (slice(12, -12), slice(12, -12))
            kept = (scan(picture, spec)[..., 0] * wave)[inner].sum() / (wave[inner] ** 2).sum()
            expected = spec.transfer(np.array([fx]), np.array([fy]))[0]
            assert kept == pytest.approx(expected, abs=4e-3)

    def test_taps_have_the_moments_of_a_gaussian(self) -> None:
        taps = gauss_taps(1.7, 0.4)
        axis = np.arange(taps.size) - taps.size // 2
        assert taps.sum() == pytest.approx(1)
        assert (taps * axis).sum() == pytest.approx(0.4, abs=2e-3)
        assert (taps * (axis - 0.4) ** 2).sum() == pytest.approx(1.7**2, rel=5e-3)

    def test_color_blurs_and_shifts_while_luma_stays(self) -> None:
        picture = np.full((20, 80, 3), 0.5, np.float32)
        picture[:, 40:] += np.float32([0.3, -0.3 * 0.2126 / 0.7152, 0.0])
        spec = ScannerSpec(blur=(0, 0), chroma_blur=(3.0, 0.0), chroma_shift=2.0)
        out = scan(picture, spec)
        weights = np.float32([0.2126, 0.7152, 0.0722])
        assert (out * weights).sum(-1) == pytest.approx((picture * weights).sum(-1), abs=1e-6)
        red = out[10, :, 0] - 0.5
        # Half way up the edge, which lies between 39 and 40, moved by two.
        assert np.interp(0.15, red, np.arange(80)) == pytest.approx(41.5, abs=0.05)


class TestSensor:
    def test_noise_has_the_stated_variance_and_photon_transfer(self) -> None:
        spec = SensorSpec(full_well=5000, read=12, row=6)
        for law, level in (("density", 0.1), ("density", 0.5), ("gain", 0.6)):
            flat = np.full((150, 200, 3), level, np.float32)
            truth = noise_over(flat, spec, 9, law)
            scale = 1023 * 0.002
            light = 10 ** (-level * scale) if law == "density" else level**2.4
            slope = light * math.log(10) * scale if law == "density" else 2.4 * level**1.4
            expected = (light * 5000 + 12**2 + 6**2) / (5000 * slope) ** 2
            assert np.abs(truth.variance / expected - 1).max() < 1e-4
            measured = truth.noise.astype(np.float64).var()
            assert measured == pytest.approx(expected, rel=0.04)
            rows = truth.noise.astype(np.float64).mean(axis=1).var()
            white = (light * 5000 + 144) / (5000 * slope) ** 2
            row_only = 36 / (5000 * slope) ** 2
            assert rows == pytest.approx(row_only + white / 200, rel=0.25)

    def test_the_pattern_is_fixed_and_the_rest_is_not(self) -> None:
        flat = np.full((60, 80, 3), 0.3, np.float32)
        spec = SensorSpec(full_well=20000, read=5, dsnu=8, prnu=0.01)
        here, there = (noise_over(flat, spec, n, "gain") for n in (1, 2))
        assert here.pattern.tobytes() == there.pattern.tobytes()
        electrons = 0.3**2.4 * 20000
        slope = 2.4 * 0.3**1.4
        expected = (8**2 + (0.01 * electrons) ** 2) / (20000 * slope) ** 2
        assert here.pattern.astype(np.float64).var() == pytest.approx(expected, rel=0.05)
        temporal = (here.noise - here.pattern).ravel(), (there.noise - there.pattern).ravel()
        assert abs(np.corrcoef(*temporal)[0, 1]) < 0.02

    def test_a_denser_negative_is_noisier_and_a_denser_print_too(self) -> None:
        bright, dark = (np.full((4, 4, 3), v, np.float32) for v in (0.7, 0.2))
        for film, noisier, quieter in (("negative", bright, dark), ("print", dark, bright)):
            spec = SensorSpec(film=film)
            more, less = (
                noise_over(p, spec, 1, "density").variance.mean() for p in (noisier, quieter)
            )
            assert more > 2 * less
