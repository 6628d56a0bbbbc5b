"""How steady a restored clip is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Pixels = NDArray[np.float32]
_CODES = 255.0


def residual_flicker(
    truth: Sequence[_Pixels], shown: Sequence[_Pixels], *, clip: bool = True
) -> float:
    """Return the RMS change of the error from one frame to the next, in 8-bit codes.

    The motion of the picture cancels, since the truth moves alike; white noise of deviation s
    gives sqrt(2) s, an error that stands still gives 0.

    Args:
        truth, shown: the same consecutive frames, two or more, in an encoding of range 0-1.
        clip: limit both to 0-1 first.

    Raises:
        ValueError: for fewer than two frames, or clips of different length.
    """
    if len(truth) != len(shown) or len(truth) < 2:
        raise ValueError(
            f"two clips of the same length, 2 or more, are needed; got {len(truth)} and "
            f"{len(shown)} frames"
        )
    total, before = 0.0, None
    for a, b in zip(truth, shown, strict=True):
        error = _limited(b, clip) - _limited(a, clip)
        if before is not None:
            total += float(np.mean((error - before) ** 2))
        before = error
    return _CODES * float(np.sqrt(total / (len(truth) - 1)))


def _limited(pixels: _Pixels, clip: bool) -> NDArray[np.float64]:
    wide = pixels.astype(np.float64)
    return np.clip(wide, 0.0, 1.0) if clip else wide
