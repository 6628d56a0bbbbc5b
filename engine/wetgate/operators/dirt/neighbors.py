"""What the blobs of the frames beside a frame say of its own.

Dirt lies on one frame. A blob that has like ones before and after it, on one line at one speed, is
a thing that moves: a bird, a snowflake, a hand. Where every frame has a crowd of like blobs at the
same place, or long ones that all lie the same way, it glitters or rains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.blobs import BlobTable
from wetgate.operators.dirt.confidence import calibration
from wetgate.operators.dirt.looks import Looks, crowds

NEIGHBOR_FEATURES = ("moves on", "crowd beside", "alignment beside", "seen beside")
"""Beside those of `looks.BLOB_FEATURES`; each 0-1."""
_REACH = 0.3
"""Of the frame's height: how far a thing may move from frame to frame."""
_MOST = 4
_PLAY, _PLAY_SHARE = 4.0, 0.2
"""By how much a step may differ from the one before: px, and share of its length."""

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """What one frame has for each blob of another.

    Attributes:
        move: `(blob, 4, 2)` px to the most alike blobs there, x then y.
        alike: `(blob, 4)` 0-1; 0 where there is none.
        crowd, aligned: blobs there of the same polarity: near, and long and along it.
    """

    move: Float
    alike: Float
    crowd: Float
    aligned: Float


def compare(here: BlobTable, there: BlobTable) -> Likeness:
    """Find for each blob of a frame what is like it in another; whole frames, pure."""
    return compare_looks(here.looks, there.looks, here.labels.shape)


def compare_looks(here: Looks, there: Looks, shape: tuple[int, ...]) -> Likeness:
    """Compare the looks of the blobs of two frames `(h, w)`."""
    count, others = here.area.size, there.area.size
    move, alike = np.zeros((count, _MOST, 2)), np.zeros((count, _MOST))
    near, aligned = crowds(here, there, shape)
    if count and others:
        dx = there.x - here.x[:, None]
        dy = there.y - here.y[:, None]
        apart = np.hypot(dx, dy)
        unlike = (np.log2(there.area / here.area[:, None]) / 1.0) ** 2
        unlike += (np.log2((there.spike + 1) / (here.spike[:, None] + 1)) / 0.7) ** 2
        unlike += ((there.elongation - here.elongation[:, None]) / 0.35) ** 2
        likeness = 1.0 / (1.0 + 0.5 * unlike)
        likeness[apart > _REACH * shape[0]] = 0.0
        likeness[here.polarity[:, None] != there.polarity] = 0.0
        # What is near is rather the same thing than what is far.
        worth = likeness / (1.0 + apart / (0.1 * shape[0]))
        best = np.argsort(-worth, axis=1, kind="stable")[:, :_MOST]
        rows = np.arange(count)[:, None]
        kept = best.shape[1]
        move[:, :kept, 0], move[:, :kept, 1] = dx[rows, best], dy[rows, best]
        alike[:, :kept] = likeness[rows, best]
    return Likeness(move, alike, near, aligned)


def judge(table: BlobTable, beside: Mapping[int, Likeness]) -> Float:
    """Return the confidence of every blob, by its own frame and those beside it.

    Args:
        beside: by distance in frames, signed; those that exist. With none the confidence is what
            the blobs' own frame says.
    """
    if not len(table):
        return np.zeros(0)
    if not beside:
        return table.confidences()
    own = np.array([list(b.facts.values()) for b in table.blobs], np.float64)
    features = (*own.T, *neighbor_features(beside, len(table)))
    sure = calibration()["judged"](features)
    told = np.array([b.told for b in table.blobs], np.bool_)
    return np.where(told, 1.0, np.round(sure, 5))


def neighbor_features(beside: Mapping[int, Likeness], count: int) -> tuple[Float, ...]:
    """Return the columns of `NEIGHBOR_FEATURES`."""
    moves = np.zeros(count)
    for first, second, ratio in ((1, -1, -1.0), (1, 2, 2.0), (-1, -2, 2.0)):
        if first in beside and second in beside:
            moves = np.maximum(moves, _on_a_line(beside[first], beside[second], ratio))
    sides = [beside[d] for d in (-1, 1) if d in beside] or list(beside.values())
    crowd = np.minimum.reduce([s.crowd for s in sides])
    aligned = np.minimum.reduce([s.aligned for s in sides])
    both = float(-1 in beside and 1 in beside)
    return (moves, crowd / (crowd + 4.0), aligned / (aligned + 4.0), np.full(count, both))


def _on_a_line(first: Likeness, second: Likeness, ratio: float) -> Float:
    """Return how well a blob of each frame lies where the other two say it should."""
    step = first.move[:, :, None, :]
    other = second.move[:, None, :, :] / ratio
    length = np.hypot(step[..., 0], step[..., 1])
    play = _PLAY + _PLAY_SHARE * length
    off = np.hypot(step[..., 0] - other[..., 0], step[..., 1] - other[..., 1])
    fit = first.alike[:, :, None] * second.alike[:, None, :] / (1.0 + (off / play) ** 2)
    return np.asarray(fit.max(axis=(1, 2)))
