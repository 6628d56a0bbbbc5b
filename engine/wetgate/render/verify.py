"""Verify an output directory against its own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wetgate.io.atomic import digest_file, is_temp_name
from wetgate.model.errors import InputError, VerifyFailed, WetgateError
from wetgate.operators.base import Provenance
from wetgate.render.manifest import CONTROL, DONE, FrameRecord, Journal

_BORROWED = str(int(Provenance.BORROWED))


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_output` found.

    Attributes:
        total: frames on record as written. good: those that are as recorded.
        problems: one error for each that is not, and for strays.
    """

    directory: Path
    total: int
    good: int
    problems: tuple[WetgateError, ...] = ()

    @property
    def exit_code(self) -> int:
        """Return 0 when everything is as recorded, else 7."""
        return 7 if self.problems else 0


def verify_output(directory: str | Path) -> VerifyReport:
    """Hash every frame on record and compare it with the journal.

    Raises:
        InputError: when nothing is on record there.
    """
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise InputError("is no directory", path=folder, expected="one that wetgate has written")
    records = Journal(folder / CONTROL).latest()
    if not records:
        raise InputError(
            "no record of frames", path=folder, expected=f"a directory with {CONTROL} in it"
        )
    problems: list[WetgateError] = []
    written = [r for _, r in sorted(records.items()) if r.status in DONE]
    for record in written:
        problem = _check_file(folder / record.file, record) or _check_planes(folder, record)
        if problem is not None:
            problems.append(problem)
    good = len(written) - len(problems)
    for _, record in sorted(records.items()):
        if record.status == "failed":
            problems.append(
                VerifyFailed(f"failed: {record.error}", frame=record.frame, path=folder)
            )
    problems += _check_tiles(folder, records)
    strays = sorted(p for p in folder.iterdir() if is_temp_name(p.name))
    problems += [VerifyFailed("a temporary file was left behind", path=p) for p in strays]
    return VerifyReport(folder, len(written), good, tuple(problems))


def _check_tiles(folder: Path, records: Mapping[int, FrameRecord]) -> list[WetgateError]:
    """Check the tile data by which fixes of the frames can be taken back."""
    from wetgate.render.fixes.journal import FixJournal

    journal = FixJournal(folder / CONTROL)
    found: list[WetgateError] = []
    ledger = journal.read()
    done = {n: r for n, r in sorted(records.items()) if r.status in DONE}
    states = {n: ledger.at(n, r.digest) for n, r in done.items()}
    # All frames of a job are in its journal, also those without fixes; and only fixes borrow.
    journaled = {done[n].context for n, state in states.items() if state is not None}
    for number, record in done.items():
        state = states[number]
        if state is None:
            if record.context in journaled or _BORROWED in record.classes:
                found.append(
                    VerifyFailed(
                        "its fixes are not on record",
                        path=journal.path,
                        frame=number,
                        expected="a line for the frame as it stands",
                        remedy="restore the frame again; with --resume the others are kept",
                    )
                )
            continue
        try:
            journal.tiles(state.frame)
        except InputError as error:
            found.append(
                VerifyFailed(
                    error.found,
                    path=error.path,
                    frame=number,
                    expected="the pixels before and after each fix",
                    remedy=error.remedy,
                )
            )
    return found


def _check_planes(folder: Path, record: FrameRecord) -> VerifyFailed | None:
    """Check the file that says where each pixel comes from, when the frame has one."""
    if not record.provenance_file:
        return None
    path = folder / record.provenance_file
    try:
        digest = digest_file(path)
    except (OSError, InputError) as error:
        return VerifyFailed(
            f"cannot be read: {error}",
            path=path,
            frame=record.frame,
            expected="the provenance planes that were written",
        )
    if digest != record.provenance:
        return VerifyFailed(
            digest, path=path, frame=record.frame, expected=f"{record.provenance} as recorded"
        )
    return None


def _check_file(path: Path, record: FrameRecord) -> VerifyFailed | None:
    def wrong(found: str, expected: str) -> VerifyFailed:
        return VerifyFailed(found, path=path, frame=record.frame, expected=expected)

    try:
        size = path.stat().st_size
        if size != record.nbytes:
            return wrong(f"{size} bytes", f"{record.nbytes} bytes as recorded")
        digest = digest_file(path)
    except FileNotFoundError:
        return wrong("the frame is gone", "the file that was written")
    except (OSError, InputError) as error:
        return wrong(f"cannot be read: {error}", "the file that was written")
    if digest != record.digest:
        return wrong(digest, f"{record.digest} as recorded")
    return None
