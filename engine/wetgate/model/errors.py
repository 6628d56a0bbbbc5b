"""Every error wetgate raises, built from facts so that a vague one cannot be constructed.

The message always reads *where: what was found; what was expected; what to do*. The class of
the error decides the exit code of the command line (`exit_code`).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class WetgateError(Exception):
    """Base of all errors that wetgate raises on purpose.

    Args:
        found: what was found, in words, with the value.
        path: the file concerned, when there is one.
        frame: the frame number concerned, when there is one.
        expected: what would have been right.
        remedy: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        found: str,
        *,
        path: Path | str | None = None,
        frame: int | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.found = found
        self.path = Path(path) if path is not None else None
        self.frame = frame
        self.expected = expected
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        where = []
        if self.path is not None:
            where.append(str(self.path))
        if self.frame is not None:
            where.append(f"frame {self.frame}")
        text = f"{', '.join(where)}: {self.found}" if where else self.found
        if self.expected:
            text += f"; expected {self.expected}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross the process border of the sandboxed reader; keep every fact.
        return (
            _rebuild,
            (type(self), self.found, self.path, self.frame, self.expected, self.remedy),
        )


def _rebuild(
    cls: type[WetgateError],
    found: str,
    path: Path | None,
    frame: int | None,
    expected: str | None,
    remedy: str | None,
) -> WetgateError:
    return cls(found, path=path, frame=frame, expected=expected, remedy=remedy)


class UsageError(WetgateError):
    """The command line or call does not make sense (exit 2)."""

    exit_code = 2


class RecipeError(WetgateError):
    """A recipe is malformed, unknown or not allowed by the policy (exit 2)."""

    exit_code = 2


class InputError(WetgateError):
    """The plate is missing or cannot be used (exit 3)."""

    exit_code = 3


class FrameReadError(InputError):
    """One source frame is missing, truncated or damaged."""


class UnsupportedImage(InputError):
    """A well-formed image that wetgate cannot carry without loss; names the feature."""


class ColorSpaceUnknown(InputError):
    """Nothing in the file, the rules or the call decides the color space."""


class SequenceError(InputError):
    """A sequence expression is malformed, ambiguous or matches nothing."""


class BackendError(WetgateError):
    """An inference backend failed (exit 6 unless a subclass says otherwise)."""

    exit_code = 6


class ModelLoadError(BackendError):
    """A model is missing, damaged or its licence is refused."""


class OutOfMemory(BackendError):
    """The job does not fit the memory budget (exit 5)."""

    exit_code = 5


class OutputError(WetgateError):
    """The output cannot be written (exit 5)."""

    exit_code = 5


class DiskFull(OutputError):
    """The target has no room left, now or before the last frame."""


class TargetExists(OutputError):
    """The target already holds frames and neither resume nor overwrite was asked for (exit 2)."""

    exit_code = 2


class FormatNotWritten(OutputError):
    """The target is in a format that wetgate reads at most (exit 2)."""

    exit_code = 2


class VerifyFailed(OutputError):
    """What was read back differs from what was to be written, or from the manifest (exit 7)."""

    exit_code = 7


class AnalysisStale(RecipeError):
    """The analysis file is absent or belongs to other frames, another recipe or version."""


class Cancelled(WetgateError):
    """The user asked to stop; the job is resumable (exit 130)."""

    exit_code = 130


class ServiceError(WetgateError):
    """The service cannot be reached or does not do what it was asked (exit 2)."""

    exit_code = 2


class BadRequest(ServiceError):
    """A message to the service is malformed; says where in it."""


class NotAllowed(ServiceError):
    """The caller has not shown that it may call, or names a place outside the roots."""


class NoSuchJob(ServiceError):
    """The service knows no job, frame or page of that name."""


class WrongState(ServiceError):
    """What was asked does not fit what a job is doing."""


class MessageTooLarge(ServiceError):
    """A message to the service is over the cap."""


class ApiVersion(ServiceError):
    """Client and service do not speak the same version of the protocol."""
