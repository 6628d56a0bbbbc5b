"""An output directory with its manifest and its journal of fixes, as found on disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wetgate.io.atomic import digest_file
from wetgate.io.formats import layer_in, read_frame
from wetgate.model.errors import InputError, UsageError, VerifyFailed
from wetgate.model.frame import Frame
from wetgate.render.fixes.journal import FIXES, FixJournal, Ledger, State
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.names import nearest_name, parse_name
from wetgate.render.manifest import CONTROL, DONE, MANIFEST, FrameRecord, Journal

UNDECIDED = "unknown"
"""Color space of frames that are only given back or copied: nobody has to know it."""


@dataclass(frozen=True)
class Restored:
    """What wetgate has written into a directory.

    Attributes:
        records: the manifest's last line for each frame.
    """

    directory: Path
    records: Mapping[int, FrameRecord]

    @property
    def control(self) -> Path:
        """The `.wetgate` directory."""
        return self.directory / CONTROL

    @property
    def journal(self) -> FixJournal:
        """The journal of fixes, which need not exist."""
        return FixJournal(self.control)

    @cached_property
    def facts(self) -> Mapping[str, object]:
        """What is on record of the job: of `job.json`, and of the manifest where both tell."""
        known: dict[str, object] = {}
        for name, part in (("job.json", None), (MANIFEST, "job")):
            try:
                found = json.loads((self.control / name).read_text("utf-8"))
            except (OSError, ValueError):
                continue
            found = found.get(part) if part is not None and isinstance(found, dict) else found
            if isinstance(found, dict):
                known |= found
        return known

    @property
    def call(self) -> Mapping[str, object]:
        """What is on record of the call that made it."""
        found = self.facts.get("call")
        return found if isinstance(found, dict) else {}

    @property
    def plate(self) -> str | None:
        """The plate that it was made from, where that is on record."""
        found = self.call.get("plate")
        return found if isinstance(found, str) else None

    @property
    def sources(self) -> tuple[Path, ...]:
        """Directories of the scan, where they are on record."""
        found = self.call.get("source_directory")
        return (Path(found),) if isinstance(found, str) else ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frames that were written, ascending."""
        return tuple(n for n, r in sorted(self.records.items()) if r.status in DONE)

    def path(self, number: int) -> Path:
        """Return where a frame is."""
        return self.directory / Path(self.records[number].file).name

    def ledger(self, frames: Collection[int] | None = None) -> Ledger:
        """Return what the journal tells of some frames, or of all.

        Raises:
            InputError: there is no journal: no step of the recipe makes fixes.
        """
        if not self.journal.path.exists():
            raise InputError(
                "no journal of fixes",
                path=self.directory,
                expected=f"{CONTROL}/{FIXES}, which recipes with dirt or scratches leave",
            )
        return self.journal.read(frames)

    def states(self, frames: Collection[int] | None = None) -> dict[int, State]:
        """Return the state of every frame by the manifest; files are not looked at."""
        ledger = self.ledger(frames)
        wanted = self.numbers if frames is None else [n for n in self.numbers if n in frames]
        found = {n: ledger.at(n, self.records[n].digest) for n in wanted}
        return {n: state for n, state in found.items() if state is not None}

    def state_of_file(self, number: int, ledger: Ledger) -> State:
        """Return the state that a frame's file is in, whatever a killed run has promised.

        Raises:
            VerifyFailed: the file is in none that the journal knows.
        """
        digest = digest_file(self.path(number))
        state = ledger.at(number, digest)
        if state is None:
            raise VerifyFailed(
                f"the file has the digest {digest}",
                path=self.path(number),
                frame=number,
                expected="one that the journal of fixes tells of",
                remedy="restore this frame again",
            )
        return state

    def read(self, number: int, layer: str | None) -> Frame:
        """Read a frame as it is, in no color space."""
        path = self.path(number)
        return read_frame(path, number, color_space=UNDECIDED, layer=layer_in(path, layer))

    def all_fixes(self) -> dict[str, FixLine]:
        """Return every fix of the frames as they are, by id."""
        return {name: fix for state in self.states().values() for name, fix in state.fixes.items()}

    def group(self, ids: Collection[str]) -> dict[int, list[str]]:
        """Return ids by frame, each once, in the order they came.

        Raises:
            UsageError: an id that no fix has, with the nearest one.
        """
        names = {text: parse_name(text) for text in dict.fromkeys(ids)}
        states = self.states({name.frame for name in names.values() if name is not None})
        found: dict[int, list[str]] = {}
        for text, name in names.items():
            if name is None or name.frame not in states or text not in states[name.frame].fixes:
                raise unknown_fix(text, self.all_fixes())
            found.setdefault(name.frame, []).append(text)
        return found


def open_restored(directory: str | Path) -> Restored:
    """Open a directory that wetgate has written.

    Raises:
        InputError: when nothing is on record there.
    """
    folder = Path(directory)
    records = Journal(folder / CONTROL).latest() if folder.is_dir() else {}
    if not records:
        raise InputError(
            "no record of frames", path=folder, expected=f"a directory with {CONTROL} in it"
        )
    return Restored(folder, records)


def unknown_fix(text: str, known: Collection[str]) -> UsageError:
    """Return the error for an id that no fix has."""
    best = nearest_name(text, known)
    nothing = None if known else "there are no fixes on record"
    return UsageError(
        f"no fix {text!r}",
        expected="an id such as dirt-1001-345-210, as `wetgate review` shows them",
        remedy=f"did you mean {best!r}?" if best else nothing,
    )
