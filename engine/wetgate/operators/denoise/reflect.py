"""Planes of a region picked anew, so that what lies beyond the frame is what it shows reflected."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Window

Planes = NDArray[np.float32]


def reflected(inner: Box, window: Window) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the region that stand for a box, reflected at the frame.

    Args:
        inner: px of the full frame; may reach beyond it, but no farther than `window.region` does.
    """
    frame, region = window.frame, window.region

    def line(start: int, stop: int, size: int, origin: int) -> NDArray[np.intp]:
        period = max(2 * (size - 1), 1)
        index = np.arange(start, stop, dtype=np.intp) % period
        return np.where(index < size, index, period - index) - origin

    return (
        line(inner.y0, inner.y1, frame.height, region.y0),
        line(inner.x0, inner.x1, frame.width, region.x0),
    )


def around(index: NDArray[np.intp], reach: int) -> slice:
    """Return the rows or columns from the first to the last of `index`, and `reach` beyond them.

    What lies before row 0 is left out; what lies after the last one is for the slice to end at.
    """
    return slice(max(int(index.min()) - reach, 0), int(index.max()) + reach + 1)


def picked(planes: Planes, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Planes:
    """Return `planes[:, rows][:, :, columns]`, C-contiguous; most of it is copied as one block."""
    (top, bottom), (left, right) = straight(rows), straight(columns)
    out = np.empty((len(planes), len(rows), len(columns)), planes.dtype)
    lines = planes[:, rows[top] : rows[top] + bottom - top]
    out[:, top:bottom, left:right] = lines[:, :, columns[left] : columns[left] + right - left]
    out[:, top:bottom, :left] = lines[:, :, columns[:left]]
    out[:, top:bottom, right:] = lines[:, :, columns[right:]]
    out[:, :top] = planes[:, rows[:top]][:, :, columns]
    out[:, bottom:] = planes[:, rows[bottom:]][:, :, columns]
    return out


def straight(index: NDArray[np.intp]) -> tuple[int, int]:
    """Return where the longest part of an index that rises one by one begins and ends."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    edges = [0, *breaks.tolist(), len(index)]
    spans = list(itertools.pairwise(edges))
    return max(spans, key=lambda span: span[1] - span[0])
