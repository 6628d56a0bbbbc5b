"""Run a job from options to report: plan, analyse, render, fold; and verify it later."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace

from wetgate.io.atomic import (
    digest_file,
    free_bytes,
    output_error,
    sweep_stale,
    write_bytes_atomic,
)
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import (
    DiskFull,
    FrameReadError,
    InputError,
    WetgateError,
)
from wetgate.model.version import __version__
from wetgate.operators.base import TakesDecisions
from wetgate.operators.registry import make_operator
from wetgate.recipe.digest import canonical_json
from wetgate.render.analysis import ClipAnalysis, ShotAnalyses
from wetgate.render.beside import Beside
from wetgate.render.costs import codec_seconds
from wetgate.render.events import (
    Event,
    Finished,
    FrameDone,
    FrameReport,
    JobReport,
    Planned,
    Warned,
)
from wetgate.render.executor import Executor
from wetgate.render.fix_sink import FixSink
from wetgate.render.fixes.entry import JobNote
from wetgate.render.fixes.journal import FixJournal
from wetgate.render.locking import claim_frames
from wetgate.render.manifest import DONE, FrameRecord, Journal, fold
from wetgate.render.measuring import analysis_path, obtain_analysis
from wetgate.render.networks import networks_foreseen, networks_used
from wetgate.render.options import JobOptions
from wetgate.render.output import FrameWriter, report_skipped
from wetgate.render.plan import Plan
from wetgate.render.planes import FOLDER, PlanesOutput
from wetgate.render.planner import Job, MakeOperator, prepare
from wetgate.render.process_memory import give_back_freed
from wetgate.render.shelf import FrameSource
from wetgate.render.source import open_clip
from wetgate.render.verify import VerifyReport, verify_output
from wetgate.render.versions import library_versions
from wetgate.render.windows import Shots
from wetgate.render.wiring import CheckedClip, open_chain
from wetgate.render.workers import Workers

__all__ = [
    "JobOptions",
    "JobReport",
    "Plan",
    "VerifyReport",
    "open_clip",
    "plan_job",
    "run_job",
    "verify_output",
]

_SLACK = 1.05
"""Free space asked for before the first frame, over the estimate."""

OnEvent = Callable[[Event], None]


def plan_job(options: JobOptions) -> Plan:
    """Return what `run_job` would do and need; touches nothing.

    Raises:
        WetgateError: whatever would keep the job from starting.
    """
    from wetgate.render.probe import PROBE_SIDE, probe_seconds

    job = prepare(options)
    try:
        if not job.steps:
            return job.plan
        seconds = probe_seconds(job)
        plan = replace(job.plan, networks=networks_foreseen(job.steps))
    finally:
        job.close()
    if seconds is None:
        return plan
    seconds += codec_seconds(job.clip, job.write_options.format, len(job.wanted))
    return replace(plan, seconds=seconds, seconds_from=f"a probe on {PROBE_SIDE} px")


def run_job(
    options: JobOptions,
    *,
    on_event: OnEvent | None = None,
    cancel: threading.Event | None = None,
    make: MakeOperator = make_operator,
) -> JobReport:
    """Restore a plate and return what happened to every frame.

    Args:
        on_event: told of everything, one event at a time, from the calling thread.
        cancel: set it to stop after the frames in work.
        make: makes operators of steps; benchmarks pass their own.

    Raises:
        WetgateError: the job cannot start or go on. A bad source frame does not raise.
    """
    tell = on_event or _ignore
    started = time.perf_counter()
    job = prepare(options, make)
    with ExitStack() as stack:
        stack.callback(job.close)
        tell(Planned(job.plan))
        for text in (*job.plan.warnings, *map(str, job.plan.fallbacks)):
            tell(Warned(text))
        _make_directories(job)
        claim = claim_frames(job.control, FrameRange.from_numbers(job.wanted), job.context)
        stack.callback(claim.drop)
        folders = (job.target.directory, job.control, job.target.directory / FOLDER)
        swept = [path for folder in folders if folder.is_dir() for path in sweep_stale(folder)]
        if swept:
            tell(Warned(f"removed {len(swept)} files that a killed run left behind"))
        beside = Beside(options)
        stack.callback(beside.close)
        if job.memory.scratch_bytes:
            give_back_freed()
        workers = stack.enter_context(Workers(job.memory.workers))
        analysis = obtain_analysis(job, workers, beside, tell, cancel)
        reports = _render(job, workers, beside, analysis, tell, cancel)
        cancelled = (
            cancel is not None
            and cancel.is_set()
            and (len(reports) < len(job.wanted) + len(job.absent))
        )
        _save_job(job)
        networks = networks_used(job.plan.models)
        header: dict[str, object] = {"job": _job_facts(job)}
        if networks:
            header["networks"] = [asdict(use) for use in networks]
        manifest = fold(job.control, header)
    report = JobReport(
        frames=tuple(reports),
        directory=job.target.directory,
        cancelled=cancelled,
        manifest=manifest,
        analysis=analysis_path(job) if job.needs_analysis else None,
        warnings=job.plan.warnings,
        networks=networks,
        with_models=bool(job.plan.models),
        seconds=time.perf_counter() - started,
    )
    tell(Finished(report))
    return report


def _ignore(_event: Event) -> None:
    return


def _make_directories(job: Job) -> None:
    try:
        job.control.mkdir(parents=True, exist_ok=True)
        (job.control / "runs").mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(error, error.filename or job.target.directory) from error


def _render(
    job: Job,
    workers: Workers,
    beside: Beside,
    analysis: ClipAnalysis | None,
    tell: OnEvent,
    cancel: threading.Event | None,
) -> list[FrameReport]:
    journal = Journal(job.control)
    template = FrameRecord(
        frame=0,
        status="failed",
        context=job.context,
        recipe=job.recipe_digest,
        analysis=analysis.digest if analysis is not None else "",
        versions=library_versions(),
    )
    writer = FrameWriter(
        path_of=job.target.path,
        journal=journal,
        options=job.write_options,
        template=template,
        expected_bytes=job.plan.disk_bytes // max(1, len(job.wanted)),
        layer=job.options.layer,
        planes=job.planes,
        sinks=_sinks(job),
        discard=PlanesOutput(job.target).discard,
        policy=job.options.policy,
    )
    reports: list[FrameReport] = []

    def note(report: FrameReport) -> None:
        reports.append(report)
        tell(FrameDone(report))

    done = _done_before(job, journal, template, beside) if job.options.resume else {}
    todo = []
    for number in job.wanted:
        if number in done:
            note(report_skipped(done[number], job.target.path(number)))
        else:
            todo.append(number)
    for number in job.absent:
        error = FrameReadError("no such file", path=job.clip.sequence.path(number), frame=number)
        note(writer.fail(number, job.clip.sequence.name(number), error, 0.0))
    _check_room(job, len(todo))
    source: FrameSource = job.clip
    shots = Shots()
    steps: tuple[ShotAnalyses, ...] = ()
    if analysis is not None:
        source = CheckedClip(job.clip, analysis, analysis_path(job))
        shots, steps = analysis.shots, analysis.steps
    with open_chain(job, workers, beside, shots, steps, source) as (chain, shelf):
        executor = Executor(
            chain=chain,
            shelf=shelf,
            writer=writer,
            source_file=job.clip.sequence.name,
            matte_digest=beside.digest,
            output_space=job.output_space,
            usual=job.clip.info,
            overlap=job.memory.overlap,
            early=job.plan.temporal_radius > 0,
        )
        try:
            for report in executor.run(todo, cancel):
                note(report)
        except WetgateError:
            with suppress(WetgateError):  # on a full disk there is no room for this either
                fold(job.control, {"job": _job_facts(job)})
            raise
    return reports


def _check_room(job: Job, count: int) -> None:
    each = job.plan.disk_bytes // max(1, len(job.wanted))
    need = int(each * count * _SLACK) + job.memory.scratch_bytes
    free = free_bytes(job.target.directory)
    if count and need > free:
        raise DiskFull(
            f"{free >> 20} MB are free",
            path=job.target.directory,
            expected=f"{need >> 20} MB for {count} frames",
            remedy="free space, render fewer --frames, or choose another output",
        )


def _done_before(
    job: Job, journal: Journal, template: FrameRecord, beside: Beside
) -> dict[int, FrameRecord]:
    """Return the frames whose record, source and output all agree with what would be made now."""
    records = journal.latest()
    fixes = FixJournal(job.control)
    ledger = fixes.read(job.wanted) if _repairs(job) else None
    found = {}
    for number in job.wanted:
        record = records.get(number)
        if record is None or not _still_holds(job, record, template, beside):
            continue
        if ledger is None or fixes.holds(ledger, number, record.digest):
            found[number] = record
    return found


def _still_holds(job: Job, record: FrameRecord, template: FrameRecord, beside: Beside) -> bool:
    target = job.target.path(record.frame)
    same = (
        record.status in DONE
        and record.file == target.name
        and record.context == template.context
        and record.recipe == template.recipe
        and record.analysis == template.analysis
    )
    if not same or not target.is_file() or target.is_symlink():
        return False
    try:
        return (
            target.stat().st_size == record.nbytes
            and digest_file(target) == record.digest
            and job.clip.digest(record.frame) == record.source_digest
            and beside.digest(record.frame) == record.matte
            and _planes_hold(job, record)
        )
    except (OSError, InputError):
        return False


def _planes_hold(job: Job, record: FrameRecord) -> bool:
    """Whether the planes of a frame are there as recorded, or rightly not."""
    if job.planes is None or job.planes.layers:
        return not record.provenance_file
    path = job.planes.path(record.frame)
    return (
        record.provenance_file == f"{path.parent.name}/{path.name}"
        and not path.is_symlink()
        and digest_file(path) == record.provenance
    )


def _sinks(job: Job) -> tuple[FixSink, ...]:
    """Return who takes what became of each frame; nobody where no step repairs defects."""
    if not _repairs(job):
        return ()
    note = JobNote(
        layer=job.options.layer,
        write=job.write_options,
        with_layers=job.planes is not None and job.planes.layers,
        context=job.context,
        recipe=job.recipe_digest,
        thresholds=[getattr(operator, "threshold", None) for operator in job.operators],
        versions=[operator.spec.version for operator in job.operators],
    )
    return (FixJournal(job.control, note),)


def _job_facts(job: Job) -> dict[str, object]:
    plan = job.plan
    return {
        "wetgate": __version__,
        "recipe": {"name": job.recipe.name, **job.recipe.document()},
        "recipe_digest": job.recipe_digest,
        "context": job.context,
        "source": job.clip.sequence.expression,
        "target": job.target.pattern,
        "policy": job.options.policy,
        "input_space": plan.input_space,
        "output_space": plan.output_space,
        "space_decision": plan.space_decision,
        "operators": [{"name": n, "version": v} for n, v in plan.operators],
        "models": [{**asdict(m), "files": dict(m.files)} for m in plan.models],
        "decisions": job.decisions.document() if job.decisions is not None else None,
        "provenance_planes": plan.planes,
        "fallbacks": [asdict(f) for f in plan.fallbacks],
        "losses": list(plan.losses),
        "versions": library_versions(),
    }


def _repairs(job: Job) -> bool:
    """Whether a step repairs single defects."""
    return any(isinstance(operator, TakesDecisions) for operator in job.operators)


def _call_facts(job: Job) -> dict[str, object]:
    """Return what a replay must know of the call; files by their absolute paths."""
    options = job.options

    def place(named: object) -> str | None:
        return None if named is None else os.path.abspath(str(named))

    return {
        "plate": place(options.plate),
        "source_directory": place(job.clip.sequence.directory),
        "matte": place(options.matte),
        "holdout": place(options.holdout),
        "defects": place(options.defects),
        "layer": options.layer,
        "provenance": options.provenance,
        "accept_noncommercial": options.allow_noncommercial,
    }


def _save_job(job: Job) -> None:
    plan = asdict(job.plan)
    plan["frame_rate"] = str(job.plan.frame_rate) if job.plan.frame_rate is not None else None
    facts = {**_job_facts(job), "call": _call_facts(job)}
    document = {"schema": "wetgate.job/1", **facts, "plan": plan}
    text = json.dumps(json.loads(canonical_json(document)), indent=1, sort_keys=True)
    write_bytes_atomic(job.control / "job.json", (text + "\n").encode("utf-8", "replace"))
