"""Edges of known truth: overshoot, sharpness, light of any size, color that should not bleed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.edges import mtf50, overshoot, slanted_edge
from wetgate.bench.table import BenchRow
from wetgate.bench.upscale.peers import Peer, peers
from wetgate.bench.upscale.sets import best_operator, reduced, upscaled
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.operators.base import Pixels
from wetgate.operators.upscale.operator import UpscaleOperator
from wetgate.operators.upscale.resample import enlarge, interleave

_LOW, _HIGH = 0.2, 0.8
_ANGLES = (0.0, 5.0, 22.0, 45.0)
_SIZE = 56
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_PAIRS = (
    ((0.85, 0.15, 0.15), (0.15, 0.15, 0.85)),
    ((0.85, 0.15, 0.15), (0.2, 0.6, 0.2)),
    ((0.9, 0.8, 0.1), (0.1, 0.1, 0.5)),
)


def edge_rows(*, quick: bool) -> list[BenchRow]:
    """Measure what happens at edges, by 2 and by 4."""
    rows: list[BenchRow] = []
    for scale in (2,) if quick else (2, 4):
        operator, why = best_operator(scale)
        chosen = peers()[1:2] if quick else peers()
        rows += _straight(operator, chosen, why)
        rows += _light(operator)
        rows += _color(operator)
    return rows


def _straight(operator: UpscaleOperator, chosen: list[Peer], why: str) -> list[BenchRow]:
    """Edges at four angles as a camera sees them: every pixel the mean over its square."""
    scale = operator.scale
    edges = [(a, slanted_edge(_SIZE, a, _LOW, _HIGH)) for a in _ANGLES]

    def measured(make: Callable[[Pixels], Pixels]) -> tuple[float, float]:
        inner = np.s_[8 * scale : -8 * scale, 8 * scale : -8 * scale]
        shown = [(angle, make(edge)) for angle, edge in edges]
        worst = max(overshoot(s[inner], _LOW, _HIGH) for _, s in shown)
        return worst, float(np.mean([mtf50(s, a, scale) for a, s in shown if a > 0]))

    ring, sharp = measured(lambda edge: upscaled(operator, edge))
    plain = operator.without_network()
    others = [("wetgate without network", measured(lambda edge: upscaled(plain, edge)))]
    others += [(p.name, measured(partial(p.enlarged, scale))) for p in chosen]
    rows = []
    for name, (their_ring, their_sharp) in others:
        goal = name == "Lanczos3"
        rows.append(
            BenchRow(
                case=f"edge x{scale}, overshoot, worst of {len(edges)} angles",
                wetgate=ring,
                peer=their_ring,
                peer_name=name,
                goal="< 1 % at MTF50 >= peer's" if goal else "",
                reached=ring < 1.0 and sharp >= their_sharp if goal else None,
                unit="%",
                note=why if goal else "",
                extra={"MTF50 c/px": sharp, "peer's MTF50": their_sharp},
            )
        )
    return rows


def _light(operator: UpscaleOperator) -> list[BenchRow]:
    """Return how far a step from 0.01 to 100, scene-linear, goes below its dark side."""
    scale = operator.scale
    step = slanted_edge(_SIZE, 5.0, 0.01, 100.0)
    inner = np.s_[8 * scale : -8 * scale, 8 * scale : -8 * scale]
    ours = signed_log_inverse(upscaled(operator, signed_log(step), log=True))[inner]
    linear = interleave(enlarge(step, scale))[inner]
    in_log = signed_log_inverse(interleave(enlarge(signed_log(step), scale)))[inner]
    return [
        BenchRow(
            case=f"step 0.01 to 100 x{scale}, darkest value",
            wetgate=float(ours.min()),
            peer=float(linear.min()),
            peer_name="Lanczos3 in linear light",
            goal=">= 0.0099",
            reached=bool(ours.min() >= 0.0099),
            unit="",
            extra={"Lanczos3 in log": float(in_log.min()), "brightest": float(ours.max())},
        )
    ]


def _color(operator: UpscaleOperator) -> list[BenchRow]:
    """Compare all channels in one network with luma by it and chroma by bicubic."""
    scale = operator.scale
    bleeding: list[tuple[float, float]] = []
    gains: list[float] = []
    for first, second in _PAIRS:
        for even in (False, True):
            truth, small = reduced(_color_edge(_SIZE * scale, first, second, even=even), scale)
            ours = upscaled(operator, small)
            split = _split(ours, small, scale)
            if even:
                gains.append(_db(truth, ours, scale) - _db(truth, split, scale))
            else:
                bleeding.append((_bleed(truth, ours, scale), _bleed(truth, split, scale)))
    ours_bleed, split_bleed = (float(np.mean(v)) for v in zip(*bleeding, strict=True))
    cut = 100 * (1 - ours_bleed / split_bleed)
    return [
        BenchRow(
            case=f"color bleed x{scale}, mean chroma error within 4 px of an edge",
            wetgate=255 * ours_bleed,
            peer=255 * split_bleed,
            peer_name="its luma, bicubic chroma",
            goal="-50 %",
            reached=cut >= 50.0,
            unit="codes",
            extra={"less by %": cut},
        ),
        BenchRow(
            case=f"edge in color alone x{scale}, PSNR above its luma with bicubic chroma",
            wetgate=float(np.mean(gains)),
            goal=">= +2 dB",
            reached=float(np.mean(gains)) >= 2.0,
            unit="dB",
        ),
    ]


def _color_edge(
    size: int, first: tuple[float, ...], second: tuple[float, ...], *, even: bool
) -> Pixels:
    """Return a slanted edge between two colors; `even`: the second at the luma of the first."""
    a, b = np.array(first), np.array(second)
    if even:
        b = b + (_TO_YCC[0] @ (a - b))
    share = slanted_edge(size, 7.0, 0.0, 1.0, gray=True).astype(np.float64)
    return np.asarray(a + (b - a) * share, np.float32)


def _split(ours: Pixels, small: Pixels, scale: int) -> Pixels:
    """Return our luma with the chroma of a bicubic enlargement."""
    plain = peers()[0].run(small, scale)
    ycc = _ycc(plain)
    ycc[..., 0] = _ycc(ours)[..., 0]
    return np.asarray(ycc @ np.linalg.inv(_TO_YCC).T, np.float32)


def _ycc(pixels: Pixels) -> NDArray[np.float64]:
    return np.asarray(pixels.astype(np.float64) @ _TO_YCC.T)


def _near(truth: Pixels, scale: int) -> NDArray[np.bool_]:
    """Return which pixels lie within 4 px of the edge, the rim of the picture left out."""
    height, width, _ = truth.shape
    turn = np.deg2rad(7.0)
    y, x = np.mgrid[0:height, 0:width]
    side = (x + 0.5 - width / 2) * np.cos(turn) + (y + 0.5 - height / 2) * np.sin(turn)
    near = np.asarray(np.abs(side) <= 4.0)
    rim = 8 * scale
    near[:rim] = near[-rim:] = False
    return near


def _bleed(truth: Pixels, shown: Pixels, scale: int) -> float:
    error = np.abs(_ycc(shown) - _ycc(truth))[..., 1:]
    return float(error[_near(truth, scale)].mean())


def _db(truth: Pixels, shown: Pixels, scale: int) -> float:
    error = (shown.astype(np.float64) - truth)[_near(truth, scale)]
    return float(-10 * np.log10(np.mean(error**2)))
