"""Whether a repaired shot is the scan wherever no fix is on record, judged by other readers.

Dirty clips are restored with the recipe `film-clean-only` under the policy `archival`, as 10-bit
DPX of log codes and as half EXR of scene-linear light. What was written is read by readers that
share nothing with the engine: DPX by the words of SMPTE 268M, EXR by the OpenEXR library. Then
fixes are taken back one by one, the output is made again from its record, and some fixes are
rejected.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import DirtyClip, dirty_clip, plates
from wetgate.bench.material import data_folder
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.io.exr_planes import encode_planes, write_planes
from wetgate.io.formats import write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import VerifyFailed
from wetgate.model.frame import Frame, SourceHeader
from wetgate.operators.base import Provenance
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.replay import replay
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import Verdicts, save_verdicts
from wetgate.render.job import JobOptions, run_job

RECIPE = "film-clean-only"
FRAMES = 200
REVERTED = 100
REJECTED = 20
_STRENGTHS = ("medium", "heavy", "light")
_SEED = 5

Samples = NDArray[Any]


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Restore at least 200 frames, half of each format, and hold every one to its record.

    Args:
        quick: two clips, one of each format.
        data: folder of published pictures; without them the generated plates are used.
    """
    counts = {kind: _Count() for kind in ("DPX 10-bit", "EXR half")}
    undone, again = _Undone(), _Again()
    digests: list[bytes] = []
    wanted = 2 if quick else FRAMES
    with tempfile.TemporaryDirectory(prefix="wetgate-bench-") as scratch:
        for at, (kind, clip) in enumerate(_clips(data)):
            if sum(count.frames for count in counts.values()) >= wanted and at >= 2:
                break
            shot = _restore(Path(scratch) / f"{at}", kind, clip)
            digests.append(clip.name.encode())
            for number in clip.frames:
                counts[kind].add(shot, number)
            again.add(shot, Path(scratch) / f"{at}", REJECTED - again.rejected)
            share = REVERTED if quick else -(-REVERTED * len(clip.frames) // FRAMES)
            undone.add(shot, min(share, REVERTED - undone.asked))
    rows = [row for kind, count in counts.items() for row in count.rows(kind)]
    return BenchTable(
        name="custody",
        rows=(*rows, *undone.rows(), *again.rows()),
        data={"clips": digest_bytes(*digests)},
        versions=package_versions(("wetgate", "numpy", "OpenEXR")),
        machine=machine_facts(),
    )


def _clips(data: Path | None) -> Iterator[tuple[str, DirtyClip]]:
    """Yield clips, DPX and EXR in turn, each of other dirt."""
    found, _ = plates(data_folder(data))
    kinds = ("DPX 10-bit", "EXR half")
    for round_, strength in enumerate(_STRENGTHS * 4):
        for at, plate in enumerate(found):
            yield kinds[(at + round_) % 2], dirty_clip(plate, strength, _SEED + round_)


@dataclass(frozen=True, slots=True)
class _Shot:
    """A clip on disk, and what became of it."""

    plate: Path
    out: Path
    suffix: str
    space: str

    def source(self, number: int) -> Samples:
        return read_samples(self.plate / f"scan.{number}.{self.suffix}")

    def made(self, number: int) -> Samples:
        return read_samples(self.out / f"scan.{number}.{self.suffix}")

    def planes(self, number: int) -> Mapping[str, Samples]:
        return _exr_planes(self.out / "provenance" / f"provenance.{number}.exr")

    def options(self, out: Path, **more: Any) -> JobOptions:
        return JobOptions(
            plate=self.plate, out=out, recipe=RECIPE, input_space=self.space,
            policy="archival", **more,
        )  # fmt: skip


def _restore(folder: Path, kind: str, clip: DirtyClip) -> _Shot:
    dpx = kind.startswith("DPX")
    suffix, space = ("dpx", "ACEScct") if dpx else ("exr", "ACEScg")
    plate = folder / "scan"
    plate.mkdir(parents=True)
    for number, damaged in clip.frames.items():
        path = plate / f"scan.{number}.{suffix}"
        if dpx:
            _write_dpx(path, number, damaged.pixels)
        else:
            _write_exr(path, from_acescct(damaged.pixels))
    shot = _Shot(plate, folder / "out", suffix, space)
    report = run_job(shot.options(shot.out))
    if report.failed:
        raise VerifyFailed(f"{clip.name}: {report.failed[0].error}", path=shot.out)
    return shot


def _write_dpx(path: Path, number: int, pixels: NDArray[np.float32]) -> None:
    codes = np.clip(np.rint(pixels * np.float32(1023)), 0, 1023).astype(np.float32)
    height, width, _ = pixels.shape
    box = Box.of_size(width, height)
    frame = Frame(
        number=number,
        pixels=codes / np.float32(1023),
        channels=("R", "G", "B"),
        data_window=box,
        display_window=box,
        color_space="ACEScct",
        sample_type="uint10",
        header=SourceHeader(format="dpx"),
    )
    write_frame(frame, path, options=WriteOptions(format="dpx", file_name=path.name))


def _write_exr(path: Path, light: NDArray[np.float32]) -> None:
    box = Box.of_size(light.shape[1], light.shape[0])
    half = {name: light[..., i].astype(np.float16) for i, name in enumerate("RGB")}
    write_planes(path, encode_planes(half, data_window=box, display_window=box))


def from_acescct(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scene-linear light.

    Source: S-2016-001, ACEScct, equation for decoding.
    """
    x = codes.astype(np.float64)
    light = np.where(
        x > 0.155251141552511,
        np.exp2(x * 17.52 - 9.72),
        (x - 0.0729055341958355) / 10.5402377416545,
    )
    return light.astype(np.float32)


def read_samples(path: Path) -> Samples:
    """Return `(h, w, 3)` codes of a 10-bit RGB DPX, or bits of the colors of a half EXR.

    Raises:
        VerifyFailed: another kind of file.
    """
    if path.suffix == ".exr":
        planes = _exr_planes(path)
        return np.stack([planes[name].view(np.uint16) for name in "RGB"], axis=-1)
    data = path.read_bytes()
    order = ">" if data[:4] == b"SDPX" else "<"
    (offset,) = struct.unpack(order + "I", data[4:8])
    width, height = struct.unpack(order + "II", data[772:780])
    (packing,) = struct.unpack(order + "H", data[804:806])
    if (data[800], data[803], packing) != (50, 10, 1):
        raise VerifyFailed("is no 10-bit RGB DPX of filled words", path=path)
    words = np.frombuffer(data, order + "u4", width * height, offset).reshape(height, width)
    return np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], axis=-1)


def _exr_planes(path: Path) -> dict[str, Samples]:
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: np.asarray(channel.pixels) for name, channel in file.channels().items()}


def _differs(a: Samples, b: Samples) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (a != b).any(axis=-1)
    return found


@dataclass(slots=True)
class _Count:
    """Pixels of the frames of one format."""

    frames: int = 0
    pixels: int = 0
    outside: int = 0
    stray: int = 0
    silent: int = 0
    inferred: int = 0
    borrowed: int = 0
    whole: int = 0
    found: int = 0

    def add(self, shot: _Shot, number: int) -> None:
        source, made, planes = shot.source(number), shot.made(number), shot.planes(number)
        differs, in_fix = _differs(source, made), planes["fix"] > 0
        self.frames += 1
        self.pixels += differs.size
        self.outside += int(np.count_nonzero(~in_fix))
        self.stray += int(np.count_nonzero(differs & ~in_fix))
        self.silent += int(np.count_nonzero(differs != (planes["class"] > 0)))
        self.inferred += int(np.count_nonzero(planes["class"] == Provenance.INFERRED))
        y, x = np.nonzero(planes["class"] == Provenance.BORROWED)
        self.borrowed += len(y)
        dx, dy = planes["offset.x"][y, x], planes["offset.y"][y, x]
        straight = (dx == np.rint(dx)) & (dy == np.rint(dy))
        self.whole += int(np.count_nonzero(straight))
        for other in np.unique(planes["source"][y, x]).astype(int).tolist():
            there = shot.source(other)
            mine = straight & (planes["source"][y, x] == other)
            rows = np.clip(y[mine] + dy[mine].astype(int), 0, there.shape[0] - 1)
            columns = np.clip(x[mine] + dx[mine].astype(int), 0, there.shape[1] - 1)
            same = (there[rows, columns] == made[y[mine], x[mine]]).all(axis=-1)
            self.found += int(np.count_nonzero(same))

    def rows(self, kind: str) -> list[BenchRow]:
        if not self.frames:
            return []
        changed = self.pixels - self.outside
        return [
            _zero(
                f"{kind}: pixels that differ outside of every fix",
                self.stray,
                f"{self.frames} frames, {self.outside} pixels outside, {changed} in a fix",
            ),
            _zero(f"{kind}: pixels whose class is not what the samples say", self.silent),
            _zero(f"{kind}: pixels of class 5", self.inferred),
            BenchRow(
                case=f"{kind}: borrowed from whole px away with the very samples",
                wetgate=100 * self.found / max(1, self.whole),
                unit="%",
                note=f"{self.borrowed} borrowed pixels, {self.whole} of them from whole px away; "
                "the rest of these are blended at the edge of a fix, offset in density or "
                "regrained",
            ),
        ]


def _zero(case: str, count: int, note: str = "") -> BenchRow:
    return BenchRow(
        case=case, wetgate=count, goal="0", reached=count == 0, unit="pixels", note=note
    )


def _all(case: str, count: int, total: int, unit: str, note: str = "") -> BenchRow:
    return BenchRow(
        case=case, wetgate=count, peer=total, peer_name="asked for", goal="all",
        reached=count == total, unit=unit, note=note,
    )  # fmt: skip


@dataclass(slots=True)
class _Undone:
    """Fixes taken back, each alone."""

    asked: int = 0
    exact: int = 0

    def add(self, shot: _Shot, count: int) -> None:
        chosen = _some(shot, count)
        for fix in chosen:
            before, source = shot.made(fix.frame), shot.source(fix.frame)
            in_fix = shot.planes(fix.frame)["fix"] == fix.number
            change_fixes(shot.out, Request(ids=(fix.id,)))
            want = np.where(in_fix[..., None], source, before)
            self.asked += 1
            self.exact += np.array_equal(shot.made(fix.frame), want)
        if chosen:
            change_fixes(shot.out, Request(ids=tuple(fix.id for fix in chosen), apply=True))

    def rows(self) -> list[BenchRow]:
        case = "revert: the scan's samples there, and nothing else changed"
        return [_all(case, self.exact, self.asked, "fixes")] if self.asked else []


@dataclass(slots=True)
class _Again:
    """Outputs made again, as they are and with some fixes rejected."""

    frames: int = 0
    same: int = 0
    rejected: int = 0
    missed: int = 0
    beneath: int = 0
    ways: set[str] = field(default_factory=set)

    def add(self, shot: _Shot, folder: Path, rejects: int) -> None:
        report = replay(shot.out, folder / "again")
        self.ways.add(report.way)
        self.frames += len(report.frames)
        self.same += sum(frame.verdict == "same" for frame in report.frames)
        fixes = _some(shot, min(4, rejects))
        if not fixes:
            return
        verdicts = folder / "decisions.json"
        save_verdicts(verdicts, Verdicts(accepted=frozenset(), rejected=_ids(fixes)))
        other = _Shot(shot.plate, folder / "decided", shot.suffix, shot.space)
        run_job(other.options(other.out, decisions=verdicts))
        self.rejected += len(fixes)
        for number in open_restored(shot.out).numbers:
            want = shot.made(number)
            of_frame = [fix.number for fix in fixes if fix.frame == number]
            gone = np.isin(shot.planes(number)["fix"], of_frame)
            want[gone] = shot.source(number)[gone]
            # Beneath a fix of one step may lie one of the step before, which shows again.
            under = gone & (other.planes(number)["fix"] > 0)
            self.beneath += int(np.count_nonzero(under))
            self.missed += int(np.count_nonzero(_differs(other.made(number), want) & ~under))

    def rows(self) -> list[BenchRow]:
        if not self.frames:
            return []
        ways = f"from the {' and the '.join(sorted(self.ways))}"
        made = [_all("replay: the same file", self.same, self.frames, "frames", ways)]
        if self.rejected:
            case = (
                f"{self.rejected} fixes rejected: pixels that are not the scan's there, or change"
            )
            note = f"{self.beneath} pixels show the fix of an earlier step beneath a rejected one"
            made.append(_zero(case, self.missed, note))
        return made


def _some(shot: _Shot, count: int) -> Sequence[FixLine]:
    """Choose fixes that changed something, the same ones every time."""
    known = open_restored(shot.out).all_fixes()
    made = [known[name] for name in sorted(known) if known[name].pixels]
    rng = np.random.default_rng(_SEED)
    return [made[at] for at in rng.permutation(len(made))[: max(0, count)]]


def _ids(fixes: Sequence[FixLine]) -> frozenset[str]:
    return frozenset(fix.id for fix in fixes)
