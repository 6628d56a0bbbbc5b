"""One file for many packages, and no way in for anything else."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from wetgate.model.errors import ModelLoadError
from wetgate.weights import DataRecord, ModelPackage, QualityRecord, open_package
from wetgate.weights.bundle import add_bundle, bundle_cards, is_bundle, write_bundle
from wetgate.weights.page import card_page, licence_line

from tests.support.nets import make_package


@pytest.fixture
def packages(tmp_path: Path) -> list[ModelPackage]:
    return [make_package(tmp_path / "in", name=n, seed=i) for i, n in enumerate(("one", "two"))]


@pytest.fixture
def bundle(packages: list[ModelPackage], tmp_path: Path) -> Path:
    path = tmp_path / "nets.wetgate-models"
    write_bundle(packages, path)
    return path


def rewritten(bundle: Path, change: dict[str, bytes], **options: int) -> Path:
    """Copy a bundle with members replaced or added."""
    path = bundle.with_name("changed.wetgate-models")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(path, "w", **options) as new:
        members = {name: old.read(name) for name in old.namelist()} | change
        for name, data in members.items():
            new.writestr(name, data)
    return path


def test_packages_come_out_as_they_went_in(
    packages: list[ModelPackage], bundle: Path, tmp_path: Path
) -> None:
    assert is_bundle(bundle)
    assert [c.name for c in bundle_cards(bundle)] == ["one", "two"]
    added = add_bundle(bundle, tmp_path / "out")
    for before, after in zip(packages, added, strict=True):
        assert after.card == before.card
        assert after.read("model.onnx") == before.read("model.onnx")
        assert open_package(after.folder).card.digest == before.card.digest


def test_the_same_packages_make_the_same_bytes(
    packages: list[ModelPackage], bundle: Path, tmp_path: Path
) -> None:
    write_bundle(packages[::-1], tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()


def test_some_can_be_taken_alone(bundle: Path, tmp_path: Path) -> None:
    assert [p.card.name for p in add_bundle(bundle, tmp_path / "out", names=["two"])] == ["two"]
    assert not (tmp_path / "out" / "one").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"../evil.onnx": b"x"},
        {"/abs/model.onnx": b"x"},
        {"one/run.py": b"x"},
        {"stray.txt": b"x"},
        {"one/card.json": b"{}"},
        {"three/card.json": b"[" * 50_000},
    ],
    ids=str,
)
def test_a_stray_member_is_refused(bundle: Path, change: dict[str, bytes], tmp_path: Path) -> None:
    path = rewritten(bundle, change)
    with pytest.raises(ModelLoadError):
        add_bundle(path, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "evil.onnx").exists()


def test_changed_weights_leave_nothing_behind(bundle: Path, tmp_path: Path) -> None:
    path = rewritten(bundle, {"one/model.onnx": b"other weights"})
    with pytest.raises(ModelLoadError, match="not those of its card"):
        add_bundle(path, tmp_path / "out")
    assert not (tmp_path / "out" / "one").exists()


def test_compressed_members_are_refused(bundle: Path, tmp_path: Path) -> None:
    path = rewritten(bundle, {}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelLoadError, match="compressed"):
        add_bundle(path, tmp_path / "out")


def test_a_truncated_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    bundle.write_bytes(bundle.read_bytes()[:-200])
    assert not is_bundle(bundle)
    with pytest.raises(ModelLoadError, match="not a bundle"):
        add_bundle(bundle, tmp_path / "out")


def test_no_bundle_of_nothing_or_of_one_twice(packages: list[ModelPackage], tmp_path: Path) -> None:
    for some in ([], [packages[0], packages[0]]):
        with pytest.raises(ModelLoadError, match="one of each"):
            write_bundle(some, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_page_says_everything_on_the_card(packages: list[ModelPackage]) -> None:
    card = replace(
        packages[0].card,
        generative=True,
        commercial=False,
        licence="CC-BY-NC-4.0",
        quality=(QualityRecord(data="leaves", metric="PSNR dB", value=31.25, twin="medians",
                               twin_value=30.5, command="wetgate bench x"),),
        training_data=(
            DataRecord(file="a|b.jpg", origin="pack", licence="CC0-1.0", author="A. Uthor",
                       sha256="ab" * 32),
            DataRecord(file="leaves", origin="generated"),
        ),
        options={"sigma_max": 60, "blind": True},
    )  # fmt: skip
    for page in (card_page(card), card_page(card, markdown=True)):
        for word in (
            "CC-BY-NC-4.0, NON-COMMERCIAL use only", "YES, generative", card.digest, "31.25",
            "30.5 medians", "wetgate bench x", "A. Uthor", "sigma_max", "in0, in1, in2",
            card.files["model.onnx"], "1 CC0-1.0, 1 not stated",
        ):  # fmt: skip
            assert word in page
    assert "a\\|b.jpg" in card_page(card, markdown=True)
    assert licence_line(packages[0].card) == "CC0-1.0, commercial use allowed"


def test_a_card_that_steers_the_terminal_is_refused(packages: list[ModelPackage]) -> None:
    text = (packages[0].folder / "card.json").read_text()
    bad = text.replace("random weights", "\\u001b[2Jsafe")
    assert bad != text
    (packages[0].folder / "card.json").write_text(bad)
    with pytest.raises(ModelLoadError, match="control characters"):
        open_package(packages[0].folder)
