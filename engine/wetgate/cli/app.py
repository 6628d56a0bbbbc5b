"""Assemble the verbs, and turn what goes wrong into one line and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from wetgate.cli import (
    bench,
    fixes,
    inspect,
    install,
    jobs,
    models,
    recipes,
    serve,
    simulate,
    train,
)
from wetgate.cli.output import Output
from wetgate.model.errors import Cancelled, OutOfMemory, WetgateError
from wetgate.model.version import __version__

app = typer.Typer(
    name="wetgate",
    help="Restore film and video frame sequences, and change nothing else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        Output().line(f"wetgate {__version__}")
        raise typer.Exit(0)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Restore film and video frame sequences, and change nothing else."""


app.command("restore")(jobs.restore)
app.command("plan")(jobs.plan)
app.command("chunk")(jobs.chunk)
app.command("verify")(jobs.verify)
app.command("review")(fixes.review)
app.command("decide")(fixes.decide)
app.command("revert")(fixes.revert)
app.command("replay")(fixes.replay)
app.command("inspect")(inspect.inspect)
app.command("doctor")(inspect.doctor)
app.command("simulate")(simulate.simulate)
app.add_typer(recipes.app, name="recipes")
app.add_typer(models.app, name="models")
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.add_typer(install.app, name="install")
app.command("serve")(serve.serve)
app.command("status")(serve.status)

# The class that carries usage errors has had several homes; its name has stayed.
_UsageTrouble: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code (`ecosystem.md`: 0, 2 to 7, 130)."""
    code = run(sys.argv[1:] if arguments is None else list(arguments))
    # All is said and done: an impatient interrupt must not turn the farewell into a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; prints one line for every refusal."""
    output = Output(json="--json" in arguments)
    command: Any = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="wetgate", standalone_mode=False)
    except WetgateError as error:
        output.error(error)
        return error.exit_code
    except _UsageTrouble as error:
        return _usage(error, output)
    except MemoryError:
        spent = OutOfMemory("the system has no memory left", remedy="pass a smaller --memory")
        output.error(spent)
        return spent.exit_code
    except (KeyboardInterrupt, typer.Abort):
        output.error(Cancelled("interrupted", remedy="run it again with --resume"))
        return Cancelled.exit_code
    return code if isinstance(code, int) else 0


def _usage(error: Exception, output: Output) -> int:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        # The message is the help, and where it has been printed already, nothing.
        output.line(message)
        return 2
    hint = f"; see {context.command_path} --help" if context is not None else ""
    output.error_text(message.rstrip(".") + hint, code="UsageError", exit_code=2)
    return 2
