"""One frame of a job, now: through the very stages of a render, and into memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wetgate.io.formats import channel_types
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import AnalysisStale, FrameReadError, UsageError, WetgateError
from wetgate.model.frame import Frame
from wetgate.operators.base import Pixels
from wetgate.render.analysis import ClipAnalysis, check_fresh, load_analysis
from wetgate.render.beside import Beside
from wetgate.render.decisions import decide
from wetgate.render.events import FrameReport
from wetgate.render.executor import Executor
from wetgate.render.measuring import analysis_path, measure_clip
from wetgate.render.options import JobOptions
from wetgate.render.order import WriteOrder
from wetgate.render.output import FrameWriter
from wetgate.render.planner import Job, prepare
from wetgate.render.precision import quantized, same_bits
from wetgate.render.shelf import FrameSource, alpha_channel, color_channels
from wetgate.render.source import SourceClip, open_clip
from wetgate.render.windows import Shots
from wetgate.render.wiring import CheckedClip, open_chain
from wetgate.render.workers import Workers

Kind = Literal["restored", "source", "difference", "matte"]

_Stamps = list[tuple[int, int]]

_AROUND = 3
"""Frames measured on either side of those that a frame is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """One frame in memory.

    Attributes:
        pixels: float32 `(height, width, channel)`, C order, as a file of the output holds them:
            colors, and alpha where there is one. A `difference` is restored minus source; a
            `matte` has one channel, 1 where the restored frame differs from the scan.
        notes: what sets it apart from the rendered frame, and what the steps said.
    """

    pixels: Pixels
    channels: tuple[str, ...]
    color_space: str
    notes: tuple[str, ...]
    seconds: float


class Previewer:
    """A job held open, to look at single frames of it; `close` it.

    Nothing is written beside the output, and no frame there is touched.

    Args:
        options: the job's. scratch: directory for planes that do not fit the memory.

    Raises:
        WetgateError: whatever would keep the job from starting.
    """

    def __init__(self, options: JobOptions, scratch: Path) -> None:
        with ExitStack() as stack:
            job = prepare(replace(options, resume=True, overwrite=False))
            stack.callback(job.close)
            self._analysis_path = analysis_path(job)
            target = replace(job.target, directory=scratch)
            self._job = replace(job, target=target)
            self._beside = Beside(options)
            stack.callback(self._beside.close)
            self._workers = stack.enter_context(Workers(job.memory.workers))
            self._stack = stack.pop_all()
        self._whole: tuple[tuple[int, int], ClipAnalysis] | None = None
        self._last: tuple[tuple[int, str, str, str], WriteOrder, tuple[str, ...]] | None = None
        self._near: tuple[frozenset[int], _Stamps, ClipAnalysis] | None = None

    def close(self) -> None:
        """Let go of the plate."""
        self._stack.close()

    def nbytes(self, kind: Kind) -> int:
        """Return the size that a frame will have if it is like the first of the plate."""
        plan = self._job.plan
        count = len(color_channels(plan.channels)) + (alpha_channel(plan.channels) is not None)
        if kind == "restored":
            return 4 * plan.out_width * plan.out_height * count
        return 4 * plan.width * plan.height * (1 if kind == "matte" else count)

    def frame(self, number: int, kind: Kind = "restored") -> Previewed:
        """Return one frame.

        Raises:
            FrameReadError: the plate has no such frame, or it cannot be read.
            UsageError: a difference of pictures that do not lie over each other.
        """
        started = time.perf_counter()
        job = self._job
        if number not in job.clip.frames:
            raise FrameReadError(
                "no such frame",
                path=job.clip.sequence.path(number),
                frame=number,
                expected=f"one of {FrameRange.from_numbers(job.clip.frames)}",
            )
        if kind == "source":
            frame = job.clip[number]
            return _previewed(frame, frame.pixels, (), started)
        if kind != "restored" and job.output_space is not None:
            raise UsageError("source and restored frame are in different color spaces")
        order, notes = self._render(number)
        frame = order.frame
        if kind == "restored":
            return _previewed(frame, frame.pixels, notes, started)
        if order.resized:
            raise UsageError("source and restored frame have different sizes")
        height = frame.pixels.shape[0]
        source = order.source_rows(slice(0, height))
        if kind == "difference":
            with np.errstate(invalid="ignore", over="ignore"):
                apart: Pixels = frame.pixels - source
            apart[same_bits(frame.pixels, source)] = 0  # NaN and Inf that stayed as well
            return _previewed(frame, apart, notes, started)
        colors = list(color_channels(frame.channels))
        same = same_bits(frame.pixels[..., colors], source[..., colors])
        matte = np.ones((*frame.pixels.shape[:2], 1), dtype=np.float32)
        matte[same.all(-1)] = 0
        return Previewed(
            pixels=matte,
            channels=("matte",),
            color_space=frame.color_space,
            notes=notes,
            seconds=time.perf_counter() - started,
        )

    def _render(self, number: int) -> tuple[WriteOrder, tuple[str, ...]]:
        job = self._job
        source: FrameSource = job.clip
        analysis, notes = self._analysis(number)
        # Another look at the same frame, of which nothing has changed meanwhile.
        measured = analysis.digest if analysis is not None else ""
        key = (number, job.clip.digest(number), self._beside.digest(number), measured)
        if self._last is not None and self._last[0] == key:
            return self._last[1], self._last[2]
        self._last = None
        shots, steps = Shots(), analysis.steps if analysis is not None else ()
        if analysis is not None:
            shots = analysis.shots
            if not notes:
                source = CheckedClip(job.clip, analysis, self._analysis_path)
        keeper = _Keeper()
        with open_chain(job, self._workers, self._beside, shots, steps, source) as (chain, shelf):
            executor = Executor(
                chain=chain,
                shelf=shelf,
                writer=keeper,
                source_file=job.clip.sequence.name,
                output_space=job.output_space,
                usual=job.clip.info,
                overlap=False,
            )
            for _ in executor.run([number]):
                pass
        order = replace(keeper.order, frame=_as_written(keeper.order.frame))
        said = (*notes, *order.warnings, *order.notes)
        self._last = (key, order, said)
        return order, said

    def _analysis(self, number: int) -> tuple[ClipAnalysis | None, tuple[str, ...]]:
        """Return the analysis to use, and what there is to say about it."""
        if not self._job.needs_analysis:
            return None, ()
        try:
            found, notes = self._of_whole_shot(), []
        except AnalysisStale as error:
            found, numbers = self._of_some(number)
            some = FrameRange.from_numbers(sorted(numbers))
            notes = [f"measured on frames {some} only; a render measures the whole ({error.found})"]
        if self._job.decisions is not None:
            found = decide(found, self._job.decisions, self._job.operators)
        return found, tuple(notes)

    def _of_whole_shot(self) -> ClipAnalysis:
        path = self._analysis_path
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            raise AnalysisStale("no analysis", path=path) from None
        if self._whole is None or self._whole[0] != stamp:
            found = load_analysis(path)
            job = self._job
            files, numbers = job.clip.sequence, job.clip.frames
            check_fresh(found, path, context=job.context, numbers=numbers, files=files)
            self._whole = (stamp, found)
        return self._whole[1]

    def _of_some(self, number: int) -> tuple[ClipAnalysis, frozenset[int]]:
        """Measure a few frames around one, unless they have been already."""
        job, radius = self._job, self._job.plan.temporal_radius
        here = frozenset(job.clip.frames)
        needed = here & set(range(number - radius, number + radius + 1))
        held = self._near
        if held is None or not needed <= held[0] or held[1] != _stamps(job, held[0]):
            reach = radius + _AROUND
            near = here & set(range(number - reach, number + reach + 1))
            stamps = _stamps(job, near)
            with _part_of(job, near) as clip:
                part: Job = replace(job, clip=clip)
                held = near, stamps, measure_clip(part, self._workers, self._beside)
            self._near = held
        return held[2], held[0]


class _Keeper(FrameWriter):
    """Stands where frames are written, and keeps the one that comes."""

    order: WriteOrder

    def __init__(self) -> None:
        # Nothing is written: what a writer needs for that is not here.
        pass

    def write(self, order: WriteOrder) -> FrameReport:
        """Keep a frame."""
        # The source is let go of once this returns.
        height = order.frame.pixels.shape[0] if not order.resized else 0
        rows = order.source_rows(slice(0, height)).copy()
        self.order = replace(order, frame=_owned(order.frame), source_rows=lambda band: rows[band])
        return FrameReport(number=order.frame.number, status="written")

    def fail(
        self, number: int, source_file: str, error: WetgateError, seconds: float
    ) -> FrameReport:
        """Pass on why there is no frame."""
        raise error


def _owned(frame: Frame) -> Frame:
    return frame.replace_pixels(frame.pixels.copy(), color_space=frame.color_space)


def _as_written(frame: Frame) -> Frame:
    """Return a frame with the samples that its file would hold."""
    pixels = frame.pixels
    for index, sample_type in enumerate(channel_types(frame)):
        pixels[..., index] = quantized(pixels[..., index], sample_type)
    return frame


def _previewed(frame: Frame, pixels: Pixels, notes: tuple[str, ...], started: float) -> Previewed:
    """Take colors and alpha out of all channels."""
    index = list(color_channels(frame.channels))
    alpha = alpha_channel(frame.channels)
    if alpha is not None:
        index.append(alpha)
    whole = index == list(range(pixels.shape[2]))
    return Previewed(
        pixels=np.ascontiguousarray(pixels if whole else pixels[..., index]),
        channels=tuple(frame.channels[i] for i in index),
        color_space=frame.color_space,
        notes=tuple(dict.fromkeys(notes)),
        seconds=time.perf_counter() - started,
    )


def _stamps(job: Job, numbers: Iterable[int]) -> _Stamps:
    """Return what tells that a file of the plate has been replaced."""
    stats = [job.clip.sequence.path(number).stat() for number in sorted(numbers)]
    return [(stat.st_mtime_ns, stat.st_size) for stat in stats]


def _part_of(job: Job, numbers: Iterable[int]) -> SourceClip:
    """Open some frames of the plate, in the color space that has been decided for the whole."""
    return open_clip(
        job.options.plate,
        input_space=job.space if job.config is not None else None,
        config=job.recipe.config or None,
        frames=FrameRange.from_numbers(numbers),
        layer=job.options.layer,
        must_decide=job.config is not None,
    )
