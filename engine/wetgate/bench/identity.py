"""Whether a recipe that does nothing changes nothing, file by file, judged by another reader."""

from __future__ import annotations

import filecmp
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import OpenEXR

from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.io.atomic import digest_file
from wetgate.model.errors import InputError, UnsupportedImage, UsageError
from wetgate.recipe import Recipe
from wetgate.render.job import JobOptions, plan_job, run_job

_IDENTITY = Recipe(name="identity", steps=())
_WORDS = ("name", "chunkCount", "version")
"""Header values that the library writes by itself and that are none of the picture's."""


@dataclass(slots=True)
class _Tally:
    """What became of the files of one format."""

    files: int = 0
    same_bytes: int = 0
    same_pixels: int = 0
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Files that were written."""
        return self.files - self.unreadable - self.refused.total()


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Put every DPX and EXR below `data` through the identity recipe and compare the files.

    DPX must come back byte by byte. EXR is read again by the OpenEXR library: every sample in
    its own type bit by bit, every header value equal or on the list of losses of the plan.

    Args:
        quick: one file in eight.
        data: directory of DPX and EXR files, looked through to its ends.

    Raises:
        UsageError: without files.
    """
    paths = sorted(_pictures(data)) if data is not None else []
    if not paths:
        raise UsageError(
            "no DPX or EXR files", path=data, remedy="pass a directory of them with --data"
        )
    paths = paths[::8] if quick else paths
    root = data or Path()
    tallies = {".dpx": _Tally(), ".exr": _Tally()}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            _try(path, root, Path(folder) / f"{number}", tallies[path.suffix.lower()])
    rows = [*_dpx_rows(tallies[".dpx"]), *_exr_rows(tallies[".exr"])]
    return BenchTable(
        name="identity",
        rows=tuple(rows),
        data={str(root.name): digest_bytes(*(digest_file(p).encode() for p in paths))},
        versions=package_versions(("wetgate", "OpenImageIO", "OpenEXR")),
        machine=machine_facts(),
    )


def _pictures(data: Path) -> Iterator[Path]:
    return (p for p in data.rglob("*") if p.is_file() and p.suffix.lower() in (".dpx", ".exr"))


def _try(path: Path, root: Path, out: Path, tally: _Tally) -> None:
    tally.files += 1
    options = JobOptions(plate=path, out=out, recipe=_IDENTITY, threads=1)
    label = path.relative_to(root).as_posix()
    try:
        losses = plan_job(options).losses
        report = run_job(options)
    except UnsupportedImage as error:
        tally.refused[f"{label}: {error.found}"] += 1
        return
    except InputError:
        tally.unreadable += 1
        return
    if any(frame.exit_code != InputError.exit_code for frame in report.failed):
        tally.wrong += [f"{label}: {frame.error}" for frame in report.failed]
        return
    if report.failed:  # the header was fine and the pixels are not
        tally.unreadable += 1
        return
    target = out / path.name
    tally.same_bytes += filecmp.cmp(path, target, shallow=False)
    tally.losses.update(re.sub(r"^part \S+: ", "", text) for text in losses)
    if path.suffix.lower() == ".exr":
        _judge_exr(path, target, label, losses, tally)
    elif not filecmp.cmp(path, target, shallow=False):
        tally.wrong.append(label)
    target.unlink()


def _judge_exr(
    path: Path, target: Path, label: str, losses: tuple[str, ...], tally: _Tally
) -> None:
    samples, values = exr_differences(path, target)
    tally.same_pixels += not samples
    said = " ".join(losses)
    unsaid = [name for name in values if not _is_said(name, said)]
    tally.kept += not unsaid
    tally.wrong += [f"{label}: {what}" for what in (*samples, *unsaid)]


def _is_said(name: str, losses: str) -> bool:
    """Whether the list of losses names a header value, or the tree of levels it belongs to."""
    if name == "tiles":
        return "levels: only the full resolution" in losses
    if name in ("compression", "dwaCompressionLevel"):
        return "written with zip" in losses
    return name in losses


def exr_differences(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """Return the channels and the header values that differ, by the OpenEXR library."""
    one = OpenEXR.File(str(first), separate_channels=True).parts
    two = OpenEXR.File(str(second), separate_channels=True).parts
    if len(one) != len(two):
        return [f"{len(one)} parts became {len(two)}"], []
    samples, values = [], []
    for index, (was, now) in enumerate(zip(one, two, strict=True)):
        for name in sorted(set(was.channels) | set(now.channels)):
            here, there = was.channels.get(name), now.channels.get(name)
            if here is None or there is None or not _same(here.pixels, there.pixels):
                samples.append(f"part {index}, {name}")
        for name in sorted((set(was.header) | set(now.header)) - {"channels", *_WORDS}):
            if _text(was.header.get(name)) != _text(now.header.get(name)):
                values.append(name)
    return samples, values


def _same(here: object, there: object) -> bool:
    a, b = np.asarray(here), np.asarray(there)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _text(value: object) -> str:
    pixels = getattr(value, "pixels", None)  # previews print their size only
    return repr(value) if pixels is None else repr(pixels.tolist())


def _dpx_rows(tally: _Tally) -> Iterator[BenchRow]:
    if tally.files:
        yield _row("DPX, byte by byte", tally.same_bytes, tally, "; ".join(tally.wrong[:8]))
        yield from _refusals("DPX", tally)


def _exr_rows(tally: _Tally) -> Iterator[BenchRow]:
    if tally.files:
        yield _row("EXR, every sample", tally.same_pixels, tally, "; ".join(tally.wrong[:8]))
        losses = "; ".join(f"{text} ({n})" for text, n in sorted(tally.losses.items()))
        yield _row("EXR, header kept or listed", tally.kept, tally, f"listed: {losses}")
        yield from _refusals("EXR", tally)


def _row(case: str, count: int, tally: _Tally, note: str) -> BenchRow:
    return BenchRow(
        case=case,
        wetgate=count,
        peer=tally.done,
        peer_name="files written",
        goal="all",
        reached=count == tally.done,
        unit="files",
        note=note,
        extra={"files": tally.files, "byte for byte": tally.same_bytes},
    )


def _refusals(name: str, tally: _Tally) -> Iterator[BenchRow]:
    if tally.refused:
        note = "; ".join(sorted(tally.refused))
        count = tally.refused.total()
        yield BenchRow(case=f"{name}, refused by name", wetgate=count, unit="files", note=note)
    if tally.unreadable:
        yield BenchRow(case=f"{name}, damaged, refused", wetgate=tally.unreadable, unit="files")
