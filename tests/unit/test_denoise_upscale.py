"""The joint operator: its classical twin, its network's planes, its bounds, its footprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import (
    Analysis,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
    pixels_of,
)
from wetgate.operators.denoise.net import spatial_planes
from wetgate.operators.denoise.shot import shot_noise
from wetgate.operators.denoise_upscale.operator import DenoiseUpscaleOperator
from wetgate.operators.denoise_upscale.planes import NAMES, noisy_limits
from wetgate.operators.registry import make_operator
from wetgate.operators.upscale.operator import UpscaleOperator, seen_by_net
from wetgate.operators.upscale.planes import DETAIL_NAMES
from wetgate.operators.upscale.resample import enlarge, interleave, limits
from wetgate.operators.verbs import run_operator
from wetgate.weights import find_model

from tests.support.nets import make_package, reference

SIGMA = 0.06


def facts(pixels: Pixels, *, log: bool = False) -> SourceFacts:
    height, width, channels = pixels.shape
    return SourceFacts(
        sample_type="float", width=width, height=height, channels=channels, is_log_working=log
    )


def noisy_scene(width: int = 64, height: int = 48, seed: int = 3) -> tuple[Pixels, Pixels]:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.3, 0.7, (height // 8, width // 8, 3)).astype(np.float32)
    clean = interleave(enlarge(coarse, 8, "bicubic"))
    clean[16:34, 24:52] *= 0.5
    noise = rng.normal(0, SIGMA, clean.shape).astype(np.float32)
    return clean, clean + noise


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> DenoiseUpscaleOperator:
    folder = tmp_path_factory.mktemp("models")
    make_package(
        folder, name="joint", planes_in=len(NAMES), kind="unet", scale=2, gain=0.05, inputs=NAMES,
        task="denoise-upscale",
    )  # fmt: skip
    return DenoiseUpscaleOperator(radius=1, net=str(folder / "joint"), backend="onnx")


Shot = tuple[Pixels, Analysis, Pixels]


@pytest.fixture(scope="module")
def shot(operator: DenoiseUpscaleOperator) -> Shot:
    """A noisy frame, what was measured of it, and what denoise with its networks makes of it."""
    _, noisy = noisy_scene()
    analysis = operator.analyse(lambda n: noisy, [0], facts(noisy))
    return noisy, analysis, denoised(operator, noisy, analysis)


def denoised(operator: DenoiseUpscaleOperator, noisy: Pixels, analysis: Analysis) -> Pixels:
    return run_operator(operator.denoise(), {0: noisy}, 0, facts=facts(noisy), analysis=analysis)


def last_stage(operator: DenoiseUpscaleOperator, shot: Shot, tile: Box | None = None) -> Pixels:
    noisy, analysis, base = shot
    frame = Box.of_size(noisy.shape[1], noisy.shape[0])
    tile = tile or frame
    stage = operator.stages[-1]
    halo = stage.footprint.halo
    region = tile.grown(halo)

    def cut(pixels: Pixels) -> Pixels:
        wide = np.pad(pixels, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
        return np.ascontiguousarray(wide[region.within(frame.grown(halo))])

    window = Window(
        number=0,
        pixels=(cut(noisy),),
        previous=(cut(base),),
        valid=(True,),
        pairs=(None,),
        region=region,
        tile=tile,
        frame=frame,
    )
    return pixels_of(stage(window, analysis, facts(noisy)))


def test_without_network_it_is_denoise_then_upscale(
    operator: DenoiseUpscaleOperator, shot: Shot
) -> None:
    noisy, analysis, _ = shot
    plain = operator.without_network()
    base = denoised(plain, noisy, analysis)
    joint = run_operator(plain, {0: noisy}, 0, facts=facts(noisy), analysis=analysis)
    twice = run_operator(UpscaleOperator(net="none"), {0: base}, 0, facts=facts(base))
    np.testing.assert_array_equal(joint, twice)
    np.testing.assert_array_equal(joint, last_stage(plain, (noisy, analysis, base)))


def test_what_the_network_adds_is_its_output_within_the_limits(
    operator: DenoiseUpscaleOperator, shot: Shot
) -> None:
    noisy, analysis, base = shot
    got = last_stage(operator, shot)
    noise = shot_noise(analysis, 1.0)
    sigma = noise.sigma(base)
    planes = spatial_planes(base, noisy, sigma, flatness=noise.flatness)
    added = reference(find_model(operator.net), planes).transpose(1, 2, 0)
    detail = reference(find_model("wg-upscale2"), seen_by_net(base)).transpose(1, 2, 0)
    own = interleave(enlarge(base, 2)) + detail
    want = own + added
    low, high = (np.kron(v, np.ones((2, 2, 1))) for v in noisy_limits(base, sigma))
    want = np.clip(want, low, high)
    inner = np.s_[36:-36, 36:-36]
    np.testing.assert_allclose(got[inner], want[inner], atol=1e-5)
    assert float(np.abs(got - own)[inner].max()) > 1e-3


def test_tiles_leave_no_trace(operator: DenoiseUpscaleOperator, shot: Shot) -> None:
    for one in (operator, operator.without_network()):
        whole = last_stage(one, shot)
        for tile in Box.of_size(64, 48).tiles(24, 20):
            rows, columns = slice(2 * tile.y0, 2 * tile.y1), slice(2 * tile.x0, 2 * tile.x1)
            np.testing.assert_array_equal(last_stage(one, shot, tile), whole[rows, columns])


def test_light_of_any_size_comes_through(operator: DenoiseUpscaleOperator) -> None:
    clean, noisy = noisy_scene()
    light = signed_log_inverse(noisy * np.float32(3.0) - np.float32(0.7))
    assert light.min() < -0.02
    assert light.max() > 40
    shot = {0: signed_log(light)}
    out = run_operator(operator, shot, 0, facts=facts(noisy, log=True))
    shown = signed_log_inverse(out)
    assert np.isfinite(shown).all()
    assert float(shown.max()) > 0.4 * float(signed_log_inverse(3 * clean - np.float32(0.7)).max())
    assert float(shown.min()) < 0


def test_a_clean_shot_is_enlarged_as_upscale_does(operator: DenoiseUpscaleOperator) -> None:
    clean, _ = noisy_scene()
    shot = {0: clean}
    analysis = {"deviation": 0.0}
    for joint, net in ((operator, "auto"), (operator.without_network(), "none")):
        got = run_operator(joint, shot, 0, facts=facts(clean), analysis=analysis)
        enlarger = UpscaleOperator(net=net, backend="onnx")
        np.testing.assert_array_equal(got, run_operator(enlarger, shot, 0, facts=facts(clean)))


def test_noise_widens_the_limits_by_its_deviation() -> None:
    clean, _ = noisy_scene()
    sigma = np.full_like(clean, 0.1)
    low, high = noisy_limits(clean, sigma)
    strict = limits(clean, 1.0)
    np.testing.assert_allclose(strict[0] - low, 0.1, atol=1e-6)
    np.testing.assert_allclose(high - strict[1], 0.1, atol=1e-6)


def test_facts_and_refusals(operator: DenoiseUpscaleOperator) -> None:
    spec = operator.spec
    assert spec.footprint.scale == 2
    assert spec.footprint.halo == sum(s.footprint.halo for s in operator.stages)
    assert spec.footprint.temporal_radius == operator.denoise().spec.footprint.temporal_radius
    assert spec.provenance is Provenance.INFERRED
    assert [s.footprint.scale for s in operator.stages] == [1, 1, 1, 1, 2]
    assert operator.stages[3].footprint.exact_output
    joint, *others = operator.models()
    assert joint == operator.net
    assert set(others) == {"wg-denoise", "wg-denoise-t", "wg-denoise-still", "wg-upscale2"}
    assert operator.without_network() == replace(operator, net="none")
    assert operator.without_network().spec.provenance is Provenance.FILTERED
    folder = Path(operator.net).parent
    make_package(folder, name="other", scale=2, inputs=DETAIL_NAMES)
    with pytest.raises(ModelLoadError, match=r"expected detail\.r"):
        _ = replace(operator, net=str(folder / "other")).spec
    for wrong in ({"radius": 9}, {"back_projection": 9}, {"backend": "abacus"}):
        with pytest.raises(Exception, match="denoise-upscale"):
            make_operator("denoise-upscale", wrong)
    assert make_operator("denoise-upscale", {"net": "none"}).spec.name == "denoise-upscale"
