"""The denoise operator: measured noise, motion-compensated passes, bounded corrections by nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wetgate.backends import check_names
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    OperatorSpec,
    Provenance,
    SourceFacts,
    Stage,
)
from wetgate.operators.denoise import passes
from wetgate.operators.denoise.net import NetChoice, SpatialNet, TemporalNet
from wetgate.operators.denoise.passes import PATCH
from wetgate.operators.denoise.profile import measure, measuring_bytes
from wetgate.operators.denoise.shot import describe
from wetgate.operators.denoise.stages import FirstPass, SecondPass, ThirdPass

SPATIAL, TEMPORAL, ALONE = "wg-denoise", "wg-denoise-t", "wg-denoise-still"
"""The shipped networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseOperator:
    """Remove noise and grain that do not follow the picture.

    Args:
        radius: frames either side that the first two passes each look at (1-4); the third sees 1.
        step: px between reference patches (2-6); smaller is slower and slightly better.
        sigma_scale: factor on the measured noise deviation (0.5-2); 1 trusts the measurement.
        grain_keep: share of what was removed that is mixed back, 0 (none) to 1 (the source).
        net: "auto" for the shipped networks, "none" for the classical passes alone, or the name
            or folder of a model package that stands in for the spatial network.
        temporal_net: the same for the temporal network; unused with net="none".
        backend, precision: what runs the networks; see `wetgate.backends`.

    Caveats:
        Finer than 8 x 8 px, a frame is returned as it is. A shot whose noise is under a quarter
        of a code of its file (or of 1/65535 for float files) is returned bit for bit.
    """

    radius: int = 3
    step: int = 3
    sigma_scale: float = 1.0
    grain_keep: float = 0.0
    net: str = "auto"
    temporal_net: str = "auto"
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name, low, high in (("radius", 1, 4), ("step", 2, 6), ("sigma_scale", 0.5, 2.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low}-{high}, got {value}")
            if isinstance(low, int) and type(value) is not int:
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        check_names(self.backend, self.precision)
        if not 0.0 <= self.grain_keep <= 1.0:
            raise ValueError(f"grain_keep must lie in 0-1, got {self.grain_keep}")

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        footprints = [stage.footprint for stage in self.stages]
        return OperatorSpec(
            name="denoise",
            version=4,
            footprint=Footprint(
                temporal_radius=sum(f.temporal_radius for f in footprints),
                halo=sum(f.halo for f in footprints),
                bytes_per_pixel=max(f.bytes_per_pixel for f in footprints),
            ),
            working_space="log",
            provenance=Provenance.INFERRED if self.models() else Provenance.FILTERED,
            needs_analysis=True,
            analysis_bytes=measuring_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the thresholding pass, the Wiener pass and the fusion of what they made.

        With networks the spatial one corrects the Wiener pass, and the temporal one the fusion.
        """
        first = FirstPass(self, self.radius)
        second = SecondPass(self, self.radius, exact_output=True)
        if self.net == "none":
            return first, second, ThirdPass(self, 1, passes.FUSION_HALO)
        nets = NetChoice(*self._names(), backend=self.backend, precision=self.precision)
        return first, second, SpatialNet(second, nets), TemporalNet(self, 2, nets=nets)

    def models(self) -> tuple[str, ...]:
        """Return the model packages, or nothing."""
        return () if self.net == "none" else tuple(dict.fromkeys(self._names()))

    def _names(self) -> tuple[str, str, str]:
        auto = self.net == "auto"
        temporal = TEMPORAL if self.temporal_net == "auto" else self.temporal_net
        return SPATIAL if auto else self.net, temporal, ALONE if auto else self.net

    def without_network(self) -> DenoiseOperator:
        """Return the classical passes alone."""
        return replace(self, net="none")

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise of a shot; see `profile` for how."""
        if min(facts.width, facts.height) < PATCH:
            return {"deviation": 0.0}
        measured = measure(read, frames, facts)
        return describe(measured, facts)
