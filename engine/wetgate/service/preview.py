"""The service's side of previews: who looks at which file, and when it goes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from wetgate.model.errors import NoSuchJob
from wetgate.service.discovery import Home
from wetgate.service.runner import started_at

_MEMORY = Path("/dev/shm")
_SLACK_SECONDS = 2.0
_UNOWNED_SECONDS = 600.0
"""How long a preview is kept whose owner is not known."""
_SPARE_SECONDS = 8.0
"""How long a file that was given back is kept for the next preview."""
_MOST = 32
_NAME = re.compile(r"wetgate-(?P<uid>\d+)-(?P<pid>\d+)-(?P<started>[0-9a-f]+)-[0-9a-f]+")


@dataclass(slots=True, kw_only=True)
class Segment:
    """One file with a frame.

    Attributes:
        owner: process id and start of who looks at it; None when not known.
        since: when it was told of, or given back, monotonic seconds.
        spare: given back; the next preview of the same size is written into it.
    """

    file: str
    nbytes: int
    generation: int
    owner: tuple[int, float] | None
    since: float
    spare: bool = False

    def facts(self) -> dict[str, Any]:
        """Return what the child must know to write a frame into the file."""
        return {"file": self.file, "nbytes": self.nbytes}


class Segments:
    """All preview files of a service, in a private directory of the memory file system.

    Attributes:
        directory: `/dev/shm/wetgate-<user>-<process>-<start>-<random>` where there is one, else
            in the home.
    """

    def __init__(self, home: Home) -> None:
        self._known: dict[str, Segment] = {}
        places = [home.preview]
        if sys.platform == "linux" and os.access(_MEMORY, os.W_OK | os.X_OK):
            places.insert(0, _MEMORY)
        for place in places:
            _sweep_dead(place)
        uid = os.getuid() if hasattr(os, "getuid") else 0
        started = int((started_at(os.getpid()) or 0) * 1000)
        name = f"wetgate-{uid}-{os.getpid()}-{started:x}-{secrets.token_hex(8)}"
        self.directory = places[0] / name
        os.mkdir(self.directory, 0o700)

    @property
    def in_use(self) -> bool:
        """Whether anybody looks at a preview."""
        return any(not segment.spare for segment in self._known.values())

    @contextmanager
    def spares(self) -> Iterator[list[Segment]]:
        """Lend the files that may be written again; those not used come back at the end."""
        lent = [segment for segment in self._known.values() if segment.spare]
        for segment in lent:
            del self._known[segment.file]
        try:
            yield lent
        finally:
            for segment in lent:
                self._known.setdefault(segment.file, segment)

    def add(self, told: Mapping[str, Any], owner_pid: int | None) -> None:
        """Take over a file that the child has written."""
        started = started_at(owner_pid) if owner_pid is not None else None
        owner = (owner_pid, started) if owner_pid is not None and started is not None else None
        self._known[told["file"]] = Segment(
            file=told["file"],
            nbytes=told["nbytes"],
            generation=told["generation"],
            owner=owner,
            since=time.monotonic(),
        )
        oldest = sorted(self._known.values(), key=lambda s: s.since)
        for segment in oldest[: max(0, len(oldest) - _MOST)]:
            self._drop(segment)

    def release(self, file: str) -> None:
        """Note that a preview is looked at no more.

        Raises:
            NoSuchJob: it is none of this service's, or has gone.
        """
        segment = self._known.get(file)
        if segment is None:
            raise NoSuchJob("no such preview")
        segment.spare, segment.since = True, time.monotonic()

    def sweep(self) -> None:
        """Remove what nobody looks at: its owner is dead, or it has been spare for a while."""
        now = time.monotonic()
        for segment in list(self._known.values()):
            limit = _SPARE_SECONDS if segment.spare else _UNOWNED_SECONDS
            aged = now - segment.since > limit
            if segment.spare or segment.owner is None:
                if aged:
                    self._drop(segment)
            elif not _lives(*segment.owner):
                self._drop(segment)

    def close(self) -> None:
        """Remove everything."""
        self._known.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _drop(self, segment: Segment) -> None:
        self._known.pop(segment.file, None)
        with suppress(OSError):
            os.unlink(segment.file)


def _lives(pid: int, started: float) -> bool:
    now = started_at(pid)
    if now is None or abs(now - started) > _SLACK_SECONDS:
        return False
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _sweep_dead(place: Path) -> None:
    """Remove the directories of services of this user that were killed."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    with suppress(OSError):
        for path in place.iterdir():
            named = _NAME.fullmatch(path.name)
            if named is None or int(named["uid"]) != uid or path.is_symlink():
                continue
            if os.lstat(path).st_uid != uid and hasattr(os, "getuid"):
                continue
            if not _lives(int(named["pid"]), int(named["started"], 16) / 1000):
                shutil.rmtree(path, ignore_errors=True)
