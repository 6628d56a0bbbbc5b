"""What neighbors offer for the hole of a defect, and what is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate import _native
from wetgate.model.box import Box
from wetgate.operators.base import Pixels, Provenance
from wetgate.operators.dirt.candidates import (
    DIRTY,
    Candidate,
    find_candidate,
)
from wetgate.operators.dirt.invent import invented
from wetgate.operators.dirt.places import Place, make_place
from wetgate.operators.dirt.repair import (
    ASTRAY,
    HIDDEN,
    POINTLESS,
    Defect,
    Repaired,
    ranked,
    repair,
)
from wetgate.operators.dirt.verdicts import (
    recalibration,
    shifted,
    verdicts_of,
    with_verdicts,
)
from wetgate.operators.dirt.ways import TAPS, Way, read

SIGMA = 0.01
HOLE = Box(24, 18, 33, 26)


def flat_sigma(pixels: Pixels) -> Pixels:
    return np.full_like(pixels, SIGMA)


def scene(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """A picture with a closed form at any place, three channels."""
    waves = [
        np.sin(0.31 * x + 0.17 * y) + np.sin(0.11 * x - 0.43 * y + c) + np.sin(0.5 * x + 0.4 * y)
        for c in range(3)
    ]
    return 0.5 + 0.08 * np.stack(waves, axis=-1)


def frame(dx: float, dy: float, seed: int, *, noise: float = SIGMA, light: float = 0.0) -> Pixels:
    """The scene moved by `(dx, dy)`: its point p is at p + (dx, dy)."""
    y, x = np.mgrid[0:48, 0:64].astype(np.float64)
    rng = np.random.default_rng(seed)
    made = scene(x - dx, y - dy) + light + noise * rng.standard_normal((48, 64, 3))
    return made.astype(np.float32)


def place_of(picture: Pixels, hole: Box = HOLE) -> Place:
    mask = np.ones((hole.height, hole.width), np.bool_)
    dirty = np.zeros(picture.shape[:2], np.bool_)
    dirty[hole.y0 : hole.y1, hole.x0 : hole.x1] = True
    return make_place(mask, (hole.x0, hole.y0), picture=picture, dirty=dirty, sigma=flat_sigma)


CLEAN = np.zeros((48, 64), np.uint8)


def offered(
    here: Pixels, there: Pixels, place: Place | None = None, marks: NDArray[np.uint8] = CLEAN
) -> Candidate:
    found = find_candidate(place or place_of(here), here, there, marks, None)
    assert found is not None
    return found


def defect_of(place: Place, picture: Pixels, polarity: int = -1) -> Defect:
    return Defect(
        alpha=np.ones(place.y.size, np.float32),
        source=picture[place.y, place.x],
        polarity=polarity,
    )


def stained(picture: Pixels, value: float = 0.05, hole: Box = HOLE) -> Pixels:
    out = picture.copy()
    out[hole.y0 : hole.y1, hole.x0 : hole.x1] = value
    return out


# --- native ---------------------------------------------------------------------------------


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


# --- candidates -----------------------------------------------------------------------------


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


# --- repair ---------------------------------------------------------------------------------


def around(here: Pixels, *, odd: int | None = None, hidden: int = 0) -> dict[int, Candidate | None]:
    """Candidates of four neighbors; `odd` shows something else in the hole, behind a like rim."""
    place = place_of(here)
    out: dict[int, Candidate | None] = {}
    for k in (-2, -1, 1, 2):
        there = frame(k, -k, 10 + k)
        if k == odd:
            there = stained(there, 0.9, HOLE.shifted(k, -k))
        marks = CLEAN.copy()
        if abs(k) <= hidden:
            marks[:] = 0
            marks[HOLE.y0 - k : HOLE.y1 - k, HOLE.x0 + k : HOLE.x1 + k] = DIRTY
        out[k] = find_candidate(place, here, there, marks, None)
    return out


def test_the_hole_gets_one_frames_own_pixels() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    made = repair(place, defect_of(place, stained(here)), around(here))
    assert isinstance(made, Repaired)
    assert (made.classes == Provenance.BORROWED).all() and (made.weight == 1).all()
    (only,) = np.unique(made.steps).tolist()
    assert made.main == only and made.way is not None and made.way.shift == (only, -only)
    assert np.array_equal(made.shifts, np.tile(np.float32([only, -only]), (place.y.size, 1)))
    there = frame(only, -only, 10 + only)
    assert np.array_equal(made.values, there[place.y - only, place.x + only])
    error = made.values - here[place.y, place.x]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(SIGMA * np.sqrt(2), rel=0.15)


def test_a_frame_that_shows_something_else_is_outvoted() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    candidates = {k: c for k, c in around(here, odd=1).items() if c is not None}
    order, agreeing = ranked(place, candidates)
    assert order[-1] == 1 and agreeing == 3
    assert candidates[1].error < 1.2  # its rim alone does not tell


def test_pixels_dirty_in_one_frame_come_from_another() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    candidates = around(here)
    best = ranked(place, {k: c for k, c in candidates.items() if c is not None})[0][0]
    chosen = candidates[best]
    assert chosen is not None
    behind = place.x < HOLE.x0 + 2
    candidates[best] = Candidate(
        way=chosen.way,
        offset=chosen.offset,
        error=0.5,
        values=chosen.values,
        behind=behind,
        left=chosen.left,
    )
    made = repair(place, defect_of(place, stained(here)), candidates)
    assert isinstance(made, Repaired)
    assert made.main == best and len(np.unique(made.steps)) == 2
    assert np.array_equal(made.steps == best, ~behind)


def test_what_nobody_shows_stays_and_says_why() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    defect = defect_of(place, stained(here))
    assert repair(place, defect, {1: None, -1: None}) == HIDDEN
    assert repair(place, defect, around(here, hidden=2)) == HIDDEN
    other = np.random.default_rng(9).random((48, 64, 3), dtype=np.float32)
    assert repair(place, defect, {1: offered(here, other, place)}) == ASTRAY
    assert repair(place, defect_of(place, here + np.float32(0.002)), around(here)) == POINTLESS


def test_the_seam_moves_on_while_the_defect_shows() -> None:
    here = frame(0, 0, 1)
    wide = Box(HOLE.x0 - 3, HOLE.y0 - 3, HOLE.x1 + 3, HOLE.y1 + 3)
    dark = stained(here, hole=Box(HOLE.x0 - 1, HOLE.y0, HOLE.x1, HOLE.y1))
    place = place_of(here, wide)
    inside = (place.x >= HOLE.x0) & (place.x < HOLE.x1)
    inside &= (place.y >= HOLE.y0) & (place.y < HOLE.y1)
    defect = Defect(alpha=inside.astype(np.float32), source=dark[place.y, place.x], polarity=-1)
    candidates = {
        k: find_candidate(place, here, frame(k, -k, 10 + k), CLEAN, None) for k in (-1, 1, 2)
    }
    made = repair(place, defect, candidates)
    assert isinstance(made, Repaired)
    used = made.weight > 0
    missed = (place.x == HOLE.x0 - 1) & (place.y >= HOLE.y0) & (place.y < HOLE.y1)
    assert used[inside].all() and used[missed].all()
    assert np.count_nonzero(used & ~inside & ~missed) < 8
    assert np.array_equal(made.values[~used], defect.source[~used])


def test_dirt_that_lets_the_picture_through_is_undone() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    dim = here.copy()
    area = slice(HOLE.y0, HOLE.y1), slice(HOLE.x0, HOLE.x1)
    dim[area] = np.float32(0.7) * here[area] - np.float32(0.05)
    made = repair(place, defect_of(place, dim), around(here))
    assert isinstance(made, Repaired)
    undone = made.classes == Provenance.REEXPOSED
    assert np.mean(undone) > 0.5  # all but the edge
    assert made.facts["shines through"] == pytest.approx(0.7, abs=0.08)
    error = made.values[undone] - here[place.y, place.x][undone]
    assert np.sqrt(np.mean(error**2)) < 0.5 * SIGMA  # nearer than any other frame can be
    assert (made.steps[undone] == 0).all()


def test_opaque_dirt_is_not_undone() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    rng = np.random.default_rng(4)
    dark = stained(here)
    dark[HOLE.y0 : HOLE.y1, HOLE.x0 : HOLE.x1] += (
        SIGMA * rng.standard_normal((HOLE.height, HOLE.width, 3))
    ).astype(np.float32)
    made = repair(place, defect_of(place, dark), around(here))
    assert isinstance(made, Repaired)
    assert set(np.unique(made.classes)) == {int(Provenance.BORROWED)}


def test_values_beyond_0_and_1_are_borrowed_as_they_are() -> None:
    here, there = (frame(0, 0, 1) - 2) * 300, (frame(2, -3, 2) - 2) * 300
    place = make_place(
        np.ones((HOLE.height, HOLE.width), np.bool_), (HOLE.x0, HOLE.y0), picture=here,
        dirty=np.zeros(here.shape[:2], np.bool_), sigma=lambda p: np.full_like(p, 300 * SIGMA),
    )  # fmt: skip
    found = offered(here, there, place)
    assert np.array_equal(found.values, there[place.y - 3, place.x + 2])
    assert found.values.max() < -300


# --- invention and verdicts -----------------------------------------------------------------


def test_invention_continues_a_slope_and_calls_itself_inferred() -> None:
    y, x = np.mgrid[0:48, 0:64].astype(np.float64)
    ramp = np.stack([0.01 * x + 0.02 * y, 5 - 0.03 * x, -0.1 * y], axis=-1).astype(np.float32)
    place = place_of(ramp)
    made = invented(place, defect_of(place, stained(ramp)), stained(ramp))
    np.testing.assert_allclose(made.values, ramp[place.y, place.x], atol=1e-3)
    assert (made.classes == Provenance.INFERRED).all()
    assert not made.steps.any() and not made.shifts.any() and made.way is None


def test_recalibration_finds_the_shift_that_verdicts_were_drawn_with() -> None:
    rng = np.random.default_rng(7)
    logit = rng.uniform(-3, 3, 4000)
    truth = rng.random(4000) < 1 / (1 + np.exp(-(logit - 1.2)))
    told = list(zip(1 / (1 + np.exp(-logit)), truth.tolist(), strict=True))
    assert recalibration(told) == pytest.approx(-1.2, abs=0.12)
    assert recalibration([]) == 0.0
    # One verdict moves little, and to its side; certain ones say nothing.
    assert -1.0 < recalibration([(0.6, False)]) < -0.3
    assert recalibration([(1.0, False)]) == 0.0


def test_recalibration_is_where_the_posterior_is_largest() -> None:
    told = [(0.9, False), (0.7, True), (0.55, False), (0.6, False)]
    grid = np.linspace(-4, 4, 8001)
    score = -(grid**2) / (2 * 1.5**2)
    for c, y in told:
        p = 1 / (1 + np.exp(-(np.log(c / (1 - c)) + grid)))
        score += np.log(p if y else 1 - p)
    assert recalibration(told) == pytest.approx(grid[np.argmax(score)], abs=2e-3)


def test_shifting_keeps_order_and_certainty() -> None:
    c = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    moved = shifted(c, -1.0)
    assert moved[0] == 0 and moved[-1] == 1
    assert (np.diff(moved) > 0).all() and (moved[1:-1] < c[1:-1]).all()
    assert shifted(c, 0.0) is c


def test_verdicts_go_into_the_analysis_and_come_out() -> None:
    analysis = {"deviation": 0.1}
    told = {
        "accepted": ["5-1-2", "5-0-0"],
        "rejected": ["6-3-4"],
        "confidences": {"5-1-2": 0.4, "6-3-4": 0.8},
    }
    put = with_verdicts(analysis, told)
    assert analysis == {"deviation": 0.1} and put["deviation"] == 0.1
    found = verdicts_of(put)
    assert found.accepted == {"5-1-2", "5-0-0"} and found.rejected == {"6-3-4"}
    assert found.weighed == 2
    assert found.shift == recalibration([(0.4, True), (0.8, False)])
    assert with_verdicts(put, told) == put
    assert verdicts_of(analysis).accepted == frozenset()
