"""The page on the journal is enough: its tables name every key, and a fix is taken back by hand."""

from __future__ import annotations

import ast
import json
import re
import struct
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
from support.fixed import make_fixed
from wetgate.render.fixes.lines import ChangeLine, FixLine, FrameLine
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.tiles import Tiles

PAGE = Path(__file__).parents[2] / "engine/wetgate/render/fixes/README.md"


def keys_of(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    part = PAGE.read_text("utf-8").split(heading)[1]
    table = re.search(r"^\|.+?\n(?!\|)", part, re.M | re.S)
    assert table is not None
    rows = table[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize(
    ("heading", "line", "implied"),
    [
        ('### `"event":"fix"`', FixLine, set()),
        ('### `"event":"frame"`', FrameLine, set()),
        ('### `"event":"revert"`', ChangeLine, {"event"}),
        ("## Tile data", Tiles, set()),
    ],
)
def test_the_page_names_every_key(heading: str, line: type, implied: set[str]) -> None:
    assert keys_of(heading) == {field.name for field in fields(line)} - implied


def read_array(data: bytes) -> tuple[str, tuple[int, ...], bytes]:
    """Read an .npy as its documents describe it: type, shape, and the bytes of the numbers."""
    assert data[:6] == b"\x93NUMPY"
    assert data[6] == 1
    (length,) = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10 : 10 + length].decode("latin-1"))
    assert header["fortran_order"] is False
    return header["descr"], header["shape"], data[10 + length :]


def numbers(archive: zipfile.ZipFile, name: str, kind: str) -> list[int]:
    descr, shape, data = read_array(archive.read(f"{name}.npy"))
    assert descr == {"i": "<i4", "q": "<i8", "H": "<u2"}[kind]
    count = 1
    for side in shape:
        count *= side
    return list(struct.unpack(f"<{count}{kind}", data))


def test_a_fix_is_taken_back_by_hand(tmp_path: Path) -> None:
    """With no more than the page, ZIP, and the layout of a 10-bit DPX."""
    made = make_fixed(tmp_path, [1001])
    name = max(made.pixels, key=lambda n: len(made.pixels[n][0]))
    path = made.out / made.name(1001)
    data = bytearray(path.read_bytes())

    lines = [json.loads(t) for t in (made.out / ".wetgate/fixes.jsonl").read_text().splitlines()]
    fix = next(line for line in lines if line["event"] == "fix" and line["id"] == name)
    frame = next(line for line in lines if line["event"] == "frame")
    with zipfile.ZipFile(made.out / ".wetgate" / frame["tiles"]) as archive:
        assert b"first[i + 1]" in archive.read("about.txt")
        at = numbers(archive, "number", "i").index(fix["number"])
        first = numbers(archive, "first", "q")
        x, y = numbers(archive, "x", "i"), numbers(archive, "y", "i")
        before = numbers(archive, "before", "H")
    offset, width = struct.unpack_from(">I", data, 4)[0], struct.unpack_from(">I", data, 772)[0]
    for i in range(first[at], first[at + 1]):
        red, green, blue = before[3 * i : 3 * i + 3]
        word = red << 22 | green << 12 | blue << 2
        struct.pack_into(">I", data, offset + 4 * (y[i] * width + x[i]), word)
    assert first[at + 1] - first[at] == fix["pixels"]

    change_fixes(made.out, Request(ids=[name]))
    assert path.read_bytes() == bytes(data)
