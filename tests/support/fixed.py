"""Restored directories with fixes on record, made without an operator, and plain readers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from wetgate.io.atomic import digest_file
from wetgate.io.formats import read_frame, write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.frame import SampleType
from wetgate.operators.fixes import Fix, Provenance
from wetgate.render.fixes.entry import JobNote
from wetgate.render.fixes.journal import FixJournal
from wetgate.render.fixing import StepFix
from wetgate.render.manifest import CONTROL, FrameRecord, Journal, fold

from support.plates import write_plate

WIDTH, HEIGHT = 96, 64
Raw = NDArray[np.uint16]


@dataclass
class FakeWritten:
    """A written frame as the engine would describe it."""

    frame: int
    file: str
    digest: str
    source_file: str
    source_digest: str
    fixes: tuple[StepFix, ...]
    made: NDArray[np.uint32]
    classes: NDArray[np.uint8]
    origins: NDArray[np.float32]
    scan: NDArray[np.generic]
    result: NDArray[np.generic]
    sample_type: SampleType
    only_fixes: bool = True
    not_comparable: str = ""
    channels: tuple[str, ...] = ("R", "G", "B")

    def before(self, box: Box) -> NDArray[np.generic]:
        return self.scan[box.y0 : box.y1, box.x0 : box.x1]

    def after(self, box: Box) -> NDArray[np.generic]:
        return self.result[box.y0 : box.y1, box.x0 : box.x1]


def dpx10(path: Path) -> Raw:
    """Read a big-endian 10-bit RGB DPX, three samples a word from the top bit (method A)."""
    data = path.read_bytes()
    assert data[:4] == b"SDPX"
    offset = int.from_bytes(data[4:8], "big")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (772, 776))
    words = np.frombuffer(data, ">u4", width * height, offset).reshape(height, width)
    return np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], -1).astype(np.uint16)


def exr_half(path: Path) -> Raw:
    """Read the bits of R, G and B by the OpenEXR library."""
    part = OpenEXR.File(str(path), separate_channels=True).parts[0]
    return np.stack([part.channels[n].pixels.view(np.uint16) for n in "RGB"], -1)


def raw(path: Path) -> Raw:
    return dpx10(path) if path.suffix == ".dpx" else exr_half(path)


@dataclass
class FixedOut:
    """A plate, an output of it, and what was done where.

    Attributes:
        pixels: by id of a fix, rows and columns that it owns.
    """

    plate: Path
    out: Path
    pixels: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = field(default_factory=dict)

    def name(self, number: int) -> str:
        return next(p.name for p in self.plate.iterdir() if f".{number:04d}." in p.name)

    def scan(self, number: int) -> Raw:
        return raw(self.plate / self.name(number))

    def result(self, number: int, folder: Path | None = None) -> Raw:
        return raw((folder or self.out) / self.name(number))


def make_fixed(
    folder: Path,
    numbers: Sequence[int],
    *,
    suffix: str = "dpx",
    each: int = 20,
    seed: int = 1,
    only_fixes: bool = True,
    operator: str = "dirt",
    kind: str = "dust",
) -> FixedOut:
    """Write a plate and an output of it with `each` random fixes a frame, all on record.

    Args:
        only_fixes: False changes pixels outside of the fixes too.
    """
    kind_of: SampleType = "uint10" if suffix == "dpx" else "half"
    plate = write_plate(
        folder / "in", numbers, width=WIDTH, height=HEIGHT, suffix=suffix, sample_type=kind_of
    )
    made = FixedOut(plate, folder / "out")
    (made.out / CONTROL).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in numbers:
        write_fixed(made, number, each, rng, only_fixes=only_fixes, operator=operator, kind=kind)
    first = plate / made.name(numbers[0])
    pattern = first.with_name("plate.%04d" + first.suffix)
    call = {"plate": str(pattern), "source_directory": str(plate)}
    fold(made.out / CONTROL, {"job": {"call": call}})
    return made


def write_fixed(
    made: FixedOut,
    number: int,
    each: int,
    rng: np.random.Generator,
    *,
    only_fixes: bool = True,
    operator: str = "dirt",
    kind: str = "dust",
    journal: bool = True,
) -> FakeWritten:
    """Write one frame: the same order of things as in a render."""
    source = made.plate / made.name(number)
    frame = read_frame(source, number, color_space="unknown")
    height, width, _ = frame.pixels.shape
    numbers = np.zeros((height, width), np.uint32)
    boxes = []
    for at in range(1, each + 1):
        w, h = rng.integers(1, 9, 2)
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        own = rng.random((h, w)) < 0.8
        own[0, 0] = True
        numbers[y : y + h, x : x + w][own] = at
        boxes.append(Box(int(x), int(y), int(x + w), int(y + h)))
    pixels = frame.pixels.copy()
    pixels[numbers > 0] = rng.random((int((numbers > 0).sum()), 3)).astype(np.float32)
    if not only_fixes:
        pixels[0, :] = 0.25
    target = made.out / source.name
    temp = target.with_name(target.name + ".part")
    options = WriteOptions(file_name=target.name)
    write_frame(frame.replace_pixels(pixels, color_space="unknown"), temp, options=options)
    scan = raw(source)
    result = dpx10(temp) if source.suffix == ".dpx" else exr_half(temp)
    changed = (scan != result).any(-1)
    boxes.append(Box(0, 0, 1, 1))  # the last one is found and left alone
    numbers[~changed] = 0
    anchors = set()
    records = []
    for at, box in enumerate(boxes, 1):
        rows, columns = np.nonzero(numbers == at)
        anchor = (int(columns[0]), int(rows[0])) if len(rows) else (box.x0, box.y0)
        while anchor in anchors:
            anchor = (anchor[0], anchor[1] + 1000)
        anchors.add(anchor)
        fix = Fix(
            number=at,
            frame=number,
            anchor=anchor,
            kind=kind,
            box=box,
            area=box.area,
            polarity=-1,
            confidence=round(float(rng.random()), 3),
            applied=bool(len(rows)),
            why="" if len(rows) else "below the threshold",
            provenance=Provenance.BORROWED if len(rows) else Provenance.UNTOUCHED,
            source=number + 1,
            offset=(0.5, -1.0),
            facts={"rim": 0.25, "spike": 7.0},
        )
        records.append(StepFix(0, operator, at, fix))
        if len(rows):
            made.pixels[f"{operator}-{fix.id}"] = (rows, columns)
    half = source.suffix == ".exr"
    written = FakeWritten(
        frame=number,
        file=target.name,
        digest=digest_file(temp),
        source_file=source.name,
        source_digest=digest_file(source),
        fixes=tuple(records),
        made=numbers,
        classes=np.where(numbers > 0, 4, np.where(changed, 3, 0)).astype(np.uint8),
        origins=np.where(numbers[..., None] > 0, np.float32([1, 0.5, -1]), np.float32(0)),
        scan=scan.view(np.float16) if half else scan,
        result=result.view(np.float16) if half else result,
        sample_type="half" if half else "uint10",
        only_fixes=only_fixes,
    )
    sink = FixJournal(
        made.out / CONTROL,
        JobNote(write=options, context="c", recipe="r", thresholds=(0.5,), versions=(1,)),
    )
    total = height * width
    if journal:
        sink.take(written)
    classes = {
        str(mark): float((written.classes == mark).sum() / total)
        for mark in (3, 4)
        if (written.classes == mark).any()
    }
    Journal(made.out / CONTROL).append(
        FrameRecord(
            frame=number,
            status="written",
            file=target.name,
            digest=written.digest,
            nbytes=temp.stat().st_size,
            source_file=source.name,
            source_digest=written.source_digest,
            source_bytes=source.stat().st_size,
            context="c",
            recipe="r",
            changed=float(changed.sum() / total),
            classes=classes,
        )
    )
    temp.replace(target)
    sink.named(number, written.digest)
    return written


def latest(out: Path) -> dict[int, dict[str, object]]:
    """The manifest's last line of every frame, read without the product."""
    lines = (out / CONTROL / "manifest.jsonl").read_text("utf-8").splitlines()
    return {record["frame"]: record for record in map(json.loads, lines)}
