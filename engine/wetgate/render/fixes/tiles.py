"""Tile data: the pixels of every fix of a frame, before and after, as the file's own codes.

One `.npz` file a frame and render: a ZIP of plain arrays, with a text that says what they are.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from wetgate.io.atomic import digest_bytes, output_error, write_bytes_atomic
from wetgate.model.errors import FrameReadError
from wetgate.render.fixes.codes import Codes

ABOUT = "about.txt"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TEXT = """\
Tile data of one frame, schema wetgate.tiles/1.
Each .npy is a NumPy array: a short header that tells type and shape, then numbers in C order.
Fix i (the line of fixes.jsonl with this frame, output and number[i]) owns the pixels first[i] up
to, not including, first[i + 1] of x, y, before, after, classes and origins.
x, y: pixel of the picture, (0, 0) is the first stored one, y grows downwards.
before, after: one row a pixel, one column a color channel: what the scan and what the restored
file hold. Integer samples are codes; half and float samples are the bits of IEEE 754 numbers.
classes: 1 re-exposed, 2 resampled, 3 filtered, 4 borrowed, 5 inferred.
origins: frame offset, x and y of the place that the pixel was borrowed from; 0 where it was not.
A pixel that several fixes changed belongs to the last of them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """The pixels that fixes changed; p of them over n fixes.

    Attributes:
        number: int32 (n), which fix, ascending. first: int64 (n + 1), where its pixels begin.
        x, y: int32 (p), px of the stored picture.
        before, after: uint16 or uint32 (p, channel), codes of scan and output.
        classes: uint8 (p), provenance. origins: float32 (p, 3), frame offset, x, y.
    """

    number: NDArray[np.int32]
    first: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    before: Codes
    after: Codes
    classes: NDArray[np.uint8]
    origins: NDArray[np.float32]

    def index(self, number: int) -> int | None:
        """Return the place of a fix, None when it changed no pixel."""
        at = int(np.searchsorted(self.number, number))
        return at if at < len(self.number) and self.number[at] == number else None

    def span(self, index: int) -> slice:
        """Return which pixels belong to the fix at a place."""
        return slice(int(self.first[index]), int(self.first[index + 1]))

    def digest(self, index: int) -> str:
        """Return the digest of one fix: its x, y, before and after, little-endian, in turn."""
        span = self.span(index)
        state = xxhash.xxh3_128()
        for name in ("x", "y", "before", "after"):
            part = getattr(self, name)[span]
            state.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes())
        return f"xxh128:{state.hexdigest()}"


def save_tiles(path: Path, tiles: Tiles) -> str:
    """Write tile data whole or not at all; return the digest of the file.

    Raises:
        DiskFull, OutputError: when it cannot be written.
    """
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr(_entry(ABOUT), _TEXT)
        for field in fields(tiles):
            array = getattr(tiles, field.name)
            packed = io.BytesIO()
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            np.lib.format.write_array(packed, little, version=(1, 0), allow_pickle=False)
            archive.writestr(_entry(f"{field.name}.npy"), packed.getvalue())
    data = held.getvalue()
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(error, path.parent) from error
    write_bytes_atomic(path, data)
    return digest_bytes(data)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)  # a date would make equal data unequal files
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def load_tiles(path: Path, *, frame: int, digest: str) -> Tiles:
    """Read tile data and check that it is what the journal says.

    Raises:
        FrameReadError: absent, unreadable, changed since it was written, or inconsistent.
    """
    remedy = "restore this frame again; its fixes cannot be told from the journal alone"
    try:
        data = path.read_bytes()
    except OSError as error:
        found = "the tile data is gone" if isinstance(error, FileNotFoundError) else str(error)
        raise FrameReadError(found, path=path, frame=frame, remedy=remedy) from error
    if digest_bytes(data) != digest:
        raise FrameReadError(
            f"the tile data has the digest {digest_bytes(data)}",
            path=path,
            frame=frame,
            expected=f"{digest} as the journal says",
            remedy=remedy,
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {field.name: archive[field.name] for field in fields(Tiles)}
        return _checked(arrays)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise FrameReadError(
            f"the tile data cannot be read: {error}", path=path, frame=frame, remedy=remedy
        ) from None


_SHAPES: Mapping[str, tuple[str, int]] = {
    "number": ("int32", 1),
    "first": ("int64", 1),
    "x": ("int32", 1),
    "y": ("int32", 1),
    "classes": ("uint8", 1),
    "origins": ("float32", 2),
}


def _checked(arrays: Mapping[str, NDArray[Any]]) -> Tiles:
    for name, (kind, axes) in _SHAPES.items():
        if arrays[name].dtype != kind or arrays[name].ndim != axes:
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    before, after = arrays["before"], arrays["after"]
    if before.dtype not in (np.uint16, np.uint32) or before.ndim != 2:
        raise ValueError(f"before is {before.dtype} {before.shape}")
    if after.dtype != before.dtype or after.shape != before.shape:
        raise ValueError(f"after is {after.dtype} {after.shape}, before is {before.shape}")
    count = len(before)
    first = arrays["first"]
    number = arrays["number"]
    if len(first) != len(number) + 1 or np.any(np.diff(number) <= 0):
        raise ValueError("the fixes and their pixels do not agree")
    if first[0] != 0 or first[-1] != count or np.any(np.diff(first) < 0):
        raise ValueError("the pixels of the fixes overlap or are cut off")
    if any(len(arrays[name]) != count for name in ("x", "y", "classes", "origins")):
        raise ValueError("the pixels' lists are not of one length")
    return Tiles(**arrays)
