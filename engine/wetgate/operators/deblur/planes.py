"""What the network sees, and how far it may go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.deblur.classical import GUARD, blurred, local_range
from wetgate.operators.deblur.psf import gaussian_taps

INPUTS = (
    "source.r", "source.g", "source.b", "classical.r", "classical.g", "classical.b", "blur",
    "noise",
)  # fmt: skip
OUTPUTS = ("correction.r", "correction.g", "correction.b")
ENCODING = (
    "signed log of scene-linear with its knee at 1/32, less the local mean of its luma "
    "(Gaussian of 3 px); blur: deviation in px / 2; noise: deviation of encoded luma x 64"
)

MEAN_REACH = 9
_MEAN_SIGMA = 3.0
_BLUR_UNIT = 2.0
_NOISE_UNIT = 64.0
_NOISE_ROOM = 3.0  # deviations of the noise by which any pixel may change

_MEAN_TAPS = gaussian_taps(_MEAN_SIGMA, MEAN_REACH)[MEAN_REACH:]


def local_mean(logged: Pixels) -> Pixels:
    """Return the local mean `(h, w, 1)` of encoded luma, without a rim of `MEAN_REACH` px.

    To the network only contrast shows: a lamp of 100 looks to it like one of 1.
    """
    mean = blurred(logged.mean(axis=2, dtype=np.float64), _MEAN_TAPS, MEAN_REACH)
    return mean[..., None].astype(np.float32)


def net_planes(
    source: Pixels, classical: Pixels, mean: Pixels, sigma: float, noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the planes `INPUTS`, `(8, h, w)`.

    Args:
        source, classical: `(h, w, 3)`, encoded. mean: `local_mean`, `(h, w, 1)`.
        sigma: width of the blur, px. noise: `(h, w)` deviation of encoded luma.
    """
    height, width, _ = source.shape
    planes = np.empty((len(INPUTS), height, width), np.float32)
    planes[0:3] = (source - mean).transpose(2, 0, 1)
    planes[3:6] = (classical - mean).transpose(2, 0, 1)
    planes[6] = sigma / _BLUR_UNIT
    planes[7] = noise * np.float32(_NOISE_UNIT)
    return planes


def correction_limit(
    source: Pixels, classical: Pixels, noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how far the network may move a pixel, `(h - 2 GUARD, w - 2 GUARD, 3)`.

    As far as the classical filter moved any pixel within `GUARD` px, and a little noise more:
    where there was nothing to sharpen, there is nothing to correct.

    Args:
        source, classical: encoded. noise: as in `net_planes`, all with a rim of `GUARD` px.
    """
    _, most = local_range(np.abs(classical - source), GUARD)
    inner = noise[GUARD:-GUARD, GUARD:-GUARD, None]
    return np.asarray(most + np.float32(_NOISE_ROOM) * inner)
