"""Detection of dirt: evidence against brute force, tiles against the whole, blobs and company."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.operators.base import SourceFacts, Window, pixels_of
from wetgate.operators.dirt.blobs import GROWTH, SEED, components, find_blobs
from wetgate.operators.dirt.confidence import (
    FINAL_FEATURES,
    PIXEL_FEATURES,
    Logistic,
    Perceptron,
    calibration,
    expanded,
    suspects,
)
from wetgate.operators.dirt.detect import CONFIDENCE, PICTURE, SPIKE, Detect, dirt_noise
from wetgate.operators.dirt.features import around, evidence
from wetgate.operators.dirt.looks import BLOB_FEATURES
from wetgate.operators.dirt.motion import displacement
from wetgate.operators.dirt.neighbors import (
    COMPANY_FEATURES,
    NEIGHBOR_FEATURES,
    compare,
    judge,
)
from wetgate.operators.dirt.net import INPUTS, LIMIT, NetChoice, net_planes, refined

WIDTH, HEIGHT, SIGMA = 176, 144, 0.01
FACTS = SourceFacts(
    sample_type="uint10", width=WIDTH, height=HEIGHT, channels=3, is_log_working=False
)
_VARIANCE = SIGMA**2
ANALYSIS = {
    "deviation": SIGMA,
    "channels": [{"variance": [_VARIANCE, 0.0, 0.0], "range": [0.0, 1.0], "clips": [False, False]}]
    * 3,
    "spectrum": [[1.0] * 64] * 3,
    "luma": [-90.0, 90.0],
    "temporal": True,
}
Frame = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    radius: int = 2
    polarity: str = "auto"
    smallest: int = 2
    largest: int = 128


def scene(shift: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> Frame:
    """Smooth texture that can be moved by any amount, with noise of its own."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, y = x - shift[0], y - shift[1]
    luma = 0.45 + 0.08 * np.sin(x / 9) * np.cos(y / 7) + 0.06 * np.sin((x + 2 * y) / 15)
    color = luma[..., None] * np.array([1.05, 1.0, 0.9])
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH, 3))
    moved: Frame = (color + SIGMA * noise).astype(np.float32)
    return moved


def still(count: int = 5) -> list[Frame]:
    return [scene(seed=k) for k in range(count)]


def window(
    frames: Sequence[Frame], center: int, stage: Detect, region: Box | None = None
) -> Window:
    whole = Box(0, 0, WIDTH, HEIGHT)
    region = region or whole
    radius = stage.operator.radius
    surveys = [stage.survey_frame(f, ANALYSIS, FACTS) for f in frames]
    numbers = range(center - radius, center + radius + 1)
    valid = tuple(0 <= k < len(frames) for k in numbers)
    cut = region.within(whole)
    return Window(
        number=center,
        pixels=tuple(
            np.ascontiguousarray(frames[k if ok else center][cut])
            for k, ok in zip(numbers, valid, strict=True)
        ),
        previous=(),
        valid=valid,
        pairs=tuple(
            stage.survey_pair(surveys[center], surveys[k]) if ok and k != center else None
            for k, ok in zip(numbers, valid, strict=True)
        ),
        region=region,
        tile=region,
        frame=whole,
    )


def planes_of(frames: Sequence[Frame], center: int, settings: Settings | None = None) -> Frame:
    stage = Detect(settings or Settings())
    return pixels_of(stage(window(frames, center, stage), ANALYSIS, FACTS))


def spot(frame: Frame, x: int, y: int, radius: float, value: float) -> Frame:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    out = frame.copy()
    out[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = value
    return out


def test_the_middle_of_the_neighbors_is_that_of_sorted_values() -> None:
    frames = still()
    stage = Detect(Settings())
    seen = evidence(window(frames, 2, stage), dirt_noise(ANALYSIS, FACTS))
    differences = np.sort([n.difference for n in seen.neighbors], axis=0)
    everywhere = np.logical_and.reduce([n.seen for n in seen.neighbors])
    want = 0.5 * (differences[1] + differences[2]) / 16
    assert everywhere.mean() > 0.9
    assert np.array_equal(seen.mid[everywhere], want[everywhere])
    both = np.stack([n.difference for n in seen.neighbors if abs(n.distance) == 1]) / 16
    one_sign = np.all(both > 0, axis=0) | np.all(both < 0, axis=0)
    smaller = np.where(one_sign, np.sign(both[0]) * np.abs(both).min(axis=0), 0.0)
    assert np.array_equal(seen.spike[everywhere], smaller[everywhere])


def test_noise_counts_as_one_deviation() -> None:
    stage = Detect(Settings())
    seen = evidence(window(still(), 2, stage), dirt_noise(ANALYSIS, FACTS))
    assert 0.9 < seen.mid.std() < 1.35  # its own, and half or less of the neighbors'
    assert 0.8 < seen.smooth.std() < 1.5


def test_means_of_whole_numbers_are_exact() -> None:
    values = np.random.default_rng(1).integers(-16000, 16000, (40, 50)).astype(np.float32)
    wide = np.pad(values, 3, mode="edge").astype(np.int64)
    brute = np.array(
        [[wide[y : y + 7, x : x + 7].sum() for x in range(50)] for y in range(40)], np.float64
    )
    assert np.array_equal(around(values, 3), (brute / 49).astype(np.float32))


def test_a_shift_is_found_and_believed() -> None:
    stage = Detect(Settings())
    frames = [scene((3.0 * k, -2.0 * k), seed=k) for k in range(5)]
    pair = window(frames, 2, stage).pairs[3]
    y, x = (v.ravel() for v in np.mgrid[30:110:5, 30:140:5])
    moved = displacement(pair, y, x)  # type: ignore[arg-type]
    assert np.abs(np.median(moved, axis=0) - (3.0, -2.0)).max() < 0.25
    assert pair.trust[8:-8, 8:-8].mean() > 0.7 * 255  # type: ignore[union-attr]


def test_a_frame_at_rest_is_left_at_rest() -> None:
    stage = Detect(Settings())
    pair = window(still(), 2, stage).pairs[1]
    share = np.mean(np.abs(pair.vectors).max(axis=2) == 0)  # type: ignore[union-attr]
    assert share > 0.9


def test_light_that_changes_is_no_dirt() -> None:
    frames = still()
    frames[2] = frames[2] + np.float32(0.15)  # a flash of 15 deviations over the whole frame
    assert planes_of(frames, 2)[..., CONFIDENCE].max() < SEED
    frames[2] = spot(frames[2], 90, 60, 4, 0.05)  # and dirt is found in a flash too
    assert planes_of(frames, 2)[60, 90, CONFIDENCE] > 0.5


def test_a_speck_is_found_where_it_lies_and_nothing_else() -> None:
    for value, polarity in ((0.08, -1), (0.85, 1)):
        frames = still()
        frames[2] = spot(frames[2], 60, 70, 4, value)
        planes = planes_of(frames, 2)
        table = find_blobs(planes, Settings(), ANALYSIS)
        clean = find_blobs(planes_of(frames, 3), Settings(), ANALYSIS)
        judged = judge(table, {-1: compare(table, clean), 1: compare(table, clean)})
        sure = [b for b, c in zip(table.blobs, judged, strict=True) if c > 0.5]
        assert len(sure) == 1
        blob = sure[0]
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        truth = (columns - 60) ** 2 + (rows - 70) ** 2 <= 16
        found = table.labels == blob.number
        assert (found & truth).sum() / (found | truth).sum() > 0.8
        assert blob.polarity == polarity and blob.kind == "dust"
        assert truth[blob.anchor[1], blob.anchor[0]]
        assert blob.alpha.shape == (blob.box.height, blob.box.width)
        inside = found[blob.box.y0 : blob.box.y1, blob.box.x0 : blob.box.x1]
        assert np.all(blob.alpha[inside] == 1.0) and blob.alpha.max() <= 1.0
        # The guide for flow shows the picture where the speck was.
        error = planes[..., PICTURE][truth] - scene(seed=9)[truth]
        assert np.sqrt(np.mean(error**2)) < 3 * SIGMA


def test_polarity_can_be_asked_for() -> None:
    frames = still()
    frames[2] = spot(spot(frames[2], 40, 40, 4, 0.08), 120, 90, 4, 0.85)
    for polarity, lost, kept in (("dark", (90, 120), (40, 40)), ("bright", (40, 40), (90, 120))):
        planes = planes_of(frames, 2, Settings(polarity=polarity))
        assert planes[lost][CONFIDENCE] == 0.0 and planes[kept][CONFIDENCE] > 0.5
        assert abs(planes[lost][SPIKE]) > 10


def test_the_first_frame_has_only_one_side() -> None:
    frames = still()
    frames[0] = spot(frames[0], 60, 70, 4, 0.08)
    assert planes_of(frames, 0)[70, 60, CONFIDENCE] > GROWTH
    alone = planes_of(frames[:1], 0)
    assert not alone[..., SPIKE:].any()
    assert np.array_equal(alone[..., PICTURE], frames[0])


def test_what_a_map_tells_is_certain() -> None:
    stage = Detect(Settings())
    told = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    told[30:34, 50:56] = 1.0
    seen = replace(window(still(), 2, stage), planes={"defects": told})
    planes = pixels_of(stage(seen, ANALYSIS, FACTS))
    assert np.all(planes[30:34, 50:56, CONFIDENCE] == 1.0)
    blob = next(b for b in find_blobs(planes, Settings(), ANALYSIS).blobs if b.told)
    assert blob.confidence == 1.0 and blob.area == 24


def test_a_tile_has_the_bits_of_the_whole() -> None:
    frames = [scene((1.5 * k, 0.7 * k), seed=k) for k in range(5)]
    frames[2] = spot(spot(frames[2], 88, 72, 3, 0.08), 95, 80, 5, 0.8)
    stage = Detect(Settings())
    halo = stage.footprint.halo
    tile = Box(80, 64, 104, 88)
    region = tile.grown(halo)
    whole = pixels_of(stage(window(frames, 2, stage), ANALYSIS, FACTS))
    base = window(frames, 2, stage)
    y = reflected(region.y0, region.y1, HEIGHT)
    x = reflected(region.x0, region.x1, WIDTH)
    cut = tuple(np.ascontiguousarray(p[np.ix_(y, x)]) for p in base.pixels)
    part = pixels_of(stage(replace(base, pixels=cut, region=region, tile=tile), ANALYSIS, FACTS))
    assert whole[64:88, 80:104, CONFIDENCE].max() > 0.5
    assert np.array_equal(part, whole[64:88, 80:104])


def reflected(start: int, stop: int, size: int) -> NDArray[np.intp]:
    at = np.abs(np.arange(start, stop)) % (2 * (size - 1))
    return np.where(at < size, at, 2 * (size - 1) - at)


def test_components_grow_from_seeds_like_a_flood() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0, 0.5, (40, 60)).astype(np.float32)
    confidence[rng.uniform(size=confidence.shape) < 0.97] = 0.0
    labels, count = components(confidence, 3)
    grown = confidence >= GROWTH
    want = np.zeros(grown.shape, int)
    number = 0
    for y, x in zip(*np.nonzero(grown), strict=True):
        if want[y, x]:
            continue
        stack, body = [(y, x)], {(y, x)}
        while stack:  # pieces up to 2 px apart are one: their dilations touch
            a, b = stack.pop()
            for c in range(max(a - 3, 0), min(a + 4, 40)):
                for d in range(max(b - 3, 0), min(b + 4, 60)):
                    if grown[c, d] and (c, d) not in body:
                        body.add((c, d))
                        stack.append((c, d))
        good = len(body) >= 3 and max(confidence[p] for p in body) >= SEED
        number += good
        for p in body:
            want[p] = number if good else -1
    assert count == number > 1
    assert np.array_equal(labels, np.maximum(want, 0))


def test_a_thing_that_moves_on_is_less_likely_dirt() -> None:
    def tables(frames: list[Frame]) -> list[float]:
        found = [find_blobs(planes_of(frames, k), Settings(), ANALYSIS) for k in range(5)]
        beside = {d: compare(found[2], found[2 + d]) for d in (-2, -1, 1, 2)}
        return list(judge(found[2], beside))

    lone = still()
    lone[2] = spot(lone[2], 84, 70, 4, 0.08)
    moving = [spot(f, 40 + 22 * k, 60 + 5 * k, 4, 0.08) for k, f in enumerate(still())]
    assert max(tables(lone)) > 0.5
    assert max(tables(moving)) < max(tables(lone)) - 0.3


def test_the_calibration_fits_the_features() -> None:
    names: dict[str, tuple[str, ...]] = {"pixel": PIXEL_FEATURES}
    for by in ("classical", "network"):
        names |= {
            f"{by} pixel": FINAL_FEATURES,
            f"{by} blob": BLOB_FEATURES,
            f"{by} judged": (*BLOB_FEATURES, *NEIGHBOR_FEATURES),
            f"{by} settled": COMPANY_FEATURES,
        }
    assert set(calibration()) == set(names)
    for name, features in names.items():
        judge = calibration()[name]
        assert set(judge.names) <= set(features) and len(set(judge.names)) == len(judge.names)
        count = len(judge.names)
        if isinstance(judge, Perceptron):
            assert judge.names == features
            assert len(judge.weights) == len(judge.hidden)
            assert all(len(row) == count + 1 for row in judge.hidden)
        else:
            assert len(judge.weights) == count + count * (count + 1) // 2


def test_a_logistic_sums_its_features_and_products() -> None:
    x = [np.array([0.2, -0.5]), np.array([1.0, 0.3])]
    logistic = Logistic(("a", "b"), 0.1, (1.0, -2.0, 0.5, 3.0, -1.0))
    want = 0.1 + x[0] - 2 * x[1] + 0.5 * x[0] ** 2 + 3 * x[0] * x[1] - x[1] ** 2
    assert logistic.logit(x) == pytest.approx(want)
    assert logistic(x) == pytest.approx(1 / (1 + np.exp(-want)))
    assert len(expanded(x)) == 5


def test_the_network_sees_the_evidence() -> None:
    frames = still()
    frames[2] = spot(frames[2], 60, 70, 4, 0.08)
    stage = Detect(Settings())
    seen_through = window(frames, 2, stage)
    seen = evidence(seen_through, dirt_noise(ANALYSIS, FACTS))
    loud = suspects(seen_through, seen)
    logit = np.linspace(-9.0, 9.0, loud.y.size)
    planes = net_planes(seen, loud, logit)
    assert planes.shape == (len(INPUTS), HEIGHT, WIDTH)
    before, after = (next(n for n in seen.neighbors if n.distance == d) for d in (-1, 1))
    assert planes[0] == pytest.approx(2 * np.arcsinh(before.difference / 32), abs=1e-5)
    assert planes[1] == pytest.approx(2 * np.arcsinh(after.difference / 32), abs=1e-5)
    assert planes[10, loud.y, loud.x] == pytest.approx(np.clip(logit, -8, 8) / 4)
    quiet = np.ones((HEIGHT, WIDTH), bool)
    quiet[loud.y, loud.x] = False
    assert np.all(planes[10][quiet] == -2.0) and LIMIT == 8.0
    assert planes[13, loud.y, loud.x] == pytest.approx(2 * np.arcsinh(loud.beyond / 2), abs=1e-5)
    assert planes[14, loud.y, loud.x] == pytest.approx(loud.echo)
    assert not planes[13][quiet].any() and not planes[14][quiet].any()
    assert planes[15] == pytest.approx(2 * np.arcsinh(seen.texture / 2), abs=1e-5)
    assert np.abs(loud.beyond).max() > 1.0 and np.abs(loud.echo).max() > 0.01


@pytest.mark.parametrize("box", [Box(33, 41, 90, 77), Box(-5, -5, 50, 60), Box(60, 68, 64, 75)])
def test_the_network_looks_no_farther_than_it_must(box: Box) -> None:
    frames = still()
    frames[2] = spot(frames[2], 60, 70, 4, 0.08)
    stage = Detect(Settings())
    seen_through = window(frames, 2, stage)
    seen = evidence(seen_through, dirt_noise(ANALYSIS, FACTS))
    loud = suspects(seen_through, seen)
    logit = np.linspace(-7.9, 7.9, loud.y.size)
    choice = NetChoice("wg-dirt")
    whole, _ = refined(choice, seen_through, seen, loud, logit)
    part, _ = refined(choice, seen_through, seen, loud, logit, within=box)
    inside = (loud.y >= box.y0) & (loud.y < box.y1) & (loud.x >= box.x0) & (loud.x < box.x1)
    assert inside.any() and not inside.all() and np.abs(whole - logit).max() > 0.1
    assert np.array_equal(part[inside], whole[inside])
    assert np.array_equal(part[~inside], logit[~inside])
