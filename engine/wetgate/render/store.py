"""Planes: what the engine remembers of frames, compact, in memory or in a scratch file.

A plane gives back exactly the float32 it was made from: integer sources are kept as codes and
half sources as half only where expanding them returns the same bits, else as float32. Outputs
of inner stages are the declared exception: unless the stage asks for exact outputs they are
always rounded to half, whatever the memory budget, so that the budget never shows.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.errors import WetgateError
from wetgate.model.frame import SampleType, code_depth
from wetgate.operators.base import Pixels

HALF_MAX = np.float32(65504.0)
_BAND_SAMPLES = 1 << 20


class Plane(Protocol):
    """Rows of one frame, `(height, width, channel)`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channel)`."""
        ...

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows as C-contiguous float32; may be a read-only view."""
        ...

    def release(self) -> None:
        """Give the memory or the scratch file back; the plane is then dead."""
        ...


class DirectPlane:
    """A view of pixels that somebody else owns; nothing is copied."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels.view()
        self._pixels.flags.writeable = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channel)`."""
        height, width, count = self._pixels.shape
        return height, width, count

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows; a read-only view where the pixels are contiguous."""
        return np.ascontiguousarray(self._pixels[start:stop])

    def release(self) -> None:
        """Let go of the pixels."""


class PlaneStore:
    """Makes planes, in memory up to a limit and in scratch files beyond it. Thread-safe.

    Args:
        memory_limit: bytes of planes kept in memory; None for no limit.
        scratch: directory of the scratch files, made when first needed.
    """

    def __init__(self, *, memory_limit: int | None, scratch: Path | None = None) -> None:
        self._limit = memory_limit
        self._scratch = scratch
        self._used = 0
        self._lock = threading.Lock()
        self.spilled = 0

    def keep_exact(self, pixels: Pixels, sample_type: SampleType) -> Plane:
        """Keep pixels in the smallest form that expands to the same bits."""
        for form in _forms(sample_type):
            packed = _pack_exactly(pixels, form)
            if packed is not None:
                return self._admit(packed, form)
        return self._admit(np.array(pixels, dtype=np.float32, order="C"), np.float32(1))

    def keep_array(self, pixels: NDArray[np.float16] | NDArray[np.float32]) -> Plane:
        """Keep the output of an inner stage as it is; the array now belongs to the store."""
        return self._admit(pixels, pixels.dtype.type(1))

    def _admit(self, array: NDArray[np.generic], form: np.generic) -> Plane:
        with self._lock:
            fits = self._limit is None or self._used + array.nbytes <= self._limit
            if fits:
                self._used += array.nbytes
            else:
                self.spilled += array.nbytes
        return _MemoryPlane(array, form, self) if fits else self._spill(array, form)

    def _spill(self, array: NDArray[np.generic], form: np.generic) -> Plane:
        try:
            if self._scratch is not None:
                self._scratch.mkdir(parents=True, exist_ok=True)
            file = tempfile.TemporaryFile(dir=self._scratch, buffering=0)  # noqa: SIM115
            left = array.data.cast("B")
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise _scratch_error(error, self._scratch) from error
        height, width, count = array.shape
        return _ScratchPlane(file, (height, width, count), form)

    def _free(self, nbytes: int) -> None:
        with self._lock:
            self._used -= nbytes


class _MemoryPlane:
    def __init__(self, array: NDArray[np.generic], form: np.generic, store: PlaneStore) -> None:
        self._array: NDArray[np.generic] | None = array
        self._form = form
        self._store = store
        height, width, count = array.shape
        self.shape = (height, width, count)

    def rows(self, start: int, stop: int) -> Pixels:
        return self.cut(Box(0, start, self.shape[1], stop))

    def cut(self, box: Box) -> Pixels:
        if self._array is None:
            raise ValueError("the plane was released")
        return _expand(self._array[box.y0 : box.y1, box.x0 : box.x1], self._form)

    def release(self) -> None:
        if self._array is not None:
            self._store._free(self._array.nbytes)
            self._array = None


class _ScratchPlane:
    def __init__(self, file: IO[bytes], shape: tuple[int, int, int], form: np.generic) -> None:
        self._file = file
        self._form = form
        self._lock = threading.Lock()
        self.shape = shape

    def rows(self, start: int, stop: int) -> Pixels:
        return _expand(self._stored(start, stop), self._form)

    def cut(self, box: Box) -> Pixels:
        return _expand(self._stored(box.y0, box.y1)[:, box.x0 : box.x1], self._form)

    def _stored(self, start: int, stop: int) -> NDArray[np.generic]:
        _, width, count = self.shape
        array = np.empty((stop - start, width, count), dtype=self._form.dtype)
        offset = start * width * count * self._form.dtype.itemsize
        into = array.data.cast("B")
        done = 0
        while done < len(into):
            got = self._read(into[done:], offset + done)
            if got == 0:
                raise ValueError("the scratch file ends early")
            done += got
        return array

    def _read(self, into: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [into], offset)
        with self._lock:
            self._file.seek(offset)
            return int(self._file.readinto(into))  # type: ignore[attr-defined]

    def release(self) -> None:
        self._file.close()


def _scratch_error(error: OSError, scratch: Path | None) -> WetgateError:
    from wetgate.io.atomic import output_error

    return output_error(error, scratch or tempfile.gettempdir())


# A form is a scalar whose dtype says how samples are stored and, for integer codes, whose value
# is the greatest code.


def _forms(sample_type: SampleType) -> tuple[np.generic, ...]:
    depth = code_depth(sample_type)
    if depth is not None:
        top = (1 << depth) - 1
        return (np.uint8(top) if depth <= 8 else np.uint16(top),)
    return (np.float16(1),) if sample_type == "half" else ()


def _expand(array: NDArray[np.generic], form: np.generic) -> Pixels:
    if isinstance(form, np.unsignedinteger):
        values = array.astype(np.float32, order="C")
        values /= np.float32(form)
        return values
    if isinstance(form, np.float16):
        return array.astype(np.float32, order="C")
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _pack_exactly(pixels: Pixels, form: np.generic) -> NDArray[np.generic] | None:
    packed: NDArray[np.generic] = np.empty(pixels.shape, dtype=form.dtype)
    for band in row_bands(pixels.shape):
        part = np.ascontiguousarray(pixels[band])
        if isinstance(form, np.unsignedinteger):
            scaled = np.rint(part * np.float32(form))
            if not (scaled.min(initial=0) >= 0 and scaled.max(initial=0) <= form):
                return None
            packed[band] = scaled.astype(form.dtype)
        else:
            with np.errstate(over="ignore"):
                packed[band] = part.astype(np.float16)
        again = np.ascontiguousarray(_expand(packed[band], form))
        if not np.array_equal(again.view(np.uint32), part.view(np.uint32)):
            return None
    return packed


def row_bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut `(height, width, channel)` into slices of rows that stay near the processor."""
    step = max(1, _BAND_SAMPLES // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def to_half(pixels: Pixels) -> NDArray[np.float16]:
    """Round to half, saturating at its greatest value; the rule for outputs of inner stages."""
    return np.clip(pixels, -HALF_MAX, HALF_MAX).astype(np.float16)
