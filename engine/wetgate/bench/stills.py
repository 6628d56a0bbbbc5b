"""Denoise single pictures beside BM3D, by the protocol of the literature.

CBSD68 with white Gaussian noise of 15, 25 and 50 codes, not clipped, PSNR over all samples, mean
over pictures. BM3D is told the true deviation. wetgate runs three times: told the true deviation
as the networks of the literature are, measuring it, and measuring it without its network.

What BM3D scores may be remembered from an earlier run, what it costs never is: on some of the
pictures, spread over the set, both are timed in this run, one right after the other, the order
reversed from one picture to the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from wetgate.bench.denoise_clips import CleanClip, NoisyClip, cropped
from wetgate.bench.denoise_clips import Condition as NoiseCondition
from wetgate.bench.denoise_peers import bm3d_peers, true_sigma
from wetgate.bench.denoise_search import ScoreCache, score
from wetgate.bench.material import data_folder, published_stills
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    bootstrap_ratio,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.measure import bootstrap_mean, psnr
from wetgate.operators.base import Analysis, FrameReader, SourceFacts
from wetgate.operators.denoise.noise import ChannelNoise, noise_units
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.simulate.sensor import add_white_noise

_log = logging.getLogger(__name__)

SIGMAS = (15, 25, 50)
_SIDE = 144
_QUICK = 6
_SEED = 11
_CHEAPER = 20.0
_TIMED, _TIMED_QUICK = 8, 2
"""Pictures that both are timed on, for each deviation."""


@dataclass(frozen=True, slots=True)
class Told:
    """The denoise operator, told white noise of a known deviation instead of measuring it."""

    operator: DenoiseOperator
    sigma: float

    def __getattr__(self, name: str) -> object:
        return getattr(self.operator, name)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Say what a perfect measurement would."""
        channel = ChannelNoise(self.sigma**2, 0.0, 0.0, 0.0, 1.0)
        curve = noise_units(channel).forward
        x = np.linspace(curve.low, curve.high, curve.values.size)
        ends = np.interp([0.0, 1.0], x, curve.values) * np.sqrt(3.0)
        return {
            "deviation": self.sigma,
            "channels": [
                {"variance": [self.sigma**2, 0.0, 0.0], "range": [0, 1], "clips": [False, False]}
            ]
            * 3,
            "spectrum": [[1.0] * 64] * 3,
            "luma": [float(ends[0]) - 4.0, float(ends[1]) + 4.0],
            "temporal": False,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What was measured on one picture.

    Attributes:
        cached: whether `peer` is from an earlier run.
        seconds, peer_seconds: CPU time of wetgate and BM3D side by side; None where not timed.
    """

    name: str
    sigma: int
    told: float
    measured: float
    classical: float
    peer: float
    cached: bool
    seconds: float | None = None
    peer_seconds: float | None = None


def run(*, quick: bool = False, data: Path | None = None, cache: Path | None = None) -> BenchTable:
    """Measure PSNR and CPU seconds beside BM3D on the middles of CBSD68.

    Args:
        quick: the first six pictures.
        data: folder of published pictures; see `material.data_folder`.
        cache: where scores of BM3D are kept from run to run; None for the user's cache folder.
    """
    pictures, skipped = published_stills("cbsd68", data_folder(data))
    names = sorted(pictures)[: _QUICK if quick else None]
    kept = ScoreCache(cache or Path(platformdirs.user_cache_dir("wetgate")) / "bench-denoise")
    timed = spread(names, _TIMED_QUICK if quick else _TIMED)
    cases = []
    for sigma in SIGMAS:
        for name in names:
            clean = cropped(pictures[name], _SIDE, _SIDE)
            turn = timed.index(name) if name in timed else None
            cases.append(_measure(name, clean, sigma, kept, turn))
            _log.info("CASE %s", cases[-1])
    rows = [row for sigma in SIGMAS for row in _rows([c for c in cases if c.sigma == sigma], sigma)]
    rows.append(
        BenchRow(
            case="pictures",
            wetgate=float(len(names)),
            unit="pictures",
            note="; ".join([*skipped, f"middle {_SIDE}x{_SIDE} px of each, {__doc__}"]).strip(),
        )
    )
    return BenchTable(
        name="stills",
        rows=tuple(rows),
        data={n: digest_bytes(pictures[n].tobytes()) for n in names},
        versions=package_versions(("wetgate", "bm3d", "bm4d", "onnxruntime", "numpy")),
        machine=machine_facts(),
    )


def spread(names: Sequence[str], count: int) -> list[str]:
    """Return `count` of the names, evenly spread, or all when there are no more."""
    if count >= len(names):
        return list(names)
    return [names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)]


def _measure(
    name: str, clean: NDArray[np.float32], sigma: int, cache: ScoreCache, turn: int | None
) -> _Case:
    """Score a picture; time both on it when it has a turn, BM3D first in every second one."""
    deviation = sigma / 255
    noisy = add_white_noise(clean, deviation, _SEED, int(digest_bytes(clean.tobytes())[-6:], 16))
    condition = NoiseCondition(name=f"sigma {sigma}", sigma=sigma, bits=None)
    case = NoisyClip(
        clip=CleanClip(name, clean[None]),
        condition=condition,
        clean=clean[None],
        noisy=noisy[None],
        sample_type="float",
        sigma=(deviation,) * 3,
    )
    peer = bm3d_peers(case)[0]
    net, plain = DenoiseOperator(net="auto"), DenoiseOperator(net="none")
    told = Told(net, deviation)
    seconds = peer_seconds = None
    if turn is None:
        best = cache.measure(case, peer, true_sigma(case), (0,))
        ours = _ours(told, case)[0]
    else:
        _ours(told, case)  # loads the network
        spent: dict[str, float] = {}
        for who in ("wetgate", "peer") if turn % 2 == 0 else ("peer", "wetgate"):
            if who == "peer":
                best = score(case, peer.run(case, (0,), true_sigma(case)), (0,))
            else:
                ours, spent[who] = _ours(told, case)
        seconds, peer_seconds = spent["wetgate"], best.cpu_seconds
    return _Case(
        name=name,
        sigma=sigma,
        told=ours,
        measured=_ours(net, case)[0],
        classical=_ours(plain, case)[0],
        peer=best.psnr,
        cached=best.cached,
        seconds=seconds,
        peer_seconds=peer_seconds,
    )


def _ours(operator: Told | DenoiseOperator, case: NoisyClip) -> tuple[float, float]:
    height, width = case.clean.shape[1:3]
    facts = SourceFacts(
        sample_type="float", width=width, height=height, channels=3, is_log_working=False
    )
    result = run_streaming(operator, {0: case.noisy[0]}, (0,), facts)  # type: ignore[arg-type]
    return psnr(case.clean[0], result.frames[0]), result.cpu_seconds


def _rows(cases: Sequence[_Case], sigma: int) -> list[BenchRow]:
    def mean(value: Callable[[_Case], float]) -> float:
        return float(np.mean([value(c) for c in cases]))

    def row(what: str, value: Callable[[_Case], float], goal: bool) -> BenchRow:
        gain, interval = bootstrap_mean([value(c) - c.peer for c in cases])
        return BenchRow(
            case=f"sigma {sigma}, {what}",
            wetgate=mean(value),
            peer=mean(lambda c: c.peer),
            peer_name="BM3D, true sigma",
            ratio=gain,
            interval=interval,
            goal=">= 0 dB" if goal else "",
            reached=gain >= 0 if goal else None,
            unit="dB",
        )

    rows = [
        row("told", lambda c: c.told, True),
        row("measured", lambda c: c.measured, True),
        row("measured, no network", lambda c: c.classical, False),
    ]
    cached = sum(c.cached for c in cases)
    rows[0] = replace(
        rows[0],
        note="ratio is the mean gain in dB with its 95 % interval; scores of BM3D: "
        f"{len(cases) - cached} of this run, {cached} remembered from an earlier one",
    )
    rows.append(_cost_row(cases, sigma))
    return rows


def _cost_row(cases: Sequence[_Case], sigma: int) -> BenchRow:
    pairs = [(c.seconds, c.peer_seconds) for c in cases if c.seconds and c.peer_seconds]
    ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
    ratio, interval = bootstrap_ratio(ours, theirs)
    return BenchRow(
        case=f"sigma {sigma}, CPU seconds",
        wetgate=float(np.median(ours)),
        peer=float(np.median(theirs)),
        peer_name="BM3D",
        ratio=ratio,
        interval=interval,
        goal=f">= {_CHEAPER:g}x",
        reached=ratio >= _CHEAPER,
        unit="s",
        note=f"median of {len(pairs)} of {len(cases)} pictures, both timed in this run, one right "
        "after the other; all threads counted",
    )
