"""Run a network on planes of any size, the same result however the frame was cut."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from wetgate.backends.base import Planes, Session, SessionBase
from wetgate.backends.record import keep
from wetgate.model.errors import OutOfMemory

GRID = 16
"""Tiles are multiples of this many px: convolution kernels work in blocks of 8 to 16."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """Equal tiles along one axis that together cover it.

    Attributes:
        size: px of each tile, halo included. starts: first px of each, ascending.
        kept: the `(first, end)` px that each tile answers for, half-open; they join without
            overlap, and each lies a halo inside its tile except at the ends of the axis.
    """

    size: int
    starts: tuple[int, ...]
    kept: tuple[tuple[int, int], ...]


def fit_tiles(length: int, tile: int, halo: int, multiple: int = 1, *, grid: int = GRID) -> Tiling:
    """Cut an axis into as few tiles as `tile` allows, then shrink them to what the axis needs.

    n tiles of t px whose neighbors overlap by two halos h cover `n t - (n - 1) 2 h` px. A fixed
    t leaves the last tile shifted inwards; the least t that covers the axis with the same n
    computes up to 46 % fewer px, and all tiles still have one shape.

    Args:
        length: px of the axis, a multiple of `multiple`.
        tile: the most px of one tile, halo included.
        multiple: all starts are multiples of it. grid: sizes are multiples of both.

    Raises:
        ValueError: the tile leaves nothing between its halos.
    """
    grid = math.lcm(grid, multiple)
    tile = max(grid, tile // grid * grid)
    count = _count(length, tile, _up(halo, multiple))
    if count == 1:
        return Tiling(length, (0,), ((0, length),))
    halo = _up(halo, multiple)
    size = _up(-(-(length + 2 * halo * (count - 1)) // count), grid)
    starts = [min(i * (size - 2 * halo), length - size) for i in range(count)]
    edges = [0, *(start + halo for start in starts[1:]), length]
    return Tiling(size, tuple(starts), tuple(itertools.pairwise(edges)))


def _count(length: int, tile: int, halo: int) -> int:
    if tile >= length:
        return 1
    if tile <= 2 * halo:
        raise ValueError(f"a tile of {tile} px leaves nothing between halos of {halo} px")
    return 1 + -(-(length - tile) // (tile - 2 * halo))


def apply_net(
    session: Session, planes: Planes, *, origin: tuple[int, int], unit: float | Planes = 1.0
) -> Planes:
    """Run a network on a region of a frame.

    The grid of the network's own strides is anchored at (0, 0) of the full frame: the region is
    padded to it and cropped back, so that a pixel gets the same neighbors and the same phase in
    whatever tile it lies. Values closer to the rim of the region than `card.halo` depend on what
    was padded; the caller's region must have that halo.

    When memory runs out the tile is halved and the work goes on, here and in every later call;
    `session.notes` says so. The result is the same.

    Args:
        planes: float32 `(c, h, w)`, the planes that the card names, in order.
        origin: `(y, x)` of `planes[:, 0, 0]` in px of the full frame (`(region.y0, region.x0)`);
            may be negative.
        unit: what 1 of the output is in the picture, a number or an array; changes nothing, but
            whoever measures an error of the network must know it.

    Returns:
        float32 `(c', h * scale, w * scale)`.

    Raises:
        OutOfMemory: even a tile of little more than its halos does not fit.
        BackendError: the planes are not what the card says, or the library failed.
    """
    card = session.card
    _, height, width = planes.shape
    multiple = card.size_multiple
    top, left = origin[0] % multiple, origin[1] % multiple
    if isinstance(session, SessionBase):
        multiple = math.lcm(multiple, session.grain)
    rows, columns = _up(top + height, multiple), _up(left + width, multiple)
    if (rows, columns) != (height, width):
        below, right = rows - top - height, columns - left - width
        planes = np.pad(planes, ((0, 0), (top, below), (left, right)), mode="edge")
    keep(card.name, planes, unit)
    out = _run_tiled(session, planes)
    scale = card.scale
    return out[:, top * scale : (top + height) * scale, left * scale : (left + width) * scale]


def _run_tiled(session: Session, planes: Planes) -> Planes:
    """Run on planes whose sides are multiples of the net's; halve the tile until it fits."""
    if not isinstance(session, SessionBase):
        whole: Planes = session.run(planes[None])[0]
        return whole
    while True:
        height, width = planes.shape[1:]
        tile = session.tile or (height, width)
        try:
            return _run_grid(session, planes, tile)
        except OutOfMemory as error:
            used = min(tile[0], height), min(tile[1], width)
            session.limit_tile(*_halved(session, used, error))


def _halved(
    session: SessionBase, tile: tuple[int, int], error: OutOfMemory
) -> tuple[tuple[int, int], str]:
    """Return half a tile and the words for the report; the error when there is no half."""
    card = session.card
    grid = math.lcm(GRID, card.size_multiple, session.grain)
    height, width = tile
    # Half the px, halos included, and at least as much of use as there is halo on either side.
    least = max(grid, _up(3 * card.halo, grid))
    half_height, half_width = _up(height // 2, grid), _up(width // 2, grid)
    if height >= width and least <= half_height < height:
        smaller = half_height, width
    elif least <= half_width < width:
        smaller = height, half_width
    elif least <= half_height < height:
        smaller = half_height, width
    else:
        raise error
    return smaller, (
        f"{card.name}: out of memory on a tile of {width} x {height} px; "
        f"went on with {smaller[1]} x {smaller[0]} px"
    )


def _run_grid(session: SessionBase, planes: Planes, tile: tuple[int, int]) -> Planes:
    card = session.card
    _, rows, columns = planes.shape
    if tile[0] >= rows and tile[1] >= columns:
        whole: Planes = session.run(planes[None])[0]
        return whole
    grid = math.lcm(GRID, session.grain)
    down = fit_tiles(rows, tile[0], card.halo, card.size_multiple, grid=grid)
    across = fit_tiles(columns, tile[1], card.halo, card.size_multiple, grid=grid)
    s = card.scale
    joined = np.empty((len(card.outputs), rows * s, columns * s), np.float32)
    places = [(i, j) for i in range(len(down.starts)) for j in range(len(across.starts))]
    batches = [places[i : i + session.batch] for i in range(0, len(places), session.batch)]
    stacks = (np.stack([_cut(planes, down, across, *place) for place in b]) for b in batches)
    for places_of, results in zip(batches, session.run_each(stacks), strict=True):
        for (i, j), result in zip(places_of, results, strict=True):
            (y0, y1), (x0, x1) = down.kept[i], across.kept[j]
            y, x = down.starts[i], across.starts[j]
            joined[:, y0 * s : y1 * s, x0 * s : x1 * s] = result[
                :, (y0 - y) * s : (y1 - y) * s, (x0 - x) * s : (x1 - x) * s
            ]
    return joined


def _cut(planes: Planes, down: Tiling, across: Tiling, row: int, column: int) -> Planes:
    y, x = down.starts[row], across.starts[column]
    return planes[:, y : y + down.size, x : x + across.size]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
