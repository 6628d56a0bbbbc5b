"""`wetgate models list | show | add | remove | verify | bundle | quantize`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wetgate.cli.options import JsonFlag, Overwrite
from wetgate.cli.output import Output
from wetgate.cli.quantize import quantize
from wetgate.model.errors import ModelLoadError, UsageError, WetgateError

if TYPE_CHECKING:
    from wetgate.weights import ModelCard, ModelPackage

app = typer.Typer(help="Look after the networks that operators run.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a model, or the folder of a package.")]
Noncommercial = Annotated[
    bool,
    typer.Option(
        "--accept-noncommercial",
        help="Take weights that may not be used commercially, or whose licence is not stated.",
    ),
]


@app.command("list")
def list_models(json: JsonFlag = False) -> None:
    """List the models that come with wetgate and those that were added."""
    from wetgate.weights import BrokenPackage, scan_models, shipped_folder, user_folder
    from wetgate.weights.page import licence_line

    output = Output(json=json)
    rows = [("name", "version", "task", "scale", "parameters", "licence", "")]
    for found in scan_models():
        if isinstance(found, BrokenPackage):
            output.warn(str(found.error), folder=found.folder)
            continue
        card = found.card
        ships = found.folder.parent == shipped_folder()
        marks = [m for m, on in (("generative", card.generative), ("added", not ships)) if on]
        rows.append((
            card.name, str(card.version), card.task, f"x{card.scale}", f"{card.parameters:,}",
            licence_line(card), ", ".join(marks),
        ))  # fmt: skip
        output.event("model", shipped=ships, folder=found.folder, digest=card.digest,
                     card=card.to_dict())  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        output.line("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    output.line(f"added ones are in {user_folder()}")


@app.command("show")
def show(
    name: Name,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    json: JsonFlag = False,
) -> None:
    """Print the card of a model: what it is, where it comes from, how good it is."""
    from wetgate.weights import find_model
    from wetgate.weights.page import card_page

    output = Output(json=json)
    package = find_model(name)
    output.event("model", folder=package.folder, digest=package.card.digest,
                 card=package.card.to_dict())  # fmt: skip
    output.line(card_page(package.card, markdown=markdown).rstrip())


@app.command("add")
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A bundle, a package folder, an .onnx file, a PyTorch checkpoint, one of an "
            "ncnn pair .param and .bin, or a known name such as realesrgan-x4plus."
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name it will have.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="SPDX name of the weights' licence.")
    ] = None,
    accept_noncommercial: Noncommercial = False,
    overwrite: Overwrite = False,
    json: JsonFlag = False,
) -> None:
    """Add a model; what is foreign is converted once, in a process that can reach nothing."""
    from wetgate.weights import user_folder
    from wetgate.weights.card import CARD_NAME, check_name

    output = Output(json=json)
    if name is not None:
        check_name(name)
    path = Path(source)
    added: tuple[ModelPackage, ...]
    if path.is_file() and _is_bundle(path):
        added = _add_bundle(path, name, accept_noncommercial, overwrite)
    elif (path / CARD_NAME).is_file():
        added = (_add_folder(path, name, accept_noncommercial, overwrite),)
    else:
        from wetgate.importers import import_model

        try:
            added = (
                import_model(
                    source,
                    name=name,
                    licence=licence,
                    destination=user_folder(),
                    accept_noncommercial=accept_noncommercial,
                    overwrite=overwrite,
                ),
            )
        except ModelLoadError as error:
            if "licence" not in error.found or accept_noncommercial:
                raise
            raise ModelLoadError(
                error.found,
                path=error.path,
                expected=error.expected,
                remedy="pass --licence SPDX-NAME when you know it, or --accept-noncommercial",
            ) from error
    for package in added:
        _say_added(package, output)


@app.command("remove")
def remove(name: Name, json: JsonFlag = False) -> None:
    """Remove a model that was added."""
    from wetgate.weights import shipped_folder, user_folder
    from wetgate.weights.card import CARD_NAME

    output = Output(json=json)
    folder = user_folder() / name
    if Path(name).name != name or name.startswith("."):
        raise UsageError(f"{name!r} is not a name", expected="the name of a model that was added")
    if not (folder / CARD_NAME).exists():
        if (shipped_folder() / name / CARD_NAME).exists():
            raise UsageError(f"{name} comes with wetgate", remedy="only added models are removed")
        raise ModelLoadError(f"no model {name!r} was added", remedy="wetgate models list")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        from wetgate.io.atomic import output_error

        raise output_error(error, folder) from error
    output.event("removed", name=name, folder=folder)
    output.line(f"removed {folder}")


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or folders; every model if absent.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Prove every file against its card, look at the graph and run it once."""
    from wetgate.backends.check import check_package
    from wetgate.weights import BrokenPackage, find_model, scan_models

    output = Output(json=json)
    failed = 0
    everything: list[str | ModelPackage | BrokenPackage] = [*(names or scan_models())]
    for wanted in everything:
        label = wanted if isinstance(wanted, str) else wanted.folder.name
        try:
            if isinstance(wanted, BrokenPackage):
                raise wanted.error
            package = find_model(wanted) if isinstance(wanted, str) else wanted
            proved = check_package(package)
        except WetgateError as error:
            failed += 1
            output.error(error)
            output.event("model", name=label, ok=False, message=str(error))
            continue
        output.event("model", name=label, ok=True, proved=proved, digest=package.card.digest)
        output.line(f"{label}: {'; '.join(proved)}")
    return ModelLoadError.exit_code if failed else 0


@app.command("bundle")
def bundle(
    names: Annotated[list[str], typer.Argument(help="Names of models.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    overwrite: Overwrite = False,
    json: JsonFlag = False,
) -> None:
    """Write models into one file, for a machine without a network."""
    from wetgate.model.errors import TargetExists
    from wetgate.model.units import format_bytes
    from wetgate.weights import find_model
    from wetgate.weights.bundle import BUNDLE_SUFFIX, write_bundle

    output = Output(json=json)
    target = out if out.suffix else out.with_suffix(BUNDLE_SUFFIX)
    if target.exists() and not overwrite:
        raise TargetExists("the file exists", path=target, remedy="pass --overwrite")
    try:
        write_bundle([find_model(name) for name in names], target)
    except OSError as error:
        from wetgate.io.atomic import output_error

        raise output_error(error, target) from error
    size = target.stat().st_size
    output.event("bundle", path=target, bytes=size, models=names)
    count = f"{len(names)} model{'s' if len(names) > 1 else ''}"
    output.line(f"{count} in {target}, {format_bytes(size)}")


app.command("quantize")(quantize)


def _is_bundle(path: Path) -> bool:
    from wetgate.weights.bundle import is_bundle

    return is_bundle(path)


def _add_bundle(
    path: Path, name: str | None, accepted: bool, overwrite: bool
) -> tuple[ModelPackage, ...]:
    from wetgate.weights import user_folder
    from wetgate.weights.bundle import add_bundle, bundle_cards

    cards = bundle_cards(path)
    if name is not None and name not in [card.name for card in cards]:
        raise ModelLoadError(
            f"no model {name!r} in the bundle",
            path=path,
            expected=f"one of {', '.join(card.name for card in cards)}",
        )
    wanted = [card for card in cards if name in (None, card.name)]
    for card in wanted:
        _check_free(
            card, accepted, overwrite, taken="it is here already; name another of the bundle"
        )
    chosen = [card.name for card in wanted]
    return add_bundle(path, user_folder(), names=chosen, overwrite=overwrite)


def _add_folder(path: Path, name: str | None, accepted: bool, overwrite: bool) -> ModelPackage:
    from dataclasses import replace

    from wetgate.weights import find_model, user_folder, write_package

    package = find_model(path)
    card = replace(package.card, name=name or package.card.name)
    _check_free(card, accepted, overwrite)
    files = {n: package.read(n) for n in card.files}
    return write_package(user_folder() / card.name, card, files, overwrite=overwrite)


def _check_free(
    card: ModelCard, accepted: bool, overwrite: bool, *, taken: str = "pass another --name"
) -> None:
    """Refuse a licence that was not accepted, and a name that something else has.

    Args:
        taken: the remedy where the name is that of a shipped model.
    """
    from wetgate.weights import shipped_folder, user_folder
    from wetgate.weights.page import licence_line

    if not card.commercial and not accepted:
        raise ModelLoadError(
            f"{card.name}: {licence_line(card)}", remedy="pass --accept-noncommercial to take it"
        )
    if (shipped_folder() / card.name).exists():
        raise ModelLoadError(f"{card.name} is the name of a model that comes with wetgate",
                             remedy=taken)  # fmt: skip
    if (user_folder() / card.name).exists() and not overwrite:
        raise ModelLoadError(
            f"there is a model {card.name} already", remedy="pass --overwrite, or remove it first"
        )


def _say_added(package: ModelPackage, output: Output) -> None:
    from wetgate.weights.page import licence_line

    card = package.card
    output.event("added", name=card.name, folder=package.folder, digest=card.digest,
                 card=card.to_dict())  # fmt: skip
    output.line(f"added {card.name}: {card.architecture}, x{card.scale}, {licence_line(card)}")
    if card.generative:
        output.line("  generative: it invents detail, and archival and forensic policies refuse it")
    output.line(f"  in {package.folder}")
