"""`wetgate models quantize`: render a few frames, keep what the network saw, make it int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wetgate.cli.options import ConfigPath, Frames, InputSpace, JsonFlag, Overwrite
from wetgate.cli.output import Output

if TYPE_CHECKING:
    from wetgate.backends.quantize import Keep

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
    from wetgate.recipe import load_recipe
    from wetgate.render.fed import planes_fed, recipe_for
    from wetgate.weights import find_model, user_folder
    from wetgate.weights.card import check_name

    output = Output(json=json)
    if as_name is not None:
        check_name(as_name)
    package = find_model(name)
    fed = planes_fed(
        package.card,
        calibrate,
        recipe=load_recipe(recipe) if recipe else recipe_for(package.card, name),
        frames=frames,
        input_space=input_space,
        config=config,
        allow_noncommercial=accept_noncommercial,
    )
    shot = Path(calibrate).name
    made = make_int8(
        package,
        fed,
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
