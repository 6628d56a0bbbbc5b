"""From likely pixels to blobs: what a person would call one piece of dirt, and how sure that is.

All of it on whole frames. A blob grows from likely pixels over less likely ones beside them
(hysteresis), pieces of one hair are joined over small gaps, and a logistic of what the blob looks
like says how likely it is a defect. `neighbors.judge` sharpens that by the frames beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Analysis, Pixels, UsesModels
from wetgate.operators.dirt.confidence import calibration, judged
from wetgate.operators.dirt.detect import CONFIDENCE, SPIKE
from wetgate.operators.dirt.looks import BLOB_FEATURES, Looks, kind_of, looks_of, population

SEED, GROWTH = 0.4, 0.15
"""Pixel confidence that starts a blob, and over which it grows."""
REFINED_SEED, REFINED_GROWTH = 0.2, 0.15
"""The same for confidences that the network refined: small specks are unsure by themselves, and
what is no dirt is told by its looks and by the frames beside."""
TOLD = 0.9995
"""Pixel confidence that only a map gives."""
_GAP = 1
_RIM = 2
_WHOLE = 0.6
"""Share of a blob's typical spike from which a pixel of its rim counts as covered."""
_FAINT = 0.12

Plane = NDArray[np.float32]


class BlobSettings(Protocol):
    """What blobs depend on of the operator."""

    @property
    def smallest(self) -> int:
        """Return the px below which a blob is left alone."""
        ...

    @property
    def largest(self) -> int:
        """Return the side of the largest box that a blob may fill, px."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blob:
    """One piece of what looks like dirt.

    Attributes:
        number: 1 and up, in the order of the rows; its value in `BlobTable.labels`.
        anchor: `(x, y)` of its strongest px; no two blobs share one.
        kind: dust, hair, blotch, sparkle, splice or chemical.
        box: what it covers with its rim, within the frame.
        alpha: float32, the size of `box`: 0-1, the matte: 1 in the core, less in the rim where
            the px is covered in part, 0 beyond.
        area: px of the core.
        polarity: 1 brighter than the picture, -1 darker, 0 mixed.
        confidence: 0-1, that it is a defect, by what its own frame says.
        too_large: beyond the size that may be repaired.
        told: an infra-red channel or a map says that half of it or more is a defect.
        facts: what was measured of it; finite numbers.
    """

    number: int
    anchor: tuple[int, int]
    kind: str
    box: Box
    alpha: Plane
    area: int
    polarity: int
    confidence: float
    too_large: bool
    told: bool
    facts: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class BlobTable:
    """The blobs of one frame.

    Attributes:
        labels: `(height, width)`, the least unsigned type that holds their number: the blob that
            each px belongs to (its core, without the rim), 0 for none.
        blobs: in the order of their numbers.
        looks: what `neighbors` compares, a row a blob.
        by: whose confidence of pixels the blobs are made of.
    """

    labels: NDArray[np.unsignedinteger]
    blobs: tuple[Blob, ...]
    looks: Looks
    by: Literal["network", "classical"]

    def __len__(self) -> int:
        return len(self.blobs)

    def confidences(self) -> NDArray[np.float64]:
        """Return the confidence of every blob, by what its own frame says."""
        return np.array([b.confidence for b in self.blobs], np.float64)


def find_blobs(planes: Pixels, settings: BlobSettings, analysis: Analysis) -> BlobTable:
    """Find the blobs of one whole frame.

    Args:
        planes: what `detect.Detect` returned, of the whole frame.
        analysis: of the shot; unused so far.

    Returns:
        every blob of at least `smallest` px, those too large for repair too.
    """
    refined = isinstance(settings, UsesModels) and bool(settings.models())
    seed, growth = (REFINED_SEED, REFINED_GROWTH) if refined else (SEED, GROWTH)
    labels, count = components(planes[..., CONFIDENCE], settings.smallest, growth, seed)
    spike = planes[..., SPIKE]
    looks = looks_of(labels, count, planes)
    columns = (*looks.columns(), *population(looks, labels.shape))
    by: Literal["network", "classical"] = "network" if refined else "classical"
    named = dict(zip(BLOB_FEATURES, columns, strict=True))
    sure = judged(calibration()[f"{by} blob"], named) if count else np.zeros(0)
    by_map = np.bincount(labels[planes[..., CONFIDENCE] >= TOLD], minlength=count + 1)[1:]
    blobs = []
    for k in range(count):
        box, alpha = _matte(labels, spike, looks, k)
        # A doubtful px that adheres to what a map tells does not make that doubtful.
        told = bool(2 * by_map[k] >= looks.area[k])
        facts = {name: round(float(column[k]), 5) for name, column in named.items()}
        side = max(looks.x1[k] - looks.x0[k], looks.y1[k] - looks.y0[k])
        blobs.append(
            Blob(
                number=k + 1,
                anchor=(int(looks.anchor_x[k]), int(looks.anchor_y[k])),
                kind=kind_of(looks, k, labels.shape),
                box=box,
                alpha=alpha,
                area=int(looks.area[k]),
                polarity=int(looks.polarity[k]),
                confidence=1.0 if told else round(float(sure[k]), 5),
                too_large=bool(side > settings.largest),
                told=told,
                facts=facts,
            )
        )
    return BlobTable(labels.astype(np.min_scalar_type(count)), tuple(blobs), looks, by)


def components(
    confidence: Plane, smallest: int, growth: float = GROWTH, seed: float = SEED
) -> tuple[NDArray[np.int32], int]:
    """Label what grew from seeds: 1 and up by the first px in the order of the rows, 0 none."""
    import cv2

    cv2.setNumThreads(1)
    grown = (confidence >= growth).astype(np.uint8)
    nothing = np.zeros(confidence.shape, np.int32), 0
    if not grown.any():
        return nothing
    side = 2 * _GAP + 1
    joined = cv2.dilate(grown, np.ones((side, side), np.uint8))
    count, found = cv2.connectedComponents(joined, connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(found, np.int32)
    labels *= grown
    y, x = np.nonzero(labels)
    of = labels[y, x]
    area = np.bincount(of, minlength=count)
    best = np.zeros(count, np.float32)
    np.maximum.at(best, of, confidence[y, x])
    keep = (area >= smallest) & (best >= seed)
    keep[0] = False
    number = np.zeros(count, np.int32)
    first = of[keep[of]]
    if first.size == 0:
        return nothing
    order = first[np.sort(np.unique(first, return_index=True)[1])]
    number[order] = np.arange(1, order.size + 1)
    labels[y, x] = number[of]
    return labels, int(order.size)


def _matte(labels: NDArray[np.int32], spike: Plane, looks: Looks, k: int) -> tuple[Box, Plane]:
    """Return the box of a blob with its rim, and how far each px of it is covered."""
    import cv2

    height, width = labels.shape
    x0, y0 = max(int(looks.x0[k]) - _RIM, 0), max(int(looks.y0[k]) - _RIM, 0)
    x1, y1 = min(int(looks.x1[k]) + _RIM, width), min(int(looks.y1[k]) + _RIM, height)
    area = slice(y0, y1), slice(x0, x1)
    core = labels[area] == k + 1
    side = 2 * _RIM + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near = cv2.dilate(core.astype(np.uint8), shape) > 0
    # A rim px that belongs to another blob is that one's.
    near &= (labels[area] == 0) | core
    typical = max(float(looks.spike[k]), 1e-3) * _WHOLE
    sign = float(looks.polarity[k]) or 1.0
    cover = np.clip(spike[area] * np.float32(sign / typical), 0.0, 1.0)
    alpha = np.where(core, np.float32(1), np.where(near & (cover >= _FAINT), cover, np.float32(0)))
    return Box(x0, y0, x1, y1), np.ascontiguousarray(alpha, np.float32)
