"""How likely a pixel is dirt: a logistic of the evidence, fitted on generated clips.

Only pixels that stand out at all are looked at; all others have confidence 0. `calibration.json`
beside this file holds the weights; `wetgate.train.dirt_calibration` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Window
from wetgate.operators.dirt.features import STEPS, Evidence, around, beyond, sampled

LEAST = 4.5, 2.8, 3.5
"""Deviations from which a pixel is looked at: by itself, smoothed, in the wide mean."""
MOST_CONFIDENT = 0.999
"""Of what is only seen; 1 is for what an infra-red channel or a person's map says."""
_KNEE = 3.0
_NEAR, _DETAIL, _WIDE = 1, 2, 7
_GRAIN_OF_RESULT = 4096.0

PIXEL_FEATURES = (
    "middle", "smooth", "wide", "spike", "rank", "spike_all", "disagreement", "texture", "trust",
    "evenness", "crowd", "support", "both sides",
)  # fmt: skip

FINAL_FEATURES = ("logit", "beyond", "echo", "middle", "smooth", "texture", "support")
"""What a confidence is made of in the end."""

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Logistic:
    """`1 / (1 + exp(-(bias + sum w_i x_i + sum w_ij x_i x_j)))`.

    Attributes:
        names: of the features. weights: one for each, then one for each product i <= j.
    """

    names: tuple[str, ...]
    bias: float
    weights: tuple[float, ...]

    def logit(self, features: Sequence[Float]) -> Float:
        """Return the logit of columns of features; sums in a fixed order, column by column."""
        total = np.full(features[0].shape, self.bias)
        for weight, column in zip(self.weights, expanded(features), strict=True):
            total = total + weight * column
        return total

    def __call__(self, features: Sequence[Float]) -> Float:
        """Return probabilities."""
        return probability(self.logit(features))


@dataclass(frozen=True, slots=True)
class Perceptron:
    """`1 / (1 + exp(-(bias + sum v_k s(b_k + sum w_ki x_i))))` with `s(z) = z / (1 + |z|)`.

    One layer inside. No function of a libm but the last: the same logit on every machine.

    Attributes:
        names: of the features. hidden: of each unit its `b_k`, then `w_ki` for every feature.
        weights: `v_k`.
    """

    names: tuple[str, ...]
    bias: float
    weights: tuple[float, ...]
    hidden: tuple[tuple[float, ...], ...]

    def logit(self, features: Sequence[Float]) -> Float:
        """Return the logit of columns of features; sums in a fixed order, column by column."""
        total = np.full(features[0].shape, self.bias)
        for weight, (own, *of_features) in zip(self.weights, self.hidden, strict=True):
            z = np.full(features[0].shape, own)
            for w, column in zip(of_features, features, strict=True):
                z = z + w * column
            total = total + weight * (z / (1.0 + np.abs(z)))
        return total

    def __call__(self, features: Sequence[Float]) -> Float:
        """Return probabilities."""
        return probability(self.logit(features))


Judge = Logistic | Perceptron
"""What turns features into a probability."""


def judged(judge: Judge, features: Mapping[str, Float]) -> Float:
    """Return probabilities by the features that a judge was fitted to, of all those named."""
    return judge([features[name] for name in judge.names])


def expanded(features: Sequence[Float]) -> list[Float]:
    """Return the features and all their products of two."""
    products = [a * b for i, a in enumerate(features) for b in features[i:]]
    return [*features, *products]


def probability(logit: Float) -> Float:
    """Return the logistic of a logit, which is bounded first."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))


@lru_cache(maxsize=1)
def calibration() -> Mapping[str, Judge]:
    """Return what was fitted, by name."""
    text = (files("wetgate.operators.dirt") / "calibration.json").read_text("utf-8")
    document = json.loads(text)
    return {name: _judge(entry) for name, entry in document["logistics"].items()}


def _judge(entry: Mapping[str, Any]) -> Judge:
    names, weights = tuple(entry["features"]), tuple(entry["weights"])
    if "hidden" not in entry:
        return Logistic(names, entry["bias"], weights)
    return Perceptron(names, entry["bias"], weights, tuple(tuple(row) for row in entry["hidden"]))


@dataclass(frozen=True, slots=True)
class Suspects:
    """The pixels that stand out, in the order of the rows.

    Attributes:
        y, x: places in the region, px.
        features: columns of `PIXEL_FEATURES`, each 0-1 or -1 to 1.
        beyond: by how much each exceeds all that the nearest neighbors have about it, deviations.
        echo: -1 to 1: how far what the neighbors show stands out of its own surroundings the same
            way, against how far the center differs: a thin line that one frame shows sharper.
    """

    y: NDArray[np.intp]
    x: NDArray[np.intp]
    features: tuple[Float, ...]
    beyond: Float
    echo: Float


def suspects(window: Window, seen: Evidence) -> Suspects:
    """Return the pixels of the frame that stand out, with their features."""
    loud = np.abs(seen.mid) >= LEAST[0]
    loud |= np.abs(seen.smooth) >= LEAST[1]
    loud |= (np.abs(seen.wide) >= LEAST[2]) & (np.abs(seen.mid) >= 1.0)
    loud[_outside(window)] = False
    y, x = np.nonzero(loud)
    nearest = [n for n in seen.neighbors if n.distance in seen.nearest]
    sign = np.where(seen.mid[y, x] > 0, np.float32(1), np.float32(-1))
    own_luma = seen.luma[y, x].astype(np.float64)
    far = np.full(y.size, np.inf)
    background = np.zeros((y.size, window.center.shape[2]), np.float32)
    weight = np.zeros((y.size, 1), np.float32)
    for neighbor in nearest:
        share = neighbor.seen[y, x].astype(np.float32)[:, None]
        background += share * sampled(window, neighbor, y, x)
        weight += share
        excess = beyond(window, neighbor, own_luma, sign, y, x)
        far = np.where(neighbor.seen[y, x], np.minimum(far, excess), far)
    own = window.center[y, x]
    mean = background / np.maximum(weight, np.float32(1))
    background = np.asarray(np.where(weight > 0, mean, own), np.float32)
    change = sign[:, None] * (own - background)
    size = np.abs(seen.mid[y, x]).astype(np.float64)
    capped = np.minimum(np.rint(np.abs(seen.smooth) * np.float32(16)), np.float32(128))
    crowd = around(capped, _WIDE)[y, x] / 128.0
    support = around(loud.astype(np.float32), _NEAR)[y, x]
    texture = np.minimum(seen.texture[y, x], 1000.0).astype(np.float64)
    apart = seen.disagreement[y, x].astype(np.float64)
    features = (
        _bounded(size),
        _bounded(sign * seen.smooth[y, x]),
        _bounded(sign * seen.wide[y, x]),
        _bounded(sign * seen.spike[y, x]),
        _bounded(sign * seen.rank[y, x]),
        _bounded(sign * seen.spike_all[y, x]),
        apart / (apart + size + 1.0),
        texture / (texture + size + 1.0),
        seen.trust[y, x].astype(np.float64),
        _evenness(change),
        np.asarray(crowd, np.float64),
        np.asarray(support, np.float64),
        (seen.sides[y, x] == 2).astype(np.float64),
    )
    behind = np.rint((seen.luma - seen.mid) * np.float32(2 * STEPS))
    detail = (behind - around(behind, _DETAIL))[y, x] / (2.0 * STEPS) * sign
    echo = detail / (np.abs(detail) + size + 1.0)
    return Suspects(y, x, features, np.where(np.isfinite(far), far, 0.0), echo)


def classical(found: Suspects) -> Float:
    """Return the logit of each suspect by the fitted logistic."""
    return calibration()["pixel"].logit(found.features)


def settled(found: Suspects, logit: Float, by: str) -> Float:
    """Return the confidence of each suspect from the logit of whoever was asked.

    What the neighbors have about a place, in their own px, has the last word: thin lines that
    fall between the px of one frame and onto those of another are no dirt.

    Args:
        by: "classical" or "network".
    """
    return calibration()[f"{by} pixel"](final_columns(found, logit))


def final_columns(found: Suspects, logit: Float) -> tuple[Float, ...]:
    """Return the columns of `FINAL_FEATURES`."""
    of = {name: column for name, column in zip(PIXEL_FEATURES, found.features, strict=True)}
    bounded = 0.5 + np.clip(logit, -8.0, 8.0) / 16.0
    beside = (of["middle"], of["smooth"], of["texture"], of["support"])
    return (bounded, _bounded(found.beyond), found.echo, *beside)


def rounded(confidence: Float) -> NDArray[np.float32]:
    """Return confidences bounded and rounded, so that no last bit decides anything."""
    kept = np.rint(np.minimum(confidence, MOST_CONFIDENT) * _GRAIN_OF_RESULT) / _GRAIN_OF_RESULT
    return np.asarray(np.minimum(kept, MOST_CONFIDENT), np.float32)


def _bounded(values: NDArray[np.floating]) -> Float:
    wide = values.astype(np.float64)
    return np.asarray(wide / (np.abs(wide) + _KNEE))


def _evenness(change: NDArray[np.float32]) -> Float:
    """Return how far all channels change alike: 1 alike, 0 one not at all, -1 against each other.

    Dirt is gray: it pulls every channel the same way, unless the picture is purer in color than
    the dirt is dark.
    """
    wide = change.astype(np.float64)
    if wide.shape[0] == 0:
        return np.zeros(0)
    low, high = wide.min(axis=1), wide.max(axis=1)
    return np.asarray(np.clip(low / np.maximum(high, 1e-6), -1.0, 1.0))


def _outside(window: Window) -> NDArray[np.bool_]:
    region, frame = window.region, window.frame
    y = np.arange(region.y0, region.y1)
    x = np.arange(region.x0, region.x1)
    rows = (y < frame.y0) | (y >= frame.y1)
    columns = (x < frame.x0) | (x >= frame.x1)
    return np.asarray(rows[:, None] | columns[None, :])
