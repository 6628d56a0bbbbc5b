"""A step that is told to do nothing, so that nothing of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    NoSurveys,
    Operator,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    UsesModels,
    Window,
)

REASON = "strength 0: nothing of it runs, and every pixel stays as it is"
REASON_RESIZED = "strength 0: no network runs, and the plain change of size is all there is"


@dataclass(frozen=True, slots=True)
class Resting:
    """Stands in for an operator of the same size whose step has strength 0.

    Args:
        name, version: of the operator.
    """

    name: str
    version: int

    @property
    def spec(self) -> OperatorSpec:
        """Return the facts of an operator that asks for nothing and touches nothing."""
        return OperatorSpec(
            name=self.name,
            version=self.version,
            footprint=Footprint(),
            working_space="source",
            provenance=Provenance.UNTOUCHED,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the stage that hands back what it was given."""
        return (_Rest(),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure nothing."""
        return {}


class _Rest(NoSurveys):
    __slots__ = ()

    @property
    def footprint(self) -> Footprint:
        return Footprint()

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return window.center[window.tile.within(window.region)]


def at_rest(operator: Operator) -> tuple[Operator, str]:
    """Return what runs of an operator at strength 0, and why in words.

    An operator that changes the size still has to: what its result would be blended with is the
    plain way to do so, and no network is needed for that.
    """
    spec = operator.spec
    if spec.footprint.scale == 1:
        return Resting(spec.name, spec.version), REASON
    plain = operator.without_network() if isinstance(operator, UsesModels) else None
    return plain or operator, REASON_RESIZED
