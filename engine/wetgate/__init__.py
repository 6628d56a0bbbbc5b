"""Restore film and video frame sequences, and change nothing else.

`restore` runs a recipe over a plate, `plan` says what that would do, `open_clip` gives a plate's
frames. They load their machinery on first use: importing the package costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from wetgate.model.errors import WetgateError
from wetgate.model.version import __version__

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from wetgate.io.ranges import FrameRange
    from wetgate.render.events import Event, JobReport
    from wetgate.render.options import JobOptions
    from wetgate.render.plan import Plan
    from wetgate.render.source import SourceClip

__all__ = ["WetgateError", "__version__", "open_clip", "plan", "restore"]

Policy = Literal["archival", "forensic", "creative"]
CodeRange = Literal["full", "legal"]


def restore(
    plate: str | Path,
    out: str | Path,
    *,
    recipe: str | Path = "denoise",
    frames: str | Iterable[int] | None = None,
    input_space: str | None = None,
    output_space: str | None = None,
    config: str | Path | None = None,
    policy: Policy = "creative",
    matte: str | Path | None = None,
    strength: float | None = None,
    code_range: CodeRange | None = None,
    layer: str | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    allow_noncommercial: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    report: bool = True,
    on_event: Callable[[Event], None] | None = None,
    cancel: threading.Event | None = None,
) -> JobReport:
    """Restore a plate into a directory and return what happened to every frame.

    Args:
        plate: a directory, one frame, or a pattern such as `plate.%04d.exr`. Never written to.
        out: a directory, which keeps the source's names, or a pattern, which names the frames.
        recipe: a built-in name or a TOML file.
        frames: a range such as `"1001-1100x2,1203"`, or numbers; None for all.
        input_space, output_space: names in the OCIO config; None finds the first from the files,
            and keeps it for the second.
        config: an OCIO config file, or "env" for the one in `$OCIO`; None for wetgate's own.
        policy: which provenance classes an operator may have.
        matte: a sequence that says where to restore, 0-1.
        strength: 0-1, replaces that of every step.
        code_range: how integer codes are to be understood; None lets the format decide.
        layer: part, view or layer of an EXR.
        memory: most memory to use, bytes or text such as "4GB".
        threads: None for all cores.
        allow_noncommercial: run models whose licence forbids commercial use.
        resume: keep finished frames. overwrite: replace what is there.
        report: write `report.html` beside the frames.
        on_event: called with what happens, one event at a time, from the calling thread.
        cancel: set it to stop after the frames in work; the job is then resumable.

    Raises:
        WetgateError: when the job cannot start or go on. One bad source frame does not raise: it
            is in the report, whose `exit_code` then is 4.
    """
    from wetgate.render.events import Planned
    from wetgate.render.job import run_job

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
        strength=strength,
        code_range=code_range,
        layer=layer,
        memory=memory,
        threads=threads,
        allow_noncommercial=allow_noncommercial,
        resume=resume,
        overwrite=overwrite,
    )
    planned: list[Plan] = []

    def follow(event: Event) -> None:
        if isinstance(event, Planned):
            planned.append(event.plan)
        if on_event is not None:
            on_event(event)

    done = run_job(options, on_event=follow, cancel=cancel)
    if report and planned and not done.cancelled:
        from wetgate.render.reporting.job import write_job_report

        write_job_report(done, planned[0], options)
    return done


def plan(
    plate: str | Path,
    out: str | Path,
    *,
    recipe: str | Path = "denoise",
    frames: str | Iterable[int] | None = None,
    input_space: str | None = None,
    output_space: str | None = None,
    config: str | Path | None = None,
    policy: Policy = "creative",
    matte: str | Path | None = None,
    strength: float | None = None,
    code_range: CodeRange | None = None,
    layer: str | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    allow_noncommercial: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Return what `restore` would do and need, with the same arguments; touches nothing."""
    from wetgate.render.job import plan_job

    return plan_job(
        _options(
            plate=plate,
            out=out,
            recipe=recipe,
            frames=frames,
            input_space=input_space,
            output_space=output_space,
            config=config,
            policy=policy,
            matte=matte,
            strength=strength,
            code_range=code_range,
            layer=layer,
            memory=memory,
            threads=threads,
            allow_noncommercial=allow_noncommercial,
            resume=resume,
            overwrite=overwrite,
        )
    )


def open_clip(
    plate: str | Path,
    *,
    input_space: str | None = None,
    config: str | Path | None = None,
    frames: str | Iterable[int] | None = None,
) -> SourceClip:
    """Open a plate as a lazy `Clip`: `clip[1001]` reads that frame and no other.

    Use it in a `with` statement, or `close` it: EXR is read in a process of its own.

    Raises:
        InputError: when there is no such plate, or nothing decides its color space.
    """
    from wetgate.render.source import open_clip as open_plate

    return open_plate(plate, input_space=input_space, config=config, frames=_range(frames))


def _options(
    *,
    frames: str | Iterable[int] | None,
    memory: int | str | None,
    **rest: Any,
) -> JobOptions:
    from wetgate.model.units import parse_bytes
    from wetgate.render.options import JobOptions

    return JobOptions(
        frames=_range(frames),
        memory=parse_bytes(memory) if isinstance(memory, str) else memory,
        **rest,
    )


def _range(frames: str | Iterable[int] | None) -> FrameRange | None:
    from wetgate.io.ranges import FrameRange

    if frames is None:
        return None
    return (
        FrameRange.from_str(frames) if isinstance(frames, str) else FrameRange.from_numbers(frames)
    )
