"""How sure a mean over a few clips is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_mean(
    values: Sequence[float], *, resamples: int = 10_000, seed: int = 1
) -> tuple[float, tuple[float, float]]:
    """Return the mean and its 95 % percentile bootstrap interval.

    The seed is fixed: the same values give the same interval. Of one value the interval is that
    value; it says nothing then.

    Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Raises:
        ValueError: for no values at all.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        raise ValueError("a mean needs at least one value")
    picks = np.random.default_rng(seed).integers(0, sample.size, size=(resamples, sample.size))
    low, high = np.quantile(sample[picks].mean(axis=1), [0.025, 0.975])
    return float(sample.mean()), (float(low), float(high))
