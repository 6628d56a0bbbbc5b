"""How close a frame is to its truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Pixels = NDArray[np.float32]


def mean_squared_error(truth: _Pixels, shown: _Pixels, *, clip: bool = True) -> float:
    """Return the mean of the squared differences over all pixels and channels.

    Args:
        truth, shown: arrays of one shape, in one encoding whose range is 0-1.
        clip: limit both to 0-1 first, so that nobody is charged for values no display has.

    Raises:
        ValueError: when the shapes differ.
    """
    if truth.shape != shown.shape:
        raise ValueError(f"shapes must agree, got {truth.shape} and {shown.shape}")
    a, b = truth.astype(np.float64), shown.astype(np.float64)
    if clip:
        a, b = np.clip(a, 0.0, 1.0), np.clip(b, 0.0, 1.0)
    return float(np.mean((a - b) ** 2))


def psnr(truth: _Pixels, shown: _Pixels, *, clip: bool = True) -> float:
    """Return the peak signal-to-noise ratio of one frame in dB, for a peak of 1; inf when equal.

    Arguments and errors as in `mean_squared_error`. Of a clip, take the mean over its frames.
    """
    error = mean_squared_error(truth, shown, clip=clip)
    return math.inf if error == 0.0 else -10.0 * math.log10(error)
