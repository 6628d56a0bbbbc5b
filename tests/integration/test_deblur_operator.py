"""The deblur operator as the engine calls it: its law, its silence, its network's limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from support.blurs import by_fourier, leaves
from support.nets import make_package
from support.plates import write_plate
from wetgate.io.formats import read_frame
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError, RecipeError
from wetgate.operators.base import Analysis, Judged, Provenance, SourceFacts, Window
from wetgate.operators.deblur.classical import (
    GUARD,
    deconvolve,
    design,
    encode,
    nearest_sigma,
)
from wetgate.operators.deblur.operator import DeblurOperator
from wetgate.operators.deblur.planes import INPUTS, OUTPUTS, correction_limit
from wetgate.operators.deblur.psf import gaussian_psf, motion_psf
from wetgate.operators.deblur.shot import noise_at
from wetgate.operators.registry import make_operator
from wetgate.operators.verbs import assert_footprint_honest, run_operator
from wetgate.recipe import Recipe, Step
from wetgate.render.job import run_job
from wetgate.render.options import JobOptions
from wetgate.weights import write_package

Pixels = NDArray[np.float32]
SHARP = leaves(120, 150)
SOFT = by_fourier(SHARP, gaussian_psf(1.4))
PLAIN = DeblurOperator(net="none", blur=1.4)


def facts(pixels: Pixels) -> SourceFacts:
    height, width, channels = pixels.shape
    return SourceFacts(
        sample_type="half", width=width, height=height, channels=channels, is_log_working=False
    )


def psnr(a: Pixels, b: Pixels) -> float:
    inner = np.s_[12:-12, 12:-12]
    return float(-10 * np.log10(np.mean((a[inner].astype(np.float64) - b[inner]) ** 2)))


def run(operator: DeblurOperator, pixels: Pixels, analysis: Analysis | None = None) -> Pixels:
    return run_operator(operator, {7: pixels}, 7, facts=facts(pixels), analysis=analysis)


@pytest.fixture
def net(tmp_path: Path) -> str:
    package = make_package(
        tmp_path,
        name="random-deblur",
        planes_in=len(INPUTS),
        planes_out=3,
        kind="unet",
        gain=3.0,
        task="deblur",
        inputs=INPUTS,
        outputs=OUTPUTS,
    )
    return str(package.folder)


@pytest.mark.parametrize("blur", ["auto", 0.8])
def test_tiles_never_show_without_a_network(blur: str | float) -> None:
    operator = DeblurOperator(net="none", blur=blur)
    assert_footprint_honest(operator, {7: SOFT}, 7, facts=facts(SOFT))


def test_tiles_never_show_with_a_network(net: str) -> None:
    operator = DeblurOperator(net=net, blur=0.8)
    assert_footprint_honest(operator, {7: SOFT}, 7, facts=facts(SOFT))


def test_blur_that_was_measured_is_taken_back() -> None:
    sharp = leaves(200, 220)
    soft = by_fourier(sharp, gaussian_psf(1.4))
    assert psnr(run(DeblurOperator(net="none"), soft), sharp) > psnr(soft, sharp) + 2.0


def test_motion_comes_back_bit_for_bit_and_the_report_says_why() -> None:
    sharp = leaves(200, 220)
    shaken = by_fourier(sharp, motion_psf(7.0, 25.0))
    operator = DeblurOperator(net="none")
    analysis = operator.analyse(lambda n: shaken, [7], facts(shaken))
    assert np.array_equal(run(operator, shaken, analysis), shaken)
    box = Box.of_size(220, 200)
    window = Window(
        number=7, pixels=(shaken,), previous=(), valid=(True,), pairs=(None,),
        region=box, tile=box, frame=box,
    )  # fmt: skip
    judged = operator.stages[0](window, analysis, facts(shaken))
    assert isinstance(judged, Judged) and "motion" in judged.notes[0]


def test_the_network_moves_a_pixel_no_further_than_it_may(net: str) -> None:
    operator = DeblurOperator(net=net, blur=1.4)
    analysis = operator.analyse(lambda n: SOFT, [7], facts(SOFT))
    ours, plain = run(operator, SOFT, analysis), run(PLAIN, SOFT, analysis)
    change = encode(ours) - encode(plain)
    pad = ((GUARD, GUARD), (GUARD, GUARD), (0, 0))
    source, classical = (np.pad(encode(p), pad, "edge") for p in (SOFT, plain))
    limit = correction_limit(source, classical, noise_at(analysis, source))
    inner = np.s_[GUARD:-GUARD, GUARD:-GUARD]
    assert (np.abs(change[inner]) <= limit[inner] + 1e-5).all()
    # The network is random and bold: it must be the limit that holds it.
    assert (np.abs(change[inner]) > 0.98 * limit[inner]).mean() > 0.2


def test_a_network_that_says_nothing_leaves_the_classical_bits(tmp_path: Path) -> None:
    package = make_package(
        tmp_path,
        name="silent",
        planes_in=len(INPUTS),
        planes_out=3,
        gain=0.0,
        task="deblur",
        inputs=INPUTS,
        outputs=OUTPUTS,
    )
    model = onnx.load_model_from_string(package.read("model.onnx"))
    for tensor in model.graph.initializer[-2:]:
        tensor.CopyFrom(
            numpy_helper.from_array(np.zeros(list(tensor.dims), np.float32), tensor.name)
        )
    write_package(
        package.folder, package.card, {"model.onnx": model.SerializeToString()}, overwrite=True
    )
    operator = DeblurOperator(net=str(package.folder), blur=1.4)
    assert np.array_equal(run(operator, SOFT), run(PLAIN, SOFT))


def test_gray_is_sharpened_like_three_equal_channels(net: str) -> None:
    gray = np.ascontiguousarray(SOFT.mean(axis=2, keepdims=True))
    thrice = np.ascontiguousarray(np.repeat(gray, 3, axis=2))
    assert np.allclose(run(PLAIN, gray), run(PLAIN, thrice)[..., :1], atol=2e-6)
    operator = DeblurOperator(net=net, blur=1.4)
    out = run(operator, gray)
    assert out.shape == gray.shape and not np.array_equal(out, run(PLAIN, gray))


@pytest.mark.parametrize("with_net", [False, True])
def test_light_of_any_size_survives(with_net: bool, net: str) -> None:
    wide = SOFT * np.float32(10) - np.float32(0.35)
    wide[40:48, 60:68] = 1000.0
    wide[90:, :30] = -0.05
    operator = DeblurOperator(net=net if with_net else "none", blur=1.4)
    out = run(operator, wide)
    assert np.isfinite(out).all()
    assert 900.0 < out.max() < 4001.0
    assert -1.0 < out.min() < -0.04


def test_exposure_scales_through() -> None:
    """Far above the knee the result of light k times as strong is k times as strong."""
    bright = SOFT * np.float32(64)
    brighter = bright * np.float32(4)
    analysis = PLAIN.analyse(lambda n: bright, [7], facts(bright))
    one, two = run(PLAIN, bright, analysis), run(PLAIN, brighter, analysis)
    assert np.median(np.abs(two / 4 - one) / one) < 2e-3


def test_the_operator_is_the_classical_filter_and_nothing_else() -> None:
    analysis = PLAIN.analyse(lambda n: SOFT, [7], facts(SOFT))
    made = design(nearest_sigma(1.4), str(analysis["shape"]))  # type: ignore[arg-type]
    rim = ((made.reach,) * 2,) * 2 + ((0, 0),)
    want = deconvolve(np.pad(SOFT, rim, "reflect"), noise_at(analysis, encode(SOFT)), made)
    assert np.array_equal(run(PLAIN, SOFT, analysis), want)


def test_provenance_follows_the_network(net: str) -> None:
    assert PLAIN.spec.provenance == Provenance.FILTERED
    assert PLAIN.models() == ()
    operator = DeblurOperator(net=net)
    assert operator.spec.provenance == Provenance.INFERRED
    assert operator.models() == (net,)
    assert operator.without_network() == DeblurOperator(net="none")
    assert operator.spec.footprint.halo > operator.without_network().spec.footprint.halo


@pytest.mark.parametrize(
    "params", [{"blur": 0.1}, {"blur": 9}, {"blur": "big"}, {"backend": "x"}, {"precision": "x"}]
)
def test_what_makes_no_sense_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="deblur"):
        make_operator("deblur", {"net": "none", **params})


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    package = make_package(tmp_path, name="other")
    with pytest.raises(ModelLoadError, match=r"source\.r"):
        _ = DeblurOperator(net=str(package.folder)).spec


def test_the_engine_renders_it_and_reports_motion(tmp_path: Path) -> None:
    sharp = leaves(140, 160)
    shaken = by_fourier(sharp, motion_psf(7.0, 25.0))
    still = by_fourier(sharp, gaussian_psf(1.4))
    for name, picture in (("shaken", shaken), ("still", still)):
        folder = write_plate(
            tmp_path / name, [1], suffix="exr", sample_type="half", width=160, height=140,
            picture=lambda n, p=picture: p,
        )  # fmt: skip
        step = Step(operator="deblur", params={"net": "none"})
        made = Recipe(name="deblur", steps=(step,), input_space="ACEScg")
        out = tmp_path / f"{name}-out"
        report = run_job(JobOptions(plate=folder, out=out, recipe=made, threads=1))
        source = read_frame(folder / "plate.0001.exr", 1, color_space="ACEScg").pixels
        result = read_frame(out / "plate.0001.exr", 1, color_space="ACEScg").pixels
        if name == "shaken":
            assert np.array_equal(result, source)
            assert any("motion" in remark for f in report.frames for remark in f.remarks)
        else:
            assert psnr(result, sharp) > psnr(source, sharp) + 1.5
