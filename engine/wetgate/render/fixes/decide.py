"""Put a person's verdicts on the fixes of an output into its decisions file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from wetgate.render.fixes.names import parse_name
from wetgate.render.fixes.restored import Restored, open_restored, unknown_fix
from wetgate.render.fixes.verdicts import DECISIONS, Verdicts, load_verdicts, save_verdicts


def decide_fixes(
    directory: str | Path,
    *,
    accept: Collection[str] = (),
    reject: Collection[str] = (),
    clear: Collection[str] = (),
    take: Path | None = None,
    path: Path | None = None,
    by: str = "",
    note: str = "",
) -> tuple[Path, Verdicts]:
    """Merge verdicts into a decisions file and return where it is and what it says now.

    Newer verdicts count; those named in the call count more than those of `take`.

    Args:
        take: a decisions file, as the review page saves it; its verdicts replace those of the
            file on the fixes that it names. path: the file; None for the output's own.

    Raises:
        UsageError: an id that no fix has, with the nearest one, or one with two verdicts.
        InputError: nothing on record, or a file that is not as it should be.
    """
    restored = open_restored(directory)
    target = path or restored.directory / DECISIONS
    verdicts = load_verdicts(target) if target.exists() else Verdicts()
    if take is not None:
        taken = load_verdicts(take)
        _check(restored, [*taken.accepted, *taken.rejected])
        verdicts = verdicts.merged(accept=taken.accepted, reject=taken.rejected)
        verdicts = verdicts.with_confidences(taken.confidences)
        verdicts = replace(verdicts, by=taken.by or verdicts.by, note=taken.note or verdicts.note)
    _check(restored, [*accept, *reject])
    _check(restored, [name for name in clear if not verdicts.speaks_of(name)])
    verdicts = verdicts.merged(accept=accept, reject=reject, clear=clear)
    verdicts = verdicts.with_confidences(_confidences(restored, verdicts))
    verdicts = replace(verdicts, by=by or verdicts.by, note=note or verdicts.note)
    save_verdicts(target, verdicts)
    return target, verdicts


def _confidences(restored: Restored, verdicts: Verdicts) -> dict[str, float]:
    """Return what the journal says of the fixes that verdicts speak of."""
    named = sorted(verdicts.accepted | verdicts.rejected)
    frames = {name.frame for name in map(parse_name, named) if name is not None}
    states = restored.states(frames) if frames else {}
    return {
        text: fix.confidence
        for state in states.values()
        for text, fix in state.fixes.items()
        if verdicts.speaks_of(text)
    }


def _check(restored: Restored, ids: Collection[str]) -> None:
    """Refuse ids that no fix has: a verdict on nothing would be obeyed by nobody."""
    if not ids:
        return
    frames = {name.frame for name in map(parse_name, ids) if name is not None}
    states = restored.states(frames)
    known = {name for state in states.values() for name in state.fixes}
    for text in ids:
        if text not in known:
            raise unknown_fix(text, restored.all_fixes())
