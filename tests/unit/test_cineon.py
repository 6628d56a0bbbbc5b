"""What the Cineon reader promises: true codes, the header's facts, refusals."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from wetgate.io import cineon, formats
from wetgate.io.dpx import read_frame, write_frame
from wetgate.model.errors import FrameReadError, OutputError


def cineon_file(order: str, packing: int) -> tuple[bytes, np.ndarray]:
    rng = np.random.default_rng(packing)
    codes = rng.integers(0, 1024, (4, 5, 3), dtype=np.uint32)
    data = bytearray(2048 + 64)
    struct.pack_into(order + "IIIIIII8s", data, 0, 0x802A5FD7, 2112, 1024, 1024, 64, 2192, 0, b"")
    struct.pack_into("8s", data, 24, b"V4.5")
    data[193] = 3
    for i in range(3):
        struct.pack_into(order + "BBBxII", data, 196 + 28 * i, 0, i + 1, 10, 5, 4)
    data[681] = packing
    struct.pack_into(order + "f", data, 1072, 24.0)
    shift = 2 if packing == 5 else 0
    words = sum(codes[:, :, i] << (20 - 10 * i + shift) for i in range(3))
    return bytes(data) + np.asarray(words).astype(order + "u4").tobytes(), codes


@pytest.mark.parametrize("order", "><")
@pytest.mark.parametrize("packing", [5, 6])
def test_cineon_codes_are_true(order: str, packing: int, tmp_path: Path) -> None:
    data, codes = cineon_file(order, packing)
    path = tmp_path / "scan.cin"
    path.write_bytes(data)
    frame = cineon.read_frame(path, 3, color_space="Raw")
    assert (np.rint(frame.pixels * 1023) == codes).all()
    assert (frame.header.format, frame.sample_type) == ("cineon", "uint10")
    assert cineon.read_info(path).frame_rate == 24
    for size in (100, 2047, 2048, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FrameReadError):
            cineon.read_frame(path, 3, color_space="Raw")
    with pytest.raises(OutputError, match=r"plate\.%04d\.dpx"):
        formats.write_frame(frame, path)
    target = tmp_path / "scan.dpx"
    write_frame(frame, target)
    assert (read_frame(target, 3, color_space="Raw").pixels == frame.pixels).all()


def test_published_cineon_agrees_with_openimageio(shared_data: Path) -> None:
    oiio = pytest.importorskip("OpenImageIO")
    path = shared_data / "dpx" / "checker.cin"
    frame = cineon.read_frame(path, 1, color_space="Raw")
    peer = oiio.ImageInput.open(str(path)).read_image(0, 0, 0, 3, "uint16")
    assert (peer >> 6 == np.rint(frame.pixels * 1023)).all()
