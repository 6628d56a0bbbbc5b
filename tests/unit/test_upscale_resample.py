"""Resampling by phase against formulas and a second implementation, and the limiter's promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from wetgate.bench.edges import mtf50, overshoot, slanted_edge
from wetgate.operators.upscale import kernels
from wetgate.operators.upscale.resample import (
    Pixels,
    deinterleave,
    downscale,
    enlarge,
    interleave,
    limit,
    limits,
)
from wetgate.simulate.resample import sample_grid

METHODS = "lanczos", "ewa", "bicubic"


def picture(height: int = 20, width: int = 26, channels: int = 3, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).normal(0, 3, (height, width, channels)).astype(np.float32)


def centers(small: int, scale: int) -> np.ndarray:
    """Where the pixels of the large axis lie on the small one."""
    return (np.arange(small * scale) + 0.5) / scale - 0.5


def test_j1_agrees_with_its_power_series() -> None:
    for x in (0.0, 1e-9, 0.3, 1.0, 1.2196698912665045, 2.7, 3.2383154841662362):
        z = math.pi * x
        series = sum(
            (-1) ** k * (z / 2) ** (2 * k) / (math.factorial(k) * math.factorial(k + 1))
            for k in range(40)
        )
        assert float(kernels.jinc(np.array([x]))[0]) == pytest.approx(series, abs=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("method", METHODS)
def test_flat_fields_and_ramps_stay_what_they_are(scale: int, method: str) -> None:
    y, x = np.mgrid[0:16, 0:18].astype(np.float32)
    ramp = np.stack([np.full_like(x, 7.5), 2 * x - 5, 1.5 * y - x], axis=2)
    large = interleave(enlarge(ramp, scale, method))  # type: ignore[arg-type]
    at_y, at_x = np.meshgrid(centers(16, scale), centers(18, scale), indexing="ij")
    want = np.stack([np.full_like(at_x, 7.5), 2 * at_x - 5, 1.5 * at_y - at_x], axis=2)
    inner = np.s_[4 * scale : -4 * scale, 4 * scale : -4 * scale]
    np.testing.assert_allclose(large[inner], want[inner], atol=2e-5)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("method", ["lanczos", "ewa"])
def test_each_large_pixel_is_the_kernel_weighted_mean_around_its_place(
    scale: int, method: str
) -> None:
    small = picture()
    large = interleave(enlarge(small, scale, method))  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(60):
        row, column = rng.integers(4 * scale, 16 * scale), rng.integers(4 * scale, 20 * scale)
        cy, cx = (row + 0.5) / scale - 0.5, (column + 0.5) / scale - 0.5
        total, weights = np.zeros(3), 0.0
        for y in range(20):
            for x in range(26):
                if method == "ewa":
                    radius = np.array([math.hypot(y - cy, x - cx)])
                    weight = float(kernels.ewa_lanczos(radius)[0])
                else:
                    weight = _lanczos3(y - cy) * _lanczos3(x - cx)
                total += weight * small[y, x]
                weights += weight
        worst = max(worst, float(np.abs(large[row, column] - total / weights).max()))
    # The plain normalised kernel bends ramps a little; what unbends them stays this small.
    assert worst < 0.004 * 3 * np.abs(small).max()


def _lanczos3(x: float) -> float:
    if abs(x) >= 3:
        return 0.0
    if x == 0:
        return 1.0
    return 3 * math.sin(math.pi * x) * math.sin(math.pi * x / 3) / (math.pi * x) ** 2


@pytest.mark.parametrize("scale", [2, 4])
def test_bicubic_agrees_with_the_sampler_of_the_simulator_both_ways(scale: int) -> None:
    small = picture(24, 24)
    first = 0.5 / scale - 0.5
    size = 24 * scale, 24 * scale
    want = sample_grid(small, size, (first, first), 1 / scale)
    got = interleave(enlarge(small, scale, "bicubic"))
    inner = np.s_[4 * scale : -4 * scale, 4 * scale : -4 * scale]
    np.testing.assert_allclose(got[inner], want[inner], atol=2e-5)
    large = picture(24 * scale, 24 * scale)
    middle = (scale - 1) / 2
    want = sample_grid(large, (24, 24), (middle, middle), float(scale))
    np.testing.assert_allclose(downscale(large, scale)[4:-4, 4:-4], want[4:-4, 4:-4], atol=2e-5)


def test_reducing_by_area_is_the_mean_of_squares() -> None:
    large = picture(12, 20)
    want = large.reshape(6, 2, 10, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(downscale(large, 2, "area"), want, atol=1e-6)


def test_bicubic_reduction_mirrors_with_the_edge_pixel_repeated() -> None:
    large = picture(16, 24)
    padded = np.pad(large, ((16, 16), (24, 24), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(downscale(padded, 4)[4:8, 6:12], downscale(large, 4))


def test_phases_are_the_pixels_they_say() -> None:
    large = picture(8, 12)
    phases = deinterleave(large, 4)
    assert np.array_equal(phases[1, 2, 0, 2], large[1, 10])
    np.testing.assert_array_equal(interleave(phases), large)


@pytest.mark.parametrize("side", [(7, 8), (8, 7), (2, 8)])
def test_a_size_that_cannot_be_reduced_is_refused(side: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 2"):
        downscale(np.zeros((*side, 3), np.float32), 2)


@pytest.mark.parametrize("degrees", [0, 1, 5, 22, 45, 71, 90, 133])
def test_beside_a_straight_edge_nothing_passes_the_plateau(degrees: int) -> None:
    edge = slanted_edge(32, degrees, 0.2, 0.8)
    for got, strict in zip(limits(edge, 3.0), limits(edge, 0.0), strict=True):
        np.testing.assert_allclose(got[4:-4, 4:-4], strict[4:-4, 4:-4], atol=1e-6)
    low, high = limits(edge, 1.0)
    for method in METHODS:
        phases = enlarge(edge, 4, method)  # type: ignore[arg-type]
        free = interleave(phases)[32:-32, 32:-32]
        assert overshoot(free, 0.2, 0.8) > 3.0
        assert overshoot(interleave(limit(phases, low, high))[32:-32, 32:-32], 0.2, 0.8) < 1e-4


def test_a_thin_line_may_rise_above_its_pixels_by_as_much_as_it_stands_out() -> None:
    line = np.full((15, 15, 1), 0.1, np.float32)
    line[:, 7] = 0.5
    low, high = limits(line, 1.0)
    assert high[7, 7, 0] == pytest.approx(0.5 + (0.5 - 0.1))
    assert low[7, 7, 0] == pytest.approx(0.1)
    assert limits(line, 0.0)[1][7, 7, 0] == pytest.approx(0.5)
    low, high = limits(-line, 1.0)
    assert (high[7, 7, 0], low[7, 7, 0]) == pytest.approx((-0.1, -0.9))


def test_a_step_to_a_highlight_has_no_negative_lobes() -> None:
    step = slanted_edge(24, 8, 0.01, 100.0)
    free = enlarge(step, 2)
    assert float(free.min()) < -3.0
    limit(free, *limits(step, 1.0))
    assert float(interleave(free)[8:-8, 8:-8].min()) >= 0.0099


def test_mtf50_is_that_of_the_pixel_for_an_edge_at_full_size() -> None:
    # A pixel's own response is sinc(f); it is one half at 0.6034 cycles a pixel.
    edge = slanted_edge(64, 5, 0.0, 1.0)
    assert mtf50(edge, 5, 1) == pytest.approx(0.6034, abs=0.01)
