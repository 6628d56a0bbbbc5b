"""Moving clips with dirt whose truth is known, and a first stage that knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    FrameSurvey,
    OperatorSpec,
    PairSurvey,
    Pixels,
    SourceFacts,
    Window,
)
from wetgate.operators.dirt.detect import CONFIDENCE, PLANES, SPIKE, TRUST
from wetgate.operators.dirt.operator import DirtOperator
from wetgate.operators.dirt.stage import Repair

Mask = NDArray[np.bool_]
SIGMA = 0.008


@dataclass(frozen=True)
class DirtyClip:
    """Frames by number, the same without dirt, and where the dirt is."""

    pixels: Mapping[int, Pixels]
    clean: Mapping[int, Pixels]
    dirty: Mapping[int, Mask]
    facts: SourceFacts


def dirty_clip(
    *,
    size: tuple[int, int] = (128, 96),
    motion: tuple[int, int] = (3, -2),
    dirt: Mapping[int, tuple[tuple[int, int, int, int], ...]] | None = None,
    dark: float = 0.1,
    channels: int = 3,
    frames: range = range(1, 8),
    seed: int = 3,
    light: float = 0.0,
) -> DirtyClip:
    """Make a textured scene that moves by whole px, white noise, and boxes of dirt.

    Args:
        dirt: `(x0, y0, x1, y1)` boxes by frame; they get the value `dark`.
        light: by how much each frame is brighter than the one before, all over.
    """
    width, height = size
    rng = np.random.default_rng(seed)
    reach = 8 * max(abs(motion[0]), abs(motion[1])) + 8
    scene = _texture(rng, height + 2 * reach, width + 2 * reach, channels)
    pixels, clean, marks = {}, {}, {}
    middle = frames[len(frames) // 2]
    for n in frames:
        k = n - middle
        y, x = reach - k * motion[1], reach - k * motion[0]
        frame = scene[y : y + height, x : x + width] + np.float32(light * k)
        frame = frame + SIGMA * rng.standard_normal(frame.shape)
        clean[n] = _codes(frame)
        mask = np.zeros((height, width), np.bool_)
        for x0, y0, x1, y1 in (dirt or {}).get(n, ()):
            mask[y0:y1, x0:x1] = True
        paint = dark + 0.5 * SIGMA * rng.standard_normal(frame.shape)
        frame = np.where(mask[..., None], paint, frame)
        pixels[n] = np.where(mask[..., None], _codes(frame), clean[n])
        marks[n] = mask
    facts = SourceFacts(
        sample_type="uint10", width=width, height=height, channels=channels, is_log_working=False
    )
    return DirtyClip(pixels, clean, marks, facts)


def _codes(frame: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.rint(frame * 1023) / 1023, np.float32)


def _texture(rng: np.random.Generator, height: int, width: int, channels: int) -> Pixels:
    """Return a sum of random plane waves, smooth at the scale of a few px, within 0.3 to 0.7."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.zeros((height, width, channels))
    for _ in range(24):
        fx, fy = rng.uniform(-0.9, 0.9, 2)
        wave = np.sin(fx * x + fy * y + rng.uniform(0, 7))
        out += wave[..., None] * rng.uniform(0.3, 1, channels)
    return np.asarray((0.5 + 0.03 * out).clip(0.3, 0.7), np.float32)


@dataclass(frozen=True)
class TruthStage:
    """Stands for the first stage: what it returns is the source and the true matte."""

    clip: DirtyClip
    confidence: float = 0.95

    @property
    def footprint(self) -> Footprint:
        """Return that it looks at nothing else."""
        return Footprint(exact_output=True, planes=PLANES)

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Survey nothing."""
        return None

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Survey nothing."""
        return None

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the planes of the tile."""
        tile = window.tile.within(window.frame)
        source = self.clip.pixels[window.number][tile]
        dirty = self.clip.dirty[window.number][tile]
        planes = np.zeros((*source.shape[:2], PLANES), np.float32)
        planes[..., :3] = source
        planes[..., SPIKE] = np.where(dirty, np.float32(-30), 0)
        planes[..., CONFIDENCE] = np.where(dirty, np.float32(self.confidence), 0)
        planes[..., TRUST] = 1
        return planes


@dataclass(frozen=True)
class TruthfulDirt:
    """The dirt operator with the truth for a detector."""

    clip: DirtyClip
    inner: DirtOperator = field(default_factory=lambda: DirtOperator(net="none"))
    confidence: float = 0.95

    @property
    def spec(self) -> OperatorSpec:
        """Return the facts of the real one."""
        return self.inner.spec

    @property
    def stages(self) -> tuple[TruthStage, Repair]:
        """Return the truth, and the stage that is tested."""
        return TruthStage(self.clip, self.confidence), Repair(self.inner)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise."""
        return self.inner.analyse(read, frames, facts)
