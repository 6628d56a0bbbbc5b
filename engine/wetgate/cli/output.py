"""Where the command line's words go: a terminal, plain lines, or one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from wetgate.model.errors import WetgateError

if TYPE_CHECKING:
    from rich.console import Console


class Output:
    """Prints results to stdout and trouble to stderr, in the form that was asked for.

    Attributes:
        json: whether every line is a JSON object with an `event` key.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches: progress may redraw itself."""
        return not self.json and sys.stdout.isatty()

    def console(self) -> Console:
        """Return a rich console on stdout."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=not self.is_terminal)

    def event(self, name: str, /, **facts: object) -> None:
        """Print one JSON object; nothing unless JSON was asked for."""
        if self.json:
            _write(sys.stdout, json.dumps({"event": name, **plain_dict(facts)}, allow_nan=False))

    def line(self, text: str = "") -> None:
        """Print a line for people; nothing when JSON was asked for."""
        if not self.json:
            _write(sys.stdout, text)

    def facts(self, title: str, rows: Sequence[tuple[str, object]]) -> None:
        """Print a titled list of facts for people, aligned; empty ones are left out."""
        shown = [(name, str(value)) for name, value in rows if value not in (None, "", (), [])]
        width = max((len(name) for name, _ in shown), default=0)
        self.line(title)
        for name, value in shown:
            self.line(f"  {name.ljust(width)}  {value}")

    def warn(self, text: str, **facts: object) -> None:
        """Print a warning: to stderr for people, as an event for programs."""
        if self.json:
            self.event("warning", message=text, **facts)
        else:
            _write(sys.stderr, f"warning: {text}")

    def error(self, error: WetgateError) -> None:
        """Print an error of wetgate: one line on stderr."""
        self.error_text(
            str(error),
            code=type(error).__name__,
            exit_code=error.exit_code,
            path=error.path,
            frame=error.frame,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        )

    def error_text(self, message: str, *, code: str, exit_code: int, **facts: object) -> None:
        """Print an error given in words."""
        if self.json:
            known = {k: v for k, v in plain_dict(facts).items() if v is not None}
            record = {"event": "error", "code": code, "exit_code": exit_code, "message": message}
            _write(sys.stderr, json.dumps({**record, **known}, allow_nan=False))
        else:
            _write(sys.stderr, f"wetgate: {' '.join(message.split())}")


def plain_dict(facts: Mapping[str, object]) -> dict[str, object]:
    """Return facts as JSON values."""
    return {str(key): plain(value) for key, value in facts.items()}


def plain(value: object) -> object:
    """Return a value as JSON: dataclasses become objects, paths text, non-finite numbers null."""
    if value is None or (isinstance(value, (str, bool, int)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return plain_dict(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, Set):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, (Sequence, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (Path, Fraction)):
        return str(value)
    return str(value)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        _go_on_unheard(stream)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _go_on_unheard(stream: TextIO) -> None:
    """Lead a stream that nobody reads any more (`| head`, a log that died) into nothing.

    The work goes on, and the exit code tells how it ended.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
