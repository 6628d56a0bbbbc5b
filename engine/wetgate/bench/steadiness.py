"""How much steadier the temporal stages make a clip than their own network frame by frame.

Both claims of consistency are measured: `E_warp`, the difference along exact flow beyond that of
the clean clip, and residual flicker. The same clip is denoised three times: every frame as a shot
of its own, without networks, and as it should be. Generated clips alone: their flow is known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_clips import (
    CONDITIONS,
    SCORED,
    CleanClip,
    NoisyClip,
    add_noise,
    clips,
    cropped,
)
from wetgate.bench.material import data_folder
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.measure import bootstrap_mean, psnr, residual_flicker, warp_error
from wetgate.operators.base import SourceFacts
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.verbs import run_operator

_log = logging.getLogger(__name__)

_CONDITION = next(c for c in CONDITIONS if c.name == "sigma 20, float")
_GOAL = {"static, one mover": 0.7, "photo, hand-held": 0.7, "chart, sub-pixel pan": 0.7}
_FAST_GOAL = 0.5
_SHARED = 1.8

_Frames = Mapping[int, NDArray[np.float32]]


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure both figures on the generated clips at sigma 20.

    Args:
        quick: one clip.
    """
    found, _ = clips(data_folder(data))
    with_flow = [c for c in found if c.motion][: 1 if quick else None]
    rows, cuts = [], []
    for clip in with_flow:
        mine, cut = _clip_rows(add_noise(clip, _CONDITION))
        rows += mine
        cuts.append(cut)
    mean, interval = bootstrap_mean(cuts)
    rows.append(
        BenchRow(
            case=f"E_warp taken away, mean of {len(cuts)} clips",
            wetgate=100 * mean,
            interval=(100 * interval[0], 100 * interval[1]),
            unit="%",
        )
    )
    rows.append(sharing_row(with_flow[0]))
    return BenchTable(
        name="steadiness",
        rows=tuple(rows),
        data={c.name: digest_bytes(c.frames.tobytes()) for c in with_flow},
        versions=package_versions(("wetgate", "onnxruntime", "opencv-python-headless", "numpy")),
        machine=machine_facts(),
    )


def _clip_rows(case: NoisyClip) -> tuple[list[BenchRow], float]:
    net = DenoiseOperator(net="auto")
    alone = {}
    for n in SCORED:
        single = run_streaming(net, {n: case.noisy[n]}, (n,), facts_of(case))
        alone[n] = single.frames[n]
    plain = _run(case, DenoiseOperator(net="none"), SCORED)
    ours = _run(case, net, SCORED)
    figures = {
        name: _figures(case, frames)
        for name, frames in (("alone", alone), ("no network", plain), ("ours", ours))
    }
    warp = {name: f["E_warp"] for name, f in figures.items()}
    cut = 1.0 - warp["ours"] / warp["alone"]
    goal = _GOAL.get(case.clip.name, _FAST_GOAL)
    row = BenchRow(
        case=f"{case.clip.name}, E_warp beyond the clean clip's",
        wetgate=warp["ours"],
        peer=warp["alone"],
        peer_name="own network frame by frame",
        ratio=cut,
        goal=f">= {goal:g} taken away",
        reached=cut >= goal,
        unit="codes",
        extra={
            "no network": warp["no network"],
            "flicker": figures["ours"]["flicker"],
            "flicker alone": figures["alone"]["flicker"],
            "flicker, no network": figures["no network"]["flicker"],
            "PSNR": figures["ours"]["PSNR"],
            "PSNR alone": figures["alone"]["PSNR"],
            "PSNR, no network": figures["no network"]["PSNR"],
        },
    )
    _log.info("CASE %s", row)
    return [row], cut


def _run(case: NoisyClip, operator: DenoiseOperator, wanted: Sequence[int]) -> _Frames:
    frames = dict(enumerate(case.noisy))
    return run_streaming(operator, frames, wanted, facts_of(case)).frames


def facts_of(case: NoisyClip) -> SourceFacts:
    """Return the facts of a noisy clip, as the engine would."""
    _, height, width, _ = case.noisy.shape
    return SourceFacts(
        sample_type=case.sample_type, width=width, height=height, channels=3, is_log_working=False
    )


def _figures(case: NoisyClip, frames: _Frames) -> dict[str, float]:
    clean = [case.clean[n] for n in SCORED]
    shown = [frames[n] for n in SCORED]
    return {
        "E_warp": excess_warp_error(case.clip, clean, shown),
        "flicker": residual_flicker(clean, shown),
        "PSNR": float(np.mean([psnr(a, b) for a, b in zip(clean, shown, strict=True)])),
    }


def excess_warp_error(
    clip: CleanClip,
    clean: Sequence[NDArray[np.float32]],
    shown: Sequence[NDArray[np.float32]],
) -> float:
    """Return the warp error of the shown frames beyond that of the clean ones, 8-bit codes."""
    values = [
        warp_error(b, d, motion.flow, motion.seen) - warp_error(a, c, motion.flow, motion.seen)
        for (a, c), (b, d), motion in zip(
            pairwise(clean), pairwise(shown), clip.motion, strict=True
        )
    ]
    return float(np.mean(values))


def sharing_row(clip: CleanClip, *, size: tuple[int, int] = (96, 72)) -> BenchRow:
    """Say what sharing the stages between frames saves, and that it changes no bit.

    Stateless means every stage of the window anew for every frame, by the plainest reading of the
    operator contract.
    """
    case = add_noise(replace(clip, frames=cropped(clip.frames, *size)), _CONDITION)
    frames = dict(enumerate(case.noisy[:9]))
    operator, facts = DenoiseOperator(net="auto", radius=1), facts_of(case)
    shared = run_streaming(operator, frames, (4,), facts)
    started = time.process_time()
    alone = run_operator(operator, frames, 4, facts=facts, analysis=shared.analysis)
    seconds = time.process_time() - started
    same = np.array_equal(alone.view(np.uint32), shared.frames[4].view(np.uint32))
    ratio = seconds / shared.cpu_seconds
    return BenchRow(
        case=f"one frame of {size[0]}x{size[1]}, stages shared over stateless",
        wetgate=shared.cpu_seconds,
        peer=seconds,
        peer_name="stateless",
        ratio=ratio,
        goal=f">= {_SHARED:g}x, no bit changed",
        reached=ratio >= _SHARED and same,
        unit="s",
        note="the same bits" if same else "NOT the same bits",
    )
