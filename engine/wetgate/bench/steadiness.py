"""How much steadier the temporal stages make a clip than their own network frame by frame.

Both claims of consistency are measured: `E_warp`, the difference along exact flow beyond that of
the clean clip, and residual flicker. The same clip is denoised three times: every frame as a shot
of its own, without networks, and as it should be. Generated clips alone: their flow is known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_clips import CONDITIONS, SCORED, CleanClip, NoisyClip, add_noise, clips
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

_log = logging.getLogger(__name__)

_CONDITION = next(c for c in CONDITIONS if c.name == "sigma 20, float")
_GOAL = {"static, one mover": 0.7, "photo, hand-held": 0.7, "chart, sub-pixel pan": 0.7}
_FAST_GOAL = 0.5

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
    return BenchTable(
        name="steadiness",
        rows=tuple(rows),
        data={c.name: digest_bytes(c.frames.tobytes()) for c in with_flow},
        versions=package_versions(("wetgate", "onnxruntime", "opencv-python-headless", "numpy")),
        machine=machine_facts(),
    )


def _clip_rows(case: NoisyClip) -> tuple[list[BenchRow], float]:
    noisy = dict(enumerate(case.noisy))
    net = DenoiseOperator(net="auto")
    alone = {n: _run(net, {n: noisy[n]}, (n,))[n] for n in SCORED}
    plain = _run(DenoiseOperator(net="none"), noisy, SCORED)
    ours = _run(net, noisy, SCORED)
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


def _run(operator: DenoiseOperator, frames: _Frames, wanted: Sequence[int]) -> _Frames:
    height, width, _ = next(iter(frames.values())).shape
    facts = SourceFacts(
        sample_type="float", width=width, height=height, channels=3, is_log_working=False
    )
    return run_streaming(operator, frames, wanted, facts).frames


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
