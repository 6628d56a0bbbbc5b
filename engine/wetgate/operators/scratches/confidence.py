"""How sure one may be that a line is a scratch: what was seen of it, by a perceptron.

Fitted by `python -m wetgate.train.scratch_calibration` to lines of films with and without
scratches. Lengths count in px of a frame of 192 rows, the one it was fitted on, so that a finer
scan of a film is judged alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.confidence import Perceptron, probability

FEATURES = (
    "rules", "frames", "film", "picture", "told", "jump", "unsteady", "steepness", "covers",
    "covers_deviation", "drift", "present", "clear", "step", "uneven",
)  # fmt: skip
"""What the perceptron is shown, in its order; `features_of` says how they are bounded."""
ROWS = 192
"""Height of the frames of the fit."""
_MOST_RULES = 6.0

Float = NDArray[np.float64]


def features_of(facts: Mapping[str, float], height: int) -> tuple[float, ...]:
    """Return `FEATURES` of the facts of a verdict.

    Args:
        facts: by name, as `judge` finds them. height: of the frame, px.
    """
    # In smaller frames places are off by what readings are, which does not shrink with a frame.
    scale = min(1.0, ROWS / height)
    frames = max(facts["frames"], 1.0)
    # What a line that moves evenly moves by a frame: a scratch goes on where it left the frame
    # before, so that what drifts far is slanted as well.
    drift = facts["wanders"] * math.sqrt(12.0) / frames
    return (
        _within(facts["rules"], _MOST_RULES),
        min(frames, 30.0) / 15.0,
        facts["film"],
        facts["picture"],
        min(facts["told"], 20.0) / 10.0,
        min(facts["jump"], 3.0),
        min(facts["unsteady"] * scale, 4.0),
        min(facts["steepness"], 6.0),
        _within(facts["covers"], 1.0),
        min(facts["covers_deviation"], 1.0),
        min(drift * scale, 6.0),
        facts["present"],
        math.log1p(max(facts["clear"], 0.0)),
        min(facts["step"], 4.0),
        min(facts["uneven"], 2.0),
    )


def confidence_of(facts: Mapping[str, float], height: int) -> float:
    """Return the probability that a line is a scratch, 0-1."""
    return float(sure(calibration(), np.array([features_of(facts, height)]))[0])


def sure(judge: Perceptron, features: Float) -> Float:
    """Return the probabilities of lines, `(n,)`, by their features, `(n, len(FEATURES))`.

    What the rules speak against is never surer than they allow, whatever the fit makes of it: it
    has not seen every pole and border that they know of.
    """
    rules = features[:, FEATURES.index("rules")]
    return np.minimum(judge(list(features.T)), 2.0 * probability(rules))


@lru_cache(maxsize=1)
def calibration() -> Perceptron:
    """Return what was fitted.

    Raises:
        ValueError: it was fitted to other features.
    """
    text = (files("wetgate.operators.scratches") / "calibration.json").read_text("utf-8")
    entry = json.loads(text)["scratch"]
    if tuple(entry["features"]) != FEATURES:
        raise ValueError(f"calibration.json is of {entry['features']}, not of {FEATURES}")
    hidden = cast("list[list[float]]", entry["hidden"])
    return Perceptron(
        FEATURES, entry["bias"], tuple(entry["weights"]), tuple(tuple(row) for row in hidden)
    )


def _within(value: float, most: float) -> float:
    return min(max(value, -most), most)
