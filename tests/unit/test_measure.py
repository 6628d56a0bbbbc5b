"""Each metric against a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from wetgate.measure import (
    bootstrap_mean,
    mean_squared_error,
    psnr,
    residual_flicker,
    warp_error,
)


def _flat(value: float, shape: tuple[int, ...] = (24, 32, 3)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def test_psnr_of_a_constant_error():
    assert psnr(_flat(0.5), _flat(0.6)) == pytest.approx(20.0, abs=1e-4)
    assert psnr(_flat(0.5), _flat(0.49)) == pytest.approx(40.0, abs=1e-4)
    assert psnr(_flat(0.5), _flat(0.5)) == math.inf


def test_psnr_of_one_wrong_sample():
    shown = _flat(0.25)
    shown[3, 4, 1] += 0.5
    expected = -10 * math.log10(0.25 / shown.size)
    assert psnr(_flat(0.25), shown) == pytest.approx(expected, abs=1e-6)


def test_values_outside_the_range_count_as_its_ends():
    assert mean_squared_error(_flat(1.0), _flat(1.7)) == 0.0
    assert mean_squared_error(_flat(0.0), _flat(-0.3)) == 0.0
    assert mean_squared_error(_flat(1.0), _flat(1.5), clip=False) == pytest.approx(0.25)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes must agree"):
        mean_squared_error(_flat(0, (4, 4, 3)), _flat(0, (4, 5, 3)))


def test_flicker_of_a_constant_error_that_alternates():
    truth = [_flat(0.5)] * 4
    shown = [_flat(0.5 + sign * 2 / 255) for sign in (1, -1, 1, -1)]
    assert residual_flicker(truth, shown) == pytest.approx(4.0, abs=1e-4)


def test_an_error_that_stands_still_does_not_flicker_however_the_picture_moves():
    ramp = np.linspace(0.2, 0.7, 64, dtype=np.float32)[None, :, None] * _flat(1, (16, 64, 3))
    truth = [np.roll(ramp, 3 * k, axis=1) for k in range(4)]
    assert residual_flicker(truth, [t + np.float32(0.05) for t in truth]) == pytest.approx(
        0.0, abs=1e-4
    )


def test_flicker_of_white_noise_is_root_two_of_its_deviation():
    rng = np.random.default_rng(5)
    truth = [_flat(0.5, (128, 128, 3))] * 6
    shown = [t + rng.normal(0, 6 / 255, t.shape).astype(np.float32) for t in truth]
    assert residual_flicker(truth, shown) == pytest.approx(6 * math.sqrt(2), rel=0.01)


def test_flicker_of_a_linear_drift_is_its_slope():
    truth = [_flat(0.4)] * 5
    shown = [_flat(0.4 + 0.01 * k) for k in range(5)]
    assert residual_flicker(truth, shown) == pytest.approx(2.55, abs=1e-3)


@pytest.mark.parametrize("lengths", [(1, 1), (3, 2), (0, 0)])
def test_flicker_needs_two_clips_of_two_frames(lengths: tuple[int, int]):
    with pytest.raises(ValueError, match="frames"):
        residual_flicker([_flat(0)] * lengths[0], [_flat(0)] * lengths[1])


def test_bootstrap_of_equal_values_has_no_width():
    assert bootstrap_mean([1.5] * 7) == (1.5, (1.5, 1.5))


def test_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    mean, (low, high) = bootstrap_mean(values.tolist())
    half = 1.959964 * values.std() / math.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_bootstrap_repeats_itself():
    values = [0.3, 1.2, -0.4, 2.2, 0.9]
    assert bootstrap_mean(values) == bootstrap_mean(values)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])


def test_warp_error_of_an_exact_shift_is_none_and_of_noise_is_its_deviation():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:80, 0:96]
    picture = (0.5 + 0.2 * np.sin(x / 11) * np.cos(y / 13))[..., None].astype(np.float32)
    moved = np.roll(picture, (2, 3), axis=(0, 1))
    flow = np.full((80, 96, 2), (3.0, 2.0), np.float32)
    seen = np.zeros((80, 96), bool)
    seen[8:-8, 8:-8] = True
    assert warp_error(picture, moved, flow, seen) < 1e-4
    noisy = moved + (0.02 * rng.standard_normal(moved.shape)).astype(np.float32)
    assert warp_error(picture, noisy, flow, seen) == pytest.approx(0.02 * 255, rel=0.03)
    # What cannot be seen in both frames does not count.
    noisy[:4] = 9.0
    assert warp_error(picture, noisy, flow, seen) == pytest.approx(0.02 * 255, rel=0.03)
