"""The frame bridge: what is written reads back bit by bit, and nothing else is read at all."""

from __future__ import annotations

import os
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.service import client_module
from wetgate import _native

LAYOUT = "<8sIIQQ4Q4Q16s"


def noise(*shape: int) -> Any:
    """Any bit patterns, NaN payloads among them."""
    rng = np.random.default_rng(sum(shape))
    return rng.integers(0, 1 << 32, size=shape, dtype=np.uint32).view(np.float32)


def make(folder: Path | str, pixels: Any, generation: int = 1) -> tuple[str, int, int]:
    return _native.FrameFile(str(folder), pixels.nbytes).write(pixels, generation)


@given(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6)), st.integers(1, 2**63))
def test_a_frame_reads_back_bit_by_bit(shape: tuple[int, int, int], generation: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        pixels = noise(*shape)
        path, offset, nbytes = make(folder, pixels, generation)
        found, number = _native.frame_open(path)
        assert number == generation and found.shape == shape and not found.flags.writeable
        assert found.tobytes() == pixels.tobytes()
        content = Path(path).read_bytes()
        assert content[offset:] == pixels.tobytes() and len(content) == offset + nbytes


def test_the_header_is_what_other_languages_unpack(tmp_path: Path) -> None:
    path, offset, nbytes = make(tmp_path, noise(3, 5, 4), 7)
    head = struct.unpack_from(LAYOUT, Path(path).read_bytes())
    magic, version, dtype, generation, size, *rest = head
    assert (magic, version, dtype, generation, size) == (b"WGFRAME\0", 1, 1, 7, 3 * 5 * 4 * 4)
    assert rest == [3, 5, 4, 0, 5 * 4 * 4, 4 * 4, 4, 0, b"\0" * 16]
    assert (offset, nbytes) == (4096, size)
    assert client_module._SEGMENT.format == LAYOUT


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX")
def test_files_are_private_and_have_names_that_nobody_guesses(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths = [Path(make(tmp_path, noise(1, 1, 1), 1)[0]) for _ in range(64)]
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths} == {0o600}
    names = {p.name for p in paths}
    assert len(names) == 64 and all(re.fullmatch("wetgate-[0-9a-f]{32}", n) for n in names)
    bits = np.array([[int(c, 16) >> b & 1 for c in n[8:] for b in range(4)] for n in names])
    assert bits.shape == (64, 128) and (np.abs(bits.mean(0) - 0.5) < 0.45).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((0, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.float64),
        np.zeros((4, 4, 3), np.float16),
        np.zeros((4, 8, 3), np.float32)[:, ::2],
        np.zeros((4, 4, 3), np.float32).T,
    ],
    ids=["flat", "empty", "double", "half", "strided", "turned"],
)
def test_what_is_no_frame_is_refused(tmp_path: Path, pixels: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        make(tmp_path, pixels)
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="not a frame"):
            _native.frame_open(str(path))


def at(offset: int, value: int) -> Callable[[bytearray], None]:
    def put(data: bytearray) -> None:
        struct.pack_into("<Q", data, offset, value)

    return put


def short(count: int) -> Callable[[bytearray], None]:
    def cut(data: bytearray) -> None:
        del data[count:]

    return cut


DAMAGES: dict[str, Callable[[bytearray], None]] = {
    "magic": at(0, 0),
    "version": lambda d: struct.pack_into("<I", d, 8, 2),
    "dtype": lambda d: struct.pack_into("<I", d, 12, 2),
    "being written": at(16, 0),
    "nbytes more": at(24, 8 * 6 * 3 * 4 + 4),
    "nbytes less": at(24, 4),
    "height more": at(32, 9),
    "height none": at(32, 0),
    "height huge": at(32, 1 << 62),
    "height wraps": at(32, (1 << 64) - 1),
    "width wraps": at(40, (1 << 62) + 6),
    "channels": at(48, 4),
    "row stride": at(64, 4),
    "column stride": at(72, 0),
    "sample stride": at(80, 8),
    "empty": short(0),
    "head cut": short(111),
    "no samples": short(4096),
    "a sample short": short(4096 + 8 * 6 * 3 * 4 - 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_frame_is_refused_by_both_sides(tmp_path: Path, damage: str) -> None:
    path, offset, nbytes = make(tmp_path, noise(8, 6, 3), 5)
    data = bytearray(Path(path).read_bytes())
    DAMAGES[damage](data)
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(path)):
        _native.frame_open(path)
    told = {
        "file": path,
        "offset": offset,
        "nbytes": nbytes,
        "shape": [8, 6, 3],
        "strides": [72, 12, 4],
        "dtype": "float32",
        "generation": 5,
    }
    with pytest.raises(client_module.WetgateError, match="cannot be read"):
        client_module.Preview(SimpleNamespace(release=None), told)


def test_links_pipes_directories_and_nothing_are_not_opened(tmp_path: Path) -> None:
    path = make(tmp_path, noise(1, 1, 1), 1)[0]
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "other", 0o600)
    for name in ("link", "nothing"):
        with pytest.raises(OSError):
            _native.frame_open(str(tmp_path / name))
    for name in ("folder", "other"):
        with pytest.raises(ValueError, match="not a plain file"):
            _native.frame_open(str(tmp_path / name))


def test_a_file_that_others_may_touch_is_not_opened(tmp_path: Path) -> None:
    path = make(tmp_path, noise(1, 1, 1), 1)[0]
    for bits in (0o640, 0o602, 0o604):
        os.chmod(path, bits)
        with pytest.raises(ValueError, match="by others"):
            _native.frame_open(path)
    os.chmod(path, 0o600)
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
        with pytest.raises(ValueError, match="another user"):
            _native.frame_open(path)


def test_a_file_is_written_again_by_a_later_generation_of_the_same_size(tmp_path: Path) -> None:
    first, second = noise(4, 4, 3), noise(2, 8, 3)
    file = _native.FrameFile(str(tmp_path), first.nbytes)
    with pytest.raises(ValueError, match="not a frame"):
        _native.frame_open(file.path)
    file.write(first, 1)
    with pytest.raises(ValueError, match="generation that has been"):
        file.write(second, 1)
    with pytest.raises(ValueError, match="another size"):
        file.write(noise(4, 4, 4), 2)
    file.write(second, 2)
    found, generation = _native.frame_open(file.path)
    assert (generation, file.generation, file.nbytes) == (2, 2, first.nbytes)
    assert found.tobytes() == second.tobytes() and found.shape == (2, 8, 3)
    with pytest.raises(ValueError, match="generation 0"):
        file.write(second, 0)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(second, 3)
    assert _native.frame_open(file.path)[0].tobytes() == second.tobytes()


def test_a_mapped_frame_outlives_its_name(tmp_path: Path) -> None:
    pixels = noise(16, 16, 4)
    path = make(tmp_path, pixels, 1)[0]
    found, _ = _native.frame_open(path)
    os.unlink(path)
    assert found.tobytes() == pixels.tobytes()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_file_system_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, os; from wetgate import _native\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "try:\n    _native.FrameFile(sys.argv[1], 4 << 20)\n"
        "except OSError as error:\n    print(error.errno, os.listdir(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["27", "[]"]
