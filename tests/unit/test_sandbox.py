"""A hostile file ends one decoding process and fails one frame."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from wetgate.io import formats, wire
from wetgate.io.options import Limits
from wetgate.io.sandbox import Reader
from wetgate.model.errors import FrameReadError, UnsupportedImage

from tests.corpus import make_exr

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sandbox") / "parts.exr"
    make_exr.write_parts(path)
    return path


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [c for c in found if "wetgate.io.sandbox_worker" in " ".join(c.cmdline())]


def same_bits(one: np.ndarray, two: np.ndarray) -> bool:
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()


def test_frames_are_those_that_are_read_here(parts: Path) -> None:
    with Reader() as reader:
        assert reader.read_info(parts).channels == formats.read_info(parts).channels
        there = reader.read_frame(parts, 5, color_space="a")
        reader.read_frame(parts, 6, color_space="a", layer="depth")  # reuses the memory
    here = formats.read_frame(parts, 5, color_space="a")
    assert same_bits(there.pixels, here.pixels)
    assert (there.number, there.channels, there.color_space) == (5, here.channels, "a")
    assert there.header.attributes == here.header.attributes
    for one, two in zip(there.header.payload.planes, here.header.payload.planes, strict=True):
        assert one.channels == two.channels
        assert same_bits(one.samples, two.samples)
    assert there.pixels.flags.owndata or there.pixels.base.flags.owndata


def test_errors_keep_their_facts(tmp_path: Path) -> None:
    deep = tmp_path / "deep.exr"
    make_exr.write_deep(deep)
    with Reader() as reader:
        with pytest.raises(UnsupportedImage, match="deep data") as caught:
            reader.read_frame(deep, 12, color_space="a")
        assert (caught.value.frame, caught.value.path) == (12, deep)
        with pytest.raises(FrameReadError, match="No such file") as missing:
            reader.read_frame(tmp_path / "absent.exr", 13, color_space="a")
        assert missing.value.frame == 13


@posix
def test_a_pipe_is_no_frame(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.exr")
    with Reader() as reader, pytest.raises(FrameReadError, match="no ordinary file"):
        reader.read_frame(tmp_path / "pipe.exr", 1, color_space="a")


@posix
def test_a_hanging_decoder_is_killed_and_replaced(parts: Path) -> None:
    with Reader() as reader:
        reader.read_info(parts)
        (child,) = children()
        child.suspend()
        started = time.monotonic()
        with pytest.raises(FrameReadError, match=r"frame 1: took longer than 0\.5 s"):
            reader.read_frame(parts, 1, color_space="a", limits=Limits(seconds=0.5))
        assert time.monotonic() - started < 5
        assert not psutil.pid_exists(child.pid)
        assert reader.read_frame(parts, 2, color_space="a").number == 2
    assert children() == []


@posix
def test_a_dying_decoder_fails_its_frame_alone(parts: Path) -> None:
    with Reader() as reader:
        reader.read_info(parts)
        (child,) = children()
        child.suspend()  # so that the request is certain to be under way
        threading.Timer(0.2, child.kill).start()
        with pytest.raises(
            FrameReadError, match="frame 41: the decoder was ended by SIGKILL"
        ) as caught:
            reader.read_frame(parts, 41, color_space="a")
        assert caught.value.frame == 41
        assert reader.read_frame(parts, 42, color_space="a").number == 42


def test_threads_read_at_once(parts: Path) -> None:
    expected = formats.read_frame(parts, 1, color_space="a").pixels
    found: list[bool] = []

    def read(reader: Reader, number: int) -> None:
        frame = reader.read_frame(parts, number, color_space="a")
        found.append(frame.number == number and same_bits(frame.pixels, expected))

    with Reader() as reader:
        threads = [threading.Thread(target=read, args=(reader, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 4
    with pytest.raises(ValueError, match="closed"):
        reader.read_info(parts)


_PARENT = """
import sys, time, psutil
from pathlib import Path
from wetgate.io.sandbox import Reader
reader = Reader()
reader.read_info(Path(sys.argv[1]))
print(psutil.Process().children()[0].pid, flush=True)
time.sleep(60)
"""


@posix
def test_no_decoder_outlives_its_parent(parts: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(parts)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    decoder = int(parent.stdout.readline())
    assert psutil.pid_exists(decoder)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    give_up = time.monotonic() + 5
    while psutil.pid_exists(decoder) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert not psutil.pid_exists(decoder)


def claim(path: Path, width: int, height: int, compression: int = 3) -> None:
    """Write a header of 300 bytes that claims an image of any size."""
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"".join(c + b"\0" + struct.pack("<iBxxxii", 1, 0, 1, 1) for c in (b"B", b"G", b"R"))
    body = b"".join(
        make_exr.attribute(*a)
        for a in (
            (b"channels", b"chlist", channels + b"\0"),
            (b"compression", b"compression", bytes([compression])),
            (b"dataWindow", b"box2i", box),
            (b"displayWindow", b"box2i", box),
            (b"lineOrder", b"lineOrder", b"\0"),
            (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
            (b"screenWindowCenter", b"v2f", struct.pack("<2f", 0, 0)),
            (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
        )
    )
    path.write_bytes(b"\x76\x2f\x31\x01\x02\0\0\0" + body + b"\0" + bytes(64))


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (100_000, 100_000), (60_000, 60_000)])
def test_a_header_that_claims_too_much_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb.exr"
    claim(path, *size)
    with Reader() as reader, pytest.raises((UnsupportedImage, FrameReadError)):
        reader.read_frame(path, 1, color_space="a")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is not kept here")
def test_the_system_holds_a_decoder_to_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.exr"
    zeros = np.zeros((2000, 3000), "f2")
    make_exr.write(path, {"compression": make_exr.compression("RLE")}, {c: zeros for c in "RGB"})
    with Reader() as reader:
        with pytest.raises(FrameReadError) as caught:
            reader.read_frame(path, 1, color_space="a", limits=Limits(memory_mb=16))
        assert caught.value.path == path
        frame = reader.read_frame(path, 2, color_space="a")
        assert frame.pixels.shape == (2000, 3000, 3)


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_a_taken_over_decoder_cannot_name_a_function() -> None:
    for payload in (_Evil(), subprocess.Popen, np.load):
        with pytest.raises(pickle.UnpicklingError, match="may not come from a decoder"):
            wire.load_trusted_classes(pickle.dumps(payload))


@pytest.mark.parametrize("kind", ["parts", "attributes", "png", "tif"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    """Flip one to three bytes of the head; WETGATE_MUTANTS sets how often (300 a kind)."""
    source, path = tmp_path / f"source.{kind}", tmp_path / f"mutant.{kind}"
    if kind == "parts":
        make_exr.write_parts(source)
    elif kind == "attributes":
        pixels = make_exr.rgb(make_exr.smooth, (61, 47))
        make_exr.write(source, make_exr.every_attribute(), pixels)
    else:
        cv2.imwrite(str(source), np.full((8, 8, 3), 1000, "u2"))
    data = source.read_bytes()
    rng = np.random.default_rng(1)
    outcomes = {"read": 0, "refused": 0}
    with Reader(limits=Limits(seconds=10, memory_mb=2000, image_mb=256)) as reader:
        reader.read_frame(source, 1, color_space="a")
        (child,) = children()
        for _ in range(int(os.environ.get("WETGATE_MUTANTS", "300"))):
            mutant = bytearray(data)
            for at in rng.integers(4, min(len(data), 1500), rng.integers(1, 4)):
                mutant[at] = rng.integers(256)
            path.write_bytes(mutant)
            try:
                reader.read_frame(path, 1, color_space="a")
                outcomes["read"] += 1
            except (FrameReadError, UnsupportedImage) as error:
                assert "decoder" not in error.found and "took longer" not in error.found
                outcomes["refused"] += 1
        assert [c.pid for c in children()] == [child.pid]  # it never died
    assert outcomes["refused"] > 0
