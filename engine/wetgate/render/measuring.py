"""Make the analysis of a plate, or take the one that is there if it still holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from wetgate.model.errors import AnalysisStale, Cancelled
from wetgate.operators.base import Analysis, Pixels
from wetgate.recipe.digest import canonical_json
from wetgate.render.analysis import (
    ClipAnalysis,
    ShotAnalyses,
    check_fresh,
    load_analysis,
    survey_clip,
)
from wetgate.render.beside import Beside
from wetgate.render.chain import Chain
from wetgate.render.decisions import decide
from wetgate.render.events import AnalysisProgress, Event, Warned
from wetgate.render.planner import Job, is_scene_linear
from wetgate.render.windows import Shots
from wetgate.render.wiring import open_chain
from wetgate.render.workers import Workers

OnEvent = Callable[[Event], None]


def analysis_path(job: Job) -> Path:
    """Return where the job's analysis is, or will be."""
    return job.options.analysis_path or job.control / "analysis.json"


def obtain_analysis(
    job: Job,
    workers: Workers,
    beside: Beside | None,
    tell: OnEvent,
    cancel: threading.Event | None,
) -> ClipAnalysis | None:
    """Load the analysis of the plate, or make it; None when the recipe needs none.

    Verdicts on single fixes are put into what is returned, not into the file.

    Raises:
        AnalysisStale: an analysis was named in the options and does not hold.
        Cancelled: asked to stop meanwhile.
    """
    if not job.needs_analysis:
        return None
    measured = _obtain(job, workers, beside, tell, cancel)
    if job.decisions is None:
        return measured
    return decide(measured, job.decisions, job.operators)


def measure_clip(job: Job, workers: Workers, beside: Beside | None) -> ClipAnalysis:
    """Measure the clip of a job, whatever there is already; leaves no file."""
    return _analyse(job, workers, beside, None, lambda _event: None, None)


def _obtain(
    job: Job,
    workers: Workers,
    beside: Beside | None,
    tell: OnEvent,
    cancel: threading.Event | None,
) -> ClipAnalysis:
    path = analysis_path(job)
    cuts: tuple[int, ...] | None = None
    try:
        found = load_analysis(path)
        check_fresh(
            found,
            path,
            context=job.context,
            numbers=job.clip.frames,
            files=job.clip.sequence,
        )
        return found
    except AnalysisStale as error:
        if job.options.analysis_path is not None:
            raise
        cuts = _edited_cuts(path)
        if path.exists():
            tell(Warned(f"measuring the plate again: {error}"))
    made = _analyse(job, workers, beside, cuts, tell, cancel)
    made.save(path)
    return made


def _edited_cuts(path: Path) -> tuple[int, ...] | None:
    """Return the cuts of a file whose list a person has changed."""
    try:
        found = load_analysis(path)
    except AnalysisStale:
        return None
    return found.cuts if found.cuts != found.detected else None


def _analyse(
    job: Job,
    workers: Workers,
    beside: Beside | None,
    cuts: tuple[int, ...] | None,
    tell: OnEvent,
    cancel: threading.Event | None,
) -> ClipAnalysis:
    def progress(stage: str, done: int, total: int) -> None:
        tell(AnalysisProgress(stage, done, total))
        if cancel is not None and cancel.is_set():
            raise Cancelled("stopped while measuring the plate", remedy="run it again")

    stamps, detected = survey_clip(
        job.clip, job.clip.sequence, scene_linear=is_scene_linear(job), progress=progress
    )
    shots = Shots(detected if cuts is None else cuts)
    readable = [n for n in job.clip.frames if stamps[n].error is None]
    steps: list[ShotAnalyses] = []
    with open_chain(job, workers, beside, shots, steps, job.clip) as (chain, _shelf):
        for index, step in enumerate(job.steps):
            spec = step.spec
            measured: list[Analysis] = [{}] * (len(shots.cuts) + 1)
            if spec.needs_analysis:
                for at, frames in enumerate(shots.split(readable)):
                    progress(spec.name, at, len(measured))
                    if frames:
                        measured[at] = _measure_shot(chain, index, frames)
                progress(spec.name, len(measured), len(measured))
            steps.append(
                ShotAnalyses(operator=spec.name, version=spec.version, shots=tuple(measured))
            )
    return ClipAnalysis(
        context=job.context,
        clip=job.clip.sequence.expression,
        frames=stamps,
        cuts=shots.cuts,
        detected=detected,
        steps=tuple(steps),
    ).sealed()


def _measure_shot(chain: Chain, index: int, frames: Sequence[int]) -> Analysis:
    operator = chain.steps[index].operator

    def read(number: int) -> Pixels:
        chain.retain([number])
        return chain.read_working(index, number)

    facts = chain.frame_facts(index, frames[0])
    measured = operator.analyse(read, frames, facts)
    # What a chunk will read from the file is what this run goes on with.
    value: Analysis = json.loads(canonical_json(measured))
    return value
