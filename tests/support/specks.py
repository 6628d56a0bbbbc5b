"""A tiny operator that repairs: every white speck is borrowed from a neighboring frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.model.frame import SampleType
from wetgate.operators.base import (
    Analysis,
    Decisions,
    Fix,
    FrameReader,
    Judged,
    Provenance,
    SourceFacts,
    Window,
)

from support.clips import texture
from support.operators import OneStage, inner
from support.plates import write_plate

WHITE = np.float32(0.95)
WIDTH, HEIGHT = 64, 48


@dataclass(frozen=True)
class Specks(OneStage):
    """Finds single white pixels. The confidence of one is a fixed play of its place."""

    name: str = "specks"
    radius: int = 1
    provenance: Provenance = Provenance.BORROWED
    threshold: float = 0.5

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {"frames": len(frames)}

    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        return {**analysis, "decisions": decisions}

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        said = analysis.get("decisions")
        verdicts = said if isinstance(said, dict) else {}
        pixels = window.center[inner(window)].copy()
        there = 2 if window.valid[2] else 0
        donor = window.pixels[there][inner(window)]
        height, width, _ = pixels.shape
        fixes = np.zeros((height, width), np.uint32)
        classes = np.zeros((height, width), np.uint8)
        origins = np.zeros((height, width, 3), np.float32)
        matte = (pixels.min(axis=-1) >= WHITE).astype(np.float32)
        records = []
        for y, x in zip(*np.nonzero(matte), strict=True):
            left, top = int(x) + window.tile.x0, int(y) + window.tile.y0
            number = 1 + top * window.frame.width + left
            name = f"{window.number}-{left}-{top}"
            confidence = ((7 * left + 13 * top) % 21) / 20
            applied = confidence >= self.threshold or name in verdicts.get("accepted", [])
            why = "" if applied else "below the threshold"
            if name in verdicts.get("rejected", []):
                applied, why = False, "rejected"
            if not window.valid[there]:
                applied, why = False, "no frame shows what is behind"
            records.append(
                Fix(
                    number=number,
                    frame=window.number,
                    anchor=(left, top),
                    kind=("dust", "sparkle")[left % 2],
                    box=Box(left, top, left + 1, top + 1),
                    area=1,
                    polarity=1,
                    confidence=confidence,
                    applied=applied,
                    why=why,
                    provenance=Provenance.BORROWED if applied else Provenance.UNTOUCHED,
                    source=window.number + there - 1 if applied else 0,
                    facts={"spike": 3.5},
                )
            )
            if applied:
                pixels[y, x] = donor[y, x]
                fixes[y, x], classes[y, x] = number, Provenance.BORROWED
                origins[y, x] = there - 1, 0, 0
        return Judged(
            pixels,
            classes=classes,
            fixes=fixes,
            origins=origins,
            planes={f"{self.name}.matte": matte},
            records=tuple(records),
        )


def specked(count: int = 12) -> Callable[[int], NDArray[np.float32]]:
    """Moving texture with white pixels at random places, others in every frame."""

    def picture(number: int) -> NDArray[np.float32]:
        pixels = np.clip(texture(number, WIDTH, HEIGHT), 0.05, 0.9)
        rng = np.random.default_rng(number + 500)
        places = rng.choice(WIDTH * HEIGHT, count, replace=False)
        pixels.reshape(-1, 3)[places] = 0.99
        return pixels

    return picture


def write_specks(
    folder: Path, numbers: Sequence[int], *, suffix: str = "dpx", count: int = 12
) -> Path:
    kind: SampleType = "uint10" if suffix == "dpx" else "half"
    return write_plate(folder, numbers, suffix=suffix, sample_type=kind, picture=specked(count))
