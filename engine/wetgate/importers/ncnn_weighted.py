"""Write the layers of ncnn that hold weights, and what they have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from wetgate.importers.ncnn_file import Layer
from wetgate.importers.ncnn_graph import MAX_CHANNELS, Graph
from wetgate.model.errors import ModelLoadError

MAX_KERNEL = 63
_SAME_UPPER, _SAME_LOWER = -233, -234


def input_channels(layers: tuple[Layer, ...]) -> int:
    """Return how many channels the model reads, as its first convolution of the input says.

    Raises:
        ModelLoadError: no input, several, or no convolution that reads it.
    """
    starts = [layer for layer in layers if layer.kind == "Input"]
    if len(starts) != 1 or len(starts[0].outputs) != 1:
        raise ModelLoadError(f"ncnn model with {len(starts)} inputs", expected="one picture")
    names = {starts[0].outputs[0]}
    for layer in layers:
        if not names.intersection(layer.inputs):
            continue
        if layer.kind in ("Split", "Interp", "Padding", "Noop"):
            names.update(layer.outputs)
        elif layer.kind.startswith("Convolution"):
            height, width, _ = _kernel(layer)
            made = layer.whole(0, low=1, high=MAX_CHANNELS) * height * width
            return layer.whole(6, low=1) // made * _groups(layer)
    raise ModelLoadError("ncnn model in which no convolution reads the input")


def _pads(layer: Layer) -> dict[str, Any]:
    left = layer.number(4)
    if left in (_SAME_UPPER, _SAME_LOWER):
        return {"auto_pad": "SAME_UPPER" if left == _SAME_UPPER else "SAME_LOWER"}
    left = layer.whole(4, high=MAX_KERNEL)
    top = layer.whole(14, left, high=MAX_KERNEL)
    right = layer.whole(15, left, high=MAX_KERNEL)
    bottom = layer.whole(16, top, high=MAX_KERNEL)
    return {"pads": [top, left, bottom, right]}


def _kernel(layer: Layer) -> tuple[int, int, dict[str, Any]]:
    width = layer.whole(1, low=1, high=MAX_KERNEL)
    height = layer.whole(11, width, low=1, high=MAX_KERNEL)
    dilation = layer.whole(2, 1, low=1, high=MAX_KERNEL)
    stride = layer.whole(3, 1, low=1, high=16)
    shape: dict[str, Any] = {
        "kernel_shape": [height, width],
        "dilations": [layer.whole(12, dilation, low=1, high=MAX_KERNEL), dilation],
        "strides": [layer.whole(13, stride, low=1, high=16), stride],
    }
    return height, width, shape


def refuse(layer: Layer, *keys: int) -> None:
    """Refuse a layer in which one of these parameters is set."""
    for key in keys:
        if layer.number(key) != 0:
            raise layer.wrong(f"uses parameter {key}, which is not imported")


def _weighted(
    graph: Graph, layer: Layer, groups: int, area: int, *, transposed: bool
) -> tuple[str, list[str], int]:
    """Take the weights of a convolution: (input value, [weights, bias], output channels)."""
    made = layer.whole(0, low=1, high=MAX_CHANNELS)
    size = layer.whole(6, low=1)
    each = made * area
    if size % each or made % groups:
        raise layer.wrong(f"has {size} weights", f"a multiple of {each} and {groups} groups")
    read = size // each * groups
    if read > MAX_CHANNELS:
        raise layer.wrong(f"reads {read} channels", f"at most {MAX_CHANNELS}")
    if graph.channels(layer) != read:
        raise layer.wrong(f"reads {read} channels", f"{graph.channels(layer)}, as its input has")
    weights = graph.weights.tagged(layer, size)
    bias = graph.weights.plain(layer, made) if layer.whole(5, high=1) else None
    if transposed:
        # Stored (group, out, in, area); ONNX wants (in of all groups, out of one group, area).
        shaped = weights.reshape(groups, made // groups, read // groups, area)
        ordered = shaped.transpose(0, 2, 1, 3).reshape(read, made // groups, area)
    else:
        ordered = weights.reshape(made, read // groups, area)
    kernel_width = layer.whole(1, low=1)
    final = ordered.reshape(*ordered.shape[:2], area // kernel_width, kernel_width)
    parts = [graph.constant(final)]
    if bias is not None:
        parts.append(graph.constant(bias))
    return graph.source(layer), parts, made


def convolution(graph: Graph, layer: Layer) -> None:
    """Write a convolution, grouped or not, with its activation."""
    refuse(layer, 8, 18, 19)
    height, width, shape = _kernel(layer)
    groups = _groups(layer)
    value, parts, made = _weighted(graph, layer, groups, height * width, transposed=False)
    out = graph.node("Conv", value, *parts, group=groups, **shape, **_pads(layer))
    graph.give(layer, _activated(graph, layer, out), made)


def deconvolution(graph: Graph, layer: Layer) -> None:
    """Write a transposed convolution with its activation."""
    refuse(layer, 8, 20, 21, 28)
    height, width, shape = _kernel(layer)
    groups = _groups(layer)
    extra = layer.whole(18, high=15)
    padding = [layer.whole(19, extra, high=15), extra]
    value, parts, made = _weighted(graph, layer, groups, height * width, transposed=True)
    pads = _pads(layer)
    if "auto_pad" in pads:
        raise layer.wrong("pads to an output size, which is not imported")
    out = graph.node(
        "ConvTranspose", value, *parts, group=groups, output_padding=padding, **shape, **pads
    )
    graph.give(layer, _activated(graph, layer, out), made)


def _groups(layer: Layer) -> int:
    return layer.whole(7, 1, low=1, high=MAX_CHANNELS) if layer.kind.endswith("DepthWise") else 1


def inner_product(graph: Graph, layer: Layer) -> None:
    """Write a full connection of channel means as a convolution of one pixel."""
    refuse(layer, 8)
    if not graph.is_vector(layer):
        raise layer.wrong("reads a picture of fixed size", "a vector of channel means")
    made, size = layer.whole(0, low=1, high=MAX_CHANNELS), layer.whole(2, low=1)
    read = graph.channels(layer)
    if size != made * read:
        raise layer.wrong(f"has {size} weights", f"{made * read}")
    parts = [graph.constant(graph.weights.tagged(layer, size).reshape(made, read, 1, 1))]
    if layer.whole(1, high=1):
        parts.append(graph.constant(graph.weights.plain(layer, made)))
    out = graph.node("Conv", graph.source(layer), *parts)
    graph.give(layer, _activated(graph, layer, out), made, vector=True)


def _activated(graph: Graph, layer: Layer, value: str) -> str:
    kind, params = layer.whole(9, high=6), layer.array(10)
    if kind == 0:
        return value
    if kind in (2, 3, 6) and len(params) != (1 if kind == 2 else 2):
        raise layer.wrong(f"has {len(params)} parameters for its activation")
    if kind == 1:
        return graph.node("Relu", value)
    if kind == 2:
        return graph.node("LeakyRelu", value, alpha=params[0])
    if kind == 3:
        return clip(graph, value, params[0], params[1])
    if kind == 4:
        return graph.node("Sigmoid", value)
    if kind == 5:
        return graph.node("Mul", value, graph.node("Tanh", graph.node("Softplus", value)))
    hard = graph.node("HardSigmoid", value, alpha=params[0], beta=params[1])
    return graph.node("Mul", value, hard)


def clip(graph: Graph, value: str, low: float, high: float) -> str:
    """Bound a value."""
    ends = [graph.constant(np.array(v, np.float32)) for v in (low, high)]
    return graph.node("Clip", value, *ends)


def keep(graph: Graph, layer: Layer, out: str) -> None:
    """Give a layer an output with the channels of its input."""
    graph.give(layer, out, graph.channels(layer), vector=graph.is_vector(layer))


def prelu(graph: Graph, layer: Layer) -> None:
    """Write a slope below zero for each channel."""
    count = layer.whole(0, low=1, high=MAX_CHANNELS)
    if count not in (1, graph.channels(layer)):
        raise layer.wrong(f"has {count} slopes", f"1 or {graph.channels(layer)}")
    slopes = graph.constant(graph.weights.plain(layer, count).reshape(count, 1, 1))
    keep(graph, layer, graph.node("PRelu", graph.source(layer), slopes))
