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


def warp_error(
    here: _Pixels,
    there: _Pixels,
    flow: NDArray[np.float32],
    seen: NDArray[np.bool_],
) -> float:
    """Return the RMS difference between a frame and the next one brought back along exact flow.

    In 8-bit codes. The figure of a clean clip is that of interpolation; subtract it.

    Args:
        flow: `(h, w, 2)` px, x then y, where each pixel of `here` lies in `there`.
        seen: `(h, w)` pixels that are visible in both.

    Source: E_warp of Lai et al., "Learning blind video temporal consistency", ECCV 2018, there
    with estimated flow and the mean of squares.
    """
    import cv2

    height, width = seen.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(
        there, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    difference = moved.reshape(here.shape).astype(np.float64) - here
    return _CODES * float(np.sqrt(np.mean(difference[seen] ** 2)))


def _limited(pixels: _Pixels, clip: bool) -> NDArray[np.float64]:
    wide = pixels.astype(np.float64)
    return np.clip(wide, 0.0, 1.0) if clip else wide
