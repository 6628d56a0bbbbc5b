"""Planes in an EXR of their own, read back by the OpenEXR library and by ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from wetgate.io.exr_planes import encode_planes, read_planes, write_planes
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, OutputError


def planes(height: int, width: int, *, noise: float) -> dict[str, NDArray[np.generic]]:
    """All three types; zeros but for a share of noise, which zlib cannot make smaller."""
    rng = np.random.default_rng(height * width)
    size, there = (height, width), rng.random((height, width)) < noise
    bits = rng.integers(0, 1 << 32, size, dtype=np.uint64).astype(np.uint32)
    value = rng.standard_normal(size)
    return {
        "class": np.where(there, bits, np.uint32(0)),
        "offset.x": np.where(there, value, 0).astype(np.float32),
        "a.matte": np.where(there, value, 0).astype(np.float16),
        "fix": np.where(there, bits // 3, np.uint32(7)).astype(np.uint32),
    }


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (16, 5), (17, 5), (33, 40)])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_planes_read_back_by_another_library(
    size: tuple[int, int], noise: float, tmp_path: Path
) -> None:
    want = planes(*size, noise=noise)
    window = Box(-3, 11, -3 + size[1], 11 + size[0])
    data = encode_planes(
        want, data_window=window, display_window=Box(0, 0, 90, 80), pixel_aspect=2.0,
        facts={"schema": "a/1", "by": "a test"},
    )  # fmt: skip
    path = tmp_path / "planes.exr"
    write_planes(path, data)
    file = OpenEXR.File(str(path), separate_channels=True)
    channels = file.channels()
    assert sorted(channels) == sorted(want)
    for name, plane in want.items():
        got = channels[name].pixels
        assert got.dtype == plane.dtype and got.tobytes() == plane.tobytes(), name
    header = file.header()
    assert header["dataWindow"][0].tolist() == [-3, 11]
    assert header["displayWindow"][1].tolist() == [89, 79]
    assert (header["wetgate:schema"], header["pixelAspectRatio"]) == ("a/1", 2.0)
    ours = read_planes(path)
    assert {n: p.tobytes() for n, p in ours.items()} == {n: p.tobytes() for n, p in want.items()}
    assert list(read_planes(path, prefix="offset.")) == ["x"]


def test_zeros_take_next_to_nothing_and_equal_planes_are_equal_files() -> None:
    box = Box.of_size(640, 480)
    empty = {n: np.zeros((480, 640), p.dtype) for n, p in planes(1, 1, noise=0).items()}
    data = encode_planes(empty, data_window=box, display_window=box)
    assert len(data) < 12_000 < 480 * 640 * 14
    assert data == encode_planes(dict(reversed(empty.items())), data_window=box, display_window=box)


def test_what_is_missing_or_cut_off_is_an_error(tmp_path: Path) -> None:
    box = Box.of_size(40, 33)
    data = encode_planes(planes(33, 40, noise=0.5), data_window=box, display_window=box)
    path = tmp_path / "planes.exr"
    write_planes(path, data[:-40])
    with pytest.raises(FrameReadError):
        read_planes(path)
    write_planes(path, data)
    with pytest.raises(FrameReadError, match="part 1"):
        read_planes(path, part=1)
    with pytest.raises(OutputError):
        write_planes(tmp_path / "none" / "planes.exr", data)
