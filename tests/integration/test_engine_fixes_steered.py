"""What a person says of single fixes: verdicts, mattes that hold out, maps of defects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.fixers import Mender
from support.plates import register, write_plate
from support.spotted import (
    FRAMES,
    H,
    Taken,
    W,
    done,
    dpx_codes,
    grey,
    run,
    scene,
    sidecar,
    spots,
    write_decisions,
)
from wetgate.model.errors import (
    InputError,
    UsageError,
)
from wetgate.operators import registry
from wetgate.render import job as job_module
from wetgate.render.manifest import CONTROL


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()
    registry._FACTORIES["mend"] = Mender


@pytest.fixture(scope="module")
def dpx_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("in"), FRAMES, suffix="dpx", picture=scene)


def test_a_rejected_fix_is_left_out_and_nothing_else_changes(
    dpx_plate: Path, tmp_path: Path
) -> None:
    out, verdicts = tmp_path / "out", tmp_path / "decisions.json"
    done(dpx_plate, out)
    before = {n: dpx_codes(out / f"plate.{n}.dpx") for n in FRAMES}
    spot = spots(1002)[4]
    write_decisions(verdicts, rejected=[f"mend-1002-{spot.x}-{spot.y}", "paint-1002-1-1"])
    told = done(dpx_plate, out, decisions=verdicts, resume=True)
    assert [f.status for f in told.frames] == ["written"] * 3, "resume sees new verdicts"
    assert any("'paint'" in text for text in told.warnings)
    for n in FRAMES:
        want = before[n].copy()
        if n == 1002:
            want[spot.at] = dpx_codes(dpx_plate / f"plate.{n}.dpx")[spot.at]
        assert np.array_equal(dpx_codes(out / f"plate.{n}.dpx"), want)
    assert sidecar(out, 1002)["fix"][spot.y, spot.x] == 0
    assert {f.number: (f.fixed, f.left) for f in told.frames}[1002] == (len(spots(1002)) - 1, 1)
    again = done(dpx_plate, out, decisions=verdicts, resume=True)
    assert {f.status for f in again.frames} == {"skipped"}
    assert json.loads((out / CONTROL / "job.json").read_text())["decisions"]["rejected"][0] == (
        f"mend-1002-{spot.x}-{spot.y}"
    )
    back = done(dpx_plate, out, resume=True)
    assert {f.status for f in back.frames} == {"written"}
    assert all(np.array_equal(dpx_codes(out / f"plate.{n}.dpx"), before[n]) for n in FRAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"schema": "wetgate.decisions/2"}', "wetgate.decisions/1"),
        ('{"schema": "wetgate.decisions/1", "accepted": ["dirt"]}', "'dirt'"),
        ('{"schema": "wetgate.decisions/1", "rejected": "a-1-2-3"}', "a list of ids"),
        ('{"schema": "wetgate.decisions/1", "accepted": ["a-1-2-3"], "rejected": ["a-1-2-3"]}',
         "accepted and rejected"),
    ],
)  # fmt: skip
def test_malformed_decisions_are_refused(
    text: str, said: str, dpx_plate: Path, tmp_path: Path
) -> None:
    file = tmp_path / "decisions.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        run(dpx_plate, tmp_path / "out", decisions=file)
    assert not (tmp_path / "out").exists()


def test_a_holdout_keeps_the_scan_and_the_record_says_so(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Taken()
    monkeypatch.setattr(job_module, "_sinks", lambda _job: (taken,))
    spot = next(s for s in spots(1001) if s.width > 1)
    held = np.zeros((H, W), np.float32)
    held[:12] = 1
    held[spot.y, spot.x] = 1
    mattes = grey(tmp_path / "mattes", {"Y": held})
    done(dpx_plate, tmp_path / "out", holdout=mattes, frames="1001")
    source, got = (dpx_codes(at / "plate.1001.dpx") for at in (dpx_plate, tmp_path / "out"))
    assert np.array_equal(got[held == 1], source[held == 1])
    for record in taken.by_frame[1001].fixes:
        x, y = record.fix.anchor
        if y < 12:
            assert not record.fix.applied and record.fix.why == "held out by the matte"
            assert record.fix.provenance == 0 and record.fix.source == 0
        elif (x, y) == (spot.x, spot.y):
            assert record.fix.applied and record.fix.facts["held_out"] == 1
        else:
            assert record.fix.applied and not record.fix.why
            assert (got[y, x] != source[y, x]).any()
    done(dpx_plate, tmp_path / "half", matte=grey(tmp_path / "m", {"Y": 0 * held}), frames="1001")
    assert np.array_equal(dpx_codes(tmp_path / "half" / "plate.1001.dpx"), source)


def test_a_map_of_defects_reaches_the_operator_by_channel(dpx_plate: Path, tmp_path: Path) -> None:
    here = np.zeros((H, W), np.float32)
    here[:12] = 1
    maps = grey(tmp_path / "maps", {"R": 0 * here, "G": 0 * here, "B": 0 * here, "IR": 1 - here})
    named = ((f"{maps}#!IR", here == 0), (f"{maps}/plate.####.exr#IR", here == 1))
    for name, clean in named:
        out = tmp_path / f"out{len(name)}"
        done(dpx_plate, out, defects=name, frames="1002")
        source, got = (dpx_codes(at / "plate.1002.dpx") for at in (dpx_plate, out))
        changed = (source != got).any(axis=-1)
        assert changed.any() and not changed[clean].any()
        again = done(dpx_plate, out, defects=name, frames="1002", resume=True)
        assert again.frames[0].status == "skipped"
    other = done(dpx_plate, out, defects=f"{maps}#!IR", frames="1002", resume=True)
    assert other.frames[0].status == "written", "another channel is another job"
    with pytest.raises(InputError, match="no channel 'UV'"):
        run(dpx_plate, tmp_path / "bad", defects=f"{maps}#UV", frames="1002")


def test_the_command_line_takes_verdicts_mattes_and_maps(dpx_plate: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner
    from wetgate.cli.app import app

    spot, what = spots(1002)[0], tmp_path / "mend.toml"
    what.write_text('schema = "wetgate.recipe/1"\n[[steps]]\noperator = "mend"\n')
    write_decisions(tmp_path / "d.json", rejected=[f"mend-1002-{spot.x}-{spot.y}"])
    held = grey(tmp_path / "held", {"Y": (np.mgrid[0:H, 0:W][0] > 20).astype(np.float32)})
    usual = [str(dpx_plate), "--out", str(tmp_path / "out"), "--recipe", str(what)]
    usual += ["--input-space", "ACEScct", "--frames", "1002"]
    runner = CliRunner()
    plan = runner.invoke(app, ["plan", *usual])
    assert plan.exit_code == 0 and "of every pixel: sidecar" in plan.output
    refused = runner.invoke(app, ["plan", *usual, "--provenance", "layers"])
    assert isinstance(refused.exception, UsageError)
    made = runner.invoke(
        app,
        ["restore", *usual, "--decisions", str(tmp_path / "d.json"), "--holdout", str(held),
         "--defects", f"{held}#!Y", "--policy", "archival", "--provenance", "sidecar"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    source, got = (dpx_codes(at / "plate.1002.dpx") for at in (dpx_plate, tmp_path / "out"))
    changed = (source != got).any(axis=-1)
    want = np.zeros((H, W), bool)
    for other in spots(1002)[1:]:
        want[other.at] = other.y <= 20
    assert np.array_equal(changed, want) and want.any()
    assert np.array_equal(sidecar(tmp_path / "out", 1002)["class"] > 0, want)
