"""`wetgate bench`: every claim as a command that prints one table and writes it as JSON."""

from __future__ import annotations

import importlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError

Name = Literal[
    "custody",
    "deartifact",
    "deblur",
    "denoise",
    "dirt",
    "identity",
    "io",
    "memory",
    "runtimes",
    "scratches",
    "service",
    "split",
    "steadiness",
    "stills",
    "upscale",
]


def bench(
    name: Annotated[Name, typer.Argument(help="What to measure.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for the table as JSON.")
    ] = Path("bench-out"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer cases, for a first look.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Directory of test pictures, where one is used.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Measure wetgate beside its peers in one run; the peers come with the bench extra."""
    output = Output(json=json)
    try:
        module = importlib.import_module(f"wetgate.bench.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this benchmark needs {error.name}", remedy="pip install 'wetgate[bench]'"
        ) from error
    table: Any = module.run(quick=quick, data=data)
    out.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    target = out / f"{name}-{stamp}.json"
    target.write_text(table.to_json(), encoding="utf-8")
    output.line(table.to_text())
    drawn = module.draw(table, target.with_suffix("")) if hasattr(module, "draw") else []
    output.line(f"written to {', '.join(str(path) for path in (target, *drawn))}")
    output.event("bench", table=table.as_dict(), path=target)
