"""An operator that runs a network and nothing else, to measure the engine around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wetgate.backends import Session, apply_net
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    NoSurveys,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
)


@dataclass(frozen=True, slots=True)
class OnlyNet(NoSurveys):
    """Adds what a network makes of the pixels, repeated until it has all its planes.

    Attributes:
        shapes: of every batch it ran, in order; for whoever wants to run the same again.
    """

    session: Session
    shapes: list[tuple[int, int, int, int]] = field(default_factory=list)

    @property
    def footprint(self) -> Footprint:
        """Return the halo of the network."""
        return Footprint(halo=self.session.card.halo, bytes_per_pixel=1900)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        return OperatorSpec(
            name="net",
            version=1,
            footprint=self.footprint,
            working_space="source",
            provenance=Provenance.INFERRED,
        )

    @property
    def stages(self) -> tuple[OnlyNet, ...]:
        """Return itself as the only stage."""
        return (self,)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure nothing."""
        return {}

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the pixels of the tile with the network's output added in float32."""
        card, region = self.session.card, window.region
        picked = np.resize(np.arange(window.center.shape[2]), len(card.inputs))
        planes = np.ascontiguousarray(window.center.transpose(2, 0, 1))[picked]
        m = card.size_multiple
        top, left = region.y0 % m, region.x0 % m
        padded = [-(-n // m) * m for n in (top + region.height, left + region.width)]
        self.shapes.append((1, len(picked), padded[0], padded[1]))
        change = apply_net(self.session, planes, origin=(region.y0, region.x0))
        inside = window.tile.within(region)
        out = window.center[inside].copy()
        for channel in range(out.shape[2]):
            out[..., channel] += change[(channel % len(change), *inside)]
        return out
