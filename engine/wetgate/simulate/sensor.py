"""The end of the chain: additive white noise for benches, and rounding to integer codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.random import Domain, stream


def add_white_noise(
    picture: NDArray[np.float32], sigma: float, seed: int, number: int
) -> NDArray[np.float32]:
    """Add Gaussian noise of standard deviation `sigma`, in units of the picture; not clipped."""
    noise = stream(seed, Domain.NOISE, number).standard_normal(picture.shape, dtype=np.float32)
    result: NDArray[np.float32] = picture + np.float32(sigma) * noise
    return result


def quantise(picture: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to codes of `bits` and scale back by `1 / (2**bits - 1)`; clips to the code range."""
    top = np.float32((1 << bits) - 1)
    result: NDArray[np.float32] = np.clip(np.rint(picture * top), 0, top) / top
    return result
