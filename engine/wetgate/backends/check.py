"""Prove a model package: its bytes, its graph, and that the card tells the truth about both."""

from __future__ import annotations

import numpy as np

from wetgate.backends.choose import load_session
from wetgate.backends.graph import check_graph, read_graph
from wetgate.model.errors import ModelLoadError
from wetgate.weights.library import ModelPackage


def check_package(package: ModelPackage) -> tuple[str, ...]:
    """Prove every file, look at the graph, and run it once in ONNX Runtime.

    Returns:
        What was proved, in words.

    Raises:
        ModelLoadError: a file, a number of the card, or a result that is not what it should be.
        BackendError: the runtime refuses the graph.
    """
    card = package.card
    package.verify(again=True)
    proved = [f"SHA-256 as the card says: {', '.join(card.files)}"]
    path = package.path(".onnx")
    if path is None:
        raise ModelLoadError("no .onnx file", path=package.folder)
    model = read_graph(package.read(path.name), card.name)
    facts = check_graph(model, card.name)
    for what, found, said in (
        ("input planes", facts.planes_in, len(card.inputs)),
        ("output planes", facts.planes_out, len(card.outputs)),
    ):
        if found is not None and found != said:
            raise ModelLoadError(
                f"a graph with {found} {what}", path=path, expected=f"{said}, as the card says"
            )
    proved.append(f"opset {facts.opset}, nothing outside the file, no code")
    if compared := _same_weights(package, model):
        proved.append(f"{compared} tensors are the same in both files")
    side = card.size_multiple * (-(-max(16, 2 * card.halo + 1) // card.size_multiple))
    side = min(side, 256 - 256 % card.size_multiple or card.size_multiple)
    planes = np.random.default_rng(1).random((1, len(card.inputs), side, side), dtype=np.float32)
    out = load_session(package, backend="onnx", device="cpu").run(planes)
    if not np.isfinite(out).all():
        raise ModelLoadError("an output that is not finite", path=path)
    proved.append(f"runs: {side} x {side} px to {out.shape[3]} x {out.shape[2]} px")
    return tuple(proved)


def _same_weights(package: ModelPackage, model: object) -> int:
    """Return how many tensors of the safetensors file the graph holds too; 0 without one.

    Raises:
        ModelLoadError: none of them, or one with other numbers.
    """
    path = package.path(".safetensors")
    if path is None:
        return 0
    from onnx import numpy_helper

    held = {}
    for tensor in model.graph.initializer:  # type: ignore[attr-defined]
        value = numpy_helper.to_array(tensor)
        held[value.shape, value.tobytes()] = tensor.name
    tensors = read_safetensors(package.read(path.name), path.name)
    for name, value in tensors.items():
        if (value.shape, value.tobytes()) not in held:
            raise ModelLoadError(
                f"tensor {name} is not in the graph", path=path, expected="one set of weights"
            )
    return len(tensors)


def read_safetensors(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the float tensors of a safetensors file.

    Source: https://github.com/huggingface/safetensors, README, "Format".

    Raises:
        ModelLoadError: not that format, or offsets that do not fit.
    """
    import json

    kinds = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I64": np.int64}
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        body = data[8 + length :]
        header.pop("__metadata__", None)
        out = {}
        for key, facts in header.items():
            first, end = facts["data_offsets"]
            kind = np.dtype(kinds[facts["dtype"]]).newbyteorder("<")
            if not 0 <= first <= end <= len(body):
                raise ValueError(f"offsets of {key}")
            out[key] = np.frombuffer(body[first:end], kind).reshape(facts["shape"])
        return out
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadError(f"{name}: not a safetensors file: {error}") from error
