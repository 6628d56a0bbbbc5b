"""`wetgate models quantize`: render a few frames, keep what the network saw, make it int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wetgate.cli.options import ConfigPath, Frames, InputSpace, JsonFlag, Overwrite
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError

if TYPE_CHECKING:
    from wetgate.backends.base import Planes
    from wetgate.backends.quantize import Keep
    from wetgate.recipe import Recipe
    from wetgate.weights import ModelCard

_FRAMES = 4
"""Frames of the plate that are rendered when none are named, spread over it evenly."""
_TILES = 24
_KEPT: dict[str, tuple[Keep, ...]] = {
    "none": (),
    "first": ("first",),
    "last": ("last",),
    "both": ("first", "last"),
}


def quantize(
    name: Annotated[str, typer.Argument(help="Name of a model, or the folder of a package.")],
    calibrate: Annotated[
        str, typer.Option("--calibrate", help="A plate like those it will be used on.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe that runs the model; its own operator if absent."),
    ] = None,
    frames: Frames = None,
    input_space: InputSpace = None,
    config: ConfigPath = None,
    as_name: Annotated[
        str | None, typer.Option("--name", help="Name of the copy; NAME-int8 if absent.")
    ] = None,
    keep_float: Annotated[
        Literal["none", "first", "last", "both"],
        typer.Option("--keep-float", help="Convolutions to leave in float32."),
    ] = "none",
    accept_noncommercial: Annotated[
        bool, typer.Option("--accept-noncommercial", help="Run a non-commercial model.")
    ] = False,
    overwrite: Overwrite = False,
    json: JsonFlag = False,
) -> None:
    """Make an int8 copy of a model, calibrated on a plate, and measure what it loses there."""
    from wetgate.backends.quantize import quantize as make_int8
    from wetgate.weights import find_model, user_folder

    output = Output(json=json)
    package = find_model(name)
    planes = _planes_of(
        package.card,
        calibrate,
        recipe=_recipe(package.card, name, recipe),
        frames=frames,
        input_space=input_space,
        config=config,
        accept_noncommercial=accept_noncommercial,
    )
    shot = Path(calibrate).name
    made = make_int8(
        package,
        planes,
        destination=user_folder(),
        shot=shot,
        command=f"wetgate models quantize {package.card.name} --calibrate {shot}",
        name=as_name,
        keep_float=_KEPT[keep_float],
        overwrite=overwrite,
    )
    losses = {db: made.loss_at(db) for db in (30, 35, 40)}
    output.event(
        "quantized",
        name=made.package.card.name,
        folder=made.package.folder,
        digest=made.package.card.digest,
        psnr_db=made.psnr,
        worst=made.worst,
        patches=made.patches,
        measured=made.measured,
        loss_db={str(db): loss for db, loss in losses.items()},
    )
    output.line(f"{made.package.card.name} in {made.package.folder}")
    output.line(
        f"  {made.psnr:.1f} dB from its fp32 on {shot} (largest difference {made.worst:.2g}; "
        f"{made.patches} patches decided the ranges, {made.measured} others measured)"
    )
    for db, loss in losses.items():
        output.line(f"  a result at {db} dB would lose {loss:.2f} dB")


def _recipe(card: ModelCard, name: str, recipe: str | None) -> Recipe:
    """Return the recipe that runs the network: the one asked for, or its operator alone."""
    from wetgate.operators.registry import operator_names
    from wetgate.recipe import load_recipe
    from wetgate.recipe.schema import Recipe, Step

    if recipe is not None:
        return load_recipe(recipe)
    operator = card.task.removesuffix("-temporal")
    operator = next(
        (n for n in operator_names() if n in (operator, operator.replace("-", "_"))), ""
    )
    if not operator:
        raise UsageError(
            f"no operator is known to run {card.name}, a model of task {card.task}",
            remedy="pass a --recipe whose step has it as its net",
        )
    # The temporal network runs behind the spatial one, and only the pair has a name.
    net = "auto" if card.task == "denoise-temporal" else name
    return Recipe(name="calibration", steps=(Step(operator=operator, params={"net": net}),))


def _planes_of(
    card: ModelCard,
    plate: str,
    *,
    recipe: Recipe,
    frames: str | None,
    input_space: str | None,
    config: str | None,
    accept_noncommercial: bool,
) -> tuple[Planes, ...]:
    """Render frames of a plate into nothing and return what the network was fed."""
    from wetgate.backends.record import recording
    from wetgate.io.ranges import FrameRange
    from wetgate.io.sequence import find_sequence
    from wetgate.render.job import run_job
    from wetgate.render.options import JobOptions

    numbers = find_sequence(plate, None).numbers
    chosen = numbers[:: -(-len(numbers) // _FRAMES)]
    with (
        tempfile.TemporaryDirectory(prefix="wetgate-calibrate-") as folder,
        recording(_TILES) as recorder,
    ):
        run_job(
            JobOptions(
                plate=plate,
                out=Path(folder) / "out",
                recipe=recipe,
                frames=FrameRange.from_str(frames or ",".join(map(str, chosen))),
                input_space=input_space,
                config=config,
                policy="creative",
                allow_noncommercial=accept_noncommercial,
            )
        )
    return recorder.planes(card.name)
