"""Published pictures made small and large again, beside plain resamplers.

Small pictures are made the usual way: the large one, cut to a multiple of the factor, reduced by
the antialiased bicubic of MATLAB's `imresize` and rounded to 8 bits. Luma is that of BT.601 on
rounded 8-bit results, with as many px shaved off each side as the factor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.table import (
    BenchRow,
)
from wetgate.bench.upscale.peers import Peer
from wetgate.measure import bootstrap_mean, luma_601, psnr, ssim
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import Pixels, SourceFacts
from wetgate.operators.upscale.operator import UpscaleOperator
from wetgate.operators.upscale.resample import downscale
from wetgate.operators.verbs import run_operator

SET5_X2_DB, CONSISTENCY_DB = 36.8, 45.0
_SUFFIXES = (".png", ".bmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one picture came out.

    Attributes:
        psnr, ssim: of luma, dB and 0-1. consistency: PSNR of the result reduced again against the
            small picture, dB, all channels.
    """

    psnr: float
    ssim: float
    consistency: float


def data_folder(data: Path | None) -> Path | None:
    """Return the folder of published pictures, if there is one."""
    named = os.environ.get("WETGATE_TEST_DATA")
    folder = data or (Path(named) if named else Path("..") / "shared" / "data")
    return folder if folder.is_dir() else None


def pictures(folder: Path | None, name: str) -> list[Pixels]:
    """Return the pictures of a published set in the order of their names, 0-1."""
    import cv2

    paths = sorted((folder / "eval" / name).glob("*")) if folder else []
    found = [cv2.imread(str(p)) for p in paths if p.suffix in _SUFFIXES]
    return [
        np.ascontiguousarray(p[..., ::-1]).astype(np.float32) / np.float32(255)
        for p in found
        if p is not None
    ]


def facts_of(pixels: Pixels, *, log: bool = False) -> SourceFacts:
    """Return the facts of a clip of one 8-bit picture, or of one in wetgate's log."""
    return SourceFacts(
        sample_type="float" if log else "uint8",
        width=pixels.shape[1],
        height=pixels.shape[0],
        channels=pixels.shape[2],
        is_log_working=log,
    )


def upscaled(operator: UpscaleOperator, small: Pixels, *, log: bool = False) -> Pixels:
    """Run the operator on one picture, whole."""
    return run_operator(operator, {0: small}, 0, facts=facts_of(small, log=log))


def best_operator(scale: int) -> tuple[UpscaleOperator, str]:
    """Return the operator with its network, or without and why."""
    operator = UpscaleOperator(scale=scale)
    try:
        _ = operator.spec
    except ModelLoadError as error:
        return operator.without_network(), f"no network: {error.found}"
    return operator, ""


def rounded(pixels: Pixels) -> Pixels:
    """Round to 8-bit codes, 0-1."""
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * np.float32(255)) / np.float32(255))


def reduced(large: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    """Return the picture cut to a multiple of the factor, and its small version in 8 bits."""
    height, width = (side // scale * scale for side in large.shape[:2])
    truth = np.ascontiguousarray(large[:height, :width])
    return truth, rounded(downscale(truth, scale))


def score(truth: Pixels, small: Pixels, shown: Pixels, scale: int) -> Score:
    """Measure one result."""
    inner = np.s_[scale:-scale, scale:-scale]
    a, b = luma_601(truth)[inner], luma_601(shown)[inner]
    return Score(
        psnr=float(10 * np.log10(255**2 / np.mean((a - b) ** 2))),
        ssim=ssim(a, b),
        consistency=psnr(small, downscale(shown, scale), clip=False),
    )


def set_rows(
    name: str, found: Sequence[Pixels], scale: int, chosen: Sequence[Peer]
) -> list[BenchRow]:
    """Measure one set at one factor: wetgate with and without its network, and every peer."""
    pairs = [reduced(p, scale) for p in found]

    def scores(make: Callable[[Pixels], Pixels]) -> list[Score]:
        return [score(truth, small, make(small), scale) for truth, small in pairs]

    operator, why = best_operator(scale)
    ours = scores(lambda small: upscaled(operator, small))
    label = f"{name} x{scale}, {len(pairs)} pictures"
    mean, interval = _mean([s.psnr for s in ours])
    goal = SET5_X2_DB if (name, scale) == ("set5", 2) else None
    worst = min(s.consistency for s in ours)
    rows = [
        BenchRow(
            case=f"{label}: luma PSNR",
            wetgate=mean,
            interval=interval,
            goal=f">= {goal:g} dB" if goal else "",
            reached=mean >= goal if goal else None,
            unit="dB",
            note=why,
            extra={"SSIM": _mean([s.ssim for s in ours])[0]},
        ),
        BenchRow(
            case=f"{label}: consistency, worst picture",
            wetgate=worst,
            goal=f">= {CONSISTENCY_DB:g} dB",
            reached=worst >= CONSISTENCY_DB,
            unit="dB",
        ),
    ]
    plain = operator.without_network()
    rivals: list[tuple[str, Callable[[Pixels], Pixels]]] = [
        ("wetgate without network", lambda small: upscaled(plain, small)),
        *((peer.name, partial(peer.enlarged, scale)) for peer in chosen),
    ]
    for rival, make in rivals:
        theirs = scores(make)
        gain, interval = bootstrap_mean(
            [a.psnr - b.psnr for a, b in zip(ours, theirs, strict=True)]
        )
        rows.append(
            BenchRow(
                case=f"{label}: luma PSNR",
                wetgate=mean,
                peer=_mean([s.psnr for s in theirs])[0],
                peer_name=rival,
                unit="dB",
                extra={
                    "gain dB": f"{gain:+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})",
                    "peer's SSIM": _mean([s.ssim for s in theirs])[0],
                    "peer's consistency": min(s.consistency for s in theirs),
                },
            )
        )
    return rows


def _mean(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
    return bootstrap_mean([float(v) for v in values])
