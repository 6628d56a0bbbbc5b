"""The runner where timing decides: what happens while the process of a job is being started."""

from __future__ import annotations

import asyncio
import errno
import gc
from asyncio.subprocess import Process
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from wetgate.model.errors import DiskFull
from wetgate.service import jobs as jobs_module
from wetgate.service import runner as runner_module
from wetgate.service.discovery import Home
from wetgate.service.jobs import Job, JobStore
from wetgate.service.protocol import JobRequest
from wetgate.service.runner import Runner
from wetgate.service.state import Service


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    return found


def start_slowly(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> list[Process]:
    """Let something happen between the start of a process and its being known."""
    begun: list[Process] = []
    real = asyncio.create_subprocess_exec

    async def slow(*words: Any, **options: Any) -> Process:
        process = await real(*words, **options)
        begun.append(process)
        meanwhile()
        return process

    monkeypatch.setattr(runner_module.asyncio, "create_subprocess_exec", slow)
    return begun


def a_job(store: JobStore) -> Job:
    job = store.add(label="", options={}, client="", directory="")
    job.record.argv = ["/none/a.%04d.exr", "--out=/none/out"]
    return job


async def run_out(runner: Runner) -> None:
    async def empty() -> None:
        while runner._running:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(empty(), 30)


@pytest.mark.parametrize("forget", [False, True])
def test_a_job_cancelled_while_it_is_started_stays_cancelled(
    home: Home, monkeypatch: pytest.MonkeyPatch, forget: bool
) -> None:
    async def work() -> None:
        store = JobStore(home.jobs)
        runner, job = Runner(store), a_job(store)

        def meanwhile() -> None:
            runner.cancel(job)
            if forget:
                store.forget(job)

        begun = start_slowly(monkeypatch, meanwhile)
        runner.submit(job)
        await run_out(runner)
        assert job.record.state == "cancelled" and job.record.exit_code is None
        assert len(begun) == 1 and begun[0].returncode is not None

    asyncio.run(work())


def test_a_service_that_ends_while_a_job_is_started_does_not_wait_for_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        store = JobStore(home.jobs)
        runner, job = Runner(store), a_job(store)
        closing: list[asyncio.Task[None]] = []
        # A child that ends when its input does, and not before.
        monkeypatch.setattr(runner_module, "CHILD", "wetgate.service.looker")
        begun = start_slowly(
            monkeypatch, lambda: closing.append(asyncio.ensure_future(runner.close(30)))
        )
        runner.submit(job)
        await asyncio.wait_for(run_out(runner), 15)
        await closing[0]
        assert begun[0].returncode == 0

    asyncio.run(work())


def test_a_job_that_cannot_be_written_down_is_not_taken(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    async def work() -> None:
        service = Service(home)
        request = JobRequest(plate="/none/a.%04d.exr", out="/none/out")
        try:
            with monkeypatch.context() as patch:
                patch.setattr(Job, "note", _raise(full))
                with pytest.raises(DiskFull, match="No space left"):
                    await service.submit(request)
            with monkeypatch.context() as patch:
                patch.setattr(jobs_module, "private_directory", _raise(full))
                with pytest.raises(DiskFull, match="No space left"):
                    await service.submit(request)
            assert not list(service.store) and not service.runner.busy
            assert not list(home.jobs.iterdir())
        finally:
            await service.close()
            service.only.release()

    asyncio.run(work())


def test_a_job_that_cannot_be_resumed_stays_as_it_was(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    async def work() -> None:
        store = JobStore(home.jobs)
        runner, job = Runner(store), a_job(store)
        runner.submit(job)
        await run_out(runner)
        before = asdict(job.record)
        assert before["state"] == "failed" and before["error"]
        with monkeypatch.context() as patch:
            patch.setattr(Job, "note", _raise(full))
            with pytest.raises(OSError, match="No space left"):
                runner.resume(job)
        assert asdict(job.record) == before and not runner.busy
        runner.resume(job)  # there is room again
        await run_out(runner)
        assert job.record.started != before["started"]

    asyncio.run(work())


def test_a_job_that_ends_while_the_disk_is_full_ends(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(facts))
        store = JobStore(home.jobs)
        runner, job, after = Runner(store), a_job(store), a_job(store)
        runner.submit(job)
        runner.submit(after)
        note = Job.note

        def full(this: Job, text: str) -> None:
            if this is job:
                raise OSError(errno.ENOSPC, "No space left on device")
            note(this, text)

        monkeypatch.setattr(Job, "note", full)
        await run_out(runner)
        assert job.record.state == "failed" and "No space left" in str(job.record.error)
        assert after.record.state == "failed" and after.record.exit_code is not None
        gc.collect()

    asyncio.run(work())
    assert not told


def test_a_job_that_is_still_being_made_is_not_started(home: Home) -> None:
    async def work() -> None:
        store = JobStore(home.jobs)
        runner, unmade, job = Runner(store), a_job(store), a_job(store)
        runner.submit(job)
        await run_out(runner)
        assert job.record.state == "failed"
        assert unmade.record.state == "queued" and unmade.record.started is None
        runner.submit(unmade)
        await run_out(runner)
        assert unmade.record.state == "failed"

    asyncio.run(work())


def _raise(error: OSError) -> Any:
    def raising(*_: object) -> None:
        raise error

    return raising
