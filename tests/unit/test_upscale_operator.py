"""The upscale operator: footprint, tiles, consistency, exposure, edges, with and without a net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wetgate.bench.edges import mtf50, overshoot, slanted_edge
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.measure import psnr
from wetgate.model.errors import ModelLoadError, RecipeError
from wetgate.operators.base import Pixels, Provenance, SourceFacts
from wetgate.operators.registry import make_operator
from wetgate.operators.upscale.operator import UpscaleOperator
from wetgate.operators.upscale.planes import DETAIL_NAMES, detail
from wetgate.operators.upscale.resample import downscale, enlarge, interleave
from wetgate.operators.verbs import assert_footprint_honest, run_operator

from tests.support.nets import make_package, reference

WIDTH, HEIGHT = 88, 72


def facts(pixels: Pixels, *, log: bool = False) -> SourceFacts:
    height, width, channels = pixels.shape
    return SourceFacts(
        sample_type="half", width=width, height=height, channels=channels, is_log_working=log
    )


def run(
    operator: UpscaleOperator,
    pixels: Pixels,
    *,
    log: bool = False,
    tile: tuple[int, int] | None = None,
) -> Pixels:
    return run_operator(operator, {5: pixels}, 5, facts=facts(pixels, log=log), tile=tile)


def scene(width: int = WIDTH, height: int = HEIGHT, seed: int = 2) -> Pixels:
    """Blobs, a disk and a stripe with soft ends, 0.05 to 0.95, sharp as a good photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.3, 0.7, (height // 4, width // 4, 3)).astype(np.float32)
    base = interleave(enlarge(coarse, 4, "bicubic"))
    y, x = np.mgrid[0:height, 0:width]
    disk = np.clip(14 - np.hypot(x - 30, y - 34), 0, 1)[..., None]
    stripe = np.clip(1.5 - np.abs(0.4 * x + 0.9 * y - 50), 0, 1)[..., None]
    base = base + disk * ([0.9, 0.2, 0.3] - base)
    return np.asarray(base + stripe * ([0.1, 0.1, 0.2] - base), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def with_net(folder: Path, scale: int, gain: float = 0.3) -> UpscaleOperator:
    name = f"random{scale}"
    if not (folder / name).is_dir():
        make_package(
            folder, name=name, scale=scale, gain=gain, inputs=DETAIL_NAMES, task="upscale", depth=3
        )
    return UpscaleOperator(scale=scale, net=str(folder / name), backend="onnx")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("scale", "method"), [(2, "lanczos"), (4, "ewa")])
def test_footprint_is_honest_and_tiles_leave_no_trace(scale: int, method: str, log: bool) -> None:
    operator = UpscaleOperator(scale=scale, method=method, net="none")
    frames = {5: scene(64, 56)}
    assert_footprint_honest(operator, frames, 5, facts=facts(frames[5], log=log))


@pytest.mark.parametrize("scale", [2, 4])
def test_footprint_is_honest_with_a_network(folder: Path, scale: int) -> None:
    frames = {5: scene(64, 56)}
    assert_footprint_honest(with_net(folder, scale), frames, 5, facts=facts(frames[5]))


def test_the_halo_is_at_most_one_px_too_large() -> None:
    operator = UpscaleOperator(net="none", back_projection=1)
    pixels = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    halo = operator.spec.footprint.halo
    other = pixels.copy()
    other[:, 20 + halo - 1] += 0.5
    a, b = run(operator, pixels)[:, 40:42], run(operator, other)[:, 40:42]
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("net", [False, True])
def test_the_result_reduces_to_the_source(folder: Path, scale: int, net: bool) -> None:
    operator = with_net(folder, scale) if net else UpscaleOperator(scale=scale, net="none")
    pixels = scene()
    without = psnr(pixels, downscale(run(replace(operator, back_projection=0), pixels), scale))
    consistency = psnr(pixels, downscale(run(operator, pixels), scale))
    assert consistency > max(45.0, without + 5.0)


def test_scene_linear_light_is_kept_over_every_square() -> None:
    light = np.exp2(6 * scene() - 3).astype(np.float32)
    made = run(UpscaleOperator(net="none", back_projection=4), signed_log(light), log=True)
    kept = downscale(signed_log_inverse(made), 2, "area")
    error = np.abs(kept / light - 1)
    assert float(np.quantile(error, 0.99)) < 0.02
    plain = run(UpscaleOperator(net="none", back_projection=0), signed_log(light), log=True)
    before = np.abs(downscale(signed_log_inverse(plain), 2, "area") / light - 1)
    assert float(np.quantile(before, 0.99)) > 2 * float(np.quantile(error, 0.99))


@pytest.mark.parametrize("net", [False, True])
def test_an_offset_in_is_the_same_offset_out(folder: Path, net: bool) -> None:
    """No value is clamped and no exposure is special: a stop is an offset in a log encoding."""
    operator = with_net(folder, 2) if net else UpscaleOperator(net="none")
    pixels = scene()
    plain = run(operator, pixels)
    for offset in (-0.5, 3.0):
        moved = run(operator, pixels + np.float32(offset)) - np.float32(offset)
        np.testing.assert_allclose(moved, plain, atol=1e-5)


def test_values_far_outside_the_display_keep_their_places(folder: Path) -> None:
    light = np.linspace(-0.05, 1000.0, WIDTH, dtype=np.float32)
    ramp = np.repeat(np.repeat(light[None, :, None], HEIGHT, 0), 3, 2)
    ramp[:, :3] = -0.05
    ramp[20:40, 20:60] = 0.01
    for operator in (UpscaleOperator(net="none"), with_net(folder, 2)):
        made = run(operator, signed_log(ramp), log=True)
        out = signed_log_inverse(made)
        assert np.isfinite(out).all()
        assert float(out.max()) > 990.0
        assert float(out.min()) == pytest.approx(-0.05, abs=1e-3)
        untouched = run(operator, signed_log(ramp), log=True, tile=(24, 40))
        np.testing.assert_array_equal(made, untouched)


def test_gray_goes_through_the_network_as_three_equal_channels(folder: Path) -> None:
    operator = with_net(folder, 2)
    gray = scene()[..., :1].copy()
    color = run(operator, np.repeat(gray, 3, 2))
    assert run(operator, gray).shape == (2 * HEIGHT, 2 * WIDTH, 1)
    plain = run(operator.without_network(), gray)
    change = (run(operator, gray) - plain)[..., 0]
    assert np.corrcoef(change.ravel(), (color.mean(2) - plain[..., 0]).ravel())[0, 1] > 0.9


def test_what_the_network_adds_is_its_output_on_the_detail_planes(folder: Path) -> None:
    operator = replace(with_net(folder, 2, gain=0.02), back_projection=0)
    pixels = scene()
    package = make_package(
        folder, name="weak2", scale=2, gain=0.002, inputs=DETAIL_NAMES, task="upscale", depth=3
    )
    operator = replace(operator, net=str(folder / "weak2"))
    halo = operator.spec.footprint.halo
    wide = np.pad(pixels, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
    want = reference(package, detail(wide).transpose(2, 0, 1)).transpose(1, 2, 0)
    added = run(operator, pixels) - run(operator.without_network(), pixels)
    inner = want[2 * halo : -2 * halo, 2 * halo : -2 * halo]
    assert float(np.abs(want).max()) > 1e-4
    # Where the limits cut, less is added; most pixels lie within.
    assert float(np.mean(np.abs(added - inner) < 1e-6)) > 0.8


def test_detail_takes_the_mean_of_a_square_of_luma_away() -> None:
    pixels = scene()
    y, x = 30, 41
    slow = pixels[y - 3 : y + 4, x - 3 : x + 4].astype(np.float64).mean()
    np.testing.assert_allclose(detail(pixels)[y, x], pixels[y, x] - slow, atol=1e-6)


@pytest.mark.parametrize("degrees", [5, 22, 45])
def test_edges_get_sharper_than_lanczos_leaves_them_and_do_not_ring(degrees: int) -> None:
    edge = slanted_edge(56, degrees, 0.2, 0.8)
    operator = UpscaleOperator(net="none")
    made = run(operator, edge)
    assert overshoot(made[16:-16, 16:-16], 0.2, 0.8) < 0.1
    lanczos = interleave(enlarge(edge, 2))
    assert overshoot(lanczos[16:-16, 16:-16], 0.2, 0.8) > 4
    assert mtf50(made, degrees, 2) > 1.1 * mtf50(lanczos, degrees, 2)
    assert overshoot(operator.resample(edge)[16:-16, 16:-16], 0.2, 0.8) < 0.1


def test_facts_follow_the_network(folder: Path) -> None:
    plain = UpscaleOperator(net="none")
    assert plain.models() == ()
    assert plain.spec.provenance is Provenance.FILTERED
    assert UpscaleOperator(scale=4).models() == ("wg-upscale4",)
    operator = with_net(folder, 2)
    assert operator.spec.provenance is Provenance.INFERRED
    assert operator.without_network() == replace(operator, net="none")
    assert operator.spec.footprint.scale == 2


def test_a_network_of_another_kind_is_refused(folder: Path) -> None:
    make_package(folder, name="other", scale=2)
    with pytest.raises(ModelLoadError, match=r"expected detail\.r"):
        _ = UpscaleOperator(net=str(folder / "other")).spec
    with_net(folder, 4)
    with pytest.raises(ModelLoadError, match="enlarges by 4"):
        _ = UpscaleOperator(scale=2, net=str(folder / "random4")).spec


@pytest.mark.parametrize(
    "params",
    [
        {"scale": 3},
        {"scale": 2.0},
        {"method": "nearest"},
        {"back_projection": 9},
        {"backend": "abacus"},
        {"precision": "fp8"},
        {"sharpness": 1},
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="upscale"):
        make_operator("upscale", params)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("net", ["none", "auto"])
def test_a_small_hard_light_may_double_in_light_and_nothing_turns_negative(
    scale: int, net: str
) -> None:
    light = np.full((24, 28, 3), 0.1, np.float32)
    light[10:12, 12:14] = 1000.0
    light[17, 6] = 0.001
    out = signed_log_inverse(
        run(UpscaleOperator(scale=scale, net=net), signed_log(light), log=True)
    )
    assert 900.0 < out.max() < 2000.0
    assert out.min() >= 0.0
