"""Keep the planes that networks are fed while something runs, e.g. to calibrate a quantisation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from wetgate.backends.base import Planes


@dataclass(frozen=True, slots=True)
class Fed:
    """What a network was given in one call.

    Attributes:
        planes: float32 `(c, h, w)`.
        unit: what 1 of its output is in the picture, root mean square over the call; a network
            may answer in deviations of the noise.
    """

    planes: Planes
    unit: float = 1.0


class Recorder:
    """Planes by the name of the network, at most `limit` arrays of each.

    Once full, it keeps an even sample: every second array is dropped and from then on only
    every second one is taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._kept: dict[str, list[Fed]] = {}
        self._seen: dict[str, int] = {}
        self._stride: dict[str, int] = {}
        self._lock = threading.Lock()

    def fed(self, name: str) -> tuple[Fed, ...]:
        """Return what was kept of a network's calls, in order."""
        with self._lock:
            return tuple(self._kept.get(name, ()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the networks that ran."""
        with self._lock:
            return tuple(self._kept)

    def add(self, name: str, planes: Planes, unit: float | Planes) -> None:
        """Keep a copy."""
        with self._lock:
            seen = self._seen.get(name, 0)
            self._seen[name] = seen + 1
            stride = self._stride.setdefault(name, 1)
            kept = self._kept.setdefault(name, [])
            if seen % stride:
                return
            if len(kept) == self._limit:
                del kept[1::2]
                self._stride[name] = stride = stride * 2
                if seen % stride:
                    return
            size = float(np.sqrt(np.mean(np.square(unit, dtype=np.float64))))
            kept.append(Fed(planes.copy(), size))


_recorders: list[Recorder] = []


@contextmanager
def recording(limit: int = 32) -> Iterator[Recorder]:
    """Record all planes that go through `apply_net`, in every thread, until the block ends."""
    recorder = Recorder(limit)
    _recorders.append(recorder)
    try:
        yield recorder
    finally:
        _recorders.remove(recorder)


def keep(name: str, planes: Planes, unit: float | Planes = 1.0) -> None:
    """Give planes to whoever records."""
    for recorder in tuple(_recorders):
        recorder.add(name, planes, unit)
