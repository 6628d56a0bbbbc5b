"""Overlap: batches go down several lanes in turn and come back in order."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from wetgate.backends.base import Planes


class Lane(Protocol):
    """One batch under way at a time."""

    def submit(self, planes: Planes) -> None:
        """Start a batch without waiting for it."""
        ...

    def collect(self) -> Planes:
        """Wait for the batch and return a copy of its result."""
        ...


def pipelined(lanes: Sequence[Lane], stacks: Iterable[Planes]) -> Iterator[Planes]:
    """Run batches in order; while one computes, the next is copied and submitted."""
    idle, under_way = deque(lanes), deque[Lane]()
    for planes in stacks:
        if not idle:
            lane = under_way.popleft()
            yield lane.collect()
            idle.append(lane)
        lane = idle.popleft()
        lane.submit(planes)
        under_way.append(lane)
    while under_way:
        yield under_way.popleft().collect()


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return torch's context for a precision: convolutions in it, everything kept as float32."""
    import torch

    if precision == "fp32":
        return contextlib.nullcontext()
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    # Cached casts would belong to whichever thread or graph made them first.
    return torch.autocast(device, dtype=kind, cache_enabled=False)


class CudaLane:
    """A stream with pinned buffers, and the network captured as a graph on one batch shape.

    Args:
        module: the network on the device. shape: `(batch, c, h, w)`.

    Attributes:
        trouble: why the network runs without a graph, in words; empty when it has one.
    """

    def __init__(self, module: Any, device: Any, shape: tuple[int, ...], precision: str) -> None:
        import torch

        self._module, self._precision = module, precision
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(device)
        self._done = cuda.Event()
        self._host_in = torch.zeros(shape, dtype=torch.float32, pin_memory=True)
        self._in = torch.zeros(shape, dtype=torch.float32, device=device)
        self._graph: Any = None
        self._count = 0
        self.trouble = ""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(2):  # algorithms are chosen before anything is captured
                self._out = self._compute()
        self._stream.synchronize()
        try:
            graph = torch.cuda.CUDAGraph()
            with (
                torch.inference_mode(),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._out = self._compute()
            self._graph = graph
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.trouble = f"no CUDA graph: {str(error).splitlines()[0]}"
        self._host_out = torch.empty(self._out.shape, dtype=torch.float32, pin_memory=True)

    def submit(self, planes: Planes) -> None:
        """Copy a batch (or the first part of one) to the device and start it."""
        import torch

        self._count = count = len(planes)
        np.copyto(self._host_in.numpy()[:count], planes)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._in[:count].copy_(self._host_in[:count], non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._out = self._compute()
            self._host_out[:count].copy_(self._out[:count], non_blocking=True)
            self._done.record(self._stream)

    def collect(self) -> Planes:
        """Wait for the batch and return a copy of its result."""
        self._done.synchronize()
        out: Planes = self._host_out[: self._count].numpy().copy()
        return out

    def _compute(self) -> Any:
        import torch

        with autocast("cuda", self._precision):
            out = self._module(self._in.contiguous(memory_format=torch.channels_last))
        return out.float().contiguous()
