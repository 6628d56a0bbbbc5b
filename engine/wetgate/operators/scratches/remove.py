"""Take scratches off a tile; the analysis says where, how strong and with what profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Fix, Pixels, Provenance
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.tracks import Track, TrackOnFrame, box_on

LOST = 0.5
"""Share of the picture that a scratch covers from which on what is left of it is not trusted."""

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A track on a frame with the number of its fix there."""

    number: int
    track: Track
    here: TrackOnFrame


def numbered(tracks: tuple[Track, ...], frame: int) -> list[Numbered]:
    """Return the tracks of a frame, numbered from 1 in the order of the analysis."""
    found = [t for t in tracks if frame in t.frames]
    return [Numbered(i + 1, t, t.frames[frame]) for i, t in enumerate(found)]


@dataclass(frozen=True, slots=True)
class Patch:
    """What a track does to the rows of a part of a frame.

    Attributes:
        rows, columns: `(row, 1)` and `(row, column)` of the px, counted in the part.
        added: `(row, column, channel)`, what the scratch added, or would add to black.
        cover: `(row, column)` share of the picture that is lost, 0-1.
        touched: `(row, column)` whether the px lies in the part and the scratch reaches it.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    added: _Float
    cover: _Float
    touched: NDArray[np.bool_]


def patch_of(one: Numbered, strips: Strips, part: Box) -> Patch | None:
    """Return what a track does within a part of the frame; None when it does not come there."""
    rows, place, strength = one.here.rows(strips)
    inside = (rows >= part.y0) & (rows < part.y1)
    if not inside.any():
        return None
    rows, place, strength = rows[inside], place[inside], strength[inside]
    reach = one.track.profile.reach
    whole = np.rint(place).astype(np.intp)
    columns = whole[:, None] + np.arange(-reach - 1, reach + 2)
    distance = columns - place[:, None]
    added = strength[:, None, None] * one.track.profile.at(distance)
    touched = (columns >= part.x0) & (columns < part.x1) & (np.abs(added) > 0).any(axis=2)
    if not touched.any():
        return None
    cover = np.zeros(columns.shape)
    return Patch((rows - part.y0)[:, None], columns - part.x0, added, cover, touched)


def undo(pixels: Pixels, patch: Patch) -> NDArray[np.float32]:
    """Return the touched px `(n, channel)` without what the scratch added."""
    rows = np.broadcast_to(patch.rows, patch.columns.shape)[patch.touched]
    columns = patch.columns[patch.touched]
    return pixels[rows, columns] - patch.added[patch.touched].astype(np.float32)


def record_of(one: Numbered, frame: int, strips: Strips, whole: Box) -> Fix:
    """Return the account of a track on a frame."""
    rows, place, strength = one.here.rows(strips)
    box = box_on(one.track, one.here, strips, whole)
    patch = patch_of(one, strips, whole)
    x = min(max(int(np.rint(place[0])), 0), whole.width - 1)
    applied = not one.track.why
    return Fix(
        number=one.number,
        frame=frame,
        anchor=(x, int(rows[0])),
        kind="scratch",
        box=box,
        area=0 if patch is None else int(patch.touched.sum()),
        polarity=one.track.polarity,
        confidence=one.track.confidence,
        applied=applied,
        why=one.track.why,
        provenance=Provenance.REEXPOSED if applied else Provenance.UNTOUCHED,
        facts={
            **one.track.facts,
            "strength": float(strength.mean()),
            "reach": float(one.track.profile.reach),
        },
    )
