"""The yardsticks of the upscale benchmark: luma, SSIM, edges, peers; and the training batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from wetgate.bench.edges import overshoot, slanted_edge
from wetgate.bench.upscale import sets as upscale
from wetgate.bench.upscale.bands import bands
from wetgate.bench.upscale.edges import _color_edge
from wetgate.bench.upscale.peers import peers
from wetgate.measure import luma_601, ssim
from wetgate.operators.base import Pixels
from wetgate.operators.upscale.operator import UpscaleOperator
from wetgate.operators.upscale.planes import detail
from wetgate.operators.upscale.resample import downscale, enlarge, interleave


def test_luma_runs_from_16_to_235_and_rounds_to_codes_first() -> None:
    colors = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0]]], np.float32)
    want = [16.0, 235.0, 16 + 65.481, 16 + 128.553]
    np.testing.assert_allclose(luma_601(colors)[0], want, atol=1e-9)
    nearly = np.full((1, 1, 3), 100.4 / 255, np.float32)
    assert luma_601(nearly)[0, 0] == pytest.approx(16 + 219 * 100 / 255)
    assert luma_601(np.full((1, 1, 3), 7.0, np.float32))[0, 0] == pytest.approx(235.0)


def test_ssim_of_two_flat_planes_is_the_term_of_their_levels() -> None:
    a, b = np.full((20, 20), 100.0), np.full((20, 20), 130.0)
    c1 = (0.01 * 255) ** 2
    want = (2 * 100 * 130 + c1) / (100**2 + 130**2 + c1)
    assert ssim(a, b) == pytest.approx(want, abs=1e-9)
    assert ssim(a, a) == pytest.approx(1.0)


def test_ssim_of_noise_against_its_negative_is_near_minus_one() -> None:
    noise = np.random.default_rng(0).normal(0, 30, (64, 64))
    assert ssim(128 + noise, 128 - noise) < -0.8
    with pytest.raises(ValueError, match="11 px"):
        ssim(noise[:8], noise[:8])


def test_the_slanted_edge_has_the_coverage_of_its_squares() -> None:
    edge = slanted_edge(8, 0.0, 0.0, 1.0, gray=True)[..., 0]
    np.testing.assert_allclose(edge, np.repeat([[0] * 4 + [1] * 4], 8, 0), atol=1e-6)
    turned = slanted_edge(16, 30.0, 0.0, 1.0, gray=True)[..., 0]
    assert turned.mean() == pytest.approx(0.5, abs=1e-3)
    # The edge crosses row y at x = -y tan(30 degrees) from the middle.
    row = 16 / 2 - (15.5 - 8) * np.tan(np.deg2rad(30))
    assert turned[15].sum() == pytest.approx(16 - row, abs=0.05)


def test_overshoot_is_in_percent_of_the_edge_and_takes_the_worse_side() -> None:
    shown = np.array([[[0.19], [0.5], [0.86]]], np.float32)
    assert overshoot(shown, 0.2, 0.8) == pytest.approx(10.0, rel=1e-4)


def test_an_even_edge_has_one_luma() -> None:
    edge = _color_edge(32, (0.85, 0.15, 0.15), (0.2, 0.6, 0.2), even=True)
    luma = edge @ np.array([0.299, 0.587, 0.114], np.float32)
    assert float(np.ptp(luma)) < 1e-6
    assert float(np.ptp(edge[..., 0])) > 0.3


@pytest.mark.parametrize("name", ["bicubic", "Lanczos3", "OpenCV", "zscale lanczos"])
def test_peers_keep_the_picture_in_its_place(name: str) -> None:
    if "zscale" in name:
        pytest.importorskip("imageio_ffmpeg", reason="ffmpeg comes with the bench extra")
    peer = next(p for p in peers() if name in p.name)
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    ramp = np.stack([x / 40, y / 40, (x + y) / 80], axis=2)
    at_y, at_x = np.meshgrid((np.arange(48) - 0.5) / 2, (np.arange(64) - 0.5) / 2, indexing="ij")
    want = np.stack([at_x / 40, at_y / 40, (at_x + at_y) / 80], axis=2)
    got = peer.run(ramp, 2)
    np.testing.assert_allclose(got[10:-10, 10:-10], want[10:-10, 10:-10], atol=2e-3)


def test_scores_are_those_of_the_usual_protocol(shared_data: Path) -> None:
    """Published for bicubic, Set5 x2: 33.66 dB and 0.9299 with MATLAB's rounding."""
    found = upscale.pictures(shared_data, "set5")
    bicubic = peers()[0]
    scores = []
    for picture in found:
        truth, small = upscale.reduced(picture, 2)
        scores.append(upscale.score(truth, small, bicubic.run(small, 2), 2))
    assert np.mean([s.psnr for s in scores]) == pytest.approx(33.66, abs=0.05)
    assert np.mean([s.ssim for s in scores]) == pytest.approx(0.9299, abs=0.001)


def test_coherence_is_that_of_signal_in_noise_and_ignores_gain() -> None:
    """Of a signal with as much independent noise it is one half; of another picture, near none."""
    rng = np.random.default_rng(3)

    def gray(plane: np.ndarray) -> Pixels:
        return np.repeat(plane[..., None], 3, axis=2).astype(np.float32)

    signal, noise = rng.normal(0, 0.05, (2, 512, 512))
    clean = [gray(0.5 + signal)]
    half = bands(clean, [gray(0.5 + signal + noise)], 2)
    quiet = bands(clean, [gray(0.5 + 0.5 * signal)], 2)
    alien = bands(clean, [gray(0.5 + noise)], 2)
    for one, other, none in zip(half, quiet, alien, strict=True):
        assert one.coherence == pytest.approx(0.5, abs=0.06)
        assert one.energy == pytest.approx(2.0, abs=0.2)
        assert other.coherence > 0.98
        assert other.energy == pytest.approx(0.25, abs=0.02)
        assert none.coherence < 0.05
    assert {b.verdict for b in alien} == {"invented"}
    assert {b.verdict for b in quiet} == {"recovered"}


def test_rows_compare_with_and_without_and_name_the_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(scale: int) -> tuple[UpscaleOperator, str]:
        return UpscaleOperator(scale=scale, net="none"), "no network: none here"

    monkeypatch.setattr(upscale, "best_operator", no_network)
    picture: Pixels = np.repeat(slanted_edge(48, 30.0, 0.1, 0.9), 1, axis=2)
    rows = upscale.set_rows("set5", [picture, picture.transpose(1, 0, 2)], 2, peers()[:2])
    assert rows[0].goal == ">= 36.8 dB"
    assert rows[0].note == "no network: none here"
    assert rows[1].case.endswith("worst picture")
    by = {r.peer_name: r for r in rows}
    assert by["wetgate without network"].extra["gain dB"] == "+0.00 (+0.00 to +0.00)"
    assert rows[0].wetgate > float(by["bicubic"].peer or 0) + 1


def _base(small: Pixels) -> Pixels:
    return interleave(enlarge(small, 2)).transpose(2, 0, 1)


def test_a_training_batch_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training comes with the torch extra")
    from wetgate.train.pictures import Pictures
    from wetgate.train.tasks import upscale as training

    monkeypatch.setattr(training, "_VALIDATION", 2)
    task = training.Task(scale=2, patch=16)
    task.prepare(Path(), Pictures([]), 1)
    batch = task.batch(np.random.default_rng(4), 6)
    again = task.batch(np.random.default_rng(4), 6)
    np.testing.assert_array_equal(batch.x, again.x)
    assert batch.x.shape == (6, 3, 16, 16)
    assert batch.base.shape == batch.target.shape == (6, 3, 32, 32)
    exact = 0
    for x, base, target in zip(batch.x, batch.base, batch.target, strict=True):
        small = downscale(np.ascontiguousarray(target.transpose(1, 2, 0)), 2)
        codes = (np.rint(255 * np.clip(small, 0, 1)) / 255).astype(np.float32)
        exact += (whole := bool(np.allclose(base, _base(small), atol=1e-5)))
        used = small if whole else codes
        np.testing.assert_allclose(base, _base(used), atol=1e-5)
        np.testing.assert_allclose(x, detail(used).transpose(2, 0, 1), atol=1e-5)
    assert 0 < exact < 6
    figures = task.validate(lambda planes: np.zeros((1, 3, 128, 128), np.float32))
    assert figures["luma dB"] == pytest.approx(figures["twin luma dB"])
