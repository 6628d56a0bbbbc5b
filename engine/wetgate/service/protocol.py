"""The messages of the service: what a request may say, and how an error is told."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from wetgate.model.errors import (
    ApiVersion,
    BadRequest,
    MessageTooLarge,
    NoSuchJob,
    NotAllowed,
    WetgateError,
    WrongState,
)

_STATUS: tuple[tuple[type[WetgateError], int], ...] = (
    (BadRequest, 400),
    (NotAllowed, 403),
    (NoSuchJob, 404),
    (WrongState, 409),
    (MessageTooLarge, 413),
    (ApiVersion, 426),
    (WetgateError, 422),
)
INTERNAL = 500
_DEEPEST = 32
"""Most brackets in one another; a recipe has five."""

PATHS = ("plate", "out", "matte", "holdout", "defects", "decisions")
"""Fields that name a place on disk, each by an absolute path; `files` is a list of such."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProbeRequest(_Message):
    """What is to be looked at: a plate in any notation, or the frames of one."""

    plate: str | None = None
    files: list[str] | None = None
    input_space: str | None = None
    config: str | None = None
    layer: str | None = None


class JobRequest(ProbeRequest):
    """One job, as the command line takes it.

    Attributes:
        files: frames of one sequence by absolute path, instead of `plate`.
        recipe: a built-in name, an absolute path of a TOML file, or a recipe document.
        label, client: words for people. owner_pid: process whose previews end with it.
    """

    out: str | None = None
    recipe: str | dict[str, Any] = "denoise"
    frames: str | None = None
    output_space: str | None = None
    policy: Literal["archival", "forensic", "creative"] = "creative"
    strength: float | None = None
    matte: str | None = None
    holdout: str | None = None
    defects: str | None = None
    decisions: str | None = None
    provenance: Literal["auto", "sidecar", "layers", "none"] = "auto"
    code_range: Literal["full", "legal"] | None = None
    memory: str | None = None
    threads: int | None = None
    resume: bool = False
    overwrite: bool = False
    accept_noncommercial: bool = False
    label: str = ""
    client: str = ""
    owner_pid: int | None = None

    def paths(self) -> Iterator[tuple[str, str]]:
        """Yield every path of the request with the name of its field."""
        yield from paths_of(self)


class PreviewRequest(JobRequest):
    """One frame of a job, now."""

    frame: int
    kind: Literal["restored", "source", "difference", "matte"] = "restored"


class ReleaseRequest(_Message):
    """A preview that is no longer looked at."""

    file: str


class AdoptRequest(_Message):
    """An output that the service did not render itself."""

    directory: str
    label: str = ""


class PageRequest(_Message):
    """The review page, at a job if one is named."""

    job: str | None = None


_M = TypeVar("_M", bound=BaseModel)


def paths_of(request: ProbeRequest) -> Iterator[tuple[str, str]]:
    """Yield every path of a request with the name of its field."""
    for name in PATHS:
        value = getattr(request, name, None)
        if value is not None:
            yield name, value
    for index, value in enumerate(request.files or ()):
        yield f"files[{index}]", value
    recipe = getattr(request, "recipe", None)
    if isinstance(recipe, str) and names_file(recipe):
        yield "recipe", recipe
    if request.config is not None and request.config != "env":
        yield "config", request.config


def names_file(recipe: str) -> bool:
    """Whether a recipe is named by a path rather than by a built-in name."""
    return recipe.endswith(".toml") or "/" in recipe or os.sep in recipe


def parse_message(model: type[_M], body: bytes) -> _M:
    """Read a request.

    Raises:
        BadRequest: not JSON, an unknown field, a wrong type, a path that is not absolute, a
            number that is not finite, or too many brackets in one another.
    """
    try:
        document = json.loads(body or b"{}", parse_constant=_no_constant, parse_float=_finite)
        _check_depth(document)
    except RecursionError:
        raise BadRequest(f"the message is not JSON: nested deeper than {_DEEPEST}") from None
    except ValueError as error:
        raise BadRequest(f"the message is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRequest("the message is not a JSON object")
    try:
        message = model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{where}: {first['msg']}", remedy="see the service's README") from None
    if isinstance(message, AdoptRequest):
        check_path("directory", message.directory)
    if isinstance(message, ProbeRequest):
        for name, value in paths_of(message):
            check_path(name, value)
    return message


def check_path(name: str, value: str) -> None:
    """Refuse a path that means another place to the service than to its caller.

    Raises:
        BadRequest: relative, empty, or with a NUL or a lone surrogate in it.
    """
    if "\0" in value:
        raise BadRequest(f"{name}: a path with a NUL character")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise BadRequest(f"{name}: a path that no file system takes") from None
    if not Path(value).is_absolute():
        raise BadRequest(f"{name}: {value!r} is not an absolute path")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    """Read a number; one that overflows could be written into no answer again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is out of range")
    return number


def _check_depth(document: object) -> None:
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {_DEEPEST}")


class ToldError(WetgateError):
    """An error that a child process has told, with its class name and exit code."""

    def __init__(self, code: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.told_exit_code = exit_code

    @classmethod
    def of(cls, told: Mapping[str, object]) -> ToldError:
        """Make one from what `error_body` holds under `error`."""
        exit_code = told.get("exit_code")
        return cls(
            str(told.get("code", "WetgateError")),
            str(told.get("message", "")),
            exit_code if isinstance(exit_code, int) else 1,
        )


def status_of(error: WetgateError) -> int:
    """Return the HTTP status of an error."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def error_body(error: WetgateError) -> dict[str, object]:
    """Return the JSON body of an error."""
    code, exit_code = type(error).__name__, error.exit_code
    if isinstance(error, ToldError):
        code, exit_code = error.code, error.told_exit_code
    return {"error": {"code": code, "message": str(error), "exit_code": exit_code}}
