"""What is known of one defect, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.ways import Way

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What one hole becomes. Arrays have one row for a pixel of the place.

    Attributes:
        values: `(n, channel)`; those of pixels that stay are the source's.
        weight: 0-1, share of the new value; 0 stays.
        classes: provenance; 0 stays.
        steps: frames from the defect's to the one borrowed from, 0 where nothing is borrowed.
        shifts: `(n, 2)` px, x then y: out(p) = frame(p + shift); 0 where nothing is borrowed.
        main: the step that most pixels are borrowed from, 0 for none.
        way: how most of those are found there; None for none.
        facts: what was measured on the way.
    """

    values: Values
    weight: NDArray[np.float32]
    classes: NDArray[np.uint8]
    steps: NDArray[np.int32]
    shifts: NDArray[np.float32]
    main: int
    way: Way | None
    facts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What is known of a defect besides its place; a row for a pixel of the place.

    Attributes:
        alpha: 0-1, how far dirt was found to cover it.
        source: `(n, channel)`, the pixels as they are.
        polarity: 1 brighter than the picture, -1 darker, 0 mixed.
    """

    alpha: NDArray[np.float32]
    source: Values
    polarity: int
