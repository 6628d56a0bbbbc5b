"""Plain networks with random weights: right for measuring speed, for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wetgate.weights.card import ModelCard
from wetgate.weights.library import ModelPackage, write_package


def plain_package(
    folder: Path, *, name: str, width: int, depth: int, unshuffle: int = 1, scale: int = 1
) -> ModelPackage:
    """Write a package: dense 3x3 convolutions with ReLU on three planes, random weights.

    Args:
        folder: of packages.
        depth: number of convolutions. unshuffle: they work at this fraction of the size.
        scale: output size / input size.
    """
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    nodes: list[Any] = []
    constants: list[Any] = []

    def node(op: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    x = "x" if unshuffle == 1 else node("SpaceToDepth", ["x"], blocksize=unshuffle)
    up = unshuffle * scale
    planes = [3 * unshuffle**2, *[width] * (depth - 1), 3 * up**2]
    for index in range(depth):
        here, there = planes[index], planes[index + 1]
        # A correction is small: some hundredths, as of networks that were trained.
        gain = 0.05 if index == depth - 1 else 1.0
        weight = rng.normal(0, gain * np.sqrt(2 / (9 * here)), (there, here, 3, 3))
        names = [f"w{index}", f"b{index}"]
        constants += [
            numpy_helper.from_array(weight.astype(np.float32), names[0]),
            numpy_helper.from_array(np.zeros(there, np.float32), names[1]),
        ]
        x = node("Conv", [x, *names], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        if index < depth - 1:
            x = node("Relu", [x])
    if up > 1:
        node("DepthToSpace", [x], blocksize=up, mode="CRD")
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "H", "W"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    card = ModelCard(
        name=name,
        version=1,
        task="generic",
        architecture=f"plain width {width} depth {depth} at 1/{unshuffle}",
        parameters=sum(int(np.prod(t.dims)) for t in constants),
        inputs=("r", "g", "b"),
        outputs=("r", "g", "b"),
        files={"model.onnx": "0" * 64},
        licence="CC0-1.0",
        commercial=True,
        scale=scale,
        halo=depth * unshuffle + unshuffle - 1,
        size_multiple=unshuffle,
        description="random weights, for measuring speed alone",
    )
    return write_package(folder / name, card, {"model.onnx": model.SerializeToString()})
