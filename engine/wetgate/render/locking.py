"""Who is working in an output directory: a short lock and a list of live runs."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from wetgate.io.atomic import output_error
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import OutputError

_PATIENCE_SECONDS = 30.0
_FORGOTTEN_SECONDS = 120.0
"""A lock is held for milliseconds; one this old was left behind on a host we cannot ask."""


def _me() -> dict[str, object]:
    process = psutil.Process()
    return {"host": platform.node(), "pid": process.pid, "started": process.create_time()}


def _is_dead(owner: dict[str, object]) -> bool:
    """Whether a process of this host is surely gone; False for other hosts."""
    if owner.get("host") != platform.node():
        return False
    try:
        started = psutil.Process(int(str(owner["pid"]))).create_time()
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, ValueError):
        return False
    return abs(started - float(str(owner.get("started", 0)))) > 2.0


def _read(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def control_lock(control: Path) -> Iterator[None]:
    """Hold the lock of a control directory for a few milliseconds of work.

    Raises:
        OutputError: when somebody else holds it for half a minute.
    """
    path = control / "lock"
    until = time.monotonic() + _PATIENCE_SECONDS
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    while True:
        try:
            handle = os.open(path, flags, 0o666)
            break
        except FileExistsError:
            _break_if_left(path)
            if time.monotonic() > until:
                raise OutputError(
                    "another run has held this lock for half a minute",
                    path=path,
                    remedy="remove the file when no wetgate is running",
                ) from None
            time.sleep(0.02)
        except OSError as error:
            raise output_error(error, path) from error
    try:
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(_me(), file)
        except OSError as error:  # a full disk shows here and not at the opening
            raise output_error(error, path) from error
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _break_if_left(path: Path) -> None:
    owner = _read(path)
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return
    if (owner is not None and _is_dead(owner)) or age > _FORGOTTEN_SECONDS:
        with suppress(OSError):
            path.unlink()


@dataclass(frozen=True, slots=True)
class Claim:
    """The frames that this run writes, while it lives."""

    path: Path

    def drop(self) -> None:
        """Say that the run is over."""
        with suppress(OSError):
            self.path.unlink()


def claim_frames(control: Path, frames: FrameRange, context: str) -> Claim:
    """Announce which frames this run writes and how.

    Runs that would write the same bytes (the same `context`) may overlap: whoever comes last
    replaces a file by an equal one.

    Raises:
        OutputError: when a live run of this host writes some of the frames in another way.
    """
    runs = control / "runs"
    with control_lock(control):
        runs.mkdir(exist_ok=True)
        for path in runs.glob("*.json"):
            other = _read(path)
            if other is None or _is_dead(other):
                with suppress(OSError):
                    path.unlink()
            elif other.get("host") == platform.node() and other.get("context") != context:
                shared = FrameRange.from_numbers(
                    set(FrameRange.from_str(str(other["frames"]))) & set(frames)
                )
                if shared.numbers:
                    raise OutputError(
                        f"process {other['pid']} is writing frames {shared} in another way",
                        path=control.parent,
                        remedy="wait for it, or choose another output",
                    )
        mine = runs / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        text = json.dumps({**_me(), "frames": str(frames), "context": context})
        try:
            mine.write_text(text, "utf-8")
        except OSError as error:
            raise output_error(error, mine) from error
    return Claim(mine)
