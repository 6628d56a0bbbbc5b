"""Everything the service holds while it runs; routes are functions of this."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from wetgate.io.atomic import output_error
from wetgate.model.errors import NotAllowed, WetgateError
from wetgate.model.version import __version__
from wetgate.service.arguments import named_plate, resolve_out, restore_arguments
from wetgate.service.discovery import Home, OnlyOne, new_token
from wetgate.service.jobs import Job, JobStore
from wetgate.service.preview import Segments
from wetgate.service.protocol import (
    AdoptRequest,
    JobRequest,
    PreviewRequest,
    ProbeRequest,
    names_file,
)
from wetgate.service.results import results_of
from wetgate.service.runner import Runner
from wetgate.service.security import PageSessions, Roots
from wetgate.service.warm import WarmChild

_log = logging.getLogger(__name__)

IDLE_SECONDS = 30 * 60.0
_WARM_SECONDS = 120.0
"""How long a warm child is kept that nobody asks."""
_PREVIEW = "preview"
_THUMBNAIL_WIDTH = 256
_PROBE_SECONDS = 60.0
_PLAN_SECONDS = 600.0


class Service:
    """The service of one user.

    Attributes:
        home: where its files are. only: the right to be its service. token: its secret.
        roots: what requests may speak of.
        store: the jobs. runner: what runs them. pages: who may see the review page.
        open_page: turns on the loopback port and returns it; set by the server.
        stopping: set when the service ends.

    Raises:
        ServiceError: another process is the service of that home.
    """

    def __init__(
        self,
        home: Home,
        *,
        roots: Sequence[Path] = (),
        limit: int = 1,
        idle_seconds: float | None = IDLE_SECONDS,
    ) -> None:
        self.home = home
        # Before the jobs are read: to a second service those that run would look unfinished.
        self.only = OnlyOne(home)
        self.token = new_token()
        self.roots = Roots(roots)
        self.store = JobStore(home.jobs)
        self.runner = Runner(self.store, limit=limit, roots=tuple(map(str, self.roots.roots)))
        self.pages = PageSessions()
        self.segments = Segments(home)
        self.started = time.time()
        self.idle_seconds = idle_seconds
        self.stopping = asyncio.Event()
        self.stop_server: Callable[[], None] = lambda: None
        self.open_page: Callable[[], Awaitable[int]] = _no_page
        self._touched = time.monotonic()
        self._following = 0
        self._warm: dict[str, WarmChild] = {}
        self._process = psutil.Process()

    def touch(self) -> None:
        """Note that somebody has called."""
        self._touched = time.monotonic()

    def warm(self, name: str) -> WarmChild:
        """Return the warm child of a name, a new one when there is none."""
        return self._warm.setdefault(name, WarmChild())

    async def probe(self, request: ProbeRequest) -> dict[str, Any]:
        """Say what a plate is."""
        source = await asyncio.to_thread(named_plate, request, self.roots)
        facts = request.model_dump(include={"input_space", "config", "layer"})
        facts |= {"plate": source.plate, "frames": source.frames}
        return await self.warm("probe").ask("probe", facts, seconds=_PROBE_SECONDS)

    async def plan(self, request: JobRequest) -> dict[str, Any]:
        """Say what a job would do and need."""
        options = await asyncio.to_thread(self.resolved, request)
        return await self.warm("plan").ask("plan", {"options": options}, seconds=_PLAN_SECONDS)

    async def preview(self, request: PreviewRequest) -> dict[str, Any]:
        """Make one frame of a job, now, and tell where it can be mapped."""
        options = await asyncio.to_thread(self.resolved, request)
        facts = {
            "options": options,
            "frame": request.frame,
            "kind": request.kind,
            "directory": str(self.segments.directory),
        }
        with self.segments.spares() as spares:
            facts["free"] = [spare.facts() for spare in spares]
            told = await self.warm(_PREVIEW).ask("preview", facts, seconds=_PLAN_SECONDS)
            self.segments.add(told, request.owner_pid)
        return told

    async def thumbnail(self, name: str, frame: int, kind: str) -> bytes:
        """Return a small PNG of a frame of a job."""
        facts = {
            "ask": "view",
            "directory": self.store.get(name).record.directory,
            "number": frame,
            "kind": kind,
            "width": _THUMBNAIL_WIDTH,
        }
        told = await self.warm("page").ask("page", facts, seconds=_PROBE_SECONDS)
        return base64.b64decode(told["png"])

    async def recipes(self) -> dict[str, Any]:
        """List the built-in recipes."""
        return await self.warm("probe").ask("recipes", {}, seconds=_PROBE_SECONDS)

    def resolved(self, request: JobRequest) -> dict[str, Any]:
        """Return the options of a job as the engine takes them, their paths checked."""
        source = named_plate(request, self.roots)
        dropped = {"files", "label", "client", "owner_pid", "frame", "kind"}
        facts = request.model_dump(exclude=dropped)
        facts["plate"] = source.plate
        facts["frames"] = request.frames or source.frames
        beside = _beside(source.plate)  # planned and shown only: nothing is written there
        facts["out"] = resolve_out(request.out, self.roots) if request.out else beside
        for name in ("matte", "holdout", "defects", "decisions"):
            if facts[name] is not None:
                facts[name] = self.roots.resolve(facts[name], name=name)
        if isinstance(facts["recipe"], str) and names_file(facts["recipe"]):
            facts["recipe"] = self.roots.resolve(facts["recipe"], name="recipe")
        return facts

    async def submit(self, request: JobRequest) -> Job:
        """Take a job and queue it."""
        options = request.model_dump(exclude_defaults=True)
        with self._making() as made:
            job = self.store.add(
                label=request.label or str(request.recipe)[:80],
                options=options,
                client=request.client,
                directory=request.out or "",
            )
            made.append(job)
            job.record.argv = await asyncio.to_thread(
                restore_arguments, request, self.roots, job.folder / "recipe.toml"
            )
            self.runner.submit(job)
        return job

    @contextmanager
    def _making(self) -> Iterator[list[Job]]:
        """Take back the jobs that are put into the list, when one cannot be made."""
        made: list[Job] = []
        try:
            yield made
        except BaseException as error:
            for job in made:
                self.store.forget(job)
            if isinstance(error, OSError):
                raise output_error(error, error.filename or self.home.jobs) from error
            raise

    async def adopt(self, request: AdoptRequest) -> Job:
        """List an output that was rendered elsewhere as a job that is done."""
        from wetgate.service.review.adopt import adopted_job

        directory = self.roots.resolve(request.directory, name="directory")
        known: Job | None = next((job for job in self.store if _same_place(job, directory)), None)
        if known is not None:
            return known
        facts = await asyncio.to_thread(adopted_job, directory)
        again = JobRequest.model_validate(facts)
        with self._making() as made:
            job = self.store.add(
                label=request.label or again.label, options=facts, client="", directory=directory
            )
            made.append(job)
            try:
                job.record.argv = await asyncio.to_thread(
                    restore_arguments, again, self.roots, job.folder / "recipe.toml"
                )
            except (WetgateError, OSError) as error:
                # The scan may have gone; the output can be looked at without it.
                job.note(f"cannot be rendered again: {error}")
            found = await asyncio.to_thread(results_of, job.record)
            job.record.done = job.record.total = len(found["frames"])
            job.record.frames = again.frames or ""
            job.record.pattern = Path(again.out or "").name
            job.record.fraction, job.record.ended = 1.0, time.time()
            report = Path(directory) / "report.html"
            job.record.report = str(report) if report.is_file() else None
            job.enter("done")
        return job

    def records(self) -> list[dict[str, Any]]:
        """Return all jobs as clients see them, the oldest first."""
        return [job.record.public() for job in self.store]

    def record(self, name: str) -> dict[str, Any]:
        """Return a job as clients see it; raises `NoSuchJob`."""
        return self.store.get(name).record.public()

    def cancel(self, name: str) -> dict[str, Any]:
        """Stop a job after the frames in work; once more to stop it at once."""
        job = self.store.get(name)
        self.runner.cancel(job)
        return job.record.public()

    async def rerender(self, name: str, decisions: Path) -> dict[str, Any]:
        """Render a job again under verdicts on its fixes; frames they do not touch are kept."""
        job = self.store.get(name)
        path = self.roots.resolve(str(decisions), name="decisions")
        self.runner.resume(job, decisions=path)
        return job.record.public()

    async def page_url(self, job: str | None = None) -> str:
        """Turn on the review page and return an address that opens it once."""
        port = await self.open_page()
        query = {"once": self.pages.issue_once(), **({"job": job} if job else {})}
        return f"http://127.0.0.1:{port}/review?{urlencode(query)}"

    def status(self) -> Mapping[str, Any]:
        """Return how the service is doing."""
        with self._process.oneshot():
            rss, threads = self._process.memory_info().rss, self._process.num_threads()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": time.time() - self.started,
            "jobs": self.store.counts(),
            "rss": rss,
            "fds": _open_files(self._process),
            "threads": max(threads, threading.active_count()),
            "children": sum(child.alive for child in self._warm.values()),
            "idle_shutdown": self.idle_seconds,
        }

    def following(self, step: int) -> None:
        """Count those who follow a job."""
        self._following += step
        self.touch()

    async def tidy(self) -> None:
        """Once a second: end what nobody needs any more, at last the service itself."""
        while not self.stopping.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 1.0)
            self.segments.sweep()
            for name, child in list(self._warm.items()):
                if name == _PREVIEW and self.segments.in_use:
                    continue  # it removes its files when it ends
                if child.idle and time.monotonic() - child.used > _WARM_SECONDS:
                    del self._warm[name]
                    await child.close()
            if self._is_idle():
                _log.info("nobody has called for %g s: ending", self.idle_seconds)
                self.stop_server()

    def _is_idle(self) -> bool:
        if self.idle_seconds is None or self._following or self.runner.busy:
            return False
        return time.monotonic() - self._touched > self.idle_seconds

    async def close(self) -> None:
        """Stop jobs after the frames in work and end all children."""
        self.stopping.set()
        await self.runner.close()
        for child in self._warm.values():
            await child.close()
        self.segments.close()


def _beside(plate: str) -> str:
    """Return where the frames of a plate would go, for who has not decided it yet."""
    folder = plate if os.path.isdir(plate) else os.path.dirname(plate)
    return os.path.join(os.path.dirname(os.path.normpath(folder)), "restored")


def _same_place(job: Job, directory: str) -> bool:
    return bool(job.record.directory) and os.path.realpath(
        job.record.directory
    ) == os.path.realpath(directory)


async def _no_page() -> int:
    raise NotAllowed("this service has no page")


def _open_files(process: psutil.Process) -> int:
    name = "num_fds" if hasattr(process, "num_fds") else "num_handles"
    return int(getattr(process, name)())
