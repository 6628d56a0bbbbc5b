"""What a network is fed on a plate: render a few frames into nothing, keep its input planes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wetgate.backends.record import Fed, recording
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import find_sequence
from wetgate.model.errors import UsageError
from wetgate.operators.registry import operator_names
from wetgate.recipe.schema import Recipe, Step
from wetgate.render.job import run_job
from wetgate.render.options import JobOptions
from wetgate.weights.card import ModelCard

FRAMES = 4
"""Frames of the plate that are rendered when none are named, spread over it evenly."""
TILES = 24
"""Calls of the network that are kept, an even sample."""


def recipe_for(card: ModelCard, net: str | None = None) -> Recipe:
    """Return the recipe of the one operator whose work the network does.

    Args:
        net: how the step names the network; its name when None.

    Raises:
        UsageError: a network of no known task.
    """
    task = card.task.removesuffix("-temporal")
    operator = "model" if task == "generic" else task
    if operator not in operator_names():
        raise UsageError(
            f"no operator is known to run {card.name}, a model of task {card.task}",
            remedy="pass a --recipe whose step has it as its net",
        )
    name = net or card.name
    params: dict[str, object] = {"net": name}
    if card.task == "denoise-temporal":
        params = {"net": "auto", "temporal_net": name}
    elif task == "generic":
        params = {"name": name}
    elif task == "upscale":
        params["scale"] = card.scale
    return Recipe(name=f"feed {card.name}", steps=(Step(operator=operator, params=params),))


def planes_fed(
    card: ModelCard,
    plate: str | Path,
    *,
    recipe: Recipe | None = None,
    frames: str | None = None,
    input_space: str | None = None,
    config: str | None = None,
    allow_noncommercial: bool = False,
) -> tuple[Fed, ...]:
    """Return what a network is fed on a plate.

    Args:
        recipe: one that runs the network; `recipe_for` it when None.
        frames: the range to render; None for a few, spread over the plate.

    Raises:
        WetgateError: whatever keeps the frames from being rendered.
    """
    numbers = find_sequence(plate).numbers
    chosen = FrameRange.from_numbers(numbers[:: -(-len(numbers) // FRAMES)])
    with (
        tempfile.TemporaryDirectory(prefix="wetgate-") as folder,
        recording(TILES) as recorder,
    ):
        run_job(
            JobOptions(
                plate=plate,
                out=Path(folder) / "out",
                recipe=recipe or recipe_for(card),
                frames=FrameRange.from_str(frames) if frames else chosen,
                input_space=input_space,
                config=config,
                policy="creative",
                allow_noncommercial=allow_noncommercial,
            )
        )
    return recorder.fed(card.name)
