"""Bring a vetted ONNX model into the one form that the backends take.

One input "x" `(1, channels, height, width)` and one output "y", float32 throughout, functions
written out, nothing that only describes. Weights in half or bfloat16 become float32 exactly: both
are subsets of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wetgate.importers.limits import Limits
from wetgate.model.errors import ModelLoadError

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A model in the backends' form.

    Attributes:
        model: the graph.
        window: height and width when the graph takes only one size, else 0.
        notes: what was changed, in words.
    """

    model: onnx.ModelProto
    window: int
    notes: tuple[str, ...]


def clean(model: onnx.ModelProto, limits: Limits) -> Cleaned:
    """Return the model in the backends' form.

    Raises:
        ModelLoadError: several pictures in or out, another type or layout.
    """
    import onnx

    notes: list[str] = []
    if model.functions:
        import onnx.inliner

        model = onnx.inliner.inline_local_functions(model)
        notes.append("functions written out")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _strip(made)
    changed = _to_float32(made.graph)
    if changed:
        notes.append(f"{changed} tensors of 16 bits made float32")
    _drop_constant_inputs(made.graph)
    source, target = _ends(made.graph)
    window = _shape_input(source)
    _rename(made.graph, {source.name: "x", target.name: "y"})
    return Cleaned(made, window, tuple(notes))


def _strip(model: onnx.ModelProto) -> None:
    """Drop what only describes: it may be large, wrong or somebody's name."""
    model.doc_string = ""
    model.producer_name, model.producer_version, model.domain = "wetgate", "", ""
    del model.metadata_props[:]
    for graph in _all_graphs(model.graph):
        graph.doc_string = ""
        del graph.value_info[:]
        del graph.quantization_annotation[:]
        for node in graph.node:
            node.doc_string = ""
            for field in node.DESCRIPTOR.fields_by_name:
                if field in ("metadata_props", "device_configurations"):
                    node.ClearField(field)


def _to_float32(graph: onnx.GraphProto) -> int:
    import onnx
    from onnx import numpy_helper

    sixteen = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

    def widen(tensor: onnx.TensorProto) -> int:
        if tensor.data_type not in sixteen:
            return 0
        values = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
        return 1

    changed = 0
    for part in _all_graphs(graph):
        changed += sum(map(widen, part.initializer))
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    changed += widen(attribute.t)
                changed += sum(map(widen, attribute.tensors))
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i in sixteen:
                    attribute.i = onnx.TensorProto.FLOAT
        for value in (*part.input, *part.output):
            if value.type.tensor_type.elem_type in sixteen:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
                changed += 1
    return changed


def _drop_constant_inputs(graph: onnx.GraphProto) -> None:
    """Before IR version 4 every weight was also an input."""
    weights = {t.name for t in graph.initializer}
    real = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(real)


def _ends(graph: onnx.GraphProto) -> tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]:
    import onnx

    if len(graph.input) != 1 or len(graph.output) != 1:
        names = ", ".join(v.name[:40] for v in graph.input)
        raise ModelLoadError(
            f"{len(graph.input)} inputs ({names}) and {len(graph.output)} outputs",
            expected="one picture in and one out",
            remedy="networks that take a noise level, a mask or several frames are not imported",
        )
    for value in (graph.input[0], graph.output[0]):
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            kind = value.type.tensor_type.elem_type
            name = onnx.TensorProto.DataType.Name(kind) if kind else "no tensor"
            raise ModelLoadError(f"{value.name[:40]!r} is {name}", expected="float32 in 0-1")
    return graph.input[0], graph.output[0]


def _shape_input(source: onnx.ValueInfoProto) -> int:
    """Fix the batch at 1, free height and width unless they are numbers; return their number."""
    dims = source.type.tensor_type.shape.dim
    if len(dims) != 4:
        what = "several frames" if len(dims) == 5 else "no pictures"
        raise ModelLoadError(
            f"an input of {len(dims)} dimensions: {what}",
            expected="(batch, channels, height, width)",
        )
    batch, channels, height, width = (d.dim_value if d.HasField("dim_value") else 0 for d in dims)
    if batch not in (0, 1):
        raise ModelLoadError(f"a batch of {batch} pictures", expected="1, or any number")
    if width in (1, 3) and channels > 4:
        raise ModelLoadError("channels come last", expected="(batch, channels, height, width)")
    dims[0].dim_value = 1
    if bool(height) != bool(width) or height != width or height > 2048:
        raise ModelLoadError(
            f"an input of {height or 'any'} x {width or 'any'} px",
            expected="any size, or one square of at most 2048 px",
            remedy="export the model again with dynamic height and width",
        )
    if not height:
        dims[2].dim_param, dims[3].dim_param = "h", "w"
    return int(height)


def _rename(graph: onnx.GraphProto, ends: dict[str, str]) -> None:
    """Give the ends their names; a value inside that already has one of them gets another."""
    if len(ends) != 2:
        raise ModelLoadError("a graph whose output is its input")
    taken = {n for part in _all_graphs(graph) for node in part.node for n in node.output}
    taken |= {t.name for part in _all_graphs(graph) for t in part.initializer}
    names = dict(ends)
    for name in ("x", "y"):
        if name in taken and name not in ends:
            free = name
            while free in taken:
                free += "_"
            names[name] = free
    for part in _all_graphs(graph):
        for value in (*part.input, *part.output, *part.initializer):
            value.name = names.get(value.name, value.name)
        for node in part.node:
            for places in (node.input, node.output):
                for index, name in enumerate(places):
                    if name in names:
                        places[index] = names[name]
    target = graph.output[0].type.tensor_type
    del target.shape.dim[:]
    for text in ("n", "channels", "out_h", "out_w"):
        target.shape.dim.add().dim_param = text


def _all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield the graph and every graph inside it."""
    waiting = [graph]
    while waiting:
        part = waiting.pop()
        yield part
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)
