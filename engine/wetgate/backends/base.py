"""What a backend and a session are: the seam between operators and inference libraries."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import BackendError, OutOfMemory
from wetgate.weights.card import ModelCard
from wetgate.weights.library import ModelPackage

Planes = NDArray[np.float32]
"""float32 `(plane, height, width)` or, in batches, `(n, plane, height, width)`."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
BackendName = Literal["auto", "onnx", "openvino", "torch"]
BACKENDS: tuple[str, ...] = get_args(BackendName)
Device = Literal["auto", "cpu", "gpu"]

_SPENT = (
    "out of memory",
    "failed to allocate",
    "failed to create memory",
    "bad_alloc",
    "bad allocation",
    "not enough memory",
    "cannot allocate memory",
    "can't allocate memory",
    "could not allocate",
    "alloc_failed",
    "out_of_memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which backend runs a network, and why.

    Attributes:
        backend: "onnx", "openvino" or "torch". device: e.g. "cpu", "cuda:0 NVIDIA H200".
        precision: of the arithmetic inside the network; planes are float32 on either side.
        reason: in words, fit for a report.
        fell_back: whether something else was asked for.
    """

    backend: str
    device: str
    precision: str
    reason: str
    fell_back: bool = False

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} on {self.device}: {self.reason}"


class Session(Protocol):
    """A network, loaded. Safe to run from several threads at once."""

    @property
    def card(self) -> ModelCard:
        """Return the facts of the network."""
        ...

    @property
    def choice(self) -> Choice:
        """Return which backend runs it, and why."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what went differently from plan so far, in words, for the report."""
        ...

    def run(self, planes: Planes) -> Planes:
        """Run a batch.

        Args:
            planes: float32 `(n, c, h, w)`; h and w are multiples of `card.size_multiple`.

        Returns:
            float32 `(n, c', h * scale, w * scale)`.

        Raises:
            OutOfMemory: the tile is too large. BackendError: anything else.
        """
        ...


class Backend(Protocol):
    """One inference library."""

    @property
    def name(self) -> str:
        """Return the name by which a recipe asks for it."""
        ...

    def refusal(self, package: ModelPackage, precision: str, device: Device) -> str | None:
        """Return why it cannot run a network so, in words; None when it can."""
        ...

    def load(
        self, package: ModelPackage, precision: str, device: Device, threads: int
    ) -> SessionBase:
        """Load a network.

        Raises:
            BackendError: the library refuses it.
        """
        ...


class SessionBase(ABC):
    """Checks what goes in and out, turns memory trouble into `OutOfMemory`, keeps notes.

    Attributes:
        batch: how many tiles of one shape are worth running at once.
        grain: height and width are rounded up to multiples of this many px, so that few shapes
            come: graphs and engines are made for one shape each.
    """

    batch: int = 1
    grain: int = 1

    def __init__(
        self, card: ModelCard, choice: Choice, *, tile: tuple[int, int] | None = None
    ) -> None:
        self._card = card
        self._choice = choice
        self._notes: dict[str, None] = {}
        self._tile = tile
        self._lock = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """The facts of the network."""
        return self._card

    @property
    def choice(self) -> Choice:
        """Which backend runs it, and why."""
        return self._choice

    @choice.setter
    def choice(self, value: Choice) -> None:
        self._choice = value

    @property
    def notes(self) -> tuple[str, ...]:
        """What went differently from plan so far, in words, for the report."""
        with self._lock:
            return tuple(self._notes)

    @property
    def tile(self) -> tuple[int, int] | None:
        """The largest `(height, width)` to run at once; None while nothing limits it."""
        return self._tile

    def note(self, text: str) -> None:
        """Keep a remark for the report; the same one is kept once."""
        with self._lock:
            self._notes[text] = None

    def limit_tile(self, tile: tuple[int, int], why: str) -> None:
        """Run no larger tile than this from now on, and say why in the notes."""
        with self._lock:
            # Another thread may have met the same trouble, and gone further already.
            if self._tile is None or tile[0] * tile[1] < self._tile[0] * self._tile[1]:
                self._tile = tile
            self._notes[why] = None

    def run(self, planes: Planes) -> Planes:
        """Run a batch (see `Session.run`)."""
        (out,) = self.run_each((planes,))
        return out

    def run_each(self, stacks: Iterable[Planes]) -> Iterator[Planes]:
        """Run batches in order; a backend may have several under way. Errors as `Session.run`."""
        shapes: deque[tuple[int, ...]] = deque()
        results = self._infer_each(self._checked(stacks, shapes))
        while True:
            try:
                out = next(results)
            except StopIteration:
                return
            except BackendError:
                raise
            except Exception as error:
                raise self._typed(error, shapes) from error
            card, (n, _, height, width) = self._card, shapes.popleft()
            shape = n, len(card.outputs), height * card.scale, width * card.scale
            if out.shape != shape:
                raise BackendError(
                    f"{card.name}: output of shape {out.shape}",
                    expected=f"{shape}, as its card says",
                )
            yield out.astype(np.float32, copy=False)

    @abstractmethod
    def _infer(self, planes: Planes) -> NDArray[np.floating]:
        """Run a checked, contiguous batch."""

    def _infer_each(self, stacks: Iterator[Planes]) -> Iterator[NDArray[np.floating]]:
        """Run checked, contiguous batches in order."""
        for planes in stacks:
            yield self._infer(planes)

    def _checked(
        self, stacks: Iterable[Planes], shapes: deque[tuple[int, ...]]
    ) -> Iterator[Planes]:
        card = self._card
        for planes in stacks:
            ok = planes.dtype == np.float32 and planes.ndim == 4
            if not ok or planes.shape[1] != len(card.inputs):
                raise BackendError(
                    f"{card.name}: {planes.dtype} planes of shape {planes.shape}",
                    expected=f"float32 (n, {len(card.inputs)}, height, width)",
                )
            height, width = planes.shape[2:]
            if height % card.size_multiple or width % card.size_multiple:
                raise BackendError(
                    f"{card.name}: planes of {width} x {height} px",
                    expected=f"multiples of {card.size_multiple}",
                )
            shapes.append(planes.shape)
            yield np.ascontiguousarray(planes)

    def _typed(self, error: Exception, shapes: deque[tuple[int, ...]]) -> BackendError:
        """Return any error of a library as one of ours."""
        name, backend = self._card.name, self._choice.backend
        if is_out_of_memory(error):
            n, _, height, width = shapes[-1]
            return OutOfMemory(
                f"{name}: {backend} has no memory for {n} x {width} x {height} px",
                remedy="pass a smaller --memory, or --threads 1",
            )
        return BackendError(f"{name}: {backend} failed: {first_line(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library means that memory ran out.

    Libraries have no common class for it: ONNX Runtime raises a plain `RuntimeException` with
    "Failed to allocate memory", OpenVINO a `RuntimeError` with `std::bad_alloc`, torch a class of
    its own on CUDA and a `RuntimeError` with "not enough memory" on the CPU.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return any(words in text for words in _SPENT)


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, short enough for a report."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
