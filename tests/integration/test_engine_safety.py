"""What must never happen to an archive: lost frames, false successes, late refusals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.jobs import finals, job, tiny_operators, write_texture
from support.plates import file_digests, write_plate
from wetgate.io.formats import read_frame
from wetgate.model.errors import (
    AnalysisStale,
    InputError,
    OutOfMemory,
    RecipeError,
    SequenceError,
    UsageError,
)
from wetgate.render.job import run_job, verify_output

_operators = pytest.fixture(autouse=True)(tiny_operators)


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
