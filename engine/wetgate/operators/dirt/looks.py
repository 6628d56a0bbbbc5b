"""What blobs look like: numbers a blob, by which they are judged, told apart and found again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.dirt.detect import CONFIDENCE, SPIKE, TRUST

BLOB_FEATURES = (
    "size", "pixel confidence", "spike", "peak", "trust around", "spikes around",
    "confidence around", "elongation", "compactness", "length", "bright", "purity",
    "crowd", "alignment", "load", "bright share", "large ones",
)  # fmt: skip
"""Features of a blob by its own frame, each 0-1."""
NEAR = 0.12
"""Of the frame's height: blobs within that of each other are a crowd."""
_RING, _SKIP = 6, 2
_TINY, _BIG, _FAINT = 9, 180, 6.0
_LONG, _HAIR = 3.0, 10.0
_SPLICE = 0.6
_ALIGNED = np.cos(2 * np.radians(15.0))

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Columns, one row a blob; px and deviations of noise.

    Attributes:
        area, x, y: px, and the middle. x0, y0, x1, y1: box, half-open.
        anchor_x, anchor_y: the strongest px.
        confidence: mean of its px. spike, peak: mean and largest size of the spike.
        length, width: axes of the ellipse with the same moments, px; `angle` of the long one.
        polarity: -1, 0 or 1; purity: share of px that have its sign.
        ring_trust, ring_spike, ring_confidence: means over what lies about it.
    """

    area: Float
    x: Float
    y: Float
    x0: NDArray[np.intp]
    y0: NDArray[np.intp]
    x1: NDArray[np.intp]
    y1: NDArray[np.intp]
    anchor_x: NDArray[np.intp]
    anchor_y: NDArray[np.intp]
    confidence: Float
    spike: Float
    peak: Float
    length: Float
    width: Float
    angle: Float
    polarity: NDArray[np.intp]
    purity: Float
    ring_trust: Float
    ring_spike: Float
    ring_confidence: Float

    @property
    def elongation(self) -> Float:
        """Return 0 for what is round to 1 for a line."""
        return np.asarray(1.0 - self.width / self.length)

    def columns(self) -> tuple[Float, ...]:
        """Return the features that a blob has by itself."""
        ellipse = 0.25 * np.pi * self.length * self.width
        return (
            np.minimum(np.log2(np.maximum(self.area, 1.0)) / 12.0, 1.0),
            self.confidence,
            self.spike / (self.spike + 6.0),
            self.peak / (self.peak + 12.0),
            self.ring_trust,
            self.ring_spike / (self.ring_spike + 2.0),
            self.ring_confidence,
            self.elongation,
            np.minimum(self.area / np.maximum(ellipse, 1.0), 1.5) / 1.5,
            self.length / (self.length + 30.0),
            (self.polarity > 0).astype(np.float64),
            self.purity,
        )


def looks_of(labels: NDArray[np.int32], count: int, planes: Pixels) -> Looks:
    """Measure the blobs of a whole frame.

    Args:
        labels: `(h, w)`, 1 to `count`. planes: of `detect.Detect`.
    """
    y, x = np.nonzero(labels)
    of = labels[y, x] - 1
    spike = planes[y, x, SPIKE].astype(np.float64)
    size = np.abs(spike)
    # Sums of many float64: the order is that of the rows, always the same.
    area = np.bincount(of, minlength=count).astype(np.float64)

    def mean(values: Float) -> Float:
        return np.asarray(np.bincount(of, values, count) / np.maximum(area, 1.0))

    middle_x, middle_y = mean(x.astype(np.float64)), mean(y.astype(np.float64))
    dx, dy = x - middle_x[of], y - middle_y[of]
    # A px is a square: 1/12 on both axes.
    xx, yy, xy = mean(dx * dx) + 1 / 12, mean(dy * dy) + 1 / 12, mean(dx * dy)
    half, root = 0.5 * (xx + yy), np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    order = np.lexsort((x, y, -size, of))
    starts = np.searchsorted(of[order], np.arange(count))
    top = order[starts] if count else np.zeros(0, np.intp)
    bright = np.bincount(of[spike > 0], minlength=count) / np.maximum(area, 1.0)
    signed = np.where(bright > 0.7, 1, np.where(bright < 0.3, -1, 0))
    box = [np.full(count, v, np.intp) for v in (1 << 40, 1 << 40, 0, 0)]
    np.minimum.at(box[0], of, x)
    np.minimum.at(box[1], of, y)
    np.maximum.at(box[2], of, x + 1)
    np.maximum.at(box[3], of, y + 1)
    rings = _rings(labels, box, planes)
    return Looks(
        area=area, x=middle_x, y=middle_y, x0=box[0], y0=box[1], x1=box[2], y1=box[3],
        anchor_x=x[top], anchor_y=y[top],
        confidence=mean(planes[y, x, CONFIDENCE].astype(np.float64)),
        spike=mean(size), peak=size[top],
        length=4.0 * np.sqrt(half + root),
        width=4.0 * np.sqrt(np.maximum(half - root, 1 / 24)),
        angle=0.5 * np.arctan2(2.0 * xy, xx - yy),
        polarity=signed.astype(np.intp), purity=np.maximum(bright, 1.0 - bright),
        ring_trust=rings[0], ring_spike=rings[1], ring_confidence=rings[2],
    )  # fmt: skip


def _rings(
    labels: NDArray[np.int32], box: list[NDArray[np.intp]], planes: Pixels
) -> tuple[Float, Float, Float]:
    """Return means over the ring about each blob, what belongs to no blob."""
    import cv2

    height, width = labels.shape
    skip = np.ones((2 * _SKIP + 1, 2 * _SKIP + 1), np.uint8)
    wide = np.ones((2 * _RING + 1, 2 * _RING + 1), np.uint8)
    found = np.zeros((3, len(box[0])))
    for k, (x0, y0, x1, y1) in enumerate(zip(*box, strict=True)):
        left, top = max(x0 - _RING, 0), max(y0 - _RING, 0)
        right, bottom = min(x1 + _RING, width), min(y1 + _RING, height)
        part = planes[top:bottom, left:right]
        own = (labels[top:bottom, left:right] == k + 1).astype(np.uint8)
        ring = (cv2.dilate(own, wide) > 0) & (cv2.dilate(own, skip) == 0)
        values = part[ring]
        if len(values):
            found[0, k] = values[:, TRUST].mean(dtype=np.float64)
            found[1, k] = np.minimum(np.abs(values[:, SPIKE]), 16.0).mean(dtype=np.float64)
            found[2, k] = values[:, CONFIDENCE].mean(dtype=np.float64)
    return found[0], found[1], found[2]


def population(looks: Looks, shape: tuple[int, ...]) -> tuple[Float, ...]:
    """Return the features that a blob has among those of its frame, `(h, w)`."""
    count = looks.area.size
    near, aligned = crowds(looks, looks, shape)
    load = float(looks.area.sum()) / (shape[0] * shape[1])
    bright = (float((looks.polarity > 0).sum()) + 1.0) / (count + 2.0)
    large = float((looks.area > _BIG).sum())
    one = np.ones(count)
    return (
        _share(np.maximum(near - 1.0, 0.0)),
        _share(np.maximum(aligned - 1.0, 0.0)),
        one * load / (load + 0.003),
        one * bright,
        one * large / (large + 4.0),
    )


def crowds(here: Looks, there: Looks, shape: tuple[int, ...]) -> tuple[Float, Float]:
    """Count the blobs `there` that have the polarity of each blob `here`.

    Returns:
        those near it; those that are long and lie along it, wherever (0 for what is round).
    """
    reach = NEAR * shape[0]
    apart = np.hypot(here.x[:, None] - there.x, here.y[:, None] - there.y)
    same = here.polarity[:, None] == there.polarity
    near = np.asarray((same & (apart <= reach)).sum(axis=1), np.float64)
    long_here, long_there = here.length > _LONG * here.width, there.length > _LONG * there.width
    along = np.cos(2 * (here.angle[:, None] - there.angle)) >= _ALIGNED
    aligned = (same & along & long_there).sum(axis=1) * long_here
    return near, np.asarray(aligned, np.float64)


def _share(count: Float) -> Float:
    return np.asarray(count / (count + 4.0))


def kind_of(looks: Looks, k: int, shape: tuple[int, ...]) -> str:
    """Name what a blob looks like: dust, hair, blotch, sparkle, splice or chemical."""
    wide = looks.x1[k] - looks.x0[k]
    length, width = looks.length[k], looks.width[k]
    if wide > _SPLICE * shape[1] and looks.y1[k] - looks.y0[k] < 0.2 * shape[0]:
        return "splice"
    ellipse = 0.25 * np.pi * length * width
    curled = looks.area[k] < 0.45 * ellipse and length > 2 * _HAIR
    if (length > _LONG * width and length > _HAIR) or curled:
        return "hair"
    if looks.area[k] > _BIG:
        return "chemical" if looks.spike[k] < _FAINT else "blotch"
    if looks.polarity[k] > 0 and looks.area[k] <= _TINY:
        return "sparkle"
    return "dust"
