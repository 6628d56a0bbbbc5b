"""What an enlarged frame costs: 320 x 180 by 4, on one thread and on two."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from wetgate.bench.denoise_clips import dead_leaves
from wetgate.bench.table import BenchRow
from wetgate.bench.upscale.sets import best_operator, facts_of
from wetgate.model.box import Box
from wetgate.operators.base import Pixels, Window
from wetgate.operators.upscale.operator import UpscaleOperator

_WIDTH, _HEIGHT = 320, 180
_GOAL_MS = 100.0
_METHOD = (
    "two equal tiles with their halo on two threads; half the CPU time is the time on two cores "
    "that have nothing else to do, and wall time is that only then"
)


def speed_rows(*, quick: bool) -> list[BenchRow]:
    """Measure the whole operator, network and back-projection, beside its path without network."""
    rows = []
    operator, why = best_operator(4)
    fast = replace(operator, back_projection=1)
    plain = operator.without_network()
    cases = [("", operator), (", one round of back-projection", fast), (", no network", plain)]
    for name, case in cases[: 1 if quick else 3]:
        wall, cpu = frame_times(case, 5 if quick else 20)
        needed = statistics.median(cpu) / 2
        rows.append(
            BenchRow(
                case=f"{_WIDTH}x{_HEIGHT} by 4, CPU time of a frame over two cores{name}",
                wetgate=needed,
                goal=f"< {_GOAL_MS:g} ms" if not name else "",
                reached=needed < _GOAL_MS if not name else None,
                note=why or ("" if name else _METHOD),
                extra={
                    "wall ms, median": statistics.median(wall),
                    "wall ms, p95": float(np.quantile(wall, 0.95)),
                    "wall ms, least": min(wall),
                    "CPU ms, least": min(cpu),
                },
            )
        )
    return rows


def frame_times(operator: UpscaleOperator, repeats: int) -> tuple[list[float], list[float]]:
    """Return wall and CPU milliseconds of a frame in two tiles on two threads.

    The halo of the tiles is paid for, as in a render; the first frame is not counted.
    """
    leaves = dead_leaves((_WIDTH, _HEIGHT), seed=5)
    windows = [_window(operator, leaves, box) for box in _halves()]
    stage, facts = operator.stages[0], facts_of(leaves)
    wall, cpu = [], []
    with ThreadPoolExecutor(2) as pool:
        for turn in range(repeats + 1):
            start, spent = time.perf_counter(), time.process_time()
            list(pool.map(lambda w: stage(w, {}, facts), windows))
            if turn:
                wall.append(1e3 * (time.perf_counter() - start))
                cpu.append(1e3 * (time.process_time() - spent))
    return wall, cpu


def _halves() -> tuple[Box, Box]:
    middle = _HEIGHT // 2
    return Box(0, 0, _WIDTH, middle), Box(0, middle, _WIDTH, _HEIGHT)


def _window(operator: UpscaleOperator, pixels: Pixels, tile: Box) -> Window:
    halo = operator.spec.footprint.halo
    wide = np.pad(pixels, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
    region = tile.grown(halo)
    part = wide[region.y0 + halo : region.y1 + halo, region.x0 + halo : region.x1 + halo]
    return Window(
        number=0,
        pixels=(np.ascontiguousarray(part),),
        previous=(),
        valid=(True,),
        pairs=(None,),
        region=region,
        tile=tile,
        frame=Box.of_size(_WIDTH, _HEIGHT),
    )
