"""An int8 copy runs in integers, is close, and its card says how close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from wetgate.backends import apply_net, load_session
from wetgate.backends.check import check_package, read_safetensors
from wetgate.backends.quantize import METRIC, Quantised, quantize
from wetgate.backends.record import Fed
from wetgate.model.errors import InputError, ModelLoadError
from wetgate.weights import ModelPackage, find_model, write_package

from tests.support.nets import make_package


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return make_package(
        tmp_path_factory.mktemp("net"), kind="unet", unshuffle=2, width=16, planes_in=4
    )


def planes(count: int, seed: int = 1) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.random((4, 90, 120), dtype=np.float32) for _ in range(count)]


def fed(count: int, unit: float = 1.0) -> list[Fed]:
    return [Fed(p, unit) for p in planes(count)]


@pytest.fixture(scope="module")
def made(net: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    return quantize(net, fed(4), destination=tmp_path_factory.mktemp("out"), shot="a plate")


def test_weights_are_integers_per_channel(net: ModelPackage, made: Quantised) -> None:
    model = onnx.load_model_from_string(made.package.read("model.onnx"))
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    dequantised = {n.output[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    assert len(convolutions) == 6
    for conv in convolutions:
        weight, scale = (held[name] for name in dequantised[conv.input[1]].input[:2])
        assert weight.dtype == np.int8
        assert scale.shape == (weight.shape[0],)


def test_no_rectifier_stands_between_two_roundings(net: ModelPackage, made: Quantised) -> None:
    kept = [n.op_type for n in onnx.load_model_from_string(net.read("model.onnx")).graph.node]
    model = onnx.load_model_from_string(made.package.read("model.onnx"))
    maker = {o: n.op_type for n in model.graph.node for o in n.output}
    assert "Relu" in kept
    rectified = [n for n in model.graph.node if n.op_type == "Relu"]
    assert not [n for n in rectified if maker.get(n.input[0]) == "DequantizeLinear"]
    # What joins and rearranges sees integers too.
    other = [n for n in model.graph.node if n.op_type in ("Add", "DepthToSpace")]
    assert other
    assert all(maker.get(name) == "DequantizeLinear" for n in other for name in n.input)


def test_the_copy_is_close_and_its_card_says_so(net: ModelPackage, made: Quantised) -> None:
    card = made.package.card
    assert (card.name, card.precision, card.task) == (f"{net.card.name}-int8", "int8", "generic")
    assert net.card.digest in card.origin
    assert find_model(made.package.folder).card == card
    unseen = planes(1, seed=9)[0]
    exact = apply_net(load_session(net), unseen, origin=(0, 0)).astype(np.float64)
    session = load_session(made.package, backend="onnx")
    assert session.choice.precision == "int8" and not session.choice.fell_back
    error = apply_net(session, unseen, origin=(0, 0)) - exact
    psnr = -10 * np.log10(np.mean(error**2))
    record = next(q for q in card.quality if q.metric == METRIC)
    assert "a plate" in record.data
    assert record.value == pytest.approx(psnr, abs=2)
    assert made.worst >= np.abs(error).mean() > 0


def test_the_library_behind_it_logs_nothing(
    net: ModelPackage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quantize(net, fed(1), destination=tmp_path, shot="s")
    assert [r for r in caplog.records if not r.name.startswith("wetgate")] == []


def test_openvino_runs_the_same_file(made: Quantised) -> None:
    pytest.importorskip("openvino", reason="an extra")
    session = load_session(made.package)
    assert (session.choice.backend, session.choice.precision) == ("openvino", "int8")
    x = planes(1, seed=9)[0]
    reference = load_session(made.package, backend="onnx")
    ours, theirs = (apply_net(s, x, origin=(0, 0)) for s in (session, reference))
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.01


def test_the_loss_follows_the_sum_of_powers(made: Quantised) -> None:
    truth = 38.0
    noise = 10 ** (-truth / 10) + 10 ** (-made.psnr / 10)
    assert made.loss_at(truth) == pytest.approx(truth + 10 * np.log10(noise))


def test_the_loss_counts_in_units_of_the_picture(
    net: ModelPackage, made: Quantised, tmp_path: Path
) -> None:
    finer = quantize(net, fed(4, 0.05), destination=tmp_path, shot="s")
    assert finer.psnr == pytest.approx(made.psnr - 20 * np.log10(0.05), abs=1e-6)


def test_convolutions_can_stay_in_float(net: ModelPackage, made: Quantised, tmp_path: Path) -> None:
    kept = quantize(
        net, fed(4), destination=tmp_path, shot="s", name="kept", keep_float=("first", "last")
    )
    model = onnx.load_model_from_string(kept.package.read("model.onnx"))
    inputs = [n.input[1] for n in model.graph.node if n.op_type == "Conv"]
    held = {t.name for t in model.graph.initializer}
    assert [name in held for name in inputs] == [True, *[False] * 4, True]
    assert kept.psnr > made.psnr
    maker = {o: n for n in model.graph.node for o in n.output}
    after = maker["y"]
    while after.op_type != "Conv":  # nothing behind the last convolution is rounded
        assert after.op_type not in ("QuantizeLinear", "DequantizeLinear")
        after = maker[next(name for name in after.input if name in maker)]


def test_refusals(net: ModelPackage, made: Quantised, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--recipe"):
        quantize(net, [], destination=tmp_path, shot="s")
    with pytest.raises(ModelLoadError, match="already"):
        quantize(made.package, fed(1), destination=tmp_path, shot="s")
    with pytest.raises(ModelLoadError, match="already"):
        quantize(net, fed(1), destination=made.package.folder.parent, shot="s")


class TestCheck:
    def test_says_what_it_proved(self, net: ModelPackage, made: Quantised) -> None:
        said = " ".join(check_package(net))
        assert "SHA-256" in said and "opset 17" in said and "runs" in said
        assert "SHA-256" in " ".join(check_package(made.package))

    def test_a_card_with_other_planes_is_found_out(self, net: ModelPackage, tmp_path: Path) -> None:
        from dataclasses import replace

        card = replace(net.card, inputs=net.card.inputs[:-1])
        lying = write_package(tmp_path / "lying", card, {"model.onnx": net.read("model.onnx")})
        with pytest.raises(ModelLoadError, match="4 input planes"):
            check_package(lying)

    def test_both_files_must_hold_the_same_weights(self, net: ModelPackage, tmp_path: Path) -> None:
        numpy = pytest.importorskip("safetensors.numpy", reason="an extra")
        model = onnx.load_model_from_string(net.read("model.onnx"))
        tensors = {f"layer.{t.name}": numpy_helper.to_array(t) for t in model.graph.initializer}
        files = {"model.onnx": net.read("model.onnx"), "model.safetensors": numpy.save(tensors)}
        good = write_package(tmp_path / "good", net.card, files)
        assert f"{len(tensors)} tensors are the same" in " ".join(check_package(good))
        mine = read_safetensors(files["model.safetensors"], "x")
        assert all(np.array_equal(mine[k], v) for k, v in tensors.items())
        tensors["layer.w0"] = tensors["layer.w0"] * np.float32(1.5)
        files["model.safetensors"] = numpy.save(tensors)
        with pytest.raises(ModelLoadError, match=r"layer\.w0"):
            check_package(write_package(tmp_path / "bad", net.card, files))

    @pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
    def test_what_is_no_safetensors_is_refused(self, data: bytes) -> None:
        with pytest.raises(ModelLoadError, match="not a safetensors"):
            assert read_safetensors(data, "x") == {}
            raise AssertionError
