"""Find shot cuts on small luma proxies, from local evidence only.

Each frame shrinks to a proxy of block means, which grain does not reach. Two proxies are compared
by how badly the best small displacement of every block explains one by the other, once gain and
offset of the whole frame are taken out: a pan, a fade or a flicker explains itself, another scene
does not. A cut must stand out of its neighborhood and must still be there when a single frame is
skipped, so that a flash of one frame is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels

PROXY_WIDTH = 96
"""Proxy width, px; the height follows the frame's shape."""

_BLOCK = 12
_SHIFTS = tuple(
    (dy, dx)
    for dy in range(-10, 11)
    for dx in range(-16, 17)
    # Every shift near by, every other farther away: fast pans blur anyway.
    if (abs(dy) <= 6 and abs(dx) <= 6) or (dy % 2 == 0 and dx % 2 == 0)
)

_CUT = 0.33
"""Least unexplained share of a cut; frames of one shot stay under 0.3 in pans and shakes."""

_STANDS_OUT = 1.6
"""How often the unexplained share must exceed that of the calmer pair on either side."""

_SKIPPED = 0.7
"""Share of a cut's evidence that must remain across it when one frame is skipped."""

_FLOOR = 0.04
"""Mean deviation, in working units of 0-1, below which a proxy fades into flatness."""

Proxy = NDArray[np.float32]


def make_proxy(color: Pixels) -> Proxy:
    """Shrink the colors of a frame, log or display encoded, to a small luma proxy.

    Args:
        color: `(height, width, 1 or 3)`, finite.

    Returns:
        `(h, w)` of block means; frames narrower than the proxy keep their size.
    """
    height, width, count = color.shape
    # Cut at whole pixels so that every sample has a support of its own.
    columns = min(width, PROXY_WIDTH)
    rows = min(height, max(1, round(PROXY_WIDTH * height / width)))
    weights = np.asarray([0.25, 0.5, 0.25] if count == 3 else [1.0], dtype=np.float32)
    y = np.linspace(0, height, rows + 1).astype(np.intp)
    x = np.linspace(0, width, columns + 1).astype(np.intp)
    out = np.empty((rows, columns), dtype=np.float32)
    for row in range(rows):
        band = color[y[row] : y[row + 1]].sum(axis=0, dtype=np.float32) @ weights
        out[row] = np.add.reduceat(band, x[:-1]) / (np.diff(x) * (y[row + 1] - y[row]))
    return out


def unexplained(a: Proxy, b: Proxy) -> float:
    """Return how much of `b` no small displacement of `a` explains: 0 same, about 1 another scene.

    Symmetric. Frames of different sizes are another scene.
    """
    if a.shape != b.shape:
        return 1.0
    one, other = _normalized(a), _normalized(b)
    return 0.5 * (_residual(one, other) + _residual(other, one))


def _normalized(proxy: Proxy) -> Proxy:
    """Take the frame's gain and offset out; the mean deviation becomes 1, less when flat."""
    centered = proxy - np.float32(np.median(proxy))
    spread = np.hypot(np.mean(np.abs(centered), dtype=np.float64), _FLOOR)
    return centered / np.float32(spread)


def _residual(here: Proxy, there: Proxy) -> float:
    """Match every block of `here` inside `there`; return the mean unexplained share."""
    height, width = here.shape
    rows, columns = np.arange(0, height, _BLOCK), np.arange(0, width, _BLOCK)
    up, left = min(10, height - 1), min(16, width - 1)
    padded = np.pad(there, ((up, up), (left, left)), mode="reflect")
    best = np.full((len(rows), len(columns)), np.inf, dtype=np.float32)
    for dy, dx in _SHIFTS:
        if abs(dy) <= up and abs(dx) <= left:
            moved = padded[up + dy : up + dy + height, left + dx : left + dx + width]
            np.minimum(best, _block_sums(np.abs(here - moved), rows, columns), out=best)
    scale = np.maximum(np.abs(here), np.abs(there)).mean(dtype=np.float64)
    return float(best.sum(dtype=np.float64) / here.size / max(1.0, float(scale)))


def _block_sums(
    values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)


@dataclass(frozen=True, slots=True)
class CutEvidence:
    """What is known about one frame as the possible first of a shot.

    Attributes:
        number: the frame.
        here: unexplained share against the frame before it.
        before_skipped: against the frame two before. after_skipped: of the frame after it
            against the frame before it. None where those do not exist.
    """

    number: int
    here: float
    before_skipped: float | None
    after_skipped: float | None


class CutDetector:
    """Takes proxies in order and remembers four of them, whatever the length of the clip."""

    def __init__(self) -> None:
        self._last: list[tuple[int, Proxy]] = []
        self._evidence: list[CutEvidence] = []

    def add(self, number: int, proxy: Proxy) -> None:
        """Take the next readable frame, in ascending order."""
        if self._last:
            here = unexplained(self._last[-1][1], proxy)
            skipped = unexplained(self._last[-2][1], proxy) if len(self._last) > 1 else None
            if self._evidence and skipped is not None:
                old = self._evidence[-1]
                self._evidence[-1] = CutEvidence(old.number, old.here, old.before_skipped, skipped)
            self._evidence.append(CutEvidence(number, here, skipped, None))
        self._last = [*self._last[-1:], (number, proxy)]

    def cuts(self) -> tuple[int, ...]:
        """Return the first frame of every shot but the first."""
        return find_cuts(self._evidence)


def find_cuts(evidence: Sequence[CutEvidence]) -> tuple[int, ...]:
    """Decide which frames begin a shot, from the evidence of the pairs around each."""
    found = []
    for at, this in enumerate(evidence):
        skipped = [s for s in (this.before_skipped, this.after_skipped) if s is not None]
        sides = (evidence[max(0, at - 2) : at], evidence[at + 1 : at + 3])
        # The calmer pair of a side decides: the other may be a flash or the next cut.
        around = max((min(pair.here for pair in side) for side in sides if side), default=0.0)
        if (
            this.here >= _CUT
            and this.here >= _STANDS_OUT * around
            and all(s >= _SKIPPED * this.here for s in skipped)
        ):
            found.append(this.number)
    return tuple(found)
