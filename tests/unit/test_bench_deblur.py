"""The deblur benchmark: its blur, its peers' best, its sums."""

from __future__ import annotations

import numpy as np
import pytest
from support.blurs import by_fourier, leaves
from wetgate.bench import deblur
from wetgate.bench.deblur_charts import chart_rows
from wetgate.bench.deblur_peers import CONTEXT, Peer, convolved, peers, to_code, to_linear
from wetgate.measure import psnr
from wetgate.operators.deblur.operator import DeblurOperator
from wetgate.operators.deblur.psf import gaussian_psf, motion_psf

PLAIN = DeblurOperator(net="none")


def case(picture: str, ours: float, peer: float, *, net: bool = False) -> deblur.Case:
    return deblur.Case(
        picture=picture,
        condition=deblur.Condition("Gaussian 1.5 px", gaussian_psf(1.5), 1.0),
        blurred=25.0,
        classical=ours - 0.5 if net else ours,
        net=ours if net else None,
        best={"a": (peer, "x"), "b": (peer - 1, "y")},
        sigma=1.5,
    )


def test_blur_by_shifts_is_blur_by_spectra() -> None:
    sharp = leaves(60, 70)
    kernel = motion_psf(5.0, 20.0)  # not symmetric in either axis alone
    reach = len(kernel) // 2
    want = by_fourier(sharp, kernel)[reach:-reach, reach:-reach]
    assert np.allclose(convolved(sharp, kernel), want, atol=2e-6)


def test_codes_and_light_are_each_other_s_inverse() -> None:
    code = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    assert np.allclose(to_code(to_linear(code)), code, atol=1e-6)


def test_a_peer_gets_its_best_setting() -> None:
    truth = leaves(96, 96)
    wide = np.pad(truth, ((CONTEXT, CONTEXT), (CONTEXT, CONTEXT), (0, 0)), "reflect")

    def tries(code, kernel):  # type: ignore[no-untyped-def]
        for error in (0.1, 0.01, 0.05):
            yield f"{error}", wide + np.float32(error)

    value, how = Peer("p", tries).best(wide, gaussian_psf(1.0), truth)
    assert how == "0.01"
    assert value == pytest.approx(psnr(truth, truth + np.float32(0.01)))


def test_every_peer_sharpens_at_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("ITERATIONS", (10,)), ("BALANCES", (1e-2,)), ("AMOUNTS", (1.0, 2.5))):
        monkeypatch.setattr(f"wetgate.bench.deblur_peers.{name}", few)
    pytest.importorskip("skimage", reason="the peers come with the bench extra")
    sharp = to_code(leaves(64 + 2 * CONTEXT + 12, 64 + 2 * CONTEXT + 12))
    kernel = gaussian_psf(1.5)
    soft = to_code(convolved(to_linear(sharp), kernel))
    truth = sharp[6 + CONTEXT : -6 - CONTEXT, 6 + CONTEXT : -6 - CONTEXT]
    before = psnr(truth, soft[CONTEXT:-CONTEXT, CONTEXT:-CONTEXT])
    for peer in peers():
        assert peer.best(soft, kernel, truth)[0] > before + 1.0, peer.name


def test_motion_is_untouched_and_a_lens_is_not() -> None:
    picture = to_code(leaves(200, 220))
    motion = deblur.Condition("m", motion_psf(7.0, 30.0), 1.0)
    truth, seen = deblur.degraded(picture, motion, 1)
    assert truth.shape == seen.shape
    out, analysis = deblur.sharpened(seen, PLAIN)
    assert np.array_equal(out, seen) and analysis["verdict"] == "motion"
    lens = deblur.Condition("g", gaussian_psf(1.5), 1.0)
    truth, seen = deblur.degraded(picture, lens, 1)
    out, analysis = deblur.sharpened(seen, PLAIN)
    assert psnr(truth, out) > psnr(truth, seen) + 1.0


def test_gains_are_means_over_pictures_with_goals() -> None:
    cases = [case("p", 27.0, 26.0), case("p", 26.0, 26.5), case("q", 27.5, 26.0)]
    rows = {r.case: r for r in deblur.summary_rows(cases)}
    gain = rows["gain over the blurred, Gaussian 1.5 px (2 pictures)"]
    assert gain.wetgate == pytest.approx((1.5 + 2.5) / 2)
    assert gain.reached and gain.interval == pytest.approx((1.5, 2.5))
    best = rows["gain over the best peer of each picture (2 pictures)"]
    assert best.wetgate == pytest.approx((0.25 + 1.5) / 2)
    assert not any("network" in name for name in rows)
    with_net = deblur.summary_rows([case("p", 27.0, 26.0, net=True)])
    assert any("network" in r.case and r.wetgate == pytest.approx(0.5) for r in with_net)


def test_a_condition_names_the_peer_that_is_best_in_the_mean() -> None:
    (row,) = deblur.condition_rows([case("p", 27.0, 26.0), case("q", 28.0, 26.4)])
    assert row.peer == pytest.approx(26.2) and row.peer_name.startswith("a")
    assert row.extra["left alone"] == "0 of 2"


def test_charts_get_sharper_without_holes() -> None:
    rows = chart_rows(PLAIN)
    for row in rows[:-1]:
        assert float(row.extra["MTF50 blurred"]) * 1.2 < row.wetgate
        assert row.wetgate < float(row.extra["MTF50 sharp"]) * 1.05
        assert float(row.extra["overshoot %"]) < 12
    assert rows[-1].reached
