"""Cards and packages: nothing unknown is accepted, nothing unproved is read."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wetgate.model.errors import ModelLoadError
from wetgate.weights import (
    BrokenPackage,
    DataRecord,
    ModelCard,
    ModelPackage,
    QualityRecord,
    TrainingRecord,
    find_model,
    list_models,
    recall_model,
    scan_models,
    write_package,
)

CARD = ModelCard(
    name="small-net",
    version=2,
    task="denoise",
    architecture="plain width 8",
    parameters=1234,
    inputs=("base.r", "base.g", "base.b", "sigma"),
    outputs=("r", "g", "b"),
    files={"model.onnx": "0" * 64},
    licence="CC0-1.0",
    commercial=True,
    halo=5,
    size_multiple=2,
    training=TrainingRecord(recipe="small", seed=7, steps=100, seconds=12.5),
    training_data=(DataRecord(file="a.jpg", licence="CC0-1.0", sha256="ab"),),
    quality=(QualityRecord(data="leaves", metric="PSNR dB", value=31.5, twin_value=None),),
    options={"sigma_max": 60, "blind": True, "grid": "dct8", "share": 0.5},
)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("WETGATE_MODELS", str(folder))
    return folder


class TestCard:
    def test_comes_back_from_json_as_it_was(self) -> None:
        assert ModelCard.from_json(CARD.to_json()) == CARD
        assert ModelCard.from_json(CARD.to_json()).digest == CARD.digest

    def test_digest_covers_every_field(self) -> None:
        assert replace(CARD, licence="MIT").digest != CARD.digest
        assert replace(CARD, files={"model.onnx": "1" * 64}).digest != CARD.digest

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            (("halos",), 3, "did you mean 'halo'"),
            (("training", "sead"), 3, "did you mean 'seed'"),
            (("quality", 0, "metrics"), "x", "did you mean 'metric'"),
            (("schema",), "wetgate.model/9", "wetgate.model/9"),
            (("scale",), 2.5, "scale"),
            (("scale",), True, "scale"),
            (("scale",), 0, "1 or more"),
            (("commercial",), "yes", "bool"),
            (("task",), "colorize", "denoise-temporal"),
            (("inputs",), "rgb", "a list"),
            (("inputs",), [], "planes"),
            (("name",), "../up", "a-z"),
            (("precision",), "int4", "int8"),
            (("files",), {"../model.onnx": "0" * 64}, "plain name"),
            (("files",), {"model.pkl": "0" * 64}, "weights"),
            (("files",), {"model.onnx": "0" * 64, "x.pth": "0" * 64}, "plain name"),
            (("files",), {"model.onnx": "0" * 63}, "64 hexadecimal"),
            (("files",), {"model.onnx": "0" * 64, "card.json": "0" * 64}, "plain name"),
            (("quality", 0, "value"), float("nan"), "finite"),
        ],
    )
    def test_refuses_and_says_where(self, path: tuple[Any, ...], value: Any, said: str) -> None:
        document = json.loads(CARD.to_json())
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(ModelLoadError, match=said):
            ModelCard.from_json(json.dumps(document))

    def test_names_every_key_that_is_missing(self) -> None:
        document = json.loads(CARD.to_json())
        del document["licence"], document["inputs"]
        with pytest.raises(ModelLoadError, match="lacks inputs, licence"):
            ModelCard.from_json(json.dumps(document))

    @pytest.mark.parametrize("text", [b"", b"[]", b"\xff\xfe", b"{" * 100_000, b'"card"'])
    def test_refuses_what_is_no_card(self, text: bytes) -> None:
        with pytest.raises(ModelLoadError, match="model card"):
            ModelCard.from_json(text)


class TestLibrary:
    def test_finds_by_name_by_folder_and_by_card(self, models: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        assert made.card.files["model.onnx"] != CARD.files["model.onnx"]
        for question in ("small-net", str(made.folder), made.folder, made.folder / "card.json"):
            found = find_model(question)
            assert found == made
            assert found.read("model.onnx") == b"weights"
        assert made in list_models()

    def test_what_ships_goes_before_the_users_own(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shipped = tmp_path / "shipped"
        monkeypatch.setattr("wetgate.weights.library.shipped_folder", lambda: shipped)
        write_package(models / "small-net", CARD, {"model.onnx": b"mine"})
        write_package(shipped / "small-net", CARD, {"model.onnx": b"theirs"})
        assert find_model("small-net").read("model.onnx") == b"theirs"
        assert [p.folder.parent for p in list_models()] == [shipped]

    def test_a_changed_file_is_refused_even_after_it_was_proved(self, models: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        find_model("small-net")
        (made.folder / "model.onnx").write_bytes(b"w3ights")
        with pytest.raises(ModelLoadError, match="SHA-256") as caught:
            find_model("small-net")
        assert caught.value.exit_code == 6
        with pytest.raises(ModelLoadError, match="SHA-256"):
            made.read("model.onnx")

    def test_a_change_that_keeps_size_and_time_is_seen_when_read(self, models: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        path = made.folder / "model.onnx"
        before = path.stat()
        path.write_bytes(b"w3ights")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ModelLoadError, match="SHA-256"):
            made.read("model.onnx")
        with pytest.raises(ModelLoadError, match="SHA-256"):
            made.verify(again=True)

    def test_an_absent_file_and_a_link_are_refused(self, models: Path, tmp_path: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        path = made.folder / "model.onnx"
        path.rename(tmp_path / "elsewhere.onnx")
        with pytest.raises(ModelLoadError, match="No such file"):
            find_model("small-net")
        path.symlink_to(tmp_path / "elsewhere.onnx")
        with pytest.raises(ModelLoadError):
            find_model("small-net")

    def test_an_unknown_name_gets_the_nearest(self, models: Path) -> None:
        write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        with pytest.raises(ModelLoadError, match="did you mean 'small-net'"):
            find_model("smal-net")

    def test_a_bare_weights_file_is_no_package(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"weights")
        with pytest.raises(ModelLoadError, match="models add"):
            find_model(tmp_path / "model.onnx")

    def test_a_damaged_card_hides_no_other(self, models: Path) -> None:
        good = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        write_package(models / "other", CARD, {"model.onnx": b"weights"})
        (models / "broken").mkdir()
        (models / "broken" / "card.json").write_text("{")
        broken = {p.folder.name for p in scan_models() if isinstance(p, BrokenPackage)}
        assert broken == {"broken", "other"}
        assert good in list_models()

    def test_writes_whole_or_not_at_all(self, models: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"weights"})
        with pytest.raises(ModelLoadError, match="already"):
            write_package(models / "small-net", CARD, {"model.onnx": b"other"})
        with pytest.raises(ModelLoadError, match="plain name"):
            write_package(models / "bad", CARD, {"model.onnx": b"x", "run.py": b"x"})
        assert made.read("model.onnx") == b"weights"
        write_package(models / "small-net", CARD, {"model.onnx": b"new"}, overwrite=True)
        assert find_model("small-net").read("model.onnx") == b"new"
        assert sorted(os.listdir(models)) == ["small-net"]


class TestRecall:
    """Looked up for every tile, so proved once; and never taken for what it is no longer."""

    def test_files_are_proved_once(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_package(models / "small-net", CARD, {"model.onnx": b"1"})
        proved: list[Path] = []
        verify = ModelPackage.verify
        monkeypatch.setattr(
            ModelPackage, "verify", lambda self: (proved.append(self.folder), verify(self))[1]
        )
        first = recall_model("small-net")
        assert all(recall_model("small-net") is first for _ in range(5))
        assert proved == [models / "small-net"]

    def test_another_card_is_found(self, models: Path) -> None:
        write_package(models / "small-net", CARD, {"model.onnx": b"1"})
        before = recall_model("small-net")
        other = replace(CARD, halo=CARD.halo + 1)
        write_package(models / "small-net", other, {"model.onnx": b"2"}, overwrite=True)
        assert recall_model("small-net").card.halo == before.card.halo + 1

    def test_another_folder_of_models_is_another_question(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_package(models / "small-net", CARD, {"model.onnx": b"1"})
        assert recall_model("small-net").folder == models / "small-net"
        monkeypatch.setenv("WETGATE_MODELS", str(tmp_path / "none"))
        with pytest.raises(ModelLoadError, match="small-net"):
            recall_model("small-net")

    def test_a_model_that_is_gone_is_missed(self, models: Path) -> None:
        made = write_package(models / "small-net", CARD, {"model.onnx": b"1"})
        recall_model("small-net")
        (made.folder / "card.json").unlink()
        with pytest.raises(ModelLoadError, match="small-net"):
            recall_model("small-net")
