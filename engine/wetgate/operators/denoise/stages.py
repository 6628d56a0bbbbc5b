"""The classical passes of denoise as stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from wetgate.model.errors import UnsupportedImage
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameSurvey,
    PairSurvey,
    Pixels,
    SourceFacts,
    Window,
)
from wetgate.operators.denoise import passes
from wetgate.operators.denoise.flow import FlowPicture, estimate_flow, flow_bytes, flow_picture
from wetgate.operators.denoise.passes import ShotNoise
from wetgate.operators.denoise.shot import is_idle, shot_noise


class Settings(Protocol):
    """What stages read of the operator that they belong to."""

    @property
    def step(self) -> int:
        """Return the px between reference patches."""
        ...

    @property
    def sigma_scale(self) -> float:
        """Return the factor on the measured deviation."""
        ...

    @property
    def grain_keep(self) -> float:
        """Return the share of the noise that is mixed back."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What the passes share: the operator's settings, the noise of the shot, flow."""

    operator: Settings
    radius: int
    halo: int = passes.HALO
    exact_output: bool = False

    @property
    def footprint(self) -> Footprint:
        """Return radius, halo and memory of this pass."""
        return Footprint(
            temporal_radius=self.radius,
            halo=self.halo,
            bytes_per_pixel=bytes_per_pixel(self.radius),
            surveys=flow_bytes,
            exact_output=self.exact_output,
        )

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Estimate flow."""
        return estimate_flow(cast(FlowPicture, here), cast(FlowPicture, there))

    def noise(self, analysis: Analysis, facts: SourceFacts) -> ShotNoise:
        """Return the noise of the shot.

        Raises:
            UnsupportedImage: the frame has other channels than the shot that was measured.
        """
        noise = shot_noise(analysis, self.operator.sigma_scale)
        if len(noise.spectrum) != facts.channels:
            raise UnsupportedImage(
                f"a frame with {facts.channels} color channels",
                expected=f"{len(noise.spectrum)}, as where the shot begins",
                remedy="restore it on its own",
            )
        return noise

    def survey(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts, blur: float
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on; None where nothing is to be done."""
        if is_idle(analysis, facts):
            return None
        noise = self.noise(analysis, facts)
        return flow_picture(noise.to_luma(whole), *noise.luma, blur)


@dataclass(frozen=True, slots=True)
class FirstPass(Pass):
    """Threshold groups matched on the fusion of the window."""

    threshold: float = 2.9

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on."""
        return self.survey(whole, analysis, facts, 1.5)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the tile of the center frame."""
        if is_idle(analysis, facts):
            return tile_of(window, window.center)
        noise = self.noise(analysis, facts)
        planes = passes.first_pass(window, noise, step=self.operator.step, threshold=self.threshold)
        return noise.to_pixels_biased(planes)


@dataclass(frozen=True, slots=True)
class SecondPass(Pass):
    """Filter groups by the Wiener rule."""

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on."""
        return self.survey(whole, analysis, facts, 0.7)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the tile of the center frame."""
        if is_idle(analysis, facts):
            return tile_of(window, window.center)
        noise = self.noise(analysis, facts)
        planes = passes.second_pass(window, noise, step=self.operator.step)
        return noise.to_pixels_biased(planes)


@dataclass(frozen=True, slots=True)
class ThirdPass(Pass):
    """Fuse what the second pass made of three frames."""

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on."""
        return self.survey(whole, analysis, facts, 0.5)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the tile of the center frame."""
        source = tile_of(window, window.center)
        if is_idle(analysis, facts) or self.operator.grain_keep == 1.0:
            return source
        noise = self.noise(analysis, facts)
        planes = passes.third_pass(window, noise)
        tile = window.tile.within(window.region)
        clean = noise.to_pixels(np.ascontiguousarray(planes[:, tile[0], tile[1]]))
        return with_grain(noise.bounded(clean, source), source, self.operator.grain_keep)


def with_grain(clean: Pixels, source: Pixels, keep: float) -> Pixels:
    """Mix back a share of what was removed."""
    if keep == 0.0:
        return clean
    mixed: Pixels = clean + np.float32(keep) * (source - clean)
    return mixed


def tile_of(window: Window, pixels: Pixels) -> Pixels:
    """Cut the tile out of pixels of the window's region."""
    return np.ascontiguousarray(pixels[window.tile.within(window.region)])


def bytes_per_pixel(radius: int) -> int:
    """Return the scratch memory of a pass per px of tile with halo."""
    # Both passes: noisy and basic planes of every frame, guides, fusion scratch.
    return (2 * radius + 1) * (12 + 12 + 8) + 64
