"""Gate weave: the film sits a little differently in the gate at every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wetgate.simulate.random import Domain, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveSpec:
    """A first-order autoregressive drift plus white jitter on each axis.

    Variance of the offset on an axis is `drift**2 + jitter**2`; its covariance at a lag of n > 0
    frames is `drift**2 * memory**n` (up to `memory**128`, where the series is cut).

    Attributes:
        drift: standard deviation `(x, y)` of the slow part, px.
        jitter: standard deviation `(x, y)` of the part without memory, px.
        memory: correlation of the slow part from one frame to the next, 0 <= memory < 1.
    """

    drift: tuple[float, float] = (0.5, 0.7)
    jitter: tuple[float, float] = (0.12, 0.18)
    memory: float = 0.85


_TERMS = 64


def weave_offset(spec: WeaveSpec, seed: int, number: int) -> tuple[float, float]:
    """Return `(x, y)` in px by which the picture is displaced at one frame.

    The drift is a finite moving average of per-frame innovations, so that any frame can be made
    without those before it.
    """
    powers = spec.memory ** np.arange(_TERMS)
    scale = 1.0 / np.sqrt(np.sum(powers**2))
    innovations = np.array(
        [stream(seed, Domain.WEAVE, number - k).standard_normal(4)[:2] for k in range(_TERMS)]
    )
    slow = scale * (powers @ innovations)
    white = stream(seed, Domain.WEAVE, number).standard_normal(4)[2:]
    x, y = np.asarray(spec.drift) * slow + np.asarray(spec.jitter) * white
    return float(x), float(y)
