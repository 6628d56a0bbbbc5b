"""Take fixes back, years later: the scan's own samples in their pixels, and nothing else.

The order of things is that of a render: the new file is written aside and compared, then the
journal of fixes and the manifest tell of it, then it gets its name. A kill at any point leaves
the old file or the new one, and the journal knows both.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import digest_file
from wetgate.io.options import WriteOptions
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import UsageError
from wetgate.model.frame import SampleType
from wetgate.model.version import __version__
from wetgate.operators.base import Provenance
from wetgate.render.fixes.codes import pixels_of
from wetgate.render.fixes.custody import custody_of, put_layers, write_sidecar
from wetgate.render.fixes.elsewhere import adopt, other_directory, refold
from wetgate.render.fixes.journal import Ledger, State
from wetgate.render.fixes.lines import ChangeLine, Event
from wetgate.render.fixes.patch import NewFile, put, spans_of, write_verified
from wetgate.render.fixes.restored import Restored, open_restored
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.locking import claim_frames
from wetgate.render.manifest import FrameRecord, Journal

_NOTE = "journal: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done to fixes.

    Attributes:
        ids: of the fixes. apply: put their own pixels in again instead of the scan's.
        out: another directory to write the frames to; None changes them in place.
        by, note: who and why, for the journal.
    """

    ids: Sequence[str]
    apply: bool = False
    out: Path | None = None
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of one frame.

    Attributes:
        fixes: those that were taken back or applied again. already: those that were so before.
        pixels: how many pixels were given another value. path, digest: the frame's file now.
        other_steps: steps beside repairs had changed the frame, these pixels perhaps too.
    """

    number: int
    fixes: tuple[str, ...]
    already: tuple[str, ...]
    pixels: int
    path: Path
    digest: str
    other_steps: bool = False


def change_fixes(directory: str | Path, request: Request) -> tuple[Changed, ...]:
    """Take fixes back or apply them again, frame by frame.

    All that can be refused is refused before the first frame is touched.

    Raises:
        UsageError: an unknown fix, or one that changed no pixel.
        VerifyFailed: a frame is not what the journal tells of.
        FrameReadError: tile data is gone or damaged. OutputError: it cannot be written.
    """
    base = open_restored(directory)
    groups = base.group(request.ids)
    if not groups:
        raise UsageError("no fix is named", expected="--fix with an id")
    states = base.states(groups)
    for number, ids in groups.items():
        _check(base, states[number], ids)
    target = base if request.out is None else other_directory(base, request.out, sorted(groups))
    context = f"{'apply' if request.apply else 'revert'}-{os.getpid()}-{secrets.token_hex(4)}"
    claim = claim_frames(target.control, FrameRange.from_numbers(groups), context)
    ledgers = {base.directory: base.ledger(groups), target.directory: target.journal.read(groups)}
    try:
        done = tuple(
            _change_frame(base, target, ledgers, n, ids, request)
            for n, ids in sorted(groups.items())
        )
        refold(target.control, base)
    finally:
        claim.drop()
    return done


def _check(base: Restored, state: State, ids: Sequence[str]) -> None:
    """Refuse fixes that left no pixel to be given back."""
    number = state.frame.frame
    if state.frame.closed:
        raise UsageError(
            f"the scan's pixels have no place in this frame: {state.frame.closed}",
            path=base.path(number),
            frame=number,
            remedy="reject the fix with `wetgate decide` and restore again",
        )
    for name in ids:
        fix = state.fixes[name]
        if fix.pixels == 0:
            why = f"was left alone: {fix.why}" if not fix.applied else "changed no pixel"
            raise UsageError(f"{name} {why}", frame=number, expected="a fix that changed the frame")


def _change_frame(
    base: Restored,
    target: Restored,
    ledgers: Mapping[Path, Ledger],
    number: int,
    ids: Sequence[str],
    request: Request,
) -> Changed:
    """Change one frame, or say that it is so already."""
    elsewhere = target.directory != base.directory
    origin = target if elsewhere and number in target.records else base
    state = origin.state_of_file(number, ledgers[origin.directory])
    event: Event = "apply" if request.apply else "revert"
    wanted = [n for n in ids if n in state.fixes and (n in state.reverted) == request.apply]
    already = tuple(n for n in ids if n not in wanted)
    path = target.directory / origin.path(number).name
    if not wanted and (origin is target or not elsewhere):
        _agree(target, origin.records[number], state)
        return Changed(
            number=number, fixes=(), already=already, pixels=0, path=path, digest=state.output
        )
    tiles = origin.journal.tiles(state.frame)
    assert tiles is not None  # a fix with pixels has them in the tile data
    at = spans_of(state, tiles, wanted)
    custody = custody_of(tiles, at, number, applied=request.apply)
    frame = origin.read(number, state.frame.layer)
    frame = put(frame, state, at, tiles, tiles.after if request.apply else tiles.before)
    frame = put_layers(frame, custody)
    if origin is not target:
        adopt(target, state, tiles)
    with ExitStack() as stack:
        kept, sidecar = write_sidecar(
            stack, origin.records[number], origin.directory, target.directory, frame, custody
        )

        def record(made: NewFile) -> None:
            target.journal.append(_line(event, number, wanted, state, made, request))
            reverted = state.reverted ^ frozenset(wanted)
            after = _record(kept, state, reverted, tiles, made, frame.pixels.shape)
            Journal(target.control).append(after)
            if sidecar is not None:
                sidecar.commit()

        made = write_verified(
            frame,
            path,
            options=WriteOptions(file_name=path.name),
            layer=state.frame.layer,
            channels=state.frame.channels,
            record=record,
        )
    return Changed(
        number=number,
        fixes=tuple(wanted),
        already=already,
        pixels=len(at),
        path=path,
        digest=made.digest,
        other_steps=not state.frame.only_fixes,
    )


def _line(
    event: Event,
    number: int,
    ids: Sequence[str],
    state: State,
    made: NewFile,
    request: Request,
) -> ChangeLine:
    return ChangeLine(
        event=event,
        frame=number,
        fixes=tuple(ids),
        before=state.output,
        output=made.digest,
        samples=made.samples,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        wetgate=__version__,
        by=request.by,
        note=request.note,
    )


def _agree(target: Restored, record: FrameRecord, state: State) -> None:
    """Tell the manifest of a frame that got its name in a run that was killed after that."""
    if record.digest != state.output:
        nbytes = target.path(record.frame).stat().st_size
        record = replace(record, digest=state.output, nbytes=nbytes)
        planes = target.directory / record.provenance_file
        if record.provenance_file and planes.is_file():
            record = replace(record, provenance=digest_file(planes))
        Journal(target.control).append(record)


def _record(
    record: FrameRecord,
    state: State,
    reverted: Collection[str],
    tiles: Tiles,
    made: NewFile,
    shape: tuple[int, ...],
) -> FrameRecord:
    """Return the manifest's line for a frame that fixes were taken back from, or given to."""
    total = max(1, shape[0] * shape[1])
    now = [name for name in state.fixes if state.fixes[name].pixels and name not in reverted]
    was = [name for name in state.fixes if state.is_in_force(name)]
    counts = {int(key): round(share * total) for key, share in record.classes.items()}
    changed = round(record.changed * total)
    generative = round(record.generative * total)
    for names, sign in ((was, -1), (now, 1)):
        classes = tiles.classes[spans_of(state, tiles, names)]
        changed += sign * len(classes)
        for mark, count in zip(*np.unique(classes, return_counts=True), strict=True):
            counts[int(mark)] = counts.get(int(mark), 0) + sign * int(count)
        if record.generative:
            generative += sign * int(np.count_nonzero(classes == Provenance.INFERRED))
    notes = tuple(text for text in record.notes if not text.startswith(_NOTE))
    if reverted:
        count = len(reverted)
        notes += (f"{_NOTE}{count} fix{'' if count == 1 else 'es'} taken back",)
    greatest = record.max_change
    if state.frame.only_fixes:
        at = spans_of(state, tiles, now)
        greatest = _greatest(tiles, at, state.frame.sample_type)
    return replace(
        record,
        status="written" if changed > 0 else "passed-through",
        digest=made.digest,
        nbytes=made.nbytes,
        changed=max(0, changed) / total,
        classes={str(key): n / total for key, n in sorted(counts.items()) if n > 0},
        generative=max(0, generative) / total,
        max_change=greatest,
        fixed=sum(fix.applied for fix in state.fixes.values()) - len(reverted),
        notes=notes,
    )


def _greatest(tiles: Tiles, at: NDArray[np.intp], kind: SampleType) -> float:
    """Return the greatest finite difference that fixes make, in the file's units."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(pixels_of(tiles.after[at], kind) - pixels_of(tiles.before[at], kind))
    return float(apart[np.isfinite(apart)].max(initial=0.0))
