"""`wetgate models`: what is said, what is refused, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wetgate.backends.record import keep
from wetgate.cli.app import run
from wetgate.importers import import_model
from wetgate.model.errors import UsageError
from wetgate.weights import find_model

from tests.support.nets import make_package

Words = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user-models"
    monkeypatch.setenv("WETGATE_MODELS", str(folder))
    return folder


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], models: Path) -> Words:
    def call(*words: str) -> tuple[int, str, str]:
        code = run(["models", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_package_is_added_listed_shown_verified_and_removed(
    say: Words, models: Path, tmp_path: Path
) -> None:
    made = make_package(tmp_path / "theirs", name="small")
    code, out, _ = say("add", str(made.folder))
    assert code == 0 and "CC0-1.0, commercial use allowed" in out
    assert find_model("small").folder == models / "small"
    assert say("add", str(made.folder))[0] == 6
    assert say("add", str(made.folder), "--overwrite")[0] == 0

    code, out, _ = say("list")
    assert code == 0 and "small" in out and "CC0-1.0" in out and "added" in out
    (record,) = [e for e in events(say("list", "--json")[1]) if e["card"]["name"] == "small"]
    assert record["digest"] == made.card.digest and record["shipped"] is False

    code, out, _ = say("show", "small")
    assert code == 0 and made.card.files["model.onnx"] in out and made.card.digest in out
    assert say("show", "small", "--markdown")[1].startswith("## small")
    assert say("show", "smal")[0] == 6

    code, out, _ = say("verify", "small")
    assert code == 0 and "SHA-256" in out
    (models / "small" / "model.onnx").write_bytes(b"changed")
    code, out, err = say("verify", "--json")
    assert code == 6
    (bad,) = [e for e in events(out) if not e["ok"]]
    assert bad["name"] == "small" and "SHA-256" in bad["message"] and "SHA-256" in err

    assert say("remove", "small")[0] == 0
    assert not (models / "small").exists()
    assert say("remove", "small")[0] == 6
    for name in ("../theirs", ".", str(made.folder)):
        assert say("remove", name)[0] == 2
    assert made.folder.is_dir()


@pytest.mark.parametrize("name", ["../up", "up/", "Up", "-up", "", "u" * 65, "été"])
def test_a_name_that_no_model_may_have_is_refused_and_not_made_to_fit(
    say: Words, models: Path, tmp_path: Path, name: str
) -> None:
    made = make_package(tmp_path / "theirs", name="small")
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes((made.folder / "model.onnx").read_bytes())
    for source in (made.folder, foreign):
        code, _, err = say("add", str(source), f"--name={name}", "--accept-noncommercial")
        assert code == 2 and repr(name) in err and "a-z" in err
    with pytest.raises(UsageError, match="not a name for a model"):
        import_model(foreign, name=name, licence="CC0-1.0", destination=models)
    assert not models.exists() or not list(models.iterdir())
    assert not (tmp_path / "up").exists()


def test_what_ships_is_neither_removed_nor_shadowed(
    say: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = make_package(tmp_path / "shipped", name="ours")
    for module in ("wetgate.weights.library", "wetgate.weights"):
        monkeypatch.setattr(f"{module}.shipped_folder", lambda: tmp_path / "shipped")
    assert say("remove", "ours")[0] == 2
    other = make_package(tmp_path / "other", name="ours", seed=2)
    code, _, err = say("add", str(other.folder))
    assert code == 6 and "--name" in err
    assert say("add", str(other.folder), "--name", "mine")[0] == 0
    assert find_model("ours").card == shipped.card


def test_doctor_proves_the_models(
    say: Words, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_package(models, name="small")
    run(["doctor"])
    (line,) = [x for x in capsys.readouterr().out.splitlines() if " models " in x]
    assert line.startswith("ok") and "1 added, all proved" in line
    (made.folder / "model.onnx").write_bytes(b"x")
    assert run(["doctor"]) == 3
    (line,) = [x for x in capsys.readouterr().out.splitlines() if " models " in x]
    assert line.startswith("BAD") and "SHA-256" in line


def test_noncommercial_weights_need_the_word(say: Words, models: Path, tmp_path: Path) -> None:
    made = make_package(tmp_path, name="nc", licence="CC-BY-NC-4.0", commercial=False)
    code, _, err = say("add", str(made.folder))
    assert code == 6 and "CC-BY-NC-4.0" in err and "--accept-noncommercial" in err
    assert not (models / "nc").exists()
    assert say("add", str(made.folder), "--accept-noncommercial")[0] == 0
    assert "NON-COMMERCIAL" in say("list")[1]


def test_a_bundle_carries_models_over(say: Words, models: Path, tmp_path: Path) -> None:
    for name, free in (("one", True), ("two", False)):
        make_package(models, name=name, commercial=free)
    target = tmp_path / "carry"
    code, out, _ = say("bundle", "one", "two", "--out", str(target))
    assert code == 0 and "2 models" in out
    written = target.with_suffix(".wetgate-models")
    assert say("bundle", "one", "--out", str(written))[0] == 2
    say("remove", "one")
    say("remove", "two")
    code, _, err = say("add", str(written))
    assert code == 6 and "two" in err and not (models / "one").exists()
    assert say("add", str(written), "--name", "one")[0] == 0
    assert say("add", str(written), "--accept-noncommercial", "--overwrite")[0] == 0
    assert find_model("two").card.commercial is False
    assert say("add", str(written), "--name", "three")[0] == 6


@pytest.mark.parametrize("words", ["add", "bundle"])
def test_a_models_folder_that_cannot_be_made_is_said_in_words(
    say: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    made = make_package(tmp_path / "theirs", name="small")
    source = made.folder
    if words == "bundle":
        source = tmp_path / "carry.wetgate-models"
        assert say("bundle", str(made.folder), "--out", str(source))[0] == 0
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("WETGATE_MODELS", str(tmp_path / "file"))
    code, _, err = say("add", str(source))
    assert code == 5 and "WETGATE_MODELS" in err and str(tmp_path / "file") in err


def test_a_bundle_of_a_shipped_model_names_a_way_that_works(say: Words, tmp_path: Path) -> None:
    """`--name` picks from a bundle and does not rename, so it must not be the remedy."""
    written = tmp_path / "shipped.wetgate-models"
    code, out, _ = say("bundle", "wg-upscale2", "--out", str(written))
    assert code == 0 and out.startswith("1 model in ")
    code, _, err = say("add", str(written))
    assert code == 6 and "comes with wetgate" in err and "another --name" not in err


def test_foreign_weights_go_through_the_importer(
    say: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    importers = pytest.importorskip("wetgate.importers")
    asked: dict[str, Any] = {}

    def imported(source: str, **options: Any) -> Any:
        asked.update(options, source=source)
        return make_package(options["destination"], name="theirs", generative=True)

    monkeypatch.setattr(importers, "import_model", imported)
    code, out, _ = say("add", "realesrgan-x4plus", "--licence", "BSD-3-Clause")
    assert code == 0 and "generative" in out and "archival" in out
    assert asked["source"] == "realesrgan-x4plus" and asked["licence"] == "BSD-3-Clause"
    assert asked["destination"] == models and asked["accept_noncommercial"] is False


def test_quantize_calibrates_on_what_the_engine_fed_the_network(
    say: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    made = make_package(models, name="small", task="denoise", planes_in=3, width=16)
    plate = tmp_path / "plate"
    plate.mkdir()
    for number in range(1, 10):
        (plate / f"p.{number:04d}.dpx").write_bytes(b"")
    seen: dict[str, Any] = {}

    def render(options: Any) -> None:
        seen["frames"] = list(options.frames)
        seen["steps"] = [(s.operator, dict(s.params)) for s in options.recipe.steps]
        rng = np.random.default_rng(1)
        for _ in range(4):
            keep("small", rng.random((3, 64, 96), dtype=np.float32))

    monkeypatch.setattr("wetgate.render.fed.run_job", render)
    code, out, err = say("quantize", "small", "--calibrate", str(plate), "--json")
    assert code == 0, err
    assert seen["steps"] == [("denoise", {"net": "small"})]
    assert seen["frames"] == [1, 4, 7]
    (event,) = events(out)
    copy = find_model("small-int8")
    assert event["digest"] == copy.card.digest and copy.card.precision == "int8"
    assert event["psnr_db"] > 40 and event["loss_db"]["40"] > event["loss_db"]["30"] > 0
    assert made.card.digest in copy.card.origin
    assert say("quantize", "small", "--calibrate", str(plate))[0] == 6
    assert say("quantize", "small-int8", "--calibrate", str(plate), "--overwrite")[0] == 6


def test_planes_are_those_of_the_operator_on_the_frames_asked_for(
    models: Path, tmp_path: Path
) -> None:
    from wetgate.bench.plates import SPACE, write_plate
    from wetgate.io.formats import read_frame
    from wetgate.operators.upscale.planes import DETAIL_NAMES, detail
    from wetgate.render.fed import planes_fed

    net = make_package(models, name="x2", task="upscale", scale=2, inputs=DETAIL_NAMES)
    write_plate(tmp_path / "plate", range(1, 4), 96, 64)
    fed = planes_fed(net.card, tmp_path / "plate", frames="2", input_space=SPACE)
    assert fed
    for planes in (f.planes for f in fed):
        y, x = planes.shape[1] // 2 - 4, planes.shape[2] // 2 - 4
        block = planes[:, y : y + 8, x : x + 8].transpose(1, 2, 0)
        for number in (1, 2, 3):
            frame = read_frame(
                tmp_path / "plate" / f"plate.{number:04d}.dpx", number, color_space=SPACE
            ).pixels
            views = np.lib.stride_tricks.sliding_window_view(detail(frame), (8, 8, 3))[:, :, 0]
            assert (views == block).all(axis=(2, 3, 4)).any() == (number == 2)


@pytest.mark.parametrize(
    ("task", "operator", "params"),
    [
        ("generic", "model", {"name": "other"}),
        ("upscale", "upscale", {"net": "other", "scale": 4}),
        ("denoise-temporal", "denoise", {"net": "auto", "temporal_net": "other"}),
        ("denoise-upscale", "denoise-upscale", {"net": "other"}),
        ("deartifact", "deartifact", {"net": "other"}),
        ("deblur", "deblur", {"net": "other"}),
    ],
)
def test_each_task_has_its_operator(
    models: Path, task: str, operator: str, params: dict[str, object]
) -> None:
    from wetgate.operators.registry import make_operator
    from wetgate.render.fed import recipe_for

    (step,) = recipe_for(make_package(models, name="other", task=task, scale=4).card).steps
    assert (step.operator, dict(step.params)) == (operator, params)
    assert "other" in make_operator(step.operator, step.params).models()
