"""An ONNX graph of plain operators as a torch module: the same weights, no second file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wetgate.model.errors import BackendError

Values = list[Any]
_Make = Callable[[Mapping[str, Any], Sequence[Any]], Callable[[Values], Any]]


def unsupported(ops: Mapping[str, int]) -> tuple[str, ...]:
    """Return the kinds of nodes that this module cannot compute."""
    return tuple(op for op in ops if op not in _MAKERS)


def build_module(model: Any, name: str) -> Any:
    """Return a `torch.nn.Module` that computes a checked ONNX graph.

    Raises:
        BackendError: an operator, or an attribute of one, that is not among the plain ones.
    """
    import torch
    from onnx import helper, numpy_helper

    constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in
                 model.graph.initializer}  # fmt: skip
    steps: list[tuple[Callable[[Values], Any], list[str], str]] = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            value = numpy_helper.to_array(attributes["value"]).copy()
            constants[node.output[0]] = torch.from_numpy(value)
            continue
        if node.op_type not in _MAKERS or len(node.output) != 1:
            raise BackendError(f"{name}: the torch backend has no operator {node.op_type}")
        known = [constants.get(i) for i in node.input]
        steps.append((_MAKERS[node.op_type](attributes, known), list(node.input), node.output[0]))

    class GraphModule(torch.nn.Module):
        """The nodes in order; constants are buffers, so that they move with the module."""

        def __init__(self) -> None:
            super().__init__()
            self._names: dict[str, str] = {}
            for i, (key, tensor) in enumerate(constants.items()):
                self._names[key] = f"c{i}"
                self.register_buffer(f"c{i}", tensor)

        def forward(self, x: Any) -> Any:
            values: dict[str, Any] = {k: getattr(self, v) for k, v in self._names.items()}
            values["x"] = x
            for call, inputs, output in steps:
                values[output] = call([values[i] if i else None for i in inputs])
            return values["y"]

    return GraphModule().eval()


def _conv(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    pads = list(a.get("pads", [0, 0, 0, 0]))
    if len(pads) != 4 or a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise BackendError("the torch backend has 2-D convolutions with explicit padding alone")
    same = pads[:2] == pads[2:]
    options = {
        "stride": tuple(a.get("strides", (1, 1))),
        "dilation": tuple(a.get("dilations", (1, 1))),
        "groups": a.get("group", 1),
        "padding": tuple(pads[:2]) if same else 0,
    }

    def call(v: Values) -> Any:
        x = v[0] if same else F.pad(v[0], (pads[1], pads[3], pads[0], pads[2]))
        return F.conv2d(x, v[1], v[2] if len(v) > 2 else None, **options)

    return call


def _conv_transpose(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    pads = list(a.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:] or a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise BackendError("the torch backend has deconvolutions with even padding alone")
    options = {
        "stride": tuple(a.get("strides", (1, 1))),
        "dilation": tuple(a.get("dilations", (1, 1))),
        "groups": a.get("group", 1),
        "padding": tuple(pads[:2]),
        "output_padding": tuple(a.get("output_padding", (0, 0))),
    }
    return lambda v: F.conv_transpose2d(v[0], v[1], v[2] if len(v) > 2 else None, **options)


def _depth_to_space(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    block = a["blocksize"]
    if a.get("mode", b"DCR") == b"CRD":
        return lambda v: F.pixel_shuffle(v[0], block)

    def call(v: Values) -> Any:
        n, c, h, w = v[0].shape
        cut = v[0].reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return cut.reshape(n, c // block**2, h * block, w * block)

    return call


def _space_to_depth(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    block = a["blocksize"]

    def call(v: Values) -> Any:
        n, c, h, w = v[0].shape
        cut = v[0].reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return cut.reshape(n, c * block**2, h // block, w // block)

    return call


def _prelu(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    import torch

    return lambda v: torch.where(v[0] < 0, v[0] * v[1], v[0])


def _clip(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    import torch

    low, high = a.get("min"), a.get("max")

    def call(v: Values) -> Any:
        least = v[1] if len(v) > 1 and v[1] is not None else low
        most = v[2] if len(v) > 2 and v[2] is not None else high
        return torch.clamp(v[0], least, most)

    return call


def _resize(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    scales = [float(s) for s in known[2]] if len(known) > 2 and known[2] is not None else []
    whole = len(scales) == 4 and scales[:2] == [1, 1] and all(s == int(s) >= 1 for s in scales[2:])
    mode = a.get("mode", b"nearest"), a.get("coordinate_transformation_mode", b"half_pixel")
    if whole and mode == (b"nearest", b"asymmetric") and a.get("nearest_mode") == b"floor":
        factor = int(scales[2]), int(scales[3])
        return lambda v: v[0].repeat_interleave(factor[0], 2).repeat_interleave(factor[1], 3)
    if whole and mode == (b"linear", b"half_pixel"):
        return lambda v: F.interpolate(
            v[0], scale_factor=(scales[2], scales[3]), mode="bilinear", align_corners=False
        )
    raise BackendError("the torch backend resizes by whole factors, nearest or bilinear, alone")


def _pad(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}.get(
        a.get("mode", b"constant")
    )
    pads = [int(p) for p in known[1]] if len(known) > 1 and known[1] is not None else []
    value = float(known[2]) if len(known) > 2 and known[2] is not None else 0.0
    if mode is None or len(pads) != 8 or pads[0] or pads[1] or pads[4] or pads[5]:
        raise BackendError("the torch backend pads height and width by constants alone")
    around = pads[3], pads[7], pads[2], pads[6]
    if mode != "constant":
        return lambda v: F.pad(v[0], around, mode=mode)
    return lambda v: F.pad(v[0], around, value=value)


def _leaky_relu(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    from torch.nn import functional as F

    return lambda v: F.leaky_relu(v[0], a.get("alpha", 0.01))


def _concat(a: Mapping[str, Any], known: Sequence[Any]) -> Callable[[Values], Any]:
    import torch

    return lambda v: torch.cat(v, dim=a["axis"])


def _plain(call: Callable[..., Any]) -> _Make:
    return lambda a, known: lambda v: call(*v)


_MAKERS: dict[str, _Make] = {
    "Add": _plain(lambda x, y: x + y),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _plain(lambda: None),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _plain(lambda x, y: x / y),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "Mul": _plain(lambda x, y: x * y),
    "PRelu": _prelu,
    "Pad": _pad,
    "Relu": _plain(lambda x: x.relu()),
    "Resize": _resize,
    "Sigmoid": _plain(lambda x: x.sigmoid()),
    "SpaceToDepth": _space_to_depth,
    "Sub": _plain(lambda x, y: x - y),
    "Tanh": _plain(lambda x: x.tanh()),
}
