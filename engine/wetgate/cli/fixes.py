"""`wetgate revert | replay | review | decide`."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output
from wetgate.cli.progress import job_view
from wetgate.model.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from wetgate.render.fixes.replayed import Replayed

Directory = Annotated[Path, typer.Argument(help="A directory that wetgate has written.")]
By = Annotated[str, typer.Option("--by", help="Who decides; goes on record.")]
Note = Annotated[str, typer.Option("--note", help="Why; goes on record.")]
Source = Annotated[
    str | None, typer.Option("--source", help="Where the scan is now, when it has moved.")
]


def revert(
    directory: Directory,
    fix: Annotated[
        list[str], typer.Option("--fix", help="Id of a fix, e.g. dirt-1001-345-210; repeatable.")
    ],
    apply: Annotated[
        bool, typer.Option("--apply", help="Apply fixes again that were taken back.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the frames there instead.")
    ] = None,
    by: By = "",
    note: Note = "",
    json: JsonFlag = False,
) -> None:
    """Take fixes back: the scan's own samples in their pixels, and nothing else changes."""
    from wetgate.render.fixes.revert import Request, change_fixes

    output = Output(json=json)
    request = Request(ids=fix, apply=apply, out=out, by=by, note=note)
    done = "applied again" if apply else "taken back"
    frames = change_fixes(directory, request)
    for frame in frames:
        output.event("reverted" if not apply else "applied", frame=frame)
        for name in frame.fixes:
            output.line(f"{name} {done}")
        for name in frame.already:
            output.line(f"{name} was {done} before")
        if frame.fixes:
            count = f"{frame.pixels} pixel{'' if frame.pixels == 1 else 's'}"
            output.line(f"frame {frame.number}: {count}, {frame.path}")
    if not apply and any(frame.other_steps for frame in frames):
        output.warn(
            "other steps changed these frames too; the pixels of the fixes are now the scan's own. "
            "To leave out the fixes alone, reject them with `wetgate decide` and restore again"
        )


def replay(
    directory: Directory,
    to: Annotated[Path, typer.Option("--to", help="Directory for the frames made again.")],
    source: Source = None,
    render: Annotated[
        bool, typer.Option("--render", help="Run the recipe even where the journal would do.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Make an output again from its record, and compare it digest by digest."""
    from wetgate.render.fixes.replay import replay as replay_output

    output = Output(json=json)

    def tell(frame: Replayed) -> None:
        output.event("replayed", frame=frame)
        if frame.error is not None:
            output.line(f"{frame.number}  {frame.verdict}: {frame.error}")

    with job_view(output) as view:
        report = replay_output(
            directory, to, plate=source, render=render, on_frame=tell, on_event=view
        )
    counts = Counter(frame.verdict for frame in report.frames)
    output.event(
        "finished",
        way=report.way,
        why=report.why,
        counts=dict(counts),
        exit_code=report.exit_code,
    )
    how = {
        "journal": "from the scan and the journal; no operator was run",
        "render": "rendered again from recipe, analysis and decisions on record",
    }[report.way]
    output.line(f"{how} ({report.why})")
    words = {
        "same": "the same file",
        "same samples": "the same samples in other bytes",
        "differs": "different",
        "failed": "failed",
    }
    for verdict, count in sorted(counts.items()):
        output.line(f"{count} of {len(report.frames)} frames: {words[verdict]}")
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def review(
    directory: Directory,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; review.html in there if absent.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option("--decisions", help="Verdicts to begin with.")
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, help="How many fixes, the most doubtful ones.")
    ] = 400,
    source: Source = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Show the shot in a browser of this machine instead: frames, wipe, scopes, fixes.",
        ),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Write one offline page of all fixes with crops, the most doubtful first, to judge them."""
    from wetgate.render.reporting.review import write_review

    output = Output(json=json)
    if open_:
        _open_page(directory, output, offline=(out, decisions, source))
        return
    page, data = write_review(directory, out, plate=source, decisions=decisions, most=most)
    output.event("reviewed", page=page, shown=len(data.cards), total=data.total)
    for text in data.trouble:
        output.warn(text)
    output.line(f"{len(data.cards)} of {data.total} fixes: {page}")


def _open_page(directory: Path, output: Output, *, offline: tuple[object, ...]) -> None:
    """Bring an output to the service's page and a browser to the page."""
    from wetgate.render.fixes.restored import open_restored
    from wetgate.service.discovery import Home
    from wetgate.service.local import call_service, start_service

    if any(value is not None for value in offline):
        raise UsageError(
            "--out, --decisions and --source are of the offline page", expected="--open"
        )
    open_restored(directory)  # refuses what is no output before a service is started for it
    home = Home.of_user()
    home.prepare()
    start_service(home)
    place = str(directory.absolute())
    adopted = call_service(home, "POST", "/v1/jobs/adopt", {"directory": place})
    job = adopted["job"]["id"] if adopted is not None else None
    told = call_service(home, "POST", "/v1/page", {"job": job})
    if told is None:
        raise ServiceError("the service has gone", remedy=f"see {home.log}")
    url = str(told["url"])
    shown = not output.json and typer.launch(url) == 0
    output.event("page", url=url, job=job)
    opened = "opened in a browser" if shown else "open in a browser of this machine"
    output.line(f"{opened}, good once for two minutes: {url}")


def decide(
    directory: Directory,
    accept: Annotated[
        list[str] | None, typer.Option("--accept", help="Id of a fix that is a defect.")
    ] = None,
    reject: Annotated[
        list[str] | None, typer.Option("--reject", help="Id of a fix that is picture.")
    ] = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", help="Id to forget the verdict on.")
    ] = None,
    take: Annotated[
        Path | None, typer.Option("--take", help="Verdicts of a review page to put in.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file; decisions.json in there."),
    ] = None,
    by: By = "",
    note: Note = "",
    json: JsonFlag = False,
) -> None:
    """Accept or reject fixes; the next render with --decisions obeys."""
    from wetgate.render.fixes.decide import decide_fixes

    if not (accept or reject or clear or take):
        raise UsageError("nothing is decided", expected="--accept, --reject, --clear or --take")
    output = Output(json=json)
    path, verdicts = decide_fixes(
        directory,
        accept=accept or (),
        reject=reject or (),
        clear=clear or (),
        take=take,
        path=out,
        by=by,
        note=note,
    )
    output.event("decided", path=path, **verdicts.document())
    output.line(f"{len(verdicts.accepted)} accepted, {len(verdicts.rejected)} rejected: {path}")
    output.line(f"to obey them: wetgate restore ... --decisions {shlex.quote(str(path))}")
