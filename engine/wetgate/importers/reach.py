"""How far a network of plain picture operations can look, from its graph alone.

Exact for what it knows (convolutions, pooling, shuffles, resizing, pointwise work) and silent
about everything else: attention, global means and reshapes return None, and are measured instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_POINTWISE = frozenset(
    [
        *("Abs", "Add", "BatchNormalization", "Cast", "Clip", "Div", "Dropout", "Elu", "Erf"),
        *("Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max"),
        *("Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu"),
        *("Sigmoid", "Sin", "Cos", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh"),
    ]
)


@dataclass(frozen=True, slots=True)
class _Grid:
    """A value's px per input px, and how many input px beyond its own place it depends on."""

    density: Fraction
    reach: Fraction


def static_reach(model: onnx.ModelProto) -> int | None:
    """Return the radius of the receptive field in input px, or None when the graph is not plain.

    Args:
        model: cleaned: input "x", output "y".
    """
    from onnx import numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    grids = {"x": _Grid(Fraction(1), Fraction(0))}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
            continue
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
            continue
        sources = [grids[name] for name in node.input if name in grids]
        if not sources:
            return None
        if any(n and n not in grids and n not in constants for n in node.input):
            return None
        if len({g.density for g in sources}) > 1:
            return None
        density, reach = sources[0].density, max(g.reach for g in sources)
        numbers = {a.name: list(a.ints) or [a.i] for a in node.attribute}
        if node.op_type in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"):
            kernel = numbers.get("kernel_shape")
            if kernel is None and len(node.input) > 1 and node.input[1] in constants:
                kernel = list(constants[node.input[1]].dims[2:])
            if (
                kernel is None
                or len(kernel) != 2
                or any(a.name == "auto_pad" and a.s not in (b"NOTSET", b"") for a in node.attribute)
            ):
                return None
            extent = _extent(kernel, numbers)
            stride = numbers.get("strides", [1, 1])
            if len(set(stride)) != 1 or numbers.get("ceil_mode", [0]) != [0]:
                return None
            if node.op_type == "ConvTranspose":
                density *= stride[0]
            grid = _Grid(density, reach + extent / density)
            if node.op_type != "ConvTranspose":
                grid = _Grid(density / stride[0], grid.reach)
        elif node.op_type in ("DepthToSpace", "SpaceToDepth"):
            block = numbers["blocksize"][0]
            finer = node.op_type == "DepthToSpace"
            spread = Fraction(block - 1, block) if finer else Fraction(block - 1)
            grid = _Grid(density * block if finer else density / block, reach + spread / density)
        elif node.op_type == "Resize":
            if len(node.input) != 3 or node.input[2] not in constants:
                return None
            scales = numpy_helper.to_array(constants[node.input[2]]).tolist()
            if len(scales) != 4 or scales[:2] != [1.0, 1.0] or scales[2] != scales[3]:
                return None
            # A cubic looks at 2 px of what it reads either side; the others at fewer.
            factor = Fraction(scales[2]).limit_denominator(64)
            grid = _Grid(density * factor, reach + 2 / density)
        elif _pointwise(node, numbers, constants):
            grid = _Grid(density, reach)
        else:
            return None
        grids.update((name, grid) for name in node.output if name)
    return math.ceil(grids["y"].reach) if "y" in grids else None


def _pointwise(
    node: onnx.NodeProto,
    numbers: dict[str, list[int]],
    constants: dict[str, onnx.TensorProto],
) -> bool:
    """Tell whether a px of the output depends on the same px alone, and the same everywhere."""
    if node.op_type == "Concat":
        return numbers.get("axis") in ([1], [-3])
    return node.op_type in _POINTWISE and all(
        all(d == 1 for d in constants[name].dims[-2:]) or len(constants[name].dims) < 2
        for name in node.input
        if name in constants
    )


def _extent(kernel: Sequence[int], numbers: dict[str, list[int]]) -> Fraction:
    dilation = numbers.get("dilations", [1, 1])
    before = numbers.get("pads", [0, 0, 0, 0])[:2]
    spans = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    return Fraction(max(max(p, span - p) for span, p in zip(spans, before, strict=True)))
