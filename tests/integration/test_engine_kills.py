"""Killed, stopped or run twice at once: what is there is whole, and the rest is resumable."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest
from support.jobs import KILLS, finals, job, tiny_operators, worker, write_texture
from support.plates import file_digests, write_plate
from wetgate.model.errors import (
    OutputError,
    TargetExists,
    WetgateError,
)
from wetgate.render.events import Event, FrameDone
from wetgate.render.job import run_job, verify_output

_operators = pytest.fixture(autouse=True)(tiny_operators)


# --- kills ----------------------------------------------------------------------------------


def test_resume_after_any_kill_equals_the_unbroken_run(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", range(1, 13), width=320, height=180)
    started = time.monotonic()
    assert worker(plate, tmp_path / "whole", "two").wait() == 0
    takes = time.monotonic() - started
    want = file_digests(tmp_path / "whole")
    rng = random.Random(20)
    out = tmp_path / "out"
    for _ in range(KILLS):
        process = worker(plate, out, "two", "resume")
        time.sleep(rng.uniform(0.4, 1.0) * takes)
        process.kill()
        process.wait()
        for name, content in finals(out).items() if out.exists() else ():
            assert content == want[name], f"{name} is not whole"
    process = worker(plate, out, "two", "resume")
    assert process.wait() == 0, process.stderr and process.stderr.read()
    assert file_digests(out) == want, "no stray temporary, every frame equal"
    assert verify_output(out).exit_code == 0
    assert not list((out / ".wetgate/runs").iterdir())


def test_a_kill_between_record_and_name_is_redone(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    run_job(job(plate, out, "invert"))
    want = file_digests(out)
    (out / "plate.0002.dpx").unlink()  # on record, but the rename never came
    report = run_job(job(plate, out, "invert", resume=True))
    assert [f.status for f in report.frames] == ["skipped", "written"]
    assert file_digests(out) == want


def test_resume_redoes_what_is_not_equal(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 6)), tmp_path / "out"
    run_job(job(plate, out, "invert"))
    want = file_digests(out)
    flipped = bytearray(want["plate.0002.dpx"])
    flipped[-5] ^= 4
    (out / "plate.0002.dpx").write_bytes(flipped)
    (out / "plate.0003.dpx").write_bytes(want["plate.0003.dpx"][:-1])
    write_plate(plate, [4], picture=lambda n: 0 * write_texture(n))
    report = run_job(job(plate, out, "invert", resume=True))
    statuses = {f.number: f.status for f in report.frames}
    assert statuses == {1: "skipped", 2: "written", 3: "written", 4: "written", 5: "skipped"}
    assert file_digests(out)["plate.0002.dpx"] == want["plate.0002.dpx"]
    assert file_digests(out)["plate.0004.dpx"] != want["plate.0004.dpx"]
    # Another strength is another picture: nothing may be kept.
    report = run_job(job(plate, out, "invert", resume=True, strength=0.5))
    assert {f.status for f in report.frames} == {"written"}


def test_a_torn_journal_line_is_skipped_and_mended(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1, 2, 3]), tmp_path / "out"
    run_job(job(plate, out, "invert"))
    path = out / ".wetgate/manifest.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with pytest.raises(TargetExists, match="no journal knows"):
        run_job(job(plate, out, "invert", resume=True))
    (out / "plate.0003.dpx").unlink()  # a kill that tears the line comes before the name
    report = run_job(job(plate, out, "invert", resume=True))
    assert [f.status for f in report.frames] == ["skipped", "skipped", "written"]
    lines = path.read_bytes().split(b"\n")
    whole = [json.loads(line)["frame"] for line in lines if line.endswith(b"}")]
    assert whole[-1] == 3 and len(whole) == 3
    folded = json.loads((out / ".wetgate/manifest.json").read_text("utf-8"))
    assert [f["frame"] for f in folded["frames"]] == [1, 2, 3]


def test_cancel_finishes_the_frame_and_leaves_a_resumable_job(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 30)), tmp_path / "out"
    stop = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, FrameDone) and event.report.number == 4:
            stop.set()

    report = run_job(job(plate, out, "mean"), on_event=watch, cancel=stop)
    assert report.cancelled and report.exit_code == 130
    assert 4 <= len(report.frames) < 12
    assert verify_output(out).good == len(report.frames)
    again = run_job(job(plate, out, "mean", resume=True))
    assert again.exit_code == 0 and len(again.frames) == 29
    assert sum(f.status == "skipped" for f in again.frames) == len(report.frames)


def test_a_stop_is_told_even_when_missing_frames_fill_the_count(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 30)), tmp_path / "out"
    for number in range(10, 25):
        (plate / f"plate.{number:04d}.dpx").unlink()
    stop = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, FrameDone) and event.report.number == 4:
            stop.set()

    report = run_job(job(plate, out, "invert"), on_event=watch, cancel=stop)
    assert len(finals(out)) < 14
    assert report.cancelled and report.exit_code == 130


# --- several writers ------------------------------------------------------------------------


def test_two_writers_of_the_same_job_make_one_result(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", range(1, 21))
    assert worker(plate, tmp_path / "whole", "two").wait() == 0
    out = tmp_path / "out"
    both = [worker(plate, out, "two", "resume") for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0], [p.stderr and p.stderr.read() for p in both]
    assert file_digests(out) == file_digests(tmp_path / "whole")
    lines = (out / ".wetgate/manifest.jsonl").read_bytes().splitlines()
    assert all(json.loads(line)["status"] == "written" for line in lines)
    assert verify_output(out).good == 20


def test_a_live_run_that_writes_otherwise_is_respected(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 6)), tmp_path / "out"
    seen: list[WetgateError] = []

    def intrude(event: Event) -> None:
        if isinstance(event, FrameDone) and not seen:
            try:
                run_job(job(plate, out, "blur", overwrite=True))
            except WetgateError as error:
                seen.append(error)
            other = job(plate, out, "blur", overwrite=True, frames="1")
            with pytest.raises(OutputError, match="is writing frames 1 "):
                run_job(other)

    report = run_job(job(plate, out, "invert"), on_event=intrude)
    assert report.exit_code == 0
    assert "writing frames 1-5 in another way" in str(seen[0])


def test_stale_temporaries_of_dead_runs_are_swept_and_others_stay(tmp_path: Path) -> None:
    from wetgate.io.atomic import temp_name

    plate, out = write_plate(tmp_path / "in", [1]), tmp_path / "out"
    out.mkdir()
    mine = out / temp_name("plate.0009.dpx")
    dead = out / mine.name.replace(f".{os.getpid()}.", ".4194301.")
    for path in (mine, dead):
        path.write_bytes(b"x")
    run_job(job(plate, out))
    assert mine.exists() and not dead.exists()
