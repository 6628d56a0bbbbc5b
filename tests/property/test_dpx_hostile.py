"""Damaged and hostile DPX and Cineon files: typed errors with facts, or the same bytes back."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from corpus.make_dpx import METHOD_A, PACKED, Spec, make
from wetgate.io import cineon
from wetgate.io.dpx import read_frame, read_info, write_frame
from wetgate.model.errors import FrameReadError, InputError, UnsupportedImage

MUTANTS = int(os.environ.get("WETGATE_DPX_MUTANTS", "5000"))

BASES = [
    make(spec)[0]
    for spec in (
        Spec(5, 3, 10, METHOD_A, (50,)),
        Spec(6, 3, 10, METHOD_A, (51,), "<", odd_fill=True),
        Spec(7, 3, 8, PACKED, (50, 6), user_bytes=64),
        Spec(5, 2, 12, PACKED, (100,), line_padding=4),
        Spec(5, 2, 16, PACKED, (1, 2, 3), "<"),
        Spec(4, 2, 32, PACKED, (52,)),
        Spec(5, 3, 10, METHOD_A, (50, 50, 6), trailing=9),
    )
]

# Where a header steers the reader, and the values that have broken readers before.
STEERING = [0, 4, 8, 16, 24, 28, 32, 768, 770, 772, 776] + [
    780 + 72 * element + at
    for element in range(3)
    for at in (0, 4, 20, 21, 22, 23, 24, 26, 28, 32, 36)
]
HOSTILE = [0, 1, 2, 3, 7, 8, 9, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 46341, 1 << 24,
           0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2047, 2048, 2049, 2100]  # fmt: skip


def mutant(rng: random.Random) -> bytes:
    """Change a few bytes of a good header, mostly where it matters, and sometimes the length."""
    data = bytearray(rng.choice(BASES))
    for _ in range(rng.randint(1, 5)):
        kind = rng.random()
        at = rng.choice(STEERING) if kind < 0.8 else rng.randrange(2048)
        if kind < 0.5:
            code = rng.choice("BHI")
            value = rng.choice(HOSTILE) & ((1 << 8 * struct.calcsize(code)) - 1)
            struct.pack_into(rng.choice("<>") + code, data, at, value)
        else:
            data[at] = rng.randrange(256)
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def test_header_mutants_give_typed_errors_or_the_same_bytes(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    rng = random.Random(20261105)
    source, target = tmp_path / "mutant.dpx", tmp_path / "out.dpx"
    accepted = 0
    for _ in range(MUTANTS):
        data = mutant(rng)
        source.write_bytes(data)
        try:
            read_info(source)
            frame = read_frame(source, 1, color_space="Raw")
        except InputError as error:
            assert error.path == source
            continue
        accepted += 1
        write_frame(frame, target)
        assert target.read_bytes() == data
    record_property("mutants", MUTANTS)
    record_property("accepted", accepted)
    assert MUTANTS * 0.05 < accepted < MUTANTS * 0.95


def test_every_truncation_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "cut.dpx"
    for data in (make(Spec(5, 3, odd_fill=True))[0], BASES[2], BASES[4]):
        for size in [*range(0, len(data), 53), 2047, 2048, 2049, len(data) - 1]:
            path.write_bytes(data[:size])
            with pytest.raises(FrameReadError) as caught:
                read_frame(path, 12, color_space="Raw")
            assert caught.value.frame == 12
            assert f"{size} bytes" in caught.value.found
            assert caught.value.expected is not None and "bytes" in caught.value.expected


@pytest.mark.parametrize(
    ("at", "code", "value", "words"),
    [
        (780 + 26, "H", 1, "run-length encoding"),
        (780 + 26, "H", 9, "encoding 9"),
        (780 + 23, "B", 1, "1-bit"),
        (780 + 23, "B", 64, "64-bit"),
        (780, "I", 1, "signed"),
        (780 + 20, "B", 150, "descriptor 150"),
        (780 + 20, "B", 9, "composite"),
        (780 + 24, "H", 5, "packing 5"),
    ],
)
def test_what_is_not_decoded_is_refused_by_name(
    at: int, code: str, value: int, words: str, tmp_path: Path
) -> None:
    data = bytearray(BASES[0])
    struct.pack_into(">" + code, data, at, value)
    path = tmp_path / "odd.dpx"
    path.write_bytes(data)
    with pytest.raises(UnsupportedImage, match=words):
        read_info(path)


@pytest.mark.parametrize(
    ("at", "code", "value", "words"),
    [
        (0, "I", 0x12345678, "magic"),
        (770, "H", 0, "0 image elements"),
        (770, "H", 9, "9 image elements"),
        (772, "I", 0, "0 x 3"),
        (780 + 28, "I", 100, "in the header"),
        (780 + 28, "I", 4_000_000_000, "truncated"),
        (780 + 32, "I", 1 << 31, "truncated"),
    ],
)
def test_contradictions_are_named(
    at: int, code: str, value: int, words: str, tmp_path: Path
) -> None:
    data = bytearray(BASES[0])
    struct.pack_into(">" + code, data, at, value)
    path = tmp_path / "odd.dpx"
    path.write_bytes(data)
    with pytest.raises(FrameReadError, match=words):
        read_frame(path, 1, color_space="Raw")


def test_overlapping_elements_are_refused(tmp_path: Path) -> None:
    data = bytearray(make(Spec(5, 2, 16, PACKED, (1, 2, 3)))[0])
    struct.pack_into(">I", data, 780 + 72 + 28, 2050)
    path = tmp_path / "overlap.dpx"
    path.write_bytes(data)
    with pytest.raises(FrameReadError, match="overlap"):
        read_frame(path, 1, color_space="Raw")


def test_published_hostile_files_are_refused(shared_data: Path) -> None:
    hostile = shared_data / "dpx" / "malformed"
    for name in ("bomb-46341.dpx", "crash-badusersize.dpx"):
        with pytest.raises(FrameReadError):
            read_frame(hostile / name, 1, color_space="Raw")
    for name in ("bomb-46341.cin", "broken_bitdepth.cin", "broken_bitdepth2.cin"):
        with pytest.raises(InputError):
            cineon.read_frame(hostile / name, 1, color_space="Raw")
