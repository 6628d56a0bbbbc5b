"""The scratches operator: found over the shot, taken off frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from wetgate.operators.base import (
    Analysis,
    Decisions,
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
from wetgate.operators.scratches.lost import FARTHEST
from wetgate.operators.scratches.remove import numbered, patch_of, record_of, repair
from wetgate.operators.scratches.shot import analyse_shot, analysis_bytes
from wetgate.operators.scratches.tracks import tracks_of

MATTE = "scratches.matte"
"""Plane of how much of its full strength a scratch has at each pixel, 0-1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchesOperator:
    """Take off scratches: upright lines that stay with the film over many frames.

    Args:
        threshold: confidence from which a line is repaired (0-1); those below are reported.
        radius: frames either side from which a lost core may be borrowed (0-4).
        invent: fill a lost core that no frame shows with what lies on either side; class 5.
    """

    threshold: float = 0.8
    radius: int = 3
    invent: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in 0-1, got {self.threshold}")
        if type(self.radius) is not int or not 0 <= self.radius <= 4:
            raise ValueError(f"radius must be a whole number of 0-4, got {self.radius!r}")
        if type(self.invent) is not bool:
            raise ValueError(f"invent must be true or false, got {self.invent!r}")

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        return OperatorSpec(
            name="scratches",
            version=2,
            footprint=self.stages[0].footprint,
            working_space="log",
            provenance=Provenance.INFERRED if self.invent else Provenance.BORROWED,
            needs_analysis=True,
            analysis_bytes=analysis_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the only stage."""
        return (_TakeOff(self),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Find the scratches of a shot."""
        return analyse_shot(read, frames, facts, threshold=self.threshold, radius=self.radius)

    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        """Return the analysis with the single fixes in it that a person accepts."""
        accepted = sorted(cast(Sequence[str], decisions.get("accepted", ())))
        return {**analysis, "decisions": {"accepted": accepted}}


@dataclass(frozen=True, slots=True)
class _TakeOff(NoSurveys):
    operator: ScratchesOperator

    @property
    def footprint(self) -> Footprint:
        return Footprint(temporal_radius=self.operator.radius, halo=FARTHEST, bytes_per_pixel=96)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        tile, radius = window.tile, self.operator.radius
        pixels = np.ascontiguousarray(window.center[tile.within(window.region)])
        strips = Strips.of(facts.height)
        shape = pixels.shape[:2]
        fixes, classes = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
        matte, origins = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
        records = []
        verdicts = cast("dict[str, list[str]]", analysis.get("decisions", {}))
        accepted = frozenset(verdicts.get("accepted", ()))

        def frame_at(number: int) -> Pixels | None:
            k = number - window.number + radius
            return window.pixels[k] if 0 <= k <= 2 * radius and window.valid[k] else None

        for one in numbered(tracks_of(analysis), window.number, strips, facts.width, accepted):
            record = record_of(
                one, window.number, strips, window.frame, invent=self.operator.invent
            )
            touching = record.box.intersect(tile)
            if touching.width <= 0 or touching.height <= 0:
                continue
            records.append(record)
            patch = patch_of(one, strips, tile)
            if patch is None:
                continue
            y, x = patch.rows - tile.y0, patch.columns - tile.x0
            matte[y, x] = np.maximum(matte[y, x], patch.shown)
            if one.why:
                continue
            made = repair(
                one,
                patch,
                window.number,
                window.region,
                frame_at,
                strips,
                invent=self.operator.invent,
            )
            # Two scratches may cross: the later takes off what the earlier left.
            again = fixes[y, x] > 0
            added = patch.added.astype(np.float32)
            fresh = np.where(again[:, None], pixels[y, x] - added, made.pixels)
            done = made.classes > 0
            y, x, again = y[done], x[done], again[done]
            pixels[y, x] = fresh[done]
            fixes[y, x] = one.number
            classes[y, x] = np.maximum(classes[y, x], made.classes[done])
            origins[y, x] = np.where(again[:, None], origins[y, x], made.origins[done])
        return Judged(
            pixels,
            classes,
            fixes=fixes,
            origins=origins,
            planes={MATTE: matte},
            records=tuple(records),
        )
