"""Make a per-channel int8 copy of a network, and measure what that costs.

The copy is a plain ONNX file with QuantizeLinear and DequantizeLinear around the convolutions:
ONNX Runtime and OpenVINO run the same file in integers. Ranges come from planes that the network
was really fed (`record.recording`).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wetgate.backends.base import Planes, Session, first_line
from wetgate.backends.choose import load_session
from wetgate.backends.graph import read_graph
from wetgate.backends.record import Fed
from wetgate.model.errors import BackendError, InputError, ModelLoadError
from wetgate.weights.card import QualityRecord
from wetgate.weights.library import ModelPackage, write_package

Keep = Literal["first", "last"]
METRIC = "PSNR to its own fp32, dB"

_QUANTISED = ("Conv", "ConvTranspose", "Relu", "Add", "DepthToSpace")
"""A rectifier that is named here is folded into the range of its convolution: values are rounded
once, not before and after it, and no runtime leaves integers to run it. The same goes for what
joins or rearranges the results of convolutions."""
_PATCH = 192
_MOST = 64
"""Patches of this many px, and at most so many, decide the ranges."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """A quantised package and what it loses against its float32 original.

    Attributes:
        psnr: over all measured planes, dB for a peak of 1 of the picture; of the output with what
            it is added to, which cancels. inf when equal.
        worst: largest difference in the picture.
        patches: how many patches decided the ranges; `measured`: how many measured the loss.
    """

    package: ModelPackage
    psnr: float
    worst: float
    patches: int
    measured: int

    def loss_at(self, psnr: float) -> float:
        """Return the dB that a result `psnr` dB from its truth loses, were the errors unrelated.

        Source: errors add in power, 10 log10(1 + 10^((P - Q) / 10)).
        """
        return 10 * math.log10(1 + 10 ** ((psnr - self.psnr) / 10))


def quantize(
    package: ModelPackage,
    fed: Sequence[Fed],
    *,
    destination: Path,
    shot: str,
    command: str = "",
    name: str | None = None,
    keep_float: Sequence[Keep] = (),
    overwrite: bool = False,
) -> Quantised:
    """Write an int8 copy of a package, calibrated and measured on planes of one shot.

    Every second patch decides the ranges; the loss is measured on the others.

    Args:
        fed: what the network was given on the shot.
        destination: folder of packages; the copy is `<name>-int8` there unless `name` says else.
        shot: what the planes are from, for the card. command: how to do it again.
        keep_float: convolutions to leave in float32.

    Raises:
        InputError: no planes. ModelLoadError: quantised already, or a name that is taken.
        BackendError: the graph cannot be quantised.
    """
    card = package.card
    if card.precision == "int8":
        raise ModelLoadError(f"{card.name} is quantised already", path=package.folder)
    patches = list(_patches(fed, card.size_multiple, card.halo))
    if not patches:
        raise InputError(
            f"no planes of {card.name} were seen",
            expected="a recipe that runs it on the shot",
            remedy="pass a --recipe whose step has this net",
        )
    calibrating, measuring = patches[::2], patches[1::2] or patches
    path = package.path(".onnx")
    if path is None:
        raise ModelLoadError("no .onnx file", path=package.folder)
    try:
        data = _quantized(package.read(path.name), card.name, calibrating, keep_float)
    except (ModelLoadError, MemoryError):
        raise
    except Exception as error:
        raise BackendError(f"{card.name} cannot be quantised: {first_line(error)}") from error
    title = name or f"{card.name}-int8"
    draft = replace(
        card,
        name=title,
        precision="int8",
        origin=f"{card.name} version {card.version}, card {card.digest}",
        options={**card.options, "float32_sha256": card.files[path.name]},
    )
    with tempfile.TemporaryDirectory(prefix="wetgate-") as folder:
        trial = write_package(Path(folder) / title, draft, {path.name: data})
        psnr, worst = difference(
            load_session(package, backend="onnx", device="cpu"),
            load_session(trial, backend="onnx", device="cpu"),
            measuring,
        )
    measured = QualityRecord(
        data=f"calibration shot {shot}, {len(measuring)} patches that decided no range",
        metric=METRIC,
        value=round(min(psnr, 999.0), 2),
        command=command,
    )
    made = write_package(
        destination / title,
        replace(draft, quality=(measured, *card.quality)),
        {path.name: data},
        overwrite=overwrite,
    )
    return Quantised(made, psnr, worst, len(calibrating), len(measuring))


def difference(reference: Session, other: Session, patches: Sequence[Fed]) -> tuple[float, float]:
    """Return PSNR (peak 1, dB) and largest difference of two sessions of one network.

    Both are of the picture: the output counts in what one of its units is there.
    """
    total, count, worst = 0.0, 0, 0.0
    for patch in patches:
        x = patch.planes[None]
        error = patch.unit * (other.run(x).astype(np.float64) - reference.run(x))
        total, count = total + float(np.sum(error**2)), count + error.size
        worst = max(worst, float(np.abs(error).max()))
    return (-10 * math.log10(total / count) if total else math.inf), worst


def _patches(fed: Sequence[Fed], multiple: int, halo: int) -> Iterator[Fed]:
    """Cut planes into patches, an even sample when there are too many."""
    side = -(-max(_PATCH, 3 * halo) // multiple) * multiple
    cut = [
        Fed(f.planes[:, y : y + side, x : x + side], f.unit)
        for f in fed
        for y in range(0, max(1, f.planes.shape[1] - side // 2), side)
        for x in range(0, max(1, f.planes.shape[2] - side // 2), side)
    ]
    for patch in cut[:: -(-len(cut) // _MOST) or 1]:
        height, width = (n // multiple * multiple for n in patch.planes.shape[1:])
        if height and width:
            yield Fed(np.ascontiguousarray(patch.planes[:, :height, :width]), patch.unit)


def _quantized(data: bytes, name: str, patches: Sequence[Fed], keep_float: Sequence[Keep]) -> bytes:
    from onnxruntime import quantization

    model = read_graph(data, name)
    # Nodes of a graph need no names; those left in float32 are told by theirs.
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{index}"
    # Says that shapes and constants are in order; else the library logs through the root logger,
    # which would configure logging for everybody.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    convolutions = [n.name for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")]
    if not convolutions:
        raise ModelLoadError(f"{name} has no convolutions to quantise")
    places = {"first": 0, "last": -1}
    excluded = [convolutions[places[which]] for which in keep_float]
    if "last" in keep_float:
        excluded += _after(model.graph, convolutions[-1])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Hands out the patches, one at a time."""

        def __init__(self) -> None:
            self._left = iter(patches)

        def get_next(self) -> dict[str, Planes] | None:
            patch = next(self._left, None)
            return None if patch is None else {"x": patch.planes[None]}

    with tempfile.TemporaryDirectory(prefix="wetgate-") as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model.SerializeToString())
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=excluded,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return _cleaned(target.read_bytes(), name)


def _after(graph: Any, name: str) -> list[str]:
    """Return the names of all nodes that see what a node makes."""
    seen, found = {o for node in graph.node if node.name == name for o in node.output}, []
    for node in graph.node:  # in order: no node comes before what it reads
        if seen.intersection(node.input):
            seen.update(node.output)
            found.append(node.name)
    return found


def _cleaned(data: bytes, name: str) -> bytes:
    """Drop operator sets that no node uses, and prove the graph as any other."""
    import onnx

    model: Any = onnx.load_model_from_string(data)
    used = {node.domain for node in model.graph.node}
    kept = [o for o in model.opset_import if o.domain in used or o.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    clean: bytes = model.SerializeToString()
    read_graph(clean, name)
    return clean
