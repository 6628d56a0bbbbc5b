"""A name holds a whole file or none, whatever happens to the writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import xxhash
from wetgate.io.atomic import (
    AtomicFile,
    digest_bytes,
    digest_file,
    free_bytes,
    is_temp_name,
    sweep_stale,
    temp_name,
    write_bytes_atomic,
)
from wetgate.model.errors import FrameReadError, OutputError


def test_the_target_appears_at_commit_only(tmp_path: Path) -> None:
    target = tmp_path / "frame.exr"
    with AtomicFile(target) as atomic:
        atomic.temp.write_bytes(b"new")
        assert not target.exists()
        assert atomic.temp.parent == tmp_path
        atomic.commit()
        assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["frame.exr"]


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "frame.exr"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), AtomicFile(target) as atomic:
        atomic.temp.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["frame.exr"]


def test_a_committed_file_takes_no_second_commit(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / "a") as atomic:
        atomic.commit()
        with pytest.raises(ValueError, match="already"):
            atomic.commit()


def test_a_missing_directory_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        write_bytes_atomic(tmp_path / "absent" / "a", b"x")


@pytest.mark.skipif(os.name == "nt", reason="a link needs rights on Windows")
def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(outside)
    write_bytes_atomic(link, b"new")
    assert outside.read_bytes() == b"precious"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced on Windows")
def test_a_temporary_swapped_for_another_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with AtomicFile(target) as atomic:
        other = tmp_path / "other"
        other.write_bytes(b"evil")
        os.replace(other, atomic.temp)
        with pytest.raises(OutputError, match="replaced by another file"):
            atomic.commit()
    assert os.listdir(tmp_path) == []


def test_the_longest_names_have_room(tmp_path: Path) -> None:
    name = "ü" * 120 + ".exr"
    assert len(os.fsencode(temp_name(name))) <= 255
    write_bytes_atomic(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]


def test_only_temporaries_of_the_dead_are_swept(tmp_path: Path) -> None:
    mine = tmp_path / temp_name("a.exr")
    head, _, tail = mine.name.rpartition(f".{os.getpid()}.")
    host = head.rpartition(".")[2]
    made = subprocess.run(
        [sys.executable, "-c", "from wetgate.io.atomic import temp_name; print(temp_name('a'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    dead = tmp_path / made.stdout.strip()
    reused = (
        tmp_path / f"{head}.{os.getpid()}.{int(time.time() * 1000) - 9_000_000:x}-ab.wetgate-tmp"
    )
    foreign = tmp_path / mine.name.replace(f".{host}.", ".other-host.").replace(
        f".{os.getpid()}.", ".999999."
    )
    strange = tmp_path / ".a.tmp"
    assert tail
    for path in (mine, dead, reused, foreign, strange):
        path.write_bytes(b"x")
        assert is_temp_name(path.name) == (path != strange)
    assert set(sweep_stale(tmp_path)) == {dead, reused}
    assert {p.name for p in tmp_path.iterdir()} == {mine.name, foreign.name, strange.name}


_TORTURE = """
import sys
from pathlib import Path
from wetgate.io.atomic import write_bytes_atomic
directory, n = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    write_bytes_atomic(directory / f"f.{n % 4}", bytes([n % 251]) * 3_000_000)
    n += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_kill_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    left = 0
    for delay in (0.0, 0.003, 0.01, 0.02, 0.031, 0.047):
        child = subprocess.Popen(
            [sys.executable, "-c", _TORTURE, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.05 + delay)
        child.kill()
        child.wait()
        child.stdout.close()
        assert not psutil.pid_exists(child.pid)
        for path in tmp_path.glob("f.*"):
            data = path.read_bytes()
            assert len(data) == 3_000_000
            assert data.count(data[:1]) == 3_000_000
        left += len(sweep_stale(tmp_path))
        assert not [p for p in tmp_path.iterdir() if is_temp_name(p.name)]
    assert left > 0, "no kill came in the middle of a write, so nothing was proved"


def test_digests_are_those_of_xxh3(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "a").write_bytes(data)
    expected = f"xxh128:{xxhash.xxh3_128(data).hexdigest()}"
    assert digest_file(tmp_path / "a") == digest_bytes(data) == expected
    # the published value for no bytes at all
    assert digest_bytes(b"") == "xxh128:99aa06d3014798d86001c324468d497f"
    with pytest.raises(FrameReadError, match="No such file"):
        digest_file(tmp_path / "absent")


def test_free_space_is_that_of_the_volume(tmp_path: Path) -> None:
    expected = psutil.disk_usage(str(tmp_path)).free
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(expected, rel=0.05)
