"""Verdicts on single fixes, and what they say of all others."""

from __future__ import annotations

import numpy as np
import pytest
from wetgate.operators.dirt.verdicts import (
    recalibration,
    shifted,
    verdicts_of,
    with_verdicts,
)


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
