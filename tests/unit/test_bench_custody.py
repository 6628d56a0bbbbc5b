"""The bench of the chain of custody sees what is wrong, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.fixers import Mender
from support.plates import recipe
from wetgate.bench import custody, custody_shots
from wetgate.bench.custody import _Count
from wetgate.bench.custody_shots import from_acescct, read_samples, restore
from wetgate.bench.table import BenchRow
from wetgate.io.exr_planes import encode_planes, write_planes
from wetgate.model.box import Box
from wetgate.operators import registry

W, H = 40, 24


def scene(number: int) -> NDArray[np.float32]:
    """A picture that moves to the left, under two spots that are borrowed for and one undone."""
    wide = np.random.default_rng(2).integers(200, 700, (H, W + 9, 3)) / 1023
    out = wide[:, number - 1000 : number - 1000 + W].astype(np.float32)
    for y, value in ((3, 1), (9, 0), (15, 1)):
        left = 5 + 10 * (number % 3)
        out[y, left : left + 4] = value
    return out


@pytest.fixture(autouse=True)
def _mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", {**registry._FACTORIES, "mend": Mender})
    monkeypatch.setattr(custody_shots, "RECIPE", recipe("mend"))


def clip() -> Any:
    frames = {n: SimpleNamespace(pixels=scene(n)) for n in (1001, 1002, 1003)}
    return SimpleNamespace(name="planted", frames=frames)


def named(rows: list[BenchRow], words: str) -> BenchRow:
    (found,) = (row for row in rows if words in row.case)
    return found


def test_light_is_that_of_acescct() -> None:
    codes = np.asarray([0.413588402493492, 0.0729055341958355, 0.155251141552511, 1.0])
    light = from_acescct(codes.astype(np.float32))
    assert light[:3] == pytest.approx([0.18, 0.0, 0.0078125], abs=1e-6)
    assert light[3] == pytest.approx(222.861, rel=1e-5)


def test_every_check_can_fail(tmp_path: Path) -> None:
    shot = restore(tmp_path, "DPX 10-bit", clip())
    assert np.array_equal(shot.source(1001), np.rint(scene(1001) * 1023))
    good = _Count()
    good.add(shot, 1002)
    assert (good.stray, good.silent, good.inferred) == (0, 0, 0)
    assert (good.borrowed, good.whole, good.found) == (8, 8, 8)
    assert all(row.reached is not False for row in good.rows("DPX"))

    path = shot.out / "scan.1002.dpx"
    data = bytearray(path.read_bytes())
    data[-2] ^= 0x40  # a bit of the last px, outside of every fix
    path.write_bytes(data)
    planes = dict(shot.planes(1002))
    planes["class"] = planes["class"] + np.uint32(planes["class"] == 4)
    planes["offset.x"] = np.where(planes["class"] == 1, planes["offset.x"], np.float32(2))
    box = Box.of_size(W, H)
    side = shot.out / "provenance" / "provenance.1002.exr"
    write_planes(side, encode_planes(planes, data_window=box, display_window=box))
    bad = _Count()
    bad.add(shot, 1002)
    assert (bad.stray, bad.silent, bad.inferred, bad.borrowed) == (1, 1, 8, 0)
    rows = bad.rows("DPX")
    for words in ("outside of every fix", "whose class", "class 5"):
        assert named(rows, words).reached is False


def test_half_and_codes_are_read_as_the_file_has_them(tmp_path: Path) -> None:
    half = np.random.default_rng(1).standard_normal((5, 4, 3)).astype(np.float16)
    box = Box.of_size(4, 5)
    path = tmp_path / "a.exr"
    planes = {name: half[..., i] for i, name in enumerate("RGB")}
    write_planes(path, encode_planes(planes, data_window=box, display_window=box))
    assert np.array_equal(read_samples(path), half.view(np.uint16))


def test_a_whole_run_reverts_replays_and_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    def clips(_data: object) -> Iterator[tuple[str, Any]]:
        yield "DPX 10-bit", clip()
        yield "EXR half", clip()

    monkeypatch.setattr(custody, "clips", clips)
    monkeypatch.setattr(custody, "REVERTED", 5)
    table = custody.run(quick=True)
    rows = list(table.rows)
    assert all(row.reached is not False for row in rows)
    assert named(rows, "DPX 10-bit: borrowed").wetgate == 100
    undone, again = named(rows, "revert:"), named(rows, "replay:")
    assert (undone.wetgate, undone.peer) == (5, 5)
    assert (again.wetgate, again.peer) == (6, 6) and "journal" in again.note
    assert named(rows, "rejected").reached
