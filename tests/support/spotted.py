"""Plates with spots that a small operator mends, and readers that share nothing with the engine.

DPX is read by its header and a shift of words, EXR by the OpenEXR library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.recipe import Recipe
from wetgate.render.events import JobReport
from wetgate.render.fix_sink import WrittenFixes
from wetgate.render.job import JobOptions, run_job

from support.plates import recipe, write_plate

W, H = 64, 32
FRAMES = range(1001, 1004)
PART = Box(3, 1, W - 2, H - 4)
Made = NDArray[Any]


@dataclass(frozen=True)
class Spot:
    x: int
    y: int
    width: int
    bright: bool

    @property
    def at(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + 1), slice(self.x, self.x + self.width)


def spots(number: int) -> list[Spot]:
    """One spot in every third row, away from the rim; bright and dark in turn."""
    rng = np.random.default_rng(number)
    return [
        Spot(int(rng.integers(4, W - 8)), y, int(rng.integers(1, 5)), k % 2 == 0)
        for k, y in enumerate(range(2, H - 2, 3))
    ]


def scene(number: int) -> NDArray[np.float32]:
    """The picture moves to the left by a px a frame, under spots of 1 and 0."""
    wide = np.random.default_rng(9).integers(100, 700, (H, W + 20, 3)) / 1023
    out = wide[:, number - 1000 : number - 1000 + W].astype(np.float32)
    for spot in spots(number):
        out[spot.at] = float(spot.bright)
    return out


def bright_scene(number: int) -> NDArray[np.float32]:
    """The same in light: from 0.0005 to 8, under spots of 60."""
    out = np.exp2(20 * scene(number) - 11).astype(np.float32)
    for spot in spots(number):
        out[spot.at] = 60.0 if spot.bright else 0.0
    return out


def run(plate: Path, out: Path, what: Recipe | None = None, **options: Any) -> JobReport:
    return run_job(JobOptions(plate=plate, out=out, recipe=what or recipe("mend"), **options))


def done(plate: Path, out: Path, what: Recipe | None = None, **options: Any) -> JobReport:
    report = run(plate, out, what, **options)
    assert report.exit_code == 0, [f.error for f in report.failed]
    return report


def dpx_codes(path: Path) -> Made:
    """10-bit RGB, one word a px, by the file's own header (SMPTE 268M)."""
    data = path.read_bytes()
    order = ">" if data[:4] == b"SDPX" else "<"
    (offset,) = struct.unpack(order + "I", data[4:8])
    width, height = struct.unpack(order + "II", data[772:780])
    (packing,) = struct.unpack(order + "H", data[804:806])
    assert (data[800], data[803], packing) == (50, 10, 1)
    words = np.frombuffer(data, order + "u4", width * height, offset).reshape(height, width)
    return np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], axis=-1)


def exr_planes(path: Path) -> dict[str, Made]:
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}


def exr_color(path: Path) -> Made:
    planes = exr_planes(path)
    assert all(planes[n].dtype == np.float16 for n in "RGB")
    return np.stack([planes[n] for n in "RGB"], axis=-1).view(np.uint16)


def sidecar(out: Path, number: int) -> dict[str, Made]:
    return exr_planes(out / "provenance" / f"provenance.{number:04d}.exr")


def tree(folder: Path) -> dict[str, bytes]:
    """All frames and provenance planes of an output, by name."""
    found = [*folder.glob("*.dpx"), *folder.glob("*.exr"), *folder.glob("provenance/*")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def write_decisions(path: Path, **lists: list[str]) -> None:
    path.write_text(json.dumps({"schema": "wetgate.decisions/1", "by": "a test", **lists}))


def grey(folder: Path, values: Mapping[str, NDArray[np.float32]]) -> Path:
    """The same picture for every frame, as EXR with these channels."""
    stacked = np.stack(list(values.values()), axis=-1).astype(np.float32)
    return write_plate(
        folder, FRAMES, suffix="exr", sample_type="half", channels=tuple(values),
        picture=lambda _: stacked,
    )  # fmt: skip


class Taken:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.by_frame: dict[int, WrittenFixes] = {}
        self.by_name: dict[int, str] = {}
        self.samples: dict[int, tuple[Made, Made]] = {}

    def take(self, written: WrittenFixes) -> None:
        self.by_frame[written.frame] = written
        self.samples[written.frame] = written.before(PART), written.after(PART)

    def named(self, frame: int, digest: str) -> None:
        self.by_name[frame] = digest
