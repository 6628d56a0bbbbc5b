"""A tile as repairs are laid over it: pixels, planes and records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Fix, Judged, Pixels, Provenance
from wetgate.operators.dirt.blobs import Blob
from wetgate.operators.dirt.defects import Repaired
from wetgate.operators.dirt.places import Place

REJECTED = "rejected"
_WORTH_TELLING = 0.05
_BESIDE = np.float32(0.05)


def alpha_at(blob: Blob, place: Place) -> NDArray[np.float32]:
    """Return how far a blob covers each pixel of its place."""
    inside = (
        (place.x >= blob.box.x0)
        & (place.x < blob.box.x1)
        & (place.y >= blob.box.y0)
        & (place.y < blob.box.y1)
    )
    alpha = np.zeros(place.y.size, np.float32)
    alpha[inside] = blob.alpha[place.y[inside] - blob.box.y0, place.x[inside] - blob.box.x0]
    return alpha


class Tile:
    """The tile as it grows: pixels, planes and records."""

    def __init__(self, pixels: Pixels, tile: Box) -> None:
        shape = pixels.shape[:2]
        self._pixels, self._tile = pixels, tile
        self._classes = np.zeros(shape, np.uint8)
        self._fixes = np.zeros(shape, np.uint32)
        self._origins = np.zeros((*shape, 3), np.float32)
        self._matte = np.zeros(shape, np.float32)
        self._confidence = np.zeros(shape, np.float32)
        self._records: list[Fix] = []

    def leave(self, number: int, blob: Blob, confidence: float, why: str) -> None:
        """Leave a blob as it is and say why, where that is worth telling."""
        self._doubt(blob, confidence)
        if confidence >= _WORTH_TELLING or why == REJECTED:
            self._records.append(_left_alone(number, blob, confidence, why))

    def lay(
        self,
        number: int,
        blob: Blob,
        confidence: float,
        place: Place,
        made: Repaired,
        *,
        shown: bool = True,
    ) -> None:
        """Lay what became of a blob over the tile.

        Args:
            shown: the matte tells of it.
        """
        self._doubt(blob, confidence)
        changed = made.weight > 0
        self._records.append(_applied(number, blob, confidence, place, made))
        tile = self._tile
        here = (
            changed
            & (place.x >= tile.x0)
            & (place.x < tile.x1)
            & (place.y >= tile.y0)
            & (place.y < tile.y1)
        )
        at = place.y[here] - tile.y0, place.x[here] - tile.x0
        self._pixels[at] = made.values[here]
        self._classes[at] = made.classes[here]
        self._fixes[at] = blob.number
        if shown:
            # How far dirt covers a px; what changed beside it, to meet it softly, shows faintly.
            self._matte[at] = np.maximum(alpha_at(blob, place)[here], _BESIDE)
        self._origins[(*at, 0)] = made.steps[here]
        self._origins[(*at, slice(1, None))] = made.shifts[here]

    def _doubt(self, blob: Blob, confidence: float) -> None:
        common = blob.box.intersect(self._tile)
        if common.is_empty:
            return
        rows, columns = common.within(self._tile)
        inside = blob.alpha[common.within(blob.box)]
        known = self._confidence[rows, columns]
        np.copyto(known, np.float32(confidence), where=(inside > 0) & (known < confidence))

    def judged(self, notes: tuple[str, ...]) -> Judged:
        """Return the tile."""
        return Judged(
            self._pixels,
            classes=self._classes,
            notes=notes,
            fixes=self._fixes,
            origins=self._origins,
            planes={"dirt.matte": self._matte, "dirt.confidence": self._confidence},
            records=tuple(self._records),
        )


def _left_alone(number: int, blob: Blob, confidence: float, why: str) -> Fix:
    return Fix(
        number=blob.number,
        frame=number,
        anchor=blob.anchor,
        kind=blob.kind,
        box=blob.box,
        area=blob.area,
        polarity=blob.polarity,
        confidence=confidence,
        applied=False,
        why=why,
        facts=dict(blob.facts),
    )


def _applied(number: int, blob: Blob, confidence: float, place: Place, made: Repaired) -> Fix:
    changed = made.weight > 0
    y, x = place.y[changed], place.x[changed]
    offset = (0.0, 0.0)
    if made.way is not None:
        anchor = np.array([blob.anchor[0]], np.int32), np.array([blob.anchor[1]], np.int32)
        dx, dy = made.way.at(anchor[1], anchor[0])
        offset = float(np.ravel(dx)[0]), float(np.ravel(dy)[0])
    return Fix(
        number=blob.number,
        frame=number,
        anchor=blob.anchor,
        kind=blob.kind,
        box=Box(int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1),
        area=int(np.count_nonzero(changed)),
        polarity=blob.polarity,
        confidence=confidence,
        applied=True,
        provenance=Provenance(int(made.classes.max())),
        source=number + made.main if made.main else 0,
        offset=offset,
        facts={**blob.facts, **made.facts},
    )
