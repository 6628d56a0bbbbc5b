"""A scene with a closed form, a hole in it, and what neighbors offer for that."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.operators.base import Pixels
from wetgate.operators.dirt.candidates import DIRTY, Candidate, find_candidate
from wetgate.operators.dirt.defects import Defect
from wetgate.operators.dirt.places import Place, make_place

SIGMA = 0.01
HOLE = Box(24, 18, 33, 26)


def flat_sigma(pixels: Pixels) -> Pixels:
    return np.full_like(pixels, SIGMA)


def scene(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """A picture with a closed form at any place, three channels."""
    waves = [
        np.sin(0.31 * x + 0.17 * y) + np.sin(0.11 * x - 0.43 * y + c) + np.sin(0.5 * x + 0.4 * y)
        for c in range(3)
    ]
    return 0.5 + 0.08 * np.stack(waves, axis=-1)


def frame(dx: float, dy: float, seed: int, *, noise: float = SIGMA, light: float = 0.0) -> Pixels:
    """The scene moved by `(dx, dy)`: its point p is at p + (dx, dy)."""
    y, x = np.mgrid[0:48, 0:64].astype(np.float64)
    rng = np.random.default_rng(seed)
    made = scene(x - dx, y - dy) + light + noise * rng.standard_normal((48, 64, 3))
    return made.astype(np.float32)


def place_of(picture: Pixels, hole: Box = HOLE) -> Place:
    mask = np.ones((hole.height, hole.width), np.bool_)
    dirty = np.zeros(picture.shape[:2], np.bool_)
    dirty[hole.y0 : hole.y1, hole.x0 : hole.x1] = True
    return make_place(mask, (hole.x0, hole.y0), picture=picture, dirty=dirty, sigma=flat_sigma)


CLEAN = np.zeros((48, 64), np.uint8)


def offered(
    here: Pixels, there: Pixels, place: Place | None = None, marks: NDArray[np.uint8] = CLEAN
) -> Candidate:
    found = find_candidate(place or place_of(here), here, there, marks, None)
    assert found is not None
    return found


def defect_of(place: Place, picture: Pixels, polarity: int = -1) -> Defect:
    return Defect(
        alpha=np.ones(place.y.size, np.float32),
        source=picture[place.y, place.x],
        polarity=polarity,
    )


def stained(picture: Pixels, value: float = 0.05, hole: Box = HOLE) -> Pixels:
    out = picture.copy()
    out[hole.y0 : hole.y1, hole.x0 : hole.x1] = value
    return out


def around(here: Pixels, *, odd: int | None = None, hidden: int = 0) -> dict[int, Candidate | None]:
    """Candidates of four neighbors; `odd` shows something else in the hole, behind a like rim."""
    place = place_of(here)
    out: dict[int, Candidate | None] = {}
    for k in (-2, -1, 1, 2):
        there = frame(k, -k, 10 + k)
        if k == odd:
            there = stained(there, 0.9, HOLE.shifted(k, -k))
        marks = CLEAN.copy()
        if abs(k) <= hidden:
            marks[:] = 0
            marks[HOLE.y0 - k : HOLE.y1 - k, HOLE.x0 + k : HOLE.x1 + k] = DIRTY
        out[k] = find_candidate(place, here, there, marks, None)
    return out
