"""Take scratches off a tile; the analysis says where, how strong and with what profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Fix, Pixels, Provenance
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.tracks import (
    LOST,
    STRENGTHS,
    Loan,
    Track,
    TrackOnFrame,
    box_on,
)

_LEAST_COVER = 0.01

_Float = NDArray[np.float64]

FrameAt = Callable[[int], Pixels | None]
"""Gives the pixels of a frame over the region of the window, or None where there is none."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A track on a frame, with the number of its fix there and whether to repair it."""

    number: int
    track: Track
    here: TrackOnFrame
    why: str


def anchor_of(here: TrackOnFrame, strips: Strips, width: int) -> tuple[int, int]:
    """Return the top px of the core, by which the fix is named."""
    rows, place, _ = here.rows(strips)
    return min(max(round(float(place[0])), 0), width - 1), int(rows[0])


def numbered(
    tracks: Sequence[Track],
    frame: int,
    strips: Strips,
    width: int,
    accepted: frozenset[str] = frozenset(),
) -> list[Numbered]:
    """Return the tracks of a frame, numbered from 1 in the order of the analysis.

    Args:
        accepted: names of fixes that a person wants. Those that are rejected are made as ever,
            and taken back by the engine.
    """
    found: list[Numbered] = []
    named: set[tuple[int, int]] = set()
    for track in tracks:
        if frame not in track.frames:
            continue
        here = track.frames[frame]
        anchor = anchor_of(here, strips, width)
        if anchor in named:  # a fix is named by its anchor: no two may share one
            continue
        named.add(anchor)
        name = f"{frame}-{anchor[0]}-{anchor[1]}"
        why = "" if name in accepted else track.why
        found.append(Numbered(len(found) + 1, track, here, why))
    return found


@dataclass(frozen=True, slots=True)
class Patch:
    """What a track does to a part of a frame, px by px.

    Attributes:
        rows, columns: `(n,)` of the px, in the full frame.
        distance: `(n,)` px from the center of the core.
        added: `(n, channel)` what the scratch added; zeros where the emulsion is lost.
        cover: `(n,)` share of the picture that is lost, 0-1.
        shown: `(n,)` how much of its full strength the scratch has here, 0-1.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    distance: _Float
    added: _Float
    cover: _Float
    shown: NDArray[np.float32]

    @property
    def core(self) -> NDArray[np.bool_]:
        """Return `(n,)` where too little is left of the picture to have it back."""
        return np.asarray(self.cover >= LOST)


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
    drawn = strength[:, None, None] * one.track.profile.at(distance)
    lost = bool(one.track.value)
    # Less than a 2^-16th of the range is nobody's scratch; the scan's bits are worth more.
    size = np.abs(drawn).max(axis=2)
    touched = (columns >= part.x0) & (columns < part.x1)
    touched &= size > (_LEAST_COVER if lost else 1.0 / STRENGTHS)
    if not touched.any():
        return None
    peak = float(np.abs(one.track.profile.values).max()) * max(float(strength.max()), 1e-12)
    full = max(float(one.here.strength.max()), 1e-12) * peak / max(float(strength.max()), 1e-12)
    cover = np.minimum(drawn[touched][:, 0], 1.0) if lost else np.zeros(int(touched.sum()))
    return Patch(
        np.broadcast_to(rows[:, None], columns.shape)[touched],
        columns[touched],
        distance[touched],
        np.zeros((len(cover), drawn.shape[2])) if lost else drawn[touched],
        cover,
        np.minimum(size[touched] / full, 1.0).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class Repaired:
    """New px of a patch.

    Attributes:
        pixels: `(n, channel)`. classes: `(n,)`. origins: `(n, 3)` frame offset, x and y.
    """

    pixels: NDArray[np.float32]
    classes: NDArray[np.uint8]
    origins: NDArray[np.float32]


def repair(
    one: Numbered,
    patch: Patch,
    frame: int,
    region: Box,
    frame_at: FrameAt,
    strips: Strips,
    *,
    invent: bool,
) -> Repaired:
    """Undo a patch, borrow its core, or leave it: what is left has class `UNTOUCHED`."""
    center = frame_at(frame)
    assert center is not None  # the frame itself is always there
    y, x = patch.rows - region.y0, patch.columns - region.x0
    seen = center[y, x]
    count = len(seen)
    classes = np.full(count, Provenance.REEXPOSED, np.uint8)
    origins = np.zeros((count, 3), np.float32)
    if not one.track.value:
        return Repaired(seen - patch.added.astype(np.float32), classes, origins)
    value = np.asarray(one.track.value)
    left = 1.0 - np.minimum(patch.cover, LOST)
    undone = (seen - np.minimum(patch.cover, LOST)[:, None] * value) / left[:, None]
    out = undone.astype(np.float32)
    core = patch.core
    out[core] = seen[core]
    classes[core] = Provenance.UNTOUCHED
    strip = patch.rows // strips.rows
    for loan in one.here.loans:
        at = core & (strip == loan.strip)
        there = frame_at(loan.source)
        if there is None or not at.any():
            continue
        shift = (np.asarray(loan.shift) / STRENGTHS).astype(np.float32)
        out[at] = there[y[at] + loan.y, x[at] + loan.x] + shift
        classes[at] = Provenance.BORROWED
        origins[at] = loan.source - frame, loan.x, loan.y
    if invent:
        at = classes == Provenance.UNTOUCHED
        out[at] = _filled(center, y[at], x[at], patch.distance[at], one.track.profile.reach)
        classes[at] = Provenance.INFERRED
    return Repaired(out, classes, origins)


def _filled(
    pixels: Pixels,
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    distance: _Float,
    reach: int,
) -> NDArray[np.float32]:
    """Return the straight line between what lies on either side of a scratch in each row."""
    last = pixels.shape[1] - 1
    core = np.rint(x - distance).astype(np.intp)
    ends = []
    for sign in (-1, 1):
        around = [np.clip(core + sign * (reach + 1 + k), 0, last) for k in range(3)]
        ends.append((pixels[y, around[0]] + pixels[y, around[1]] + pixels[y, around[2]]) / 3)
    share = ((x - core + reach + 2) / (2 * reach + 4)).astype(np.float32)[:, None]
    return np.asarray(ends[0] + share * (ends[1] - ends[0]), np.float32)


def record_of(one: Numbered, frame: int, strips: Strips, whole: Box, *, invent: bool) -> Fix:
    """Return the account of a track on a frame; from the analysis alone, so alike in all tiles."""
    patch = patch_of(one, strips, whole)
    loans = _used(one, patch, strips)
    why, provenance = one.why, Provenance.UNTOUCHED
    if not why:
        provenance = Provenance.REEXPOSED
        if patch is not None and patch.core.any():
            lent = {loan.strip for loan in loans}
            bare = bool(
                np.isin(patch.rows[patch.core] // strips.rows, list(lent), invert=True).any()
            )
            if loans:
                provenance = Provenance.BORROWED
            if bare and invent:
                provenance = Provenance.INFERRED
            elif bare:
                why = "in part: no frame shows what is behind its core"
    source = Counter(loan.source for loan in loans).most_common(1)[0][0] if loans else 0
    offset = next(((float(b.x), float(b.y)) for b in loans if b.source == source), (0.0, 0.0))
    applied = not one.why
    return Fix(
        number=one.number,
        frame=frame,
        anchor=anchor_of(one.here, strips, whole.width),
        kind="scratch",
        box=box_on(one.track, one.here, strips, whole),
        area=0 if patch is None else len(patch.rows),
        polarity=one.track.polarity,
        confidence=one.track.confidence,
        applied=applied,
        why=why,
        provenance=provenance,
        source=source if applied else 0,
        offset=offset if applied else (0.0, 0.0),
        facts={
            **one.track.facts,
            "strength": float(one.here.strength.mean()),
            "reach": float(one.track.profile.reach),
            "lost": float(bool(one.track.value)),
        },
    )


def _used(one: Numbered, patch: Patch | None, strips: Strips) -> list[Loan]:
    """Return the loans that lend a px at least."""
    if patch is None or one.why:
        return []
    strips_of_core = set((patch.rows[patch.core] // strips.rows).tolist())
    return [loan for loan in one.here.loans if loan.strip in strips_of_core]
