"""Each backend computes the same network; what cannot be had is replaced, and it says why."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wetgate.backends import apply_net, choose, foresee, load_session, loaded_sessions
from wetgate.backends.gpu import engine_folder, gpu_names
from wetgate.backends.graph import check_graph, read_graph
from wetgate.backends.lanes import pipelined
from wetgate.backends.onnx import OnnxBackend
from wetgate.model.errors import BackendError, ModelLoadError, UsageError, WetgateError
from wetgate.weights import ModelPackage, write_package

from tests.support.nets import make_package, reference

KINDS: list[dict[str, Any]] = [
    {"depth": 4, "width": 16},
    {"kind": "unet", "unshuffle": 2, "planes_in": 5},
    {"scale": 4, "width": 16},
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return make_package(tmp_path_factory.mktemp("net"), **request.param)


@pytest.fixture
def fresh() -> Iterator[None]:
    choose.forget_sessions()
    yield
    choose.forget_sessions()


def planes_for(net: ModelPackage) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    return rng.random((len(net.card.inputs), 48, 64), dtype=np.float32)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))


class TestArithmetic:
    @pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
    def test_fp32_is_the_reference(self, net: ModelPackage, backend: str) -> None:
        pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend), reason="an extra")
        session = load_session(net, backend=backend, device="cpu")
        assert (session.choice.backend, session.choice.precision) == (backend, "fp32")
        assert not session.choice.fell_back
        x = planes_for(net)
        got = apply_net(session, x, origin=(0, 0))
        np.testing.assert_allclose(got, reference(net, x), rtol=0, atol=2e-6)

    @pytest.mark.parametrize("backend", ["openvino", "torch"])
    def test_bf16_is_close_and_not_the_same(self, net: ModelPackage, backend: str) -> None:
        pytest.importorskip(backend, reason="an extra")
        session = load_session(net, backend=backend, precision="bf16", device="cpu")
        if session.choice.fell_back:
            assert "bf16" in session.choice.reason
            pytest.skip(session.choice.reason)
        x = planes_for(net)
        got, truth = apply_net(session, x, origin=(0, 0)), reference(net, x)
        # bf16 keeps 8 bits of mantissa: a correction of rms 0.1 to some 50 dB and more.
        assert 45 < psnr(got, truth) < 100
        assert got.dtype == np.float32

    def test_fp32_in_openvino_stays_fp32_on_processors_with_bf16(self, net: ModelPackage) -> None:
        pytest.importorskip("openvino", reason="an extra")
        x = planes_for(net)
        session = load_session(net, backend="openvino")
        assert psnr(apply_net(session, x, origin=(0, 0)), reference(net, x)) > 120

    @pytest.mark.parametrize("backend", ["openvino", "torch"])
    def test_tiles_agree_with_the_whole(self, net: ModelPackage, backend: str) -> None:
        pytest.importorskip(backend, reason="an extra")
        session = load_session(net, backend=backend, device="cpu")
        x = planes_for(net)
        h, s = net.card.halo, net.card.scale
        whole = apply_net(session, x, origin=(0, 0))
        part = apply_net(session, x[:, 3:, 5:], origin=(3, 5))
        difference = part[:, h * s :, h * s :] - whole[:, (3 + h) * s :, (5 + h) * s :]
        assert np.abs(difference).max() <= 1e-5

    @pytest.mark.gpu
    @pytest.mark.skipif(not gpu_names(), reason="no CUDA device")
    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
    def test_cuda_agrees_with_the_cpu(self, net: ModelPackage, precision: str) -> None:
        pytest.importorskip("torch", reason="an extra")
        session = load_session(net, backend="torch", precision=precision, device="gpu")
        assert session.choice.device.startswith("cuda"), session.choice
        rng = np.random.default_rng(3)
        x = rng.random((len(net.card.inputs), 700, 1200), dtype=np.float32)
        cpu = apply_net(load_session(net, device="cpu"), x, origin=(1, 3))
        got = apply_net(session, x, origin=(1, 3))
        inside = np.s_[:, : -net.card.halo * net.card.scale, : -net.card.halo * net.card.scale]
        assert psnr(got[inside], cpu[inside]) > (110 if precision == "fp32" else 45)


class TestChoice:
    def test_the_default_is_the_reference(self, net: ModelPackage) -> None:
        choice = load_session(net, device="cpu").choice
        assert (choice.backend, choice.device, choice.precision) == ("onnx", "cpu", "fp32")
        assert "reference" in choice.reason

    def test_the_same_question_gets_the_same_session(self, net: ModelPackage) -> None:
        assert load_session(net) is load_session(str(net.folder))
        assert load_session(net) is not load_session(net, threads=2)
        assert load_session(net) in loaded_sessions()

    def test_another_card_on_the_same_weights_is_another_model(self, net: ModelPackage) -> None:
        other = ModelPackage(replace(net.card, halo=net.card.halo + 1), net.folder)
        assert load_session(other).card.halo == net.card.halo + 1

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"backend": "onnx", "precision": "bf16"}, "no bf16 arithmetic"),
            ({"backend": "onnx", "precision": "fp16", "device": "cpu"}, "TensorRT"),
            ({"backend": "onnx", "precision": "int8"}, "models quantize random-net"),
            ({"precision": "fp16", "device": "cpu"}, "fp16"),
        ],
    )
    def test_falls_back_and_says_why(
        self, net: ModelPackage, asked: dict[str, Any], said: str
    ) -> None:
        session = load_session(net, **asked)
        assert session.choice.fell_back and session.choice.precision == "fp32"
        assert said in session.choice.reason and "asked for" in session.choice.reason
        assert session.choice.backend == "onnx"
        assert any(said in note for note in session.notes)

    @pytest.mark.parametrize("backend", ["auto", "onnx", "openvino", "torch"])
    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
    @pytest.mark.usefixtures("fresh")
    def test_what_is_foreseen_is_what_comes(
        self, net: ModelPackage, backend: str, precision: str
    ) -> None:
        seen = foresee(net, backend=backend, precision=precision)
        assert not loaded_sessions()
        came = load_session(net, backend=backend, precision=precision).choice
        for fact in ("backend", "device", "precision", "fell_back"):
            assert getattr(seen, fact) == getattr(came, fact), (seen, came)
        assert seen.reason.partition("; asked")[2] == came.reason.partition("; asked")[2]
        assert foresee(net, backend=backend, precision=precision) is came

    @pytest.mark.parametrize("backend", ["openvino", "torch"])
    @pytest.mark.usefixtures("fresh")
    def test_an_absent_extra_is_named(
        self, net: ModelPackage, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find: Callable[..., Any] = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *a: None if name == backend else find(name)
        )
        choice = load_session(net, backend=backend).choice
        assert choice.fell_back and choice.backend == "onnx"
        assert f"pip install 'wetgate[{backend}]'" in choice.reason

    @pytest.mark.usefixtures("fresh")
    def test_bf16_without_any_extra_is_fp32_in_words(
        self, net: ModelPackage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
        choice = load_session(net, precision="bf16", device="cpu").choice
        assert (choice.backend, choice.precision, choice.fell_back) == ("onnx", "fp32", True)
        assert "openvino is not installed" in choice.reason
        assert "torch is not installed" in choice.reason

    @pytest.mark.usefixtures("fresh")
    def test_a_backend_that_fails_to_load_is_passed_over(
        self, net: ModelPackage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("torch", reason="an extra")
        from wetgate.backends import torch as ours

        def fail(*_: object) -> Any:
            raise BackendError("no such kernel")

        monkeypatch.setattr(ours, "build_module", fail)
        choice = load_session(net, backend="torch", device="cpu").choice
        assert choice.backend == "onnx" and "no such kernel" in choice.reason

    @pytest.mark.usefixtures("fresh")
    def test_when_nothing_runs_it_lists_the_reasons(
        self, net: ModelPackage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(OnnxBackend, "refusal", lambda *_: "it is Sunday")
        with pytest.raises(BackendError, match="it is Sunday"):
            load_session(net, backend="onnx")

    @pytest.mark.parametrize("asked", [{"backend": "tflite"}, {"precision": "fp8"}])
    def test_unknown_words_are_usage_errors(self, net: ModelPackage, asked: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="one of"):
            load_session(net, **asked)

    def test_loading_torch_sessions_leaves_its_threads_alone(self, net: ModelPackage) -> None:
        torch = pytest.importorskip("torch", reason="an extra")
        before = torch.get_num_threads()
        apply_net(load_session(net, backend="torch", device="cpu"), planes_for(net), origin=(0, 0))
        assert torch.get_num_threads() == before

    def test_engines_are_kept_apart_by_model_precision_and_driver(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: str(tmp_path))
        folders = {
            engine_folder(*facts)
            for facts in (("a" * 64, "fp16"), ("b" * 64, "fp16"), ("a" * 64, "fp32"))
        }
        assert len(folders) == 3 and all(f.is_dir() for f in folders)
        monkeypatch.setattr("wetgate.backends.gpu.driver_version", lambda: "999.1")
        assert engine_folder("a" * 64, "fp16") not in folders


class FakeLane:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name, self.held = log, name, np.zeros(0, np.float32)

    def submit(self, planes: NDArray[np.float32]) -> None:
        self.held = planes * 2
        self.log.append(f"{self.name}<{int(planes[0])}")

    def collect(self) -> NDArray[np.float32]:
        self.log.append(f"{self.name}>{int(self.held[0]) // 2}")
        return self.held


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_lanes_keep_the_order_and_overlap(lanes: int) -> None:
    log: list[str] = []
    stacks = [np.array([i], np.float32) for i in range(5)]
    got = list(pipelined([FakeLane(log, "abc"[i]) for i in range(lanes)], stacks))
    assert [int(g[0]) for g in got] == [0, 2, 4, 6, 8]
    waits = [log.index(next(e for e in log if e.endswith(f">{i}"))) for i in range(5)]
    starts = [log.index(next(e for e in log if e.endswith(f"<{i}"))) for i in range(5)]
    # Batch i + lanes - 1 has started before batch i is waited for.
    assert all(starts[i + lanes - 1] < waits[i] for i in range(5 - lanes + 1))


OPERATORS: dict[str, Any] = {
    "DepthToSpace DCR": (("DepthToSpace", ["x"], {"blocksize": 2}), {}),
    "SpaceToDepth": (("SpaceToDepth", ["x"], {"blocksize": 2}), {}),
    "PRelu": (("PRelu", ["x", "s"], {}), {"s": np.full((8, 1, 1), 0.2, "f4")}),
    "LeakyRelu": (("LeakyRelu", ["x"], {"alpha": 0.3}), {}),
    "Clip": (("Clip", ["x", "lo", "hi"], {}), {"lo": np.float32(-0.2), "hi": np.float32(0.4)}),
    "Clip low": (("Clip", ["x", "lo"], {}), {"lo": np.float32(-0.2)}),
    "Resize nearest": (
        ("Resize", ["x", "", "s"], {"mode": "nearest", "nearest_mode": "floor",
         "coordinate_transformation_mode": "asymmetric"}),
        {"s": np.array([1, 1, 2, 3], "f4")},
    ),
    "Resize linear": (
        ("Resize", ["x", "", "s"], {"mode": "linear"}), {"s": np.array([1, 1, 2, 2], "f4")}
    ),
    "Pad reflect": (
        ("Pad", ["x", "p"], {"mode": "reflect"}), {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1])}
    ),
    "Pad constant": (("Pad", ["x", "p"], {}), {"p": np.array([0, 0, 1, 2, 0, 0, 3, 1])}),
    "Conv grouped, uneven pads": (
        ("Conv", ["x", "w"], {"group": 8, "pads": [1, 0, 2, 1], "strides": [1, 2]}),
        {"w": np.random.default_rng(1).normal(0, 1, (8, 1, 3, 3)).astype("f4")},
    ),
    "ConvTranspose": (
        ("ConvTranspose", ["x", "w", "b"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        {"w": np.random.default_rng(1).normal(0, 1, (8, 4, 4, 4)).astype("f4"),
         "b": np.arange(4, dtype="f4")},
    ),
    "Sigmoid": (("Sigmoid", ["x"], {}), {}),
    "Tanh": (("Tanh", ["x"], {}), {}),
    "Sub": (("Sub", ["x", "s"], {}), {"s": np.float32(0.25)}),
    "Div": (("Div", ["x", "s"], {}), {"s": np.float32(0.25)}),
    "Mul": (("Mul", ["x", "x"], {}), {}),
}  # fmt: skip


class TestTorchGraph:
    """Operators of imported networks, against ONNX Runtime."""

    @pytest.mark.parametrize("case", OPERATORS)
    def test_computes_what_onnx_runtime_does(self, case: str) -> None:
        pytest.importorskip("torch", reason="an extra")
        import onnxruntime
        import torch
        from wetgate.backends.torch_graph import build_module

        (op, inputs, attributes), constants = OPERATORS[case]
        shape = [1, 8, 6, 10]
        graph = helper.make_graph(
            [helper.make_node(op, inputs, ["y"], **attributes)],
            "one",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        x = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
        runtime = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        with torch.inference_mode():
            got = build_module(model, "one")(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(got, runtime.run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)


class TestGraph:
    """A package folder that someone hands over is not trusted either."""

    @pytest.fixture
    def model(self, net: ModelPackage) -> Any:
        return onnx.load_model_from_string(net.read("model.onnx"))

    def test_says_what_is_in_it(self, net: ModelPackage, model: Any) -> None:
        facts = check_graph(model, "net")
        assert facts.parameters == net.card.parameters
        assert (facts.planes_in, facts.planes_out) == (len(net.card.inputs), 3)
        assert facts.ops["Conv"] >= 3 and facts.opset == 17

    def test_outside_data_is_refused(self, model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"
        with pytest.raises(ModelLoadError, match="outside the file"):
            check_graph(model, "net")

    def test_outside_data_in_an_attribute_is_refused(self, model: Any) -> None:
        tensor = numpy_helper.from_array(np.zeros(3, np.float32))
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights.bin"
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
        with pytest.raises(ModelLoadError, match="outside the file"):
            check_graph(model, "net")

    def test_other_operators_and_control_flow_are_refused(self, model: Any) -> None:
        model.graph.node[0].op_type = "If"
        with pytest.raises(ModelLoadError, match="If"):
            check_graph(model, "net")
        model.opset_import.add(domain="com.elsewhere", version=1)
        with pytest.raises(ModelLoadError, match=r"com\.elsewhere"):
            check_graph(model, "net")

    def test_other_names_are_refused(self, model: Any) -> None:
        model.graph.input[0].name = "image"
        with pytest.raises(ModelLoadError, match="image"):
            check_graph(model, "net")

    @pytest.mark.parametrize("data", [b"", b"not a graph", os.urandom(64)])
    def test_what_is_no_graph_is_refused(self, data: bytes) -> None:
        with pytest.raises(ModelLoadError, match="net"):
            read_graph(data, "net")

    def test_a_card_that_lies_about_the_output_is_found_out(
        self, net: ModelPackage, tmp_path: Path
    ) -> None:
        card = replace(net.card, outputs=(*net.card.outputs, "more"))
        lying = write_package(tmp_path / "lying", card, {"model.onnx": net.read("model.onnx")})
        with pytest.raises(WetgateError, match="as its card says"):
            apply_net(load_session(lying), planes_for(net), origin=(0, 0))
