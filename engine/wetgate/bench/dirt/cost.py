"""What the film-scan recipe costs: CPU seconds per 2K frame, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wetgate.bench.dirt.clips import FIRST, Pixels, Plate
from wetgate.bench.dirt.runner import facts_of
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import BenchRow
from wetgate.model.errors import WetgateError
from wetgate.operators.registry import make_operator, operator_names
from wetgate.recipe import load_recipe
from wetgate.simulate import DamagedShot, DamageSpec, GrainSpec, ScratchSpec, preset

WIDTH, HEIGHT = 2048, 1556
FRAMES = 4
RECIPE = "film-scan"
MOST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU seconds of one step, a frame: the stages, and its share of the analysis of the shot."""

    operator: str
    stages: Sequence[float]
    analysis: float


def large_shot(plate: Plate, width: int, height: int, count: int) -> dict[int, Pixels]:
    """Mirror a plate until it fills a frame, and wear it: grain, dirt and scratches."""
    spec = preset("dirt-heavy", 5)
    worn = DamageSpec(seed=5, grain=GrainSpec(), dirt=spec.dirt, scratches=ScratchSpec(count=3))

    def tiled(number: int) -> Pixels:
        frame = plate.frames[number - FIRST]
        down, across = height - frame.shape[0], width - frame.shape[1]
        padded = np.pad(frame, ((0, max(0, down)), (0, max(0, across)), (0, 0)), mode="symmetric")
        return np.ascontiguousarray(padded[:height, :width])

    shot = DamagedShot(tiled, worn)
    return {n: shot[n].pixels for n in range(FIRST, FIRST + count)}


def recipe_steps() -> tuple[list[tuple[str, dict[str, object]]], str]:
    """Return operators and parameters of the recipe, and a word where it is not all there."""
    try:
        steps = [(s.operator, dict(s.params)) for s in load_recipe(RECIPE).steps]
    except WetgateError:
        steps = [(name, {}) for name in ("scratches", "dirt", "denoise")]
    known = [(name, params) for name, params in steps if name in operator_names()]
    absent = [name for name, _ in steps if name not in operator_names()]
    return known, f"no operator {', '.join(absent)} in this build" if absent else ""


def measure(plate: Plate, *, quick: bool) -> tuple[list[Cost], tuple[int, int]]:
    """Run every step of the recipe alone on the same shot.

    Args:
        quick: a sixteenth of the frame, and three frames instead of four.
    """
    size = (WIDTH // 4, HEIGHT // 4) if quick else (WIDTH, HEIGHT)
    frames = large_shot(plate, *size, 3 if quick else FRAMES)
    numbers = sorted(frames)
    middle = numbers[len(numbers) // 2]
    costs = []
    for name, params in recipe_steps()[0]:
        done = run_streaming(make_operator(name, params), frames, [middle], facts_of(*size))
        costs.append(
            Cost(
                operator=name,
                stages=done.stage_seconds,
                analysis=done.analysis_seconds / len(numbers),
            )
        )
    return costs, size


def cost_rows(costs: Sequence[Cost], size: tuple[int, int]) -> list[BenchRow]:
    """Return a row for each stage and one for the whole recipe."""
    width, height = size
    scale = WIDTH * HEIGHT / (width * height)
    rows = []
    for cost in costs:
        for k, seconds in enumerate(cost.stages):
            rows.append(_row(f"{cost.operator}, stage {k + 1}", scale * seconds))
    whole = scale * sum(sum(c.stages) for c in costs)
    absent = recipe_steps()[1]
    measured = f"measured at {width}x{height}" + f" and scaled by {scale:g}" * (scale != 1)
    rows.append(
        BenchRow(
            case=f"cost of {RECIPE}: all stages",
            wetgate=whole,
            unit="s",
            goal=f"<= {MOST_SECONDS:g} s",
            reached=whole <= MOST_SECONDS if not absent else None,
            note=f"CPU seconds per {WIDTH}x{HEIGHT} frame of one core, of one more frame in a long "
            f"shot, surveys included, files not; {measured}" + f"; {absent}" * bool(absent),
            extra={
                "more": ", ".join(
                    f"analysis of {c.operator} {scale * c.analysis:.3g} s" for c in costs
                )
            },
        )
    )
    return rows


def _row(case: str, seconds: float) -> BenchRow:
    return BenchRow(case=f"cost: {case}", wetgate=seconds, unit="s")
