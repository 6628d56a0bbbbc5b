"""Surveys are made once for windows in order, and those of one window are kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from wetgate.operators.base import SourceFacts
from wetgate.render.store import DirectPlane
from wetgate.render.surveys import SurveyedWindow, Surveys
from wetgate.render.workers import Workers

COUNT, RADIUS = 12, 2
FACTS = SourceFacts(sample_type="float", width=2, height=2, channels=1, is_log_working=False)


@dataclass
class Mean:
    """Survey a frame by its mean, a pair by the difference of theirs; count what is asked."""

    asked: Counter[int] = field(default_factory=Counter)

    def survey_frame(self, whole: Any, analysis: Any, facts: Any) -> object:
        """Return the mean, which is the frame's number here."""
        number = int(whole.mean())
        self.asked[number] += 1
        return number

    def survey_pair(self, here: Any, there: Any) -> object:
        """Return how far apart two frames are."""
        return there - here


def window(stage: Mean, number: int) -> SurveyedWindow:
    """Return the window around a frame of a clip whose frames hold their numbers."""
    around = [n if 0 <= n < COUNT else None for n in range(number - RADIUS, number + RADIUS + 1)]
    planes = {
        n: DirectPlane(np.full((2, 2, 1), n, np.float32)) for n in around if n is not None
    }  # fmt: skip
    return SurveyedWindow(
        key=(0, 0), stage=stage, number=number, shot=0, around=around, planes=planes,  # type: ignore[arg-type]
        analysis={}, facts=FACTS,
    )  # fmt: skip


def expected(number: int) -> tuple[int | None, ...]:
    """Return the surveys of a window's pairs, the center's own left out."""
    steps = [k for k in range(-RADIUS, RADIUS + 1)]
    return tuple(k if k and 0 <= number + k < COUNT else None for k in steps)


@pytest.mark.parametrize("wide", [True, False])
def test_each_frame_is_surveyed_once_and_few_are_kept(wide: bool) -> None:
    stage = Mean()
    with Workers(2) as workers:
        surveys = Surveys(workers, wide=wide)
        for number in range(COUNT):
            assert surveys.pairs(window(stage, number)) == expected(number)
            assert surveys.of_center(window(stage, number)) == number
            assert len(surveys._frames) <= 2 * RADIUS + 1
    assert stage.asked == Counter(range(COUNT))


def test_windows_in_any_order_give_the_same() -> None:
    stage = Mean()
    with Workers(1) as workers:
        surveys = Surveys(workers, wide=False)
        for number in (5, 11, 0, 6, 5):
            assert surveys.pairs(window(stage, number)) == expected(number)


def test_what_no_output_needs_is_dropped() -> None:
    stage = Mean()
    with Workers(1) as workers:
        surveys = Surveys(workers, wide=False)
        surveys.pairs(window(stage, 5))
        surveys.retain(lambda key, n: n >= 6)
        assert sorted(n for _, n in surveys._frames) == [6, 7]
