"""Taking fixes back: the scan's bits in their pixels, not a bit elsewhere, and all on record."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from support.exr_oracle import differences
from support.fixed import FixedOut, latest, make_fixed, write_fixed
from support.plates import file_digests
from wetgate.io.atomic import digest_file
from wetgate.model.errors import (
    FrameReadError,
    InputError,
    OutputError,
    TargetExists,
    UsageError,
    VerifyFailed,
    WetgateError,
)
from wetgate.render.fixes import revert as revert_module
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.verify import verify_output

FRAMES = range(1001, 1005)


def header_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: int.from_bytes(data[4:8], "big")]


@pytest.mark.parametrize("suffix", ["dpx", "exr"])
def test_a_hundred_random_fixes_give_back_the_scan_and_change_nothing_else(
    tmp_path: Path, suffix: str
) -> None:
    made = make_fixed(tmp_path, FRAMES, suffix=suffix, each=30)
    sources = file_digests(made.plate)
    chosen = random.Random(7).sample(sorted(made.pixels), 100)
    want = {n: made.result(n) for n in FRAMES}
    heads = {n: header_of(made.out / made.name(n)) for n in FRAMES} if suffix == "dpx" else {}
    before = {n: (made.out / made.name(n)).read_bytes() for n in FRAMES}
    for name in chosen:
        rows, columns = made.pixels[name]
        number = int(name.split("-")[1])
        assert (want[number][rows, columns] != made.scan(number)[rows, columns]).any(-1).all()
        want[number][rows, columns] = made.scan(number)[rows, columns]
    for start in range(0, 100, 50):  # in several goes, each over what the one before left
        change_fixes(made.out, Request(ids=chosen[start : start + 50]))
    for number in FRAMES:
        assert np.array_equal(made.result(number), want[number])
        if suffix == "dpx":
            assert header_of(made.out / made.name(number)) == heads[number]
        else:
            old = tmp_path / "old.exr"
            old.write_bytes(before[number])
            found = differences(old, made.out / made.name(number))
            assert all("samples of" in text for text in found)
    report = verify_output(made.out)
    assert (report.good, report.problems) == (len(FRAMES), ())
    assert file_digests(made.plate) == sources
    again = change_fixes(made.out, Request(ids=chosen, apply=True))
    assert sum(len(c.fixes) for c in again) == 100
    assert {n: (made.out / made.name(n)).read_bytes() for n in FRAMES} == before


def test_every_fix_of_a_frame_taken_back_leaves_the_scan(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    (changed,) = change_fixes(made.out, Request(ids=sorted(made.pixels)))
    assert changed.pixels == sum(len(rows) for rows, _ in made.pixels.values())
    assert (made.out / made.name(1001)).read_bytes() == (made.plate / made.name(1001)).read_bytes()
    record = latest(made.out)[1001]
    assert record["status"] == "passed-through"
    assert (record["changed"], record["classes"], record["max_change"]) == (0, {}, 0)
    assert f"{len(made.pixels)} fixes taken back" in str(record["notes"])


def test_the_manifest_counts_what_is_left(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    name = max(made.pixels, key=lambda n: len(made.pixels[n][0]))
    change_fixes(made.out, Request(ids=[name]))
    left = (made.result(1001) != made.scan(1001)).any(-1)
    record = latest(made.out)[1001]
    assert record["changed"] == pytest.approx(left.mean(), abs=1e-12)
    assert record["classes"] == {"4": pytest.approx(left.mean(), abs=1e-12)}
    apart = np.abs(made.result(1001).astype(int) - made.scan(1001)).max() / 1023
    assert record["max_change"] == pytest.approx(apart, abs=1e-6)
    folded = json.loads((made.out / ".wetgate" / "manifest.json").read_text())
    assert folded["frames"] == [record]
    assert folded["job"]["call"]["plate"]


def test_a_reverted_fix_is_on_record_with_who_and_why(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    name = sorted(made.pixels)[0]
    was = digest_file(made.out / made.name(1001))
    change_fixes(made.out, Request(ids=[name], by="A. Curator", note="it is a bird"))
    line = json.loads((made.out / ".wetgate/fixes.jsonl").read_text().splitlines()[-1])
    assert line["event"] == "revert"
    assert (line["fixes"], line["by"], line["note"]) == ([name], "A. Curator", "it is a bird")
    assert line["before"] == was
    assert line["output"] == digest_file(made.out / made.name(1001))
    (again,) = change_fixes(made.out, Request(ids=[name]))
    assert (again.fixes, again.already, again.pixels) == ((), (name,), 0)
    assert (made.out / ".wetgate/fixes.jsonl").read_text().splitlines()[-1] == json.dumps(
        line, sort_keys=True, separators=(",", ":")
    )


def test_another_directory_leaves_the_output_as_it_is(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    was = file_digests(made.out)
    other = tmp_path / "other"
    one, two = [n for n in sorted(made.pixels) if "-1001-" in n][:2]
    change_fixes(made.out, Request(ids=[one], out=other))
    change_fixes(made.out, Request(ids=[two], out=other))  # over what the first has left there
    assert file_digests(made.out) == was
    want = made.result(1001)
    for name in (one, two):
        want[made.pixels[name]] = made.scan(1001)[made.pixels[name]]
    assert np.array_equal(made.result(1001, other), want)
    assert sorted(p.name for p in other.iterdir() if p.is_file()) == [made.name(1001)]
    assert verify_output(other).exit_code == 0
    change_fixes(other, Request(ids=[one, two], apply=True))
    assert np.array_equal(made.result(1001, other), made.result(1001))


def test_frames_of_others_and_sources_are_never_written(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    name = sorted(made.pixels)[0]
    sources = file_digests(made.plate)
    with pytest.raises(OutputError, match="never written"):
        change_fixes(made.out, Request(ids=[name], out=made.plate))
    assert file_digests(made.plate) == sources
    assert not (made.plate / ".wetgate").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / made.name(1001)).write_bytes(b"mine")
    with pytest.raises(TargetExists):
        change_fixes(made.out, Request(ids=[name], out=other))
    assert (other / made.name(1001)).read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        (lambda n: n.replace("dirt", "dust"), lambda n: n),
        (lambda n: n + "9", lambda n: n),
        (lambda n: n[:-1], None),
        (lambda n: "nonsense", None),
        (lambda n: "", None),
    ],
)
def test_an_unknown_id_is_refused_with_the_nearest(tmp_path: Path, wrong, meant) -> None:  # type: ignore[no-untyped-def]
    made = make_fixed(tmp_path, [1001], each=1)
    (name,) = made.pixels
    with pytest.raises(UsageError, match="no fix") as caught:
        change_fixes(made.out, Request(ids=[wrong(name)]))
    if meant is not None:
        assert f"did you mean {meant(name)!r}" in str(caught.value)


def test_a_fix_that_was_left_alone_says_why(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    fixes = open_restored(made.out).all_fixes()
    idle = next(name for name, fix in fixes.items() if not fix.applied)
    with pytest.raises(UsageError, match="left alone: below the threshold"):
        change_fixes(made.out, Request(ids=[idle]))


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_missing_or_damaged_tile_data_is_said_and_nothing_changes(
    tmp_path: Path, damage: str
) -> None:
    made = make_fixed(tmp_path, [1001])
    (tiles,) = (made.out / ".wetgate/fixes").iterdir()
    content = tiles.read_bytes()
    if damage == "gone":
        tiles.unlink()
    else:
        tiles.write_bytes(content[:-40] if damage == "cut" else content[:60] + b"x" + content[61:])
    was = file_digests(made.out)
    with pytest.raises(FrameReadError, match="tile data") as caught:
        change_fixes(made.out, Request(ids=[sorted(made.pixels)[0]]))
    assert caught.value.frame == 1001
    assert file_digests(made.out) == was
    report = verify_output(made.out)
    assert (report.good, report.exit_code) == (1, 7)
    assert ["tile data" in str(problem) for problem in report.problems] == [True]


def test_a_frame_changed_by_another_hand_is_left_alone(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    path = made.out / made.name(1001)
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    with pytest.raises(VerifyFailed, match="journal of fixes"):
        change_fixes(made.out, Request(ids=[sorted(made.pixels)[0]]))
    assert path.read_bytes() == bytes(data)


def test_a_directory_without_fixes_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record"):
        change_fixes(tmp_path, Request(ids=["dirt-1-2-3"]))
    made = make_fixed(tmp_path, [1001])
    (made.out / ".wetgate/fixes.jsonl").unlink()
    with pytest.raises(InputError, match="no journal of fixes"):
        change_fixes(made.out, Request(ids=["dirt-1-2-3"]))


class Killed(Exception):
    """Stands for a kill: nothing catches it, and nothing cleans up behind it."""


@pytest.mark.parametrize("after", ["journal", "manifest"])
def test_a_kill_in_the_middle_is_made_good_by_the_next_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    made = make_fixed(tmp_path, [1001])
    name, other = sorted(made.pixels)[:2]
    was = made.result(1001)
    with monkeypatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise Killed

        if after == "journal":
            patch.setattr(revert_module.Journal, "append", die)
        else:
            patch.setattr("wetgate.io.atomic.AtomicFile.commit", die)
        with pytest.raises(Killed):
            change_fixes(made.out, Request(ids=[name]))
    assert np.array_equal(made.result(1001), was)
    change_fixes(made.out, Request(ids=[name, other]))
    for fix in (name, other):
        was[made.pixels[fix]] = made.scan(1001)[made.pixels[fix]]
    assert np.array_equal(made.result(1001), was)
    assert verify_output(made.out).exit_code == 0


def test_a_kill_right_after_the_name_is_given_leaves_the_manifest_right(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    name = sorted(made.pixels)[0]
    lines = (made.out / ".wetgate/manifest.jsonl").read_bytes()
    change_fixes(made.out, Request(ids=[name]))
    (made.out / ".wetgate/manifest.jsonl").write_bytes(lines)  # as if its line had been lost
    assert verify_output(made.out).exit_code == 7
    (changed,) = change_fixes(made.out, Request(ids=[name]))
    assert changed.already == (name,)
    assert verify_output(made.out).exit_code == 0


def test_a_new_render_begins_anew_and_drops_old_tile_data(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 11001])
    old = sorted(made.pixels)
    change_fixes(made.out, Request(ids=[n for n in old if "-1001-" in n]))
    made.pixels.clear()
    write_fixed(made, 1001, 5, np.random.default_rng(99))
    names = [p.name for p in (made.out / ".wetgate/fixes").iterdir()]
    assert sorted(n.split("-")[0] for n in names) == ["1001", "11001"]
    state = open_restored(made.out).states([1001])[1001]
    assert (state.reverted, state.changes) == (frozenset(), ())
    assert {n for n, fix in state.fixes.items() if fix.pixels} == set(made.pixels)
    change_fixes(made.out, Request(ids=[sorted(made.pixels)[0]]))
    assert verify_output(made.out).exit_code == 0


def test_a_live_render_of_the_frame_keeps_fixes_from_being_taken_back(tmp_path: Path) -> None:
    from wetgate.io.ranges import FrameRange
    from wetgate.render.locking import claim_frames

    made: FixedOut = make_fixed(tmp_path, [1001])
    (made.out / ".wetgate/runs").mkdir(exist_ok=True)
    claim = claim_frames(made.out / ".wetgate", FrameRange.from_str("1001"), "a render")
    with pytest.raises(WetgateError, match="is writing frames 1001"):
        change_fixes(made.out, Request(ids=[sorted(made.pixels)[0]]))
    claim.drop()
    assert change_fixes(made.out, Request(ids=[sorted(made.pixels)[0]]))[0].fixes
