"""A region cut out of a plane is what indexing it by reflected coordinates gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from wetgate.model.box import Box
from wetgate.render.store import DirectPlane, Plane, PlaneStore
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


def planes_of(pixels: np.ndarray) -> list[Plane]:  # type: ignore[type-arg]
    """Lay pixels down as they are, as codes, as halves and in a file."""
    memory, scratch = PlaneStore(memory_limit=None), PlaneStore(memory_limit=0)
    return [
        DirectPlane(pixels),
        memory.keep_exact(pixels, "float"),
        memory.keep_exact(pixels, "uint16"),
        memory.keep_exact(pixels, "half"),
        scratch.keep_exact(pixels, "uint16"),
    ]


@settings(max_examples=150, deadline=None)
@given(height=SIDE, width=SIDE, y=PLACE, x=PLACE, rows=EXTENT, columns=EXTENT)
def test_every_sample_is_the_mirrored_one(
    height: int, width: int, y: int, x: int, rows: int, columns: int
) -> None:
    codes = np.arange(height * width * 3).reshape(height, width, 3)
    # Halves and 16-bit codes have few values in common: 0 and 1.
    for pixels in ((codes / np.float32(65535)).astype(np.float32), (codes % 2).astype(np.float32)):
        expected = [
            [pixels[mirrored(y + i, height), mirrored(x + j, width)] for j in range(columns)]
            for i in range(rows)
        ]
        for plane in planes_of(pixels):
            got = gather(plane, Box(x, y, x + columns, y + rows))
            assert got.flags.c_contiguous and got.dtype == np.float32
            np.testing.assert_array_equal(got, expected)
            plane.release()
