"""Run jobs: each in a child process that is the very command line.

The child watches its standard input, a pipe of the service: when that ends, because the job is
cancelled or the service is dead, it stops after the frames in work and can be resumed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil

from wetgate.io.notation import split_trailing_range
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import WetgateError, WrongState
from wetgate.service.jobs import OVER, Job, JobStore
from wetgate.service.walls import environment

_log = logging.getLogger(__name__)

CHILD = "wetgate.cli.child"
"""Module of the command line that watches its standard input."""

_LINE_LIMIT = 64 << 20
"""Most bytes of one event; a plan names every frame."""
_ANALYSIS_SHARE = 0.2
_LEFTOVER_SECONDS = 30.0
"""How long a resumed job waits for the child of a dead service to stop."""
_NAMES = {"frame": "frame_done", "warning": "warned"}
_START_SLACK_SECONDS = 2.0


class Runner:
    """Starts queued jobs in order, `limit` at a time, and follows what their children tell."""

    def __init__(self, store: JobStore, *, limit: int = 1, roots: Sequence[str] = ()) -> None:
        self._store = store
        self._limit = limit
        self._roots = tuple(roots)
        self._running: dict[str, tuple[asyncio.Task[None], Process | None]] = {}
        self._submitted: set[str] = set()
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits."""
        return any(job.record.state not in OVER for job in self._store)

    def submit(self, job: Job) -> None:
        """Queue a job."""
        job.record.stage = "waiting"
        job.enter("queued")
        self._submitted.add(job.record.id)
        self._start_next()

    def resume(self, job: Job, *, decisions: str | None = None) -> None:
        """Queue a job again that has ended; finished frames that would come out the same are kept.

        Args:
            decisions: a file of verdicts to obey, in the place of an earlier one.

        Raises:
            WrongState: it runs, waits, or was not rendered here.
        """
        record = job.record
        if record.state not in OVER or record.id in self._running:
            raise WrongState(f"the job is {record.state}", expected="one that has ended")
        if not record.argv:
            raise WrongState("the job was not rendered by this service")
        before = replace(record)
        kept = [a for a in record.argv if a not in ("--overwrite", "--resume")]
        if decisions is not None:
            kept = [a for a in kept if not a.startswith("--decisions=")]
            kept.append(f"--decisions={decisions}")
        record.argv = [*kept, "--resume"]
        record.error = record.exit_code = record.ended = record.eta = None
        record.done, record.fraction = 0, 0.0
        try:
            self.submit(job)
        except BaseException:
            job.record = before  # it could not be written down
            raise

    def cancel(self, job: Job) -> None:
        """Stop a job after the frames in work; a second call stops it at once.

        Raises:
            WrongState: it has ended.
        """
        state = job.record.state
        if state == "queued":
            self._submitted.discard(job.record.id)
            job.record.ended, job.record.stage = time.time(), ""
            job.enter("cancelled")
        elif state == "running":
            job.enter("cancelling")
            _close_input(self._running[job.record.id][1])
        elif state == "cancelling":
            process = self._running[job.record.id][1]
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
        else:
            raise WrongState(f"the job is {state}", expected="one that runs or waits")

    async def close(self, seconds: float = 20.0) -> None:
        """Stop all jobs after the frames in work, and at once when that takes too long."""
        self._stopping = True
        tasks = [task for task, _ in self._running.values()]
        for _, process in list(self._running.values()):
            _close_input(process)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for _, process in list(self._running.values()):
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.kill()
            if late:
                await asyncio.wait(late, timeout=5)

    def _start_next(self) -> None:
        if self._stopping:
            return
        for job in self._store:
            if len(self._running) >= self._limit:
                return
            # A job that is still being made is in the store as well.
            if job.record.state == "queued" and job.record.id in self._submitted:
                self._submitted.discard(job.record.id)
                task = asyncio.ensure_future(self._run(job))
                self._running[job.record.id] = (task, None)

    async def _run(self, job: Job) -> None:
        try:
            await _wait_for_leftover(job)
            if job.record.state == "queued":
                await self._work(job)
        except Exception as error:
            _log.exception("job %s", job.record.id)
            with suppress(OSError, WetgateError):  # where it cannot be written, it is told of
                self._end(job, "failed", None, f"the service could not run the job: {error}")
            job.wake()
        finally:
            self._running.pop(job.record.id, None)
            self._start_next()

    async def _work(self, job: Job) -> None:
        record = job.record
        command = [sys.executable, "-m", CHILD, "restore", *record.argv, "--json"]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_LIMIT,
            env=environment(self._roots, str(job.folder)),
            **apart(),
        )
        last = _Last()
        try:
            if record.state != "queued":
                return  # cancelled while the process was started
            self._running[record.id] = (self._running[record.id][0], process)
            record.started, record.stage = time.time(), "planning"
            record.pid, record.pid_started = process.pid, started_at(process.pid)
            job.note("wetgate restore " + " ".join(record.argv))
            job.enter("running")
            if self._stopping:
                _close_input(process)  # `close` did not see it yet
            await asyncio.gather(_read_events(process, job, last), _read_log(process, job, last))
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            _close_input(process)
        self._finish(job, code, last)

    def _finish(self, job: Job, code: int, last: _Last) -> None:
        record = job.record
        if code == 0:
            self._end(job, "done", code, None)
        elif record.state == "cancelling":
            self._end(job, "cancelled", code, None)
        elif code == 130 or self._stopping:
            self._end(job, "interrupted", code, last.error or "stopped before its end")
        elif code == 4:
            self._end(job, "failed", code, f"{last.failed} of {record.total} frames failed")
        else:
            self._end(job, "failed", code, last.error or last.obituary(code))

    def _end(self, job: Job, state: Any, code: int | None, error: str | None) -> None:
        record = job.record
        record.exit_code, record.error, record.eta = code, error, None
        record.ended, record.stage = time.time(), ""
        record.pid = record.pid_started = None
        if state == "done":
            record.fraction = 1.0
        job.enter(state)


class _Last:
    """What a child said so far, for the case that it ends without an explanation.

    Attributes:
        measured: share of the work that measuring the plate has been.
    """

    def __init__(self) -> None:
        self.measured = 0.0
        self.error: str | None = None
        self.failed = 0
        self.lines: deque[str] = deque(maxlen=5)

    def obituary(self, code: int) -> str:
        how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return " / ".join(
            [f"the engine was {how}" if code < 0 else f"the engine {how}", *self.lines]
        )


async def _read_events(process: Process, job: Job, last: _Last) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        try:
            facts = json.loads(line)
            name = str(facts.pop("event"))
        except (ValueError, KeyError, AttributeError):
            job.note(line.decode("utf-8", "replace"))
            continue
        _take(job, name, facts, last)
        job.tell(_NAMES.get(name, name), facts)


async def _read_log(process: Process, job: Job, last: _Last) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        text = line.decode("utf-8", "replace").rstrip()
        try:
            facts = json.loads(text)
        except ValueError:
            facts = None
        if isinstance(facts, dict) and facts.get("event") == "error":
            last.error = str(facts.get("message"))
            job.note(last.error)
            del facts["event"]
            job.tell("error", facts)
        elif text:
            last.lines.append(text)
            job.note(text)


def _take(job: Job, name: str, facts: dict[str, Any], last: _Last) -> None:
    """Put into the record what an event says."""
    record = job.record
    if name == "planned":
        plan = facts["plan"]
        numbers = [*plan["frames"], *plan["missing"]]
        record.total, record.stage = len(numbers), "starting"
        record.frames = str(FrameRange.from_numbers(numbers)) if numbers else ""
        record.directory = os.path.dirname(plan["target"])
        record.pattern, _ = split_trailing_range(os.path.basename(plan["target"]))
        job.save()
    elif name == "analysis":
        record.stage = f"{facts['stage']} {facts['done']}/{facts['of']}"
        record.eta = facts["seconds_left"]
        last.measured = max(last.measured, _ANALYSIS_SHARE * facts["done"] / max(1, facts["of"]))
        record.fraction = last.measured
    elif name == "frame":
        record.done, record.eta = facts["done"], facts["seconds_left"]
        record.stage = f"frame {facts['report']['number']}"
        share = facts["done"] / max(1, facts["of"])
        record.fraction = last.measured + (1 - last.measured) * share
        last.failed += facts["report"]["status"] == "failed"
        if facts["report"]["error"]:
            job.note(f"frame {facts['report']['number']} failed: {facts['report']['error']}")
    elif name == "warning":
        job.note(f"warning: {facts['message']}")
    elif name == "finished":
        record.report = facts.get("page")


async def _wait_for_leftover(job: Job) -> None:
    """Wait until the child that a dead service left behind has stopped."""
    pid, started = job.record.pid, job.record.pid_started
    until = time.monotonic() + _LEFTOVER_SECONDS
    while pid is not None and started is not None and time.monotonic() < until:
        now = started_at(pid)
        if now is None or abs(now - started) > _START_SLACK_SECONDS:
            break
        await asyncio.sleep(0.1)
    job.record.pid = job.record.pid_started = None


def started_at(pid: int) -> float | None:
    """Return when a process started, seconds since the epoch; None when it does not run."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, ValueError, OverflowError):  # of a number that no process can have
        return None


def _close_input(process: Process | None) -> None:
    if process is not None and process.stdin is not None:
        process.stdin.close()


def apart() -> dict[str, Any]:
    """Return what keeps an interrupt at the service's terminal from its children."""
    if sys.platform == "win32":
        import subprocess

        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
