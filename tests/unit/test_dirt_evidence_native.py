"""The evidence of dirt by native rows against numpy, plane by plane, to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate import _native

_Plane = NDArray[np.float32]
_STEPS, _MOST, _ABSENT = 16.0, 16000.0, np.float32(1 << 20)


def _between(cells: _Plane, cell: int, y: NDArray[np.intp], x: NDArray[np.intp]) -> _Plane:
    """Bilinear between the cells' middles, level beyond the outermost; float32 throughout."""

    def place(at: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], _Plane]:
        t = np.clip((at + 0.5) / cell - 0.5, 0.0, count - 1.0)
        first = np.minimum(t.astype(np.intp), max(count - 2, 0))
        return first, (t - first).astype(np.float32)

    (row, down), (column, along) = place(y, cells.shape[0]), place(x, cells.shape[1])
    last_row = np.minimum(row + 1, cells.shape[0] - 1)
    last_column = np.minimum(column + 1, cells.shape[1] - 1)
    upper = cells[row] + (cells[last_row] - cells[row]) * down[:, None]
    return np.asarray(
        upper[:, column] + (upper[:, last_column] - upper[:, column]) * along, np.float32
    )


@pytest.mark.parametrize(
    ("shape", "origin", "frame"),
    [((41, 67), (0, 0), (67, 41)), ((50, 37), (-9, 21), (300, 60)), ((1, 1), (4, 2), (9, 9))],
)
def test_a_neighbor_is_laid_over_as_numpy_does(
    shape: tuple[int, int], origin: tuple[int, int], frame: tuple[int, int]
) -> None:
    rng = np.random.default_rng(shape[0])
    center = np.rint(rng.standard_normal(shape) * 90).astype(np.float32)
    moved = (rng.standard_normal(shape) * 90).astype(np.float32)
    moved[rng.random(shape) < 0.05] = 1e9
    moved[rng.random(shape) < 0.05] += np.float32(0.5) - moved[0, 0] % 1
    seen = (rng.random(shape) < 0.8).astype(np.float32)
    offset = (rng.standard_normal((3, 5)) * 4).astype(np.float32)
    trust = rng.integers(0, 256, (7, 11)).astype(np.uint8)
    found = _native.lay_over(
        center, moved, seen, offset, 16, trust, 8, origin, frame, _STEPS, _MOST
    )
    y = np.clip(np.arange(origin[1], origin[1] + shape[0]), 0, frame[1] - 1)
    x = np.clip(np.arange(origin[0], origin[0] + shape[1]), 0, frame[0] - 1)
    light = np.rint(_between(offset, 16, y, x) * np.float32(_STEPS))
    there = np.clip(np.rint(moved), -2 * _MOST, 2 * _MOST).astype(np.float32) + light
    visible = seen > 0
    rows, columns = np.minimum(y // 8, 6), np.minimum(x // 8, 10)
    share = trust[np.ix_(rows, columns)].astype(np.float32) / np.float32(255)
    wide = np.pad(there, 1, mode="edge")
    about = [wide[i : i + shape[0], k : k + shape[1]] for i in range(3) for k in range(3)]
    high, low = np.max(about, axis=0), np.min(about, axis=0)
    expected = (
        np.where(visible, center - there, 0),
        np.where(visible, center - high, 0),
        np.where(visible, center - low, 0),
        visible,
        np.where(visible, share, 0),
        light,
    )
    for got, wanted in zip(found, expected, strict=True):
        assert np.array_equal(got, wanted)
    assert found[3].dtype == np.bool_


def _neighbors(
    shape: tuple[int, int], distances: Sequence[int], seed: int
) -> list[tuple[_Plane, _Plane, _Plane, _Plane, NDArray[np.bool_]]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in distances:
        seen = rng.random(shape) < 0.7
        difference = np.where(seen, np.rint(rng.standard_normal(shape) * 8), 0).astype(np.float32)
        spread = np.where(seen, rng.integers(0, 9, (2, *shape)), 0).astype(np.float32)
        trust = np.where(seen, rng.random(shape), 0).astype(np.float32)
        made.append((difference, difference - spread[0], difference + spread[1], trust, seen))
    return made


@pytest.mark.parametrize(
    ("distances", "nearest"),
    [((-2, -1, 1, 2), (-1, 1)), ((-1, 1), (-1, 1)), ((1, 2), (1, 2)), ((-1,), (-1,))],
)
def test_neighbors_together_say_what_each_px_says_by_itself(
    distances: tuple[int, ...], nearest: tuple[int, ...]
) -> None:
    """One px after the other, from what `Evidence` is documented to hold."""
    shape, unit = (19, 23), 1.0 / _STEPS
    made = _neighbors(shape, distances, len(distances))
    found = _native.compare_neighbors(
        [(*n, d in nearest, d > 0) for n, d in zip(made, distances, strict=True)], *shape, unit
    )
    middle, span, spike, spike_all, rank, texture, trust, sides = found

    def agreed(least: Sequence[float], most: Sequence[float]) -> float:
        if least and min(least) > 0:
            return min(least)
        return max(most) if most and max(most) < 0 else 0.0

    one_sided = 0
    for y, x in np.ndindex(shape):
        shown = [(d, [float(p[y, x]) for p in n]) for d, n in zip(distances, made, strict=True)]
        seen = [(d, v) for d, v in shown if v[4]]
        near = [v for d, v in seen if d in nearest]
        values = sorted(v[0] for _, v in seen)
        inner = values[1:-1] if len(values) >= 3 else values
        assert middle[y, x] == (np.mean(inner) if inner else 0)
        assert span[y, x] == (values[-1] - values[0] if len(values) >= 2 else 0)
        assert spike[y, x] == agreed([v[0] for v in near], [v[0] for v in near]) * unit
        assert spike_all[y, x] == agreed(values, values) * unit
        assert rank[y, x] == agreed([v[1] for v in near], [v[2] for v in near]) * unit
        both = len({d > 0 for d, _ in seen})
        assert sides[y, x] == both
        flattest = min([v[2] - v[1] for v in near], default=float(_ABSENT))
        assert texture[y, x] == (flattest * unit if both else 0)
        assert trust[y, x] == np.float32(max(v[3] for d, v in shown if d in nearest))
        one_sided += both == 1
    assert one_sided > 0


def _field(
    y: NDArray[np.intp], x: NDArray[np.intp], vectors: NDArray[np.int16], scale: int
) -> _Plane:
    v, u = (y + 0.5) / scale - 0.5, (x + 0.5) / scale - 0.5
    row, column = np.floor(v).astype(np.intp), np.floor(u).astype(np.intp)
    down, along = (v - row)[:, None], (u - column)[:, None]
    rows, columns = vectors.shape[:2]
    r0, r1 = np.clip(row, 0, rows - 1), np.clip(row + 1, 0, rows - 1)
    c0, c1 = np.clip(column, 0, columns - 1), np.clip(column + 1, 0, columns - 1)
    top = vectors[r0, c0] * (1 - along) + vectors[r0, c1] * along
    bottom = vectors[r1, c0] * (1 - along) + vectors[r1, c1] * along
    return np.asarray((top * (1 - down) + bottom * down) / 32)


@pytest.mark.parametrize("channels", [1, 3])
def test_places_are_moved_and_read_as_numpy_does(channels: int) -> None:
    rng = np.random.default_rng(channels)
    height, width, origin, frame = 33, 47, (-5, 12), (40, 60)
    pixels = rng.random((height, width, channels), dtype=np.float32)
    vectors = rng.integers(-400, 400, (9, 8, 2)).astype(np.int16)
    y, x = rng.integers(0, height, 500), rng.integers(0, width, 500)
    move = _field(y + origin[1], x + origin[0], vectors, 6)
    assert np.array_equal(_native.displacement(vectors, 6, y + origin[1], x + origin[0]), move)
    at_x = np.clip(np.clip(x + move[:, 0], -origin[0], frame[0] - 1 - origin[0]), 0, width - 1)
    at_y = np.clip(np.clip(y + move[:, 1], -origin[1], frame[1] - 1 - origin[1]), 0, height - 1)
    c0, r0 = np.minimum(at_x.astype(int), width - 2), np.minimum(at_y.astype(int), height - 2)
    along = (at_x - c0).astype(np.float32)[:, None]
    down = (at_y - r0).astype(np.float32)[:, None]
    top = pixels[r0, c0] * (1 - along) + pixels[r0, c0 + 1] * along
    bottom = pixels[r0 + 1, c0] * (1 - along) + pixels[r0 + 1, c0 + 1] * along
    found = _native.sample_along(pixels, vectors, 6, y, x, origin, frame)
    assert np.array_equal(found, top * (1 - down) + bottom * down)


def test_what_does_not_fit_is_refused() -> None:
    plane, one = np.zeros((4, 5), np.float32), np.zeros((1, 1), np.float32)
    code = np.zeros((1, 1), np.uint8)
    with pytest.raises(ValueError, match="seen"):
        _native.lay_over(plane, plane, one, one, 16, code, 8, (0, 0), (5, 4), 16.0, 1.0)
    with pytest.raises(ValueError, match="neighbors"):
        _native.compare_neighbors([], 4, 5, 1.0)
    beside = (plane, plane, plane, plane, np.zeros((4, 5), np.bool_))
    with pytest.raises(ValueError, match="near"):
        _native.compare_neighbors([(*beside, False, True)], 4, 5, 1.0)
    with pytest.raises(ValueError, match="size"):
        _native.compare_neighbors([(*beside, True, True)], 5, 4, 1.0)
    vectors, places = np.zeros((2, 2, 2), np.int16), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="one y and one x"):
        _native.displacement(vectors, 4, places, places[:2])
    with pytest.raises(ValueError, match="rows, columns, 2"):
        _native.displacement(vectors[..., :1].copy(), 4, places, places)
