"""A second directory for frames that were restored already: for reverts kept apart, and replays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from wetgate.io.atomic import digest_bytes, output_error, write_bytes_atomic
from wetgate.io.sequence import same_file_tree
from wetgate.model.errors import OutputError, TargetExists
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.restored import Restored
from wetgate.render.fixes.tiles import Tiles, save_tiles
from wetgate.render.manifest import CONTROL, MANIFEST, FrameRecord, Journal, fold


def other_directory(
    base: Restored, out: Path, numbers: Sequence[int], *, sources: Sequence[Path] = ()
) -> Restored:
    """Return another directory that frames may be written to; makes it.

    Args:
        sources: directories of the scan, beside those on record.

    Raises:
        OutputError: it is the source's. TargetExists: it has frames of somebody else.
    """
    if any(same_file_tree(source, out) for source in (*base.sources, *sources)):
        raise OutputError(
            "lies in the directory of the source",
            path=out,
            remedy="choose another output: sources are never written to",
        )
    control = out / CONTROL
    records = Journal(control).latest()
    for number in numbers:
        path = out / base.path(number).name
        if path.exists() and number not in records:
            raise TargetExists("is there and not on record", path=path, frame=number)
    try:
        (control / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, control) from error
    return Restored(out, records)


def adopt(target: Restored, state: State, tiles: Tiles | None) -> None:
    """Tell the journal of a directory of a frame that another one has."""
    journal = target.journal
    if tiles is not None:
        save_tiles(journal.tiles_path(state.frame), tiles)
    journal.append(*state.fixes.values(), state.frame, *state.changes)


def copy_planes(record: FrameRecord, base: Restored, target: Restored) -> FrameRecord:
    """Copy the provenance planes of a frame; return its record, without them where they are gone.

    They hold mattes that only a step knows, so that they cannot be made of the journal.

    Raises:
        DiskFull, OutputError: they cannot be written.
    """
    name = Path(record.provenance_file)
    inside = Path(name.parent.name) / name.name
    try:
        data = (base.directory / inside).read_bytes()
    except OSError:
        data = b""
    if not record.provenance_file or digest_bytes(data) != record.provenance:
        return replace(record, provenance_file="", provenance="")
    try:
        (target.directory / inside).parent.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(error, target.directory / inside) from error
    write_bytes_atomic(target.directory / inside, data)
    return record


def refold(control: Path, base: Restored) -> None:
    """Fold the manifest anew under the header that it had, or that of the directory copied from."""
    header: dict[str, object] = {}
    for place in (control, base.control):
        with suppress(OSError, ValueError):
            found = json.loads((place / MANIFEST).read_text("utf-8"))
            header = {k: v for k, v in found.items() if k not in ("schema", "frames")}
            break
    fold(control, header)
    if not (control / "job.json").exists():
        with suppress(OSError):
            write_bytes_atomic(control / "job.json", (base.control / "job.json").read_bytes())
