"""ONNX Runtime: the reference on the CPU, CUDA and TensorRT where their providers are.

On the CPU the arithmetic is float32, and what one pixel gets does not depend on the shape of the
tile: tests hold it to the bit.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.backends.base import Choice, Device, Planes, SessionBase, first_line
from wetgate.backends.gpu import GRAIN, TILE, engine_folder, gpu_names
from wetgate.backends.graph import read_graph
from wetgate.model.errors import BackendError, ModelLoadError
from wetgate.weights.library import ModelPackage

_log = logging.getLogger(__name__)

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


class OnnxSession(SessionBase):
    """A network in ONNX Runtime."""

    def __init__(self, package: ModelPackage, choice: Choice, runtime: Any, on_gpu: bool) -> None:
        super().__init__(package.card, choice, tile=(TILE, TILE) if on_gpu else None)
        # A GPU engine is built for one shape; on the CPU every shape is as good. A network that
        # looks at all it is given is given exactly what its operator chose.
        self.grain = GRAIN if on_gpu and not package.card.options.get("window") else 1
        self._runtime = runtime

    def _infer(self, planes: Planes) -> NDArray[np.floating]:
        out: NDArray[np.floating] = self._runtime.run(["y"], {"x": planes})[0]
        return out


class OnnxBackend:
    """ONNX Runtime, any provider."""

    name = "onnx"

    def refusal(self, package: ModelPackage, precision: str, device: Device) -> str | None:
        """Return why it cannot run a network so; None when it can."""
        if package.path(".onnx") is None:
            return f"{package.card.name} has no .onnx file"
        if precision == "bf16":
            return "ONNX Runtime has no bf16 arithmetic on the CPU"
        if precision == "int8" and package.card.precision != "int8":
            return (
                f"{package.card.name} is not quantised "
                f"(wetgate models quantize {package.card.name})"
            )
        if precision == "fp16" and not (device != "cpu" and _TENSORRT in _providers()):
            return "ONNX Runtime computes in fp16 with its TensorRT provider alone"
        if device == "gpu" and _CUDA not in _providers():
            return "ONNX Runtime has no CUDA provider (pip install 'wetgate[gpu]')"
        return None

    def load(
        self, package: ModelPackage, precision: str, device: Device, threads: int
    ) -> OnnxSession:
        """Load a network.

        Raises:
            ModelLoadError: the graph is not one of ours. BackendError: the runtime refuses it.
        """
        path = package.path(".onnx")
        if path is None:
            raise ModelLoadError("no .onnx file", path=package.folder)
        data = package.read(path.name)
        read_graph(data, package.card.name)
        wanted = _chosen(package, precision, device, path.name)
        runtime = _open(data, package, wanted, threads)
        used = runtime.get_providers()[0]
        on_gpu = used != "CPUExecutionProvider"
        names = gpu_names() if on_gpu else ()
        choice = Choice(
            backend=self.name,
            device=f"cuda:0 {names[0] if names else ''}".strip() if on_gpu else "cpu",
            precision=precision,
            reason=_reason(used, wanted),
            fell_back=device == "gpu" and not on_gpu,
        )
        return OnnxSession(package, choice, runtime, on_gpu)


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _chosen(package: ModelPackage, precision: str, device: Device, file: str) -> list[Any]:
    """Return the providers to try, best first, with their options."""
    plain: list[Any] = ["CPUExecutionProvider"]
    if device == "cpu" or package.card.precision == "int8" or not gpu_names():
        return plain
    found = _providers()
    if _CUDA in found:
        # TF32 has 10 bits of mantissa: no reference.
        plain.insert(0, (_CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}))
    if _TENSORRT in found and precision == "fp16":
        folder = engine_folder(package.card.files[file], precision)
        plain.insert(
            0,
            (
                _TENSORRT,
                {
                    "trt_fp16_enable": "1",
                    "trt_engine_cache_enable": "1",
                    "trt_engine_cache_path": str(folder),
                },
            ),
        )
    return plain


def _open(data: bytes, package: ModelPackage, providers: list[Any], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # What goes wrong is raised; printed beside that it would be said twice.
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    # Shapes vary with the tile, and a pattern is kept for each; the arena stays, without it the
    # peak is higher by half.
    options.enable_mem_pattern = False
    # Other threads of this process compute too: no spinning while waiting.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:
        raise BackendError(
            f"{package.card.name}: ONNX Runtime refuses the graph: {first_line(error)}",
            remedy=f"wetgate models verify {package.card.name}",
        ) from error


def _reason(used: str, wanted: list[Any]) -> str:
    if used == _TENSORRT:
        return "TensorRT is there, and fp16 was asked for"
    if used == _CUDA:
        return "a CUDA device and its provider are there"
    if len(wanted) > 1:
        return "the CUDA provider could not start; the CPU is the reference"
    return "the reference: portable and the same to the bit for every cut of the frame"
