"""Put files into a folder with a record of them, and remove what the record names, no more."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wetgate.model.errors import OutputError, UsageError

RECORD = "installed.json"
_SCHEMA = "wetgate.installed/1"


@dataclass(frozen=True, slots=True)
class _Record:
    """What an install has written: digests by path, and whether it switched the add-on on."""

    files: Mapping[str, str]
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What an uninstall did.

    Attributes:
        files: that were removed. kept: that are not ours, or were changed since; they stay.
        enabled: whether the install had switched the add-on on.
    """

    files: int
    kept: tuple[str, ...]
    enabled: bool


def put_files(folder: Path, files: Mapping[str, bytes], *, enabled: bool = False) -> None:
    """Write files and a record of them; those of an earlier install go first.

    Files of others that are not in the way stay.

    Raises:
        UsageError: when the folder is none of an install, or a file that would be replaced is not
            as an install has written it; nothing is removed then.
        OutputError: when it cannot be written; what had been written is removed again.
    """
    if folder.is_symlink():
        raise UsageError("is a link", path=folder, remedy="remove it: it is a developer's own")
    if folder.exists() and not _is_empty(folder):
        if not (folder / RECORD).is_file():
            raise UsageError(
                "is there and was not written by `wetgate install`",
                path=folder,
                remedy="remove the add-on in Blender first",
            )
        before = _record(folder)
        touched = [*_changed(folder, before), *_strangers(folder, files, before)]
        if touched:
            raise UsageError(
                f"holds files that were changed since: {', '.join(touched[:3])}",
                path=folder,
                remedy="move them away first",
            )
        enabled = enabled or before.enabled
        remove_files(folder)
    record = {
        "schema": _SCHEMA,
        "enabled": enabled,
        "files": {name: _digest(data) for name, data in sorted(files.items())},
    }
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        with suppress(OSError):
            for name in (*files, RECORD):
                (folder / name).unlink(missing_ok=True)
            _prune(folder)
        raise OutputError(f"cannot be written: {error.strerror}", path=folder) from error


def note_enabled(folder: Path) -> None:
    """Note that the install has switched the add-on on, so that the uninstall may undo it."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    text = json.dumps({**record, "enabled": True}, indent=1)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def was_enabled(folder: Path) -> bool:
    """Whether the install that wrote a folder has switched the add-on on."""
    return _record(folder).enabled


def remove_files(folder: Path) -> Removed:
    """Remove what the record names and what Python has compiled of it.

    Raises:
        UsageError: when there is no record. OutputError: when something cannot be removed.
    """
    record = _record(folder)
    kept, count = [], 0
    try:
        for name, digest in record.files.items():
            path = folder / name
            if not path.is_file():
                continue
            if _digest(path.read_bytes()) != digest:
                kept.append(name)
                continue
            path.unlink()
            count += 1
        (folder / RECORD).unlink()
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache)
        _prune(folder)
    except OSError as error:
        raise OutputError(f"cannot be removed: {error.strerror}", path=folder) from error
    if folder.exists():
        others = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        kept = sorted({*kept, *others})
    return Removed(files=count, kept=tuple(kept), enabled=record.enabled)


def _changed(folder: Path, record: _Record) -> list[str]:
    """Return the files of a record that are no longer as they were written."""
    return [
        name
        for name, digest in record.files.items()
        if (folder / name).is_file() and _digest((folder / name).read_bytes()) != digest
    ]


def _strangers(folder: Path, files: Mapping[str, bytes], record: _Record) -> list[str]:
    """Return what stands where a file is to go and was not written by the install on record."""
    return [n for n in files if n not in record.files and os.path.lexists(folder / n)]


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _prune(folder: Path) -> None:
    """Remove the directories that hold nothing, the folder itself too."""
    for inner, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(inner):
            os.rmdir(inner)


def _record(folder: Path) -> _Record:
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "no install of wetgate is on record", path=folder, expected=f"{RECORD} in it"
        ) from error
    files = record.get("files") if isinstance(record, dict) else None
    if (
        not isinstance(files, dict)
        or record.get("schema") != _SCHEMA
        or any(os.path.isabs(name) or ".." in Path(name).parts for name in files)
    ):
        raise UsageError("the record is damaged", path=path, remedy="remove the folder by hand")
    return _Record(files, bool(record.get("enabled")))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
