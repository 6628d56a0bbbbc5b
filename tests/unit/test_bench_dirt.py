"""The dirt benchmark: its figures against brute force, its peers against their definitions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.bench import dirt
from wetgate.bench.dirt import rows
from wetgate.bench.dirt.clips import (
    ACTIONS,
    FIRST,
    HEIGHT,
    NUMBERS,
    WIDTH,
    DirtyClip,
    Plate,
    action_clip,
    action_plan,
    damage_plan,
    dirty_clip,
    held_out_overlays,
    to_light,
)
from wetgate.bench.dirt.filters import around_of, filters, through_ffmpeg
from wetgate.bench.dirt.measure import Clean, Damaged, Mended, Share, common_settings
from wetgate.bench.dirt.peers import (
    detectors,
    filled,
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
from wetgate.bench.dirt.runner import (
    Altered,
    altered_of,
    called_labels,
    claims_of,
    delivered,
    facts_of,
    restore,
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
from wetgate.bench.dirt.search import Found, Setting, called_at, detect_by, grain_deviation
from wetgate.bench.dirt.truth import connected, in_deviations
from wetgate.bench.dirt.visible import is_shown
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import BenchTable
from wetgate.measure import psnr
from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Fix,
    Footprint,
    FrameReader,
    Judged,
    NoSurveys,
    OperatorSpec,
    Provenance,
    SourceFacts,
    Stage,
    Window,
)
from wetgate.simulate.dirt_shapes import is_held_out

Mask = NDArray[np.bool_]
_RNG = np.random.default_rng


def _mask(seed: int, share: float, size: tuple[int, int] = (14, 17)) -> Mask:
    return _RNG(seed).uniform(0, 1, size) < share


# scores against brute force


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


# peers


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
    scene = _plate().frames[0, :64, :80]
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


# material


def _plate(group: str = "static") -> Plate:
    rng = _RNG(11)
    small = rng.uniform(0.05, 0.9, (12, 16, 3)).astype(np.float32)
    picture = np.repeat(np.repeat(small, 8, axis=0), 8, axis=1)[:96, :128]
    frames = np.repeat(to_light(picture)[None], len(NUMBERS), axis=0)
    return Plate("blocks", "static" if group == "static" else "moving", frames)


@pytest.fixture(scope="module")
def clip() -> DirtyClip:
    return dirty_clip(_plate(), "heavy", 11)


def test_masks_tell_dirt_from_rim_and_from_clean(clip: DirtyClip) -> None:
    for number, frame in clip.frames.items():
        masks, truth = clip.masks[number], frame.truth
        assert np.array_equal(masks.touched, np.any(frame.pixels != truth.undirtied, axis=-1))
        assert not (masks.dirt & masks.ignored).any()
        assert np.array_equal(masks.dirt | masks.ignored, masks.touched)
        assert (masks.dirt <= (masks.objects > 0)).all() and (masks.objects > 0)[masks.dirt].all()
        change = in_deviations(frame, truth.undirtied, frame.pixels)
        assert (change[masks.dirt] > 1).all()
        for k in range(masks.count):
            assert change[masks.objects == k + 1].max() > 3
        assert (masks.told <= masks.touched).all() and masks.told[masks.objects > 0].all()
        hidden = masks.core & (masks.objects == 0)
        assert not hidden.any() or change[hidden].max() <= 3
    assert sum(m.count for m in clip.masks.values()) > 100


def test_frames_are_10_bit_codes_and_the_same_dirt_never_comes_twice(clip: DirtyClip) -> None:
    codes = clip.frames[FIRST].pixels * np.float64(1023)
    assert np.allclose(codes, np.rint(codes), atol=1e-3)
    again = dirty_clip(_plate(), "heavy", 11)
    assert np.array_equal(again.frames[FIRST].pixels, clip.frames[FIRST].pixels)
    other = dirty_clip(_plate(), "heavy", 12)
    assert not np.array_equal(other.masks[FIRST].dirt, clip.masks[FIRST].dirt)
    plates_ = [_plate(), replace(_plate(), name="again")]
    made = [make() for make in damage_plan(plates_, None, quick=True)]
    assert [c.kind for c in made] == ["medium", "medium"]
    assert not np.array_equal(made[0].masks[FIRST].dirt, made[1].masks[FIRST].dirt)


def test_a_full_run_has_every_strength_and_every_action(tmp_path: Path) -> None:
    found = [replace(_plate(), name=name) for name in "abc"]
    # Three strengths a plate, and overlays of one strength on each.
    assert len(list(damage_plan(found, tmp_path, quick=False))) == 3 * 3 + 3
    assert len(list(damage_plan(found, None, quick=False))) == 3 * 3
    assert len(list(action_plan(found[:2], quick=False))) == 2 * (len(ACTIONS) + 1)
    assert len(list(action_plan(found[:2], quick=True))) == len(ACTIONS) + 1


@pytest.mark.parametrize("kind", ["speculars", None])
def test_action_is_clean(kind: str | None) -> None:
    acted = action_clip(_plate(), "speculars" if kind else None, 11)
    assert acted.masks == {} and len(acted.frames) == len(NUMBERS)
    assert not any(f.truth.matte.any() for f in acted.frames.values())
    moved = [f.truth.action for f in acted.frames.values()]
    assert all((a is not None) == (kind is not None) for a in moved)
    assert {"limbs", "rain", "confetti", "sparkles", "strobe", "birds", "speculars"} == set(ACTIONS)


def test_only_held_out_overlays_are_used(shared_data: Path, tmp_path: Path) -> None:
    folder = held_out_overlays(shared_data, tmp_path / "kept")
    files = [p.name for p in folder.glob("*/*.png")]
    every = [p.name for p in (shared_data / "film-damage").glob("*/*.png")]
    assert sorted(files) == sorted(n for n in every if is_held_out(n))
    assert 0.1 < len(files) / len(every) < 0.3
    with pytest.raises(FileNotFoundError, match="film-damage"):
        held_out_overlays(tmp_path, tmp_path / "none")


def test_content_is_shown_where_it_moved_to_unless_dirt_lies_there() -> None:
    rng = _RNG(12)
    there = rng.uniform(0, 1, (60, 80, 3)).astype(np.float32)
    here = np.roll(there, (3, -7), axis=(0, 1))
    blob = np.zeros((60, 80), np.bool_)
    blob[20:28, 30:41] = True
    clean = np.zeros((60, 80), np.bool_)
    assert is_shown(here, blob, 1e-6, there, clean)
    dirty = clean.copy()
    dirty[20, 40] = True  # where the blob's content lies there
    assert not is_shown(here, blob, 1e-6, there, dirty)
    assert not is_shown(here, blob, 1e-6, there, clean, search=4)
    assert not is_shown(here, blob, 1e-3, 1 - there, clean)


def test_content_is_found_between_pixels() -> None:
    y, x = np.mgrid[0:60, 0:80].astype(np.float32)
    waves = [np.sin((x + s) / 5) * np.cos(y / 7) for s in (0.0, 0.5)]
    here, there = (np.repeat(0.5 + 0.3 * w[..., None], 3, axis=2) for w in waves)
    blob = np.zeros((60, 80), np.bool_)
    blob[20:30, 30:40] = True
    assert is_shown(here, blob, 4e-5, there, np.zeros_like(blob))


# the operator's side


def _fix(number: int, box: Box, *, applied: bool, anchor: tuple[int, int] = (0, 0)) -> Fix:
    return Fix(
        number=number, frame=FIRST, anchor=anchor, kind="dust", box=box, area=4, polarity=1,
        confidence=0.8, applied=applied,
    )  # fmt: skip


def test_what_is_delivered_and_called_dirt() -> None:
    source = np.full((10, 10, 3), 300 / 1023, np.float32)
    fixes = np.zeros((10, 10), np.uint32)
    fixes[2:4, 2:4] = 1
    matte = (fixes > 0).astype(np.float32)
    sure = 0.8 * matte
    sure[7:9, 7:9] = 0.8
    sure[0, :] = 0.3
    said = Judged(
        np.full_like(source, 0.5),
        fixes=fixes,
        planes={"dirt.matte": matte, "dirt.confidence": sure},
        records=(
            _fix(1, Box(2, 2, 4, 4), applied=True),
            _fix(2, Box(6, 6, 10, 10), applied=False),
        ),
    )
    shown = delivered(source, said)
    assert np.array_equal(shown[fixes == 0], source[fixes == 0])
    assert (shown[fixes > 0] == np.float32(512) / np.float32(1023)).all()
    assert np.array_equal(
        called_labels(said), fixes.astype(int) + 2 * ((sure > 0.5) & (fixes == 0))
    )
    assert delivered(source, Judged(said.pixels)) is source
    with pytest.raises(ValueError, match="matte"):
        called_labels(Judged(said.pixels))


class _Marker(NoSurveys):
    """Mark what the map of defects marks, and say so."""

    @property
    def footprint(self) -> Footprint:
        return Footprint()

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        told = window.planes["defects"][..., 0]
        fixes = (told > 0).astype(np.uint32)
        return Judged(
            np.where(fixes[..., None] > 0, np.float32(0), window.center),
            fixes=fixes,
            planes={"dirt.matte": told, "dirt.confidence": told},
            records=(_fix(1, Box(2, 2, 4, 4), applied=True, anchor=(2, 2)),),
        )


class _Marking:
    """An operator of one stage."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (_Marker(),)

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name="marking", version=1, footprint=Footprint(), working_space="log",
            provenance=Provenance.BORROWED,
        )  # fmt: skip

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {}


def test_a_map_reaches_the_operator_and_its_words_come_back(clip: DirtyClip) -> None:
    numbers = range(FIRST, FIRST + 2)
    maps = {n: clip.masks[n].told.astype(np.float32) for n in numbers}
    done = restore(_Marking(), clip, numbers, maps)
    for n in numbers:
        told = clip.masks[n].told
        assert (done.frames[n][told] == 0).all()
        assert np.array_equal(done.frames[n][~told], clip.frames[n].pixels[~told])
        assert np.array_equal(done.labels[n] > 0, told)
    streamed = run_streaming(
        _Marking(), clip.pixels, list(numbers), facts_of(128, 96),
        {n: {"defects": m[..., None]} for n, m in maps.items()},
    )  # fmt: skip
    assert len(streamed.stage_seconds) == 1
    assert streamed.cpu_seconds == pytest.approx(sum(streamed.stage_seconds))
    claims = claims_of(clip, done)
    near = clip.masks[FIRST].touched[1:4, 1:4].any()
    assert len(claims) == 2 and claims[0] == (0.8, bool(near))


def test_altered_pixels_are_counted_where_no_dirt_lies(clip: DirtyClip) -> None:
    frame, masks = clip.frames[FIRST], clip.masks[FIRST]
    sigma = frame.truth.grain_sigma
    assert sigma is not None
    y, x = np.argwhere(~masks.touched)[7]
    v, u = np.argwhere(masks.dirt)[0]
    shown = frame.pixels.copy()
    shown[y, x, 1] += 3.5 * sigma[y, x, 1]
    shown[y, x - 1 if not masks.touched[y, x - 1] else x, 2] += np.float32(1e-3)
    shown[v, u] += 1
    got = altered_of(clip, {FIRST: shown}, blobs=2)
    assert (got.pixels, got.by_much, got.blobs) == (int((~masks.touched).sum()), 1, 2)
    assert got.at_all in (1, 2) and (got + got).frames == 2


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


# the table


def _case(plate: str, ours: float, peer: float, hole: float) -> Damaged:
    def found(f1: float) -> Found:
        counts = Counts(round(1000 * f1), 1000, round(1000 * f1), 1000)
        return Found(pixels=counts, objects=counts, all_pixels=counts, all_objects=counts)

    def mended(db: float) -> Mended:
        return Mended(
            hole=db, rim=40.0, beneath=db + 1, shown=Share(9, 10), others=Share(0, 2),
            close=Share(8, 10),
        )  # fmt: skip

    setting = Setting(variant=0, blur=0.0, threshold=4.0 if peer > 0.5 else 5.0, least=1)
    return Damaged(
        plate=plate, group="moving", kind="light", digest="xxh128:0", hidden=1, blobs=10,
        found={"wetgate": found(ours), "ROD in place": found(peer)},
        objects={"wetgate": ours, "ROD in place": peer},
        mended={"wetgate": mended(hole), "Telea": mended(20.0)},
        claims=[(0.9, True)] * 9 + [(0.9, False)],
        settings={"ROD in place": setting},
    )  # fmt: skip


def test_the_table_says_who_leads_and_what_was_reached(tmp_path: Path) -> None:
    cases = [_case("a", 0.95, 0.8, 30.0), _case("a", 0.85, 0.8, 20.0), _case("b", 0.96, 0.4, 29.0)]
    clean = [
        Clean(
            plate="a", kind="rain", digest="xxh128:1", candidates=3,
            altered={
                "wetgate": Altered(pixels=1000, at_all=4, by_much=2, frames=50, blobs=1),
                "ROD in place": Altered(pixels=1000, at_all=9, frames=50, blobs=7),
            },
        )
    ]  # fmt: skip
    made = dirt.table(cases, clean, ["overlays: absent"], [])
    rows = {row.case: row for row in made.rows}
    f1 = rows["moving: pixel F1"]
    assert f1.wetgate == pytest.approx((0.90 + 0.96) / 2) and f1.reached is True
    assert f1.peer == pytest.approx((0.8 + 0.4) / 2)
    assert str(f1.extra["lead with 95 %"]).startswith("0.33 (0.1 to 0.56)")
    hole = rows["moving: PSNR in the hole, wetgate"]
    assert hole.wetgate == pytest.approx(27.0) and hole.reached is False
    assert hole.goal == ">= 28 dB and +6 dB"
    assert rows["moving: blobs invisible, wetgate"].wetgate == pytest.approx(90.0)
    rain = rows["all action: false blobs per 100 frames"]
    assert rain.peer == 14.0  # the peer's row comes later
    false = next(r for r in made.rows if r.case == rain.case and r.goal)
    assert false.wetgate == 2.0 and false.reached is False
    assert "altered by 3 deviations 2000 ppm, at all 4000 ppm" in str(false.extra["more"])
    error = rows["confidence: expected calibration error"]
    assert error.wetgate == pytest.approx(0.0, abs=1e-9) and error.reached is True
    assert rows["confidence 0.9 to 1.0: share that is dirt"].wetgate == pytest.approx(0.9)
    assert "overlays: absent" in rows["skipped"].note
    assert common_settings(cases)["ROD in place"].threshold == 4.0
    assert "pixel F1" in made.to_text()
    if pytest.importorskip("matplotlib", reason="draws the diagram"):
        (drawing,) = dirt.draw(made, tmp_path / "dirt-now")
        assert drawing.name == "dirt-now.svg" and "<svg" in drawing.read_text(encoding="utf-8")


def test_without_the_operator_the_peers_are_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirt, "dirt_operator", lambda: None)
    monkeypatch.setattr(dirt, "plates", lambda data, names: ([_plate()], []))
    monkeypatch.setattr(dirt, "data_folder", lambda data: None)
    monkeypatch.setattr(dirt, "filters", lambda: (filters()[0][:1], []))
    monkeypatch.setattr(dirt, "_cost", lambda found, quick: [])
    made = dirt.run(quick=True)
    assert isinstance(made, BenchTable)
    row = next(r for r in made.rows if r.case == "static: pixel F1")
    assert math.isnan(row.wetgate) and row.peer is not None and row.peer > 0.5
    skipped = next(r for r in made.rows if r.case == "skipped")
    assert "no operator dirt" in skipped.note and "film-damage" in skipped.note
    assert (WIDTH, HEIGHT) == (256, 192)
    assert around_of({1: _plate().frames[0]}, 1).still[1].others == {}
