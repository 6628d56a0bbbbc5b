"""Messages between the engine and its decoding process.

The decoder reads hostile files, so what it answers is not trusted: only the classes listed here
can come out of its messages, and they hold data, not behavior.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any

from wetgate.io.options import Limits

_LENGTH = struct.Struct("<Q")
_MOST_BYTES = 1 << 30

_ALLOWED: Mapping[str, frozenset[str]] = {
    "wetgate.io.wire": frozenset({"frozen_mapping", "Answer"}),
    "wetgate.io.raw": frozenset({"RawFrame", "NanBits"}),
    "wetgate.io.oiio": frozenset({"Part"}),
    "wetgate.io.exr": frozenset({"ExrPayload", "Plane"}),
    "wetgate.io.exr_header": frozenset({"FileHeader", "PartHeader", "Attribute", "Channel"}),
    "wetgate.io.stills": frozenset({"StillPayload"}),
    "wetgate.io.still_headers": frozenset({"PngHeader", "PngChunk"}),
    "wetgate.model.box": frozenset({"Box"}),
    "wetgate.model.frame": frozenset({"ImageInfo", "SourceHeader"}),
    "wetgate.model.errors": frozenset(
        {"_rebuild", "FrameReadError", "UnsupportedImage", "SequenceError", "UsageError"}
    ),
    "fractions": frozenset({"Fraction"}),
    "pathlib": frozenset({"PosixPath", "WindowsPath"}),
    "pathlib._local": frozenset({"PosixPath", "WindowsPath"}),
    "numpy": frozenset({"dtype", "ndarray"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What the decoder is asked: to read the `info` of a file, or the `frame`."""

    wish: str
    path: str
    number: int
    kind: str
    layer: str | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class Answer:
    """What the decoder found.

    Attributes:
        value: an `ImageInfo`, a `RawFrame` without samples, or an error to raise.
        dtype, shape: of the samples, which lie first in the arena.
        places: `(offset, size)` of the samples, then of every other buffer.
        used: bytes of the arena in use.
        generation: which arena (Windows).
    """

    value: object
    dtype: str = ""
    shape: tuple[int, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    used: int = 0
    generation: int = 0


def frozen_mapping(items: dict[object, object]) -> Mapping[object, object]:
    """Make a read-only mapping again; these have no pickled form of their own."""
    return MappingProxyType(items)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, MappingProxyType):
            return frozen_mapping, (dict(obj),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if name not in _ALLOWED.get(module, frozenset()):
            raise pickle.UnpicklingError(f"{module}.{name} may not come from a decoder")
        return super().find_class(module, name)


def dump(value: object) -> tuple[bytes, list[memoryview]]:
    """Pickle a value; its arrays are left out and returned beside."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    return file.getvalue(), [b.raw() for b in buffers]


def load_trusted_classes(data: bytes, buffers: Iterable[bytearray] = ()) -> object:
    """Read what `dump` gave, refusing every class that is not on the list.

    Raises:
        pickle.UnpicklingError: for anything else.
    """
    return _Unpickler(io.BytesIO(data), buffers=buffers).load()


def send(file: IO[bytes], *blobs: bytes) -> None:
    """Write blobs as one message."""
    file.write(_LENGTH.pack(len(blobs)))
    for blob in blobs:
        file.write(_LENGTH.pack(len(blob)) + blob)
    file.flush()


def receive(file: IO[bytes]) -> list[bytes]:
    """Read one message.

    Raises:
        EOFError: when the other side is gone.
        ValueError: when the message is absurd.
    """
    (count,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
    if count > 16:
        raise ValueError(f"message of {count} blobs")
    blobs = []
    for _ in range(count):
        (size,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
        if size > _MOST_BYTES:
            raise ValueError(f"message of {size} bytes")
        blobs.append(_exactly(file, size))
    return blobs


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
