"""What runs the networks of a job is foreseen, told once, and nothing at strength 0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.operators import Netted
from support.plates import recipe, register, write_plate
from wetgate.backends import choose, loaded_sessions
from wetgate.cli.app import run
from wetgate.io.formats import read_frame
from wetgate.operators import registry
from wetgate.operators.base import Pixels
from wetgate.recipe import Recipe, Step
from wetgate.render.job import JobOptions, plan_job, run_job
from wetgate.render.reporting.job import write_job_report
from wetgate.render.resting import REASON, REASON_RESIZED

from tests.support.nets import make_package

pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(registry, "_FACTORIES", registry._FACTORIES)
    register()
    monkeypatch.setattr(registry, "_FACTORIES", {**registry._FACTORIES, "netted": Netted})
    monkeypatch.setenv("WETGATE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    choose.forget_sessions()
    yield
    choose.forget_sessions()


@pytest.fixture
def upscale(tmp_path: Path) -> Recipe:
    """A step that asks for what ONNX Runtime does not have."""
    from wetgate.operators.upscale.planes import DETAIL_NAMES

    make_package(tmp_path / "models", name="tiny-up", scale=2, inputs=DETAIL_NAMES, gain=0.05)
    params = {"net": "tiny-up", "backend": "onnx", "precision": "bf16"}
    return replace(recipe("upscale"), steps=(Step(operator="upscale", params=params),))


def job(tmp_path: Path, wanted: Recipe, **more: Any) -> JobOptions:
    plate = tmp_path / "in"
    if not plate.exists():
        write_plate(plate, [1, 2], width=40, height=32)
    return JobOptions(plate=plate, out=tmp_path / "out", recipe=wanted, **more)


def pixels(folder: Path, number: int) -> Pixels:
    return read_frame(folder / f"plate.{number:04d}.dpx", number, color_space="x").pixels


def test_the_plan_says_what_will_run_each_network_and_why(tmp_path: Path, upscale: Recipe) -> None:
    options = job(tmp_path, upscale)
    (use,) = plan_job(options).networks
    (ran,) = run_job(options).networks
    assert (use.model, use.backend, use.device, use.precision) == ("tiny-up", "onnx", "cpu", "fp32")
    assert use.fell_back and "asked for onnx bf16" in use.reason and "no bf16" in use.reason
    assert (ran.backend, ran.device, ran.precision) == (use.backend, use.device, use.precision)


def test_what_no_probe_has_loaded_is_foreseen_without_loading(
    tmp_path: Path, upscale: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wetgate.render.probe.probe_seconds", lambda job: None)
    (use,) = plan_job(job(tmp_path, upscale)).networks
    assert not loaded_sessions()
    assert (use.backend, use.device, use.precision, use.fell_back) == ("onnx", "cpu", "fp32", True)


def test_a_fallback_is_printed_once(
    tmp_path: Path, upscale: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    options = job(tmp_path, upscale)
    toml = tmp_path / "up.toml"
    toml.write_text(
        'schema = "wetgate.recipe/1"\ninput_space = "ACEScct"\n[[steps]]\noperator = "upscale"\n'
        'params = {net = "tiny-up", backend = "onnx", precision = "bf16"}\n'
    )
    words = [str(options.plate), "--out", str(options.out), "--recipe", str(toml)]
    assert run(["plan", *words]) == 0
    said = capsys.readouterr().out
    assert "runs on" in said and said.count("no bf16 arithmetic") == 1
    assert run(["restore", *words]) == 0
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("no bf16 arithmetic") == 1


def test_a_fallback_is_a_fact_of_the_report_and_no_remark_beside_it(
    tmp_path: Path, upscale: Recipe
) -> None:
    options = job(tmp_path, upscale)
    plan, report = plan_job(options), run_job(options)
    (use,) = report.networks
    assert use.notes == ()
    frames = tuple(replace(frame, notes=(f"upscale: {use.choice}",)) for frame in report.frames)
    page = write_job_report(replace(report, frames=frames), plan, options).read_text()
    assert page.count("no bf16 arithmetic") == 1 + len(frames), (
        "once as a fact, once in the row of each frame"
    )


def exploding(*_: object) -> Pixels:
    raise AssertionError("it ran")


@pytest.mark.parametrize("where", ["step", "call"])
def test_strength_0_runs_nothing_and_returns_the_source(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path / "models", name="test-net")
    monkeypatch.setattr(Netted, "__call__", exploding)
    wanted = recipe("netted")
    if where == "step":
        wanted = replace(wanted, steps=(Step(operator="netted", strength=0.0),))
    options = job(tmp_path, wanted, strength=0.0 if where == "call" else None)
    plan, report = plan_job(options), run_job(options)
    assert report.exit_code == 0 and plan.models == () and plan.networks == ()
    assert [f.changed_fraction for f in report.frames] == [0.0, 0.0]
    for number in (1, 2):
        before, after = (pixels(tmp_path / at, number) for at in ("in", "out"))
        assert np.array_equal(before.view(np.uint32), after.view(np.uint32))
    assert [f.reason for f in plan.fallbacks] == [REASON]
    manifest = json.loads((tmp_path / "out/.wetgate/manifest.json").read_text())
    assert REASON in json.dumps(manifest)
    assert REASON in write_job_report(report, plan, options).read_text()


def test_only_the_step_of_strength_0_rests(tmp_path: Path) -> None:
    make_package(tmp_path / "models", name="test-net")
    steps = (Step(operator="netted", strength=0.0), Step(operator="invert"))
    report = run_job(job(tmp_path, replace(recipe("netted", "invert"), steps=steps)))
    run_job(replace(job(tmp_path, recipe("invert")), out=tmp_path / "alone"))
    assert report.exit_code == 0
    assert np.array_equal(pixels(tmp_path / "out", 1), pixels(tmp_path / "alone", 1))


def test_strength_0_changes_the_size_without_a_network(tmp_path: Path, upscale: Recipe) -> None:
    options = job(tmp_path, upscale, strength=0.0)
    plan, report = plan_job(options), run_job(options)
    assert [f.reason for f in plan.fallbacks] == [REASON_RESIZED]
    assert report.exit_code == 0 and not report.networks and not loaded_sessions()
    assert pixels(tmp_path / "out", 1).shape[:2] == (64, 80)
