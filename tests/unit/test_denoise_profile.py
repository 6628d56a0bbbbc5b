"""The noise profile against noise of known deviation, slope, clipping and spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.operators.base import SourceFacts
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise.profile import dct_blocks, measure, spectrum
from wetgate.simulate.film import GrainSpec, grain_field
from wetgate.simulate.resample import sample_grid

SIZE = (208, 160)


def _facts(sample_type: str = "float") -> SourceFacts:
    return SourceFacts(
        sample_type=sample_type,  # type: ignore[arg-type]
        width=SIZE[0],
        height=SIZE[1],
        channels=3,
        is_log_working=False,
    )


def _picture() -> NDArray[np.float32]:
    """Make a textured picture: soft shapes, edges and fine detail, values 0.05-0.95."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:240, 0:320]
    picture = np.zeros((240, 320, 3), np.float32) + 0.5
    for _ in range(60):
        cx, cy, r = rng.integers(0, 320), rng.integers(0, 240), rng.integers(6, 40)
        picture[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.random(3) * 0.9 + 0.05
    picture[:, 200:] += 0.05 * np.sin(x[:, 200:, None] * 0.9).astype(np.float32)
    return np.clip(picture, 0.05, 0.95).astype(np.float32)


PICTURE = _picture()


def _shot(
    noise: Callable[[int, NDArray[np.float32]], NDArray[np.float32]], frames: int = 8
) -> Callable[[int], NDArray[np.float32]]:
    def read(number: int) -> NDArray[np.float32]:
        clean = sample_grid(PICTURE, SIZE, (20.3 + 1.7 * number, 15.6 + 0.6 * number), 1.0)
        return noise(number, clean).astype(np.float32)

    return read


@pytest.mark.parametrize("sigma", [2, 10, 25, 50])
def test_deviation_is_within_five_percent_on_a_moving_textured_shot(sigma: int) -> None:
    s = sigma / 255

    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        return clean + s * np.random.default_rng(number).standard_normal(clean.shape)

    analysis = DenoiseOperator().analyse(_shot(noise), range(8), _facts())
    assert float(analysis["deviation"]) == pytest.approx(s, rel=0.05)  # type: ignore[arg-type]


def test_noise_that_grows_with_signal_is_followed() -> None:
    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        deviation = np.sqrt(0.0002 + 0.004 * clean)
        return clean + deviation * np.random.default_rng(number).standard_normal(clean.shape)

    measured = measure(_shot(noise), range(8), _facts())
    for channel in measured.channels:
        for signal in (0.2, 0.5, 0.8):
            truth = 0.0002 + 0.004 * signal
            assert channel.variance(np.array([signal]))[0] == pytest.approx(truth, rel=0.12)
        assert not channel.clips


@pytest.mark.parametrize("sigma", [20, 40])
def test_noise_is_known_as_it_was_before_clipping(sigma: int) -> None:
    s = sigma / 255

    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        dark = clean * 0.25
        noisy = dark + s * np.random.default_rng(number).standard_normal(clean.shape)
        return np.clip(np.rint(noisy * 255), 0, 255) / 255

    measured = measure(_shot(noise), range(8), _facts("uint8"))
    for channel in measured.channels:
        assert channel.clips_low
        assert not channel.clips_high
        assert np.sqrt(channel.variance(np.array([0.12]))[0]) == pytest.approx(s, rel=0.06)


def test_float_files_are_never_taken_for_clipped() -> None:
    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.maximum(clean * 0.1 + 0.08 * np.random.default_rng(number).standard_normal(
            clean.shape
        ), 0)  # fmt: skip

    measured = measure(_shot(noise), range(8), _facts("half"))
    assert not any(c.clips for c in measured.channels)


def test_spectrum_of_grain_matches_its_closed_form() -> None:
    grain = GrainSpec(radius=0.8)

    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        return clean + 0.05 * grain_field(grain, 4, number, clean.shape[:2])

    analysis = DenoiseOperator().analyse(_shot(noise), range(8), _facts())
    planes = np.array(analysis["spectrum"]).reshape(3, 8, 8)
    # Variance of DCT sample k under a stationary field: sum over lags of the kernel's
    # autocorrelation times that of the basis function, exact, per axis.
    kernel = grain.kernel()
    correlation = np.correlate(kernel, kernel, "full")
    lags = np.arange(correlation.size) - correlation.size // 2
    covariance = np.zeros((8, 8))
    for i in range(8):
        for j in range(8):
            hit = lags == i - j
            covariance[i, j] = correlation[hit][0] if hit.any() else 0.0
    k = np.arange(8)[:, None]
    basis = np.sqrt(2 / 8) * np.cos(np.pi * (np.arange(8) + 0.5) * k / 8)
    basis[0] /= np.sqrt(2)
    axis = np.einsum("ki,ij,kj->k", basis, covariance, basis)
    truth = np.outer(axis, axis)
    ratio = np.log(planes / truth)[:, :6, :6].mean(axis=0)
    assert np.std(ratio) < 0.2  # three planes of a few hundred blocks: 0.1 by chance
    assert truth[0, 0] / truth[5, 5] > 20  # white noise would miss by far


def test_a_single_frame_and_a_held_frame_still_give_a_profile() -> None:
    s = 12 / 255

    def noise(number: int, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        return clean + s * np.random.default_rng(number).standard_normal(clean.shape)

    read = _shot(noise)
    alone = measure(read, [0], _facts())
    held = measure(lambda n: read(0), range(6), _facts())
    for measured in (alone, held):
        assert not measured.temporal
        deviation = np.sqrt(measured.channels[1].variance(np.array([0.5]))[0])
        assert deviation == pytest.approx(s, rel=0.25)
    assert held.held == 1.0


def test_median_spectrum_of_white_noise_is_flat_and_unit() -> None:
    blocks = np.random.default_rng(1).standard_normal((6000, 1, 8, 8))
    assert np.allclose(spectrum(blocks), 1.0, atol=0.12)
    energy = (dct_blocks(blocks) ** 2).sum(axis=(2, 3))
    assert np.allclose(energy, (blocks**2).sum(axis=(2, 3)))
