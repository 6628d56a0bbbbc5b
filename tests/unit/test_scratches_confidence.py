"""How sure `scratches` is of a line, and the fit of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from wetgate.operators.scratches import confidence
from wetgate.operators.scratches.confidence import FEATURES, confidence_of, features_of

SCRATCH = {
    "rules": 3.5, "frames": 15.0, "film": 0.95, "picture": 0.03, "told": 20.0, "jump": 0.07,
    "unsteady": 0.28, "steepness": 0.3, "covers": 0.0, "covers_deviation": 0.02, "wanders": 1.6,
    "present": 1.0, "clear": 37.0, "step": 0.04, "uneven": 0.0,
}  # fmt: skip
"""What is usually found of a scratch, on a frame of 192 rows."""


def test_a_usual_scratch_is_one() -> None:
    assert confidence_of(SCRATCH, 192) > 0.95


@pytest.mark.parametrize(
    "against",
    [
        {"wanders": 12.0, "frames": 8.0},
        {"film": 0.3, "picture": 0.5, "rules": -2.0},
        {"uneven": 1.2, "clear": 3.5, "rules": -1.0},
        {"step": 2.0, "rules": -5.0},
    ],
)
def test_what_lines_of_the_picture_do_speaks_against_it(against: dict[str, float]) -> None:
    assert confidence_of(SCRATCH | against, 192) < 0.5 < confidence_of(SCRATCH, 192)


def test_a_finer_scan_of_the_same_film_is_judged_alike() -> None:
    longer = {name: 4 * SCRATCH[name] for name in ("wanders", "unsteady")}
    assert features_of(SCRATCH | longer, 768) == pytest.approx(features_of(SCRATCH, 192))


def test_features_are_bounded_whatever_was_found() -> None:
    wild = dict.fromkeys(SCRATCH, 1e9)
    low = dict.fromkeys(SCRATCH, 0.0) | {"rules": -1e9, "covers": -1e9}
    for facts in (wild, low):
        own = facts | {"film": 1.0, "picture": 0.0, "present": 1.0}
        assert max(map(abs, features_of(own, 192))) < 25.0
        assert 0.0 <= confidence_of(own, 192) <= 1.0


def test_the_calibration_is_of_these_features(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(confidence.__file__).with_name("calibration.json")
    entry = json.loads(path.read_text("utf-8"))["scratch"]
    assert tuple(entry["features"]) == FEATURES
    monkeypatch.setattr(confidence, "FEATURES", (*FEATURES, "one more"))
    confidence.calibration.cache_clear()
    try:
        with pytest.raises(ValueError, match="one more"):
            confidence.calibration()
    finally:
        confidence.calibration.cache_clear()


def test_the_logit_is_the_formula() -> None:
    path = Path(confidence.__file__).with_name("calibration.json")
    entry = json.loads(path.read_text("utf-8"))["scratch"]
    x = np.array(features_of(SCRATCH, 192))
    inner = np.array(entry["hidden"])
    z = inner[:, 0] + inner[:, 1:] @ x
    logit = entry["bias"] + np.array(entry["weights"]) @ (z / (1 + np.abs(z)))
    assert confidence_of(SCRATCH, 192) == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-9)


def test_what_the_rules_speak_against_is_never_surer_than_they_allow() -> None:
    for rules in (-0.5, -1.0, -4.0):
        assert confidence_of(SCRATCH | {"rules": rules}, 192) <= 2 / (1 + np.exp(-rules))
