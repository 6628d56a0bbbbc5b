"""Replaying an output: the same bytes from the scan and the journal, without any operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fixed import FixedOut, latest, make_fixed, write_fixed
from support.plates import file_digests
from wetgate.model.errors import InputError, OutputError, UsageError
from wetgate.operators import registry
from wetgate.render.fixes.replay import replay, which_way
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.verify import verify_output


@pytest.fixture
def no_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wetgate of a time when none of the operators exists any more."""
    monkeypatch.setattr(registry, "_FACTORIES", {})


@pytest.mark.parametrize("suffix", ["dpx", "exr"])
def test_scan_and_journal_give_the_same_files(
    tmp_path: Path, suffix: str, no_operators: None
) -> None:
    made = make_fixed(tmp_path, [1001, 1002], suffix=suffix)
    chosen = sorted(made.pixels)[::3]
    change_fixes(made.out, Request(ids=chosen))  # what was taken back stays so
    sources, want = file_digests(made.plate), file_digests(made.out)
    report = replay(made.out, tmp_path / "again")
    assert (report.way, report.exit_code) == ("journal", 0)
    assert [(f.number, f.verdict) for f in report.frames] == [(1001, "same"), (1002, "same")]
    assert file_digests(tmp_path / "again") == want
    assert file_digests(made.plate) == sources
    assert verify_output(tmp_path / "again").exit_code == 0
    change_fixes(tmp_path / "again", Request(ids=chosen, apply=True))
    change_fixes(made.out, Request(ids=chosen, apply=True))
    assert file_digests(tmp_path / "again") == file_digests(made.out)


def test_lost_frames_come_back(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    want = file_digests(made.out)
    for name in want:
        (made.out / name).unlink()
    replay(made.out, tmp_path / "again")
    assert file_digests(tmp_path / "again") == want


def test_a_scan_that_has_moved_is_named(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    want = file_digests(made.out)
    made.plate.rename(tmp_path / "vault")
    with pytest.raises(InputError):
        replay(made.out, tmp_path / "again")
    report = replay(made.out, tmp_path / "again", plate=str(tmp_path / "vault"))
    assert report.exit_code == 0
    assert file_digests(tmp_path / "again") == want


def test_another_scan_is_refused_frame_by_frame(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    path = made.plate / made.name(1002)
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)
    report = replay(made.out, tmp_path / "again")
    assert [f.verdict for f in report.frames] == ["same", "failed"]
    assert "scan's frame has the digest" in str(report.frames[1].error)
    assert report.exit_code == 4
    assert sorted(file_digests(tmp_path / "again")) == [made.name(1001)]


def test_missing_tile_data_fails_its_frame_alone(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    next((made.out / ".wetgate/fixes").glob("1001-*")).unlink()
    report = replay(made.out, tmp_path / "again")
    assert [f.verdict for f in report.frames] == ["failed", "same"]
    assert "tile data is gone" in str(report.frames[0].error)


def test_frames_without_fixes_are_passed_through(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    write_fixed(made, 1001, 0, np.random.default_rng(1))
    report = replay(made.out, tmp_path / "again")
    assert [f.verdict for f in report.frames] == ["same"]
    assert file_digests(tmp_path / "again") == file_digests(made.plate)


def test_changes_outside_of_fixes_ask_for_a_render(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001], only_fixes=False)
    way, why = which_way(open_restored(made.out))
    assert (way, "other steps" in why) == ("render", True)
    with pytest.raises(InputError, match="recipe is not on record"):
        replay(made.out, tmp_path / "again")


def test_a_frame_that_the_journal_does_not_know_asks_for_a_render(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    write_fixed(made, 1002, 3, np.random.default_rng(5), journal=False)
    way, why = which_way(open_restored(made.out))
    assert (way, "frame 1002" in why) == ("render", True)


def test_other_samples_are_told_and_not_kept(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    journal = made.out / ".wetgate/fixes.jsonl"
    samples = open_restored(made.out).states()[1001].samples
    journal.write_text(journal.read_text().replace(samples, "xxh128:" + "0" * 32))
    report = replay(made.out, tmp_path / "again")
    assert [f.verdict for f in report.frames] == ["differs"]
    assert report.exit_code == 7
    assert file_digests(tmp_path / "again") == {}


def test_equal_samples_in_other_bytes_are_told(tmp_path: Path) -> None:
    made: FixedOut = make_fixed(tmp_path, [1001], suffix="exr")
    digest = str(latest(made.out)[1001]["digest"])
    other = "xxh128:" + "f" * 32
    for name in ("fixes.jsonl", "manifest.jsonl"):
        path = made.out / ".wetgate" / name
        path.write_text(path.read_text().replace(digest, other))
    report = replay(made.out, tmp_path / "again")
    assert [f.verdict for f in report.frames] == ["same samples"]
    assert report.exit_code == 0
    assert np.array_equal(made.result(1001, tmp_path / "again"), made.result(1001))
    # The journal ties its lines to the bytes of a file: nothing can be taken back here.
    (problem,) = verify_output(tmp_path / "again").problems
    assert "not on record" in str(problem)


def test_a_replay_never_writes_to_the_scan(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    sources = file_digests(made.plate)
    with pytest.raises(OutputError, match="never written"):
        replay(made.out, made.plate)
    assert file_digests(made.plate) == sources


def test_a_replay_over_the_output_itself_is_refused(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    (tmp_path / "link").symlink_to(made.out)
    was = file_digests(made.out)
    with pytest.raises(UsageError, match="the output itself"):
        replay(made.out, tmp_path / "link")
    assert file_digests(made.out) == was
