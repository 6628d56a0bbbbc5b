"""What a job is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wetgate.io.ranges import FrameRange
from wetgate.model.errors import SequenceError, UsageError
from wetgate.operators.base import Provenance
from wetgate.recipe.schema import CodeRange, Recipe

Policy = Literal["creative", "archival", "forensic"]
ProvenanceOutput = Literal["auto", "sidecar", "layers", "none"]

HIGHEST_CLASS: dict[str, Provenance] = {
    "creative": Provenance.INFERRED,
    "archival": Provenance.BORROWED,
    "forensic": Provenance.FILTERED,
}
"""The highest provenance class that a policy lets into the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """One job, as the command line or a call puts it.

    Attributes:
        plate: any notation of `wetgate.io.sequence`. out: directory or pattern.
        recipe: a recipe, its built-in name, or a TOML file.
        frames: the range to render; None for all. Analyses always see the whole plate.
        input_space, output_space, config, code_range, strength: replace the recipe's.
        matte: a 0-1 control sequence with the plate's frame numbers: 1 restores.
        holdout: the same, but 1 keeps the scan's bits; wins over the matte.
        defects: a 0-1 sequence that says where defects are, for operators that look at such:
            `PATTERN`, `PATTERN#CHANNEL`, or `PATTERN#!CHANNEL` for 1 - value, as infra-red
            scans are dark where dirt is.
        decisions: a file of verdicts on single fixes.
        provenance: where class, origin and fix of every pixel are written: `sidecar` EXR
            sequence, `layers` of the EXR frames themselves, or `none`. `auto` is a sidecar where
            a step repairs single defects.
        memory: budget in bytes; None for 4 GB. threads: tile workers; None for all cores, 1 for
            everything in one thread.
        allow_noncommercial: run models whose licence forbids commercial use.
        resume: keep frames that are done and equal. overwrite: replace what is there.
        analysis_path: an analysis that must be there and fresh; None makes one if needed.
    """

    plate: str | Path
    out: str | Path
    recipe: str | Path | Recipe = "denoise"
    frames: FrameRange | str | None = None
    input_space: str | None = None
    output_space: str | None = None
    config: str | Path | None = None
    policy: Policy = "creative"
    matte: str | Path | None = None
    holdout: str | Path | None = None
    defects: str | Path | None = None
    decisions: str | Path | None = None
    provenance: ProvenanceOutput = "auto"
    strength: float | None = None
    code_range: CodeRange | None = None
    layer: str | None = None
    memory: int | None = None
    threads: int | None = None
    allow_noncommercial: bool = False
    resume: bool = False
    overwrite: bool = False
    analysis_path: Path | None = None

    def __post_init__(self) -> None:
        for name, value in (("plate", self.plate), ("output", self.out)):
            # Path("") is the working directory, which nobody means who leaves a name empty.
            if not str(value).strip():
                raise UsageError(f"the name of the {name} is empty")
        if self.resume and self.overwrite:
            raise UsageError("resume keeps finished frames, overwrite replaces them; choose one")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads", expected="1 or more")
        if self.memory is not None and self.memory < 1:
            raise UsageError(f"a memory budget of {self.memory} bytes")
        if self.policy not in HIGHEST_CLASS:
            raise UsageError(
                f"no policy {self.policy!r}", expected="creative, archival or forensic"
            )
        if self.provenance not in ("auto", "sidecar", "layers", "none"):
            raise UsageError(
                f"provenance {self.provenance!r}", expected="auto, sidecar, layers or none"
            )

    @property
    def has_matte(self) -> bool:
        """Whether steps apply in some places more than in others."""
        return self.matte is not None or self.holdout is not None

    @property
    def frame_range(self) -> FrameRange | None:
        """Return the range asked for."""
        if not isinstance(self.frames, str):
            return self.frames
        try:
            return FrameRange.from_str(self.frames)
        except SequenceError as error:
            raise UsageError(error.found, expected=error.expected) from error
