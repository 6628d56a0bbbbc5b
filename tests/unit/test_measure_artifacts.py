"""Blocking and mosquito figures on pictures whose figures follow from a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.measure.artifacts import (
    blockiness,
    grid_jump,
    mosquito,
    near_edges,
    reduction,
)

SIZE = 96


def ramp(slope: float = 0.003) -> NDArray[np.float32]:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    return (0.2 + slope * x + 0.5 * slope * y).astype(np.float32)


def checkers(period: int, step: float, offset: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
    """Blocks of `period` px, every second one lighter by `step`: every border is a step."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    odd = ((x - offset[0]) // period + (y - offset[1]) // period) % 2
    return (0.5 + step * odd).astype(np.float32)


def test_a_ramp_has_no_jumps() -> None:
    assert grid_jump(ramp()) == pytest.approx(0.0, abs=1e-7)


def test_jumps_of_8_px_blocks_are_the_step() -> None:
    step = 0.1
    # Period 8: every border of 8 and 16 jumps by the step, of the multiples of 4 every second
    # one. Places on none of the grids: the neighbors of a border at 8 see half the step, those
    # at 4 nothing; of the places 1, 2, 3, 5, 6, 7 that is 1 and 7.
    places = np.arange(2, SIZE - 1)
    inside = places[places % 4 != 0]
    off = 0.5 * step * np.isin(inside % 8, (1, 7)).mean()
    four = (places[places % 4 == 0] % 8 == 0).mean() * step
    want = (four + step + step) / 3 - off
    assert grid_jump(checkers(8, step)) == pytest.approx(want, rel=1e-5)


def test_the_grid_may_start_anywhere() -> None:
    shifted = checkers(8, 0.1, (3, 5))
    assert grid_jump(shifted, offset=(3, 5)) > 0.06
    assert grid_jump(shifted) < 0.02


def test_blockiness_is_what_the_truth_does_not_have() -> None:
    truth = checkers(8, 0.05)
    assert blockiness(truth, truth) == 0.0
    worse = blockiness(truth, checkers(8, 0.15))
    assert worse == pytest.approx(2 * grid_jump(truth), rel=1e-5)
    assert blockiness(truth, np.full_like(truth, 0.5)) == pytest.approx(-grid_jump(truth))


def test_a_blur_of_blocks_is_seen_as_less_blocking() -> None:
    blocks = checkers(8, 0.1)
    soft = blocks.copy()
    soft[:, 1:-1] = (blocks[:, :-2] + blocks[:, 1:-1] + blocks[:, 2:]) / 3
    flat = np.full_like(blocks, 0.5)
    assert 0.0 < blockiness(flat, soft) < blockiness(flat, blocks)


def edge(height: float = 0.5) -> NDArray[np.float32]:
    picture = np.full((SIZE, SIZE), 0.25, np.float32)
    picture[:, SIZE // 2 :] += np.float32(height)
    return picture


def test_mosquito_noise_of_a_known_wave() -> None:
    truth = edge()
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    wave = (0.02 * np.cos(np.pi * x) * np.cos(np.pi * y)).astype(np.float32)
    # The binomial mean takes the highest frequency away whole: the high-pass is the wave itself,
    # of energy 0.02 ** 2. The band is 8 px either side of the two columns where the central
    # difference is large. Where the edge itself has high-pass, its product with the wave
    # averages out over the 5 x 5 px, all but a remainder.
    band = near_edges(truth)
    assert band.mean() == pytest.approx(18 / SIZE)
    far = slice(SIZE // 2 + 4, SIZE // 2 + 9)
    only = np.where(np.isin(x, np.arange(far.start - 2, far.stop + 2)), wave, 0).astype(np.float32)
    got = mosquito(truth, truth + wave)
    assert got == pytest.approx(0.02**2, rel=0.08)
    part = mosquito(truth, truth + only)
    assert 0.2 * got < part < 0.7 * got


def test_noise_far_from_edges_is_no_mosquito_noise() -> None:
    truth = edge()
    noisy = truth.copy()
    noisy[:, : SIZE // 4] += np.random.default_rng(1).normal(0, 0.05, (SIZE, SIZE // 4))
    assert mosquito(truth, noisy) == 0.0
    assert mosquito(ramp(), ramp() + 0.01 * np.sign(noisy)) == 0.0


def test_lost_detail_does_not_pay_for_noise() -> None:
    rng = np.random.default_rng(2)
    truth = edge()
    truth[: SIZE // 2] += rng.normal(0, 0.02, (SIZE // 2, SIZE)).astype(np.float32)
    shown = edge()
    shown[SIZE // 2 :] += rng.normal(0, 0.05, (SIZE // 2, SIZE)).astype(np.float32)
    only_noise = edge()
    only_noise[SIZE // 2 :] = shown[SIZE // 2 :]
    assert mosquito(truth, edge()) < 0.02 * mosquito(truth, shown)
    assert mosquito(truth, shown) > 0.5 * mosquito(edge(), only_noise)


def test_reduction() -> None:
    assert reduction(4.0, 1.0) == 0.75
    assert reduction(4.0, -4.0) == 0.0
    assert reduction(4.0, 6.0) == -0.5
    assert math.isnan(reduction(0.0, 0.0)) and math.isnan(reduction(-1.0, 1.0))


@pytest.mark.parametrize("shape", [(16, 64), (64, 31)])
def test_too_small_or_different_frames_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="32 x 32"):
        grid_jump(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="agree"):
        mosquito(np.zeros(shape, np.float32), np.zeros((64, 64), np.float32))
    with pytest.raises(ValueError, match="agree"):
        blockiness(np.zeros(shape, np.float32), np.zeros((64, 64), np.float32))
