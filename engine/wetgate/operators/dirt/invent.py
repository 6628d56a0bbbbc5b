"""Fill a hole from around it alone. What it shows there nobody photographed: class 5."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Pixels, Provenance
from wetgate.operators.dirt.defects import Defect, Repaired
from wetgate.operators.dirt.places import Place

_ROUNDS = 400
_SETTLED = 1e-3


def invented(place: Place, defect: Defect, picture: Pixels) -> Repaired:
    """Stretch the surroundings over the hole: the smoothest surface that meets its edge.

    The solution of Laplace's equation with the pixels around the hole as border, by successive
    over-relaxation in a fixed order of two colors; neither clamped nor grained.

    Args:
        picture: the whole frame, in the working encoding.

    Source: Young, "Iterative methods for solving partial difference equations of elliptic type",
    Transactions of the AMS 76, 1954.
    """
    height, width, channels = picture.shape
    box = place.hole.grown(1).intersect(Box.of_size(width, height))
    hole = np.zeros((box.height, box.width), np.bool_)
    at = place.y - box.y0, place.x - box.x0
    hole[at] = True
    field = picture[box.y0 : box.y1, box.x0 : box.x1].astype(np.float64)
    border = field[~hole]
    start = border.mean(axis=0) if border.size else np.zeros(channels)
    field[hole] = start
    field = _relaxed(field, hole, float(place.sigma.min()) * _SETTLED)
    values = field[at].astype(np.float32)
    used = defect.alpha > 0
    classes = np.where(used, np.uint8(Provenance.INFERRED), np.uint8(0)).astype(np.uint8)
    return Repaired(
        values=np.where(used[:, None], values, defect.source),
        weight=used.astype(np.float32),
        classes=classes,
        steps=np.zeros(len(used), np.int32),
        shifts=np.zeros((len(used), 2), np.float32),
        main=0,
        way=None,
        facts={"invented": float(np.count_nonzero(used))},
    )


def _relaxed(
    field: NDArray[np.float64], hole: NDArray[np.bool_], enough: float
) -> NDArray[np.float64]:
    """Return the field with every px of the hole at the mean of the up to four beside it."""
    rows, columns = hole.shape
    y, x = np.indices(hole.shape)
    parity = (y + x) % 2 == 0
    wide = np.pad(field, ((1, 1), (1, 1), (0, 0)))
    there = np.pad(np.ones(hole.shape), 1)[..., None]
    count = np.maximum(there[:-2, 1:-1] + there[2:, 1:-1] + there[1:-1, :-2] + there[1:-1, 2:], 1.0)
    side = max(3, min(rows, columns))
    relax = 2.0 / (1.0 + np.sin(np.pi / side))
    inner = wide[1:-1, 1:-1]
    for _ in range(_ROUNDS):
        moved = 0.0
        for color in (parity, ~parity):
            chosen = hole & color
            if not chosen.any():
                continue
            beside = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
            change = relax * ((beside / count)[chosen] - inner[chosen])
            inner[chosen] += change
            moved = max(moved, float(np.abs(change).max()))
        if moved < enough:
            break
    return np.ascontiguousarray(inner)
