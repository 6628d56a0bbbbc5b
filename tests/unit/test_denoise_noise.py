"""The noise model: moments of clipped noise, stabilising curves and their unbiased inverse."""

from __future__ import annotations

import numpy as np
import pytest
from wetgate.operators.denoise.noise import ChannelNoise, clipped_moments, noise_units
from wetgate.operators.denoise.shot import shot_noise


@pytest.mark.parametrize("deviation", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("signal", [-0.1, 0.0, 0.03, 0.5, 0.98, 1.2])
def test_clipped_moments_agree_with_samples(signal: float, deviation: float) -> None:
    z = np.random.default_rng(3).standard_normal(400_000)
    sample = np.clip(signal + deviation * z, 0, 1)
    mean, variance = clipped_moments(np.array([signal]), deviation)
    assert mean[0] == pytest.approx(sample.mean(), abs=5 * deviation / 600)
    assert variance[0] == pytest.approx(sample.var(), rel=0.02, abs=1e-6)


@pytest.mark.parametrize(
    "noise",
    [
        ChannelNoise(0.0004, 0.0, 0.0, 0.0, 1.0),
        ChannelNoise(0.0001, 0.002, 0.0, 0.0, 1.0),
        ChannelNoise(0.006, 0.0, 0.0, 0.0, 1.0, clips_low=True),
        ChannelNoise(0.025, 0.0, 0.0, 0.0, 1.0, clips_low=True, clips_high=True),
    ],
)
def test_the_mean_of_noisy_samples_comes_back_without_bias(noise: ChannelNoise) -> None:
    units = noise_units(noise)
    z = np.random.default_rng(5).standard_normal(200_000)
    for signal in (0.02, 0.1, 0.3, 0.6, 0.9):
        deviation = float(np.sqrt(noise.variance(np.array([signal]))[0]))
        sample = signal + deviation * z
        if noise.clips_low:
            sample = np.maximum(sample, 0)
        if noise.clips_high:
            sample = np.minimum(sample, 1)
        x = np.linspace(units.forward.low, units.forward.high, units.forward.values.size)
        mean = np.interp(sample, x, units.forward.values.astype(np.float64)).mean()
        t = np.linspace(units.backward.low, units.backward.high, units.backward.values.size)
        back = np.interp(mean, t, units.backward.values)
        assert back == pytest.approx(signal, abs=0.02 * deviation + 2e-4)


def test_noise_has_unit_deviation_in_noise_units() -> None:
    noise = ChannelNoise(1e-4, 3e-3, 0.0, 0.0, 1.0)
    units = noise_units(noise)
    z = np.random.default_rng(8).standard_normal(100_000)
    x = np.linspace(units.forward.low, units.forward.high, units.forward.values.size)
    for signal in (0.1, 0.4, 0.8):
        deviation = float(np.sqrt(noise.variance(np.array([signal]))[0]))
        sample = np.interp(signal + deviation * z, x, units.forward.values.astype(np.float64))
        assert sample.std() == pytest.approx(1.0, rel=0.03)


def test_black_under_clipped_noise_comes_back_black() -> None:
    noise = ChannelNoise(0.006, 0.0, 0.0, 0.0, 1.0, clips_low=True)
    units = noise_units(noise)
    t = np.linspace(units.backward.low, units.backward.high, units.backward.values.size)
    black, _ = clipped_moments(np.array([0.0]), 0.006**0.5)
    g = units.forward
    x = np.linspace(g.low, g.high, g.values.size)
    assert np.interp(np.interp(black[0], x, g.values), t, units.backward.values) == pytest.approx(
        0.0, abs=2e-3
    )


def test_pixels_survive_the_way_to_noise_units_and_back() -> None:
    analysis = {
        "channels": [{"variance": [1e-4, 2e-3, 0.0], "range": [0.0, 1.0], "clips": [False, False]}]
        * 3,
        "spectrum": [[1.0] * 64] * 3,
        "luma": [-10.0, 10.0],
        "temporal": True,
    }
    noise = shot_noise(analysis, 1.0)
    pixels = np.random.default_rng(0).random((9, 11, 3), dtype=np.float32) * 1.1 - 0.05
    back = noise.to_pixels_biased(noise.to_units(pixels))
    assert np.abs(back - pixels).max() < 2e-5


@pytest.mark.parametrize("clips", [False, True])
def test_no_sample_moves_farther_than_noise_can(clips: bool) -> None:
    """A lone light of 400 in blue, taken for noise, must not come back as 9000."""
    analysis = {
        "channels": [{"variance": [4e-4, 0.0, 0.0], "range": [0.0, 1.0], "clips": [clips, clips]}]
        * 3,
        "spectrum": [[1.0] * 64] * 3,
        "luma": [-10.0, 10.0],
        "temporal": True,
    }
    noise = shot_noise(analysis, 1.0)
    source = np.full((2, 2, 3), 0.5, np.float32)
    clean = source + np.array([0.1, -0.13, 9000.0], np.float32)
    out = noise.bounded(clean, source)
    if clips:  # what clipping lifted is put back by more than that
        assert out is clean
        return
    assert np.allclose(out[0, 0], [0.6, 0.5 - 6 * 0.02, 0.5 + 6 * 0.02], atol=1e-4)
    assert np.array_equal(noise.bounded(source, source), source)
