"""Show a running job: redrawn bars in a terminal, plain lines or JSON events elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from wetgate.cli.output import Output
from wetgate.model.units import format_seconds

if TYPE_CHECKING:
    from rich.progress import TaskID

    from wetgate.render.events import Event, FrameReport
    from wetgate.render.plan import Plan

_WINDOW = 24
_ANALYSIS_PAUSE = 2.0


class Pace:
    """Time left of one stage, from a moving window of its last steps."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=_WINDOW)

    def update(self, done: int, total: int, *, now: float | None = None) -> float | None:
        """Note that `done` of `total` are finished; return the seconds left, when known."""
        self._marks.append((time.monotonic() if now is None else now, done))
        first_time, first_done = self._marks[0]
        last_time, _ = self._marks[-1]
        if done >= total or done <= first_done or last_time <= first_time:
            return None
        return (total - done) * (last_time - first_time) / (done - first_done)


class JobView:
    """Shows the events of a job while it is open; says nothing by itself.

    Attributes:
        plan: of the job, once it stands.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.total = 0
        self.done = 0
        self.plan: Plan | None = None
        self.pace: dict[str, Pace] = {}

    def __enter__(self) -> JobView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def __call__(self, event: Event) -> None:
        """Show one event."""
        from wetgate.render.events import AnalysisProgress, FrameDone, Planned, Warned

        if isinstance(event, Planned):
            self.plan = event.plan
            self.total = len(event.plan.frames) + len(event.plan.missing)
            self.planned(event.plan)
        elif isinstance(event, AnalysisProgress):
            left = self._left(event.stage, event.done, event.total)
            self.analysed(event.stage, event.done, event.total, left)
        elif isinstance(event, FrameDone):
            self.done += 1
            self.framed(event.report, self._left("frames", self.done, self.total))
        elif isinstance(event, Warned):
            self.warned(event.text)

    def _left(self, stage: str, done: int, total: int) -> float | None:
        return self.pace.setdefault(stage, Pace()).update(done, total)

    def planned(self, plan: Plan) -> None:
        """Show that the plan stands."""

    def analysed(self, stage: str, done: int, total: int, left: float | None) -> None:
        """Show how far a stage of the analysis is, with the seconds left when known."""

    def framed(self, report: FrameReport, left: float | None) -> None:
        """Show a finished frame."""

    def warned(self, text: str) -> None:
        """Show a warning."""
        self.output.warn(text)


class _JsonView(JobView):
    def planned(self, plan: Plan) -> None:
        self.output.event("planned", plan=plan)

    def analysed(self, stage: str, done: int, total: int, left: float | None) -> None:
        self.output.event("analysis", stage=stage, done=done, of=total, seconds_left=left)

    def framed(self, report: FrameReport, left: float | None) -> None:
        self.output.event("frame", report=report, done=self.done, of=self.total, seconds_left=left)


class _PlainView(JobView):
    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._spoken = 0.0

    def analysed(self, stage: str, done: int, total: int, left: float | None) -> None:
        now = time.monotonic()
        if done < total and now - self._spoken < _ANALYSIS_PAUSE:
            return
        self._spoken = now
        self.output.line(f"{stage} {done}/{total}{_left_text(left)}")

    def framed(self, report: FrameReport, left: float | None) -> None:
        counted = f"({self.done}/{self.total}{_left_text(left)})"
        self.output.line(f"{report.number}  {frame_text(report)}  {counted}")


class _TerminalView(JobView):
    def __init__(self, output: Output) -> None:
        super().__init__(output)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=output.console(),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _TerminalView:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def analysed(self, stage: str, done: int, total: int, left: float | None) -> None:
        self._bar(stage, done, total, left)

    def framed(self, report: FrameReport, left: float | None) -> None:
        if report.status == "failed":
            self._progress.console.print(
                f"{report.number}  {frame_text(report)}", style="red", markup=False
            )
        self._bar("frames", self.done, self.total, left)

    def warned(self, text: str) -> None:
        self._progress.console.print(f"warning: {text}", style="yellow", markup=False)

    def _bar(self, stage: str, done: int, total: int, left: float | None) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note="")
        note = "done" if done >= total else _left_text(left).removeprefix(", ")
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)


def frame_text(report: FrameReport) -> str:
    """Say in words what happened to a frame."""
    if report.status == "failed":
        return f"FAILED: {report.error}"
    if report.status == "skipped":
        return "done before"
    changed = f"{100 * report.changed_fraction:.1f} % changed"
    notes = "".join(f"; {text}" for text in report.warnings)
    return f"{report.status}, {changed}, {format_seconds(report.seconds)}{notes}"


def _left_text(left: float | None) -> str:
    return "" if left is None else f", {format_seconds(left)} left"


def job_view(output: Output) -> JobView:
    """Return the view that suits where the output goes."""
    if output.json:
        return _JsonView(output)
    return _TerminalView(output) if output.is_terminal else _PlainView(output)
