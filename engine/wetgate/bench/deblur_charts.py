"""Edges of known blur: sharpness and overshoot before and after, and light of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.deblur_peers import convolved
from wetgate.bench.edges import mtf50, overshoot, slanted_edge
from wetgate.bench.table import BenchRow
from wetgate.operators.base import SourceFacts
from wetgate.operators.deblur.operator import DeblurOperator
from wetgate.operators.deblur.psf import deviation_of, disc_psf, gaussian_psf
from wetgate.operators.verbs import run_operator

Pixels = NDArray[np.float32]

_SIZE = 104
_LOW, _HIGH, _DEGREES = 0.1, 0.6, 5.0
_EDGES = (
    ("Gaussian 0.8 px", gaussian_psf(0.8)),
    ("Gaussian 1.5 px", gaussian_psf(1.5)),
    ("Gaussian 2.2 px", gaussian_psf(2.2)),
    ("disc of radius 3 px", disc_psf(3.0)),
)


def chart_rows(operator: DeblurOperator) -> list[BenchRow]:
    """Measure slanted edges and a lamp in the dark, told the width: one edge has one direction."""
    rows = []
    for name, kernel in _EDGES:
        sharp = slanted_edge(_SIZE, _DEGREES, _LOW, _HIGH)
        soft = convolved(sharp, kernel)
        made = _told(operator, soft, deviation_of(kernel))
        inner = np.s_[12:-12, 12:-12]
        rows.append(
            BenchRow(
                case=f"slanted edge, {name}: MTF50",
                wetgate=mtf50(made, _DEGREES, 1),
                unit="c/px",
                extra={
                    "MTF50 blurred": mtf50(soft, _DEGREES, 1),
                    "MTF50 sharp": mtf50(sharp, _DEGREES, 1),
                    "overshoot %": overshoot(made[inner], _LOW, _HIGH),
                },
            )
        )
    rows.append(_lamp(operator))
    return rows


def _lamp(operator: DeblurOperator) -> BenchRow:
    """Return the least value around a highlight of 1000 on 0.1, blurred."""
    field = np.full((_SIZE, _SIZE, 3), 0.1, np.float32)
    field[46:58, 46:58] = 1000.0
    soft = convolved(field, gaussian_psf(1.5))
    made = _told(operator, soft, 1.5)
    return BenchRow(
        case="lamp of 1000 on 0.1, least value around it",
        wetgate=float(made.min()),
        unit="",
        goal="> 0",
        reached=bool(made.min() > 0.0),
        extra={"greatest": float(made.max()), "blurred greatest": float(soft.max())},
    )


def _told(operator: DeblurOperator, linear: Pixels, sigma: float) -> Pixels:
    facts = SourceFacts(
        sample_type="half",
        width=linear.shape[1],
        height=linear.shape[0],
        channels=3,
        is_log_working=False,
    )
    return run_operator(replace(operator, blur=sigma), {1: linear}, 1, facts=facts)
