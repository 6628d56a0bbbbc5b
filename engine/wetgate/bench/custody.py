"""Whether a repaired shot is the scan wherever no fix is on record, judged by other readers.

Clips with dirt and scratches are restored with the recipe `film-clean-only` under the policy
`archival`, as 10-bit DPX of log codes and as half EXR of scene-linear light. What was written is
read by readers that share nothing with the engine: DPX by the words of SMPTE 268M, EXR by the
OpenEXR library. Then fixes are taken back one by one, the output is made again from its record,
and fixes of every step are rejected, above all scratches that dirt lies on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wetgate.bench.custody_shots import SEED, Shot, clips, differ_at, restore
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.model.box import Box
from wetgate.operators.base import Provenance
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.replay import replay
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import Verdicts, save_verdicts
from wetgate.render.job import run_job

FRAMES = 200
REVERTED = 100
REJECTED = 20
"""Of each step."""
_REJECTED_AT_ONCE = 4


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
        for at, (kind, clip) in enumerate(clips(data)):
            if sum(count.frames for count in counts.values()) >= wanted and at >= 2:
                break
            shot = restore(Path(scratch) / f"{at}", kind, clip)
            digests.append(clip.name.encode())
            for number in clip.frames:
                counts[kind].add(shot, number)
            again.add(shot, Path(scratch) / f"{at}")
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

    def add(self, shot: Shot, number: int) -> None:
        source, made, planes = shot.source(number), shot.made(number), shot.planes(number)
        differs, in_fix = differ_at(source, made), planes["fix"] > 0
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
                "regrained, or lie on a repair of the step before",
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

    def add(self, shot: Shot, count: int) -> None:
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
    """Outputs made again, as they are and with some fixes rejected.

    Attributes:
        rejected: how many fixes of each step. crossed: those of them with another fix across.
        missed: pixels that are not what the verdicts alone would make of the first output.
        unlike: frames in which `revert` of the same fixes left other samples or planes.
    """

    frames: int = 0
    same: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    crossed: int = 0
    missed: int = 0
    held: int = 0
    unlike: int = 0
    ways: set[str] = field(default_factory=set)

    def add(self, shot: Shot, folder: Path) -> None:
        report = replay(shot.out, folder / "again")
        self.ways.add(report.way)
        self.frames += len(report.frames)
        self.same += sum(frame.verdict == "same" for frame in report.frames)
        fixes = self._chosen(shot)
        if not fixes:
            return
        verdicts = folder / "decisions.json"
        save_verdicts(verdicts, Verdicts(accepted=frozenset(), rejected=_ids(fixes)))
        other = Shot(shot.plate, folder / "decided", shot.suffix, shot.space)
        measured = shot.out / ".wetgate" / "analysis.json"
        run_job(other.options(other.out, decisions=verdicts, analysis_path=measured))
        back = Shot(shot.plate, folder / "back", shot.suffix, shot.space)
        shutil.copytree(shot.out, back.out)
        change_fixes(back.out, Request(ids=tuple(fix.id for fix in fixes)))
        for number in open_restored(shot.out).numbers:
            want = shot.made(number)
            of_frame = [fix.number for fix in fixes if fix.frame == number]
            gone = np.isin(shot.planes(number)["fix"], of_frame)
            want[gone] = shot.source(number)[gone]
            self.missed += int(np.count_nonzero(differ_at(other.made(number), want)))
            self.held += 1
            self.unlike += not _agree(other, back, number)

    def _chosen(self, shot: Shot) -> list[FixLine]:
        """Return fixes of each step to reject, first those that another fix lies across."""
        chosen: list[FixLine] = []
        found = _some(shot, None)
        beside: dict[int, list[FixLine]] = {}
        for fix in found:
            beside.setdefault(fix.frame, []).append(fix)
        for step in sorted({fix.operator for fix in found}):
            mine = [fix for fix in found if fix.operator == step]
            mine.sort(key=lambda fix: not is_crossed(fix, beside[fix.frame]))
            mine = mine[: min(_REJECTED_AT_ONCE, REJECTED - self.rejected[step])]
            self.rejected[step] += len(mine)
            self.crossed += sum(is_crossed(fix, beside[fix.frame]) for fix in mine)
            chosen += mine
        return chosen

    def rows(self) -> list[BenchRow]:
        if not self.frames:
            return []
        ways = f"from the {' and the '.join(sorted(self.ways))}"
        made = [_all("replay: the same file", self.same, self.frames, "frames", ways)]
        total = self.rejected.total()
        if total:
            case = f"{total} fixes rejected: pixels that are not the scan's there, or change"
            kinds = ", ".join(f"{count} of {step}" for step, count in self.rejected.items())
            note = f"{kinds}; {self.crossed} with a fix of another step across, {self.held} frames"
            made.append(_zero(case, self.missed, note))
            case = "the same fixes reverted: the same samples, classes, fixes and origins"
            made.append(_all(case, self.held - self.unlike, self.held, "frames"))
        return made


def is_crossed(fix: FixLine, fixes: Sequence[FixLine]) -> bool:
    """Whether a fix of another step reaches into the box of a fix.

    Args:
        fixes: of the same frame.
    """
    box = Box(*fix.box)
    return any(
        other.operator != fix.operator and not Box(*other.box).intersect(box).is_empty
        for other in fixes
    )


def _agree(one: Shot, other: Shot, number: int) -> bool:
    if differ_at(one.made(number), other.made(number)).any():
        return False
    mine, theirs = one.planes(number), other.planes(number)
    names = ("class", "fix", "source", "offset.x", "offset.y")
    return all(np.array_equal(mine[name], theirs[name]) for name in names)


def _some(shot: Shot, count: int | None) -> Sequence[FixLine]:
    """Choose fixes that changed something, the same ones every time; None for all of them."""
    known = open_restored(shot.out).all_fixes()
    made = [known[name] for name in sorted(known) if known[name].pixels]
    rng = np.random.default_rng(SEED)
    wanted = len(made) if count is None else max(0, count)
    return [made[at] for at in rng.permutation(len(made))[:wanted]]


def _ids(fixes: Sequence[FixLine]) -> frozenset[str]:
    return frozenset(fix.id for fix in fixes)
