"""Where frames may go: never onto a source, never onto another sequence, never half."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.jobs import finals, job, tiny_operators
from support.plates import file_digests, write_plate
from wetgate.io.atomic import is_temp_name
from wetgate.io.formats import read_frame
from wetgate.model.errors import (
    DiskFull,
    InputError,
    OutputError,
    TargetExists,
    VerifyFailed,
)
from wetgate.render import output as output_module
from wetgate.render.events import Event, FrameDone
from wetgate.render.job import run_job, verify_output

_operators = pytest.fixture(autouse=True)(tiny_operators)


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
