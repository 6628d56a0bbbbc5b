"""Small networks with random weights in packages, and a second way to compute them.

`make_package` writes a package as the trainer would: plain dense 3x3 convolutions and ReLU, with
or without pixel unshuffle, stride 2 and pixel shuffle. `reference` computes the same network in
float64 with nothing but numpy, from the numbers in the ONNX file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from wetgate.weights import ModelCard, ModelPackage, write_package


class _Builder:
    def __init__(self, seed: int, gain: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.gain = gain
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def conv(
        self, x: str, planes_in: int, planes_out: int, *, stride: int = 1, gain: float = 1.0
    ) -> str:
        scale = gain * np.sqrt(2.0 / (9 * planes_in))
        weight = self.rng.normal(0, scale, (planes_out, planes_in, 3, 3)).astype(np.float32)
        bias = self.rng.normal(0, 0.05, planes_out).astype(np.float32)
        names = f"w{len(self.constants)}", f"b{len(self.constants)}"
        self.constants += [
            numpy_helper.from_array(weight, names[0]),
            numpy_helper.from_array(bias, names[1]),
        ]
        return self.node(
            "Conv", x, *names, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride]
        )


def make_graph(
    planes_in: int,
    planes_out: int,
    *,
    kind: str = "plain",
    width: int = 8,
    depth: int = 3,
    scale: int = 1,
    unshuffle: int = 1,
    seed: int = 1,
    gain: float = 0.1,
) -> tuple[bytes, dict[str, int]]:
    """Return ONNX bytes and the facts of the card that follow from the graph.

    Args:
        kind: "plain" (convolutions in a row) or "unet" (one level with stride 2 and a skip).
        unshuffle: pixel unshuffle before the first convolution, shuffled back at the end.
        gain: of the last convolution; small, as of a correction.
    """
    net = _Builder(seed, gain)
    u = unshuffle
    x = "x" if u == 1 else net.node("SpaceToDepth", "x", blocksize=u)
    x = net.node("Relu", net.conv(x, planes_in * u * u, width))
    # Radius of the receptive field and the grid, both in px of the graph's own first level.
    radius, grid = 1, 1
    if kind == "unet":
        down = net.node("Relu", net.conv(x, width, 2 * width, stride=2))
        down = net.node("Relu", net.conv(down, 2 * width, 2 * width))
        back = net.node(
            "DepthToSpace", net.conv(down, 2 * width, 4 * width), blocksize=2, mode="CRD"
        )
        x = net.node("Relu", net.conv(net.node("Concat", x, back, axis=1), 2 * width, width))
        radius, grid = 1 + 1 + 2 + 2 + 1 + 1, 2
    else:
        for _ in range(depth - 2):
            x = net.node("Relu", net.conv(x, width, width))
        radius = depth - 1
    up = u * scale
    x = net.conv(x, width, planes_out * up * up, gain=gain)
    radius += 1
    if up > 1:
        x = net.node("DepthToSpace", x, blocksize=up, mode="CRD")
    net.nodes[-1].output[0] = "y"
    shape = ["n", planes_in, "h", "w"], ["n", planes_out, "h2", "w2"]
    graph = helper.make_graph(
        net.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape[1])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    multiple = u * grid
    facts = {
        "parameters": sum(int(np.prod(t.dims)) for t in net.constants),
        "scale": scale,
        "halo": radius * u + multiple - 1,
        "size_multiple": multiple,
    }
    return model.SerializeToString(), facts


def make_package(
    folder: Path,
    *,
    name: str = "random-net",
    planes_in: int = 3,
    planes_out: int = 3,
    kind: str = "plain",
    width: int = 8,
    depth: int = 3,
    scale: int = 1,
    unshuffle: int = 1,
    seed: int = 1,
    gain: float = 0.1,
    **card: Any,
) -> ModelPackage:
    """Write a package with random weights into `folder / name` (fields of the card as words)."""
    data, facts = make_graph(
        planes_in,
        planes_out,
        kind=kind,
        width=width,
        depth=depth,
        scale=scale,
        unshuffle=unshuffle,
        seed=seed,
        gain=gain,
    )
    fields: dict[str, Any] = {
        "name": name,
        "version": 1,
        "task": "generic",
        "architecture": f"{kind} width {width}",
        "inputs": tuple(f"in{i}" for i in range(planes_in)),
        "outputs": tuple(f"out{i}" for i in range(planes_out)),
        "licence": "CC0-1.0",
        "commercial": True,
        "description": "random weights",
        "files": {"model.onnx": "0" * 64},
        **facts,
        **card,
    }
    return write_package(folder / name, ModelCard(**fields), {"model.onnx": data})


def reference(package: ModelPackage, planes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute a network of `make_package` in float64 on `(c, h, w)`; zero padding as in ONNX."""
    model = onnx.load_model_from_string(package.read("model.onnx"))
    values = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    values["x"] = planes.astype(np.float64)
    for node in model.graph.node:
        a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        v = [values[name] for name in node.input]
        values[node.output[0]] = _compute(node.op_type, a, v)
    return values["y"]


def _compute(op: str, a: dict[str, Any], v: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    if op == "Relu":
        return np.maximum(v[0], 0.0)
    if op == "Concat":
        return np.concatenate(v, axis=0)
    if op == "Conv":
        x, weight, bias = v
        _, h, w = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        out = np.zeros((len(weight), h, w)) + bias[:, None, None]
        for dy in range(3):
            for dx in range(3):
                out += np.tensordot(weight[:, :, dy, dx], padded[:, dy : dy + h, dx : dx + w], 1)
        s = a.get("strides", [1])[0]
        return out[:, ::s, ::s]
    b = a["blocksize"]
    c, h, w = v[0].shape
    if op == "SpaceToDepth":
        cut = v[0].reshape(c, h // b, b, w // b, b)
        return cut.transpose(2, 4, 0, 1, 3).reshape(c * b * b, h // b, w // b)
    if op == "DepthToSpace":
        assert a["mode"] == b"CRD"
        cut = v[0].reshape(c // (b * b), b, b, h, w)
        return cut.transpose(0, 3, 1, 4, 2).reshape(c // (b * b), h * b, w * b)
    raise AssertionError(op)
