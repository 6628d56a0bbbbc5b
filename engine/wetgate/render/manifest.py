"""What was written: a journal line for every frame, folded into one manifest.

The journal `.wetgate/manifest.jsonl` only grows. A line is one write of one process and synced,
so that lines of several processes do not mix and a kill can tear the last one only; a torn line
is skipped. A frame's line is written before the frame gets its name: whatever stands under a
final name is therefore known, and a line without its file shows by the digest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wetgate.io.atomic import output_error, write_bytes_atomic
from wetgate.recipe.digest import canonical_json
from wetgate.render.locking import control_lock

CONTROL = ".wetgate"
JOURNAL = "manifest.jsonl"
MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "wetgate.manifest/1"
DONE = frozenset({"written", "passed-through"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """One line of the journal.

    Attributes:
        frame: its number. status: `written`, `passed-through` (no pixel changed) or `failed`.
        file: name in the output directory. digest, nbytes: of that file.
        source_file, source_digest, source_bytes: the frame it was made from.
        context: digest of all that decides the pixels beside the source (recipe with operator
            versions, color config, spaces, range, layer, format).
        recipe, analysis: digests; empty where there is none. matte: of all files beside the
            frame (matte, holdout, defect map).
        provenance_file, provenance: name in the output directory and digest of the planes that
            tell class, origin and fix of every pixel, when they have a file of their own.
        versions: of wetgate and of the libraries that touched pixels.
        changed: share of pixels that differ from the source in the file's own precision.
        classes: share of all pixels by provenance class (above 0).
        generative: share of pixels that a step changed which invents detail.
        max_change: greatest difference of a sample, in the file's units (1 = full code).
        fixed, left: defects repaired, and found and left alone.
        network_off: greatest share of the frame in which a step did without its network.
        notes: what the operators said about the frame.
    """

    frame: int
    status: str
    file: str = ""
    digest: str = ""
    nbytes: int = 0
    source_file: str = ""
    source_digest: str = ""
    source_bytes: int = 0
    context: str = ""
    recipe: str = ""
    analysis: str = ""
    matte: str = ""
    provenance_file: str = ""
    provenance: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    changed: float = 0.0
    classes: Mapping[str, float] = field(default_factory=dict)
    generative: float = 0.0
    max_change: float = 0.0
    fixed: int = 0
    left: int = 0
    network_off: float = 0.0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON values."""
        return asdict(self)


def record_from_json(value: object) -> FrameRecord | None:
    """Make a record of a parsed line; None when it is not one."""
    if not isinstance(value, dict) or not isinstance(value.get("frame"), int):
        return None
    known = {f: value[f] for f in FrameRecord.__dataclass_fields__ if f in value}
    for name in ("warnings", "notes"):
        if isinstance(known.get(name), list):
            known[name] = tuple(known[name])
    try:
        return FrameRecord(**known)
    except TypeError:
        return None


class Journal:
    """The growing record of an output directory. Several processes may append at once.

    Args:
        control: the `.wetgate` directory, which must exist.
    """

    def __init__(self, control: Path) -> None:
        self.path = control / JOURNAL

    def append(self, record: FrameRecord) -> None:
        """Add a line in one write and sync it.

        Raises:
            DiskFull, OutputError: when it cannot be written.
        """
        line = (canonical_json(record.to_json()) + "\n").encode("utf-8", "replace")
        append_synced(self.path, line)

    def latest(self) -> dict[int, FrameRecord]:
        """Return the last line of every frame; what is no whole line is skipped."""
        return {record.frame: record for record in self.records()}

    def records(self) -> Iterator[FrameRecord]:
        """Yield every whole line, the oldest first.

        Raises:
            OutputError: when the journal is there and cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise output_error(error, self.path) from error
        for line in content.split(b"\n"):
            with suppress(ValueError):
                record = record_from_json(json.loads(line))
                if record is not None:
                    yield record


def append_synced(path: Path, lines: bytes) -> None:
    """Add whole lines to a journal in one write and sync it.

    Raises:
        DiskFull, OutputError: when they cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags, 0o666)
        try:
            if _is_torn(handle):
                # A kill or a full disk cut the last line: start a new one behind it.
                lines = b"\n" + lines
            if os.write(handle, lines) != len(lines):
                raise OSError(28, os.strerror(28))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise output_error(error, path) from error


def _is_torn(handle: int) -> bool:
    size = os.lseek(handle, 0, os.SEEK_END)
    if size == 0:
        return False
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1) != b"\n"


def fold(control: Path, header: Mapping[str, object]) -> Path:
    """Write `manifest.json`: the header and the last record of every frame, by number.

    Raises:
        DiskFull, OutputError: when it cannot be written.
    """
    target = control / MANIFEST
    with control_lock(control):
        records = Journal(control).latest()
        document = {
            "schema": MANIFEST_SCHEMA,
            **header,
            "frames": [records[n].to_json() for n in sorted(records)],
        }
        write_bytes_atomic(target, (canonical_json(document) + "\n").encode("utf-8", "replace"))
    return target
