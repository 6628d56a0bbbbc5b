"""Deartifact with its automatic setting beside ffmpeg's filters, each at its best strength.

wetgate is told nothing: it finds the block grid and the quality in the pixels. Beside that stands
what it does once told that a clip was coded, where it did not find out. Every peer gets the
strength with the highest PSNR of luma, clip by clip. Blocking and mosquito noise are read together
with PSNR: a blur alone lowers both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.deartifact_peers import FILTERS, Best, best_of
from wetgate.bench.denoise_clips import CleanClip, clips, cropped
from wetgate.bench.material import data_folder, published_stills
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.measure import bootstrap_mean, psnr
from wetgate.measure.artifacts import blockiness, grid_jump, mosquito
from wetgate.operators.base import SourceFacts
from wetgate.operators.deartifact.operator import MODEL, DeartifactOperator
from wetgate.simulate.codec import CodecResult, CodecSpec, compress
from wetgate.simulate.ycc import Planes
from wetgate.weights import list_models

_log = logging.getLogger(__name__)

BLOCKING, MOSQUITO, GAIN_DB = 0.90, 0.60, 0.4
SCORED = tuple(range(4, 10))
"""Indices of the frames that count: all types of frame are among them."""
_NAMES = (
    "city",
    "photo, hand-held",
    "leaves, parallax",
    "static, one mover",
    "chart, sub-pixel pan",
)
_QUICK_NAMES = ("photo, hand-held", "leaves, parallax")
_QUICK_SIZE = 160, 128
_QUICK_FILTERS = ("spp", "uspp", "nlmeans")
_STILLS = "classic5"


@dataclass(frozen=True, slots=True)
class Condition:
    """A codec and how hard it presses; `goal` when the three goals are read on it."""

    name: str
    spec: CodecSpec
    goal: bool = False


H264 = tuple(
    Condition(f"H.264 CRF {crf}", CodecSpec(codec="h264", crf=crf), goal=True)
    for crf in (28, 35, 40)
)
OTHERS = (
    Condition("MPEG-2 qscale 6", CodecSpec(codec="mpeg2", qscale=6)),
    Condition("MPEG-2 qscale 14", CodecSpec(codec="mpeg2", qscale=14)),
)
STILLS = tuple(
    Condition(f"JPEG quality {q}", CodecSpec(codec="jpeg", quality=q)) for q in (10, 20, 30, 40)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Means over the scored frames, of luma.

    Attributes:
        psnr: dB. blocking, mosquito: indices of `measure.artifacts`.
    """

    psnr: float
    blocking: float
    mosquito: float
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One clip under one condition.

    Attributes:
        twin: the classical step. net: the network's; None where none is installed.
        told: the classical step when it is told that the clip was coded.
        found: whether the grid was found without being told.
        by_chance: `grid_jump` of the truth: content that happens to lie on the grid, which a
            restoration that leaves no trace of a grid takes as well.
    """

    clip: str
    condition: Condition
    digest: str
    coded: Score
    twin: Score
    net: Score | None
    told: Score
    found: bool
    by_chance: float
    peers: tuple[tuple[Best, Score], ...]

    @property
    def ours(self) -> Score:
        """Return the score of the automatic setting."""
        return self.net or self.twin

    @property
    def best(self) -> tuple[Best, Score]:
        """Return the peer with the highest PSNR."""
        return max(self.peers, key=lambda p: p[1].psnr)


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure PSNR, blocking and mosquito noise after H.264, MPEG-2 and JPEG.

    Args:
        quick: two generated clips, smaller, under H.264 alone, beside three peers.
        data: folder of published pictures; None looks at `WETGATE_TEST_DATA`, then at
            `../shared/data`. What is not there is skipped and counted.
    """
    folder = data_folder(data)
    found, skipped = clips(folder, _QUICK_NAMES if quick else _NAMES)
    if quick:
        found = [replace(c, frames=cropped(c.frames, *_QUICK_SIZE)) for c in found]
    plan = [(c, k) for k in (H264 if quick else (*H264, *OTHERS)) for c in found]
    if not quick:
        stills, missing = published_stills(_STILLS, folder)
        plan += [(CleanClip(name, p[None]), k) for k in STILLS for name, p in stills.items()]
        skipped += missing
    cases = []
    for clip, condition in plan:
        cases.append(measure_case(clip, condition, quick=quick))
        _log.info("CASE %s", _line(cases[-1]))
    return table(cases, skipped)


def measure_case(clip: CleanClip, condition: Condition, *, quick: bool = False) -> Case:
    """Code a clip, restore it with and without network, and run the peers."""
    coded = compress(clip.frames, condition.spec)
    scored = SCORED if len(clip.frames) > 1 else (0,)
    truth = [luma_of(clip.frames[n], coded) for n in scored]

    def judge(frames: Sequence[NDArray[np.float32]], spent: float = 0.0) -> Score:
        shown = [luma_of(f, coded) for f in frames]
        pairs = list(zip(truth, shown, strict=True))
        return Score(
            psnr=float(np.mean([psnr(t, s) for t, s in pairs])),
            blocking=float(np.mean([blockiness(t, s) for t, s in pairs])),
            mosquito=float(np.mean([mosquito(t, s) for t, s in pairs])),
            cpu_seconds=spent,
        )

    def judge_planes(planes: Planes) -> Score:
        rgb = planes.to_rgb()
        return judge([rgb[n - first] for n in scored])

    def ours(net: str, blocks: str = "auto") -> tuple[Score, bool]:
        _, height, width, _ = coded.frames.shape
        facts = SourceFacts(
            sample_type="uint8", width=width, height=height, channels=3, is_log_working=False
        )
        operator = DeartifactOperator(net=net, blocks=blocks)
        made = run_streaming(operator, dict(enumerate(coded.frames)), scored, facts)
        # Nothing was cropped: blocks start in the corner.
        found = made.analysis.get("offset") == [0, 0] and made.analysis["period"] in (4, 8, 16)
        return judge([made.frames[n] for n in scored], made.cpu_seconds), found

    first = scored[0]
    cut = slice(first, scored[-1] + 1)
    source = replace(
        coded.planes,
        luma=coded.planes.luma[cut], blue=coded.planes.blue[cut], red=coded.planes.red[cut],
    )  # fmt: skip
    peers = []
    for candidate in FILTERS:
        if not quick or candidate.name in _QUICK_FILTERS:
            best = best_of(candidate, source, scored, lambda p: judge_planes(p).psnr)
            peers.append((best, replace(judge_planes(best.planes), cpu_seconds=best.cpu_seconds)))
    twin, found = ours("none")
    return Case(
        clip=clip.name,
        condition=condition,
        digest=digest_bytes(coded.planes.luma.tobytes()),
        coded=judge([coded.frames[n] for n in scored]),
        twin=twin,
        net=ours("auto")[0] if any(p.card.name == MODEL for p in list_models()) else None,
        told=twin if found else ours("none", "8")[0],
        found=found,
        by_chance=float(np.mean([grid_jump(t) for t in truth])),
        peers=tuple(peers),
    )


def luma_of(frame: NDArray[np.float32], coded: CodecResult) -> NDArray[np.float32]:
    """Return luma as the codec defines it, 0-1."""
    red, blue = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}[coded.planes.coding.matrix]
    weights = np.array([red, 1.0 - red - blue, blue])
    return np.asarray(frame.astype(np.float64) @ weights, np.float32)


def gone(
    cases: Sequence[Case], pick: Callable[[Case], Score], index: Callable[[Score], float]
) -> float:
    """Return the share of an artefact that is gone over cases: of the sums, not the mean of shares.

    What came out below zero counts as much as what stayed above it.
    """
    before = sum(abs(index(c.coded)) for c in cases)
    return 1.0 - sum(abs(index(pick(c))) for c in cases) / max(before, 1e-12)


def table(cases: Sequence[Case], skipped: Sequence[str]) -> BenchTable:
    """Lay the cases out, then what they say together about each goal."""
    versions = ("wetgate", "av", "imageio-ffmpeg", "opencv-python-headless", "numpy")
    return BenchTable(
        name="deartifact",
        rows=(*(_case_row(c) for c in cases), *_summary(cases, skipped)),
        data={f"{c.clip} | {c.condition.name}": c.digest for c in cases},
        versions=package_versions(versions),
        machine=machine_facts(),
    )


def _line(case: Case) -> str:
    best, score = case.best
    return (
        f"{case.clip} | {case.condition.name}: {case.coded.psnr:.2f} dB, "
        f"{case.ours.psnr - case.coded.psnr:+.2f} "
        f"(twin {case.twin.psnr - case.coded.psnr:+.2f}, {best.name} @ {best.strength:.3g} "
        f"{score.psnr - case.coded.psnr:+.2f}); blocking {case.coded.blocking:.2e} -> "
        f"{case.ours.blocking:.1e}; mosquito {case.coded.mosquito:.2e} -> {case.ours.mosquito:.1e}"
    )


def _case_row(case: Case) -> BenchRow:
    best, score = case.best
    gain = case.ours.psnr - case.coded.psnr

    def share(pick: Callable[[Case], Score], index: Callable[[Score], float]) -> float:
        return 100 * gone([case], pick, index)

    return BenchRow(
        case=f"{case.clip} | {case.condition.name}",
        wetgate=gain,
        peer=score.psnr - case.coded.psnr,
        peer_name=f"{best.name} @ {best.strength:.4g}{' (end)' if best.at_end else ''}",
        goal=f">= +{GAIN_DB:g} dB" if case.condition.goal else "",
        reached=gain >= GAIN_DB if case.condition.goal else None,
        unit="dB",
        extra={
            "coded dB": case.coded.psnr,
            "grid found": float(case.found),
            "twin dB": case.twin.psnr - case.coded.psnr,
            "told dB": case.told.psnr - case.coded.psnr,
            "blocking -%": share(lambda c: c.ours, _blocking),
            "twin's": share(lambda c: c.twin, _blocking),
            "best peer's": share(lambda c: c.best[1], _blocking),
            "mosquito -%": share(lambda c: c.ours, _mosquito),
            "twin's ": share(lambda c: c.twin, _mosquito),
            "best peer's ": share(lambda c: c.best[1], _mosquito),
            "CPU s/frame": case.ours.cpu_seconds,
            "best peer's CPU": score.cpu_seconds,
        },
    )


def _blocking(score: Score) -> float:
    return score.blocking


def _mosquito(score: Score) -> float:
    return score.mosquito


def _summary(cases: Sequence[Case], skipped: Sequence[str]) -> list[BenchRow]:
    rows: list[BenchRow] = []
    for name in dict.fromkeys(c.condition.name for c in cases):
        here = [c for c in cases if c.condition.name == name]
        goal = here[0].condition.goal
        rows.append(_gain_row(f"mean gain, {name}", here, lambda c: c.ours, goal))
        if here[0].net is not None:
            rows.append(_gain_row(f"mean gain, {name}, classical twin", here, _twin, False))
            rows.append(_mean(f"network over its twin, {name}", here, _over_twin))
        rows.append(_mean(f"gain over the best peer, {name}", here, _over_peer))
        if not all(c.found for c in here):
            rows.append(
                _gain_row(f'mean gain, {name}, blocks = "8"', here, lambda c: c.told, False)
            )
        for what, index, wanted in (
            ("blocking", _blocking, BLOCKING), ("mosquito noise", _mosquito, MOSQUITO),
        ):  # fmt: skip
            row = _share_row(f"{what} gone, {name}", here, index, wanted if goal else None)
            if what == "blocking":
                most = 100 * gone(here, lambda c: replace(c.coded, blocking=-c.by_chance), index)
                row = replace(
                    row, note=f"{row.note}, frames without a trace of a grid {most:.0f} %"
                )
            rows.append(row)
    note = "; ".join(skipped) + (
        f" [frames {SCORED[0]}-{SCORED[-1]} of each clip scored, of luma; shares are of sums over "
        "clips; intervals by bootstrap over clips; one thread; '(end)' = the grid of strengths "
        "ends there]"
    )
    rows.append(
        BenchRow(case="clips skipped", wetgate=float(len(skipped)), unit="clips", note=note)
    )
    return rows


def _twin(case: Case) -> Score:
    return case.twin


def _over_twin(case: Case) -> float:
    return case.ours.psnr - case.twin.psnr


def _over_peer(case: Case) -> float:
    return case.ours.psnr - case.best[1].psnr


def _mean(name: str, cases: Sequence[Case], value: Callable[[Case], float]) -> BenchRow:
    mean, interval = bootstrap_mean([value(c) for c in cases])
    return BenchRow(case=f"{name} ({len(cases)})", wetgate=mean, interval=interval, unit="dB")


def _gain_row(
    name: str, cases: Sequence[Case], pick: Callable[[Case], Score], goal: bool
) -> BenchRow:
    row = _mean(name, cases, lambda c: pick(c).psnr - c.coded.psnr)
    if not goal:
        return row
    return replace(row, goal=f">= +{GAIN_DB:g} dB", reached=row.wetgate >= GAIN_DB)


def _share_row(
    name: str, cases: Sequence[Case], index: Callable[[Score], float], goal: float | None
) -> BenchRow:
    share = gone(cases, lambda c: c.ours, index)
    rng = np.random.default_rng(1)
    picks = rng.integers(0, len(cases), (2000, len(cases)))
    drawn = [gone([cases[i] for i in row], lambda c: c.ours, index) for row in picks]
    low, high = (float(v) for v in np.quantile(drawn, [0.025, 0.975]))
    best = max(
        (gone(cases, lambda c, k=k: c.peers[k][1], index), p[0].name)  # type: ignore[misc]
        for k, p in enumerate(cases[0].peers)
    )
    return BenchRow(
        case=f"{name} ({len(cases)})",
        wetgate=100 * share,
        peer=100 * best[0],
        peer_name=f"{best[1]}, the most of any at its best PSNR",
        interval=(100 * low, 100 * high),
        goal="" if goal is None else f">= {100 * goal:g} %",
        reached=None if goal is None else share >= goal,
        unit="%",
        note=f"classical twin {100 * gone(cases, _twin, index):.0f} %, told of the grid "
        f"{100 * gone(cases, lambda c: c.told, index):.0f} %",
    )
