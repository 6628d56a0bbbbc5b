"""The luma and the structural similarity by which upscaling is usually compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Pixels = NDArray[np.float32]
_Doubles = NDArray[np.float64]

_WEIGHTS = np.array([65.481, 128.553, 24.966])
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = 11, 1.5


def luma_601(pixels: _Pixels) -> _Doubles:
    """Return the luma of display-referred 8-bit RGB in codes 16 to 235, not rounded.

    Args:
        pixels: `(h, w, 3)`, 0-1 nominal; limited to it and rounded to whole codes first, as a file
            of 8 bits would hold them.

    Source: ITU-R BT.601; the constants are those of MATLAB's `rgb2ycbcr`.
    """
    codes = np.rint(np.clip(pixels.astype(np.float64), 0.0, 1.0) * 255.0)
    return np.asarray(codes @ (_WEIGHTS / 255.0) + 16.0)


def ssim(truth: _Doubles, shown: _Doubles) -> float:
    """Return the mean structural similarity of two planes in 8-bit codes.

    Windows of 11 x 11 px, Gaussian of deviation 1.5, where they lie wholly inside.

    Raises:
        ValueError: shapes differ, or there is no room for a window.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 13 (2004).
    """
    if truth.shape != shown.shape or min(truth.shape) < _WINDOW:
        raise ValueError(f"two planes of one shape, 11 px or more: {truth.shape}, {shown.shape}")
    a, b = truth.astype(np.float64), shown.astype(np.float64)
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a = _blurred(a * a) - mean_a**2
    variance_b = _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    level = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    shape = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return float(np.mean(level * shape))


def _blurred(plane: _Doubles) -> _Doubles:
    taps = np.exp(-0.5 * ((np.arange(_WINDOW) - _WINDOW // 2) / _SIGMA) ** 2)
    taps /= taps.sum()
    height, width = (side - _WINDOW + 1 for side in plane.shape)
    rows = np.sum([t * plane[i : i + height] for i, t in enumerate(taps)], axis=0)
    return np.asarray(np.sum([t * rows[:, i : i + width] for i, t in enumerate(taps)], axis=0))
