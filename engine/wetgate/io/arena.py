"""Memory that two processes share and that vanishes with them.

POSIX: a file without a name, handed over as a descriptor. Nothing can be left behind and nobody
else can open it. Windows: a named mapping of the page file, which ends with its last handle.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

_ALIGN = 64
_GROW = 1 << 20
_F_ADD_SEALS, _SEAL_SHRINK = 1033, 2


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("wetgate-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        import fcntl

        # A writer that cut the file short would kill a reader of its pages.
        fcntl.fcntl(file, _F_ADD_SEALS, _SEAL_SHRINK)
        return file
    with tempfile.TemporaryFile(prefix="wetgate-frame-") as file_object:
        return os.dup(file_object.fileno())


class ArenaReader:
    """The side that makes the arena and reads from it."""

    def __init__(self) -> None:
        self._windows = sys.platform == "win32"
        self._file = -1 if self._windows else _anonymous_file()
        self._name = f"wetgate-{secrets.token_hex(16)}"
        self._map: mmap.mmap | None = None

    @property
    def token(self) -> str:
        """Return what the writer needs to join."""
        return self._name if self._windows else str(self._file)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors that the writing process must inherit."""
        return () if self._windows else (self._file,)

    def view(self, size: int, generation: int) -> memoryview:
        """Return the first `size` bytes, read-only, valid until the next call.

        Raises:
            ValueError: when the arena is smaller than the writer says.
        """
        if self._map is None or len(self._map) < size or self._windows:
            self._release()
            if self._windows:
                self._map = _map_named(f"{self._name}-{generation}", size)
            else:
                if os.fstat(self._file).st_size < size:
                    raise ValueError(f"shared memory holds less than {size} bytes")
                self._map = mmap.mmap(self._file, os.fstat(self._file).st_size)
        return memoryview(self._map)[:size].toreadonly()

    def _release(self) -> None:
        if self._map is not None:
            with suppress(BufferError):  # a view still lives: the mapping goes with it
                self._map.close()
            self._map = None

    def close(self) -> None:
        """Give the memory back."""
        self._release()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class ArenaWriter:
    """The side that joins an arena and fills it."""

    def __init__(self, token: str) -> None:
        self._windows = sys.platform == "win32"
        self._token = token
        self._file = -1 if self._windows else int(token)
        self._map: mmap.mmap | None = None
        self.generation = 0

    def put(self, buffers: Sequence[memoryview]) -> tuple[list[tuple[int, int]], int]:
        """Copy buffers in, each at a multiple of 64 bytes.

        Returns:
            `(offset, size)` of each, and the bytes used in all.
        """
        places, end = [], 0
        for buffer in buffers:
            places.append((end, buffer.nbytes))
            end += -(-buffer.nbytes // _ALIGN) * _ALIGN
        target = memoryview(self._room(max(end, 1)))
        try:
            for (offset, size), buffer in zip(places, buffers, strict=True):
                target[offset : offset + size] = buffer
        finally:
            target.release()
        return places, end

    def _room(self, size: int) -> mmap.mmap:
        if self._map is not None and len(self._map) >= size:
            return self._map
        if self._map is not None:
            self._map.close()
        size = -(-size // _GROW) * _GROW
        if self._windows:
            self.generation += 1
            self._map = _map_named(f"{self._token}-{self.generation}", size)
        else:
            os.ftruncate(self._file, size)
            self._map = mmap.mmap(self._file, size)
        return self._map


def _map_named(name: str, size: int) -> mmap.mmap:
    if sys.platform != "win32":
        raise NotImplementedError("named mappings are for Windows")
    return mmap.mmap(-1, size, tagname=name)
