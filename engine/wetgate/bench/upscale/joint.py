"""Denoise and enlarge in one network beside doing one after the other.

The small picture is the antialiased bicubic reduction, with white Gaussian noise, not clipped;
PSNR is of all channels, limited to 0-1, with 8 px shaved off each side of the large picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wetgate.bench.denoise_peers import package
from wetgate.bench.table import BenchRow, digest_bytes
from wetgate.bench.upscale.peers import peers
from wetgate.bench.upscale.sets import best_operator, pictures, upscaled
from wetgate.measure import bootstrap_mean, psnr
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import Operator, Pixels, SourceFacts
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise_upscale.operator import DenoiseUpscaleOperator
from wetgate.operators.upscale.resample import downscale
from wetgate.operators.verbs import run_operator

SIGMA = 25.0
_SIDE = 256
_GOAL_DB, _BM3D_DB = 0.5, 1.5
_SHAVE = 8


def joint_rows(folder: Path | None, *, quick: bool) -> tuple[list[BenchRow], dict[str, str]]:
    """Measure the joint operator on middles of CBSD68 at sigma 25."""
    sides = [_middle(p) for p in pictures(folder, "cbsd68")]
    if not sides:
        return [BenchRow(case="cbsd68: not there, skipped", wetgate=0.0, unit="pictures")], {}
    sides = sides[:: 17 if quick else 4]
    pairs = [(truth, _noisy(truth, index)) for index, truth in enumerate(sides)]
    digest = digest_bytes(*(noisy.tobytes() for _, noisy in pairs))
    enlarger, why = best_operator(2)
    joint, missing = _with_network(DenoiseUpscaleOperator())
    denoiser, without = _with_network(DenoiseOperator(net="auto"))
    bicubic = peers()[0]

    def scores(make: Callable[[Pixels], Pixels]) -> list[float]:
        inner = np.s_[_SHAVE:-_SHAVE, _SHAVE:-_SHAVE]
        return [psnr(truth[inner], make(noisy)[inner]) for truth, noisy in pairs]

    ours = scores(lambda noisy: _run(joint, noisy))
    plain = denoiser.without_network() if isinstance(denoiser, DenoiseOperator) else denoiser
    rivals: list[tuple[str, Callable[[Pixels], Pixels], float | None]] = [
        (
            "own denoise, then own upscale",
            lambda noisy: upscaled(enlarger, _run(denoiser, noisy)),
            _GOAL_DB,
        ),
        (
            "the same without networks",
            lambda noisy: upscaled(enlarger.without_network(), _run(plain, noisy)),
            None,
        ),
        ("BM3D, true sigma, then bicubic", lambda n: bicubic.run(_bm3d(n), 2), _BM3D_DB),
    ]
    rows = [
        _row(name, ours, scores(make), goal, "; ".join(w for w in (why, missing, without) if w))
        for name, make, goal in rivals
    ]
    return rows, {f"cbsd68 middles, sigma {SIGMA:g}, x2": digest}


def _row(
    name: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None, note: str
) -> BenchRow:
    gain, interval = bootstrap_mean([a - b for a, b in zip(ours, theirs, strict=True)])
    return BenchRow(
        case=f"denoise and upscale x2, sigma {SIGMA:g}, {len(ours)} pictures",
        wetgate=float(np.mean(ours)),
        peer=float(np.mean(theirs)),
        peer_name=name,
        goal="" if goal is None else f">= +{goal:g} dB",
        reached=None if goal is None else gain >= goal and interval[0] > 0,
        unit="dB",
        note=note if goal == _GOAL_DB else "",
        extra={"gain dB": f"{gain:+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})"},
    )


def _with_network(
    operator: DenoiseOperator | DenoiseUpscaleOperator,
) -> tuple[DenoiseOperator | DenoiseUpscaleOperator, str]:
    try:
        _ = operator.spec
    except ModelLoadError as error:
        return replace(operator, net="none"), f"no network: {error.found}"
    return operator, ""


def _run(operator: Operator, noisy: Pixels) -> Pixels:
    """Run an operator on one frame, told nothing: it measures the noise itself."""
    facts = SourceFacts(
        sample_type="float",
        width=noisy.shape[1],
        height=noisy.shape[0],
        channels=noisy.shape[2],
        is_log_working=False,
    )
    return run_operator(operator, {0: noisy}, 0, facts=facts)


def _bm3d(noisy: Pixels) -> Pixels:
    from wetgate.bench.denoise_peers import old_name_of_trapezoid

    with old_name_of_trapezoid():
        return np.asarray(
            package("bm3d").bm3d_rgb(noisy.astype(np.float64), SIGMA / 255), np.float32
        )


def _middle(picture: Pixels) -> Pixels:
    y, x = (picture.shape[0] - _SIDE) // 2, (picture.shape[1] - _SIDE) // 2
    return np.ascontiguousarray(picture[y : y + _SIDE, x : x + _SIDE])


def _noisy(truth: Pixels, index: int) -> Pixels:
    rng = np.random.Generator(np.random.Philox(key=25, counter=[0, 0, 0, index]))
    small = downscale(truth, 2)
    return small + rng.standard_normal(small.shape, dtype=np.float32) * np.float32(SIGMA / 255)
