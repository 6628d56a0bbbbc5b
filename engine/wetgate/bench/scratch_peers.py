"""Plain references beside the scratches operator: detectors of one frame, and repairs of one.

Detectors return lines with a score, so that a threshold can be searched. Repairs are given the
true matte, which wetgate has to find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.peers import inpainted

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Line = tuple[float, float, float]
"""Score, x in the middle row in px, slope in px a row."""

_WIDE = 11
_STEEPEST = 3.0
_SLOPES = 13
_APART = 5


def column_median(frame: Pixels) -> list[Line]:
    """Suspect columns whose median stands out of the columns around, over the whole height."""
    luma = frame.mean(axis=2, dtype=np.float64)
    rest = luma - _median_along(luma, _WIDE)
    return _peaks(np.median(rest, axis=0)[None], np.zeros(1))


def slanted_sums(frame: Pixels) -> list[Line]:
    """Suspect lines of up to 3 degrees along which a top-hat adds up.

    Both top-hats, of what is bright and of what is dark, with a bar across; the sums of a sheared
    frame are its Radon transform near the upright.
    """
    import cv2

    luma = np.ascontiguousarray(frame.mean(axis=2, dtype=np.float32))
    bar = np.ones((1, 9), np.uint8)
    hat = cv2.morphologyEx(luma, cv2.MORPH_TOPHAT, bar)
    hat = hat - cv2.morphologyEx(luma, cv2.MORPH_BLACKHAT, bar)
    limit = 3 * 1.4826 * float(np.median(np.abs(hat - np.median(hat))))
    hat = np.clip(hat, -limit, limit)
    height, width = hat.shape
    slopes = np.tan(np.radians(np.linspace(-_STEEPEST, _STEEPEST, _SLOPES)))
    sums = np.zeros((_SLOPES, width))
    rows = np.arange(height)
    for k, slope in enumerate(slopes):
        shift = np.rint(slope * (rows - (height - 1) / 2)).astype(int)
        at = np.clip(np.arange(width) + shift[:, None], 0, width - 1)
        sums[k] = np.take_along_axis(hat, at, axis=1).mean(axis=0)
    return _peaks(sums, slopes)


DETECTORS: Mapping[str, Callable[[Pixels], list[Line]]] = {
    "column median": column_median,
    "top-hat, slanted sums": slanted_sums,
}


def _median_along(luma: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    wide = np.pad(luma, ((0, 0), (size // 2, size // 2)), mode="reflect")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(wide, size, 1), axis=-1))


def _peaks(sums: NDArray[np.float64], slopes: NDArray[np.float64]) -> list[Line]:
    """Return the highest of neighboring places, in deviations of the columns of the frame."""
    sums = sums - np.median(sums, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(sums), axis=1, keepdims=True)
    scores = np.abs(sums) / np.maximum(spread, 1e-9)
    found: list[Line] = []
    while True:
        k, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
        if scores[k, x] < 2.0 or len(found) >= 40:
            return found
        found.append((float(scores[k, x]), float(x), float(slopes[k])))
        scores[:, max(0, int(x) - _APART) : int(x) + _APART + 1] = 0


def _interpolated(frame: Pixels, hole: Mask) -> Pixels:
    """Join what lies on either side of a hole by a straight line, row by row."""
    out = frame.copy()
    columns = np.arange(frame.shape[1])
    for y in np.flatnonzero(hole.any(axis=1)):
        gap = hole[y]
        if gap.all():
            continue
        for c in range(frame.shape[2]):
            out[y, gap, c] = np.interp(columns[gap], columns[~gap], frame[y, ~gap, c])
    return out


def _row_median(frame: Pixels, hole: Mask, size: int) -> Pixels:
    """Put the median of each row's neighborhood into a hole."""
    out = frame.copy()
    for c in range(frame.shape[2]):
        out[..., c][hole] = _median_along(frame[..., c].astype(np.float64), size)[hole]
    return out


REPAIRS: Mapping[str, Callable[[Pixels, Mask], Pixels]] = {
    "top-hat + interpolation": _interpolated,
    "row median of 9": partial(_row_median, size=9),
    "row median of 21": partial(_row_median, size=21),
    "cv2 Telea": lambda frame, hole: inpainted(frame, hole, "Telea", 3),
}
