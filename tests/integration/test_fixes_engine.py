"""The chain of custody through the engine: journal, revert, replay and decisions over real jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fixed import latest, raw
from support.plates import file_digests, recipe, register
from support.specks import Specks, write_specks
from wetgate.io.exr_planes import read_planes
from wetgate.model.errors import InputError
from wetgate.render.fixes.replay import replay
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import Verdicts, load_verdicts, save_verdicts
from wetgate.render.job import JobOptions, run_job, verify_output

FRAMES = range(1001, 1004)
WORKER = Path(__file__).parents[1] / "support" / "specks_worker.py"


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from wetgate.operators import registry

    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()
    registry._FACTORIES = {**registry._FACTORIES, "specks": Specks}


def render(plate: Path, out: Path, *names: str, **options: Any) -> Path:
    names = names or ("specks",)
    report = run_job(JobOptions(plate=plate, out=out, recipe=recipe(*names), threads=1, **options))
    assert report.exit_code == 0, [f.error for f in report.failed]
    return out


def frame(folder: Path, number: int) -> Any:
    return raw(next(p for p in folder.iterdir() if f".{number:04d}." in p.name))


def applied(out: Path) -> dict[str, tuple[int, int, int]]:
    """Every fix in force, and the pixel that it is."""
    return {
        name: (fix.frame, *fix.anchor)
        for name, fix in open_restored(out).all_fixes().items()
        if fix.pixels
    }


def test_a_journal_that_is_gone_is_told(tmp_path: Path) -> None:
    out = render(write_specks(tmp_path / "in", FRAMES), tmp_path / "out")
    (out / ".wetgate/fixes.jsonl").unlink()
    problems = verify_output(out).problems
    assert {p.frame for p in problems} == set(FRAMES)
    assert all("not on record" in str(p) for p in problems)


@pytest.mark.parametrize("suffix", ["dpx", "exr"])
def test_the_journal_tells_of_every_pixel_that_differs(tmp_path: Path, suffix: str) -> None:
    plate = write_specks(tmp_path / "in", FRAMES, suffix=suffix)
    out = render(plate, tmp_path / "out")
    fixes = open_restored(out).all_fixes()
    assert len(fixes) == 12 * len(FRAMES)
    for number in FRAMES:
        differs = (frame(plate, number) != frame(out, number)).any(-1)
        told = np.zeros_like(differs)
        for fix in fixes.values():
            if fix.frame == number and fix.pixels:
                told[fix.anchor[1], fix.anchor[0]] = True
        assert np.array_equal(differs, told)
    idle = [fix for fix in fixes.values() if not fix.applied]
    assert {fix.why for fix in idle} == {"below the threshold"}
    assert all(fix.confidence < 0.5 and not fix.digest for fix in idle)


@pytest.mark.parametrize(
    ("suffix", "provenance"), [("dpx", "sidecar"), ("exr", "sidecar"), ("exr", "layers")]
)
def test_fixes_taken_back_leave_pixels_and_planes_true(
    tmp_path: Path, suffix: str, provenance: str
) -> None:
    plate = write_specks(tmp_path / "in", FRAMES, suffix=suffix)
    out = render(plate, tmp_path / "out", provenance=provenance)
    was = file_digests(out)
    planes = file_digests(out / "provenance") if provenance == "sidecar" else {}
    chosen = sorted(applied(out))[::2]
    where = applied(out)
    want = {n: frame(out, n) for n in FRAMES}
    for name in chosen:
        n, x, y = where[name]
        want[n][y, x] = frame(plate, n)[y, x]
    other = tmp_path / "other"
    change_fixes(out, Request(ids=chosen, out=other))
    assert file_digests(out) == was
    assert verify_output(other).problems == ()
    change_fixes(out, Request(ids=chosen))
    assert file_digests(other).items() <= file_digests(out).items()
    for number in FRAMES:
        assert np.array_equal(frame(out, number), want[number])
        differs = (frame(plate, number) != want[number]).any(-1)
        if provenance == "sidecar":
            told = read_planes(out / f"provenance/provenance.{number:04d}.exr")
        else:
            path = next(p for p in out.iterdir() if f".{number:04d}." in p.name)
            told = read_planes(path, prefix="provenance.")
        assert np.array_equal(told["class"] > 0, differs)
        assert np.array_equal(told["fix"] > 0, differs)
        assert np.array_equal(told["source"] != 0, differs)
        assert told["specks.matte"].sum() == 12  # what was found stays told
    assert verify_output(out).problems == ()
    change_fixes(out, Request(ids=chosen, apply=True))
    assert file_digests(out) == was
    if planes:
        assert file_digests(out / "provenance") == planes
    assert verify_output(out).problems == ()


def test_beside_other_steps_a_fix_taken_back_is_the_scan_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = render(plate, tmp_path / "out", "specks", "blur")
    where = applied(out)
    chosen = sorted(where)[::3]
    want = {n: frame(out, n) for n in FRAMES}
    for name in chosen:
        n, x, y = where[name]
        want[n][y, x] = frame(plate, n)[y, x]
    changed = change_fixes(out, Request(ids=chosen))
    assert all(frame.other_steps for frame in changed)
    for number in FRAMES:
        assert np.array_equal(frame(out, number), want[number])
        share = (frame(plate, number) != want[number]).any(-1).mean()
        assert latest(out)[number]["changed"] == pytest.approx(share, abs=1e-12)
    assert verify_output(out).problems == ()


def test_resume_keeps_what_was_taken_back(tmp_path: Path) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = render(plate, tmp_path / "out")
    change_fixes(out, Request(ids=[sorted(applied(out))[0]]))
    was, journal = file_digests(out), (out / ".wetgate/fixes.jsonl").read_bytes()
    report = run_job(JobOptions(plate=plate, out=out, recipe=recipe("specks"), resume=True))
    assert {f.status for f in report.frames} == {"skipped"}
    assert file_digests(out) == was
    assert (out / ".wetgate/fixes.jsonl").read_bytes() == journal


@pytest.mark.parametrize("lost", ["lines", "tiles"])
def test_resume_renders_again_what_the_journal_has_lost(tmp_path: Path, lost: str) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = render(plate, tmp_path / "out")
    was, fixes = file_digests(out), open_restored(out).all_fixes()
    if lost == "lines":
        journal = out / ".wetgate/fixes.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        lines[15] = lines[15][:40]  # of the second frame
        journal.write_bytes(b"".join(lines))
    else:
        next((out / ".wetgate/fixes").glob("1002-*")).unlink()
    (problem,) = verify_output(out).problems
    assert problem.frame == 1002
    report = run_job(JobOptions(plate=plate, out=out, recipe=recipe("specks"), resume=True))
    assert {f.number: f.status for f in report.frames} == {
        n: "written" if n == 1002 else "skipped" for n in FRAMES
    }
    assert file_digests(out) == was
    assert open_restored(out).all_fixes() == fixes
    assert verify_output(out).problems == ()


@pytest.mark.parametrize("suffix", ["dpx", "exr"])
def test_a_job_of_repairs_replays_from_the_journal(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wetgate.operators import registry

    plate = write_specks(tmp_path / "in", FRAMES, suffix=suffix)
    out = render(plate, tmp_path / "out")
    change_fixes(out, Request(ids=sorted(applied(out))[:3]))
    monkeypatch.setattr(registry, "_FACTORIES", {})
    report = replay(out, tmp_path / "again")
    assert (report.way, report.exit_code) == ("journal", 0)
    assert {f.verdict for f in report.frames} == {"same"}
    assert file_digests(tmp_path / "again") == file_digests(out)
    assert file_digests(tmp_path / "again/provenance") == file_digests(out / "provenance")
    assert verify_output(tmp_path / "again").problems == ()


@pytest.mark.parametrize(
    ("names", "options", "why"),
    [
        (("specks", "blur"), {}, "other steps"),
        (("blur",), {}, "no journal"),
        (("specks",), {"provenance": "layers"}, "layers"),
    ],
)
def test_other_jobs_are_rendered_again_with_analysis_and_decisions(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], why: str
) -> None:
    plate = write_specks(tmp_path / "in", FRAMES, suffix="exr")
    first = render(plate, tmp_path / "first", *names, **options)
    decisions = None
    if "specks" in names:
        decisions = tmp_path / "mine.json"
        ids = sorted(applied(first))
        verdicts = Verdicts(rejected=frozenset(ids[:2]), confidences={ids[0]: 0.75})
        save_verdicts(decisions, verdicts)
    out = render(plate, tmp_path / "out", *names, decisions=decisions, **options)
    if decisions is not None:
        decisions.unlink()  # the record is enough
        change_fixes(out, Request(ids=[sorted(applied(out))[0]]))
    report = replay(out, tmp_path / "again")
    assert report.way == "render"
    assert why in report.why
    assert [(f.verdict, f.error) for f in report.frames] == [("same", None)] * len(FRAMES)
    assert file_digests(tmp_path / "again") == file_digests(out)
    if decisions is not None:
        told = load_verdicts(tmp_path / "again/.wetgate/decisions.json")
        assert told == verdicts, "a step that recalibrates learns the same again"


def test_a_replay_of_a_named_pattern_keeps_the_names(tmp_path: Path) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = tmp_path / "out"
    render(plate, out / "clean_%06d.dpx", "specks", "blur")
    report = replay(out, tmp_path / "again")
    assert report.exit_code == 0
    assert file_digests(tmp_path / "again") == file_digests(out)
    assert "clean_001001.dpx" in file_digests(out)


def test_rejecting_one_fix_removes_exactly_that_fix(tmp_path: Path) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = render(plate, tmp_path / "out")
    where = applied(out)
    name = sorted(where)[4]
    number, x, y = where[name]
    idle = next(n for n, f in open_restored(out).all_fixes().items() if not f.applied)
    save_verdicts(
        out / "decisions.json",
        Verdicts(accepted=frozenset({idle}), rejected=frozenset({name})),
    )
    want = {n: frame(out, n) for n in FRAMES}
    want[number][y, x] = frame(plate, number)[y, x]
    again = render(plate, tmp_path / "again", decisions=out / "decisions.json")
    fixes = open_restored(again).all_fixes()
    assert (fixes[name].applied, fixes[name].why) == (False, "rejected")
    fix = fixes[idle]
    assert fix.applied
    want[fix.frame][fix.anchor[1], fix.anchor[0]] = frame(again, fix.frame)[
        fix.anchor[1], fix.anchor[0]
    ]
    for n in FRAMES:
        assert np.array_equal(frame(again, n), want[n])
    before, after = set(where), set(applied(again))
    assert before - after == {name}
    assert after - before == {idle}


def test_the_next_render_of_the_same_output_obeys_and_replaces_the_journal(tmp_path: Path) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    out = render(plate, tmp_path / "out")
    name = sorted(applied(out))[0]
    save_verdicts(out / "decisions.json", Verdicts(rejected=frozenset({name})))
    render(plate, out, decisions=out / "decisions.json", resume=True)
    assert name not in applied(out)
    assert verify_output(out).problems == ()
    tiles = sorted(p.name for p in (out / ".wetgate/fixes").iterdir())
    assert [t.split("-")[0] for t in tiles] == [str(n) for n in FRAMES]  # old ones are gone
    change_fixes(out, Request(ids=sorted(applied(out))))
    assert file_digests(out) == {**file_digests(plate), "decisions.json": b""} | {
        "decisions.json": (out / "decisions.json").read_bytes()
    }


def test_a_decisions_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    plate = write_specks(tmp_path / "in", FRAMES)
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps({"schema": "wetgate.decisions/1", "reject": []}))
    with pytest.raises(InputError, match="did you mean 'rejected'"):
        render(plate, tmp_path / "out", decisions=path)
    assert not (tmp_path / "out").exists()


def test_a_frame_has_its_journal_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill right before the third frame gets its name: the two that have one are all told."""
    from wetgate.io.atomic import AtomicFile

    class Killed(Exception):
        pass

    plate = write_specks(tmp_path / "in", FRAMES)
    out = tmp_path / "out"
    whole = render(plate, tmp_path / "whole")
    commit = AtomicFile.commit
    seen: list[Path] = []

    def counted(self: AtomicFile) -> None:
        if self.target.suffix == ".dpx":
            seen.append(self.target)
            if len(seen) == 3:
                raise Killed
        commit(self)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicFile, "commit", counted)
        with pytest.raises(Killed):
            render(plate, out)
    assert len(file_digests(out)) == 2
    restored = open_restored(out)
    ledger = restored.ledger()
    for number in (1001, 1002):
        state = restored.state_of_file(number, ledger)
        assert len(state.fixes) == 12
    render(plate, out, resume=True)
    assert file_digests(out) == file_digests(whole)
    assert set(open_restored(out).all_fixes()) == set(open_restored(whole).all_fixes())
    assert verify_output(out).problems == ()
    assert latest(out).keys() == latest(whole).keys()


def test_kills_leave_no_frame_without_its_fixes(tmp_path: Path) -> None:
    numbers = range(1001, 1017)
    plate = write_specks(tmp_path / "in", numbers)
    whole = render(plate, tmp_path / "whole")
    out = tmp_path / "out"
    told = out / ".wetgate/fixes.jsonl"
    for frames in (3, 9):
        worker = subprocess.Popen([sys.executable, str(WORKER), str(plate), str(out)])
        until = time.monotonic() + 60
        while time.monotonic() < until and worker.poll() is None:
            if told.exists() and told.read_bytes().count(b'"event":"frame"') >= frames:
                break
            time.sleep(0.001)
        worker.kill()
        worker.wait()
        restored = open_restored(out)
        ledger = restored.ledger()
        there = [int(p.name.split(".")[1]) for p in out.glob("plate.*.dpx")]
        assert there
        for number in there:
            state = restored.state_of_file(number, ledger)
            assert len(state.fixes) == 12
            tiles = restored.journal.tiles(state.frame)
            assert tiles is not None
            assert len(tiles.number) == sum(fix.pixels > 0 for fix in state.fixes.values())
    render(plate, out, resume=True)
    assert file_digests(out) == file_digests(whole)
    assert open_restored(out).all_fixes() == open_restored(whole).all_fixes()
    assert verify_output(out).problems == ()
