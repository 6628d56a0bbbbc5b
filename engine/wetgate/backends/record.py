"""Keep the planes that networks are fed while something runs, e.g. to calibrate a quantisation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wetgate.backends.base import Planes


class Recorder:
    """Planes by the name of the network, at most `limit` arrays of each.

    Once full, it keeps an even sample: every second array is dropped and from then on only
    every second one is taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._kept: dict[str, list[Planes]] = {}
        self._seen: dict[str, int] = {}
        self._stride: dict[str, int] = {}
        self._lock = threading.Lock()

    def planes(self, name: str) -> tuple[Planes, ...]:
        """Return the kept planes of a network, float32 `(c, h, w)`, in order."""
        with self._lock:
            return tuple(self._kept.get(name, ()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the networks that ran."""
        with self._lock:
            return tuple(self._kept)

    def add(self, name: str, planes: Planes) -> None:
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
            kept.append(planes.copy())


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


def keep(name: str, planes: Planes) -> None:
    """Give planes to whoever records."""
    for recorder in tuple(_recorders):
        recorder.add(name, planes)
