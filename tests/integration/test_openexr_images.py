"""The published reference images: each survives a rewrite, or is refused by name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from wetgate.io import formats
from wetgate.io.options import Limits, WriteOptions
from wetgate.io.sandbox import Reader
from wetgate.model.errors import FrameReadError, UnsupportedImage

from tests.support.exr_oracle import differences

REFUSED = {
    "Chromaticities/Rec709_YC.exr": "channel 'BY' of the image is subsampled 2 x 2",
    "Chromaticities/XYZ_YC.exr": "channel 'BY' of the image is subsampled 2 x 2",
    "LuminanceChroma/CrissyField.exr": "channel 'BY' of the image is subsampled 2 x 2",
    "v2/LowResLeftView/Balls.exr": "the image holds deep data",
    "v2/LowResLeftView/Trunks.exr": "the image holds deep data",
    "v2/Stereo/Trunks.exr": "part 'rgba.left' holds deep data",
}


@pytest.fixture(scope="module")
def images(shared_data: Path) -> Path:
    folder = shared_data / "openexr-images"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def test_every_image_survives_or_is_refused_by_name(images: Path, tmp_path: Path) -> None:
    refused: dict[str, str] = {}
    survived = 0
    paths = [p for p in sorted(images.rglob("*.exr")) if "Damaged" not in p.parts]
    with Reader() as reader:
        for path in paths:
            name = path.relative_to(images).as_posix()
            try:
                frame = reader.read_frame(path, 1, color_space="any")
            except UnsupportedImage as error:
                refused[name] = error.found
                continue
            out = tmp_path / "out.exr"
            formats.write_frame(frame, out, options=WriteOptions(pixels_changed=False))
            assert differences(path, out) == [], name
            survived += 1
    assert refused == REFUSED
    assert (survived, len(paths)) == (44, 50)


def test_no_damaged_image_does_harm(images: Path) -> None:
    limits = Limits(seconds=20, memory_mb=3000, image_mb=512)
    paths = [p for p in sorted((images / "Damaged").rglob("*")) if p.is_file()]
    read, refused, slowest = 0, 0, 0.0
    with Reader(limits=limits) as reader:
        for path in paths:
            started = time.monotonic()
            try:
                reader.read_frame(path, 1, color_space="any")
                read += 1
            except (FrameReadError, UnsupportedImage) as error:
                assert error.path == path
                assert "took longer" not in error.found
                refused += 1
            slowest = max(slowest, time.monotonic() - started)
    assert (read, refused) == (0, len(paths))
    assert len(paths) >= 185
    assert slowest < 10
