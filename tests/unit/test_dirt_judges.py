"""What judges blobs: the perceptron, its fit, and what blobs and the frames beside show of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.operators.dirt.blobs import REFINED_GROWTH, REFINED_SEED, components
from wetgate.operators.dirt.confidence import Judge, Logistic, Perceptron, judged
from wetgate.operators.dirt.detect import CONFIDENCE, PICTURE, PLANES, SPIKE, TRUST
from wetgate.operators.dirt.looks import BLOB_FEATURES, NEAR, Looks, looks_of
from wetgate.operators.dirt.neighbors import (
    COMPANY_FEATURES,
    NEIGHBOR_FEATURES,
    Likeness,
    compare_looks,
    neighbor_features,
)
from wetgate.train.dirt_calibration import FrameBlobs, blob_columns, fit_blobs, reliability
from wetgate.train.perceptron import fit_perceptron, gradient, loss

Planes = NDArray[np.float32]
SHAPE = (100, 120)


def blank() -> Planes:
    planes = np.zeros((*SHAPE, PLANES), np.float32)
    planes[..., TRUST] = 0.9
    planes[..., PICTURE] = np.linspace(0.2, 0.6, SHAPE[1], dtype=np.float32)[:, None]
    return planes


def put(planes: Planes, x: int, y: int, side: int, spike: float) -> None:
    area = np.s_[y : y + side, x : x + side]
    planes[area][..., SPIKE] = spike
    planes[area][..., CONFIDENCE] = 0.9


def seen(planes: Planes) -> tuple[NDArray[np.int32], Looks]:
    likely = np.ascontiguousarray(planes[..., CONFIDENCE])
    labels, count = components(likely, 2, REFINED_GROWTH, REFINED_SEED)
    return labels, looks_of(labels, count, planes)


def test_a_perceptron_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3))
    inner, start = rng.normal(size=(4, 3)), rng.normal(size=4)
    outer = rng.normal(size=4)
    rows = tuple(tuple(row) for row in np.concatenate([start[:, None], inner], axis=1))
    made = Perceptron(("a", "b", "c"), 0.3, tuple(outer), rows)
    z = x @ inner.T + start
    want = (z / (1 + np.abs(z))) @ outer + 0.3
    assert made.logit(list(x.T)) == pytest.approx(want)
    assert made(list(x.T)) == pytest.approx(1 / (1 + np.exp(-want)))


def test_a_judge_takes_the_features_it_was_fitted_to() -> None:
    logistic = Logistic(("b",), -1.0, (2.0, 0.0))
    features = {"a": np.array([9.0, 9.0]), "b": np.array([0.5, 1.0])}
    assert judged(logistic, features) == pytest.approx([0.5, 1 / (1 + np.exp(-1.0))])


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 3)), (rng.uniform(size=40) < 0.4).astype(np.float64)
    weights = [rng.normal(size=s) for s in ((5, 3), (5,), (5,), (1,))]

    def at(changed: list[NDArray[np.float64]]) -> float:
        return loss((changed[0], changed[1], changed[2], changed[3]), x, y, 1e-2)

    slopes = gradient((weights[0], weights[1], weights[2], weights[3]), x, y, 1e-2)
    for k, slope in enumerate(slopes):
        for place in np.ndindex(slope.shape):
            up, down = ([w.copy() for w in weights] for _ in range(2))
            up[k][place] += 1e-5
            down[k][place] -= 1e-5
            assert slope[place] == pytest.approx((at(up) - at(down)) / 2e-5, rel=1e-4, abs=1e-7)


def test_a_fit_finds_what_no_line_divides() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (4000, 2))
    is_so = (x[:, 0] * x[:, 1] > 0).astype(np.float64)
    fitted = fit_perceptron(list(x.T), is_so, ("a", "b"), hidden=12, decay=1e-6)
    fresh = rng.uniform(-1, 1, (1000, 2))
    right = (fitted(list(fresh.T)) > 0.5) == (fresh[:, 0] * fresh[:, 1] > 0)
    assert right.mean() > 0.95
    again = fit_perceptron(list(x.T), is_so, ("a", "b"), hidden=12, decay=1e-6)
    assert again == fitted


def test_the_surroundings_of_a_blob_are_told_apart() -> None:
    planes = blank()
    put(planes, 40, 30, 4, 20.0)
    planes[28:30, 40:44, SPIKE] = 10.0  # half as much of its sign beside it
    planes[37:39, 40:44, SPIKE] = -8.0  # and the other sign farther out
    labels, looks = seen(planes)
    assert looks.area.tolist() == [16]
    y, x = np.nonzero(labels)
    # All px within 2 and within 6 of it, by brute force.
    grid = np.indices(SHAPE).transpose(1, 2, 0)
    away = np.abs(grid[:, :, None] - np.stack([y, x], -1)).max(axis=3).min(axis=2)
    beside, beyond = (away > 0) & (away <= 2), (away > 2) & (away <= 6)
    spike = planes[..., SPIKE]
    assert looks.fall[0] == pytest.approx(spike[beside].mean() / 20.0)
    assert looks.contrary[0] == 0.0
    assert looks.contrary_ring[0] == pytest.approx(np.maximum(-spike[beyond], 0).mean())
    assert looks.border[0] == 30 and looks.surest[0] == pytest.approx(0.9)
    assert looks.own_trust[0] == pytest.approx(0.9) and looks.firm[0] == 1.0
    assert looks.unrest[0] == pytest.approx(np.minimum(np.abs(spike), 16).mean())
    assert len(looks.columns()) + 5 == len(BLOB_FEATURES)


def test_a_speck_of_little_confidence_is_left_to_the_judge() -> None:
    likely = np.zeros((20, 20), np.float32)
    likely[4:6, 4:6], likely[12:14, 12:14] = 0.25, 0.19
    assert components(likely, 2, REFINED_GROWTH, REFINED_SEED)[1] == 1
    assert components(likely, 2)[1] == 0


def beside(here: Planes, there: Planes) -> Likeness:
    one, two = seen(here)[1], seen(there)[1]
    return compare_looks(one, two, np.full(two.area.size, 0.5), SHAPE)


def column(found: tuple[NDArray[np.float64], ...], name: str) -> NDArray[np.float64]:
    assert len(found) == len(NEIGHBOR_FEATURES)
    return found[NEIGHBOR_FEATURES.index(name)]


def test_blobs_about_the_place_are_counted() -> None:
    here, there = blank(), blank()
    put(here, 40, 30, 4, 20.0)
    reach = 1.5 * NEAR * SHAPE[0]
    for x, spike in ((40 + int(reach) - 1, 20.0), (40 - int(reach) + 1, -20.0), (90, 20.0)):
        put(there, x, 30, 4, spike)
    got = beside(here, there)
    assert (got.about[0], got.fellows[0]) == (2.0, 1.0)
    gap = int(reach) - 1 - 4
    assert got.at[0] == pytest.approx(1 / (1 + (gap / 4.0) ** 2))
    # Two are alike in all: that of the same polarity near by, and that far off.
    weights = [1 / (1 + (d / (NEAR * SHAPE[0])) ** 2) for d in (int(reach) - 1, 50)]
    assert got.like[0] == pytest.approx(sum(weights))
    found = neighbor_features({-1: got, 1: got}, 1)
    assert column(found, "own polarity about the place") == pytest.approx([3 / 6])
    assert column(found, "blobs about the place") == pytest.approx([4 / 8])
    assert column(found, "blobs at the place") == pytest.approx(got.at)


def test_a_flash_is_a_frame_lighter_than_both_beside_it() -> None:
    here, dark = blank(), blank()
    put(here, 40, 30, 4, 20.0)
    light = dark.copy()
    dark[..., PICTURE] -= 0.1
    light[..., PICTURE] += 0.1
    span = seen(here)[1].span
    assert span == pytest.approx(0.2, rel=0.05)
    both = neighbor_features({-1: beside(here, dark), 1: beside(here, dark)}, 1)
    step = 0.1 / span
    assert column(both, "flash") == pytest.approx([step / (step + 0.3)], rel=1e-4)
    fade = neighbor_features({-1: beside(here, dark), 1: beside(here, light)}, 1)
    assert column(fade, "flash") == [0.0]
    assert column(neighbor_features({}, 1), "flash") == [0.0]


def test_looks_without_blobs_still_have_light() -> None:
    labels, looks = seen(blank())
    assert not labels.any() and looks.area.size == 0
    assert looks.level == pytest.approx(0.4, abs=0.01)
    assert replace(looks, level=0.0).span == looks.span


def shot(count: int, spike: float, is_dirt: int, frames: int = 3) -> list[FrameBlobs]:
    """Return frames with so many equal blobs each."""
    planes = blank()
    for k in range(count):
        put(planes, 10 + 12 * k, 30 + 3 * k, 4, spike)
    looks = seen(planes)[1]
    return [FrameBlobs(looks, np.full(count, is_dirt, np.int8), SHAPE) for _ in range(frames)]


def test_figures_of_thresholds_are_counts() -> None:
    biases = {"blob": 0.0, "judged": 0.0, "settled": float(np.log(0.65 / 0.35))}

    class Steady(Logistic):
        def logit(self, features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.full(features[0].shape, self.bias)

    known: dict[str, Judge] = {name: Steady((), bias, ()) for name, bias in biases.items()}
    shots = [shot(4, 20.0, 1), shot(2, -20.0, 0), shot(1, 5.0, 0, frames=5)]
    got = reliability(shots, known)
    assert got["blobs"] == 4 * 3 + 2 * 3 + 5
    for threshold in (0.5, 0.6):
        assert got[f"precision at {threshold}"] == pytest.approx(12 / 23, abs=1e-4)
        assert got[f"recall of blobs at {threshold}"] == 1.0
        assert got[f"false blobs in 100 clean frames at {threshold}"] == pytest.approx(
            100 * 11 / 8, abs=0.01
        )
    assert got["recall of blobs at 0.7"] == 0.0 and got["precision at 0.7"] == 1.0
    assert got["false blobs in 100 clean frames at 0.8"] == 0.0
    assert got["calibration error"] == pytest.approx(abs(0.65 - 12 / 23), abs=1e-3)


def test_each_level_is_fitted_to_what_it_has_not_seen() -> None:
    shots = [shot(4, 20.0, 1) if k % 4 < 2 else shot(3, -12.0, 0) for k in range(8)]
    known = fit_blobs(shots)
    assert list(known) == ["blob", "judged", "settled"]
    assert [len(j.names) for j in known.values()] == [
        len(BLOB_FEATURES),
        len(BLOB_FEATURES) + len(NEIGHBOR_FEATURES),
        len(COMPANY_FEATURES),
    ]
    got = reliability(shots, known)
    assert got["precision at 0.5"] == 1.0 and got["recall of blobs at 0.8"] == 1.0


def test_what_is_drawn_by_lot_is_believed_by_nobody() -> None:
    rng = np.random.default_rng(4)

    def drawn() -> list[FrameBlobs]:
        frames = []
        for _ in range(4):
            planes = blank()
            planes[..., SPIKE] = rng.normal(0, 1, SHAPE)
            for x in range(8, 112, 13):
                put(planes, x, int(rng.integers(5, 90)), int(rng.integers(2, 6)), rng.normal(0, 15))
            looks = seen(planes)[1]
            is_dirt = (rng.uniform(size=looks.area.size) < 0.5).astype(np.int8)
            frames.append(FrameBlobs(looks, is_dirt, SHAPE))
        return frames

    shots = [drawn() for _ in range(16)]
    known = fit_blobs(shots)
    columns = blob_columns(shots[0][0])
    # By their looks alone blobs were learned by heart, and the last judge was not taken in.
    assert np.ptp(known["blob"](columns)) > 0.5
    assert reliability(shots, known)["recall of blobs at 0.8"] < 0.1
