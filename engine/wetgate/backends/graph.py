"""Look at an ONNX graph before any runtime does: one input, one output, nothing outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wetgate.model.errors import ModelLoadError

MAX_OPSET = 21
_HOLDS_GRAPHS = {"If", "Loop", "Scan", "SequenceMap"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What a graph says of itself.

    Attributes:
        planes_in, planes_out: number of planes, None where the graph leaves it open.
        ops: kind of node -> how many. parameters: numbers held in constants.
    """

    planes_in: int | None
    planes_out: int | None
    ops: dict[str, int]
    parameters: int
    opset: int


def read_graph(data: bytes, name: str) -> Any:
    """Return the `onnx.ModelProto` of a graph, checked.

    Raises:
        ModelLoadError: not ONNX; more or other than one input "x" and one output "y"; outside
            data, functions, other operator sets, or control flow.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise ModelLoadError(f"{name}: not an ONNX graph") from error
    check_graph(model, name)
    return model


def check_graph(model: Any, name: str) -> GraphFacts:
    """Check a parsed graph (see `read_graph`) and return its facts."""
    import onnx

    graph = model.graph
    domains = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    strange = set(domains) - {"ai.onnx"}
    if strange or model.functions:
        raise _bad(name, f"operators of {', '.join(sorted(strange)) or 'its own'}", "ai.onnx alone")
    opset = domains.get("ai.onnx", 0)
    if not 7 <= opset <= MAX_OPSET:
        raise _bad(name, f"operator set {opset}", f"7 to {MAX_OPSET}")
    for tensor in _tensors(graph):
        if tensor.external_data or tensor.data_location != onnx.TensorProto.DEFAULT:
            raise _bad(name, f"data of {tensor.name!r} outside the file", "all data inside")
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    if [v.name for v in inputs] != ["x"] or [v.name for v in graph.output] != ["y"]:
        found = f"{[v.name for v in inputs]} -> {[v.name for v in graph.output]}"
        raise _bad(name, f"inputs and outputs {found}", "['x'] -> ['y']")
    ops: dict[str, int] = {}
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type in _HOLDS_GRAPHS:
            raise _bad(name, f"operator {node.domain}:{node.op_type}", "plain operators")
        ops[node.op_type] = ops.get(node.op_type, 0) + 1
    return GraphFacts(
        planes_in=_planes(inputs[0]),
        planes_out=_planes(graph.output[0]),
        ops=dict(sorted(ops.items())),
        parameters=sum(_count(t) for t in graph.initializer),
        opset=opset,
    )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _planes(value: Any) -> int | None:
    dims = value.type.tensor_type.shape.dim
    return int(dims[1].dim_value) or None if len(dims) == 4 else None


def _count(tensor: Any) -> int:
    total = 1
    for dim in tensor.dims:
        total *= dim
    return total


def _bad(name: str, found: str, expected: str) -> ModelLoadError:
    return ModelLoadError(
        f"{name}: {found}", expected=expected, remedy="bring it in with wetgate models add"
    )
