"""Denoise with its automatic setting beside peers that are each given their best strength.

wetgate is told nothing: it measures the noise of the clip itself. Every peer is told the true
noise as a start and then gets the strength with the highest PSNR, clip by clip.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from wetgate.bench.denoise_clips import (
    CONDITIONS,
    DARK_CONDITIONS,
    GRAIN,
    SCORED,
    CleanClip,
    Condition,
    NoisyClip,
    add_noise,
    clips,
    cropped,
)
from wetgate.bench.denoise_peers import Filtered
from wetgate.bench.denoise_search import Best, Score, ScoreCache, best_of_peer, peers_for, score
from wetgate.bench.material import data_folder
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
from wetgate.operators.denoise.operator import DenoiseOperator

_log = logging.getLogger(__name__)

EVERY_CLIP_DB, MEAN_DB, DARK_DB, FLICKER_SHARE = 0.5, 1.5, 4.0, 0.5
_QUICK_CLIPS = ("photo, hand-held", "leaves, parallax")
_QUICK_CONDITIONS = (CONDITIONS[1], GRAIN)
_QUICK_SIZE = 128, 96
# First what tells most, so that a run that is broken off has said something.
_ORDER = ("sigma 20, float", GRAIN.name, "sigma 40, float", "sigma 10, float")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One clip under one condition, measured.

    Attributes:
        noisy: of the clip as it came in. plain: of wetgate without networks.
        best: the peer as shipped with the highest PSNR.
        calmest: the peer as shipped with the least flicker, each at its strength of best PSNR.
        helped: peers that were given something of ours; shown, not competed with.
    """

    clip: CleanClip
    condition: Condition
    digest: str
    width: int
    height: int
    noisy: Score
    wetgate: Score
    plain: Score
    best: Best
    calmest: Best
    helped: tuple[Best, ...]

    @property
    def gain(self) -> float:
        """PSNR above the best peer, dB."""
        return self.wetgate.psnr - self.best.score.psnr

    @property
    def flicker_cut(self) -> float:
        """Share of the best peer's flicker that is gone."""
        return 1.0 - self.wetgate.flicker / self.best.score.flicker

    @property
    def flicker_cut_calmest(self) -> float:
        """Share of the calmest peer's flicker that is gone."""
        return 1.0 - self.wetgate.flicker / self.calmest.score.flicker


def run(*, quick: bool = False, data: Path | None = None, cache: Path | None = None) -> BenchTable:
    """Measure PSNR, residual flicker and CPU seconds a frame beside BM3D, OpenCV and ffmpeg.

    Args:
        quick: two generated clips under two conditions, smaller, and the strongest peers alone.
        data: folder of published pictures; None looks at `WETGATE_TEST_DATA`, then at
            `../shared/data`. Clips that are not there are skipped and counted.
        cache: where scores of peers are kept from run to run; None for the user's cache folder.
    """
    found, skipped = clips(data_folder(data), _QUICK_CLIPS if quick else None)
    if quick:
        found = [replace(c, frames=cropped(c.frames, *_QUICK_SIZE)) for c in found]
    kept = ScoreCache(cache or Path(platformdirs.user_cache_dir("wetgate")) / "bench-denoise")
    done: list[Case] = []
    for clip, condition in plan(found, quick=quick):
        done.append(measure_case(add_noise(clip, condition), kept, quick=quick))
        _log.info(
            "CASE %s | %s: %.2f against %.2f dB (%s), %+.2f; flicker %.2f against %.2f",
            clip.name, condition.name, done[-1].wetgate.psnr, done[-1].best.score.psnr,
            done[-1].best.peer.name, done[-1].gain, done[-1].wetgate.flicker,
            done[-1].best.score.flicker,
        )  # fmt: skip
    return table(done, skipped)


def plan(found: Sequence[CleanClip], *, quick: bool) -> list[tuple[CleanClip, Condition]]:
    """Return the cases to measure, dark clips under the clipped conditions alone."""
    conditions = sorted(
        _QUICK_CONDITIONS if quick else CONDITIONS,
        key=lambda c: _ORDER.index(c.name) if c.name in _ORDER else len(_ORDER),
    )
    cases = [
        (clip, condition)
        for condition in conditions
        for clip in found
        if not clip.dark or condition in DARK_CONDITIONS
    ]
    return sorted(cases, key=lambda case: not case[0].dark)


def run_wetgate(case: NoisyClip, *, net: str = "auto") -> Filtered:
    """Denoise the scored frames with the automatic setting, through the operator contract."""
    result = run_streaming(
        DenoiseOperator(net=net),
        dict(enumerate(case.noisy)),
        SCORED,
        SourceFacts(
            sample_type=case.sample_type,
            width=case.noisy.shape[2],
            height=case.noisy.shape[1],
            channels=3,
            is_log_working=False,
        ),
    )
    frames = tuple(result.frames[i] for i in SCORED)
    return Filtered(frames=frames, cpu_seconds=result.cpu_seconds)


def measure_case(case: NoisyClip, cache: ScoreCache, *, quick: bool = False) -> Case:
    """Run wetgate and its peers on one case; `quick` leaves out those that seldom win."""
    ours = score(case, run_wetgate(case), SCORED)
    source = Filtered(frames=tuple(case.noisy[i] for i in SCORED), cpu_seconds=0.0)
    chosen = [p for p in peers_for(case) if p.wins or not quick]
    peers = [best_of_peer(case, peer, cache) for peer in chosen]
    shipped = [p for p in peers if p.peer.as_shipped]
    return Case(
        clip=case.clip,
        condition=case.condition,
        digest=digest_bytes(case.noisy.tobytes()),
        width=case.noisy.shape[2],
        height=case.noisy.shape[1],
        noisy=score(case, source, SCORED),
        wetgate=ours,
        plain=score(case, run_wetgate(case, net="none"), SCORED),
        best=max(shipped, key=lambda p: p.score.psnr),
        calmest=min(shipped, key=lambda p: p.score.flicker),
        helped=tuple(p for p in peers if not p.peer.as_shipped),
    )


def table(cases: Sequence[Case], skipped: Sequence[str]) -> BenchTable:
    """Lay the cases out, then what they say together about each goal."""
    versions = ("wetgate", "bm3d", "bm4d", "opencv-python-headless", "imageio-ffmpeg", "numpy")
    return BenchTable(
        name="denoise",
        rows=(*(_case_row(c) for c in cases), *_summary(cases, skipped)),
        data={f"{c.clip.name} | {c.condition.name}": c.digest for c in cases},
        versions=package_versions(versions),
        machine=machine_facts(),
    )


def _case_row(case: Case) -> BenchRow:
    best, calm = case.best, case.calmest
    wanted = DARK_DB if case.clip.dark else EVERY_CLIP_DB
    return BenchRow(
        case=f"{case.clip.name} | {case.condition.name}",
        wetgate=case.wetgate.psnr,
        peer=best.score.psnr,
        peer_name=f"{best.peer.name} @ {best.strength:.4g}{' (end)' if best.at_end else ''}",
        goal=f">= +{wanted:g} dB",
        reached=case.gain >= wanted,
        unit="dB",
        note="; ".join(
            f"{h.peer.name} @ {h.strength:.4g} reaches {h.score.psnr:.2f} dB" for h in case.helped
        ),
        extra={
            "gain dB": f"{case.gain:+.2f}",
            "no network": case.plain.psnr,
            "noisy dB": case.noisy.psnr,
            "flicker": case.wetgate.flicker,
            "no network's": case.plain.flicker,
            "best peer's": best.score.flicker,
            "least of peers": calm.score.flicker,
            "by whom": calm.peer.name,
            "CPU s/frame": case.wetgate.cpu_seconds,
            "best peer's CPU": f"{best.score.cpu_seconds:.3g}{' c' * best.score.cached}",
        },
    )


def _summary(cases: Sequence[Case], skipped: Sequence[str]) -> list[BenchRow]:
    bright = [c for c in cases if not c.clip.dark]
    dark = [c for c in cases if c.clip.dark]
    rows: list[BenchRow] = []
    for condition in dict.fromkeys(c.condition.name for c in cases):
        for group, kind in ((bright, ""), (dark, "dark, ")):
            here = [c for c in group if c.condition.name == condition]
            if here:
                rows.append(_mean_row(f"mean gain, {kind}{condition}", here, None))
    if bright:
        by_clip = _mean_row("mean gain over all clips", bright, MEAN_DB)
        rows += [by_clip, _worst_row("worst clip", bright, EVERY_CLIP_DB)]
    if dark:
        rows.append(_mean_row("mean gain, dark clipped 8-bit", dark, DARK_DB))
        rows.append(_worst_row("worst dark clip", dark, DARK_DB))
    if cases:
        rows.append(_flicker_row("flicker under the best peer's", cases, lambda c: c.flicker_cut))
        rows.append(
            _flicker_row(
                "flicker under the least of any peer", cases, lambda c: c.flicker_cut_calmest
            )
        )
    if cases:
        gains = _per_clip(cases, lambda c: c.wetgate.psnr - c.plain.psnr)
        mean, interval = bootstrap_mean(gains)
        rows.append(
            BenchRow(
                case=f"networks over the classical passes ({len(gains)} clips)",
                wetgate=mean,
                interval=interval,
                goal="> 0 dB",
                reached=interval[0] > 0,
                unit="dB",
            )
        )
    sizes = sorted({f"{c.width}x{c.height} px" for c in cases})
    rows.append(
        BenchRow(
            case="clips skipped",
            wetgate=float(len(skipped)),
            unit="clips",
            note="; ".join([*skipped, *sizes]) + _METHOD,
        )
    )
    return rows


_METHOD = (
    f" [frames {SCORED[0]}-{SCORED[-1]} of each clip scored; PSNR is the mean "
    "over frames, values limited to 0-1 for all; flicker in 8-bit codes; intervals by bootstrap "
    "over clips; CPU of one thread, 'c' = from an earlier run; '(end)' = the filter takes no "
    "strength beyond; strengths of BM3D and ffmpeg's bm3d tried on the middle of one frame, of "
    "the others on one frame; bm3d needs numpy's old name trapz, lent to it for the call]"
)


def _per_clip(cases: Sequence[Case], value: Callable[[Case], float]) -> list[float]:
    """Return the mean over its conditions of each clip: clips are what is independent."""
    names = dict.fromkeys(c.clip.name for c in cases)
    groups = [[value(c) for c in cases if c.clip.name == name] for name in names]
    return [sum(g) / len(g) for g in groups]


def _mean_row(name: str, cases: Sequence[Case], goal: float | None) -> BenchRow:
    values = _per_clip(cases, lambda c: c.gain)
    mean, interval = bootstrap_mean(values)
    return BenchRow(
        case=f"{name} ({len(values)} clips)",
        wetgate=mean,
        interval=interval,
        goal="" if goal is None else f">= +{goal:g} dB",
        reached=None if goal is None else mean >= goal,
        unit="dB",
    )


def _worst_row(name: str, cases: Sequence[Case], goal: float) -> BenchRow:
    worst = min(cases, key=lambda c: c.gain)
    return BenchRow(
        case=f"{name}: {worst.clip.name} | {worst.condition.name}",
        wetgate=worst.gain,
        goal=f">= +{goal:g} dB",
        reached=worst.gain >= goal,
        unit="dB",
    )


def _flicker_row(name: str, cases: Sequence[Case], cut: Callable[[Case], float]) -> BenchRow:
    mean, interval = bootstrap_mean(_per_clip(cases, cut))
    worst = min(cases, key=cut)
    return BenchRow(
        case=name,
        wetgate=100 * mean,
        interval=(100 * interval[0], 100 * interval[1]),
        goal=f">= {100 * FLICKER_SHARE:g} %",
        reached=mean >= FLICKER_SHARE,
        unit="%",
        note=f"mean over clips; worst {100 * cut(worst):.0f} % on {worst.clip.name} | "
        f"{worst.condition.name}; {sum(cut(c) >= FLICKER_SHARE for c in cases)} of {len(cases)} "
        "cases reach the goal",
    )
