"""The dirt operator: find what lies on one frame only, put back what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wetgate.backends import check_names
from wetgate.operators.base import (
    Analysis,
    Decisions,
    Footprint,
    FrameReader,
    OperatorSpec,
    Provenance,
    SourceFacts,
    Stage,
)
from wetgate.operators.denoise.passes import PATCH
from wetgate.operators.denoise.profile import measure, measuring_bytes
from wetgate.operators.denoise.shot import describe
from wetgate.operators.dirt.detect import Detect
from wetgate.operators.dirt.net import SHIPPED, NetChoice
from wetgate.operators.dirt.stage import Repair
from wetgate.operators.dirt.verdicts import with_verdicts
from wetgate.weights import shipped_folder

POLARITIES = ("auto", "dark", "bright", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtOperator:
    """Remove dust, hairs and blotches that lie on one frame, and nothing else.

    Args:
        polarity: which dirt counts: "dark" or "bright" against the picture, "both", or "auto",
            which weighs both by what is seen.
        threshold: confidence from which a blob is repaired (0-1); what is less sure is reported
            and left alone. Rather too little than too much: a defect left is seen and accepted
            in the review, picture taken for one is not.
        smallest: px of area below which a blob is left alone (1-10000).
        largest: px of the sides of its box above which a blob is left alone (4-512).
        net: "auto" for the shipped network where there is one, "none" for the classical features
            alone, or the name or folder of a model package. It says where dirt is, never what
            is behind it.
        radius: frames either side that detection looks at (1-2); repairs borrow from up to 3.
        invent: fill holes that no frame shows from their surroundings. Such pixels are class 5.
        recalibrate: let a person's verdicts move the confidence of what was not decided on.
        backend, precision: what runs the network; see `wetgate.backends`.

    Caveats:
        Frames under 8 px on a side come back as they are; so does a frame without neighbors,
        unless a map of defects is given and `invent` is on.
    """

    polarity: str = "auto"
    threshold: float = 0.7
    smallest: int = 2
    largest: int = 128
    net: str = "auto"
    radius: int = 2
    invent: bool = False
    recalibrate: bool = False
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.polarity not in POLARITIES:
            raise ValueError(f"polarity is one of {', '.join(POLARITIES)}, got {self.polarity!r}")
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must lie in 0-1, got {self.threshold}")
        for name, low, high in (("smallest", 1, 10000), ("largest", 4, 512), ("radius", 1, 2)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number in {low}-{high}, got {value!r}")
        if self.smallest > self.largest**2:
            raise ValueError(
                f"smallest is {self.smallest} px of area, more than a box of largest = "
                f"{self.largest} px holds"
            )
        check_names(self.backend, self.precision)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        footprints = [stage.footprint for stage in self.stages]
        return OperatorSpec(
            name="dirt",
            version=1,
            footprint=Footprint(
                temporal_radius=sum(f.temporal_radius for f in footprints),
                halo=sum(f.halo for f in footprints),
                bytes_per_pixel=max(f.bytes_per_pixel for f in footprints),
            ),
            working_space="log",
            provenance=Provenance.INFERRED if self.invent else Provenance.BORROWED,
            generative=self.invent,
            needs_analysis=True,
            analysis_bytes=measuring_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return what finds dirt, and what repairs it."""
        names = self.models()
        nets = NetChoice(names[0], self.backend, self.precision) if names else None
        return Detect(self, nets), Repair(self)

    def models(self) -> tuple[str, ...]:
        """Return the model package, or nothing."""
        if self.net == "none" or (self.net == "auto" and not (shipped_folder() / SHIPPED).is_dir()):
            return ()
        return (SHIPPED if self.net == "auto" else self.net,)

    def without_network(self) -> DirtOperator:
        """Return the classical features alone."""
        return replace(self, net="none")

    def planes(self) -> tuple[str, ...]:
        """Return the planes that it looks at: a map of defects, or an infra-red channel."""
        return ("defects",)

    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        """Return the analysis with a person's verdicts in it."""
        return with_verdicts(analysis, decisions)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise of a shot, as denoise does; all that stands out is told against it."""
        if min(facts.width, facts.height) < PATCH:
            return {"deviation": 0.0}
        return describe(measure(read, frames, facts), facts)
