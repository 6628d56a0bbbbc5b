"""Planes picked for a network: the same as picking every sample by its index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wetgate.model.box import Box
from wetgate.operators.base import Window
from wetgate.operators.denoise.reflect import around, picked, reflected, straight


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.integers(0, 8), min_size=1, max_size=14),
    st.lists(st.integers(0, 8), min_size=1, max_size=14),
)
def test_picking_is_indexing(height: int, width: int, rows: list[int], columns: list[int]) -> None:
    planes = np.arange(2 * height * width, dtype=np.float32).reshape(2, height, width)
    y, x = np.array(rows, np.intp) % height, np.array(columns, np.intp) % width
    found = picked(planes, y, x)
    assert np.array_equal(found, planes[:, y][:, :, x])
    assert found.flags.c_contiguous


def test_the_longest_rising_part_is_found() -> None:
    assert straight(np.array([3, 2, 1, 0, 1, 2, 3, 4, 3, 2])) == (3, 8)
    assert straight(np.array([5])) == (0, 1)
    assert straight(np.arange(4)) == (0, 4)


@pytest.mark.parametrize(
    ("tile", "beyond", "expected"),
    [
        # A frame of 10 x 6 px at (0, 0): -1 is 1, 10 is 8.
        (Box(0, 0, 10, 6), 2, ([2, 1, 0, 1, 2, 3, 4, 5, 4, 3], [2, 1, *range(10), 8, 7])),
        (Box(4, 2, 6, 4), 1, ([1, 2, 3, 4], [3, 4, 5, 6])),
    ],
)
def test_what_lies_beyond_the_frame_is_reflected(
    tile: Box, beyond: int, expected: tuple[list[int], list[int]]
) -> None:
    frame, region = Box(0, 0, 10, 6), tile.grown(beyond + 3)
    blank = np.zeros((region.height, region.width, 1), np.float32)
    window = Window(
        number=1, pixels=(blank,), previous=(), valid=(True,), pairs=(None,), region=region,
        tile=tile, frame=frame, survey=None, planes={},
    )  # fmt: skip
    rows, columns = reflected(tile.grown(beyond), window)
    assert (rows + region.y0).tolist() == expected[0]
    assert (columns + region.x0).tolist() == expected[1]


def test_around_holds_every_row_and_its_reach() -> None:
    index = np.array([4, 3, 2, 3, 4, 5])
    assert around(index, 2) == slice(0, 8)
    assert np.arange(7)[around(index, 1)].tolist() == [1, 2, 3, 4, 5, 6]
    assert np.arange(6)[around(index, 3)].tolist() == list(range(6))
