"""A region cut out of a plane is what indexing it by reflected coordinates gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from wetgate.model.box import Box
from wetgate.render.store import DirectPlane
from wetgate.render.windows import gather

SIDE = st.integers(1, 9)
PLACE = st.integers(-20, 20)
EXTENT = st.integers(1, 24)


def mirrored(index: int, size: int) -> int:
    """Walk to an index from 0, turning round at both ends; the edge sample is not repeated."""
    at, step = 0, 1 if index >= 0 else -1
    for _ in range(abs(index)):
        if size == 1:
            return 0
        if not 0 <= at + step < size:
            step = -step
        at += step
    return at


@settings(max_examples=150, deadline=None)
@given(height=SIDE, width=SIDE, y=PLACE, x=PLACE, rows=EXTENT, columns=EXTENT)
def test_every_sample_is_the_mirrored_one(
    height: int, width: int, y: int, x: int, rows: int, columns: int
) -> None:
    plane = np.arange(height * width * 3, dtype=np.float32).reshape(height, width, 3)
    got = gather(DirectPlane(plane), Box(x, y, x + columns, y + rows))
    assert got.flags.c_contiguous and got.dtype == np.float32
    expected = [
        [plane[mirrored(y + i, height), mirrored(x + j, width)] for j in range(columns)]
        for i in range(rows)
    ]
    np.testing.assert_array_equal(got, expected)
