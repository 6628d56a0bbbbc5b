"""`wetgate install`."""

from __future__ import annotations

import json as json_text
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError

if TYPE_CHECKING:
    from wetgate.install.blender import Place

app = typer.Typer(help="Put adapters into hosts.", no_args_is_help=True)


@app.callback()
def _hosts() -> None:
    """Put adapters into hosts."""


@app.command("blender")
def blender(
    version: Annotated[
        str | None, typer.Option("--version", help="One version only, e.g. 4.2; all if absent.")
    ] = None,
    program: Annotated[
        Path | None, typer.Option("--program", help="A Blender that is not in a usual place.")
    ] = None,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Take the add-on away again.")
    ] = False,
    enable: Annotated[
        bool,
        typer.Option(help="Let Blender switch the add-on on and save the preferences."),
    ] = True,
    engine: Annotated[
        Path | None, typer.Option("--engine", help="The wetgate that Blender starts; this one.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Put the sequencer add-on into the Blenders of this user."""
    from wetgate.install.blender import find_places

    output = Output(json=json)
    programs = None if program is None else [program]
    places = find_places(version=version, programs=programs)
    if uninstall:
        found = [place for place in places if place.folder.exists()]
        if not found:
            raise UsageError("the add-on is in none of the Blenders of this user")
        for place in found:
            _take_away(place, output)
        return
    path = _engine(engine)
    for place in places:
        _put(place, path, output, switch_on=enable)


def _put(place: Place, engine: Path, output: Output, *, switch_on: bool) -> None:
    from wetgate.install.blender import enable
    from wetgate.install.files import note_enabled, put_files
    from wetgate.install.pack import BLENDER, adapter_files

    settings = json_text.dumps({"engine": str(engine)}, indent=1) + "\n"
    files = {**adapter_files(BLENDER), "settings.json": settings.encode("utf-8")}
    put_files(place.folder, files)
    trouble = enable(place) if switch_on else "not asked for"
    if trouble is None:
        note_enabled(place.folder)
    output.event(
        "installed",
        version=place.name,
        folder=place.folder,
        engine=engine,
        enabled=trouble is None,
        why_not=trouble,
    )
    output.line(f"Blender {place.name}: {len(files)} files in {place.folder}")
    output.line(f"  engine: {engine}")
    if trouble is None:
        output.line(f"  switched on by {place.program}")
    else:
        output.line(f"  switch it on in Preferences > Add-ons, search for Wetgate ({trouble})")


def _take_away(place: Place, output: Output) -> None:
    from wetgate.install.blender import enable
    from wetgate.install.files import remove_files, was_enabled

    trouble = enable(place, on=False) if was_enabled(place.folder) else None
    done = remove_files(place.folder)
    output.event(
        "uninstalled",
        version=place.name,
        folder=place.folder,
        files=done.files,
        kept=done.kept,
        disabled=done.enabled and trouble is None,
    )
    output.line(f"Blender {place.name}: {done.files} files removed from {place.folder}")
    if done.enabled:
        output.line("  switched off" if trouble is None else f"  not switched off: {trouble}")
    for name in done.kept:
        output.warn(f"{place.folder / name} stays: wetgate has not written it like that")


def _engine(named: Path | None) -> Path:
    if named is None:
        beside = shutil.which("wetgate", path=str(Path(sys.executable).parent))
        found = beside or shutil.which("wetgate")
        if found is None:
            raise UsageError("the program wetgate is not found", remedy="name it with --engine")
        return Path(found).absolute()
    if not named.is_file():
        raise UsageError("no such program", path=named)
    return named.absolute()
