"""An ONNX graph that grows layer by layer, as the layers of an ncnn model are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wetgate.importers.ncnn_file import Layer, Weights
from wetgate.model.errors import ModelLoadError

if TYPE_CHECKING:
    import onnx

_OPSET = 17
MAX_CHANNELS = 1 << 14


class Graph:
    """The ONNX nodes so far, and how many channels each blob has."""

    def __init__(self, weights: Weights, input_channels: int) -> None:
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self.blobs: dict[str, tuple[str, int]] = {}
        self._read: set[str] = set()
        self.made: list[str] = []
        self._count = 0
        self.input_channels = input_channels
        self.vectors: set[str] = set()

    def name(self) -> str:
        """Return a name that no value has yet."""
        self._count += 1
        return f"v{self._count}"

    def source(self, layer: Layer, index: int = 0) -> str:
        """Return the value that a layer reads, and note that it is read."""
        self._read.add(layer.inputs[index])
        return self.blobs[layer.inputs[index]][0]

    def channels(self, layer: Layer, index: int = 0) -> int:
        """Return how many channels a layer reads."""
        return self.blobs[layer.inputs[index]][1]

    def is_vector(self, layer: Layer, index: int = 0) -> bool:
        """Tell whether what a layer reads is one number a channel."""
        return layer.inputs[index] in self.vectors

    def give(
        self, layer: Layer, value: str, channels: int, *, vector: bool = False, index: int = 0
    ) -> None:
        """Let a value be a layer's output."""
        if not 0 < channels <= MAX_CHANNELS:
            raise layer.wrong(f"makes {channels} channels", f"1-{MAX_CHANNELS}")
        if len(layer.outputs) <= index:
            raise layer.wrong("has no output")
        blob = layer.outputs[index]
        self.blobs[blob] = (value, channels)
        self.made.append(blob)
        if vector:
            self.vectors.add(blob)

    def constant(self, values: NDArray[np.generic]) -> str:
        """Return the name of a constant."""
        from onnx import numpy_helper

        name = self.name()
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        out = self.name()
        self._nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def finish(self) -> onnx.ModelProto:
        """Return the model with its one output.

        Raises:
            ModelLoadError: several outputs, or weights left over.
        """
        from onnx import TensorProto, helper

        self.weights.finish()
        ends = [blob for blob in self.made if blob not in self._read]
        if len(ends) != 1:
            raise ModelLoadError(f"ncnn model with {len(ends)} outputs", expected="one picture")
        value, channels = self.blobs[ends[0]]
        self._nodes.append(helper.make_node("Identity", [value], ["y"]))
        shapes: tuple[list[int | str | None], ...] = (
            ["n", self.input_channels, "h", "w"],
            ["n", channels, "out_h", "out_w"],
        )
        ends_of_graph = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(("x", "y"), shapes, strict=True)
        ]
        graph = helper.make_graph(
            self._nodes, "ncnn", ends_of_graph[:1], ends_of_graph[1:], self._constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = 8
        return model
