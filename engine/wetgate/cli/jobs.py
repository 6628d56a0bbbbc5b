"""`wetgate restore | plan | chunk | verify`."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from wetgate.cli.options import (
    AcceptNoncommercial,
    AnalysisPath,
    CodeRange,
    ConfigPath,
    Decisions,
    Defects,
    Frames,
    Holdout,
    InputSpace,
    JsonFlag,
    LayerName,
    Matte,
    Memory,
    Out,
    OutputSpace,
    Overwrite,
    Plate,
    Policy,
    PolicyOption,
    ProvenanceMode,
    ProvenanceOption,
    Range,
    RecipeName,
    Resume,
    Strength,
    Threads,
)
from wetgate.cli.output import Output
from wetgate.cli.progress import job_view
from wetgate.model.errors import OutputError
from wetgate.model.units import format_bytes, format_seconds, parse_bytes

if TYPE_CHECKING:
    from wetgate.render.events import JobReport
    from wetgate.render.options import JobOptions
    from wetgate.render.plan import Plan


def restore(
    plate: Plate,
    out: Out,
    recipe: RecipeName = "denoise",
    frames: Frames = None,
    input_space: InputSpace = None,
    output_space: OutputSpace = None,
    config: ConfigPath = None,
    policy: PolicyOption = "creative",
    matte: Matte = None,
    holdout: Holdout = None,
    defects: Defects = None,
    decisions: Decisions = None,
    provenance: ProvenanceOption = "auto",
    strength: Strength = None,
    code_range: Range = None,
    layer: LayerName = None,
    memory: Memory = None,
    threads: Threads = None,
    accept_noncommercial: AcceptNoncommercial = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: JsonFlag = False,
) -> None:
    """Restore a plate: plan, measure the shot, render every frame, verify, report."""
    options = _options(
        plate=plate,
        out=out,
        recipe=recipe,
        frames=frames,
        input_space=input_space,
        output_space=output_space,
        config=config,
        policy=policy,
        matte=matte,
        holdout=holdout,
        defects=defects,
        decisions=decisions,
        provenance=provenance,
        strength=strength,
        code_range=code_range,
        layer=layer,
        memory=memory,
        threads=threads,
        accept_noncommercial=accept_noncommercial,
        resume=resume,
        overwrite=overwrite,
    )
    _run(options, Output(json=json), with_report=True)


def chunk(
    plate: Plate,
    out: Out,
    frames: Annotated[str, typer.Option("--frames", help="The frames of this chunk.")],
    recipe: RecipeName = "denoise",
    analysis: AnalysisPath = None,
    input_space: InputSpace = None,
    output_space: OutputSpace = None,
    config: ConfigPath = None,
    policy: PolicyOption = "creative",
    matte: Matte = None,
    holdout: Holdout = None,
    defects: Defects = None,
    decisions: Decisions = None,
    provenance: ProvenanceOption = "auto",
    strength: Strength = None,
    code_range: Range = None,
    layer: LayerName = None,
    memory: Memory = None,
    threads: Threads = None,
    accept_noncommercial: AcceptNoncommercial = False,
    json: JsonFlag = False,
) -> None:
    """Render some frames of a shot, as one worker of many.

    Finished frames are kept, so that it may be run again. Every chunk reads the analysis of the
    whole shot; the bits are those of `restore`.
    """
    options = _options(
        plate=plate,
        out=out,
        recipe=recipe,
        frames=frames,
        input_space=input_space,
        output_space=output_space,
        config=config,
        policy=policy,
        matte=matte,
        holdout=holdout,
        defects=defects,
        decisions=decisions,
        provenance=provenance,
        strength=strength,
        code_range=code_range,
        layer=layer,
        memory=memory,
        threads=threads,
        accept_noncommercial=accept_noncommercial,
        analysis=analysis,
        resume=True,
    )
    _run(options, Output(json=json), with_report=False)


def plan(
    plate: Plate,
    out: Out = "restored",
    recipe: RecipeName = "denoise",
    frames: Frames = None,
    input_space: InputSpace = None,
    output_space: OutputSpace = None,
    config: ConfigPath = None,
    policy: PolicyOption = "creative",
    matte: Matte = None,
    holdout: Holdout = None,
    defects: Defects = None,
    decisions: Decisions = None,
    provenance: ProvenanceOption = "auto",
    strength: Strength = None,
    code_range: Range = None,
    layer: LayerName = None,
    memory: Memory = None,
    threads: Threads = None,
    accept_noncommercial: AcceptNoncommercial = False,
    json: JsonFlag = False,
) -> None:
    """Say what `restore` would do and need; touches nothing."""
    from wetgate.render.job import plan_job

    options = _options(
        plate=plate,
        out=out,
        recipe=recipe,
        frames=frames,
        input_space=input_space,
        output_space=output_space,
        config=config,
        policy=policy,
        matte=matte,
        holdout=holdout,
        defects=defects,
        decisions=decisions,
        provenance=provenance,
        strength=strength,
        code_range=code_range,
        layer=layer,
        memory=memory,
        threads=threads,
        accept_noncommercial=accept_noncommercial,
    )
    show_plan(plan_job(options), Output(json=json))


def verify(
    directory: Annotated[Path, typer.Argument(help="A directory that wetgate has written.")],
    json: JsonFlag = False,
) -> None:
    """Read every frame again and compare it with the manifest."""
    from wetgate.render.job import verify_output

    output = Output(json=json)
    report = verify_output(directory)
    output.event("verified", report=report, exit_code=report.exit_code)
    for problem in report.problems:
        output.line(str(problem))
    output.line(f"{report.good} of {report.total} frames are as the manifest says")
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _options(
    *,
    plate: str,
    out: str,
    recipe: str,
    frames: str | None,
    input_space: str | None,
    output_space: str | None,
    config: str | None,
    policy: Policy,
    matte: str | None,
    holdout: str | None,
    defects: str | None,
    decisions: Path | None,
    provenance: ProvenanceMode,
    strength: float | None,
    code_range: CodeRange | None,
    layer: str | None,
    memory: str | None,
    threads: int | None,
    accept_noncommercial: bool,
    analysis: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> JobOptions:
    from wetgate.render.options import JobOptions

    return JobOptions(
        plate=plate,
        out=out,
        recipe=recipe,
        frames=frames,
        input_space=input_space,
        output_space=output_space,
        config=config,
        policy=policy,
        matte=matte,
        holdout=holdout,
        defects=defects,
        decisions=decisions,
        provenance=provenance,
        strength=strength,
        code_range=code_range,
        layer=layer,
        memory=parse_bytes(memory) if memory else None,
        threads=threads,
        allow_noncommercial=accept_noncommercial,
        analysis_path=analysis,
        resume=resume,
        overwrite=overwrite,
    )


def _run(options: JobOptions, output: Output, *, with_report: bool) -> None:
    """Run a job, show it, and leave with its exit code."""
    from wetgate.render.job import run_job

    with _stoppable(output) as cancel, job_view(output) as view:
        report = run_job(options, on_event=view, cancel=cancel)
    page = None
    if with_report and view.plan is not None and not report.cancelled:
        page = _write_report(report, view.plan, options, output)
    output.event("finished", report=report, exit_code=report.exit_code, page=page)
    _summary(report, page, output)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _summary(report: JobReport, page: Path | None, output: Output) -> None:
    from wetgate.render.reporting.summary import summarize
    from wetgate.render.windows import Shots

    counts = Counter(frame.status for frame in report.frames)
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    output.line(f"{said or 'no frames'} in {format_seconds(report.seconds)}: {report.directory}")
    for frame in report.failed:
        output.line(f"  frame {frame.number} failed: {frame.error}")
    for use in report.networks:
        output.line(f"  network {use}")
    for note in summarize(report.frames, Shots(), report.networks):
        output.line(f"  {note}")
    if report.cancelled:
        output.line("stopped on request; run it again with --resume to go on")
    if page is not None:
        output.line(f"report: {page}")


@contextmanager
def _stoppable(output: Output) -> Iterator[threading.Event]:
    """Give an event that the first interrupt sets; the second one ends at once."""
    cancel = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        output.warn("stopping after the frames in work; once more to stop now")

    if threading.current_thread() is not threading.main_thread():
        yield cancel  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_plan(plan: Plan, output: Output) -> None:
    """Print a plan."""
    output.event("planned", plan=plan)
    count = len(plan.frames)
    frames = f"{plan.frames[0]}-{plan.frames[-1]}, {count} of them" if count else "none"
    steps = ", ".join(f"{name} (version {version})" for name, version in plan.operators)
    looked = "the whole plate is measured first" if plan.needs_analysis else ""
    rate = f" at {float(plan.frame_rate):g} frames/s" if plan.frame_rate is not None else ""
    output.facts(
        f"{plan.source} -> {plan.target}",
        [
            ("frames", frames),
            ("missing", ", ".join(map(str, plan.missing[:20]))),
            ("picture", f"{plan.size_text}, {', '.join(plan.channels)}{rate}"),
            ("samples", plan.sample_type),
            ("recipe", f"{plan.recipe}, {plan.recipe_digest}"),
            ("steps", steps or "none: every frame passes through, bit for bit"),
            ("analysis", looked),
            ("policy", plan.policy),
            ("provenance", "" if plan.planes == "none" else f"of every pixel: {plan.planes}"),
            ("input space", f"{plan.input_space} ({plan.space_decision})"),
            ("output space", plan.output_space),
            ("config", plan.config),
            *([("model", str(model)) for model in plan.models] or [("models", "none")]),
            *(("runs on", str(use)) for use in plan.networks),
            *(("instead", str(fallback)) for fallback in plan.fallbacks),
            ("disk", f"{format_bytes(plan.disk_bytes)} of {format_bytes(plan.free_bytes)} free"),
            ("scratch", format_bytes(plan.scratch_bytes) if plan.scratch_bytes else ""),
            ("peak memory", _memory_text(plan)),
            ("time", _time_text(plan)),
            ("tile", f"{plan.tile[0]} x {plan.tile[1]} px, {plan.workers} threads"),
        ],
    )
    for loss in plan.losses:
        output.line(f"lost: {loss}")
    if not plan.losses:
        output.line("no metadata is lost")
    for warning in plan.warnings:
        output.warn(warning)


def _memory_text(plan: Plan) -> str:
    return f"{format_bytes(plan.peak_memory)} of {format_bytes(plan.memory_budget)} allowed"


def _time_text(plan: Plan) -> str:
    if plan.seconds is None:
        return "not known before the first frames"
    return f"about {format_seconds(plan.seconds)} ({plan.seconds_from})"


def _write_report(
    report: JobReport, plan: Plan, options: JobOptions, output: Output
) -> Path | None:
    """Write the page; frames that are done stay done when it cannot be."""
    from wetgate.render.reporting.job import write_job_report

    try:
        return write_job_report(report, plan, options)
    except OutputError as error:
        output.warn(f"no report: {error}")
        return None
