"""What the other blobs, of a frame and of the frames beside it, say of one.

Dirt lies on one frame. A blob that has like ones before and after it, on one line at one speed, is
a thing that moves: a bird, a snowflake, a hand. Where every frame has a crowd of like blobs at the
same place, or long ones that all lie the same way, it glitters or rains. And where most of what
stands out is picture by its looks, the rest of it probably is too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.blobs import BlobTable
from wetgate.operators.dirt.confidence import calibration, judged
from wetgate.operators.dirt.looks import BLOB_FEATURES, NEAR, Looks, crowds, parts_of

NEIGHBOR_FEATURES = (
    "moves on", "crowd beside", "alignment beside", "seen beside",
    "like ones about the place", "own polarity about the place", "blobs about the place",
    "blobs at the place", "flash",
)  # fmt: skip
"""Beside those of `looks.BLOB_FEATURES`; each 0-1."""
COMPANY_FEATURES = (
    "by itself", "like ones here", "like ones near", "doubtful here", "like ones beside",
    "doubtful beside", "all here", "frames beside",
)  # fmt: skip
"""What a blob is judged by in the end; each 0-1."""
_REACH = 0.3
"""Of the frame's height: how far a thing may move from frame to frame."""
_MOST = 4
_PLAY, _PLAY_SHARE = 4.0, 0.2
"""By how much a step may differ from the one before: px, and share of its length."""
_PRIOR, _PRIOR_WEIGHT = 0.5, 1.0
_ABOUT = 1.5
"""Times `NEAR` within which blobs of the frames beside count as about the place."""
_LEAST_SPAN, _FLASH = 0.02, 0.3
"""Of luma, in values of the working encoding; spans at which a flash is half sure."""
_AT = 4.0
"""px between two boxes at which they are half at the same place."""

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """What one frame has for each blob of another.

    Attributes:
        move: `(blob, 4, 2)` px to the most alike blobs there, x then y.
        alike: `(blob, 4)` 0-1; 0 where there is none.
        crowd, aligned: blobs there of the same polarity: near, and long and along it.
        sure, doubtful: of the blobs there, weighted by how alike they are: the sum of their
            confidences, and of what these lack to 1.
        like: of the blobs there, weighted by how alike they are: how near they are to the place,
            whatever their confidence.
        about, fellows: blobs there about the place; those of them with the same polarity.
        lighter: by how much this frame is lighter than the other, in spans of its luma.
        at: 0-1 how near the box of the nearest of any polarity is, 1 where they overlap.
    """

    move: Float
    alike: Float
    crowd: Float
    aligned: Float
    sure: Float
    doubtful: Float
    like: Float
    about: Float
    fellows: Float
    at: Float
    lighter: float


def compare(here: BlobTable, there: BlobTable) -> Likeness:
    """Find for each blob of a frame what is like it in another; whole frames, pure."""
    return compare_looks(here.looks, there.looks, there.confidences(), here.labels.shape)


def compare_looks(here: Looks, there: Looks, confidence: Float, shape: tuple[int, ...]) -> Likeness:
    """Compare the looks of the blobs of two frames `(h, w)`.

    Args:
        confidence: of those there.
    """
    parts = [_compared(here.taken(p), there, confidence, shape) for p in parts_of(here, there)]
    if len(parts) == 1:
        return parts[0]
    columns = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(Likeness)
        if f.name != "lighter"
    }
    return Likeness(**columns, lighter=parts[0].lighter)


def _compared(here: Looks, there: Looks, confidence: Float, shape: tuple[int, ...]) -> Likeness:
    count, others = here.area.size, there.area.size
    move, alike = np.zeros((count, _MOST, 2)), np.zeros((count, _MOST))
    near, aligned = crowds(here, there, shape)
    sure, doubtful = np.zeros(count), np.zeros(count)
    like, about, fellows, at = (np.zeros(count) for _ in range(4))
    if count and others:
        dx = there.x - here.x[:, None]
        dy = there.y - here.y[:, None]
        apart = np.hypot(dx, dy)
        likeness = _likeness(here, there)
        sure, doubtful = likeness @ confidence, likeness @ (1.0 - confidence)
        like = (likeness / (1.0 + (apart / (NEAR * shape[0])) ** 2)).sum(axis=1)
        close = apart <= _ABOUT * NEAR * shape[0]
        about = close.sum(axis=1).astype(np.float64)
        same = here.polarity[:, None] == there.polarity
        fellows = (close & same).sum(axis=1).astype(np.float64)
        at = 1.0 / (1.0 + _least_gaps(here, there) / _AT**2)
        likeness[apart > _REACH * shape[0]] = 0.0
        # What is near is rather the same thing than what is far.
        worth = likeness / (1.0 + apart / (0.1 * shape[0]))
        kept = min(_MOST, others)
        rows = np.arange(count)[:, None]
        best = np.zeros((count, kept), np.intp)
        for k in range(kept):  # the first of equals; a few are wanted, not the order of all
            best[:, k] = worth.argmax(axis=1)
            worth[rows[:, 0], best[:, k]] = -1.0
        move[:, :kept, 0], move[:, :kept, 1] = dx[rows, best], dy[rows, best]
        alike[:, :kept] = likeness[rows, best]
    return Likeness(
        move, alike, near, aligned, sure, doubtful, like=like, about=about, fellows=fellows, at=at,
        lighter=(here.level - there.level) / max(here.span, _LEAST_SPAN),
    )  # fmt: skip


def _least_gaps(here: Looks, there: Looks) -> Float:
    """Return the squares of px from the box of each blob here to the nearest there, 0 if touched.

    Whole numbers far below 2**24, exact in float32.
    """

    def apart(
        low: NDArray[np.intp], high: NDArray[np.intp],
        others_low: NDArray[np.intp], others_high: NDArray[np.intp],
    ) -> NDArray[np.float32]:  # fmt: skip
        after = others_low.astype(np.float32) - high.astype(np.float32)[:, None]
        before = low.astype(np.float32)[:, None] - others_high.astype(np.float32)
        gap = np.maximum(np.maximum(after, before, out=after), np.float32(0), out=after)
        return np.asarray(np.multiply(gap, gap, out=gap), np.float32)

    gaps = apart(here.x0, here.x1, there.x0, there.x1)
    gaps += apart(here.y0, here.y1, there.y0, there.y1)
    return np.asarray(gaps.min(axis=1), np.float64)


def _likeness(here: Looks, there: Looks) -> Float:
    """Return 0-1 how much each blob here looks like each there; 0 for another polarity."""
    unlike = (np.log2(there.area) - np.log2(here.area)[:, None]) ** 2
    unlike += ((np.log2(there.spike + 1) - np.log2(here.spike + 1)[:, None]) / 0.7) ** 2
    unlike += ((there.elongation - here.elongation[:, None]) / 0.35) ** 2
    likeness = 1.0 / (1.0 + 0.5 * unlike)
    likeness[here.polarity[:, None] != there.polarity] = 0.0
    return np.asarray(likeness)


def judge(table: BlobTable, beside: Mapping[int, Likeness]) -> Float:
    """Return the confidence of every blob, by its own frame and those beside it.

    Args:
        beside: by distance in frames, signed; those that exist.
    """
    if not len(table):
        return np.zeros(0)
    named = {n: np.array([b.facts[n] for b in table.blobs], np.float64) for n in BLOB_FEATURES}
    found = neighbor_features(beside, len(table))
    named |= dict(zip(NEIGHBOR_FEATURES, found, strict=True))
    alone = judged(calibration()[f"{table.by} judged"], named)
    company = company_features(table.looks, alone, beside, table.labels.shape)
    sure = calibration()[f"{table.by} settled"](company)
    told = np.array([b.told for b in table.blobs], np.bool_)
    return np.where(told, 1.0, np.round(sure, 5))


def neighbor_features(beside: Mapping[int, Likeness], count: int) -> tuple[Float, ...]:
    """Return the columns of `NEIGHBOR_FEATURES`; zeros where there are no frames beside."""
    moves = np.zeros(count)
    for first, second, ratio in ((1, -1, -1.0), (1, 2, 2.0), (-1, -2, 2.0)):
        if first in beside and second in beside:
            moves = np.maximum(moves, _on_a_line(beside[first], beside[second], ratio))
    sides = [beside[d] for d in (-1, 1) if d in beside] or list(beside.values())
    zero = np.zeros(count)
    crowd = np.minimum.reduce([s.crowd for s in sides]) if sides else zero
    aligned = np.minimum.reduce([s.aligned for s in sides]) if sides else zero
    both = float(-1 in beside and 1 in beside)
    frames = max(len(beside), 1)
    like, about, fellows = (
        np.sum([getattr(s, name) for s in beside.values()], axis=0) if beside else zero
        for name in ("like", "about", "fellows")
    )
    at = np.sum([beside[d].at for d in (-1, 1) if d in beside] or [zero], axis=0) / 2.0
    return (
        moves, crowd / (crowd + 4.0), aligned / (aligned + 4.0), np.full(count, both),
        like / (like + frames), (fellows + 1.0) / (about + 2.0), about / (about + 2.0 * frames), at,
        np.full(count, _flash(beside)),
    )  # fmt: skip


def _flash(beside: Mapping[int, Likeness]) -> float:
    """Return 0-1 how far a frame stands out in light from those on both sides, or the one."""
    steps = [beside[d].lighter for d in (-1, 1) if d in beside]
    if not steps or min(steps) < 0 < max(steps):
        return 0.0
    least = min(abs(s) for s in steps)
    return least / (least + _FLASH)


def company_features(
    looks: Looks, alone: Float, beside: Mapping[int, Likeness], shape: tuple[int, ...]
) -> tuple[Float, ...]:
    """Return the columns of `COMPANY_FEATURES`.

    Args:
        alone: confidence of every blob before it is known what the others are.
    """
    count = looks.area.size
    logit = np.log(np.clip(alone, 1e-6, 1 - 1e-6) / np.clip(1 - alone, 1e-6, 1 - 1e-6))
    alike, doubtful, near, near_doubtful = (np.zeros(count) for _ in range(4))
    for part in parts_of(looks, looks):
        some = looks.taken(part)
        like = _likeness(some, looks)
        like[np.arange(some.area.size), np.arange(count)[part]] = 0.0  # itself
        apart = np.hypot(some.x[:, None] - looks.x, some.y[:, None] - looks.y)
        close = like / (1.0 + (apart / (NEAR * shape[0])) ** 2)
        alike[part], doubtful[part] = like @ alone, like @ (1.0 - alone)
        near[part], near_doubtful[part] = close @ alone, close @ (1.0 - alone)
    sure = np.sum([s.sure for s in beside.values()], axis=0) if beside else np.zeros(count)
    doubt = np.sum([s.doubtful for s in beside.values()], axis=0) if beside else np.zeros(count)
    others = max(count - 1, 1)
    everyone = (alone.sum() - alone + _PRIOR) / (others + 1.0)
    frames = max(len(beside), 1)
    return (
        0.5 + np.clip(logit, -8.0, 8.0) / 16.0,
        _mean(alike, doubtful),
        _mean(near, near_doubtful),
        doubtful / (doubtful + 2.0),
        _mean(sure, doubt),
        doubt / (doubt + 2.0 * frames),
        everyone,
        np.full(count, min(len(beside), 6) / 6.0),
    )


def _mean(sure: Float, doubtful: Float) -> Float:
    """Return the share of what is sure, a half where there is nothing to go by."""
    total = sure + doubtful + _PRIOR_WEIGHT
    return np.asarray((sure + _PRIOR * _PRIOR_WEIGHT) / total)


def _on_a_line(first: Likeness, second: Likeness, ratio: float) -> Float:
    """Return how well a blob of each frame lies where the other two say it should."""
    step = first.move[:, :, None, :]
    other = second.move[:, None, :, :] / ratio
    length = np.hypot(step[..., 0], step[..., 1])
    play = _PLAY + _PLAY_SHARE * length
    off = np.hypot(step[..., 0] - other[..., 0], step[..., 1] - other[..., 1])
    fit = first.alike[:, :, None] * second.alike[:, None, :] / (1.0 + (off / play) ** 2)
    return np.asarray(fit.max(axis=(1, 2)))
