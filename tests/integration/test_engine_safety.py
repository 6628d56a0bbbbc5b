"""What must never happen to an archive: half frames, lost frames, false successes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.plates import file_digests, recipe, register, write_plate
from wetgate.io.atomic import is_temp_name
from wetgate.io.formats import read_frame
from wetgate.model.errors import (
    AnalysisStale,
    DiskFull,
    InputError,
    OutOfMemory,
    OutputError,
    RecipeError,
    SequenceError,
    TargetExists,
    UsageError,
    VerifyFailed,
    WetgateError,
)
from wetgate.render import output as output_module
from wetgate.render.events import Event, FrameDone
from wetgate.render.job import JobOptions, run_job, verify_output

WORKER = Path(__file__).parents[1] / "support" / "job_worker.py"
KILLS = int(os.environ.get("WETGATE_KILLS", "3"))


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from wetgate.operators import registry

    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()


def job(plate: Path, out: Path, *names: str, **options: Any) -> JobOptions:
    return JobOptions(plate=plate, out=out, recipe=recipe(*names), threads=2, **options)


def worker(plate: Path, out: Path, names: str, mode: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(plate), str(out), names, mode],
        stderr=subprocess.PIPE,
        text=True,
    )


def finals(out: Path) -> dict[str, bytes]:
    return {n: c for n, c in file_digests(out).items() if not is_temp_name(n)}


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


def write_texture(number: int) -> Any:
    from support.clips import texture

    return texture(number, 64, 48)


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


# --- bad sources ----------------------------------------------------------------------------


def test_bad_frames_fail_alone_and_by_name(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 8)), tmp_path / "out"
    (plate / "plate.0003.dpx").write_bytes((plate / "plate.0003.dpx").read_bytes()[:-1000])
    (plate / "plate.0005.dpx").unlink()
    (plate / "plate.0006.dpx").write_bytes(b"")
    report = run_job(job(plate, out, "mean"))
    assert report.exit_code == 4
    assert {f.number for f in report.failed} == {3, 5, 6}
    for failed in report.failed:
        assert f"plate.000{failed.number}.dpx" in str(failed.error)
    assert sorted(finals(out)) == [f"plate.000{n}.dpx" for n in (1, 2, 4, 7)]
    # Frame 4 has no usable neighbor, so the mean of it is itself.
    source, got = (read_frame(d / "plate.0004.dpx", 4, color_space="x") for d in (plate, out))
    assert (source.pixels == got.pixels).all()
    assert verify_output(out).exit_code == 7, "a failed frame is no success"
    write_plate(plate, [3, 5, 6])
    assert run_job(job(plate, out, "mean", resume=True)).exit_code == 0
    assert verify_output(out).exit_code == 0


def test_an_operator_that_breaks_its_contract_fails_the_frame(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2])
    report = run_job(job(plate, tmp_path / "out", "broken"))
    assert report.exit_code == 4 and "returned float32 (1, 1, 3)" in str(report.failed[0].error)


def test_nothing_to_read_is_said_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    with pytest.raises(SequenceError):
        run_job(job(tmp_path / "in", out))
    (tmp_path / "in/plate.0001.dpx").write_bytes(b"SDPX" + bytes(100))
    with pytest.raises(InputError, match=r"plate\.0001\.dpx"):
        run_job(job(tmp_path / "in", out))
    plate = write_plate(tmp_path / "good", [1, 2])
    with pytest.raises(UsageError, match="none of the frames 7"):
        run_job(job(plate, out, frames="7-9"))
    assert not out.exists()


def test_a_frame_asked_for_and_absent_fails_by_name(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2])
    report = run_job(job(plate, tmp_path / "out", frames="2-3"))
    assert report.exit_code == 4
    assert [(f.number, f.status) for f in report.frames] == [(3, "failed"), (2, "passed-through")]


# --- targets --------------------------------------------------------------------------------


def test_an_existing_target_is_refused_without_a_word(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    out.mkdir()
    (out / "plate.0002.dpx").write_bytes(b"precious")
    with pytest.raises(TargetExists, match=r"1 frames are already there.*--overwrite"):
        run_job(job(plate, out))
    with pytest.raises(TargetExists, match="no journal knows"):
        run_job(job(plate, out, resume=True))
    assert (out / "plate.0002.dpx").read_bytes() == b"precious"
    assert TargetExists.exit_code == 2
    assert run_job(job(plate, out, overwrite=True)).exit_code == 0
    with pytest.raises(TargetExists):
        run_job(job(plate, out))


def test_sources_are_never_written_to(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2])
    before = file_digests(plate)
    link = tmp_path / "link"
    link.symlink_to(plate, target_is_directory=True)
    for out in (plate, plate / "below", link, link / "below", plate / "new.%04d.dpx"):
        with pytest.raises(OutputError, match="directory of the source"):
            run_job(job(plate, out, overwrite=True))
    # A link at a target name is replaced; what it points to stays.
    out = tmp_path / "out"
    out.mkdir()
    (out / "plate.0001.dpx").symlink_to(plate / "plate.0001.dpx")
    run_job(job(plate, out, "invert", overwrite=True))
    assert file_digests(plate) == before and not (out / "plate.0001.dpx").is_symlink()


def test_two_sequences_do_not_share_a_directory(tmp_path: Path) -> None:
    first, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    second = tmp_path / "second"
    second.mkdir()
    for number in (1, 2):
        shutil.copy(first / f"plate.000{number}.dpx", second / f"other.000{number}.dpx")
    run_job(job(first, out, "invert"))
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(TargetExists, match=r"another restored sequence.*plate\.0001\.dpx"):
            run_job(job(second, out, "invert", **options))
    assert verify_output(out).good == 2
    # What only has a like number in the journal is still somebody else's file.
    (out / "plate.0001.dpx").unlink()
    (out / "plate.0002.dpx").unlink()
    (out / "other.0002.dpx").write_bytes(b"precious")
    with pytest.raises(TargetExists, match="no journal knows"):
        run_job(job(second, out, "invert", resume=True))


def test_frames_that_are_links_are_not_written_where_they_lead(tmp_path: Path) -> None:
    originals = write_plate(tmp_path / "originals", [1, 2])
    plate = write_plate(tmp_path / "in", [1])
    (plate / "plate.0002.dpx").symlink_to(originals / "plate.0002.dpx")
    before = file_digests(originals)
    for out in (originals, originals / "below"):
        with pytest.raises(OutputError, match="leads there"):
            run_job(job(plate, out, "invert", overwrite=True))
    assert file_digests(originals) == before and not (originals / ".wetgate").exists()


def test_records_do_not_follow_a_link_into_the_source(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1]), tmp_path / "out"
    out.mkdir()
    (out / ".wetgate").symlink_to(plate, target_is_directory=True)
    with pytest.raises(OutputError, match="directory of the source"):
        run_job(job(plate, out))
    assert [p.name for p in plate.iterdir()] == ["plate.0001.dpx"]


def test_a_frame_unlike_the_others_is_told(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 8)), tmp_path / "out"
    write_plate(plate, [3], width=80, height=30)
    write_plate(plate, [5], sample_type="uint16")
    report = run_job(job(plate, out, "mean"))
    assert report.exit_code == 0
    told = {f.number: f.warnings for f in report.frames if f.warnings}
    assert list(told) == [3, 5]
    assert "80 x 30" in told[3][0] and "64 x 48" in told[3][0]
    assert "uint16" in told[5][0] and "uint10" in told[5][0]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user that modes can stop"
)
def test_a_read_only_directory_is_a_clear_error(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1]), tmp_path / "out"
    out.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="may write to"):
        run_job(job(plate, out))


def test_a_target_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        run_job(job(plate, tmp_path / "file" / "out"))
    assert caught.value.exit_code == 5


def _tmpfs(folder: Path, options: str) -> None:
    """Mount a RAM disk or skip."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a RAM disk needs root on Linux")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this system does not let tests mount a RAM disk")


@pytest.fixture
def ram_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "ram"
    folder.mkdir()
    _tmpfs(folder, "size=3m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_disk_is_a_clear_error(ram_disk: Path, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1])
    subprocess.run(["mount", "-o", "remount,ro", str(ram_disk)], check=True)
    with pytest.raises(OutputError, match=r"Read-only file system.*may write to") as caught:
        run_job(job(plate, ram_disk / "out"))
    assert caught.value.exit_code == 5


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    ram_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = write_plate(tmp_path / "in", range(1, 30), width=256, height=256)
    out = ram_disk / "out"
    with pytest.raises(DiskFull, match="MB are free"):
        run_job(job(plate, out, "invert"))
    assert not finals(out), "refused before the first frame"
    # Let the estimate be wrong and the reserve be nothing: the disk itself must say no.
    monkeypatch.setattr(output_module, "RESERVE_BYTES", -(1 << 40))
    monkeypatch.setattr("wetgate.render.job._check_room", lambda *_: None)
    with pytest.raises(DiskFull):
        run_job(job(plate, out, "invert"))
    done = finals(out)
    assert 5 <= len(done) < 29
    assert not [p for p in out.iterdir() if is_temp_name(p.name)]
    for name in done:
        read_frame(out / name, 1, color_space="x")
    (tmp_path / "more").mkdir()
    shutil.copytree(out, tmp_path / "more/out")
    assert run_job(job(plate, tmp_path / "more/out", "invert", resume=True)).exit_code == 0
    run_job(job(plate, tmp_path / "whole", "invert"))
    assert file_digests(tmp_path / "more/out") == file_digests(tmp_path / "whole")


def test_a_disk_full_to_the_last_byte_is_still_a_clear_error(
    ram_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 30)), ram_disk / "out"
    hog = ram_disk / "hog"

    def fill(event: Event) -> None:
        if isinstance(event, FrameDone) and not hog.exists():
            with hog.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(512)):
                    pass

    monkeypatch.setattr(output_module, "RESERVE_BYTES", 0)
    with pytest.raises(DiskFull):
        run_job(job(plate, out, "invert"), on_event=fill)
    hog.unlink()
    assert not [p for p in out.rglob("*") if is_temp_name(p.name)]
    report = run_job(job(plate, out, "invert", resume=True))
    assert report.exit_code == 0 and len(finals(out)) == 29


def test_the_run_stops_at_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 10)), tmp_path / "out"
    left = iter([1 << 30] * 3)
    monkeypatch.setattr(output_module, "free_bytes", lambda _: next(left, 1 << 20))
    with pytest.raises(DiskFull, match="1 MB are free") as caught:
        run_job(job(plate, out, "invert"))
    assert caught.value.exit_code == 5
    assert len(finals(out)) == 3 and verify_output(out).good == 3


def test_what_reads_back_wrong_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wetgate.io.formats as formats

    plate, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    honest = formats.write_frame

    def flip(frame: Any, path: Path, **options: Any) -> None:
        honest(frame, path, **options)
        if frame.number == 2:
            content = bytearray(path.read_bytes())
            content[-9] ^= 16
            path.write_bytes(content)

    monkeypatch.setattr(formats, "write_frame", flip)
    for names in ((), ("invert",)):
        report = run_job(job(plate, out, *names, overwrite=True))
        assert report.exit_code == VerifyFailed.exit_code == 7
        assert [f.status for f in report.frames][1] == "failed"
        assert set(finals(out)) == {"plate.0001.dpx"}
        shutil.rmtree(out)


def test_verify_finds_every_kind_of_damage(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 6)), tmp_path / "out"
    run_job(job(plate, out, "invert"))
    assert verify_output(out).exit_code == 0 and verify_output(out).good == 5
    content = bytearray((out / "plate.0001.dpx").read_bytes())
    content[3000] ^= 1
    (out / "plate.0001.dpx").write_bytes(content)
    (out / "plate.0002.dpx").write_bytes(b"")
    (out / "plate.0003.dpx").unlink()
    report = verify_output(out)
    assert (report.exit_code, report.good, len(report.problems)) == (7, 2, 3)
    with pytest.raises(InputError, match="no record"):
        verify_output(tmp_path)


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


# --- refusals before the first frame --------------------------------------------------------


@pytest.mark.parametrize("policy", ["archival", "forensic"])
def test_a_policy_refuses_a_step_before_the_first_frame(policy: Any, tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1]), tmp_path / "out"
    with pytest.raises(RecipeError, match=f"painter.*class 5.*{policy}"):
        run_job(job(plate, out, "blur", "painter", policy=policy))
    assert not out.exists()
    assert run_job(job(plate, out, "blur", policy=policy)).exit_code == 0


def test_too_small_a_budget_is_refused_with_the_figure(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1])
    with pytest.raises(OutOfMemory, match="--memory") as caught:
        run_job(job(plate, tmp_path / "out", "blur", memory=1 << 20))
    assert caught.value.exit_code == 5


def test_a_named_analysis_must_be_there_and_fresh(tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", range(1, 9)), tmp_path / "out"
    shared = tmp_path / "whole/.wetgate/analysis.json"
    with pytest.raises(AnalysisStale, match="no analysis"):
        run_job(job(plate, out, "paired", analysis_path=shared))
    run_job(job(plate, tmp_path / "whole", "paired"))
    chunk = run_job(job(plate, out, "paired", frames="3-4", analysis_path=shared))
    assert chunk.exit_code == 0
    whole = file_digests(tmp_path / "whole")
    assert all(whole[n] == c for n, c in file_digests(out).items())
    with pytest.raises(AnalysisStale, match="another recipe"):
        run_job(job(plate, out, "mean", frames="5", analysis_path=shared))
    later = os.stat(plate / "plate.0007.dpx").st_mtime_ns + 10**9
    os.utime(plate / "plate.0007.dpx", ns=(later, later))  # touched, same content
    assert run_job(job(plate, out, "paired", frames="5", analysis_path=shared)).exit_code == 0
    write_plate(plate, [7], picture=lambda n: 0 * write_texture(n))
    with pytest.raises(AnalysisStale, match="changed since"):
        run_job(job(plate, out, "paired", frames="6", analysis_path=shared))
    text = shared.read_text("utf-8").replace('"count": 8', '"count": 9')
    shared.write_text(text, "utf-8")
    with pytest.raises(AnalysisStale, match="edited"):
        run_job(job(plate, out, "paired", frames="6", analysis_path=shared))
    for bad in ("{", "[]", '{"schema": "wetgate.analysis/9"}', '{"schema": "wetgate.analysis/1"}'):
        shared.write_text(bad, "utf-8")
        with pytest.raises(AnalysisStale):
            run_job(job(plate, out, "paired", frames="6", analysis_path=shared))


def test_a_plan_touches_nothing(tmp_path: Path) -> None:
    from wetgate.render.job import plan_job

    plate, out = write_plate(tmp_path / "in", range(1, 9)), tmp_path / "out"
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    plan = plan_job(job(plate, out, "two", "paired"))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert plan.frames == tuple(range(1, 9)) and plan.temporal_radius == 4
    assert plan.needs_analysis and plan.provenance == 3
    assert plan.disk_bytes >= 8 * (plate / "plate.0001.dpx").stat().st_size
    assert plan.peak_memory <= plan.memory_budget
