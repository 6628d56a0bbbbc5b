"""torch: graphics processors first (CUDA, Metal), and the CPU where nothing else has bf16.

The module is built from the ONNX file, so one file holds the weights of every backend.
"""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.backends.base import Choice, Device, Planes, SessionBase
from wetgate.backends.gpu import GRAIN, TILE, gpu_names, has_metal
from wetgate.backends.graph import check_graph, read_graph
from wetgate.backends.lanes import CudaLane, Lane, autocast, pipelined
from wetgate.backends.torch_graph import build_module, unsupported
from wetgate.model.errors import ModelLoadError
from wetgate.weights.library import ModelPackage

GPU_BATCH = 2
GPU_LANES = 2
"""Two tiles at once are worth 1.9x to 3.2x on small networks, and two streams hide the copies; a
third stream brought half a percent. Source: published figures of vs-mlrt v15.4, RTX 4090."""
GPU_SHAPES = 4
"""Shapes whose graphs are kept: tiles inside a frame, and those at its edges."""


class TorchSession(SessionBase):
    """A network in torch, on the CPU or on Metal."""

    def __init__(
        self, package: ModelPackage, choice: Choice, module: Any, device: Any, threads: int
    ) -> None:
        super().__init__(package.card, choice)
        self._module, self._device, self._threads = module, device, threads

    def _infer(self, planes: Planes) -> NDArray[np.floating]:
        import torch

        before = torch.get_num_threads()
        try:
            if before != self._threads:
                torch.set_num_threads(self._threads)
            with torch.inference_mode(), autocast(self._device.type, self._choice.precision):
                x = torch.from_numpy(planes).to(self._device)
                out = self._module(x.contiguous(memory_format=torch.channels_last))
                result: NDArray[np.floating] = out.float().contiguous().cpu().numpy()
                return result
        finally:
            if before != self._threads:
                torch.set_num_threads(before)


class CudaSession(SessionBase):
    """A network in torch on CUDA: a graph for each shape, batched, in two streams."""

    def __init__(self, package: ModelPackage, choice: Choice, module: Any, device: Any) -> None:
        super().__init__(package.card, choice, tile=(TILE, TILE))
        # A network that looks at all it is given is given exactly what its operator chose.
        self.grain = 1 if package.card.options.get("window") else GRAIN
        self.batch = GPU_BATCH
        self._module, self._device = module, device
        self._lanes: dict[tuple[int, ...], queue.Queue[Lane]] = {}

    def limit_tile(self, tile: tuple[int, int], why: str) -> None:
        """Run no larger tile than this from now on, and give back what the larger one held."""
        import torch

        super().limit_tile(tile, why)
        with self._lock:
            self._lanes.clear()
        torch.cuda.empty_cache()

    def _infer(self, planes: Planes) -> NDArray[np.floating]:
        return next(self._infer_each(iter([planes])))

    def _infer_each(self, stacks: Iterator[Planes]) -> Iterator[NDArray[np.floating]]:
        first = next(stacks, None)
        if first is None:
            return
        idle = self._pool(first.shape)
        lanes = [idle.get()]
        try:
            # One lane each is a right, a second one a favor when nobody else wants it.
            while len(lanes) < GPU_LANES and not idle.empty():
                lanes.append(idle.get_nowait())
        except queue.Empty:
            pass
        try:
            yield from pipelined(lanes, _chained(first, stacks))
        finally:
            for lane in lanes:
                idle.put(lane)

    def _pool(self, shape: tuple[int, ...]) -> queue.Queue[Lane]:
        """Return the lanes for a batch shape; their graphs are captured here, once."""
        with self._lock:
            pool = self._lanes.get(shape)
            if pool is None:
                pool = queue.Queue()
                for _ in range(GPU_LANES):
                    lane = CudaLane(self._module, self._device, shape, self._choice.precision)
                    if lane.trouble:
                        self._notes[f"{self._card.name}: {lane.trouble}"] = None
                    pool.put(lane)
                while len(self._lanes) >= GPU_SHAPES:
                    self._lanes.pop(next(iter(self._lanes)))
                self._lanes[shape] = pool
            return pool


class TorchBackend:
    """torch on CUDA, Metal or the CPU."""

    name = "torch"

    def refusal(self, package: ModelPackage, precision: str, device: Device) -> str | None:
        """Return why it cannot run a network so; None when it can."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed (pip install 'wetgate[torch]')"
        path = package.path(".onnx")
        if path is None:
            return f"{package.card.name} has no .onnx file"
        if precision == "int8" or package.card.precision == "int8":
            return "the torch backend does not run quantised graphs"
        name = package.card.name
        missing = unsupported(check_graph(read_graph(package.read(path.name), name), name).ops)
        if missing:
            return f"the torch backend has no operator {', '.join(missing)}"
        kind = _device(device)
        if device == "gpu" and kind == "cpu":
            return "torch sees no graphics processor"
        if precision == "fp16" and kind == "cpu":
            return "torch computes in fp16 on graphics processors alone"
        return None

    def load(
        self, package: ModelPackage, precision: str, device: Device, threads: int
    ) -> SessionBase:
        """Load a network.

        On CUDA, TF32 (10 bits of mantissa) is switched off for the whole process.

        Raises:
            ModelLoadError: the graph is not one of ours. BackendError: an operator is missing.
        """
        import torch

        path = package.path(".onnx")
        if path is None:
            raise ModelLoadError("no .onnx file", path=package.folder)
        name = package.card.name
        module = build_module(read_graph(package.read(path.name), name), name)
        kind = torch.device(_device(device))
        if kind.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        module = module.to(kind, memory_format=torch.channels_last)
        shown = f"cuda:0 {torch.cuda.get_device_name(0)}" if kind.type == "cuda" else kind.type
        choice = Choice(
            backend=self.name, device=shown, precision=precision, reason=_reason(kind.type)
        )
        if kind.type == "cuda":
            return CudaSession(package, choice, module, kind)
        return TorchSession(package, choice, module, kind, threads)


def _device(device: Device) -> str:
    """Return the name of the device torch would use; it is loaded only if one may be there."""
    if device != "cpu" and (gpu_names() or has_metal()):
        import torch

        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    return "cpu"


def _reason(kind: str) -> str:
    return {
        "cuda": "a CUDA device is there, and torch uses it: graphs on fixed tiles, two streams",
        "mps": "Metal is there, and torch uses it",
        "cpu": "torch on the CPU, channels last",
    }[kind]


def _chained(first: Planes, rest: Iterator[Planes]) -> Iterator[Planes]:
    yield first
    yield from rest
