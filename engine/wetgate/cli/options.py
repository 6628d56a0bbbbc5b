"""Options that several verbs share, and their parsing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Policy = Literal["archival", "forensic", "creative"]
CodeRange = Literal["full", "legal"]

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line instead of text.")
]
Plate = Annotated[
    str,
    typer.Argument(
        help="The source: a directory, one frame, or a pattern (%04d, ####, $F4, [1001-1100])."
    ),
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="A directory, or a pattern such as out/shot.%04d.exr.")
]
RecipeName = Annotated[str, typer.Option("--recipe", help="A built-in recipe or a .toml file.")]
Frames = Annotated[
    str | None, typer.Option("--frames", help="Frames to do, e.g. 1001-1100x2,1203.")
]
InputSpace = Annotated[
    str | None,
    typer.Option("--input-space", help="Color space of the source, when the files do not say."),
]
OutputSpace = Annotated[
    str | None, typer.Option("--output-space", help="Color space to write; the source's if absent.")
]
ConfigPath = Annotated[
    str | None,
    typer.Option("--config", help="OCIO config: a file, or 'env' for $OCIO; wetgate's if absent."),
]
PolicyOption = Annotated[
    Policy, typer.Option("--policy", help="What an operator may do to the picture.")
]
Matte = Annotated[
    str | None, typer.Option("--matte", help="Sequence of mattes: 1 restores, 0 leaves alone.")
]
Holdout = Annotated[
    str | None, typer.Option("--holdout", help="Sequence of mattes: 1 keeps the scan's bits.")
]
Defects = Annotated[
    str | None,
    typer.Option(
        "--defects",
        help="Sequence that says where defects are, 0-1; name#CHANNEL for one channel of it, "
        "name#!CHANNEL where defects are dark (infra-red).",
    ),
]
Decisions = Annotated[
    Path | None, typer.Option("--decisions", help="Verdicts on single fixes, a .json file.")
]
ProvenanceMode = Literal["auto", "sidecar", "layers", "none"]
ProvenanceOption = Annotated[
    ProvenanceMode,
    typer.Option(
        "--provenance",
        help="Write class, source and fix of every pixel: an EXR sequence beside the frames, or "
        "layers in them; auto is a sidecar where a step repairs defects.",
    ),
]
Memory = Annotated[
    str | None, typer.Option("--memory", help="Most memory to use, e.g. 4GB or 3GiB.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads to use; all cores if absent.")
]
AcceptNoncommercial = Annotated[
    bool,
    typer.Option("--accept-noncommercial", help="Run models whose licence forbids commercial use."),
]
Strength = Annotated[
    float | None,
    typer.Option("--strength", min=0.0, max=1.0, help="0 does nothing, 1 the whole recipe."),
]
Range = Annotated[
    CodeRange | None, typer.Option("--range", help="How integer codes are to be understood.")
]
LayerName = Annotated[str | None, typer.Option("--layer", help="EXR part or layer to work on.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep frames that are finished, do the rest.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AnalysisPath = Annotated[
    Path | None, typer.Option("--analysis", help="Analysis file of the whole shot to use.")
]
