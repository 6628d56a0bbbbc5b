"""Say no to what an ONNX file may not be, before anything runs it.

Only plain, deterministic picture operations of the standard set, every weight inside the file, and
no constant that asks for more than a picture needs. Static: nothing here executes a graph.

Source: onnx.proto of ONNX 1.x for what a file can hold; CVE-2022-25882, CVE-2024-27318 and
CVE-2025-51480 for what outside data was used for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wetgate.importers.limits import Limits
from wetgate.model.errors import ModelLoadError

if TYPE_CHECKING:
    import onnx

ALLOWED = frozenset(
    re.findall(
        r"\w+",
        """
    Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast CastLike Ceil
    Celu CenterCropPad Clip Col2Im Concat Constant ConstantOfShape Conv ConvTranspose Cos CumSum
    DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization IsInf
    IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul
    Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow
    QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterND
    Selu Shape Shrink Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample
    Where Xor
    """,
    )
)
"""Not here on purpose: Loop and Scan (unbounded), anything random, strings, sequences, training."""

_STANDARD = ("", "ai.onnx")
_SAFE_CONSTANT = 1 << 16
"""Constants with more elements are weights, never shapes."""


def parse(data: bytes, limits: Limits) -> onnx.ModelProto:
    """Parse the bytes of an ONNX file.

    Raises:
        ModelLoadError: too large, or no ONNX.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if len(data) > limits.file_bytes:
        raise ModelLoadError(
            f"file of {len(data)} bytes", expected=f"at most {limits.file_bytes} bytes"
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise ModelLoadError(
            "not an ONNX file, or a truncated one",
            expected="a whole protobuf",
            remedy="get the file again",
        ) from error
    if not model.ir_version or not model.graph.node:
        raise ModelLoadError("an ONNX file without a graph", remedy="get the file again")
    return model


def vet(model: onnx.ModelProto, limits: Limits, *, inlined: bool = True) -> None:
    """Refuse a model that is not a plain picture network.

    Args:
        inlined: refuse local functions; False: look into them, and count what they unfold to.

    Raises:
        ModelLoadError: naming what was found and where.
    """
    if model.training_info:
        raise ModelLoadError("ONNX file with training information", expected="a graph to run")
    _vet_opsets(model.opset_import)
    own = {(f.domain, f.name): f for f in model.functions}
    if len(own) != len(model.functions):
        raise ModelLoadError("ONNX file that defines one function twice")
    if own and inlined:
        raise ModelLoadError("ONNX file with local functions")
    for function in model.functions:
        _vet_opsets(function.opset_import, own={domain for domain, _ in own})
        _vet_nodes(function.node, f"function {function.name!r}", limits, own)
    _vet_graph(model.graph, limits, own, depth=0)
    count = _unfolded(model.graph, own, limits)
    if count > limits.nodes:
        raise ModelLoadError(f"graph of {count} nodes", expected=f"at most {limits.nodes}")
    weights = sum(_elements(t) for t in _tensors(model))
    if weights > limits.weights:
        raise ModelLoadError(f"{weights} weights", expected=f"at most {limits.weights}")
    if inlined:
        _check(model)


def measure_shapes(model: onnx.ModelProto, limits: Limits, side: int = 64) -> None:
    """Refuse a graph that makes too much of a picture of `side` x `side` px.

    Args:
        model: cleaned: one input "x" `(1, c, h, w)`.

    Raises:
        ModelLoadError: naming the value and its size, or what does not fit together.
    """
    import onnx

    trial = onnx.ModelProto()
    trial.CopyFrom(model)
    for dim in trial.graph.input[0].type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.dim_value = side
    try:
        shaped = onnx.shape_inference.infer_shapes(trial, data_prop=True)
    except (RuntimeError, ValueError) as error:
        raise ModelLoadError(f"graph whose sizes do not fit together: {_first(error)}") from error
    for value in (*shaped.graph.value_info, *shaped.graph.output):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        size = math.prod(d for d in dims if d > 0)
        if size > limits.values:
            raise ModelLoadError(
                f"value {value.name!r} has the size {dims} for a picture of {side} x {side} px",
                expected=f"at most {limits.values} elements",
                remedy="the file is made to exhaust the machine, or is no picture network",
            )


def _vet_opsets(opsets: Sequence[onnx.OperatorSetIdProto], own: set[str] | None = None) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    standard = [o for o in opsets if o.domain in _STANDARD]
    # Exporters name domains that they do not use; only nodes in them are refused.
    if len(standard) != 1 or not 7 <= standard[0].version <= newest:
        found = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in opsets) or "none"
        if own is not None and not standard:
            return
        raise ModelLoadError(f"operator sets {found}", expected=f"ai.onnx 7 to {newest}")


_Functions = Mapping[tuple[str, str], "onnx.FunctionProto"]


def _vet_graph(graph: onnx.GraphProto, limits: Limits, own: _Functions, depth: int) -> None:
    if depth > 8:
        raise ModelLoadError("graphs nested deeper than 8")
    if graph.sparse_initializer:
        raise ModelLoadError("sparse weights", expected="dense ones")
    for tensor in graph.initializer:
        vet_tensor(tensor, limits)
    known = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            known.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    _vet_nodes(graph.node, "graph", limits, own, known, depth)


def _vet_nodes(
    nodes: Sequence[onnx.NodeProto],
    where: str,
    limits: Limits,
    own: _Functions,
    known: Mapping[str, onnx.TensorProto] | None = None,
    depth: int = 0,
) -> None:
    import onnx

    refused = {onnx.AttributeProto.SPARSE_TENSOR, onnx.AttributeProto.SPARSE_TENSORS}
    refused |= {onnx.AttributeProto.TYPE_PROTO, onnx.AttributeProto.TYPE_PROTOS}
    if len(nodes) > limits.nodes:
        raise ModelLoadError(f"{where} of {len(nodes)} nodes", expected=f"at most {limits.nodes}")
    for node in nodes:
        if (node.domain, node.op_type) not in own:
            if node.domain not in _STANDARD:
                raise ModelLoadError(
                    f"operation {node.op_type!r} of domain {node.domain!r} in the {where}",
                    expected="operations of the ONNX standard",
                    remedy="export the model again without custom operations",
                )
            if node.op_type not in ALLOWED:
                raise ModelLoadError(
                    f"operation {node.op_type!r} in the {where}",
                    expected="deterministic picture operations without loops",
                )
        for attribute in node.attribute:
            if attribute.type in refused:
                raise ModelLoadError(f"attribute {attribute.name!r} of {node.op_type}")
            if attribute.HasField("t"):
                vet_tensor(attribute.t, limits)
            for tensor in attribute.tensors:
                vet_tensor(tensor, limits)
            for graph in _graphs(attribute):
                _vet_graph(graph, limits, own, depth + 1)
        _vet_sizes(node, known or {}, limits)


def vet_tensor(tensor: onnx.TensorProto, limits: Limits) -> None:
    """Refuse weights that lie outside the file or are not as many as they say.

    Raises:
        ModelLoadError: naming the tensor.
    """
    import onnx

    name = tensor.name[:80]
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        places = [e.value for e in tensor.external_data if e.key == "location"]
        raise ModelLoadError(
            f"weights {name!r} lie outside the file, in {places[0][:120]!r}"
            if places
            else f"weights {name!r} lie outside the file",
            expected="all weights inside",
            remedy="save the model again as one file",
        )
    if any(d < 0 for d in tensor.dims):
        raise ModelLoadError(f"weights {name!r} of size {list(tensor.dims)}")
    if tensor.data_type == onnx.TensorProto.STRING:
        raise ModelLoadError(f"text in {name!r}", expected="numbers")
    count = _elements(tensor)
    if count > limits.weights:
        raise ModelLoadError(f"{count} weights in {name!r}", expected=f"at most {limits.weights}")
    found, wanted = _held(tensor, count)
    if found != wanted:
        raise ModelLoadError(
            f"weights {name!r} hold {found} bytes or numbers",
            expected=f"{wanted}, as their size {list(tensor.dims)} says",
            remedy="the file is truncated or damaged",
        )


def _held(tensor: onnx.TensorProto, count: int) -> tuple[int, int]:
    """Return how many bytes or numbers a tensor holds and how many it should."""
    import onnx

    types = onnx.TensorProto
    half_bytes = {types.UINT4, types.INT4}
    item: dict[int, int] = {types.BFLOAT16: 2}
    if tensor.HasField("raw_data"):
        if tensor.data_type in half_bytes:
            return len(tensor.raw_data), (count + 1) // 2
        size = item.get(tensor.data_type)
        if size is None:
            try:
                size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            except (KeyError, TypeError) as error:
                raise ModelLoadError(f"weights of type {tensor.data_type}") from error
        return len(tensor.raw_data), count * size
    if tensor.data_type in half_bytes:
        return len(tensor.int32_data), (count + 1) // 2
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data)
    more = (tensor.double_data, tensor.uint64_data)
    factor = 2 if tensor.data_type in (types.COMPLEX64, types.COMPLEX128) else 1
    return sum(map(len, (*fields, *more))), count * factor


def _vet_sizes(node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto], limits: Limits) -> None:
    """Refuse constants that blow a picture up: shapes, repeats, factors, margins."""

    def constant(index: int) -> NDArray[np.float64] | None:
        if len(node.input) <= index or node.input[index] not in known:
            return None
        tensor = known[node.input[index]]
        if _elements(tensor) > _SAFE_CONSTANT:
            return None
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(tensor), np.float64).ravel()

    def attribute(name: str) -> list[float]:
        for a in node.attribute:
            if a.name == name:
                return [float(v) for v in (*a.ints, *a.floats)] or [float(a.i or a.f)]
        return []

    asked: list[tuple[str, float, float]] = []
    op = node.op_type
    if op in ("ConstantOfShape", "Expand", "Tile"):
        shape = constant(0 if op == "ConstantOfShape" else 1)
        if shape is not None and shape.size:
            bound = float(limits.values) if op != "Tile" else float(limits.side)
            asked.append(("elements", float(np.prod(np.maximum(shape, 1))), bound))
    elif op in ("Resize", "Upsample"):
        places = (1,) if op == "Upsample" else (1, 2) if len(node.input) < 4 else (2,)
        for place in places:
            scales = constant(place)
            if scales is not None and scales.size >= 4:
                asked.append(("times the pixels", float(np.prod(np.abs(scales))), 256.0))
        sizes = constant(3)
        if sizes is not None and sizes.size:
            asked.append(("elements", float(np.prod(np.abs(sizes))), float(limits.values)))
    elif op == "Pad":
        margins = constant(1)
        widths = list(margins) if margins is not None else attribute("pads")
        if widths:
            asked.append(("px of margin", float(np.max(np.abs(widths))), float(limits.side)))
    elif op == "Range":
        ends = [constant(k) for k in range(3)]
        if all(e is not None and e.size == 1 for e in ends):
            low, high, step = (float(e[0]) for e in ends if e is not None)
            asked.append(("elements", abs(high - low) / max(abs(step), 1e-9), 1 << 24))
    elif op == "OneHot":
        depth = constant(1)
        if depth is not None and depth.size:
            asked.append(("classes", float(depth.max()), 1 << 16))
    for name in ("pads", "kernel_shape", "strides", "dilations", "blocksize", "output_padding"):
        for value in attribute(name):
            asked.append((name, abs(value), float(limits.side)))
    if any(a.name == "output_shape" for a in node.attribute):
        raise ModelLoadError(f"{op} {node.name[:80]!r} names an output size")
    for what, value, bound in asked:
        if not value <= bound:
            raise ModelLoadError(
                f"{op} {node.name[:80]!r} asks for {value:g} {what}",
                expected=f"at most {bound:g}",
                remedy="the file is made to exhaust the machine, or is no picture network",
            )


def _unfolded(graph: onnx.GraphProto, own: _Functions, limits: Limits) -> int:
    """Return how many nodes the graph has once every function is written out."""
    sizes: dict[tuple[str, str], int] = {}

    def of_nodes(nodes: Sequence[onnx.NodeProto], open_names: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            total += 1
            key = (node.domain, node.op_type)
            if key in open_names:
                raise ModelLoadError(f"function {node.op_type!r} that calls itself")
            if key in own:
                if key not in sizes:
                    if len(open_names) > 16:
                        raise ModelLoadError("functions nested deeper than 16")
                    sizes[key] = of_nodes(own[key].node, (*open_names, key))
                total += sizes[key]
            for attribute in node.attribute:
                total += sum(of_nodes(g.node, open_names) for g in _graphs(attribute))
            total = min(total, limits.nodes + 1)
        return total

    return of_nodes(graph.node, ())


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    graphs = [model.graph]
    nodes = [n for f in model.functions for n in f.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            graphs.extend(_graphs(attribute))


def _graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _elements(tensor: onnx.TensorProto) -> int:
    return math.prod(max(int(d), 0) for d in tensor.dims)


def _check(model: onnx.ModelProto) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelLoadError(
            f"ONNX graph that is not well-formed: {_first(error)}", remedy="get the file again"
        ) from error


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
