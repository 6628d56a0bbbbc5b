"""Light from -0.05 to 1000 through every operator there is: nothing clamped, nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.blurs import leaves
from support.nets import make_package
from support.plates import write_plate
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.io.formats import read_frame
from wetgate.model.errors import ModelLoadError
from wetgate.model.frame import SampleType
from wetgate.operators.base import SourceFacts, UsesModels
from wetgate.operators.registry import make_operator, operator_names
from wetgate.operators.verbs import run_operator
from wetgate.recipe import Recipe, Step
from wetgate.render.job import run_job
from wetgate.render.options import JobOptions

Pixels = NDArray[np.float32]
HEIGHT, WIDTH = 80, 112
FRAMES = (1, 2, 3)
MIDDLE = 2
RGB = ("r", "g", "b")

PARAMS: Mapping[str, Mapping[str, object]] = {
    "denoise": {"radius": 1, "step": 6},
    # Told the width: over hard light there may be too few edges to measure, and then it rests.
    "deblur": {"blur": 1.2},
    "model": {"name": "any", "backend": "onnx"},
}
RESTS = {
    "deartifact": "finds no block coding in rendered light, and then leaves it alone",
    "dirt": "what is on every frame is no dirt",
    "scratches": "no line runs through these frames",
}


def light(number: int) -> Pixels:
    """Soft shapes with noise, a lamp of 1000, a patch of -0.05."""
    rng = np.random.default_rng(number)
    picture = leaves(HEIGHT, WIDTH, seed=3)
    picture += np.float32(0.01) * rng.standard_normal(picture.shape).astype(np.float32)
    picture[20:28, 30:42] = 1000.0
    picture[20:28, 80:92] = 1000.0
    picture[50:66, 10:40] = -0.05
    return picture


def variants() -> list[Any]:
    """Every operator without a network, and with the one that comes with wetgate if it has."""
    found = []
    for name in operator_names():
        params = dict(PARAMS.get(name, {}))
        if name == "model":
            found.append(pytest.param(name, params, id=name))
            continue
        if "net" not in {f.name for f in fields(make_operator(name, params))}:  # type: ignore[arg-type]
            found.append(pytest.param(name, params, id=name))
            continue
        found.append(pytest.param(name, {**params, "net": "none"}, id=f"{name}-classical"))
        found.append(pytest.param(name, {**params, "backend": "onnx"}, id=f"{name}-net"))
    return found


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    make_package(folder, name="any", inputs=RGB, outputs=RGB, gain=0.01, licence="MIT")
    monkeypatch.setenv("WETGATE_MODELS", str(folder))


def made(name: str, params: Mapping[str, object]) -> Any:
    operator = make_operator(name, params)
    try:
        _ = operator.spec
    except ModelLoadError as error:
        pytest.skip(f"the network of {name} does not come with wetgate: {error}")
    return operator


@pytest.mark.parametrize(("name", "params"), variants())
@pytest.mark.parametrize("sample_type", ["half", "float"])
def test_nothing_is_clamped_and_what_the_matte_excludes_keeps_its_bits(
    tmp_path: Path, name: str, params: Mapping[str, object], sample_type: SampleType
) -> None:
    operator = made(name, params)
    scale = operator.spec.footprint.scale
    plate = write_plate(
        tmp_path / "in", FRAMES, suffix="exr", sample_type=sample_type, width=WIDTH,
        height=HEIGHT, picture=light,
    )  # fmt: skip
    more: dict[str, Any] = {}
    if scale == 1:  # a matte of the plate's size says nothing of a larger frame

        def left(_: int) -> Pixels:
            matte = np.ones((HEIGHT, WIDTH, 3), np.float32)
            matte[:, WIDTH // 2 :] = 0.0
            return matte

        more["matte"] = write_plate(
            tmp_path / "matte", FRAMES, width=WIDTH, height=HEIGHT, sample_type="uint16",
            picture=left,
        )  # fmt: skip
    recipe = Recipe(
        name="all", steps=(Step(operator=name, params=dict(params)),), input_space="ACEScg"
    )
    job = JobOptions(
        plate=plate, out=tmp_path / "out", recipe=recipe, frames=str(MIDDLE), threads=1, **more
    )
    report = run_job(job)
    assert report.exit_code == 0, [f.error for f in report.failed]
    file = f"plate.{MIDDLE:04d}.exr"
    source = read_frame(tmp_path / "in" / file, MIDDLE, color_space="x").pixels
    result = read_frame(tmp_path / "out" / file, MIDDLE, color_space="x").pixels
    assert np.isfinite(result).all()
    assert 0.5 * source.max() < result.max() < 4.1 * source.max()
    assert -1.0 < result.min() < -0.02
    if scale != 1:
        assert result.shape[:2] == (HEIGHT * scale, WIDTH * scale)
        return
    outside = np.s_[:, WIDTH // 2 :]
    assert np.array_equal(result[outside].view(np.uint32), source[outside].view(np.uint32))
    changed = not np.array_equal(result, source)
    assert changed == (name not in RESTS), RESTS.get(name, "it did nothing")


@pytest.mark.parametrize(("name", "params"), variants())
def test_tiles_leave_no_seam_in_hard_light(name: str, params: Mapping[str, object]) -> None:
    operator = made(name, params)
    is_log = operator.spec.working_space == "log"
    frames = {n: signed_log(light(n)) if is_log else light(n) for n in FRAMES}
    facts = SourceFacts(
        sample_type="half", width=WIDTH, height=HEIGHT, channels=3, is_log_working=is_log
    )
    analysis = operator.analyse(lambda n: frames[n], FRAMES, facts)
    whole = run_operator(operator, frames, MIDDLE, facts=facts, analysis=analysis)
    cut = run_operator(operator, frames, MIDDLE, facts=facts, analysis=analysis, tile=(64, 48))
    scale = Fraction(operator.spec.footprint.scale)
    assert whole.shape[:2] == (int(HEIGHT * scale), int(WIDTH * scale))
    if isinstance(operator, UsesModels) and operator.models():
        # Networks sum in another order for other shapes: relative, since light reaches 1000.
        if is_log:
            whole, cut = signed_log_inverse(whole), signed_log_inverse(cut)
        assert (np.abs(whole - cut) <= 1e-5 * np.maximum(1.0, np.abs(whole))).all()
    else:
        assert np.array_equal(whole.view(np.uint32), cut.view(np.uint32))
