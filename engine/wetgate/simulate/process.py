"""Random series over frames with a memory, made at any frame without those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.random import Domain, stream

_SMALLEST = 1e-3


@dataclass(frozen=True, slots=True)
class Series:
    """A first-order autoregressive series of variance 1, and white noise of variance 1.

    Its covariance at a lag of n frames is `memory ** n`. It is a moving average of per-frame
    innovations, cut where their weight falls below a thousandth; normalised, so that the variance
    is 1 exactly and the covariance is within 1e-3 of `memory ** n`.

    Attributes:
        memory: correlation from one frame to the next, 0 to 0.99.
        count: how many independent series.
    """

    memory: float
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.memory <= 0.99:
            raise ValueError(f"memory must be 0 to 0.99, got {self.memory}")

    def weights(self) -> NDArray[np.float64]:
        """Return what the innovations of this frame and those before it count."""
        terms = 1
        if self.memory > 0:
            terms = max(1, math.ceil(math.log(_SMALLEST) / math.log(self.memory)))
        powers = np.power(self.memory, np.arange(terms, dtype=np.float64)).astype(np.float64)
        return powers / math.sqrt(float(np.sum(powers**2)))

    def at(
        self, seed: int, domain: Domain, number: int, lane: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the slow values and the white ones of one frame, both `(count,)`."""
        slow: NDArray[np.float64] = np.zeros(self.count, np.float64)
        white: NDArray[np.float64] = np.zeros(self.count, np.float64)
        for back, weight in enumerate(self.weights()):
            drawn = stream(seed, domain, number - back, lane).standard_normal(2 * self.count)
            slow += float(weight) * drawn[: self.count]
            if back == 0:
                white += drawn[self.count :]
        return slow, white
