"""Cut windows out of planes, reflecting where a region reaches beyond the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Pixels
from wetgate.render.store import Plane


def reflect(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return the indices inside `0..size-1` that `start..stop-1` reflect to.

    The edge sample is not repeated (`-1` is 1); regions larger than the frame bounce on.
    """
    if size == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (size - 1)
    index = np.arange(start, stop, dtype=np.intp) % period
    return np.where(index < size, index, period - index)


@runtime_checkable
class Cuttable(Protocol):
    """A plane that gives a part of some rows at less cost than all of them."""

    def cut(self, box: Box) -> Pixels:
        """Return a part inside the plane as C-contiguous float32."""
        ...


def gather(plane: Plane, region: Box) -> Pixels:
    """Read a region of a plane that lies at (0, 0); the region may reach beyond it.

    Returns:
        C-contiguous float32 of the region's size; read-only where it is a view.
    """
    height, width, _ = plane.shape
    if Box.of_size(width, height).contains(region):
        return _part(plane, region)
    rows = reflect(region.y0, region.y1, height)
    columns = reflect(region.x0, region.x1, width)
    first, leftmost = int(rows.min()), int(columns.min())
    band = _part(plane, Box(leftmost, first, int(columns.max()) + 1, int(rows.max()) + 1))
    columns -= leftmost
    inside = Box.of_size(width, height).intersect(region)
    out = np.empty((len(rows), len(columns), band.shape[2]), np.float32)
    # What is not reflected is one block; picking every sample by its index costs several times
    # as much as copying it.
    left, right = inside.x0 - region.x0, inside.x1 - region.x0
    top, bottom = inside.y0 - region.y0, inside.y1 - region.y0
    if inside.is_empty:
        left = right = top = bottom = 0
    else:
        straight = band[inside.y0 - first : inside.y1 - first]
        out[top:bottom, left:right] = straight[:, inside.x0 - leftmost : inside.x1 - leftmost]
        for side in (slice(0, left), slice(right, len(columns))):
            if side.start < side.stop:
                out[top:bottom, side] = straight.take(columns[side], axis=1)
    for part in (slice(0, top), slice(bottom, len(rows))):
        above = rows[part] - region.y0
        if above.size and above.min() >= top and above.max() < bottom:
            out[part] = out[above]  # whole rows, reflected sideways already
        else:
            out[part] = band[rows[part] - first][:, columns]
    return out


def _part(plane: Plane, box: Box) -> Pixels:
    """Read a part of a plane, C-contiguous."""
    if isinstance(plane, Cuttable):
        return plane.cut(box)
    return np.ascontiguousarray(plane.rows(box.y0, box.y1)[:, box.x0 : box.x1])


def gather_if(plane: Plane | None, region: Box) -> Pixels | None:
    """Read a region of a plane that need not exist."""
    return None if plane is None else gather(plane, region)


@dataclass(frozen=True, slots=True)
class Shots:
    """Where the clip is cut: the first frame number of every shot but the first, ascending."""

    cuts: tuple[int, ...] = ()

    def index(self, number: int) -> int:
        """Return which shot a frame belongs to, from 0."""
        return int(np.searchsorted(np.asarray(self.cuts, dtype=np.int64), number, side="right"))

    def same(self, a: int, b: int) -> bool:
        """Whether no cut lies between two frames."""
        return self.index(a) == self.index(b)

    def split(self, numbers: Sequence[int]) -> list[list[int]]:
        """Group ascending frame numbers by shot; shots without a frame give an empty list."""
        shots: list[list[int]] = [[] for _ in range(len(self.cuts) + 1)]
        for number in numbers:
            shots[self.index(number)].append(number)
        return shots
