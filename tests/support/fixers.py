"""A tiny operator that repairs planted defects: what it must deliver can be read off the source.

Its world: the picture moves one px to the left a frame, so that the px behind (x, y) stands at
(x - 1, y) a frame later and at (x + 1, y) a frame before. A defect is a px of the value 1, for
which the px is borrowed, or of the value 0, which is undone by adding 1/4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Decisions,
    Fix,
    Footprint,
    FrameReader,
    FrameSurvey,
    Judged,
    OperatorSpec,
    PairSurvey,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    SurveyBytes,
    Window,
    WorkingSpace,
)

LIFT = np.float32(0.25)


def labelled(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number runs of marked px, rows apart: 1 and up in raster order."""
    starts = mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1]
    return np.where(mask, np.cumsum(starts.reshape(-1)).reshape(mask.shape), 0)


@dataclass(frozen=True)
class Spots:
    """Inner stage: the picture and two planes more, the spot (+1, -1) and where it is doubted."""

    channels: int = 3
    bright: float = 1.0

    @property
    def footprint(self) -> Footprint:
        return Footprint(temporal_radius=1, exact_output=True, planes=self.channels + 2)

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return None

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        return None

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        x = window.center[window.tile.within(window.region)]
        spot = (x == np.float32(self.bright)).all(axis=-1) * 1.0 - (x == 0).all(axis=-1) * 1.0
        doubt = np.zeros(spot.shape)
        if "defects" in window.planes:
            doubt = 1.0 - window.planes["defects"][window.tile.within(window.region)][..., 0]
        return np.dstack([x, spot, doubt]).astype(np.float32)


def _surveys(width: int, height: int) -> SurveyBytes:
    return SurveyBytes(frame=8 * width * height, pair=0, making=8 * width * height)


@dataclass(frozen=True)
class Mend:
    """Last stage: borrow behind bright spots, lift dark ones."""

    only: str = ""

    @property
    def footprint(self) -> Footprint:
        return Footprint(temporal_radius=1, halo=1, surveys=_surveys)

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        spot, doubt = whole[..., -2], whole[..., -1]
        return labelled(spot != 0), spot, doubt

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        return None

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        labels, spot, doubt = window.survey  # type: ignore[misc]
        at = window.tile.within(window.frame)
        inside = window.tile.within(window.region)
        later = 2 if window.valid[2] else 0
        step = -1 if later == 2 else 1
        valid = window.valid[later]
        y, x = inside
        behind = window.pixels[later][y, slice(x.start + step, x.stop + step)]
        out = window.center[inside].copy()
        fixes = np.zeros(out.shape[:2], np.uint32)
        classes = np.zeros(out.shape[:2], np.uint8)
        origins = np.zeros((*out.shape[:2], 3), np.float32)
        matte = np.zeros(out.shape[:2], np.float32)
        verdicts: Mapping[str, Sequence[str]] = analysis.get("decisions", {})  # type: ignore[assignment]
        records = []
        for number in np.unique(labels[labels > 0]).tolist():
            here = labels == number
            rows, columns = np.nonzero(here)
            box = Box(
                int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
            )
            if box.intersect(window.tile).is_empty:
                continue
            bright = bool(spot[rows[0], columns[0]] > 0)
            named = f"{window.number}-{columns[0]}-{rows[0]}"
            why = "rejected" if named in verdicts.get("rejected", ()) else ""
            if not why and doubt[rows[0], columns[0]] > 0.5:
                why = "" if named in verdicts.get("accepted", ()) else "no defect there"
            if not why and bright and not valid:
                why = "no frame shows what is behind"
            if not why and self.only == "dark" and bright:
                why = "not asked for"
            made = here[at] if not why else np.zeros(out.shape[:2], bool)
            kind = Provenance.BORROWED if bright else Provenance.REEXPOSED
            out[made] = behind[made] if bright else out[made] + LIFT
            fixes[made], classes[made], matte[here[at]] = number, kind, 1.0
            if bright:
                origins[made] = (later - 1, step, 0)
            records.append(
                Fix(
                    number=number,
                    frame=window.number,
                    anchor=(int(columns[0]), int(rows[0])),
                    kind="sparkle" if bright else "dust",
                    box=box,
                    area=len(rows),
                    polarity=1 if bright else -1,
                    confidence=0.9,
                    applied=not why,
                    why=why,
                    provenance=Provenance.UNTOUCHED if why else kind,
                    source=window.number + later - 1 if bright and not why else 0,
                    offset=(float(step), 0.0) if bright and not why else (0.0, 0.0),
                    facts={"px": float(len(rows))},
                )
            )
        # What lies outside of the fixes is none of its business, whatever it returns there.
        out[fixes == 0] += np.float32(0.01)
        return Judged(
            out,
            classes,
            fixes=fixes,
            origins=origins,
            planes={"mend.matte": matte},
            records=tuple(records),
        )


@dataclass(frozen=True)
class Mender:
    """Finds and repairs planted spots."""

    working: WorkingSpace = "source"
    name: str = "mend"
    channels: int = 3
    bright: float = 1.0
    last: Stage = field(default_factory=Mend)
    provenance: Provenance = Provenance.BORROWED

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name=self.name,
            version=1,
            footprint=Footprint(temporal_radius=2, halo=1),
            working_space=self.working,
            provenance=self.provenance,
            needs_analysis=True,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return Spots(self.channels, self.bright), self.last

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {"frames": len(frames)}

    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        return {**analysis, "decisions": dict(decisions)}

    def planes(self) -> tuple[str, ...]:
        return ("defects",)
