"""Fit a perceptron of one hidden layer to examples: numpy alone, the same weights from one seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.confidence import Perceptron, probability

BATCH = 4096
"""Examples a step, at most."""
_RATE, _LAST_RATE = 2e-2, 1e-4
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8

Float = NDArray[np.float64]
_Weights = tuple[Float, Float, Float, Float]


def fit_perceptron(
    columns: Sequence[Float],
    is_so: Float,
    names: Sequence[str],
    *,
    hidden: int,
    decay: float = 1e-4,
    steps: int = 600,
    seed: int = 0,
) -> Perceptron:
    """Fit by Adam on batches drawn at random, the rate falling as half a cosine.

    Args:
        columns: of features, one value an example. is_so: 0 or 1.
        hidden: units. decay: weight of the sum of squares of the weights of scaled features, in
            units of the mean loss.

    Source: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    rng = np.random.default_rng(seed)
    design = np.stack(columns, axis=1)
    middle, spread = design.mean(axis=0), design.std(axis=0) + 1e-2
    scaled = (design - middle) / spread
    count, wide = scaled.shape
    weights: list[Float] = [
        rng.standard_normal((hidden, wide)) / np.sqrt(wide),
        0.5 * rng.standard_normal(hidden),
        np.zeros(hidden),
        np.zeros(1),
    ]
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    for step in range(steps):
        some = rng.integers(count, size=min(BATCH, count))
        slopes = gradient((weights[0], weights[1], weights[2], weights[3]), scaled[some],
                          is_so[some], decay)  # fmt: skip
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * step / steps)) + _LAST_RATE
        for k, slope in enumerate(slopes):
            first[k] = _FIRST * first[k] + (1 - _FIRST) * slope
            second[k] = _SECOND * second[k] + (1 - _SECOND) * slope * slope
            lead = first[k] / (1 - _FIRST ** (step + 1))
            spread_of = np.sqrt(second[k] / (1 - _SECOND ** (step + 1))) + _TINY
            weights[k] = weights[k] - rate * lead / spread_of
    inner = weights[0] / spread
    start = weights[1] - inner @ middle
    rows = np.concatenate([start[:, None], inner], axis=1)
    return Perceptron(
        tuple(names),
        round(float(weights[3][0]), 4),
        tuple(round(float(v), 4) for v in weights[2]),
        tuple(tuple(round(float(v), 4) for v in row) for row in rows),
    )


def loss(weights: _Weights, scaled: Float, is_so: Float, decay: float) -> float:
    """Return the mean cross entropy and the penalty; what `gradient` is the slope of."""
    inner, start, outer, bias = weights
    z = scaled @ inner.T + start
    logit = (z / (1 + np.abs(z))) @ outer + bias[0]
    penalty = decay * float(np.sum(inner * inner) + np.sum(outer * outer))
    return float(np.mean(np.logaddexp(0.0, logit) - is_so * logit)) + penalty


def gradient(weights: _Weights, scaled: Float, is_so: Float, decay: float) -> _Weights:
    """Return the slopes of `loss` by every weight."""
    inner, start, outer, bias = weights
    z = scaled @ inner.T + start
    size = 1 + np.abs(z)
    soft = z / size
    gap = (probability(soft @ outer + bias[0]) - is_so) / len(is_so)
    back = gap[:, None] * outer / (size * size)
    return (
        back.T @ scaled + 2 * decay * inner,
        back.sum(axis=0),
        soft.T @ gap + 2 * decay * outer,
        np.array([gap.sum()]),
    )
