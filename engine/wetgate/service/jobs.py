"""Job records: what was asked, how far it is, and every event, on disk from the first moment."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from wetgate.io.atomic import write_bytes_atomic
from wetgate.model.errors import NoSuchJob
from wetgate.service.discovery import private_directory

State = Literal["queued", "running", "cancelling", "cancelled", "done", "failed", "interrupted"]
OVER: frozenset[str] = frozenset({"cancelled", "done", "failed", "interrupted"})
HEARTBEAT_SECONDS = 1.0
_LINES_AT_ONCE = 1000
_MOST_KEPT = 500
"""Records that a new service takes over; the oldest of jobs that have ended are forgotten."""

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")


@dataclass(slots=True, kw_only=True)
class Record:
    """One job.

    Attributes:
        options: the request as it came. argv: the command line it was turned into.
        created, started, ended: seconds since the epoch.
        done, total: frames. stage: what it is at, in words. fraction: 0-1. eta: seconds left.
        exit_code: of the command line. error: in words, when it did not go well.
        directory: where the frames are. pattern: their name. report: the page.
        frames: numbers to be rendered, as a range expression.
        pid, pid_started: of the child that works on it.
    """

    id: str
    label: str
    options: dict[str, Any]
    argv: list[str]
    client: str = ""
    state: State = "queued"
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    done: int = 0
    total: int = 0
    stage: str = ""
    fraction: float = 0.0
    eta: float | None = None
    exit_code: int | None = None
    error: str | None = None
    directory: str = ""
    pattern: str = ""
    report: str | None = None
    frames: str = ""
    pid: int | None = None
    pid_started: float | None = None

    def public(self) -> dict[str, Any]:
        """Return what clients see."""
        facts = asdict(self)
        for name in ("argv", "pid", "pid_started"):
            del facts[name]
        return facts


@dataclass(slots=True)
class Job:
    """A record with its place on disk and those who follow it.

    Attributes:
        count: number of the last event.
    """

    record: Record
    folder: Path
    count: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events_path(self) -> Path:
        """The events, one JSON object a line."""
        return self.folder / "events.ndjson"

    @property
    def log_path(self) -> Path:
        """Everything the child said, for people."""
        return self.folder / "log.txt"

    def save(self) -> None:
        """Write the record, whole or not at all."""
        text = json.dumps(asdict(self.record), indent=1)
        write_bytes_atomic(self.folder / "job.json", (text + "\n").encode("utf-8", "replace"))

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Add an event to the file and wake those who follow."""
        self.count += 1
        line = json.dumps({"n": self.count, "time": time.time(), "event": event, **facts})
        with open(self.events_path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.wake()

    def wake(self) -> None:
        """Let everybody who follows look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def note(self, text: str) -> None:
        """Add a line to the log of the job."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with open(self.log_path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{stamp} {text.rstrip()}\n")

    def enter(self, state: State) -> None:
        """Change the state: on disk first, then told."""
        self.record.state = state
        self.save()
        self.note(f"state: {state}")
        self.tell("state", {"state": state, "job": self.record.public()})

    async def follow(self, after: int, stopping: asyncio.Event) -> AsyncIterator[bytes]:
        """Yield the events behind number `after` as lines, with heartbeats, until the job is over.

        Whoever reads slowly is not run ahead of: lines are taken from the file as they are sent.
        """
        position = 0
        while True:
            changed, ended = self.changed, self.record.state in OVER
            while lines := _lines_from(self.events_path, position):
                position += sum(map(len, lines))
                for line in lines:
                    if _number_of(line) > after:
                        yield line
            if ended or stopping.is_set():
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
            except asyncio.TimeoutError:
                beat = {"n": self.count, "time": time.time(), "event": "heartbeat"}
                yield (json.dumps(beat) + "\n").encode()


def _lines_from(path: Path, position: int) -> list[bytes]:
    """Return the next whole lines behind a position, at most a thousand."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(position)
        return [line for line in islice(file, _LINES_AT_ONCE) if line.endswith(b"\n")]
    return []


def _number_of(line: bytes) -> int:
    try:
        return int(json.loads(line)["n"])
    except (ValueError, KeyError, TypeError):
        return 0  # a line torn by a kill is sent to nobody


class JobStore:
    """All jobs of a home, the oldest first.

    Jobs that a dead service left unfinished are `interrupted` once this is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = [job for path in folder.iterdir() if (job := _load(path)) is not None]
        found.sort(key=lambda job: job.record.created)
        self.jobs = {job.record.id: job for job in found}
        over = [job for job in self.jobs.values() if job.record.state in OVER]
        for job in over[: max(0, len(self.jobs) - _MOST_KEPT)]:
            self.forget(job)
        for job in self.jobs.values():
            if job.record.state not in OVER:
                job.record.eta, job.record.stage = None, ""
                job.record.ended = time.time()
                job.record.error = "the service ended while this job was not finished"
                job.enter("interrupted")

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self.jobs.values()))

    def get(self, name: str) -> Job:
        """Return a job; raises `NoSuchJob`."""
        job = self.jobs.get(name)
        if job is None:
            raise NoSuchJob(f"no job {name[:80]!r}")
        return job

    def add(self, *, label: str, options: dict[str, Any], client: str, directory: str) -> Job:
        """Make a job; its command line is filled in by the caller before `save`."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        record = Record(
            id=name,
            label=label,
            options=options,
            argv=[],
            client=client,
            created=time.time(),
            directory=directory,
        )
        job = Job(record, private_directory(self._folder / name))
        self.jobs[name] = job
        return job

    def forget(self, job: Job) -> None:
        """Remove the record of a job; frames stay."""
        del self.jobs[job.record.id]
        shutil.rmtree(job.folder, ignore_errors=True)
        job.wake()

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        found = {"queued": 0, "running": 0}
        for job in self.jobs.values():
            found[job.record.state] = found.get(job.record.state, 0) + 1
        return found


def _is_sound(record: Record) -> bool:
    """Whether a record that somebody may have edited has what the service relies on."""
    return (
        isinstance(record.created, (int, float))
        and isinstance(record.options, dict)
        and isinstance(record.argv, list)
        and all(isinstance(word, str) for word in record.argv)
        and record.state in get_args(State)
        and all(isinstance(text, str) for text in (record.label, record.directory, record.frames))
    )


def _load(folder: Path) -> Job | None:
    """Read a job; None for what is none, or is damaged."""
    if not _ID.fullmatch(folder.name):
        return None
    known = {f.name for f in fields(Record)}
    try:
        document = json.loads((folder / "job.json").read_text("utf-8"))
        record = Record(**{k: v for k, v in document.items() if k in known})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if record.id != folder.name or not _is_sound(record):
        return None
    job = Job(record, folder)
    with suppress(FileNotFoundError), open(job.events_path, "rb") as file:
        job.count = max(map(_number_of, file), default=0)
    return job
