"""Whether what a blob hides can be seen in a neighboring frame: the truth is asked, not a detector.

A blob's own piece of the clean picture, which no restorer has, is searched for in the clean
neighbors where no dirt lies. Content is there when it matches to within the grain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import REACH, DirtyClip
from wetgate.bench.dirt.truth import Mask
from wetgate.simulate import DamagedFrame

_SEARCH = 40
_QUARTERS = range(-3, 4)
_NEAR = 16.0
"""Only places that match within so many times what is asked are searched at quarter pixels."""


def shown_blobs(clip: DirtyClip, number: int) -> NDArray[np.bool_]:
    """Return for each object of a frame's masks whether a neighbor within `REACH` shows it."""
    masks = clip.masks[number]
    shown = np.zeros(masks.count, np.bool_)
    for k in range(masks.count):
        shown[k] = any(
            _is_in(clip.frames[number], masks.objects == k + 1, clip, number + step)
            for step in sorted((*range(-REACH, 0), *range(1, REACH + 1)), key=abs)
            if number + step in clip.frames
        )
    return shown


def _is_in(here: DamagedFrame, blob: Mask, clip: DirtyClip, other: int) -> bool:
    return is_shown(
        here.truth.clean,
        blob,
        _grain_variance(here, blob),
        clip.frames[other].truth.clean,
        clip.masks[other].touched,
    )


def _grain_variance(frame: DamagedFrame, blob: Mask) -> float:
    sigma = frame.truth.grain_sigma
    return 0.0 if sigma is None else float(np.mean(sigma[blob].astype(np.float64) ** 2))


def is_shown(
    here: NDArray[np.float32],
    blob: Mask,
    most: float,
    there: NDArray[np.float32],
    dirty: Mask,
    search: int = _SEARCH,
) -> bool:
    """Say whether some place of `there` looks as `here` does under a blob.

    Args:
        here, there: clean `(h, w, 3)`.
        most: mean squared difference up to which they look alike.
        dirty: places of `there` that may not be used.
        search: px to look either way; quarter pixels about the best place are tried as well.
    """
    import cv2

    height, width = blob.shape
    rows, columns = np.flatnonzero(blob.any(axis=1)), np.flatnonzero(blob.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    top, left = max(0, y0 - search), max(0, x0 - search)
    area = np.s_[top : min(height, y1 + search), left : min(width, x1 + search)]
    piece = np.ascontiguousarray(here[y0:y1, x0:x1])
    mask = blob[y0:y1, x0:x1].astype(np.float32)
    error = cv2.matchTemplate(
        np.ascontiguousarray(there[area]), piece, cv2.TM_SQDIFF, mask=np.dstack([mask] * 3)
    ) / (3 * mask.sum())
    hidden = cv2.matchTemplate(dirty[area].astype(np.float32), mask, cv2.TM_CCORR)
    error = np.where(hidden < 0.5, error, np.inf)
    y, x = np.unravel_index(int(np.argmin(error)), error.shape)
    best = float(error[y, x])
    if not best > most:
        return True
    if not best <= _NEAR * most:
        return False
    return _between(piece, mask, there, (left + int(x), top + int(y))) <= most


def _between(
    piece: NDArray[np.float32],
    mask: NDArray[np.float32],
    there: NDArray[np.float32],
    corner: tuple[int, int],
) -> float:
    """Return the least mean squared difference at quarter pixels about a place."""
    import cv2

    rows, columns = mask.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    inside = mask > 0
    best = np.inf
    for down in _QUARTERS:
        for across in _QUARTERS:
            moved = cv2.remap(
                there,
                x + np.float32(corner[0] + across / 4),
                y + np.float32(corner[1] + down / 4),
                cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            gap = (moved[inside] - piece[inside]).astype(np.float64)
            best = min(best, float(np.mean(gap * gap)))
    return best


def shown_by_frame(clip: DirtyClip, numbers: range) -> Mapping[int, NDArray[np.bool_]]:
    """Return `shown_blobs` of several frames."""
    return {n: shown_blobs(clip, n) for n in numbers}
