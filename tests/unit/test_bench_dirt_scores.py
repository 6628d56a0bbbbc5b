"""The figures of the dirt benchmark, against brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.bench.dirt import rows
from wetgate.bench.dirt.peers import (
    filled,
)
from wetgate.bench.dirt.scores import (
    Counts,
    Errors,
    calibration_error,
    errors_in,
    judge_blob,
    labels_of,
    object_counts,
    pixel_counts,
    reliability,
    rim_of,
)
from wetgate.bench.dirt.truth import connected
from wetgate.measure import psnr

Mask = NDArray[np.bool_]
_RNG = np.random.default_rng


def _mask(seed: int, share: float, size: tuple[int, int] = (14, 17)) -> Mask:
    return _RNG(seed).uniform(0, 1, size) < share


@pytest.mark.parametrize("seed", range(6))
def test_pixel_counts_are_those_of_every_pair_of_pixels(seed: int) -> None:
    called, dirt_, ignored = (_mask(10 * seed + k, s) for k, s in enumerate((0.1, 0.08, 0.15)))
    dirt_ &= ~ignored
    here = [tuple(p) for p in np.argwhere(called & ~ignored)]
    every = [tuple(p) for p in np.argwhere(called)]
    true = [tuple(p) for p in np.argwhere(dirt_)]

    def near(p: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
        return any(max(abs(p[0] - q[0]), abs(p[1] - q[1])) <= 1 for q in others)

    got = pixel_counts(called, dirt_, ignored)
    assert got == Counts(
        sum(near(p, true) for p in here), len(here), sum(near(q, every) for q in true), len(true)
    )
    precision, recall = got.right / got.called, got.found / got.there
    assert got.f1 == pytest.approx(2 / (1 / precision + 1 / recall))


def test_a_mask_is_perfect_against_itself_and_worthless_against_its_far_mirror() -> None:
    one = np.zeros((20, 20), np.bool_)
    one[2:5, 3:6] = True
    assert pixel_counts(one, one).f1 == 1.0
    assert pixel_counts(one[::-1], one).f1 == 0.0
    assert pixel_counts(np.roll(one, 1, axis=1), one).f1 == 1.0
    assert pixel_counts(np.zeros_like(one), one).recall == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_objects_are_paired_by_the_best_of_all_pairings(seed: int) -> None:
    rng = _RNG(seed)
    called = rng.integers(0, 5, (5, 6)).astype(np.int32)
    # The same objects, moved about a little.
    truth = np.where(rng.uniform(0, 1, called.shape) < 0.3, 0, called).astype(np.int32)
    truth = np.where(truth > 0, truth % 4 + 1, 0).astype(np.int32)
    ignored = rng.uniform(0, 1, called.shape) < 0.1
    got = object_counts(called, truth, ignored)
    a = [called == v for v in range(1, 5) if ((called == v) & ~ignored).any()]
    b = [truth == v for v in range(1, 5) if ((truth == v) & ~ignored).any()]

    def iou(x: Mask, y: Mask) -> float:
        return float((x & y & ~ignored).sum() / ((x | y) & ~ignored).sum())

    long, short = (a, b) if len(a) >= len(b) else (b, a)
    most = max(
        sum(iou(x, y) > 0.3 for x, y in zip(order, short, strict=False))
        for order in itertools.permutations(long)
    )
    assert (got.called, got.there, got.right) == (len(a), len(b), most)
    assert got.found == got.right


def test_ignored_pixels_cost_an_object_nothing() -> None:
    truth = np.zeros((12, 12), np.int32)
    truth[4:7, 4:7] = 1
    rim = np.zeros((12, 12), np.bool_)
    rim[3:8, 3:8] = True
    rim &= truth == 0
    called = (rim | (truth > 0)).astype(np.int32)
    assert object_counts(called, truth, rim).f1 == 1.0
    called[3:8, 8:12] = 1
    assert object_counts(called, truth, rim).f1 == 1.0  # 9 of 29 px
    called[2, :] = 1
    assert object_counts(called, truth, rim).f1 == 0.0
    assert object_counts(2 * rim.astype(np.int32), truth, rim).called == 0


def test_parts_within_two_px_are_one_object() -> None:
    mask = np.zeros((7, 20), np.bool_)
    mask[3, 2], mask[3, 4], mask[3, 8] = True, True, True
    number, labels = connected(mask)
    assert number == 2 and labels[3, 2] == labels[3, 4] != labels[3, 8]
    assert (labels > 0).sum() == 3
    assert labels_of(mask, 2).max() == 1 and (labels_of(mask, 2) > 0).sum() == 2


def test_errors_are_those_of_the_metric_and_pool() -> None:
    rng = _RNG(3)
    a, b = (rng.uniform(0, 1, (6, 8, 3)).astype(np.float32) for _ in range(2))
    everywhere = np.ones((6, 8), np.bool_)
    assert errors_in(a, b, everywhere).psnr == pytest.approx(psnr(a, b), abs=1e-9)
    half = everywhere.copy()
    half[:, 4:] = False
    pooled = errors_in(a, b, half) + errors_in(a, b, ~half)
    assert pooled.psnr == pytest.approx(psnr(a, b), abs=1e-6)
    assert errors_in(a, a, half).psnr == math.inf and math.isnan(Errors().psnr)


def test_a_rim_is_what_lies_within_four_px() -> None:
    hole = np.zeros((21, 21), np.bool_)
    hole[10, 10] = True
    assert rim_of(hole).sum() == 80 and not rim_of(hole)[10, 10]


def _blob_scene() -> tuple[NDArray[np.float32], NDArray[np.float32], Mask]:
    clean = np.full((40, 40, 3), 0.4, np.float32)
    grain = (0.02 * _RNG(1).standard_normal(clean.shape)).astype(np.float32)
    hole = np.zeros((40, 40), np.bool_)
    hole[15:25, 14:26] = True
    return clean, clean + grain, hole


def test_another_take_of_the_grain_is_invisible_and_an_offset_is_not() -> None:
    clean, scan, hole = _blob_scene()
    sigma = np.full_like(clean, 0.02)
    other = clean + (0.02 * _RNG(2).standard_normal(clean.shape)).astype(np.float32)
    fine = judge_blob(scan, clean, sigma, filled(scan, hole, other), hole)
    # Two takes of one grain: twice its variance.
    assert fine.psnr == pytest.approx(-10 * math.log10(2 * 0.02**2), abs=0.7)
    assert fine.beneath > 40 and fine.is_invisible
    dark = judge_blob(scan, clean, sigma, filled(scan, hole, other - np.float32(0.2)), hole)
    assert dark.psnr == pytest.approx(-10 * math.log10(0.2**2 + 2 * 0.02**2), abs=0.2)
    assert dark.seam > 35 > dark.allowed and not dark.is_invisible


def test_a_seam_shows_even_where_the_hole_is_close_enough() -> None:
    clean, scan, hole = _blob_scene()
    quiet = clean + 0.001 * (scan - clean)
    shown = filled(quiet, hole, quiet + np.float32(0.03))
    verdict = judge_blob(quiet, clean, np.full_like(clean, 2e-5), shown, hole)
    assert verdict.psnr > 28 and not verdict.is_invisible


# confidence


def test_honest_claims_are_calibrated_and_boasts_are_off_by_as_much() -> None:
    rng = _RNG(5)
    confidence = rng.uniform(0, 1, 40_000)
    right = rng.uniform(0, 1, confidence.size) < confidence
    honest = list(zip(confidence.tolist(), right.tolist(), strict=True))
    assert calibration_error(reliability(honest)) < 0.01
    boasts = [(0.9, k % 10 < 6) for k in range(1000)]
    table = reliability(boasts)
    assert (table[9].count, table[9].true) == (1000, 0.6)
    assert table[9].predicted == pytest.approx(0.9)
    assert calibration_error(table) == pytest.approx(0.3)
    assert calibration_error(reliability([(1.0, True), (0.0, False)])) == 0.0
    assert math.isnan(calibration_error(reliability([])))


def test_bins_are_weighted_by_their_counts() -> None:
    claims = [(0.05, False)] * 30 + [(0.95, False)] * 10
    assert calibration_error(reliability(claims)) == pytest.approx((30 * 0.05 + 10 * 0.95) / 40)


@pytest.mark.parametrize("events", [0, 1, 4, 20])
def test_the_most_that_so_few_events_allow(events: int) -> None:
    most = rows.poisson_most(events)
    term, total = math.exp(-most), 0.0
    for k in range(events + 1):
        total += term
        term *= most / (k + 1)
    assert total == pytest.approx(0.025, rel=1e-6)
    if events == 0:
        assert most == pytest.approx(-math.log(0.025))
