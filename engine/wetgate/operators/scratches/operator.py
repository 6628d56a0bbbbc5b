"""The scratches operator: found over the shot, taken off frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    Judged,
    NoSurveys,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    Window,
)
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.remove import numbered, patch_of, record_of, undo
from wetgate.operators.scratches.shot import analyse_shot
from wetgate.operators.scratches.tracks import tracks_of

MATTE = "scratches.matte"
"""Plane of how much of its full strength a scratch has at each pixel, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchesOperator:
    """Take off scratches: upright lines that stay with the film over many frames.

    Args:
        threshold: confidence from which a line is repaired (0-1).
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in 0-1, got {self.threshold}")

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        return OperatorSpec(
            name="scratches",
            version=1,
            footprint=self.stages[0].footprint,
            working_space="log",
            provenance=Provenance.REEXPOSED,
            needs_analysis=True,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the only stage."""
        return (_TakeOff(self),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Find the scratches of a shot."""
        return analyse_shot(read, frames, facts, self.threshold)


@dataclass(frozen=True, slots=True)
class _TakeOff(NoSurveys):
    operator: ScratchesOperator

    @property
    def footprint(self) -> Footprint:
        return Footprint(bytes_per_pixel=64)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        tile = window.tile
        pixels = np.ascontiguousarray(window.center[tile.within(window.region)])
        strips = Strips.of(facts.height)
        fixes = np.zeros(pixels.shape[:2], np.uint32)
        classes = np.zeros(pixels.shape[:2], np.uint8)
        matte = np.zeros(pixels.shape[:2], np.float32)
        records = []
        for one in numbered(tracks_of(analysis), window.number):
            patch = patch_of(one, strips, tile)
            if patch is None:
                continue
            records.append(record_of(one, window.number, strips, window.frame))
            rows = np.broadcast_to(patch.rows, patch.columns.shape)[patch.touched]
            columns = patch.columns[patch.touched]
            peak = float(np.abs(one.track.profile.values).max()) * max(
                float(one.here.strength.max()), 1e-12
            )
            share = np.abs(patch.added[patch.touched]).max(axis=1) / peak
            matte[rows, columns] = np.maximum(matte[rows, columns], share.astype(np.float32))
            if one.track.why:
                continue
            pixels[rows, columns] = undo(pixels, patch)
            fixes[rows, columns] = one.number
            classes[rows, columns] = Provenance.REEXPOSED
        return Judged(pixels, classes, fixes=fixes, planes={MATTE: matte}, records=tuple(records))
