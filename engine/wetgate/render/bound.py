"""Steps made ready to run, and how far apart in time what they need may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from wetgate.operators.base import (
    Footprint,
    Operator,
    OperatorSpec,
    ReadsPlanes,
    Stage,
    TakesDecisions,
)
from wetgate.render.encoding import Encoding

GENERATIVE = 0x80
"""Bit of a touched-plane beside the provenance class of the pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundStep:
    """A step of the recipe with its operator made and its encoding decided.

    Attributes:
        generative: a model it runs makes up detail, whatever its operator says of itself.
        spec, stages, footprints: of the operator, read once: some open the card of a model to
            tell them.
        plane_names: named planes that it looks at where the job has them.
        repairs: whether it changes single defects alone, each of them a fix on record.
    """

    operator: Operator
    encoding: Encoding
    strength: float
    is_log_working: bool
    generative: bool = False
    spec: OperatorSpec = field(init=False)
    stages: tuple[Stage, ...] = field(init=False)
    footprints: tuple[Footprint, ...] = field(init=False)
    plane_names: tuple[str, ...] = field(init=False)
    repairs: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.operator.spec)
        object.__setattr__(self, "stages", tuple(self.operator.stages))
        object.__setattr__(self, "footprints", tuple(s.footprint for s in self.stages))
        operator = self.operator
        names = operator.planes() if isinstance(operator, ReadsPlanes) else ()
        object.__setattr__(self, "plane_names", tuple(names))
        object.__setattr__(self, "repairs", isinstance(operator, TakesDecisions))

    @property
    def scale(self) -> Fraction:
        """Output size / input size."""
        return self.spec.footprint.scale

    @property
    def invents(self) -> bool:
        """Whether pixels of the step's own class may be made up."""
        return self.generative or self.spec.generative

    @property
    def mark(self) -> int:
        """The value of pixels this step changes, in touched-planes."""
        return int(self.spec.provenance) | (GENERATIVE if self.invents else 0)


@dataclass(frozen=True, slots=True)
class Reach:
    """How many frames away an output may be that still needs a value.

    Attributes:
        source: of source frames and so the radius of the whole chain.
        step_input: by step. stage: of a stage's survey and of its input, by (step, stage).
        stage_output: by (step, stage).
    """

    source: int
    step_input: tuple[int, ...]
    stage: Mapping[tuple[int, int], int]
    stage_output: Mapping[tuple[int, int], int]


def chain_reach(operators: Sequence[Operator]) -> Reach:
    """Add radii up from the end of the chain: a value is as far away as what it feeds."""
    return reach_of([[stage.footprint for stage in operator.stages] for operator in operators])


def reach_of(footprints: Sequence[Sequence[Footprint]]) -> Reach:
    """Return what `chain_reach` does, for the footprints of each step's stages."""
    stage: dict[tuple[int, int], int] = {}
    stage_output: dict[tuple[int, int], int] = {}
    step_input = [0] * len(footprints)
    total = 0
    for i in reversed(range(len(footprints))):
        stages = footprints[i]
        for s in reversed(range(len(stages))):
            stage_output[i, s] = total
            total += stages[s].temporal_radius
            stage[i, s] = total
        step_input[i] = total
    return Reach(total, tuple(step_input), stage, stage_output)
