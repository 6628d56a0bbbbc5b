"""Steps with trained models: the policy, the licence and the hash decide what runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.operators import Guarded, Netted
from support.plates import recipe, register, write_plate
from wetgate.cli.app import run
from wetgate.io.formats import read_frame
from wetgate.model.errors import (
    BackendError,
    ModelLoadError,
    OutOfMemory,
    RecipeError,
    WetgateError,
)
from wetgate.operators import registry
from wetgate.operators.base import Analysis, Pixels, SourceFacts, Window
from wetgate.recipe import Step
from wetgate.render.events import Warned
from wetgate.render.job import JobOptions, plan_job, run_job
from wetgate.render.reporting.job import write_job_report
from wetgate.weights import ModelCard, write_package


@pytest.fixture(autouse=True)
def tiny_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", registry._FACTORIES)
    register()
    extra = {
        "netted": Netted,
        "guarded": Guarded,
        "stubborn": lambda: Netted(name="stubborn", classical=False),
    }
    monkeypatch.setattr(registry, "_FACTORIES", {**registry._FACTORIES, **extra})
    monkeypatch.setenv("WETGATE_MODELS", str(tmp_path / "models"))


def package(tmp_path: Path, name: str = "test-net", *, weights: bytes = b"1", **facts: Any) -> str:
    card = ModelCard(
        name=name,
        version=3,
        task="denoise",
        architecture="nothing",
        parameters=12345,
        inputs=("x",),
        outputs=("y",),
        files={"model.onnx": "0" * 64},
        licence=facts.pop("licence", "CC0-1.0"),
        commercial=facts.pop("commercial", True),
        origin="made for a test",
        **facts,
    )
    made = write_package(tmp_path / "models" / name, card, {"model.onnx": weights}, overwrite=True)
    return made.card.digest


def job(tmp_path: Path, *names: str, **more: Any) -> JobOptions:
    plate = tmp_path / "in"
    if not plate.exists():
        write_plate(plate, [1, 2], picture=lambda _n: np.full((24, 32, 3), 0.25, np.float32))
    return JobOptions(
        plate=plate, out=tmp_path / "out", recipe=recipe(*(names or ("netted",))), **more
    )


def first_code(tmp_path: Path) -> int:
    frame = read_frame(tmp_path / "out/plate.0001.dpx", 1, color_space="x")
    return round(float(frame.pixels[0, 0, 0]) * 1023)


SOURCE, CLASSICAL, NETWORK = 256, 384, 512
"""Codes of 0.25, of 1/8 more by the classical path and of 1/4 more by the network."""


def test_a_model_is_shown_in_the_plan_the_manifest_and_the_report(tmp_path: Path) -> None:
    digest = package(tmp_path)
    options = job(tmp_path)
    plan = plan_job(options)
    report = run_job(options)
    (model,) = plan.models
    assert (model.name, model.version, model.licence, model.digest) == (
        "test-net", 3, "CC0-1.0", digest
    )  # fmt: skip
    assert report.exit_code == 0 and abs(first_code(tmp_path) - NETWORK) <= 1
    for name in ("job.json", "manifest.json"):
        document = json.loads((tmp_path / "out/.wetgate" / name).read_text())
        (said,) = (document.get("job") or document)["models"]
        assert (
            said["digest"] == digest
            and said["files"]["model.onnx"] == dict(model.files)["model.onnx"]
        )
    page = write_job_report(report, plan, options).read_text()
    assert "CC0-1.0" in page and dict(model.files)["model.onnx"][:16] in page
    assert [f.classes for f in report.frames] == [((5, 1.0),)] * 2


@pytest.mark.parametrize("policy", ["archival", "forensic"])
def test_a_policy_takes_the_classical_path_and_says_so(policy: Any, tmp_path: Path) -> None:
    options = job(tmp_path, policy=policy)  # no package: what does not run need not be there
    plan = plan_job(options)
    told: list[str] = []
    report = run_job(
        options, on_event=lambda e: told.append(e.text) if isinstance(e, Warned) else None
    )
    assert any("runs without a network" in text for text in told)
    assert report.exit_code == 0 and abs(first_code(tmp_path) - CLASSICAL) <= 1
    (fallback,) = plan.fallbacks
    assert fallback.step == 0 and "class 5 (inferred)" in fallback.reason and not plan.models
    assert plan.provenance == 3
    manifest = json.loads((tmp_path / "out/.wetgate/manifest.json").read_text())
    assert manifest["job"]["fallbacks"][0]["reason"] == fallback.reason
    assert "runs without a network" in write_job_report(report, plan, options).read_text()
    assert [f.classes for f in report.frames] == [((3, 1.0),)] * 2


def test_a_step_without_a_classical_path_is_refused_by_a_policy(tmp_path: Path) -> None:
    package(tmp_path)
    with pytest.raises(RecipeError, match=r"steps\[1\].*stubborn.*class 5"):
        run_job(job(tmp_path, "netted", "stubborn", policy="archival"))
    assert run_job(job(tmp_path, "netted", "stubborn")).exit_code == 0


def test_a_missing_or_damaged_model_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model 'test-net'") as missing:
        run_job(job(tmp_path))
    assert missing.value.exit_code == 6
    package(tmp_path)
    (tmp_path / "models/test-net/model.onnx").write_bytes(b"2")
    with pytest.raises(ModelLoadError, match="SHA-256"):
        run_job(job(tmp_path))
    assert not (tmp_path / "out").exists()


def test_noncommercial_weights_need_a_word(tmp_path: Path) -> None:
    package(tmp_path, licence="CC-BY-NC-4.0", commercial=False)
    with pytest.raises(ModelLoadError, match=r"CC-BY-NC-4\.0.*--accept-noncommercial") as refused:
        run_job(job(tmp_path))
    assert refused.value.exit_code == 6 and not (tmp_path / "out").exists()
    assert run_job(job(tmp_path, policy="archival")).exit_code == 0, "the net does not run at all"
    assert run_job(job(tmp_path, allow_noncommercial=True, overwrite=True)).exit_code == 0


def test_a_model_that_invents_is_generative_whatever_its_operator_says(tmp_path: Path) -> None:
    package(tmp_path, generative=True)
    report = run_job(job(tmp_path))
    assert [f.generative_fraction for f in report.frames] == [1.0, 1.0]
    taken = run_job(job(tmp_path, policy="archival", overwrite=True))
    assert [f.generative_fraction for f in taken.frames] == [0.0, 0.0]


def test_resume_redoes_frames_of_other_weights(tmp_path: Path) -> None:
    package(tmp_path)
    run_job(job(tmp_path))
    again = run_job(job(tmp_path, resume=True))
    assert [f.status for f in again.frames] == ["skipped"] * 2
    package(tmp_path, weights=b"other")
    other = run_job(job(tmp_path, resume=True))
    assert [f.status for f in other.frames] == ["written"] * 2
    off = run_job(job(tmp_path, resume=True, policy="archival"))
    assert [f.status for f in off.frames] == ["written"] * 2


def test_where_a_network_was_off_is_told_and_kept_on_record(tmp_path: Path) -> None:
    write_plate(tmp_path / "in", [1, 2, 3], width=40, height=20, picture=half_bright)
    options = job(tmp_path, "guarded")
    plan = plan_job(options)
    report = run_job(options)
    for frame in report.frames:
        assert dict(frame.classes) == {3: 0.25, 5: 0.75} and frame.network_off == 0.25
        assert "network switched off in 25 % of the frame" in frame.remarks
    manifest = json.loads((tmp_path / "out/.wetgate/manifest.json").read_text())
    assert manifest["frames"][0]["classes"] == {"3": 0.25, "5": 0.75}
    assert manifest["frames"][0]["network_off"] == 0.25
    assert "guarded: bright parts" in manifest["frames"][0]["notes"]
    again = run_job(job(tmp_path, "guarded", resume=True))
    assert [f.status for f in again.frames] == ["skipped"] * 3
    assert [f.remarks for f in again.frames] == [f.remarks for f in report.frames]
    page = write_job_report(report, plan, options).read_text()
    assert "guarded: bright parts" in page and "25 % on average, at most 25 %" in page


def half_bright(_number: int) -> np.ndarray:
    picture = np.full((20, 40, 3), 0.25, np.float32)
    picture[:, :10] = 0.75
    return picture


@pytest.mark.parametrize("policy", ["creative", "archival"])
def test_a_real_network_runs_is_named_and_can_be_kept_out(policy: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx", reason="makes the network")
    from support.nets import make_package
    from wetgate.operators.upscale.planes import DETAIL_NAMES

    made = make_package(
        tmp_path / "models", name="tiny-up", scale=2, inputs=DETAIL_NAMES, gain=0.05
    )
    job(tmp_path)
    steps = (Step(operator="upscale", params={"net": "tiny-up"}),)
    options = JobOptions(
        plate=tmp_path / "in",
        out=tmp_path / "out",
        recipe=replace(recipe("upscale"), steps=steps),
        policy=policy,
    )
    plan = plan_job(options)
    report = run_job(options)
    assert report.exit_code == 0
    manifest = json.loads((tmp_path / "out/.wetgate/manifest.json").read_text())
    page = write_job_report(report, plan, options).read_text()
    if policy == "archival":
        assert not report.networks and "networks" not in manifest and not plan.models
        assert plan.fallbacks and dict(report.frames[0].classes) == {3: 1.0}
        return
    (use,) = report.networks
    assert (use.model, use.backend, use.precision) == ("tiny-up", "onnx", "fp32")
    assert manifest["networks"][0]["reason"] == use.reason and use.reason in page
    assert plan.models[0].digest == made.card.digest
    assert dict(report.frames[0].classes) == {5: 1.0}


@dataclass(frozen=True)
class Stuck(Netted):
    """Its backend fails in every frame from `first` on."""

    first: int = 1

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        if window.number >= self.first:
            raise BackendError("nothing can run it")
        return super().__call__(window, analysis, facts)


@pytest.mark.parametrize(("first", "models", "code"), [(1, True, 6), (2, True, 4), (1, False, 4)])
def test_a_network_that_cannot_run_at_all_is_told_by_the_exit_code(
    first: int, models: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path)
    stuck = Stuck(first=first, net=("test-net",) if models else ())
    monkeypatch.setattr(registry, "_FACTORIES", {**registry._FACTORIES, "netted": lambda: stuck})
    assert run_job(job(tmp_path)).exit_code == code


@pytest.mark.parametrize(("error", "code"), [(OutOfMemory, 5), (ModelLoadError, 6)])
def test_what_no_other_frame_would_survive_ends_the_run(
    error: type[WetgateError], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Pixels:
        raise error("spent", remedy="none")

    package(tmp_path)
    job(tmp_path)
    monkeypatch.setattr(Netted, "__call__", fail)
    with pytest.raises(error) as caught:
        run_job(job(tmp_path))
    assert caught.value.exit_code == code


def test_digests_of_recipes_without_models_are_what_they_were() -> None:
    plain = recipe("blur", "lift")
    assert plain.digest(lambda _n: 1) == plain.digest(lambda _n: 1, ({}, {}))
    other = plain.digest(lambda _n: 1, ({}, {"models": {"a": "1"}}))
    assert other != plain.digest(lambda _n: 1)


def test_two_steps_of_one_operator_keep_their_own_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "net-a")
    package(tmp_path, "net-b")
    monkeypatch.setattr(
        registry,
        "_FACTORIES",
        {**registry._FACTORIES, "netted": lambda net: Netted(net=(net,))},
    )
    steps = tuple(Step(operator="netted", params={"net": n}) for n in ("net-a", "net-b"))
    options = job(tmp_path)
    options = replace(options, recipe=replace(recipe("netted"), steps=steps))
    plan = plan_job(options)
    assert [(m.step, m.name) for m in plan.models] == [(0, "net-a"), (1, "net-b")]
    swapped = replace(options, recipe=replace(recipe("netted"), steps=steps[::-1]))
    assert plan_job(swapped).recipe_digest != plan.recipe_digest


def test_the_command_line_shows_licences_and_takes_the_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package(tmp_path, licence="CC-BY-NC-4.0", commercial=False)
    job(tmp_path)
    toml = tmp_path / "net.toml"
    toml.write_text(
        'schema = "wetgate.recipe/1"\ninput_space = "ACEScct"\n[[steps]]\noperator = "netted"\n'
    )
    words = ["plan", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--recipe", str(toml)]
    assert run(words) == 6
    assert "--accept-noncommercial" in capsys.readouterr().err
    assert run([*words, "--accept-noncommercial"]) == 0
    said = capsys.readouterr().out
    assert "test-net (version 3, CC-BY-NC-4.0, not for commercial use, 12345 parameters" in said
    assert run([*words, "--policy", "archival"]) == 0
    assert "runs without a network" in capsys.readouterr().out
