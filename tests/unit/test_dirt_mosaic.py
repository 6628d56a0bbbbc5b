"""Holes that no one frame serves: laid from parts, each from where it is shown."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.holes import CLEAN, HOLE, SIGMA, defect_of, frame, place_of, stained
from wetgate.model.box import Box
from wetgate.operators.base import Pixels, Provenance
from wetgate.operators.dirt.candidates import (
    DIRTY,
    MOST_LEFT,
    Candidate,
    find_candidate,
    judged_rim,
)
from wetgate.operators.dirt.defects import Repaired
from wetgate.operators.dirt.mosaic import NOBODY, lay
from wetgate.operators.dirt.parts import Motion, find_along, find_sides, motions_of
from wetgate.operators.dirt.places import Place
from wetgate.operators.dirt.repair import ASTRAY, repair
from wetgate.operators.dirt.ways import Way

EDGE = 28  # column within the hole, from which another layer moves another way


def two_layers(number: int) -> Pixels:
    """The scene moves by (1, 0) left of a column, and by (-3, 2) right of it."""
    left, right = frame(number, 0, 50 + number), frame(-3 * number + 17, 2 * number, 80 + number)
    right[..., 0] += np.float32(0.15)
    out = left.copy()
    out[:, EDGE:] = right[:, EDGE:]
    return out


def offers(here: Pixels, steps: tuple[int, ...]) -> tuple[Place, dict[int, Candidate | None]]:
    place = place_of(here)
    return place, {k: find_candidate(place, here, two_layers(k), CLEAN, None) for k in steps}


def test_each_side_of_an_edge_of_motion_comes_from_where_it_went() -> None:
    here, steps = two_layers(0), (-2, -1, 1, 2)
    place, whole = offers(here, steps)

    class Closer:
        def sides(self, k: int) -> tuple[Candidate, ...]:
            return find_sides(place, here, two_layers(k), CLEAN, None, whole[k])

        def along(self, k: int, motions: Sequence[Motion]) -> tuple[Candidate, ...]:
            return find_along(place, here, two_layers(k), CLEAN, motions, k)

    made = repair(place, defect_of(place, stained(here)), whole, Closer())
    assert isinstance(made, Repaired)
    assert (made.classes == Provenance.BORROWED).all()
    # What is said of a px is where its samples are from, to the bit.
    taken = np.zeros(place.y.size, np.bool_)
    for k in np.unique(made.steps):
        at = made.steps == k
        dx, dy = made.shifts[at].astype(int).T
        copied = two_layers(int(k))[place.y[at] + dy, place.x[at] + dx]
        taken[at] = np.isclose(made.values[at], copied, atol=1e-6).all(axis=1)
    whole_px = (made.shifts == np.rint(made.shifts)).all(axis=1)
    assert np.mean(whole_px) > 0.9 and taken[whole_px].mean() > 0.9
    away = np.abs(place.x - EDGE + 0.5) > 1.5
    moved = np.where((place.x < EDGE)[:, None], (1, 0), (-3, 2)) * made.steps[:, None]
    assert np.mean((made.shifts == moved).all(axis=1)[away]) > 0.9
    error = made.values - here[place.y, place.x]
    assert np.sqrt(np.mean(error[away] ** 2)) < 2 * SIGMA
    assert made.facts["sources"] >= 2
    one = repair(place, defect_of(place, stained(here)), whole)
    if isinstance(one, Repaired):
        worse = one.values - here[place.y, place.x]
        assert np.sqrt(np.mean(worse[away] ** 2)) > 4 * SIGMA


def test_motion_between_the_nearest_frames_is_followed_to_the_others() -> None:
    here = two_layers(0)
    place, whole = offers(here, (-1, 1))
    near = [(k, c) for k, c in whole.items() if c is not None]
    near += [
        (k, c)
        for k in (-1, 1)
        for c in find_sides(place, here, two_layers(k), CLEAN, None, whole[k])
    ]
    motions = motions_of(near)
    assert {m.speed for m in motions[:2]} == {(1.0, 0.0), (-3.0, 2.0)}
    parts = np.stack([m.part for m in motions])
    assert (parts.sum(axis=0) <= 1).all(), "no px moves two ways"
    left = judged_rim(place)[1] < EDGE - 1
    for motion in motions[:2]:
        assert np.mean(left[motion.part] == (motion.speed == (1.0, 0.0))) > 0.9
    far = find_along(place, here, two_layers(-2), CLEAN, motions, -2)
    assert {(-2.0, 0.0), (6.0, -4.0)} == {c.way.shift for c in far}


def test_parts_that_fit_already_are_not_searched_again() -> None:
    here, there = frame(0, 0, 1), frame(2, -1, 2)
    place = place_of(here)
    known = find_candidate(place, here, there, CLEAN, None)
    assert find_sides(place, here, there, CLEAN, None, known) == ()


def test_expected_errors_are_means_of_the_rim_by_distance() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    candidate = find_candidate(place, here, frame(1, 1, 2), CLEAN, None)
    assert candidate is not None
    rng = np.random.default_rng(3)
    left = rng.uniform(1.0, 5.0, candidate.left.size).astype(np.float32)
    left[rng.random(left.size) < 0.2] = np.nan
    laid = lay(place, [(1, replace(candidate, left=left))])
    y, x = judged_rim(place)
    for i in range(0, place.y.size, 7):
        total = weights = 0.0
        for r in range(y.size):
            weight = ((place.y[i] - y[r]) ** 2 + (place.x[i] - x[r]) ** 2 + 4.0) ** -2.0
            weights += weight
            total += weight * (5.0 if np.isnan(left[r]) else left[r])
        assert laid.expected[i] == pytest.approx(total / weights, rel=1e-6)
    assert laid.agreeing == pytest.approx(1.0) and (laid.chosen == 0).all()
    alone = lay(place, [(1, replace(candidate, left=np.full_like(left, 20.0)))])
    assert (alone.chosen == NOBODY).all(), "it fits nowhere and nobody speaks for it"


def test_a_large_hole_is_not_laid_against_all_of_its_rim_at_once() -> None:
    """That takes 8 bytes for each pixel of the hole and each of the rim, several times over."""
    rng = np.random.default_rng(4)
    hole = Box(16, 16, 144, 144)
    here = rng.uniform(0.2, 0.8, (160, 160, 3)).astype(np.float32)
    place = place_of(here, hole)
    size = place.y.size
    shown = Candidate(
        way=Way(shift=(1.0, 0.0)),
        offset=np.zeros(3, np.float32),
        error=1.0,
        values=here[place.y, place.x],
        behind=np.zeros(size, np.bool_),
        left=rng.uniform(1.0, 3.0, judged_rim(place)[0].size).astype(np.float32),
    )
    tracemalloc.start()
    try:
        laid = lay(place, [(1, shown)])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 40e6, f"{most / 1e6:.0f} MB for a hole of {size} px"
    y, x = judged_rim(place)
    for i in (0, 1023, 1024, size - 1):
        weight = ((place.y[i] - y) ** 2 + (place.x[i] - x) ** 2 + 4.0) ** -2.0
        assert laid.expected[i] == pytest.approx(np.average(shown.left, weights=weight), rel=1e-6)


def test_frames_speak_for_each_other_once_and_not_for_themselves() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    found = find_candidate(place, here, frame(1, 1, 2), CLEAN, None)
    assert found is not None
    assert lay(place, [(1, found), (1, found)]).agreeing == pytest.approx(1.0)
    assert lay(place, [(1, found), (2, found), (2, found)]).agreeing == pytest.approx(2.0)
    odd = replace(found, values=found.values + np.float32(0.5))
    laid = lay(place, [(1, odd), (2, found), (-1, found)])
    assert (laid.chosen > 0).all(), "two that agree outvote one with a like rim"


def test_what_no_frame_shows_stays_and_is_counted() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    marks = CLEAN.copy()
    marks[:, : HOLE.x0 + 3] = DIRTY  # of every neighbor; they do not move
    candidates = {
        k: find_candidate(place, here, frame(0, 0, 20 + k), marks, None) for k in (-1, 1, 2)
    }
    defect = defect_of(place, stained(here))
    made = repair(place, defect, candidates)
    assert isinstance(made, Repaired)
    lost = place.x < HOLE.x0 + 3
    assert made.facts["left"] == np.count_nonzero(lost)
    assert np.array_equal(made.weight == 0, lost)
    assert np.array_equal(made.values[lost], defect.source[lost])
    assert (made.steps[lost] == 0).all() and (made.classes[lost] == 0).all()


def test_a_faint_defect_is_repaired_and_one_below_the_noise_is_not() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    candidates = {
        k: find_candidate(place, here, frame(0, 0, 20 + k), CLEAN, None) for k in (-1, 1, 2)
    }
    for contrast, mends in ((1.5, True), (0.3, False)):
        faint = here - np.float32(contrast * SIGMA)
        made = repair(place, defect_of(place, faint), candidates)
        assert isinstance(made, Repaired) == mends


def test_a_picture_that_explains_nothing_of_the_rim_is_refused() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    other = find_candidate(place, here, np.full_like(here, 0.5), CLEAN, None)
    assert other is not None and other.error == pytest.approx(place.contrast, rel=0.1)
    assert repair(place, defect_of(place, stained(here)), {1: other}) == ASTRAY


@pytest.mark.parametrize("seed", range(4))
def test_on_flat_ground_the_expected_displacement_wins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    here, there = (
        (0.5 + SIGMA * rng.standard_normal((48, 64, 3))).astype(np.float32) for _ in range(2)
    )
    found = find_candidate(place_of(here), here, there, CLEAN, None)
    assert found is not None and found.way == Way(shift=(0.0, 0.0), center=found.way.center)


def test_nobody_is_no_candidate() -> None:
    here = frame(0, 0, 1)
    place = place_of(here)
    found = find_candidate(place, here, frame(1, 1, 2), CLEAN, None)
    assert found is not None and np.nanmax(found.left) <= MOST_LEFT
    blind = replace(found, behind=np.ones_like(found.behind))
    assert (lay(place, [(1, blind)]).chosen == NOBODY).all()
