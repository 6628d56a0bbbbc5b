"""`wetgate simulate`: damage a clean shot, with the truth known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from wetgate.cli.options import ConfigPath, Frames, InputSpace, JsonFlag, Overwrite
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError
from wetgate.model.units import format_seconds


def simulate(
    clean: Annotated[str, typer.Argument(help="A clean sequence, or one photograph.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the damaged frames.")],
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="film-print, 1950s-print, vhs-h264, dirt-heavy, h264-medium ...; "
            "an unknown one lists all.",
        ),
    ] = "film-print",
    seed: Annotated[int, typer.Option("--seed", help="Decides every random draw.")] = 7,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="Directory for clean frames, mattes, flow, each stage's law."),
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option("--overlays", help="Lay film-damage pictures too: a folder of PNG a class."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", help="Of a shot made from a photograph, e.g. 960x540.")
    ] = None,
    occluders: Annotated[
        int,
        typer.Option("--occluders", min=0, help="Things that pass before a photograph, nearer."),
    ] = 0,
    frames: Frames = None,
    input_space: InputSpace = None,
    config: ConfigPath = None,
    overwrite: Overwrite = False,
    json: JsonFlag = False,
) -> None:
    """Damage a clean shot and write the truth beside it."""
    from dataclasses import replace

    from wetgate.color.config import load_config
    from wetgate.io.ranges import FrameRange
    from wetgate.simulate import preset as damage_preset
    from wetgate.simulate.files import write_shot
    from wetgate.simulate.presets import with_overlays
    from wetgate.simulate.sequence import output_numbers
    from wetgate.simulate.source import open_clean

    output = Output(json=json)
    started = time.monotonic()
    loaded = load_config(config)
    damage = damage_preset(preset, seed)
    if overlays is not None:
        damage = with_overlays(damage, overlays)
    if occluders:
        damage = replace(damage, occluders=occluders)
    source = open_clean(
        clean,
        damage,
        config=loaded,
        frames=FrameRange.from_str(frames) if frames else None,
        input_space=input_space,
        size=_size(size),
    )
    done, count = 0, len(output_numbers(source.spec, source.numbers))
    for number in write_shot(source, out, config=loaded, truth=truth, overwrite=overwrite):
        done += 1
        output.event("frame", number=number, done=done, of=count)
    spent = time.monotonic() - started
    output.event("finished", frames=done, out=out, truth=truth, color_space=source.space)
    output.line(f"{done} frames in {out}, {source.space}, {format_seconds(spent)}")
    if truth is not None:
        output.line(f"truth in {truth}")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and 16 <= int(p) <= 16384 for p in parts):
        raise UsageError(f"--size {text}", expected="WIDTHxHEIGHT, e.g. 960x540")
    return int(parts[0]), int(parts[1])
