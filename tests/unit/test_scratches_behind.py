"""Scratches on hard upright edges: what other frames show of the picture is taken away first."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.operators.base import SourceFacts
from wetgate.operators.scratches import follow, motion, profile, rest
from wetgate.operators.scratches.behind import Window
from wetgate.operators.scratches.fit import course_at
from wetgate.operators.scratches.follow import Path
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.operator import ScratchesOperator
from wetgate.operators.scratches.tracks import Track, tracks_of
from wetgate.operators.verbs import judge_operator

W, H, N = 128, 96, 10
FIRST = 1001
FACTS = SourceFacts(sample_type="uint10", width=W, height=H, channels=3, is_log_working=False)
Frames = dict[int, NDArray[np.float32]]


def waves(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A picture that can be sampled anywhere."""
    return np.asarray(
        0.5
        + 0.1 * np.sin(0.21 * x + 0.1 * y)
        + 0.1 * np.cos(0.13 * x - 0.17 * y) * np.sin(0.05 * y)
    )


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.81), (-6.3, 2.2)])
def test_motion_of_the_whole_is_found_to_hundredths_of_a_pixel(
    shift: tuple[float, float],
) -> None:
    y, x = np.mgrid[0:192, 0:256].astype(np.float64)
    grain = np.random.default_rng(2).standard_normal((2, 192, 256)) * 0.01
    here = (waves(x, y) + grain[0]).astype(np.float32)
    there = (waves(x - shift[0], y - shift[1]) + grain[1]).astype(np.float32)
    there[60:120, 100:140] = 0.9  # something that does not go along
    found = motion.global_motion(motion.levels_of(here), motion.levels_of(there))
    at = motion.moved_to(found, np.array([20.0, 128.0, 230.0]), np.array([20.0, 96.0, 170.0]))
    assert np.abs(at[0] - np.array([20.0, 128.0, 230.0]) - shift[0]).max() < 0.06
    assert np.abs(at[1] - np.array([20.0, 96.0, 170.0]) - shift[1]).max() < 0.06


def test_motions_follow_one_another() -> None:
    first = np.array([[1.0, 0.01, 2.0], [-0.02, 0.99, 1.0]])
    second = np.array([[0.98, 0.0, -3.0], [0.01, 1.02, 0.5]])
    x, y = np.array([3.0, 50.0]), np.array([7.0, -2.0])
    step = motion.moved_to(second, *motion.moved_to(first, x, y))
    assert np.allclose(motion.moved_to(motion.composed(first, second), x, y), step)


def test_what_was_found_of_dropped_lines_is_let_go() -> None:
    """Most candidates are dropped on a first look; what they left would grow with the shot."""
    window = Window(radius=2, strips=Strips.of(H))
    y, x = np.mgrid[0:H, 0:W].astype(np.float64)
    for k in range(3):
        window.put(k, waves(x + k, y).astype(np.float32), ())
    course = course_at(0, np.full(window.strips.count, 60.0))
    cross = profile.gaussian_profile(1.0, 1)
    for name in (0, 1):
        band = window.band(1, name, {1: course}, cross, 58, removed=False)
        assert band is not None
    assert {key[0] for key in window.strays} == {0, 1}
    kept = {key: value.copy() for key, value in window.strays.items() if key[0] == 1}
    window.keep_lines({1})
    assert window.strays.keys() == kept.keys()
    assert all(np.array_equal(window.strays[key], kept[key]) for key in kept)


def test_lenders_are_within_reach_and_apart() -> None:
    for place in range(12):
        chosen = rest.lenders(place, 0, 12, 5)
        assert len(set(chosen)) == 3
        assert place not in chosen
        assert all(0 <= k < 12 and abs(k - place) <= 5 for k in chosen)
    assert rest.lenders(1, 0, 3, 5) == []


def test_weights_of_samples_are_those_of_the_profile() -> None:
    values = np.random.default_rng(1).random(2 * 6 * profile.STEPS + 1)
    values[0] = values[-1] = 0.0
    away = np.random.default_rng(3).uniform(-8, 8, 400)
    at, weights = profile.lay_weights(away, 6)
    want = profile.Profile(values[None]).at(away)[:, 0]
    assert np.allclose((values[at] * weights).sum(axis=1), want)


def test_a_line_of_the_picture_hides_no_scratch_beside_it() -> None:
    columns = np.full(40, 50, np.int32)
    pole = Path(0, columns, 1, 200.0, 0)
    scratch = Path(0, columns + 7, 1, 80.0, 0)
    nothing = tuple(np.zeros((20, 100), np.int8) for _ in range(4))
    assert follow.merged([pole], [scratch], [nothing, nothing]) == [pole, scratch]
    shown = np.zeros((20, 100), np.int8)
    shown[:, 50] = 64
    seen = (shown, *nothing[1:])
    assert follow.merged([pole], [scratch], [seen, seen]) == [pole]


def place_of(number: int) -> NDArray[np.float64]:
    t = number - FIRST + np.arange(H) / H
    return np.asarray(61.0 + 3.0 * np.sin(2 * np.pi * t / 8.0))


@lru_cache(maxsize=2)
def house(strength: float) -> tuple[Frames, Frames]:
    """Window after window behind a scratch, in a gate that weaves, and the twin without it."""
    rng = np.random.default_rng(9)
    tone = rng.uniform(0.25, 0.6, (8, 64))
    frames, twins = {}, {}
    for k in range(N):
        number = FIRST + k
        shift = rng.normal(0, 0.4, 2)
        y, x = np.mgrid[0:H, 0:W].astype(np.float64)
        clean = np.zeros((H, W))
        for dy in (-0.33, 0.0, 0.33):  # a px is a mean over itself
            for dx in (-0.33, 0.0, 0.33):
                u, v = x + dx - shift[0] + 16, y + dy - shift[1] + 16
                window = (np.mod(u, 11) < 6) & (np.mod(v, 24) < 19)
                clean += np.where(window, tone[(v // 24).astype(int), (u // 11).astype(int)], 0.68)
        clean = clean / 9 + 0.008 * rng.standard_normal((H, W))
        away = x - place_of(number)[:, None]
        marred = clean + strength * np.exp(-0.5 * (away / 0.9) ** 2)
        for into, made in ((twins, clean), (frames, marred)):
            coded = np.rint(np.repeat(made[..., None], 3, axis=2) * 1023)
            into[number] = coded.astype(np.float32) / np.float32(1023)
    return frames, twins


def repaired(frames: Frames) -> tuple[list[Track], Frames]:
    # Before windows nothing is sure enough for the default: here it is asked for what is likely.
    operator = ScratchesOperator(threshold=0.5)
    analysis = operator.analyse(lambda n: frames[n], sorted(frames), FACTS)
    made = {
        n: np.asarray(judge_operator(operator, frames, n, facts=FACTS, analysis=analysis).pixels)
        for n in frames
    }
    return [t for t in tracks_of(analysis) if not t.why], made


def test_a_scratch_before_windows_is_taken_off() -> None:
    frames, twins = house(0.05)
    tracks, made = repaired(frames)
    assert len(tracks) == 1
    left = before = 0.0
    for n in frames:
        drawn = np.exp(-0.5 * ((np.arange(W)[None] - place_of(n)[:, None]) / 0.9) ** 2)
        left += float(((made[n] - twins[n]).mean(axis=2) * drawn).sum())
        before += float(((frames[n] - twins[n]).mean(axis=2) * drawn).sum())
    assert abs(left) < 0.1 * before


def test_windows_are_no_scratches() -> None:
    _, twins = house(0.05)
    tracks, made = repaired(twins)
    assert tracks == []
    assert all(np.array_equal(made[n], twins[n]) for n in twins)
