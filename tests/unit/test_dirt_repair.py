"""What is made of what neighbors offer for a hole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.holes import (
    CLEAN,
    HOLE,
    SIGMA,
    around,
    defect_of,
    frame,
    offered,
    place_of,
    stained,
)
from wetgate.model.box import Box
from wetgate.operators.base import Provenance
from wetgate.operators.dirt.candidates import (
    Candidate,
    find_candidate,
)
from wetgate.operators.dirt.defects import Defect, Repaired
from wetgate.operators.dirt.invent import invented
from wetgate.operators.dirt.repair import (
    ASTRAY,
    HIDDEN,
    POINTLESS,
    ranked,
    repair,
)


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


def test_an_offset_is_told_wherever_any_pixel_got_one() -> None:
    """Or a record would promise bare samples of the neighbors where there are others."""
    here = frame(0, 0, 1)
    place = place_of(here)
    candidates = around(here)
    best, second = ranked(place, {k: c for k, c in candidates.items() if c is not None})[0][:2]
    bare, other = candidates[best], candidates[second]
    assert bare is not None and other is not None and not bare.offset.any()
    behind = place.x < HOLE.x0 + 2
    light = np.full(3, 2 * SIGMA, np.float32)
    candidates[best] = replace(bare, error=0.5, behind=behind)
    candidates[second] = replace(other, error=0.6, offset=light, values=other.values + light)
    made = repair(place, defect_of(place, stained(here)), candidates)
    assert isinstance(made, Repaired)
    assert made.main == best and set(np.unique(made.steps).tolist()) == {best, second}
    assert made.facts["rim offset"] == pytest.approx(float((light / place.sigma).max()), abs=1e-4)


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


def test_invention_continues_a_slope_and_calls_itself_inferred() -> None:
    y, x = np.mgrid[0:48, 0:64].astype(np.float64)
    ramp = np.stack([0.01 * x + 0.02 * y, 5 - 0.03 * x, -0.1 * y], axis=-1).astype(np.float32)
    place = place_of(ramp)
    made = invented(place, defect_of(place, stained(ramp)), stained(ramp))
    np.testing.assert_allclose(made.values, ramp[place.y, place.x], atol=1e-3)
    assert (made.classes == Provenance.INFERRED).all()
    assert not made.steps.any() and not made.shifts.any() and made.way is None
