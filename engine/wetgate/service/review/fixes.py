"""Fixes of an output for the review page: listed, shown close, judged."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wetgate.model.errors import UsageError
from wetgate.render.fixes.decide import decide_fixes
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.restored import unknown_fix
from wetgate.render.fixes.verdicts import Verdicts
from wetgate.render.reporting.crops import Photographer, ranked
from wetgate.render.reporting.review import MOST, fix_facts, standing_of, standing_verdicts
from wetgate.service.review.shot import Shot

ORDERS = ("doubt", "frame")


def list_fixes(shot: Shot, *, order: str = "doubt", most: int = MOST) -> dict[str, object]:
    """Return fixes with the verdicts on them as JSON values, the most doubtful or by frame.

    Of more than `most` the most doubtful are taken, in either order.

    Raises:
        UsageError: an unknown order. InputError: a decisions file that is none.
    """
    if order not in ORDERS:
        raise UsageError(f"no order {order!r}", expected=" or ".join(ORDERS))
    states = shot.restored.states() if shot.restored.journal.path.exists() else {}
    fixes = ranked(states)
    shown = fixes[:most]
    if order == "frame":
        shown = sorted(shown, key=lambda fix: (fix.frame, fix.number))
    verdicts = standing_verdicts(shot.restored, None)
    return {
        "total": len(fixes),
        "accepted": len(verdicts.accepted),
        "rejected": len(verdicts.rejected),
        "fixes": [_listed(fix, states[fix.frame], verdicts) for fix in shown],
    }


def _listed(fix: FixLine, state: State, verdicts: Verdicts) -> dict[str, object]:
    standing = standing_of(fix, state)
    return {
        "id": fix.id,
        "frame": fix.frame,
        "kind": fix.kind,
        "box": list(fix.box),
        "confidence": fix.confidence,
        "standing": standing,
        "verdict": verdict_on(fix.id, verdicts),
        "facts": fix_facts(fix, standing),
    }


def verdict_on(name: str, verdicts: Verdicts) -> str:
    """Return "accepted", "rejected" or nothing."""
    if name in verdicts.accepted:
        return "accepted"
    return "rejected" if name in verdicts.rejected else ""


def fix_crops(shot: Shot, name: str) -> dict[str, object]:
    """Return pictures of one fix as JSON values: panels as data URIs, of equal size.

    Raises:
        UsageError: no such fix. InputError: its tile data is gone.
    """
    (frame,) = shot.restored.group([name])
    state = shot.restored.states([frame])[frame]
    fix = state.fixes.get(name)
    if fix is None:
        raise unknown_fix(name, shot.restored.all_fixes())
    with Photographer(shot.restored, shot.plate, show=shot.shown) as photographer:
        (picture,) = photographer.shoot(state, [fix])
        trouble = list(dict.fromkeys(photographer.trouble))
    return {
        "id": name,
        "width": picture.width,
        "height": picture.height,
        "corner": list(picture.corner),
        "panels": [{"name": p.name, "picture": p.picture} for p in picture.panels],
        "note": picture.shown_text,
        "trouble": trouble,
    }


def judge(
    directory: Path,
    *,
    accept: Collection[str] = (),
    reject: Collection[str] = (),
    clear: Collection[str] = (),
) -> tuple[Path, Verdicts]:
    """Put verdicts on record; those to be cleared may have none.

    Raises:
        UsageError: nothing is decided, an id that no fix has, or one with two verdicts.
        InputError: the decisions file there is not as it should be.
    """
    if not (accept or reject or clear):
        raise UsageError("nothing is decided", expected="accept, reject or clear")
    return decide_fixes(directory, accept=accept, reject=reject, clear=clear)
