"""`wetgate train`: train a shipped network again from its committed recipe."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError
from wetgate.model.units import format_seconds


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a model with a recipe, or a .toml file.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Folder with the recorded photographs; may be repeated."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for the package and the run.")
    ] = Path("train-out"),
    threads: Annotated[int, typer.Option("--threads", help="CPU threads.", min=1)] = 1,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Other than the recipe's, for a try.", min=1)
    ] = None,
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Prepared material, shared between runs.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Train a network from its recipe and write a model package; run again to go on."""
    output = Output(json=json)
    try:
        from wetgate.train.run import run_training
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs {error.name}", remedy="pip install 'wetgate[torch]'"
        ) from error
    from wetgate.train.task import load_recipe

    if not json:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    package = run_training(
        load_recipe(recipe), out, data, threads=threads, steps=steps, shards=shards
    )
    spent = time.monotonic() - started
    for record in package.card.quality:
        output.line(
            f"{record.data}: {record.value:.2f} {record.metric}"
            + (f", {record.twin} {record.twin_value:.2f}" if record.twin_value is not None else "")
        )
    output.event("trained", package=package.folder, card=package.card.to_dict())
    output.line(f"{package.folder}, {format_seconds(spent)}")
