"""An operator that runs a network and nothing else, to measure the engine around it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    _kept: threading.local = field(default_factory=threading.local)

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
        # Padded to the grid of the network's strides while it is three planes, not 25.
        m = card.size_multiple
        top, left = region.y0 % m, region.x0 % m
        below, right = -(top + region.height) % m, -(left + region.width) % m
        planes = np.pad(
            window.center.transpose(2, 0, 1), ((0, 0), (top, below), (left, right)), mode="edge"
        )
        shape = planes.shape[1:]
        self.shapes.append((1, len(picked), shape[0], shape[1]))
        change = apply_net(
            self.session, self._laid_out(planes, picked), origin=(region.y0 - top, region.x0 - left)
        )[:, top : top + region.height, left : left + region.width]
        inside = window.tile.within(region)
        out = window.center[inside].copy()
        for channel in range(out.shape[2]):
            out[..., channel] += change[(channel % len(change), *inside)]
        return out

    def _laid_out(self, planes: Pixels, picked: NDArray[np.intp]) -> Pixels:
        """Repeat planes into memory that the thread keeps: new pages cost more than the copy."""
        shape = len(picked), *planes.shape[1:]
        size = shape[0] * shape[1] * shape[2]
        kept: Pixels | None = getattr(self._kept, "planes", None)
        if kept is None or kept.size < size:
            kept = self._kept.planes = np.empty(size, np.float32)
        out = kept[:size].reshape(shape)
        return np.take(planes, picked, axis=0, out=out, mode="clip")
