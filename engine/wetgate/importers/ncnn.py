"""Write an ncnn model as an ONNX graph, layer by layer.

Source: the meaning of each layer's parameters as documented on ncnn's "operators" page. A vector
of ncnn (one dimension) is carried as `(n, c, 1, 1)`, so that a channel attention needs no reshape.
What is not written here is refused by name: a guess would be a wrong picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from wetgate.importers.ncnn_file import Layer, Weights, parse_param, topological
from wetgate.importers.ncnn_graph import Graph
from wetgate.importers.ncnn_weighted import (
    MAX_KERNEL,
    clip,
    convolution,
    deconvolution,
    inner_product,
    input_channels,
    keep,
    prelu,
    refuse,
)

if TYPE_CHECKING:
    import onnx


_BINARY = {0: "Add", 1: "Sub", 2: "Mul", 3: "Div", 4: "Max", 5: "Min", 6: "Pow"}
_REVERSED = {7: "Sub", 8: "Div", 9: "Pow"}
_UNARY = {0: "Abs", 1: "Neg", 2: "Floor", 3: "Ceil", 5: "Sqrt", 7: "Exp", 8: "Log", 16: "Tanh"}
_THE_REST = -233
_INTERP = {1: "nearest", 2: "linear", 3: "cubic"}


def convert(param: bytes, weights: bytes) -> onnx.ModelProto:
    """Return the ONNX form of an ncnn model: one input "x", one output "y", any size.

    Args:
        param: the `.param` text.
        weights: the `.bin` file.

    Raises:
        ModelLoadError: damaged files, a layer that is not known, weights left over.
    """
    layers = tuple(topological(parse_param(param)))
    for layer in layers:
        if layer.kind not in EMITTERS:
            raise layer.wrong("is of a kind that is not imported", ", ".join(sorted(EMITTERS)))
    graph = Graph(Weights(weights), input_channels(layers))
    for layer in layers:
        EMITTERS[layer.kind](graph, layer)
    return graph.finish()


def _input(graph: Graph, layer: Layer) -> None:
    graph.give(layer, "x", graph.input_channels)


def _split(graph: Graph, layer: Layer) -> None:
    value, vector = graph.source(layer), graph.is_vector(layer)
    for index, blob in enumerate(layer.outputs):
        graph.blobs[blob] = (value, graph.channels(layer))
        graph.made.append(blob)
        if vector:
            graph.vectors.add(layer.outputs[index])


def _relu(graph: Graph, layer: Layer) -> None:
    slope, value = layer.number(0), graph.source(layer)
    leaky = graph.node("LeakyRelu", value, alpha=slope) if slope else graph.node("Relu", value)
    keep(graph, layer, leaky)


def _clip_layer(graph: Graph, layer: Layer) -> None:
    keep(graph, layer, clip(graph, graph.source(layer), layer.number(0), layer.number(1)))


def _simple(op: str) -> Callable[[Graph, Layer], None]:
    def emit(graph: Graph, layer: Layer) -> None:
        keep(graph, layer, graph.node(op, graph.source(layer)))

    return emit


def _swish(graph: Graph, layer: Layer) -> None:
    value = graph.source(layer)
    keep(graph, layer, graph.node("Mul", value, graph.node("Sigmoid", value)))


def _hard(graph: Graph, layer: Layer) -> None:
    value = graph.source(layer)
    alpha, beta = layer.number(0, 0.2), layer.number(1, 0.5)
    out = graph.node("HardSigmoid", value, alpha=alpha, beta=beta)
    keep(graph, layer, graph.node("Mul", value, out) if layer.kind == "HardSwish" else out)


def _unary(graph: Graph, layer: Layer) -> None:
    op = _UNARY.get(layer.whole(0, high=64))
    if op is None:
        raise layer.wrong(f"operation {layer.whole(0)} is not imported")
    keep(graph, layer, graph.node(op, graph.source(layer)))


def _interp(graph: Graph, layer: Layer) -> None:
    refuse(layer, 3, 4, 5, 6)
    mode = _INTERP.get(layer.whole(0, high=8))
    if mode is None:
        raise layer.wrong(f"resizes in mode {layer.whole(0)}", "1, 2 or 3")
    factors = [layer.number(1, 1.0), layer.number(2, 1.0)]
    if not all(1 / 16 <= f <= 16 for f in factors):
        raise layer.wrong(f"resizes by {factors}", "factors in 1/16-16")
    scales = graph.constant(np.array([1.0, 1.0, *factors], np.float32))
    out = graph.node(
        "Resize",
        graph.source(layer),
        "",
        scales,
        mode=mode,
        coordinate_transformation_mode="asymmetric" if mode == "nearest" else "half_pixel",
        cubic_coeff_a=-0.75,
        nearest_mode="floor",
    )
    graph.give(layer, out, graph.channels(layer))


def _merged(graph: Graph, layer: Layer) -> int:
    """Return the channels of an elementwise result, refusing what ncnn and ONNX take apart."""
    counts = {graph.channels(layer, k) for k in range(len(layer.inputs))} - {1}
    if len(counts) > 1:
        raise layer.wrong(f"joins {sorted(counts)} channels", "the same number")
    return counts.pop() if counts else 1


def _binary(graph: Graph, layer: Layer) -> None:
    kind, scalar = layer.whole(0, high=32), layer.whole(1, high=1)
    op = _BINARY.get(kind) or _REVERSED.get(kind)
    if op is None or len(layer.inputs) != (1 if scalar else 2):
        raise layer.wrong(f"operation {kind} on {len(layer.inputs)} inputs is not imported")
    first = graph.source(layer)
    if scalar:
        second = graph.constant(np.array(layer.number(2), np.float32))
    else:
        second = graph.source(layer, 1)
    pair = (second, first) if kind in _REVERSED else (first, second)
    vector = all(graph.is_vector(layer, k) for k in range(len(layer.inputs)))
    graph.give(layer, graph.node(op, *pair), _merged(graph, layer), vector=vector)


def _eltwise(graph: Graph, layer: Layer) -> None:
    kind, factors = layer.whole(0, high=2), layer.array(1)
    values = [graph.source(layer, k) for k in range(len(layer.inputs))]
    if len(values) < 2 or (factors and (kind != 1 or len(factors) != len(values))):
        raise layer.wrong(f"joins {len(values)} inputs with {len(factors)} factors")
    if factors:
        values = [
            v if f == 1.0 else graph.node("Mul", v, graph.constant(np.array(f, np.float32)))
            for v, f in zip(values, factors, strict=True)
        ]
    out = values[0]
    for value in values[1:]:
        out = graph.node(("Mul", "Add", "Max")[kind], out, value)
    graph.give(layer, out, _merged(graph, layer), vector=graph.is_vector(layer))


def _concat(graph: Graph, layer: Layer) -> None:
    axis = int(layer.number(0))
    vectors = [graph.is_vector(layer, k) for k in range(len(layer.inputs))]
    if any(vectors) and not (all(vectors) and axis in (0, -1)):
        raise layer.wrong("joins vectors with pictures")
    if not any(vectors) and not -3 <= axis <= 2:
        raise layer.wrong(f"joins along axis {axis}")
    onnx_axis = 1 if any(vectors) else axis % 3 + 1
    counts = [graph.channels(layer, k) for k in range(len(layer.inputs))]
    values = [graph.source(layer, k) for k in range(len(layer.inputs))]
    channels = sum(counts) if onnx_axis == 1 else counts[0]
    out = graph.node("Concat", *values, axis=onnx_axis)
    graph.give(layer, out, channels, vector=any(vectors))


def _pixel_shuffle(graph: Graph, layer: Layer) -> None:
    factor, mode = layer.whole(0, 1, low=1, high=16), layer.whole(1, high=1)
    channels = graph.channels(layer)
    if channels % (factor * factor):
        raise layer.wrong(f"unfolds {channels} channels by {factor}")
    out = graph.node(
        "DepthToSpace",
        graph.source(layer),
        blocksize=factor,
        mode="DCR" if mode else "CRD",
    )
    graph.give(layer, out, channels // (factor * factor))


def _pooling(graph: Graph, layer: Layer) -> None:
    refuse(layer, 7)
    average, value = layer.whole(0, high=1), graph.source(layer)
    if layer.whole(4, high=1):
        out = graph.node("GlobalAveragePool" if average else "GlobalMaxPool", value)
        graph.give(layer, out, graph.channels(layer), vector=True)
        return
    width, mode = layer.whole(1, low=1, high=MAX_KERNEL), layer.whole(5, high=3)
    stride, left = layer.whole(2, 1, low=1, high=16), layer.whole(3, high=MAX_KERNEL)
    top = layer.whole(13, left, high=MAX_KERNEL)
    pads = [
        top,
        left,
        layer.whole(15, top, high=MAX_KERNEL),
        layer.whole(14, left, high=MAX_KERNEL),
    ]
    where: dict[str, Any] = {"pads": pads, "ceil_mode": int(mode == 0)}
    if mode > 1:
        where = {"auto_pad": "SAME_UPPER" if mode == 2 else "SAME_LOWER"}
    if average:
        where["count_include_pad"] = layer.whole(6, high=1)
    out = graph.node(
        "AveragePool" if average else "MaxPool",
        value,
        kernel_shape=[layer.whole(11, width, low=1, high=MAX_KERNEL), width],
        strides=[layer.whole(12, stride, low=1, high=16), stride],
        **where,
    )
    graph.give(layer, out, graph.channels(layer))


def _padding(graph: Graph, layer: Layer) -> None:
    refuse(layer, 6, 7, 8)
    kinds = ("constant", "edge", "reflect")
    kind = layer.whole(4, high=2)
    top, bottom, left, right = (layer.whole(k, high=4096) for k in range(4))
    pads = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    fill = graph.constant(np.array(layer.number(5), np.float32))
    out = graph.node("Pad", graph.source(layer), pads, fill, mode=kinds[kind])
    graph.give(layer, out, graph.channels(layer))


def _crop(graph: Graph, layer: Layer) -> None:
    """Crop by a margin a side; the other forms of this layer name sizes and are refused."""
    refuse(layer, 2, 8, 13, 15)
    named = any(layer.number(k) != _THE_REST for k in (3, 4, 5))
    if named or len(layer.inputs) != 1 or layer.array(9) or layer.array(10) or layer.array(11):
        raise layer.wrong("crops to a named size, which is not imported")
    left, top = layer.whole(0, high=4096), layer.whole(1, high=4096)
    right, bottom = layer.whole(6, high=4096), layer.whole(7, high=4096)
    far = np.iinfo(np.int64).max
    parts = [
        graph.constant(np.array(v, np.int64))
        for v in ([top, left], [-bottom or far, -right or far], [2, 3])
    ]
    out = graph.node("Slice", graph.source(layer), *parts)
    graph.give(layer, out, graph.channels(layer))


def _memory_data(graph: Graph, layer: Layer) -> None:
    refuse(layer, 11)
    if layer.whole(21, 1, high=1) != 1:
        raise layer.wrong("holds tagged weights, which are not imported")
    width, height, channels = (layer.whole(k, high=1 << 16) for k in (0, 1, 2))
    if not channels and (height or width != 1):
        raise layer.wrong(
            f"has the shape {width} x {height}", "one number or (w, h, c): how others spread varies"
        )
    shape = (1, max(channels, 1), max(height, 1), max(width, 1))
    if np.prod(shape) > 1 << 24:
        raise layer.wrong(f"holds {shape} values")
    values = graph.weights.plain(layer, int(np.prod(shape))).reshape(shape)
    graph.give(layer, graph.constant(values), shape[1])


EMITTERS: dict[str, Callable[[Graph, Layer], None]] = {
    "Input": _input,
    "Split": _split,
    "Convolution": convolution,
    "ConvolutionDepthWise": convolution,
    "Deconvolution": deconvolution,
    "DeconvolutionDepthWise": deconvolution,
    "InnerProduct": inner_product,
    "PReLU": prelu,
    "ReLU": _relu,
    "Clip": _clip_layer,
    "Sigmoid": _simple("Sigmoid"),
    "TanH": _simple("Tanh"),
    "Swish": _swish,
    "HardSigmoid": _hard,
    "HardSwish": _hard,
    "UnaryOp": _unary,
    "Interp": _interp,
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "PixelShuffle": _pixel_shuffle,
    "Pooling": _pooling,
    "Padding": _padding,
    "Crop": _crop,
    "MemoryData": _memory_data,
    "Dropout": _simple("Identity"),
    "Noop": _simple("Identity"),
}
