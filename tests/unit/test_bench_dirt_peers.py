"""The peers of the dirt benchmark against their definitions, and the search of their settings."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.dirt_blocks import blocks, dirty_blocks
from wetgate.bench.dirt.clips import (
    FIRST,
    DirtyClip,
)
from wetgate.bench.dirt.filters import filters, through_ffmpeg
from wetgate.bench.dirt.peers import (
    detectors,
    inpainted,
    laid_onto,
    neighborhood,
    rod,
    rod_block,
    sdia,
    sdip,
    spatial_median,
    suspicion,
    temporal_median,
)
from wetgate.bench.dirt.scores import (
    Counts,
    pixel_counts,
)
from wetgate.bench.dirt.search import Setting, called_at, detect_by, grain_deviation

_RNG = np.random.default_rng


@pytest.fixture
def clip() -> DirtyClip:
    return dirty_blocks()


def test_detectors_on_a_speck_of_one_frame() -> None:
    before = np.full((9, 9), 0.5, np.float32)
    here, after = before.copy(), before + np.float32(0.02)
    here[4, 4] = 0.9
    for found in (sdia(here, before, after), sdip(here, before, after)):
        assert found[4, 4] == pytest.approx(0.38, abs=1e-6)
    # Between its neighbors a pixel is motion, not dirt: the signs differ.
    assert sdip(here - before + np.float32(0.51), before, after)[0, 0] == 0
    assert rod_block(here, before, after)[4, 4] == pytest.approx(0.38, abs=1e-6)
    for name, variants in detectors().items():
        for detector in variants:
            assert detector(here, before, after)[4, 4] > 0.1, name
            dark = detector(1 - here, 1 - before, 1 - after)[4, 4]
            assert dark == pytest.approx(detector(here, before, after)[4, 4], abs=1e-6), name


@pytest.mark.parametrize("shares", [(1.0, 1.5, 2.0), (1.0, np.inf, np.inf)])
def test_rank_order_is_that_of_six_pixels_by_hand(shares: tuple[float, float, float]) -> None:
    rng = _RNG(8)
    here, before, after = (rng.uniform(0, 1, (7, 8)).astype(np.float32) for _ in range(3))
    got = rod(here, before, after, shares)
    for y, x in itertools.product(range(1, 6), range(8)):
        six = sorted(float(p[y + d, x]) for p in (before, after) for d in (-1, 0, 1))
        value = float(here[y, x])
        above = value > 0.5 * (six[2] + six[3])
        gaps = [value - six[5 - k] if above else six[k] - value for k in range(3)]
        most = max(g / s for g, s in zip(gaps, shares, strict=True))
        assert got[y, x] == pytest.approx(max(most, 0.0), abs=1e-6)


def test_at_the_ends_of_a_clip_the_one_neighbor_counts() -> None:
    frames = {n: np.full((8, 8, 3), 0.1 * n, np.float32) for n in (1, 2, 3)}
    first = neighborhood(frames, 1, 2, moved=False)
    assert sorted(first.others) == [1, 2]
    assert suspicion(first, sdia, 0.0)[0, 0] == pytest.approx(0.1, abs=1e-6)
    alone = neighborhood({1: frames[1]}, 1, 1, moved=False)
    with pytest.raises(ValueError, match="neighbor"):
        suspicion(alone, sdia, 0.0)


def test_a_neighbor_is_laid_where_motion_takes_it() -> None:
    scene = blocks().frames[0, :64, :80]
    here, there = scene[:48, 4:68], scene[:48, :64]  # moves 4 px to the right
    moved = laid_onto(here, there)
    inner = np.s_[8:-8, 12:-12]
    assert np.abs(moved - here)[inner].mean() < 0.25 * np.abs(there - here)[inner].mean()


def test_medians_are_medians() -> None:
    rng = _RNG(9)
    frames = {n: rng.uniform(0, 1, (13, 15, 3)).astype(np.float32) for n in range(5)}
    around = neighborhood(frames, 2, 2, moved=False)
    stack = np.stack([frames[n] for n in (1, 2, 3)])
    assert np.array_equal(temporal_median(around, 1), np.median(stack, axis=0))
    for size in (3, 11):
        got = spatial_median(frames[2], size)
        half = size // 2
        window = frames[2][6 - half : 7 + half, 7 - half : 8 + half].reshape(-1, 3)
        # Above 5 px OpenCV knows 8 bits alone.
        assert got[6, 7] == pytest.approx(np.median(window, axis=0), abs=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("method", ["Telea", "Navier-Stokes"])
def test_inpainting_fills_the_hole_alone_and_bridges_a_ramp(method: str) -> None:
    ramp = np.linspace(0.2, 0.7, 40, dtype=np.float32)
    frame = np.repeat(np.repeat(ramp[None, :, None], 30, axis=0), 3, axis=2)
    hole = np.zeros((30, 40), np.bool_)
    hole[12:17, 18:23] = True
    broken = frame.copy()
    broken[hole] = 0.0
    made = inpainted(broken, hole, method, 5)
    assert np.array_equal(made[~hole], broken[~hole])
    assert np.abs(made - frame)[hole].max() < 0.03


def test_ffmpeg_gives_the_temporal_median_and_keeps_the_ends() -> None:
    pytest.importorskip("imageio_ffmpeg", reason="comes with the bench extra")
    rng = _RNG(10)
    codes = rng.integers(0, 65536, (6, 16, 24, 3))
    frames = {n: (c / np.float32(65535)).astype(np.float32) for n, c in enumerate(codes)}
    made = through_ffmpeg("tmedian=1", frames, 1)
    for n in range(1, 5):
        around = neighborhood(frames, n, 1, moved=False)
        assert made[n] == pytest.approx(temporal_median(around, 1), abs=1e-6)
    assert np.array_equal(made[0], frames[0]) and np.array_equal(made[5], frames[5])
    found, skipped = filters()
    assert {"ffmpeg tmedian", "ffmpeg removegrain", "ffmpeg atadenoise"} <= {f.name for f in found}
    assert skipped == []


def test_a_perfect_detector_is_found_to_be_perfect(clip: DirtyClip) -> None:
    numbers = range(FIRST + 3, FIRST + 6)
    unit = grain_deviation(clip, numbers)

    def values(n: int, v: int, blur: float) -> NDArray[np.float32]:
        return np.where(clip.masks[n].dirt, np.float32(5.5 * unit), np.float32(0))

    found = detect_by("oracle", clip, numbers, values, 1, blurs=(0.0,))
    assert found.by_pixels.pixels.f1 == 1.0 and found.by_objects.objects.f1 > 0.97
    assert found.setting.threshold <= 5.0
    assert found.curve[replace(found.setting, threshold=8.0)] == 0.0


def test_the_search_counts_as_the_score_does(clip: DirtyClip) -> None:
    numbers = range(FIRST + 3, FIRST + 5)
    noise = _RNG(13)
    planes = {n: noise.exponential(0.03, clip.masks[n].dirt.shape) for n in numbers}

    def values(n: int, v: int, blur: float) -> NDArray[np.float32]:
        return (planes[n] + 0.05 * clip.masks[n].dirt).astype(np.float32)

    found = detect_by("noisy", clip, numbers, values, 1, blurs=(0.0,))
    unit = np.float32(grain_deviation(clip, numbers))
    for setting in list(found.curve)[::3]:
        total = Counts()
        for n in numbers:
            called = called_at(values(n, 0, 0.0) / unit, setting)
            total += pixel_counts(called, clip.masks[n].dirt, clip.masks[n].ignored)
        assert found.curve[setting] == total.f1
    assert found.by_pixels.pixels.f1 == max(found.curve.values())


def test_small_parts_are_dropped() -> None:
    plane = np.zeros((9, 9), np.float32)
    plane[1, 1], plane[5:7, 5:7] = 9.0, 9.0
    setting = Setting(variant=0, blur=0.0, threshold=4.0, least=4)
    assert called_at(plane, setting).sum() == 4
    assert called_at(plane, replace(setting, least=1)).sum() == 5
