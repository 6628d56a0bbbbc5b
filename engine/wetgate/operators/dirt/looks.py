"""What blobs look like: numbers a blob, by which they are judged, told apart and found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.dirt.detect import CONFIDENCE, PICTURE, SPIKE, TRUST

BLOB_FEATURES = (
    "size", "pixel confidence", "spike", "peak", "trust around", "spikes around",
    "confidence around", "elongation", "compactness", "length", "bright", "purity",
    "surest pixel", "sure share", "trust inside", "step at the edge", "opposite beside",
    "opposite around", "from the border", "unrest",
    "crowd", "alignment", "load", "bright share", "large ones",
)  # fmt: skip
"""Features of a blob by its own frame, each 0-1."""
NEAR = 0.12
"""Of the frame's height: blobs within that of each other are a crowd."""
_RING, _SKIP = 6, 2
_LOUDEST, _RATHER = 16.0, 0.5
_SPARSE = 4
_TINY, _BIG, _FAINT = 9, 180, 6.0
_LONG, _HAIR = 3.0, 10.0
_SPLICE = 0.6
_ALIGNED = np.cos(2 * np.radians(15.0))
_MOST_PAIRS, _LEAST_PART = 1 << 20, 16
"""Entries of a table of blobs against blobs, 8 MB; rows of it at least."""

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
        surest, firm: largest confidence of its px, and share of them that are rather dirt.
        own_trust: mean trust in motion within it, which dirt itself disturbs.
        fall: mean spike of its sign within 2 px outside it, as a share of that inside: dirt ends
            within a px, what motion misplaced does not.
        contrary, contrary_ring: mean spike of the other sign, within 2 px outside it and beyond:
            an edge misplaced leaves one of each sign.
        border: px to the nearest edge of the frame.
        unrest: mean size of the spike over the whole frame, the same for all of it.
        level, span: of the whole frame: its middle luma, and the range of the middle half of it,
            both in values of the working encoding.
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
    surest: Float
    firm: Float
    own_trust: Float
    fall: Float
    contrary: Float
    contrary_ring: Float
    border: Float
    unrest: Float
    level: float
    span: float

    @property
    def elongation(self) -> Float:
        """Return 0 for what is round to 1 for a line."""
        return np.asarray(1.0 - self.width / self.length)

    def taken(self, part: slice) -> Looks:
        """Return those of some of the blobs, as views."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        of_blobs = {n: c[part] for n, c in columns.items() if not isinstance(c, float)}
        return replace(self, **of_blobs)

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
            self.surest,
            self.firm,
            self.own_trust,
            self.fall,
            self.contrary / (self.contrary + 1.0),
            self.contrary_ring / (self.contrary_ring + 1.0),
            self.border / (self.border + 8.0),
            self.unrest / (self.unrest + 1.0),
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
    sign = np.where(spike[top] > 0, 1.0, -1.0)
    rings, shells = _surroundings(labels, box, planes, sign)
    likely = planes[y, x, CONFIDENCE]
    surest = np.zeros(count)
    np.maximum.at(surest, of, likely)
    inside = mean(size)
    border = np.minimum.reduce(
        [box[0], box[1], labels.shape[1] - box[2], labels.shape[0] - box[3]]
    ).astype(np.float64)
    loud = np.abs(planes[..., SPIKE])
    unrest = np.minimum(loud, _LOUDEST, out=loud).mean(dtype=np.float64)
    level, span = _light(planes)
    return Looks(
        area=area, x=middle_x, y=middle_y, x0=box[0], y0=box[1], x1=box[2], y1=box[3],
        anchor_x=x[top], anchor_y=y[top],
        confidence=mean(planes[y, x, CONFIDENCE].astype(np.float64)),
        spike=inside, peak=size[top],
        length=4.0 * np.sqrt(half + root),
        width=4.0 * np.sqrt(np.maximum(half - root, 1 / 24)),
        angle=0.5 * np.arctan2(2.0 * xy, xx - yy),
        polarity=signed.astype(np.intp), purity=np.maximum(bright, 1.0 - bright),
        ring_trust=rings[0], ring_spike=rings[1], ring_confidence=rings[2],
        surest=surest, firm=mean((likely >= _RATHER).astype(np.float64)),
        own_trust=mean(planes[y, x, TRUST].astype(np.float64)),
        fall=np.clip(shells[0] / np.maximum(inside, 1e-3), -1.0, 1.0),
        contrary=shells[1], contrary_ring=shells[2],
        border=border, unrest=np.full(count, unrest), level=level, span=span,
    )  # fmt: skip


def _light(planes: Pixels) -> tuple[float, float]:
    """Return the middle luma of a frame and the range of its middle half, from every 4th px."""
    gray = planes[::_SPARSE, ::_SPARSE, PICTURE].mean(axis=2, dtype=np.float64)
    low, middle, high = np.quantile(gray, (0.25, 0.5, 0.75))
    return float(middle), float(high - low)


def _surroundings(
    labels: NDArray[np.int32], box: list[NDArray[np.intp]], planes: Pixels, sign: Float
) -> tuple[Float, Float]:
    """Return means over what lies about each blob.

    Args:
        sign: of the spike of each, 1 or -1.

    Returns:
        over the ring about it, other blobs and all: trust, size of the spike, confidence;
        over what belongs to no blob: the signed spike within 2 px, and the size of spikes of the
        other sign there and farther out.
    """
    import cv2

    height, width = labels.shape
    skip = np.ones((2 * _SKIP + 1, 2 * _SKIP + 1), np.uint8)
    wide = np.ones((2 * _RING + 1, 2 * _RING + 1), np.uint8)
    rings, shells = np.zeros((3, len(box[0]))), np.zeros((3, len(box[0])))
    for k, (x0, y0, x1, y1) in enumerate(zip(*box, strict=True)):
        left, top = max(x0 - _RING, 0), max(y0 - _RING, 0)
        right, bottom = min(x1 + _RING, width), min(y1 + _RING, height)
        part = planes[top:bottom, left:right]
        numbers = labels[top:bottom, left:right]
        own = (numbers == k + 1).astype(np.uint8)
        near = cv2.dilate(own, skip) > 0
        ring = (cv2.dilate(own, wide) > 0) & ~near
        free = numbers == 0
        values = part[ring]
        if len(values):
            rings[0, k] = values[:, TRUST].mean(dtype=np.float64)
            rings[1, k] = np.minimum(np.abs(values[:, SPIKE]), _LOUDEST).mean(dtype=np.float64)
            rings[2, k] = values[:, CONFIDENCE].mean(dtype=np.float64)
        signed = part[..., SPIKE] * np.float32(sign[k])
        beside, beyond = signed[near & free], signed[ring & free]
        if beside.size:
            shells[0, k] = beside.mean(dtype=np.float64)
            shells[1, k] = np.clip(-beside, 0.0, _LOUDEST).mean(dtype=np.float64)
        if beyond.size:
            shells[2, k] = np.clip(-beyond, 0.0, _LOUDEST).mean(dtype=np.float64)
    return rings, shells


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
    parts = [_crowds(here.taken(p), there, shape) for p in parts_of(here, there)]
    return np.concatenate([n for n, _ in parts]), np.concatenate([a for _, a in parts])


def parts_of(here: Looks, there: Looks) -> Iterator[slice]:
    """Cut the blobs `here` into parts whose tables against those `there` stay small; at least one.

    A frame of ten thousand blobs would otherwise take gigabytes.
    """
    count = here.area.size
    step = max(_LEAST_PART, _MOST_PAIRS // max(there.area.size, 1))
    for start in range(0, max(count, 1), step):
        yield slice(start, min(start + step, count))


def _crowds(here: Looks, there: Looks, shape: tuple[int, ...]) -> tuple[Float, Float]:
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
