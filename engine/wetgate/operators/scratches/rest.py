"""What each frame has more than frames farther away show, where the picture moves as one.

Hard edges of a picture that stands still, weaves or pans are in all frames; a scratch that wanders
over it is not. Of three frames laid over each other the middle value is taken, which a line that
stands elsewhere in each of them does not touch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.scratches.behind import Window

_WORTH = 0.8
"""Share of the scatter of a frame that may be left, or nothing is gained."""

Luma = NDArray[np.float32]


def lenders(place: int, start: int, stop: int, radius: int) -> list[int]:
    """Return three frames of `start` to `stop` far from a frame and from each other; or none."""
    low, high = max(start, place - radius), min(stop - 1, place + radius)
    if high - low < 3:
        return []
    others = [k for k in range(low, high + 1) if k != place]
    chosen = [others[0], others[-1]]
    chosen.append(max(others, key=lambda k: (min(abs(k - c) for c in (*chosen, place)), -k)))
    return sorted(chosen)


def rests(
    lumas: Callable[[int], Luma], start: int, stop: int, window: Window
) -> Iterator[tuple[Luma, Luma | None]]:
    """Yield luma of each frame and what it has more than others; None where that is no gain.

    Args:
        lumas: gives luma `(height, width)` of a frame, each asked for once.
        window: empty; holds frames meanwhile.
    """
    ahead = start
    for place in range(start, stop):
        while ahead < min(place + window.radius + 1, stop):
            window.put(ahead, lumas(ahead), ())
            ahead += 1
        luma = window.cleaned[place]
        chosen = lenders(place, start, stop, window.radius)
        yield luma, _rest(place, luma, chosen, window) if chosen else None


def _rest(place: int, luma: Luma, chosen: Sequence[int], window: Window) -> Luma | None:
    import cv2

    cv2.setNumThreads(1)
    height, width = luma.shape
    laid = []
    for other in chosen:
        laid.append(
            cv2.warpAffine(
                window.cleaned[other],
                window.motion(place, other),
                (width, height),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    first, second, third = laid
    low, high = np.minimum(first, second), np.maximum(first, second)
    rest = luma - np.maximum(low, np.minimum(high, third))
    return np.asarray(rest, np.float32) if _scatter(rest) < _WORTH * _scatter(luma) else None


def _scatter(plane: Luma) -> float:
    """Return the mean difference across four px, every third row."""
    rows = plane[::3]
    return float(np.abs(rows[:, 4:] - rows[:, :-4]).mean())
