"""The child's files of previews: written again where they can be, and none too many."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plates import write_plate
from wetgate import _native
from wetgate.model.errors import FrameReadError, InputError
from wetgate.render.options import JobOptions
from wetgate.service.previewing import PreviewDesk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="removes files that are mapped")


class Desk:
    """A desk with its plate."""

    def __init__(self, folder: Path) -> None:
        self.plate = write_plate(folder / "p", range(1, 4), suffix="exr", sample_type="half")
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.desk = PreviewDesk()

    def ask(self, frame: int = 1, kind: str = "source", free: tuple[str, ...] = ()) -> Any:
        options = {"plate": str(self.plate), "out": str(self.plate.parent / "o")}
        request = {
            "options": options,
            "frame": frame,
            "kind": kind,
            "directory": str(self.shared),
            "free": [{"file": file} for file in free],
        }
        return self.desk.answer(request, JobOptions(recipe="identity", **options))

    def files(self) -> set[str]:
        return {str(path) for path in self.shared.iterdir()}


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    found = Desk(tmp_path)
    yield found
    found.desk.close()
    assert found.files() == set()


def test_a_free_file_is_written_again_and_a_used_one_never(desk: Desk) -> None:
    first = desk.ask(1)
    held = _native.frame_open(first["file"])[0].copy()
    second = desk.ask(2)
    assert first["file"] != second["file"] and desk.files() == {first["file"], second["file"]}
    assert np.array_equal(_native.frame_open(first["file"])[0], held)
    third = desk.ask(3, free=(first["file"],))
    assert (third["file"], third["generation"]) == (first["file"], 2)
    assert not np.array_equal(_native.frame_open(first["file"])[0], held)


def test_a_free_file_of_another_size_or_that_has_gone_is_not_used(desk: Desk) -> None:
    first = desk.ask(1)
    matte = desk.ask(1, kind="matte", free=(first["file"],))
    assert matte["file"] != first["file"] and matte["shape"] == [48, 64, 1]
    Path(first["file"]).unlink()
    second = desk.ask(1, free=(first["file"], str(desk.plate / "plate.0001.exr")))
    assert desk.files() == {matte["file"], second["file"]}


def test_a_frame_that_fails_leaves_no_file(desk: Desk) -> None:
    with pytest.raises(FrameReadError):
        desk.ask(9)
    (desk.plate / "plate.0002.exr").write_bytes(b"\x76\x2f\x31\x01 torn")
    with pytest.raises(InputError):
        desk.ask(2)
    assert desk.files() == set()


def test_the_memory_of_a_removed_file_is_given_back(desk: Desk) -> None:
    file = desk.ask(1)["file"]
    Path(file).unlink()

    def held() -> bool:
        maps = Path("/proc/self/maps")
        if not maps.exists():
            pytest.skip("this system does not list what is mapped")
        return file in maps.read_text()

    assert held()
    until = time.monotonic() + 5
    while held() and time.monotonic() < until:
        time.sleep(0.05)
    assert not held()
