"""The filters of the deblur operator against closed forms, brute force and hard light."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from support.blurs import by_fourier, leaves
from wetgate.operators.deblur import classical
from wetgate.operators.deblur.classical import (
    GUARD,
    blurred,
    decode,
    deconvolve,
    design,
    encode,
    halo_of,
    local_range,
    nearest_sigma,
    ring_bounds,
)
from wetgate.operators.deblur.psf import (
    deviation_of,
    disc_psf,
    gaussian_psf,
    gaussian_taps,
    motion_psf,
    response,
)

QUIET = 3e-4


def run(
    picture: NDArray[np.float32], sigma: float, noise: float, **told: str
) -> NDArray[np.float32]:
    made = design(nearest_sigma(sigma), **told)  # type: ignore[arg-type]
    rim = ((made.reach,) * 2,) * 2 + ((0, 0),)
    level = np.full(picture.shape[:2], noise, np.float32)
    return deconvolve(np.pad(picture, rim, "reflect"), level, made)


def psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    inner = np.s_[16:-16, 16:-16]
    return float(-10 * np.log10(np.mean((a[inner].astype(np.float64) - b[inner]) ** 2)))


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.2])
def test_a_gaussian_has_its_deviation(sigma: float) -> None:
    kernel = gaussian_psf(sigma)
    assert kernel.sum() == pytest.approx(1.0)
    assert deviation_of(kernel) == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize("radius", [1.6, 3.0, 3.5])
def test_a_disc_has_half_its_radius_for_deviation(radius: float) -> None:
    # r / 2 for the disc itself; its px are squares of variance 1 / 12, nearly independent of it.
    expected = np.sqrt(radius**2 / 4 + 1 / 12)
    assert deviation_of(disc_psf(radius)) == pytest.approx(expected, rel=0.05)


def test_motion_spreads_along_its_direction_only() -> None:
    kernel = motion_psf(8.0, 0.0)
    at = np.arange(len(kernel)) - len(kernel) // 2
    along = np.sum(kernel.sum(axis=0) * at**2)
    assert along == pytest.approx(8.0**2 / 12 + 1 / 6, rel=0.05)
    assert np.sum(kernel.sum(axis=1) * at**2) == pytest.approx(0.0, abs=1e-9)


def test_the_response_of_a_gaussian_is_a_gaussian() -> None:
    omega = np.linspace(0.0, 1.5, 7)
    square = omega[:, None] ** 2 + omega[None, :] ** 2
    got = response(gaussian_psf(1.5), omega)
    assert np.allclose(got, np.exp(-0.5 * 1.5**2 * square), atol=2e-3)


def test_blurring_by_shifts_is_convolution() -> None:
    rng = np.random.default_rng(2)
    picture = rng.random((20, 23, 2)).astype(np.float32)
    taps = gaussian_taps(1.2, 4)
    got = blurred(picture, taps[4:].astype(np.float32), 6)
    kernel = np.outer(taps, taps)
    for y, x in ((0, 0), (3, 7), (7, 10)):
        patch = picture[y + 2 : y + 11, x + 2 : x + 11].astype(np.float64)
        want = np.einsum("yx,yxc->c", kernel, patch)
        assert np.allclose(got[y, x], want, atol=1e-6)


def test_the_local_range_is_that_of_the_square() -> None:
    rng = np.random.default_rng(3)
    picture = rng.normal(size=(15, 16, 3)).astype(np.float32)
    low, high = local_range(picture, 2)
    for y, x in ((0, 0), (4, 6), (10, 11)):
        patch = picture[y : y + 5, x : x + 5]
        assert np.array_equal(low[y, x], patch.min(axis=(0, 1)))
        assert np.array_equal(high[y, x], patch.max(axis=(0, 1)))


@pytest.mark.parametrize("shape", ["gaussian", "disc", "either"])
@pytest.mark.parametrize("row", [3, 10, 18])
def test_no_other_factors_make_the_expected_error_smaller(shape: str, row: int) -> None:
    """Evaluate E(c) of the module's text anew, on another grid, and step away from the solution."""
    sigma = 1.5
    made = design(sigma, shape)  # type: ignore[arg-type]
    omega = (np.arange(40) + 0.5) / 40 * np.pi
    radius = np.hypot(omega[:, None], omega[None, :])
    kinds = {"gaussian": gaussian_psf, "disc": lambda s: disc_psf(2 * s)}
    weights = dict(zip(("gaussian", "disc"), classical._CHANCES[shape], strict=True))  # type: ignore[index]
    blurs = [
        (weights[kind] / 3, response(make(sigma * doubt), omega))
        for kind, make in kinds.items()
        for doubt in classical._DOUBTS
    ]
    basis = []
    for taps in made.taps:
        whole = np.concatenate([taps[:0:-1], taps]).astype(np.float64)
        basis.append(response(np.outer(whole, whole), omega) - 1.0)
    power = radius**-classical._FALL
    pair = [np.concatenate([b[:0:-1], b]) for b in made.band]
    band = response(np.outer(pair[0], pair[0]), omega) - response(np.outer(pair[1], pair[1]), omega)
    seen = sum(w * power * h**2 * band**2 for w, h in blurs) / np.mean(band**2)
    ratio = power / np.mean(seen) * 2.0 ** classical._LEVELS[row]

    def error(factors: NDArray[np.float64]) -> float:
        change = np.tensordot(factors, np.stack(basis), 1)
        lost = sum(w * (h * (1 + change) - 1) ** 2 for w, h in blurs)
        return float(np.mean(ratio * lost + change**2))

    best = made.table[row].astype(np.float64)
    least = error(best)
    assert least < 0.98 * error(np.zeros_like(best))
    rng = np.random.default_rng(row)
    for _ in range(20):
        step = rng.normal(size=best.shape)
        step *= 0.05 * np.linalg.norm(best) / np.linalg.norm(step)
        assert error(best + step) > least * (1 - 1e-3)


def test_where_noise_rules_nothing_is_sharpened() -> None:
    deviates = np.random.default_rng(7).standard_normal((80, 90, 3)).astype(np.float32)
    picture = np.float32(0.4) + np.float32(0.01) * deviates
    level = float(encode(picture).mean(axis=2).std())
    calm = run(picture, 1.5, level) - picture
    bold = run(picture, 1.5, level / 300) - picture
    assert calm.std() < 0.15 * picture.std()
    assert bold.std() > 5.0 * calm.std()


def test_what_is_flat_stays() -> None:
    flat = np.full((40, 44, 3), 0.37, np.float32)
    assert np.allclose(run(flat, 1.5, QUIET), 0.37, rtol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "shape", "gain"),
    [
        (gaussian_psf(0.8), "gaussian", 3.0),
        (gaussian_psf(1.5), "gaussian", 3.0),
        (gaussian_psf(2.2), "gaussian", 1.8),
        (disc_psf(3.0), "disc", 3.0),
        (gaussian_psf(1.5), "either", 2.0),
        (disc_psf(3.0), "either", 2.0),
    ],
)
def test_blur_is_taken_back(kernel: NDArray[np.float64], shape: str, gain: float) -> None:
    sharp = leaves(120, 130)
    soft = by_fourier(sharp, kernel)
    made = run(soft, deviation_of(kernel), QUIET, shape=shape)
    assert psnr(made, sharp) > psnr(soft, sharp) + gain


def test_a_lamp_of_a_thousand_digs_no_hole_and_is_not_clamped() -> None:
    field = np.full((60, 60, 3), 0.1, np.float32)
    field[26:34, 26:34] = 1000.0
    soft = by_fourier(field, gaussian_psf(1.5))
    soft = np.maximum(soft, np.float32(0.1))  # what the transform rounds off a thousand
    made = run(soft, 1.5, QUIET)
    assert made.min() > 0.02
    assert 1000.0 < made.max() < 1600.0


def test_negative_values_stay_negative_and_near_where_they_were() -> None:
    field = np.full((60, 60, 3), -0.05, np.float32)
    field[:, 30:] = 1000.0
    made = run(by_fourier(field, gaussian_psf(1.2)), 1.2, QUIET)
    dark = made[:, :20]
    assert dark.min() > -0.12 and dark.max() < 0.0


def test_the_guard_keeps_to_the_neighborhood() -> None:
    rng = np.random.default_rng(8)
    logged = encode((rng.random((12, 12, 3)) * 40 - 0.2).astype(np.float32))
    low, high = ring_bounds(logged)
    inner = logged[GUARD:-GUARD, GUARD:-GUARD]
    assert (low <= inner).all() and (inner <= high).all()
    least, _ = local_range(logged, GUARD)
    assert (low[least > 0] > 0).all()


def test_the_encoding_comes_back_over_the_range_of_half() -> None:
    values = np.array([-65504.0, -0.05, 0.0, 1e-4, 0.18, 1.0, 1000.0, 65504.0], np.float32)
    assert np.allclose(decode(encode(values)), values, rtol=2e-6)


def test_the_halo_is_what_the_filters_look_at() -> None:
    for sigma in (0.35, 1.0, 2.6):
        made = design(nearest_sigma(sigma))
        far = len(made.band[0]) - 1 + len(made.window) - 1
        assert max(far, *(len(t) - 1 for t in made.taps)) <= made.reach == halo_of(made.sigma)
