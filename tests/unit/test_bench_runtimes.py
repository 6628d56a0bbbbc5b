"""The runtime bench: its rows say what was measured, and its goals can be missed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.backends import Choice, SessionBase, load_session
from wetgate.backends.plain import plain_package
from wetgate.backends.quantize import difference
from wetgate.backends.record import Fed
from wetgate.bench import runtimes
from wetgate.weights import ModelPackage, QualityRecord

from tests.support.nets import reference


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("nets")
    return plain_package(folder, name="plain", width=16, depth=5, unshuffle=2)


def planes(net: ModelPackage, side: int = 64) -> NDArray[np.float32]:
    return np.random.default_rng(4).random((len(net.card.inputs), side, side), dtype=np.float32)


def test_the_plain_network_is_what_its_card_says(net: ModelPackage) -> None:
    x = planes(net)
    got = load_session(net).run(x[None])[0]
    np.testing.assert_allclose(got, reference(net, x), rtol=0, atol=1e-6)
    weights = 9 * (12 * 16 + 3 * 16 * 16 + 16 * 12) + 4 * 16 + 12
    assert net.card.parameters == weights


def test_every_runtime_gets_a_row_with_its_distance(net: ModelPackage, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="an extra")
    fed = [Fed(planes(net)) for _ in range(3)]
    int8 = runtimes.quantize(net, fed, destination=tmp_path, shot="s").package
    rows = {r.case.split(": ")[1]: r for r in runtimes.compare(net, int8, fed, 2, "here")}
    assert {"ONNX Runtime fp32", "OpenVINO f32", "OpenVINO int8"} <= set(rows)
    assert float(rows["OpenVINO f32"].extra["dB to fp32"]) > 120
    assert 20 < float(rows["OpenVINO int8"].extra["dB to fp32"]) < 100
    for name, row in rows.items():
        assert row.wetgate > 0
        assert (row.ratio is None) == (name == "ONNX Runtime fp32")
        if row.ratio is not None and row.peer is not None:
            assert row.ratio == pytest.approx(row.peer / row.wetgate)


@pytest.mark.parametrize(
    ("name", "psnr", "ratio", "reached"),
    [
        ("OpenVINO bf16", 61.0, 1.7, True),
        ("OpenVINO bf16", 59.0, 1.7, False),
        ("OpenVINO bf16", 61.0, 1.5, False),
        ("OpenVINO int8", 55.0, 2.5, True),
        ("OpenVINO int8", 45.0, 2.5, False),
        ("OpenVINO int8", 55.0, 2.3, False),
    ],
)
def test_goals_need_speed_and_closeness(
    net: ModelPackage, name: str, psnr: float, ratio: float, reached: bool
) -> None:
    runtime = next(r for r in runtimes.RUNTIMES if r.name == name)
    assert runtimes._goal(runtime, net, psnr, ratio)[1] is reached


def test_the_loss_is_stated_at_the_quality_of_the_card(net: ModelPackage) -> None:
    from dataclasses import replace

    better = ModelPackage(
        replace(net.card, quality=(QualityRecord(data="x", metric="PSNR dB", value=42.0),)),
        net.folder,
    )
    runtime = next(r for r in runtimes.RUNTIMES if r.precision == "int8")
    said = str(runtimes._goal(runtime, better, 50.0, 3.0)[2]["loss dB"])
    loss = 42.0 + 10 * math.log10(10**-4.2 + 10**-5)
    assert said == f"{loss:.2f} at 42.0"


def test_tiles_and_whole_agree_and_a_short_halo_is_found_out(net: ModelPackage) -> None:
    from dataclasses import replace

    row = runtimes.tiled_row(net, planes(net, 96))
    assert row.reached and "onnx 0" in row.note
    lying = ModelPackage(replace(net.card, halo=2), net.folder)
    assert runtimes.tiled_row(lying, planes(net, 96)).reached is False


def test_the_engine_runs_the_tiles_that_are_timed(net: ModelPackage, tmp_path: Path) -> None:
    row = runtimes.engine_row(net, tmp_path, size=(160, 96), frames=1, repeats=1)
    assert row.peer is not None and row.wetgate > row.peer > 0
    assert row.ratio == pytest.approx(row.wetgate / row.peer)
    assert (tmp_path / "out0").is_dir()


def test_difference_is_that_of_two_sessions(net: ModelPackage) -> None:
    class Shifted(SessionBase):
        def _infer(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
            return load_session(net).run(planes) + np.float32(0.01)

    choice = Choice(backend="test", device="cpu", precision="fp32", reason="a test")
    psnr, worst = difference(load_session(net), Shifted(net.card, choice), [Fed(planes(net), 0.1)])
    assert psnr == pytest.approx(60.0, abs=1e-3)
    assert worst == pytest.approx(0.001, rel=1e-4)


def test_one_frame_on_two_threads(tmp_path: Path) -> None:
    net = plain_package(tmp_path, name="tiny-x4", width=4, depth=2, scale=4)
    rows = runtimes.frame_rows(net, 1)
    assert rows[0].reached is (rows[0].wetgate < runtimes.FRAME_MS)
    assert "2 threads" in rows[0].note
