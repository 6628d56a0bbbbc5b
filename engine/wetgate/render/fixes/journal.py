"""The journal of fixes of an output directory: `.wetgate/fixes.jsonl` and its tile data.

It only grows, as the manifest's does. The lines of a frame are written before the frame gets its
name, its tile data before them, so that whatever stands under a final name can be taken back. A
frame's state is found by the digest of its file: what a killed run promised and did not finish
describes no file and is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from wetgate.io.atomic import output_error
from wetgate.model.errors import BackendError
from wetgate.render.fixes.entry import JobNote, Written, make_entry
from wetgate.render.fixes.lines import (
    ChangeLine,
    FixLine,
    FrameLine,
    Line,
    line_bytes,
    parse_line,
)
from wetgate.render.fixes.tiles import Tiles, load_tiles, save_tiles
from wetgate.render.manifest import append_synced

FIXES = "fixes.jsonl"
TILES = "fixes"


@dataclass(frozen=True, slots=True)
class State:
    """A frame as it stood, or stands, after it was written or changed.

    Attributes:
        frame: the line of the render. fixes: its fixes by id. reverted: ids of those taken back.
        output, samples: digests of the frame's file in this state, and of its samples.
        changes: what was done since it was rendered, the oldest first.
    """

    frame: FrameLine
    fixes: Mapping[str, FixLine]
    output: str
    samples: str
    reverted: frozenset[str] = frozenset()
    changes: tuple[ChangeLine, ...] = ()

    def is_in_force(self, fix: str) -> bool:
        """Whether the frame carries what a fix made."""
        return self.fixes[fix].pixels > 0 and fix not in self.reverted


@dataclass(frozen=True, slots=True)
class Ledger:
    """All states that the journal tells of, by frame, the oldest first."""

    states: Mapping[int, tuple[State, ...]] = field(default_factory=dict)

    def at(self, frame: int, digest: str) -> State | None:
        """Return the last state in which a frame's file had a digest; None when it never had."""
        there = [s for s in self.states.get(frame, ()) if s.output == digest]
        return there[-1] if there else None


class FixJournal:
    """The record of every fix in an output directory. Several processes may append at once.

    Args:
        control: the `.wetgate` directory, which must exist.
        note: what to say of the job beside each frame, for those who `take`.
    """

    def __init__(self, control: Path, note: JobNote | None = None) -> None:
        self.control = control
        self._note = note or JobNote()
        self.path = control / FIXES
        self.folder = control / TILES

    def take(self, written: Written) -> None:
        """Put the fixes of a written frame on record, before it gets its name.

        Raises:
            BackendError: a step contradicts itself about its fixes.
            DiskFull, OutputError: when it cannot be written.
        """
        try:
            entry = make_entry(written, self._note)
            lines = b"".join(map(line_bytes, entry.fixes))
        except (TypeError, ValueError, OverflowError) as error:
            raise BackendError(
                f"a step says of a fix what JSON cannot hold: {error}",
                frame=written.frame,
                expected="finite numbers",
            ) from error
        frame = entry.frame
        if entry.tiles is not None:
            name = tiles_name(frame.frame, frame.output)
            digest = save_tiles(self.folder / name, entry.tiles)
            frame = replace(frame, tiles=f"{TILES}/{name}", tiles_digest=digest)
        append_synced(self.path, lines + line_bytes(frame))

    def append(self, *lines: Line) -> None:
        """Add lines in one write and sync them.

        Raises:
            DiskFull, OutputError: when they cannot be written.
        """
        append_synced(self.path, b"".join(line_bytes(line) for line in lines))

    def named(self, frame: int, digest: str) -> None:
        """Remove the tile data of older renders of a frame that has its name by now.

        Args:
            digest: of the frame's file as it was rendered.
        """
        kept = tiles_name(frame, digest)
        mine = re.compile(rf"{re.escape(str(frame))}-[0-9a-f]+\.npz")
        with suppress(OSError):  # what stays only takes room
            for path in self.folder.iterdir():
                if mine.fullmatch(path.name) and path.name != kept:
                    path.unlink()

    def tiles(self, line: FrameLine) -> Tiles | None:
        """Return the tile data of a frame; None when no fix changed a pixel.

        Raises:
            FrameReadError: gone or damaged.
        """
        if not line.tiles:
            return None
        return load_tiles(self.tiles_path(line), frame=line.frame, digest=line.tiles_digest)

    def tiles_path(self, line: FrameLine) -> Path:
        """Return where the tile data of a frame is, whatever directory the line names."""
        return self.folder / Path(line.tiles).name

    def holds(self, ledger: Ledger, frame: int, digest: str) -> bool:
        """Whether a frame's fixes are on record with their tile data, which is not read."""
        state = ledger.at(frame, digest)
        return state is not None and (
            not state.frame.tiles or self.tiles_path(state.frame).is_file()
        )

    def read(self, frames: Collection[int] | None = None) -> Ledger:
        """Return what the journal tells, of some frames or of all.

        Raises:
            OutputError: when it is there and cannot be read.
        """
        found: dict[int, list[State]] = {}
        pending: dict[tuple[int, str], dict[str, FixLine]] = {}
        for line in self._lines(frames):
            if isinstance(line, FixLine):
                # A line told twice is one that a killed run told before: the later one counts.
                pending.setdefault((line.frame, line.output), {})[line.id] = line
            elif isinstance(line, FrameLine):
                fixes = pending.pop((line.frame, line.output), {})
                if len(fixes) == line.fixes:
                    state = State(line, fixes, line.output, line.samples)
                    found.setdefault(line.frame, []).append(state)
            else:
                states = found.get(line.frame, [])
                before = [s for s in states if s.output == line.before]
                if before:
                    states.append(_after(before[-1], line))
        return Ledger({frame: tuple(states) for frame, states in found.items()})

    def _lines(self, frames: Collection[int] | None) -> Iterator[Line]:
        marks = None if frames is None else [f'"frame":{n},'.encode() for n in frames]
        try:
            with open(self.path, "rb") as file:
                for text in file:
                    # Parsing is what costs: lines of other frames are told by their bytes.
                    if marks is not None and not any(mark in text for mark in marks):
                        continue
                    line = parse_line(text)
                    if line is not None and (frames is None or line.frame in frames):
                        yield line
        except FileNotFoundError:
            return
        except OSError as error:
            raise output_error(error, self.path) from error


def tiles_name(frame: int, digest: str) -> str:
    """Return the file name of the tile data of one render of a frame."""
    return f"{frame}-{digest.rpartition(':')[2][:12]}.npz"


def _after(state: State, change: ChangeLine) -> State:
    named = frozenset(change.fixes) & state.fixes.keys()
    reverted = state.reverted | named if change.event == "revert" else state.reverted - named
    return replace(
        state,
        output=change.output,
        samples=change.samples,
        reverted=reverted,
        changes=(*state.changes, change),
    )
