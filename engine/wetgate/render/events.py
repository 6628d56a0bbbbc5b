"""What a job tells while it runs, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wetgate.render.plan import NetworkUse, Plan

Status = Literal["written", "skipped", "passed-through", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReport:
    """What happened to one frame.

    Attributes:
        status: `skipped` frames were already done by an earlier run.
        changed_fraction: share of pixels that differ from the source in the file's precision.
        classes: share of pixels by provenance class above 0.
        fixed, left: defects repaired, and found and left alone.
        network_off: greatest share of the frame in which a step did without its network.
        notes: what the operators said about the frame, each sentence once.
        exit_code: of the error, when it failed.
    """

    number: int
    status: Status
    path: Path | None = None
    digest: str | None = None
    seconds: float = 0.0
    changed_fraction: float = 0.0
    generative_fraction: float = 0.0
    classes: tuple[tuple[int, float], ...] = ()
    max_change: float = 0.0
    fixed: int = 0
    left: int = 0
    network_off: float = 0.0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None
    exit_code: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings, what the operators said, and where their networks were switched off."""
        off = f"network switched off in {100 * self.network_off:.3g} % of the frame"
        return (*self.warnings, *((off,) if self.network_off else ()), *self.notes)


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan stands; nothing has been touched yet."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class AnalysisProgress:
    """The whole-shot stage has looked at `done` of `total` frames."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FrameDone:
    """One frame is finished, one way or another."""

    report: FrameReport


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know that does not stop the job."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """How a job ended.

    Attributes:
        frames: one report for every frame asked for that was reached, in order of work.
        cancelled: stopped by request; resumable.
        networks: how the networks were run, those that this run had to load.
        with_models: whether the job was to run any.
        manifest: the folded manifest. analysis: the analysis file, when the recipe needs one.
    """

    frames: tuple[FrameReport, ...]
    directory: Path
    cancelled: bool = False
    manifest: Path | None = None
    analysis: Path | None = None
    warnings: tuple[str, ...] = ()
    networks: tuple[NetworkUse, ...] = ()
    with_models: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[FrameReport, ...]:
        """Return the frames that failed."""
        return tuple(f for f in self.frames if f.status == "failed")

    @property
    def exit_code(self) -> int:
        """Return 0, 4 with failed frames, 7 when one did not verify, 130 when cancelled.

        6 when a job with models failed for that reason in every frame: they cannot be run here.
        """
        if self.cancelled:
            return 130
        if any(f.exit_code == 7 for f in self.failed):
            return 7
        if self.with_models and self.failed and all(f.exit_code == 6 for f in self.frames):
            return 6
        return 4 if self.failed else 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is over."""

    report: JobReport


Event = Planned | AnalysisProgress | FrameDone | Warned | Finished
