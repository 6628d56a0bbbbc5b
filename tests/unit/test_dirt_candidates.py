"""What neighbors offer for the hole of a defect."""

from __future__ import annotations

import numpy as np
import pytest
from support.holes import (
    CLEAN,
    HOLE,
    SIGMA,
    frame,
    offered,
    place_of,
    scene,
    stained,
)
from wetgate import _native
from wetgate.model.box import Box
from wetgate.operators.dirt.candidates import (
    DIRTY,
)
from wetgate.operators.dirt.places import Place, make_place
from wetgate.operators.dirt.ways import TAPS, Way, read


def test_rim_errors_are_the_mean_squares_less_the_mean() -> None:
    rng = np.random.default_rng(1)
    there = rng.random((12, 15, 3), dtype=np.float32)
    marks = (rng.random((12, 15)) < 0.2).astype(np.uint8)
    y = rng.integers(2, 10, 20).astype(np.int32)
    x = rng.integers(2, 13, 20).astype(np.int32)
    own = rng.random((20, 3))
    sigma = np.array([0.5, 1.0, 2.0])
    shifts = np.array([(0, 0), (2, -1), (-5, 4), (40, 0)], np.int32)
    got = _native.rim_errors(there, marks, y, x, own, sigma, shifts, 0.3, 1.5)
    want = []
    for dx, dy in shifts:
        kept = []
        for i in range(20):
            ty, tx = y[i] + dy, x[i] + dx
            if 0 <= ty < 12 and 0 <= tx < 15 and marks[ty, tx] != DIRTY:
                kept.append(there[ty, tx] / sigma - own[i])
        if len(kept) < 0.3 * 20:
            want.append(np.inf)
        else:
            change = np.array(kept) - np.mean(kept, axis=0)
            want.append(np.minimum(change**2, 1.5).mean())
    assert np.isinf(want[-1])
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_reading_between_pixels_is_a_windowed_sinc_within_what_is_around() -> None:
    rng = np.random.default_rng(2)
    source = rng.random((20, 22, 2), dtype=np.float32)
    y, x = rng.uniform(4, 14, 30), rng.uniform(4, 16, 30)
    got = _native.read_between(source, y, x, TAPS)
    for i in range(30):
        fy, fx = int(y[i]), int(x[i])
        taps = np.arange(TAPS) - (TAPS // 2 - 1)
        wy, wx = (
            np.sinc(taps - f) * np.sinc((taps - f) / (TAPS // 2)) for f in (y[i] - fy, x[i] - fx)
        )
        block = source[np.ix_(fy + taps, fx + taps)].astype(np.float64)
        value = np.einsum("abc,a,b->c", block, wy / wy.sum(), wx / wx.sum())
        near = source[fy - 1 : fy + 3, fx - 1 : fx + 3]
        bounded = np.clip(value, near.min(axis=(0, 1)), near.max(axis=(0, 1)))
        np.testing.assert_allclose(got[i], bounded, rtol=1e-5)


def test_native_parts_refuse_what_does_not_fit() -> None:
    picture = np.zeros((4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="even"):
        _native.read_between(picture, np.zeros(1), np.zeros(1), 5)
    with pytest.raises(ValueError, match="as many"):
        _native.read_between(picture, np.zeros(2), np.zeros(1), 6)
    with pytest.raises(ValueError, match="size of the frame"):
        _native.rim_errors(
            picture, np.zeros((3, 4), np.uint8), np.zeros(1, np.int32), np.zeros(1, np.int32),
            np.zeros((1, 1)), np.ones(1), np.zeros((1, 2), np.int32), 0.3, 1.0,
        )  # fmt: skip


def test_a_whole_displacement_borrows_the_samples_as_they_are() -> None:
    here, there = frame(0, 0, 1), frame(2, -3, 2)
    found = offered(stained(here), there, place_of(here))
    place = place_of(here)
    assert found.way.shift == (2.0, -3.0)
    assert found.way.is_whole
    assert not found.offset.any()
    assert np.array_equal(found.values, there[place.y - 3, place.x + 2])
    assert found.error == pytest.approx(1.0, abs=0.15)


def test_what_lies_in_the_hole_has_no_say() -> None:
    here, there = frame(0, 0, 1), frame(1, 2, 2)
    rng = np.random.default_rng(0)
    wild = here.copy()
    wild[HOLE.y0 : HOLE.y1, HOLE.x0 : HOLE.x1] = rng.normal(0, 50, (HOLE.height, HOLE.width, 3))
    a, b = offered(here, there), offered(wild, there)
    assert a.way == b.way and a.error == b.error
    assert np.array_equal(a.values, b.values)


def test_a_change_of_light_is_taken_from_the_rim() -> None:
    here, there = frame(0, 0, 1), frame(2, 1, 2, light=0.06)
    found = offered(here, there)
    place = place_of(here)
    np.testing.assert_allclose(found.offset, -0.06, atol=0.006)
    assert np.array_equal(found.values, there[place.y + 1, place.x + 2] + found.offset)


def test_between_pixels_only_where_it_pays() -> None:
    here, there = frame(0, 0, 1, noise=0.001), frame(1.5, -0.5, 2, noise=0.001)
    place = place_of(here)
    fine = Place(
        hole=place.hole, y=place.y, x=place.x, rim_y=place.rim_y, rim_x=place.rim_x,
        sigma=np.full(3, 0.001), contrast=place.contrast,
    )  # fmt: skip
    found = offered(here, there, fine)
    assert not found.way.is_whole
    assert found.way.shift == pytest.approx((1.5, -0.5), abs=0.05)
    truth = scene(place.x, place.y)
    assert np.sqrt(np.mean((found.values - truth) ** 2)) < 0.004
    # In strong noise the same displacement is not worth the softer grain.
    strong = Place(
        hole=place.hole, y=place.y, x=place.x, rim_y=place.rim_y, rim_x=place.rim_x,
        sigma=np.full(3, 0.08), contrast=place.contrast,
    )  # fmt: skip
    coarse = offered(frame(0, 0, 1, noise=0.08), frame(1.5, -0.5, 2, noise=0.08), strong)
    assert coarse.way.is_whole


def test_pixels_that_are_dirty_there_or_outside_are_told() -> None:
    here, there = frame(0, 0, 1), frame(2, 0, 2)
    marks = CLEAN.copy()
    marks[20:22, 30:40] = DIRTY
    place = place_of(here)
    found = offered(here, there, place, marks)
    assert np.array_equal(found.behind, marks[place.y, place.x + 2] == DIRTY)
    assert found.behind.any() and not found.behind.all()
    edge = Box(56, 20, 64, 26)
    at_edge = place_of(here, edge)
    beyond = offered(here, frame(3, 0, 3), at_edge)
    assert beyond.way.shift == (3.0, 0.0)
    assert np.array_equal(beyond.behind, at_edge.x + 3 > 63)


def test_reading_does_not_depend_on_what_else_is_read() -> None:
    picture = frame(0, 0, 5)
    y, x = (i.ravel().astype(np.int32) for i in np.mgrid[10:20, 12:30])
    way = Way(shift=(0.375, -1.25), slope=(0.01, 0.0, -0.004, 0.002), center=(20.0, 15.0))
    whole = read(picture, Box(0, 0, 64, 48), way, y, x)
    part = read(picture[4:30, 6:44], Box(6, 4, 44, 30), way, y[7:50], x[7:50])
    assert np.array_equal(part, whole[7:50])


def test_values_beyond_0_and_1_are_borrowed_as_they_are() -> None:
    here, there = (frame(0, 0, 1) - 2) * 300, (frame(2, -3, 2) - 2) * 300
    place = make_place(
        np.ones((HOLE.height, HOLE.width), np.bool_), (HOLE.x0, HOLE.y0), picture=here,
        dirty=np.zeros(here.shape[:2], np.bool_), sigma=lambda p: np.full_like(p, 300 * SIGMA),
    )  # fmt: skip
    found = offered(here, there, place)
    assert np.array_equal(found.values, there[place.y - 3, place.x + 2])
    assert found.values.max() < -300
