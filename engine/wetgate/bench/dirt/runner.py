"""Run the dirt operator on a clip of the benchmark and keep what it said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import DirtyClip
from wetgate.bench.dirt.truth import grown, in_deviations
from wetgate.bench.streaming import run_streaming
from wetgate.model.errors import RecipeError
from wetgate.operators.base import Fix, Judged, Operator, Pixels, SourceFacts
from wetgate.operators.registry import make_operator

ALTERED = 3.0
"""Deviations of the grain from which an altered clean pixel counts as removed picture."""
MATTE, SURE = "dirt.matte", "dirt.confidence"
THRESHOLD = 0.5
"""Confidence from which the operator repairs, by default."""


def dirt_operator(params: Mapping[str, object] | None = None) -> Operator | None:
    """Return the operator with its automatic setting, or None where this build has none."""
    try:
        return make_operator("dirt", dict(params or {}))
    except RecipeError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What the operator made of a clip, by frame number.

    Attributes:
        frames: what is delivered: pixels without a fix are the scan's.
        records: every blob, repaired or left alone.
        labels: int32, the number of the blob that claims each pixel, of those called dirt.
        cpu_seconds: of one frame in a long shot.
    """

    frames: Mapping[int, Pixels]
    records: Mapping[int, tuple[Fix, ...]]
    labels: Mapping[int, NDArray[np.int32]]
    cpu_seconds: float


def facts_of(width: int, height: int) -> SourceFacts:
    """Return the facts of a 10-bit log scan of this size."""
    return SourceFacts(
        sample_type="uint10", width=width, height=height, channels=3, is_log_working=False
    )


def restore(
    operator: Operator,
    clip: DirtyClip,
    numbers: range,
    defects: Mapping[int, NDArray[np.float32]] | None = None,
) -> Restored:
    """Restore frames of a clip.

    Args:
        defects: a map of the defects by frame, 0-1, as an infra-red channel gives; None for none.
    """
    frames = clip.pixels
    height, width = frames[numbers[0]].shape[:2]
    planes = None
    if defects is not None:
        planes = {n: {"defects": plane[..., None]} for n, plane in defects.items()}
    done = run_streaming(operator, frames, list(numbers), facts_of(width, height), planes)
    said = {n: done.judged[n] for n in numbers}
    return Restored(
        frames={n: delivered(frames[n], said[n]) for n in numbers},
        records={n: said[n].records for n in numbers},
        labels={n: called_labels(said[n]) for n in numbers},
        cpu_seconds=done.cpu_seconds,
    )


def delivered(source: Pixels, said: Judged) -> Pixels:
    """Return the frame as the engine writes it: 10-bit codes, the scan's wherever no fix is."""
    if said.fixes is None:
        return source
    fixed = (said.fixes > 0)[..., None]
    codes = np.clip(np.rint(said.pixels * np.float32(1023)), 0, 1023) / np.float32(1023)
    return np.where(fixed, codes, source)


def called_labels(said: Judged, threshold: float = THRESHOLD) -> NDArray[np.int32]:
    """Return which blob claims each pixel, of the blobs called dirt: repaired or not.

    Of a repaired blob that is what its matte takes at least half, of one left alone all that
    lies under its confidence, if that reaches the threshold. Such a pixel is that of the blob
    whose box holds it, the smallest box where several do.
    """
    matte, sure, fixes = said.planes.get(MATTE), said.planes.get(SURE), said.fixes
    if fixes is None or matte is None or sure is None:
        raise ValueError(f"the operator gave no fixes or no planes {MATTE!r} and {SURE!r}")
    labels = np.where((fixes > 0) & (matte > 0.5), fixes.astype(np.int32), 0)
    left = (fixes == 0) & (sure >= threshold)
    for fix in sorted(said.records, key=lambda f: -f.box.width * f.box.height):
        if not fix.applied and fix.confidence >= threshold:
            area = np.s_[fix.box.y0 : fix.box.y1, fix.box.x0 : fix.box.x1]
            labels[area][left[area]] = fix.number
    return np.asarray(labels, np.int32)


def claims_of(clip: DirtyClip, restored: Restored) -> list[tuple[float, bool]]:
    """Return the confidence of every blob found, and whether its strongest pixel is on dirt.

    A pixel beside one that dirt touched counts as on it.
    """
    claims = []
    for number, records in restored.records.items():
        masks = clip.masks.get(number)
        near = None if masks is None else grown(masks.touched, 1)
        for fix in records:
            x, y = fix.anchor
            claims.append((fix.confidence, False if near is None else bool(near[y, x])))
    return claims


@dataclass(frozen=True, slots=True)
class Altered:
    """What happened to pixels that are clean: how many there are and how many were changed.

    Attributes:
        by_much: changed by more than 3 deviations of the grain. blobs: repaired blobs.
    """

    pixels: int = 0
    at_all: int = 0
    by_much: int = 0
    frames: int = 0
    blobs: int = 0

    def __add__(self, other: Altered) -> Altered:
        """Add up two clips."""
        return Altered(
            self.pixels + other.pixels,
            self.at_all + other.at_all,
            self.by_much + other.by_much,
            self.frames + other.frames,
            self.blobs + other.blobs,
        )


def altered_of(clip: DirtyClip, frames: Mapping[int, Pixels], blobs: int = 0) -> Altered:
    """Count altered clean pixels: all but those that dirt touched.

    Args:
        blobs: false ones, repaired on these frames.
    """
    total = Altered(blobs=blobs)
    for number, shown in frames.items():
        frame = clip.frames[number]
        masks = clip.masks.get(number)
        clean = np.ones(shown.shape[:2], np.bool_) if masks is None else ~masks.touched
        changed = in_deviations(frame, frame.pixels, shown)
        total += Altered(
            pixels=int(clean.sum()),
            at_all=int((clean & (changed > 0)).sum()),
            by_much=int((clean & (changed > ALTERED)).sum()),
            frames=1,
        )
    return total
