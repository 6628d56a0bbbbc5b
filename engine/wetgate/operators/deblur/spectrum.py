"""An upper bound on the blur of a picture: fine detail that a wider blur would have taken.

Soft things have soft edges, and where all lone edges are soft (cloth, shadows of a blind) they
speak of a lens that is not to blame. But a Gaussian of deviation s takes exp(-s^2 (h^2 - m^2))
of the power at frequency h against that at m, so blocks of texture in which the finer frequencies
are still there bound s from above.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.deblur.classical import KNEE, encode

_SIDE, _STRIDE = 32, 16
_MOST_BLOCKS = 3000
_MIDDLE, _FINE = (0.45, 0.8), (1.2, 1.6)
"""Bands in radians a px. A disc of defocus as wide has its first zero near the second."""
_CLEAR = 100.0
"""Power of the middle band over that of the noise, from which a block has a say."""
_SEEN = 2.0
"""The same of the fine band: with less there is no telling what is left there."""
_SHARPEST = 0.1
_FALL = 0.2
"""px^2 that the flattest spectra of sharp photographs seem to be blurred by, since power falls
with frequency of its own; measured on the training photographs."""
_LEAST = 20

_Doubles = NDArray[np.float64]


def detail_of(linear: Pixels, noise: Callable[[Pixels], NDArray[np.float32]]) -> _Doubles:
    """Return the variance in px^2 of a blur that each clear block could have at most.

    Infinite for blocks whose fine band is lost in noise.

    Args:
        linear: scene-linear `(h, w, channel)`.
        noise: gives the deviation of encoded luma, `(h, w)`, for encoded pixels.
    """
    luma = linear.mean(axis=2, dtype=np.float64)
    rows = np.arange(0, luma.shape[0] - _SIDE + 1, _STRIDE)
    columns = np.arange(0, luma.shape[1] - _SIDE + 1, _STRIDE)
    stride = max(1, int(np.ceil(np.sqrt(len(rows) * len(columns) / _MOST_BLOCKS))))
    offset = np.arange(_SIDE)
    y = (rows[::stride, None] + offset)[:, None, :, None]
    x = (columns[::stride, None] + offset)[None, :, None, :]
    blocks = luma[y, x].reshape(-1, _SIDE, _SIDE)
    taper = np.hanning(_SIDE + 2)[1:-1]
    window = np.outer(taper, taper)
    mean = blocks.mean(axis=(1, 2))
    power = np.abs(np.fft.rfft2((blocks - mean[:, None, None]) * window)) ** 2
    gray = mean.astype(np.float32)[:, None, None]
    # Slope of light against its encoding turns noise of the encoding into noise of light.
    slope = (np.abs(mean) + KNEE) * np.log1p(1.0 / KNEE)
    level = np.square(noise(encode(gray))[:, 0] * slope) * np.sum(window**2)
    middle, at_middle = _band(power, _MIDDLE)
    fine, at_fine = _band(power, _FINE)
    clear = middle > _CLEAR * level
    left = fine - level
    seen = left > _SEEN * level
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(seen, np.log(middle / left) / (at_fine - at_middle), np.inf)
    return np.asarray(variance[clear] - _FALL, np.float64)


def detail_bound(variance: _Doubles) -> float:
    """Return the most that the sharpest blocks allow, px; infinite where too few have a say."""
    if len(variance) < _LEAST:
        return float("inf")
    ordered = np.sort(variance)
    return float(np.sqrt(max(ordered[int(_SHARPEST * len(ordered))], 0.0)))


def _band(power: _Doubles, band: tuple[float, float]) -> tuple[_Doubles, float]:
    """Return the mean power of each block in a band, and the mean square of its frequency."""
    y = 2.0 * np.pi * np.fft.fftfreq(_SIDE)[:, None]
    x = 2.0 * np.pi * np.fft.rfftfreq(_SIDE)[None, :]
    square = y**2 + x**2
    inside = (square >= band[0] ** 2) & (square < band[1] ** 2)
    return power[:, inside].mean(axis=1), float(square[inside].mean())
