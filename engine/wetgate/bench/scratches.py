"""Scratches: what is left of them, what it costs clean columns, and which faint ones are found.

Scratches of the simulator lie on plates that move and that stand still; their twin is the same
shot, grain and all, without them. wetgate gets one automatic setting and sees the whole shot;
detectors of one frame get the threshold that gives no more false lines on the twins than the
goal allows, and repairs of one frame are given the true matte: all of it, or its core alone,
whichever serves them better.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import FIRST, NUMBERS, SEEDS, Plate, plates
from wetgate.bench.material import data_folder
from wetgate.bench.scratch_peers import DETECTORS, REPAIRS, Line
from wetgate.bench.scratch_plates import facades
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.measure import bootstrap_mean
from wetgate.operators.base import SourceFacts
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.operator import ScratchesOperator
from wetgate.operators.scratches.tracks import Track, tracks_of
from wetgate.simulate import (
    DamagedFrame,
    DamagedShot,
    DamageSpec,
    GrainSpec,
    ScratchSpec,
    WeaveSpec,
)
from wetgate.simulate.camera import film_grid
from wetgate.simulate.film import DENSITY_PER_CODE
from wetgate.simulate.scratches import Scratch

_log = logging.getLogger(__name__)

TENTH = math.log10(1.1) / DENSITY_PER_CODE / 1023
"""Encoded density of a scratch that changes the light through the film by 10 %."""
KINDS: Mapping[str, ScratchSpec] = {
    "10 % contrast": ScratchSpec(count=2.5, strength=(TENTH, TENTH), lost_share=0.0),
    "usual": ScratchSpec(count=2.5, lost_share=0.0),
    "torn emulsion": ScratchSpec(count=2.0, lost_share=1.0),
}
REDUCED, LOSS_DB, FALSE_PER_100 = 0.9, 0.05, 1.0
_QUICK = ("photo, hand-held", "static, one mover")
_NEAR, _HALF, _FEW_CODES = 1.5, 0.5, 4 / 1023

Pixels = NDArray[np.float32]
Restored = tuple[Mapping[int, Pixels], tuple[Track, ...], float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One scratch over a clip: on how many frames it lies and was found, by wetgate and by peers.

    `reduced` is the share of its contrast taken away, NaN for torn emulsion.
    """

    frames: int
    found: int
    peers: Mapping[str, int]
    reduced: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One clip with scratches and its twin without.

    Attributes:
        loss: dB by which PSNR fell on px without scratches; twin_loss: on the twin.
        false: lines repaired on the twin, times the frames they are on. frames: of the twin.
        altered: share of the twin's px that changed.
        inside: PSNR against the twin on scratched px: as scanned, wetgate, peers.
    """

    plate: str
    kind: str
    scratches: tuple[Seen, ...]
    loss: float
    twin_loss: float
    false: int
    frames: int
    altered: float
    inside: Mapping[str, float]
    cpu_seconds: float
    analysis_seconds: float
    digest: str


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure contrast left, loss on clean columns and recall of faint scratches.

    `quick` takes two generated plates and one seed; pictures missing in `data` are counted.
    """
    found, skipped = plates(data_folder(data), _QUICK if quick else None)
    apart = [] if quick else [(plate, ", facades") for plate in facades()]
    kinds = [k for k in KINDS if not quick or k != "torn emulsion"]
    cases: list[Case] = []
    for seed in SEEDS[:1] if quick else SEEDS[:2]:
        for plate, group in [*((p, "") for p in found), *apart]:
            twin = _clip(plate, None, seed)
            clean = _restored(twin)
            limits = {name: _scores(find, twin) for name, find in DETECTORS.items()}
            for kind in kinds:
                made = _case(plate, kind, seed, twin, clean, limits)
                cases.append(replace(made, kind=kind + group))
                _log.info("CASE %s | %s | %s", plate.name, kind, cases[-1].inside)
    return table(cases, skipped)


def _clip(plate: Plate, scratches: ScratchSpec | None, seed: int) -> dict[int, DamagedFrame]:
    spec = DamageSpec(seed=seed, grain=GrainSpec(), weave=WeaveSpec(), scratches=scratches)
    shot = DamagedShot(lambda number: plate.frames[number - FIRST], spec)
    return {n: shot[n] for n in NUMBERS}


def _restored(clip: Mapping[int, DamagedFrame]) -> Restored:
    height, width = next(iter(clip.values())).pixels.shape[:2]
    facts = SourceFacts(
        sample_type="uint10", width=width, height=height, channels=3, is_log_working=False
    )
    frames = {n: f.pixels for n, f in clip.items()}
    made = run_streaming(ScratchesOperator(), frames, sorted(frames), facts)
    tracks = tuple(t for t in tracks_of(made.analysis) if not t.why)
    return made.frames, tracks, made.cpu_seconds, made.analysis_seconds


def _scores(
    find: Callable[[Pixels], list[Line]], twin: Mapping[int, DamagedFrame]
) -> list[list[Line]]:
    return [find(f.pixels) for f in twin.values()]


def threshold_of(lines: Sequence[Sequence[Line]]) -> float:
    """Return the least threshold with at most `FALSE_PER_100` false lines in 100 frames."""
    scores = sorted((line[0] for frame in lines for line in frame), reverse=True)
    allowed = int(FALSE_PER_100 * len(lines) / 100)
    return scores[allowed] if allowed < len(scores) else 0.0


def template(frame: DamagedFrame, scratch: Scratch) -> NDArray[np.float64]:
    """Return how much of a scratch each px of a frame shows, `(h, w)`."""
    x, y = film_grid(frame.truth.gate)
    height = len(scratch.center)
    row = np.clip(y, 0, height - 1)
    center = np.interp(row, np.arange(height), scratch.center)
    amplitude = scratch.amplitude[np.rint(row).astype(np.intp)]
    distance = x - center
    near = np.abs(distance) < 8 * scratch.sigma + 1
    drawn = np.zeros(x.shape)
    drawn[near] = (amplitude * near)[near] * scratch.profile(distance[near])
    return drawn


def _case(
    plate: Plate,
    kind: str,
    seed: int,
    twin: Mapping[int, DamagedFrame],
    clean: Restored,
    limits: Mapping[str, list[list[Line]]],
) -> Case:
    clip = _clip(plate, KINDS[kind], seed)
    frames, tracks, seconds, analysis = _restored(clip)
    least = {name: threshold_of(lines) for name, lines in limits.items()}
    lines = {
        name: {n: [e for e in find(f.pixels) if e[0] > least[name]] for n, f in clip.items()}
        for name, find in DETECTORS.items()
    }
    seen = _scratches(clip, twin, frames, tracks, lines)
    errors: dict[str, list[float]] = {}
    for n, frame in clip.items():
        hole = frame.truth.scratch_matte
        want = twin[n].pixels[hole].astype(np.float64)
        made = {"as scanned": frame.pixels, "wetgate": frames[n]}
        for width, part in (("wide", hole), ("core", hole & _core(frame))):
            made |= {f"{name} {width}": f(frame.pixels, part) for name, f in REPAIRS.items()}
        for name, pixels in made.items():
            errors.setdefault(name, []).extend(((pixels[hole] - want) ** 2).ravel())
    psnrs = {k: float(-10 * np.log10(np.mean(v))) for k, v in errors.items() if v}
    for name in REPAIRS if psnrs else ():
        psnrs[name] = max(psnrs.pop(f"{name} wide"), psnrs.pop(f"{name} core"))
    return Case(
        plate=plate.name,
        kind=kind,
        scratches=tuple(seen),
        loss=float(np.mean([_loss(clip[n], frames[n]) for n in clip])),
        twin_loss=float(np.mean([_loss(twin[n], clean[0][n]) for n in twin])),
        false=sum(len(t.frames) for t in clean[1]),
        frames=len(twin),
        altered=float(np.mean([(clean[0][n] != twin[n].pixels).any(axis=2) for n in twin])),
        inside=psnrs,
        cpu_seconds=seconds,
        analysis_seconds=analysis / len(clip),
        digest=digest_bytes(*(f.pixels.tobytes() for f in clip.values())),
    )


def _core(frame: DamagedFrame) -> NDArray[np.bool_]:
    """Return the px that scratches change by more than a few codes, or hide."""
    truth = frame.truth.scratches
    assert truth is not None  # the clip has some
    return (np.abs(truth.add) > _FEW_CODES) | (truth.keep < 1 - _FEW_CODES)


def _loss(frame: DamagedFrame, restored: Pixels) -> float:
    """Return the dB of PSNR against the clean picture lost on px that no scratch touches."""
    clear = ~frame.truth.scratch_matte
    clean = frame.truth.clean[clear].astype(np.float64)
    before = np.mean((frame.pixels[clear] - clean) ** 2)
    after = np.mean((restored[clear] - clean) ** 2)
    return float(10 * np.log10(after / before))


def _scratches(
    clip: Mapping[int, DamagedFrame],
    twin: Mapping[int, DamagedFrame],
    restored: Mapping[int, Pixels],
    tracks: Sequence[Track],
    lines: Mapping[str, Mapping[int, Sequence[Line]]],
) -> list[Seen]:
    """Follow every scratch of the truth through the clip."""
    strips = Strips.of(next(iter(clip.values())).pixels.shape[0])
    sums: dict[tuple[int, int], dict[str, float]] = {}
    for n, frame in clip.items():
        assert frame.truth.scratches is not None  # the clip has some
        shift = frame.truth.weave[0]
        for scratch in frame.truth.scratches.scratches:
            height = len(scratch.center)
            alive = scratch.amplitude > 0
            drawn = template(frame, scratch)
            if not (drawn.max() > 0 and alive.mean() > _HALF):
                continue
            mine = sums.setdefault(scratch.identity, {"lost": float(scratch.lost)})
            middles = strips.middles
            at = np.interp(middles, np.arange(height), scratch.center) + shift
            hit = np.zeros(len(middles), np.bool_)
            for track in tracks:
                if n in track.frames:
                    own = track.frames[n]
                    part = slice(own.first, own.first + len(own.place))
                    hit[part] |= np.abs(own.place - at[part]) < _NEAR
            counts = {"frames": 1.0, "found": float(hit.mean() > _HALF * alive.mean())}
            for name, found in lines.items():
                rows = middles - (height - 1) / 2
                near = [np.abs(x + s * rows - at).mean() < 2 * _NEAR for _, x, s in found[n]]
                counts[name] = float(any(near))
            undamaged = twin[n].pixels.astype(np.float64)
            for key, pixels in (("before", frame.pixels), ("after", restored[n])):
                counts[key] = abs(float(((pixels - undamaged).mean(axis=2) * drawn).sum()))
            for key, value in counts.items():
                mine[key] = mine.get(key, 0.0) + value
    return [
        Seen(
            frames=int(s["frames"]),
            found=int(s["found"]),
            peers={name: int(s[name]) for name in lines},
            reduced=math.nan if s["lost"] else 1 - s["after"] / s["before"],
        )
        for s in sums.values()
    ]


def table(cases: Sequence[Case], skipped: Sequence[str]) -> BenchTable:
    """Put cases into rows; intervals are over clips."""
    rows: list[BenchRow] = []
    for kind in dict.fromkeys(c.kind for c in cases):
        group = [c for c in cases if c.kind == kind]
        rows += _contrast_rows(kind, group)
        rows += _recall_rows(kind, group)
        rows += _inside_rows(kind, group)
        rows.append(_loss_row(f"{kind}: px without scratches", [c.loss for c in group]))
    twins = list({(c.plate, c.twin_loss, c.false): c for c in cases}.values())
    rows.append(_loss_row("twins without scratches", [c.twin_loss for c in twins]))
    rate, interval = bootstrap_mean([100 * c.false / c.frames for c in twins])
    rows.append(
        BenchRow(
            case="twins: false lines per 100 frames",
            wetgate=rate,
            unit="",
            interval=interval,
            goal=f"<= {FALSE_PER_100:g}",
            reached=rate <= FALSE_PER_100,
            extra={"px altered": float(np.mean([c.altered for c in twins]))},
        )
    )
    rows.append(
        BenchRow(
            case="CPU time a frame, 256 x 192",
            wetgate=float(np.mean([c.cpu_seconds for c in cases])),
            unit="s",
            extra={"analysis s": float(np.mean([c.analysis_seconds for c in cases]))},
            note="; ".join(f"skipped {s}" for s in skipped),
        )
    )
    return BenchTable(
        name="scratches",
        rows=tuple(rows),
        data={f"{c.plate} | {c.kind} | {k}": c.digest for k, c in enumerate(cases)},
        versions=package_versions(("numpy", "opencv-python-headless")),
        machine=machine_facts(),
    )


def _contrast_rows(kind: str, group: Sequence[Case]) -> list[BenchRow]:
    rows = []
    for title, least in (("of those found", 1), ("of all", 0)):
        means = []
        for case in group:
            values = [s.reduced for s in case.scratches if s.found >= least]
            if values and not any(math.isnan(v) for v in values):
                means.append(float(np.mean(values)))
        if means:
            mean, interval = bootstrap_mean(means)
            rows.append(
                BenchRow(
                    case=f"{kind}: contrast taken away, {title}",
                    wetgate=mean,
                    unit="",
                    interval=interval,
                    goal=f">= {REDUCED:g}" if least else "",
                    reached=mean >= REDUCED if least else None,
                )
            )
    return rows


def _recall_rows(kind: str, group: Sequence[Case]) -> list[BenchRow]:
    def share(case: Case, name: str) -> float:
        hits = sum(s.peers[name] if name else s.found for s in case.scratches)
        return hits / max(1, sum(s.frames for s in case.scratches))

    told = [c for c in group if c.scratches]
    if not told:
        return []
    mine = [share(c, "") for c in told]
    best = max(DETECTORS, key=lambda name: float(np.mean([share(c, name) for c in told])))
    gains, interval = bootstrap_mean([m - share(c, best) for m, c in zip(mine, told, strict=True)])
    return [
        BenchRow(
            case=f"{kind}: recall, scratches times frames",
            wetgate=float(np.mean(mine)),
            peer=float(np.mean([share(c, best) for c in told])),
            peer_name=f"{best}, one frame",
            ratio=gains,
            interval=interval,
            unit="",
            note="ratio: the difference; peers' thresholds give the goal's false lines on twins",
        )
    ]


def _inside_rows(kind: str, group: Sequence[Case]) -> list[BenchRow]:
    rows = []
    for name in ("as scanned", *REPAIRS):
        told = [c for c in group if name in c.inside]
        if not told:
            continue
        gain, interval = bootstrap_mean([c.inside["wetgate"] - c.inside[name] for c in told])
        rows.append(
            BenchRow(
                case=f"{kind}: PSNR on scratched px",
                wetgate=float(np.mean([c.inside["wetgate"] for c in told])),
                peer=float(np.mean([c.inside[name] for c in told])),
                peer_name=name if name == "as scanned" else f"{name}, true matte",
                ratio=gain,
                interval=interval,
                unit="dB",
            )
        )
    return rows


def _loss_row(case: str, losses: Sequence[float]) -> BenchRow:
    (mean, interval), worst = bootstrap_mean(losses), max(losses)
    return BenchRow(
        case=f"{case}: PSNR lost",
        wetgate=mean,
        unit="dB",
        interval=interval,
        goal=f"<= {LOSS_DB:g}",
        reached=worst <= LOSS_DB,
        extra={"worst clip": worst},
    )
