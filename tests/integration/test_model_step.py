"""Imported networks as a step of a recipe: light of any range, policies, sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.graphs import graph_package
from support.nets import make_package
from support.plates import write_plate
from wetgate.io.formats import read_frame
from wetgate.model.errors import RecipeError
from wetgate.recipe import Recipe, Step
from wetgate.render.job import JobOptions, run_job

RGB = ("r", "g", "b")


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("WETGATE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def light(_number: int) -> Any:
    """Scene-linear light from -0.05 to 1000."""
    rng = np.random.default_rng(7)
    frame = rng.random((48, 64, 3)).astype(np.float32)
    frame[8:16, 8:30], frame[30:40, 40:60] = 1000.0, -0.05
    return frame


def job(folder: Path, name: str, **more: Any) -> JobOptions:
    if not (folder / "in").exists():
        write_plate(folder / "in", [1], suffix="exr", sample_type="float", picture=light)
    made = Recipe(
        name="imported",
        steps=(Step(operator="model", params={"name": name, "backend": "onnx"}),),
        input_space="ACEScg",
    )
    return JobOptions(plate=folder / "in", out=folder / "out", recipe=made, **more)


def result(folder: Path) -> Any:
    return read_frame(folder / "out/plate.0001.exr", 1, color_space="x").pixels


@pytest.mark.parametrize("scale", [1, 2])
def test_light_of_any_range_comes_through(models: Path, tmp_path: Path, scale: int) -> None:
    make_package(models, name="net", inputs=RGB, outputs=RGB, scale=scale, gain=0.01, licence="MIT")
    report = run_job(job(tmp_path, "net"))
    assert report.exit_code == 0
    got = result(tmp_path)
    assert got.shape == (48 * scale, 64 * scale, 3)
    assert np.isfinite(got).all()
    assert report.frames[0].classes[0][0] == 5


def test_a_network_that_changes_nothing_leaves_the_file_s_numbers(
    models: Path, tmp_path: Path
) -> None:
    graph_package(models, [helper.make_node("Identity", ["x"], ["y"])])
    assert run_job(job(tmp_path, "by-hand")).exit_code == 0
    want = read_frame(tmp_path / "in/plate.0001.exr", 1, color_space="x").pixels
    assert np.array_equal(result(tmp_path).view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("policy", ["archival", "forensic"])
def test_policies_refuse_what_was_imported(models: Path, tmp_path: Path, policy: Any) -> None:
    make_package(models, name="net", inputs=RGB, outputs=RGB, generative=True)
    with pytest.raises(RecipeError, match=r"model.*class 5"):
        run_job(job(tmp_path, "net", policy=policy))
    assert not (tmp_path / "out").exists()
