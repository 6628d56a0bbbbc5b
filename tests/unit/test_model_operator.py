"""The operator that runs imported networks: range, bits, seams, windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.graphs import graph_package
from support.nets import make_package, reference
from wetgate.model.errors import ModelLoadError, RecipeError, UnsupportedImage
from wetgate.operators.base import Judged, Provenance, Resamples, SourceFacts, UsesModels, Window
from wetgate.operators.imported import exposure
from wetgate.operators.imported.operator import ModelOperator
from wetgate.operators.registry import make_operator
from wetgate.operators.verbs import assert_footprint_honest, run_operator
from wetgate.weights import ModelPackage

onnx = pytest.importorskip("onnx", reason="networks for the tests are written with onnx")
RGB = ("r", "g", "b")
Pixels = NDArray[np.float32]


def facts_of(frame: Pixels, *, is_log: bool) -> SourceFacts:
    height, width, channels = frame.shape
    return SourceFacts(
        sample_type="float16" if is_log else "uint16",
        width=width,
        height=height,
        channels=channels,
        is_log_working=is_log,
    )


def run(package: ModelPackage, frame: Pixels, *, is_log: bool = False, **more: Any) -> Pixels:
    operator = ModelOperator(name=str(package.folder))
    return run_operator(operator, {1: frame}, 1, facts=facts_of(frame, is_log=is_log), **more)


def hdr(height: int = 70, width: int = 90, channels: int = 3, seed: int = 0) -> Pixels:
    """Scene-linear light from -0.05 to 1000, with soft and hard borders."""
    rng = np.random.default_rng(seed)
    frame = rng.random((height, width, channels)) * 0.6
    frame[10:20, 10:30] = 1000.0
    frame[40:60, 50:80] *= 40.0
    frame[30:35, :10] = -0.05
    return frame.astype(np.float32)


def signed_log_oracle(x: NDArray[Any]) -> NDArray[np.float64]:
    """The working encoding of scene-linear light, written out again."""
    v = np.asarray(x, np.float64)
    return np.sign(v) * np.log1p(np.abs(v) * 128.0) / np.log1p(128.0)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("window", [0, 32])
def test_a_network_that_changes_nothing_leaves_every_bit(
    tmp_path: Path, is_log: bool, window: int
) -> None:
    package = graph_package(
        tmp_path,
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        halo=window,
        options={"window": window},
    )
    working = signed_log_oracle(hdr()).astype(np.float32)
    got = run(package, working, is_log=is_log, tile=(32, 32))
    assert np.array_equal(got.view(np.uint32), working.view(np.uint32))


def test_display_values_go_through_the_network_as_they_are(tmp_path: Path) -> None:
    package = make_package(tmp_path, inputs=RGB, outputs=RGB, seed=3)
    frame = np.random.default_rng(1).random((40, 52, 3), dtype=np.float32)
    wide = np.pad(frame, ((40, 40), (40, 40), (0, 0)), mode="reflect")
    want = reference(package, wide.transpose(2, 0, 1))[:, 40:-40, 40:-40].transpose(1, 2, 0)
    np.testing.assert_allclose(run(package, frame), want, atol=2e-5)
    assert want.min() < 0.0 or want.max() > 0.0


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_no_seam_shows_between_tiles_of_any_range(tmp_path: Path, scale: int) -> None:
    package = make_package(tmp_path, inputs=RGB, outputs=RGB, scale=scale, gain=0.3, seed=5)
    working = signed_log_oracle(hdr()).astype(np.float32)
    whole = run(package, working, is_log=True)
    tiled = run(package, working, is_log=True, tile=(32, 16))
    assert whole.shape == (70 * scale, 90 * scale, 3)
    assert float(np.abs(whole - tiled).max()) <= 1e-5


def test_what_the_network_says_arrives_at_the_scale_it_was_asked_at(tmp_path: Path) -> None:
    package = make_package(tmp_path, inputs=RGB, outputs=RGB, gain=0.3, seed=5)
    working = signed_log_oracle(np.pad(hdr(), ((64, 64), (64, 64), (0, 0)), mode="reflect"))
    whole = run(package, working.astype(np.float32), is_log=True)
    shown = exposure.to_display(working.astype(np.float32), is_log=True)
    offset, scale = exposure.local_range(shown)
    said = reference(package, ((shown - offset) / scale).transpose(2, 0, 1)).transpose(1, 2, 0)
    got = exposure.to_display(whole, is_log=True)
    inner = slice(64, -64), slice(64, -64)
    np.testing.assert_allclose(got[inner], (offset + scale * said)[inner], atol=1e-4)
    assert scale[inner].max() > 3.0
    assert offset[inner].min() < -0.2


def test_no_value_is_clamped_when_enlarged(tmp_path: Path) -> None:
    # A network that repeats pixels: flat parts must keep their values, -0.05 and 1000 alike.
    factors = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32))
    nodes = [
        onnx.helper.make_node("Constant", [], ["f"], value=factors),
        onnx.helper.make_node(
            "Resize",
            ["x", "", "f"],
            ["y"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    ]
    package = graph_package(tmp_path, nodes, scale=2)
    frame = np.full((60, 90, 3), 0.18, np.float32)
    frame[10:30, 10:30], frame[40:56, 60:80] = 1000.0, -0.05
    whole = run(package, signed_log_oracle(frame).astype(np.float32), is_log=True)
    knee = np.log1p(128.0)
    light = np.sign(whole) * np.expm1(np.abs(whole.astype(np.float64)) * knee) / 128.0
    assert light[36:44, 36:44] == pytest.approx(1000.0, rel=1e-3)
    assert light[92:100, 136:144] == pytest.approx(-0.05, rel=1e-3)
    assert light[:8, :8] == pytest.approx(0.18, rel=1e-3)


def test_what_the_network_is_shown_lies_in_0_to_1() -> None:
    for seed in range(3):
        shown = exposure.to_display(
            signed_log_oracle(hdr(seed=seed)).astype(np.float32), is_log=True
        )
        offset, scale = exposure.local_range(shown)
        seen = (shown - offset) / scale
        assert seen.min() >= -1e-6
        assert seen.max() <= 1.0 + 1e-6
        assert scale.min() == 1.0


def test_an_ordinary_picture_is_shown_as_it_is() -> None:
    frame = np.random.default_rng(0).random((50, 60, 3), dtype=np.float32)
    offset, scale = exposure.local_range(frame)
    assert not offset.any()
    assert np.array_equal(scale, np.ones_like(scale))


def test_the_local_range_looks_no_farther_than_it_says() -> None:
    frame = np.full((120, 120, 3), 0.5, np.float32)
    frame[60, 60] = 9.0
    _, scale = exposure.local_range(frame)
    rows, columns = np.nonzero(scale[..., 0] != 1.0)
    farthest = max(np.abs(rows - 60).max(), np.abs(columns - 60).max())
    assert 16 <= farthest <= exposure.REACH
    # Smooth: over the 16 px of the blur the scale rises by 8, so no step is larger than a few.
    assert np.abs(np.diff(scale[..., 0], axis=0)).max() < 8.0 / 8.0


def test_the_working_encoding_comes_back_from_display_however_large() -> None:
    light = np.concatenate([-np.geomspace(1e-5, 1e30, 300), [0.0], np.geomspace(1e-5, 1e30, 300)])
    log = signed_log_oracle(light)
    shown = exposure.to_display(log.astype(np.float32), is_log=True)
    np.testing.assert_allclose(shown, exposure.display(light), rtol=3e-5, atol=1e-6)
    back = exposure.from_display(shown, is_log=True)
    np.testing.assert_allclose(back, log, rtol=1e-5, atol=1e-6)
    # A network may say anything: what it says stays a number.
    wild = exposure.from_display(np.array([-1e6, 1e6], np.float32), is_log=True)
    assert np.isfinite(wild).all()
    assert wild[1] == -wild[0]


def test_the_display_curve_is_srgb_below_1_and_has_an_inverse() -> None:
    light = np.concatenate([-np.geomspace(1e-5, 2e4, 400), [0.0], np.geomspace(1e-5, 6e4, 400)])
    shown = exposure.display(light)
    low = np.abs(light) <= 1.0
    size = np.abs(light[low])
    srgb = np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(np.abs(shown[low]), srgb, atol=1e-12)
    np.testing.assert_allclose(exposure.display_inverse(shown), light, rtol=1e-9, atol=1e-12)
    assert (np.diff(shown[np.argsort(light)]) >= 0.0).all()
    step = 1e-6
    slopes = [
        (exposure.display(np.array([1.0 + b])) - exposure.display(np.array([1.0 + a]))) / step
        for a, b in ((-step, 0.0), (0.0, step))
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(
    ("kind", "scale", "unshuffle"), [("plain", 1, 1), ("unet", 1, 2), ("plain", 2, 1)]
)
def test_the_footprint_is_honest(
    tmp_path: Path, kind: str, scale: int, unshuffle: int, is_log: bool
) -> None:
    package = make_package(
        tmp_path, inputs=RGB, outputs=RGB, kind=kind, scale=scale, unshuffle=unshuffle, depth=2
    )
    log = signed_log_oracle(hdr(48, 64))
    frame = log if is_log else np.random.default_rng(2).random((48, 64, 3), np.float32)
    assert_footprint_honest(
        ModelOperator(name=str(package.folder)),
        {1: frame.astype(np.float32)},
        1,
        facts=facts_of(frame, is_log=is_log),
    )


def windowed(folder: Path, *, scale: int = 1) -> ModelPackage:
    """A network that looks at the mean of all it is given, in windows of 32 px."""
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        onnx.helper.make_node("Mul", ["x", "m"], ["p"]),
    ]
    if scale == 1:
        nodes.append(onnx.helper.make_node("Identity", ["p"], ["y"]))
    else:
        nodes += [
            onnx.helper.make_node("Concat", ["p"] * (scale * scale), ["c"], axis=1),
            onnx.helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=scale, mode="DCR"),
        ]
    return graph_package(
        folder, nodes, scale=scale, halo=32, options={"window": 32, "bytes_per_pixel": 64}
    )


@pytest.mark.parametrize("scale", [1, 2])
def test_windows_give_the_same_bits_in_any_tile(tmp_path: Path, scale: int) -> None:
    package = windowed(tmp_path, scale=scale)
    frame = np.random.default_rng(4).random((75, 90, 3), dtype=np.float32)
    whole = run(package, frame)
    for tile in ((16, 16), (48, 32), (90, 24)):
        assert np.array_equal(run(package, frame, tile=tile), whole)


def test_windows_are_those_of_the_grid_faded_into_each_other(tmp_path: Path) -> None:
    package = windowed(tmp_path)
    frame = np.random.default_rng(4).random((64, 64, 3), dtype=np.float32)
    got = run(package, frame)
    # By hand: windows of 32 px every 24 px, weights falling over 8 px to either end.
    wide = np.pad(frame, ((96, 96), (96, 96), (0, 0)), mode="reflect").astype(np.float64)
    place = np.arange(32) + 0.5
    fade = np.minimum(1.0, np.minimum(place, 32 - place) / 8)
    total, weight = np.zeros((64 + 192, 64 + 192, 3)), np.zeros((64 + 192, 64 + 192, 1))
    for y in range(-48, 64, 24):
        for x in range(-48, 64, 24):
            part = wide[y + 96 : y + 128, x + 96 : x + 128]
            share = np.outer(fade, fade)[..., None]
            total[y + 96 : y + 128, x + 96 : x + 128] += part * part.mean(axis=(0, 1)) * share
            weight[y + 96 : y + 128, x + 96 : x + 128] += share
    want = (total[96:160, 96:160] / weight[96:160, 96:160]).astype(np.float32)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_gray_frames_and_gray_networks_meet(tmp_path: Path) -> None:
    color = make_package(tmp_path, inputs=RGB, outputs=RGB, seed=8)
    frame = np.random.default_rng(3).random((40, 40, 1), dtype=np.float32)
    got = run(color, frame)
    thrice = run(color, np.repeat(frame, 3, axis=2))
    np.testing.assert_allclose(got[..., 0], thrice.mean(axis=2), atol=1e-6)

    gray = make_package(
        tmp_path, name="gray", planes_in=1, planes_out=1, inputs=("y",), outputs=("y",)
    )
    rgb = np.random.default_rng(3).random((40, 40, 3), dtype=np.float32)
    got = run(gray, rgb)
    for k in range(3):
        assert np.array_equal(got[..., k : k + 1], run(gray, rgb[..., k : k + 1].copy()))


def test_the_spec_follows_the_card(tmp_path: Path) -> None:
    package = make_package(tmp_path, inputs=RGB, outputs=RGB, scale=2, generative=True)
    operator = ModelOperator(name=str(package.folder))
    assert operator.spec.provenance == Provenance.INFERRED
    assert operator.spec.generative
    assert operator.spec.footprint.scale == 2
    assert operator.spec.footprint.halo == max(package.card.halo, 3) + exposure.REACH
    assert isinstance(operator, UsesModels)
    assert isinstance(operator, Resamples)
    assert operator.models() == (str(package.folder),)
    assert operator.without_network() is None
    assert operator.resample(np.ones((8, 8, 3), np.float32)) == pytest.approx(1.0)


def test_unchanged_pixels_are_judged_untouched(tmp_path: Path) -> None:
    # Only values above 0.5 are changed.
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32))
    nodes = [
        onnx.helper.make_node("Constant", [], ["half"], value=half),
        onnx.helper.make_node("Min", ["x", "half"], ["y"]),
    ]
    package = graph_package(tmp_path, nodes)
    frame = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    stage = ModelOperator(name=str(package.folder)).stages[0]
    from wetgate.model.box import Box

    box = Box.of_size(40, 40)
    window = Window(
        number=1,
        pixels=(frame,),
        previous=(),
        valid=(True,),
        pairs=(None,),
        region=box,
        tile=box,
        frame=box,
    )
    judged = stage(window, {}, facts_of(frame, is_log=False))
    assert isinstance(judged, Judged)
    assert judged.classes is not None
    changed = (frame > 0.5).any(axis=2)
    assert np.array_equal(judged.classes == Provenance.INFERRED, changed)
    assert np.array_equal(judged.classes == Provenance.UNTOUCHED, ~changed)
    assert np.array_equal(judged.pixels, np.minimum(frame, 0.5))
    two = replace(window, pixels=(frame[..., :2],))
    with pytest.raises(UnsupportedImage, match="2 color channels"):
        stage(two, {}, facts_of(frame, is_log=False))


def test_networks_with_other_planes_are_refused(tmp_path: Path) -> None:
    package = make_package(tmp_path, planes_in=7)
    with pytest.raises(ModelLoadError, match="7 planes"):
        _ = ModelOperator(name=str(package.folder)).spec
    package = make_package(tmp_path, name="t", inputs=RGB, outputs=RGB, temporal_radius=2)
    with pytest.raises(ModelLoadError, match="5 frames"):
        _ = ModelOperator(name=str(package.folder)).spec


def test_a_recipe_reaches_the_operator() -> None:
    operator = make_operator("model", {"name": "nobody", "backend": "onnx"})
    assert isinstance(operator, ModelOperator)
    with pytest.raises(RecipeError, match="backend"):
        make_operator("model", {"name": "nobody", "backend": "abacus"})
    with pytest.raises(RecipeError, match="name"):
        make_operator("model", {"name": ""})
