"""Make an output again from what is on record, and say how and whether it is the same.

Where everything that differs from the scan belongs to a fix, scan and tile data are enough and no
operator runs: that will work when no program of today does. Any other recipe is rendered again,
with the analysis and the decisions that are on record.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wetgate.io.options import WriteOptions
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import find_sequence
from wetgate.model.errors import FrameReadError, InputError, UsageError, VerifyFailed
from wetgate.model.frame import Frame
from wetgate.render.fixes.elsewhere import adopt, copy_planes, other_directory, refold
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.patch import NewFile, put, spans_of, write_verified
from wetgate.render.fixes.replayed import OnEvent, OnFrame, Replayed, ReplayReport, Verdict, Way
from wetgate.render.fixes.restored import Restored, open_restored
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.locking import claim_frames
from wetgate.render.manifest import FrameRecord, Journal

if TYPE_CHECKING:
    from wetgate.render.source import SourceClip


def replay(
    directory: str | Path,
    to: str | Path,
    *,
    plate: str | None = None,
    render: bool = False,
    on_frame: OnFrame | None = None,
    on_event: OnEvent | None = None,
) -> ReplayReport:
    """Make an output again in another directory.

    Args:
        plate: where the scan is now, when it has moved.
        render: run the recipe even where the journal would do.
        on_frame: told of every frame once it is compared. on_event: of a render meanwhile.

    Raises:
        InputError: nothing on record, or the scan is not there (`SequenceError`).
        OutputError, TargetExists: that directory cannot be written to.
        AnalysisStale, RecipeError: it would have to be rendered and cannot be as it was.
    """
    base = open_restored(directory)
    if not base.numbers:
        raise InputError("no frame was written", path=base.directory)
    source = plate or base.plate
    if source is None:
        raise InputError(
            "the record does not say where the scan is",
            path=base.directory,
            remedy="name it with --source",
        )
    tell = on_frame or _ignore
    way, why = which_way(base)
    if render:
        way, why = "render", "asked for"
    if os.path.realpath(to) == os.path.realpath(directory):
        raise UsageError("is the output itself", path=to, expected="another directory")
    folder = find_sequence(source).directory
    target = other_directory(base, Path(to), base.numbers, sources=[folder])
    if way == "journal":
        frames = _from_journal(base, target, source, tell)
    else:
        from wetgate.render.fixes.rerender import render_again

        frames = render_again(base, target.directory, source, tell, on_event or _ignore)
    return ReplayReport(directory=target.directory, way=way, why=why, frames=frames)


def _ignore(_: object) -> None:
    return


def which_way(base: Restored) -> tuple[Way, str]:
    """Return whether the journal is enough, and why."""
    if not base.journal.path.exists():
        return "render", "the recipe leaves no journal of fixes"
    states = base.states()
    for number in base.numbers:
        state = states.get(number)
        if state is None:
            return "render", f"the journal does not know frame {number} as it is"
        if not state.frame.only_fixes:
            return "render", state.frame.closed or "other steps than repairs changed pixels"
        if state.frame.write.get("layers"):
            return "render", "the frames carry layers that the journal does not hold"
    return "journal", "all that differs from the scan belongs to a fix"


def _from_journal(
    base: Restored, target: Restored, plate: str, tell: OnFrame
) -> tuple[Replayed, ...]:
    from wetgate.render.source import open_clip

    states = base.states()
    layer = next(iter(states.values())).frame.layer
    found: list[Replayed] = []
    numbers = FrameRange.from_numbers(base.numbers)
    token = f"replay-{os.getpid()}-{secrets.token_hex(4)}"
    with open_clip(plate, frames=numbers, layer=layer, must_decide=False) as clip:
        claim = claim_frames(target.control, numbers, token)
        try:
            for number in base.numbers:
                try:
                    verdict = _replay_frame(base, target, clip, states[number])
                    done = Replayed(number=number, verdict=verdict)
                except VerifyFailed as error:
                    done = Replayed(number=number, verdict="differs", error=error)
                except InputError as error:
                    done = Replayed(number=number, verdict="failed", error=error)
                found.append(done)
                tell(done)
            refold(target.control, base)
        finally:
            claim.drop()
    return tuple(found)


def _replay_frame(base: Restored, target: Restored, clip: SourceClip, state: State) -> Verdict:
    number = state.frame.frame
    record = base.records[number]
    digest = clip.digest(number)
    if digest != record.source_digest:
        raise FrameReadError(
            f"the scan's frame has the digest {digest}",
            path=clip.sequence.path(number),
            frame=number,
            expected=f"{record.source_digest} as recorded",
        )
    tiles = base.journal.tiles(state.frame)
    frame = clip[number]
    record = copy_planes(record, base, target)
    if tiles is not None:
        kept = [name for name in state.fixes if state.is_in_force(name)]
        frame = put(frame, state, spans_of(state, tiles, kept), tiles, tiles.after)
    if tiles is not None:
        return _write(target, record, state, tiles, frame, WriteOptions(pixels_changed=True))
    # Without tile data it may have been passed through, or written anew all the same.
    try:
        options = WriteOptions(pixels_changed=False)
        return _write(target, record, state, None, frame, options, exactly=True)
    except VerifyFailed:
        return _write(target, record, state, None, frame, WriteOptions(pixels_changed=True))


def _write(
    target: Restored,
    record: FrameRecord,
    state: State,
    tiles: Tiles | None,
    frame: Frame,
    options: WriteOptions,
    *,
    exactly: bool = False,
) -> Verdict:
    """Write one frame and compare it with the record, before it gets its name."""
    path = target.directory / Path(record.file).name
    verdicts: list[Verdict] = []

    def keep(made: NewFile) -> None:
        same = made.digest == record.digest
        if made.samples != state.samples or (exactly and not same):
            raise VerifyFailed(
                f"samples {made.samples}, file {made.digest}",
                path=path,
                frame=record.frame,
                expected=f"samples {state.samples}, file {record.digest} as recorded",
            )
        verdicts.append("same" if same else "same samples")
        if same:  # the journal ties its lines to the bytes of a file
            adopt(target, state, tiles)
        Journal(target.control).append(replace(record, digest=made.digest, nbytes=made.nbytes))

    write_verified(
        frame,
        path,
        options=write_options(options, state.frame.write, path.name),
        layer=state.frame.layer,
        channels=state.frame.channels,
        record=keep,
    )
    return verdicts[0]


def write_options(
    options: WriteOptions, facts: Mapping[str, object], file_name: str
) -> WriteOptions:
    """Return how a frame was written, as its line of the journal says."""

    def text(name: str) -> str | None:
        found = facts.get(name)
        return found if isinstance(found, str) else None

    stated = facts.get("provenance")
    made = {str(k): str(v) for k, v in stated.items()} if isinstance(stated, dict) else {}
    return replace(
        options,
        format=text("format"),
        compression=text("compression"),
        file_name=file_name,
        color_space_changed=facts.get("color_space_changed") is True,
        interop_id=text("interop_id"),
        provenance=made,
        creation_time=text("creation_time"),
    )
