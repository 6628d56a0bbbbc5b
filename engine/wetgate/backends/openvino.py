"""OpenVINO: the fast tier on CPUs, in bfloat16 or in int8 from the same file as ONNX Runtime.

The precision is always pinned: left alone, OpenVINO picks bfloat16 wherever the processor has it.
"""

from __future__ import annotations

import importlib.util
import io
import os
import queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.backends.base import Choice, Device, Planes, SessionBase, first_line
from wetgate.backends.graph import read_graph
from wetgate.model.errors import BackendError, ModelLoadError
from wetgate.weights.library import ModelPackage

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoSession(SessionBase):
    """A network in OpenVINO, with one request per call that is under way."""

    def __init__(self, package: ModelPackage, choice: Choice, compiled: Any) -> None:
        super().__init__(package.card, choice)
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def _infer(self, planes: Planes) -> NDArray[np.floating]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        # A request that failed is not used again.
        results = request.infer({0: planes}, share_inputs=True)
        out: NDArray[np.floating] = np.array(results[0])
        self._idle.put(request)
        return out


class OpenVinoBackend:
    """OpenVINO on the CPU."""

    name = "openvino"

    def refusal(self, package: ModelPackage, precision: str, device: Device) -> str | None:
        """Return why it cannot run a network so; None when it can."""
        if importlib.util.find_spec("openvino") is None:
            return "openvino is not installed (pip install 'wetgate[openvino]')"
        if package.path(".onnx") is None:
            return f"{package.card.name} has no .onnx file"
        if precision not in _HINTS:
            return f"OpenVINO has no {precision} arithmetic on the CPU"
        if precision == "int8" and package.card.precision != "int8":
            return (
                f"{package.card.name} is not quantised "
                f"(wetgate models quantize {package.card.name})"
            )
        if device == "gpu":
            return "OpenVINO is used on the CPU alone"
        if precision == "bf16" and "BF16" not in capabilities():
            return "this processor has no bf16 arithmetic"
        return None

    def load(
        self, package: ModelPackage, precision: str, device: Device, threads: int
    ) -> OpenVinoSession:
        """Load a network.

        Raises:
            ModelLoadError: the graph is not one of ours. BackendError: OpenVINO refuses it.
        """
        import openvino

        path = package.path(".onnx")
        if path is None:
            raise ModelLoadError("no .onnx file", path=package.folder)
        data = package.read(path.name)
        read_graph(data, package.card.name)
        streams = max(1, _cores() // threads)
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # Calls come from several threads at once; each gets a stream of so many threads.
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(streams * threads),
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            core = openvino.Core()
            # From bytes, never from the path: what was proved is what runs.
            model = core.read_model(io.BytesIO(data))
            compiled = core.compile_model(model, "CPU", config)
        except Exception as error:
            raise BackendError(
                f"{package.card.name}: OpenVINO refuses the graph: {first_line(error)}"
            ) from error
        choice = Choice(
            backend=self.name,
            device="cpu",
            precision=precision,
            reason={
                "fp32": "float32, pinned",
                "bf16": "the processor computes in bf16, and OpenVINO uses it",
                "int8": "the fastest way to run a quantised graph on a CPU",
            }[precision],
        )
        return OpenVinoSession(package, choice, compiled)


def capabilities() -> tuple[str, ...]:
    """Return what OpenVINO says the processor can do, e.g. "FP32", "BF16", "INT8"."""
    import openvino

    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(str(item) for item in found)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
