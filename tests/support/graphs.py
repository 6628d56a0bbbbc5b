"""ONNX graphs by hand: small pictures-to-pictures networks, right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from wetgate.weights import ModelCard, ModelPackage, write_package


def constant(name: str, values: Any, dtype: Any = np.float32) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model(
    nodes: Sequence[Any],
    constants: Sequence[Any] = (),
    *,
    channels: Any = 3,
    size: tuple[Any, Any] = ("h", "w"),
    batch: Any = "n",
    kind: int = TensorProto.FLOAT,
    names: tuple[str, str] = ("x", "y"),
    opset: int = 17,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> Any:
    """A model with one input and one output."""
    source = helper.make_tensor_value_info(names[0], kind, [batch, channels, *size])
    target = helper.make_tensor_value_info(names[1], kind, None)
    graph = helper.make_graph(list(nodes), "g", [source], [target], list(constants))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    made.ir_version = 8
    return made


def conv_model(*, scale: int = 1, dtype: Any = np.float32, seed: int = 0, **more: Any) -> Any:
    """Two convolutions with a bend between them, enlarging by pixel shuffle."""
    rng = np.random.default_rng(seed)
    made = 3 * scale * scale
    constants = [
        constant("w1", rng.normal(0, 0.2, (6, 3, 3, 3)), dtype),
        constant("b1", rng.normal(0, 0.1, 6), dtype),
        constant("w2", rng.normal(0, 0.2, (made, 6, 5, 5)), dtype),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["t1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t1"], ["t2"]),
        helper.make_node("Conv", ["t2", "w2"], ["t3"], pads=[2, 2, 2, 2]),
        helper.make_node("DepthToSpace", ["t3"], ["y"], blocksize=scale, mode="CRD"),
    ]
    return model(nodes, constants, **more)


def save(made: Any, folder: Path, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def identity(*more: Any, **kind: Any) -> Any:
    """A model that gives back what it gets, with further nodes that lead nowhere."""
    return model([*more, helper.make_node("Identity", ["x"], ["y"])], **kind)


def external(made: Any, location: str, *, length: int = 648) -> Any:
    """Let the first weights of a model lie in another file."""
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return made


def graph_package(
    folder: Path, nodes: list[Any], *, channels: int = 3, scale: int = 1, **card: Any
) -> ModelPackage:
    """A package with a graph from "x" to "y" that is written by hand."""
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", channels, a, b])
        for n, a, b in (("x", "h", "w"), ("y", "h2", "w2"))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    names = ("r", "g", "b") if channels == 3 else ("y",)
    fields: dict[str, Any] = {
        "name": "by-hand",
        "version": 1,
        "task": "generic",
        "architecture": "by hand",
        "parameters": 0,
        "inputs": names,
        "outputs": names,
        "files": {"model.onnx": "0" * 64},
        "licence": "CC0-1.0",
        "commercial": True,
        "scale": scale,
        **card,
    }
    return write_package(
        folder / "by-hand", ModelCard(**fields), {"model.onnx": model.SerializeToString()}
    )
