"""Write the review page: every fix with its crops, ranked by doubt, in one offline file.

A person accepts and rejects by keys; the page gives the decisions file that the next render obeys.
Every text passes through the template's escaping; the content policy admits the one style sheet
and the one script that the page was written with.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wetgate.io.atomic import write_bytes_atomic
from wetgate.model.errors import InputError
from wetgate.model.version import __version__
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.restored import Restored, open_restored
from wetgate.render.fixes.verdicts import DECISIONS, DECISIONS_SCHEMA, Verdicts, load_verdicts
from wetgate.render.reporting.crops import FixPicture, picture_all, ranked
from wetgate.render.reporting.csp import policy_hash
from wetgate.render.reporting.html import render_page

REVIEW = "review.html"
MOST = 400
"""Fixes on a page: about 10 kB each, and nobody looks at more in one sitting."""

_STANDING = {"applied": "repaired", "left": "left alone", "reverted": "taken back"}
_CLASSES = {1: "undone", 2: "resampled", 3: "filtered", 4: "borrowed", 5: "invented"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One fix on the page; texts are ready to be shown.

    Attributes:
        state: "applied", "reverted" or "left". verdict: "accepted", "rejected" or empty.
        confidence: 0-1, for the decisions file.
    """

    id: str
    kind: str
    confidence: float
    frame: int
    state: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    picture: FixPicture | None

    @property
    def standing(self) -> str:
        """The state in words."""
        return _STANDING[self.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewData:
    """Everything the page shows."""

    title: str
    subtitle: str
    version: str
    schema: str
    total: int
    cards: Sequence[Card]
    kinds: Sequence[str]
    frames: Sequence[int]
    others: Sequence[tuple[str, str]]
    trouble: Sequence[str]
    directory: str

    @property
    def key(self) -> str:
        """Names what the browser remembers of a visit: this very list and no other."""
        return policy_hash("\n".join(f"{card.id} {card.verdict}" for card in self.cards))

    @property
    def shell_directory(self) -> str:
        """The output as a shell takes it."""
        return shlex.quote(self.directory)


def write_review(
    directory: str | Path,
    page: Path | None = None,
    *,
    plate: str | None = None,
    decisions: Path | None = None,
    most: int = MOST,
) -> tuple[Path, ReviewData]:
    """Write the review page of an output and return where it is and what it shows.

    Args:
        page: None for `review.html` in the output. plate: the scan, when it has moved.
        decisions: verdicts to begin with; None for the output's own `decisions.json`.
        most: how many fixes to show, the most doubtful ones.

    Raises:
        InputError: no fixes on record. OutputError: the page cannot be written.
    """
    restored = open_restored(directory)
    target = page or restored.directory / REVIEW
    data = gather_review(restored, plate=plate, decisions=decisions, most=most)
    write_bytes_atomic(target, render_review(data).encode("utf-8", "replace"))
    return target, data


def gather_review(
    restored: Restored, *, plate: str | None, decisions: Path | None, most: int
) -> ReviewData:
    """Collect everything the page shows."""
    states = restored.states()
    fixes = ranked(states)
    if not fixes:
        raise InputError("no fixes on record: there is nothing to review", path=restored.directory)
    shown = fixes[:most]
    verdicts = standing_verdicts(restored, decisions)
    pictures, trouble = picture_all(restored, states, shown, plate)
    in_force = sum(states[f.frame].is_in_force(f.id) for f in fixes)
    # Verdicts on what this page does not show must survive its saving.
    on_page = {fix.id for fix in shown}
    others = [
        (name, verdict)
        for verdict, names in (("accepted", verdicts.accepted), ("rejected", verdicts.rejected))
        for name in sorted(names - on_page)
    ]
    return ReviewData(
        title=str(restored.facts.get("source") or restored.directory.name),
        subtitle=f"{len(fixes)} defects found on {len(states)} frames, {in_force} of them repaired",
        version=__version__,
        schema=DECISIONS_SCHEMA,
        total=len(fixes),
        cards=[_card(fix, states[fix.frame], verdicts, pictures.get(fix.id)) for fix in shown],
        kinds=sorted({fix.kind for fix in shown}),
        frames=sorted({fix.frame for fix in shown}),
        others=others,
        trouble=trouble,
        directory=str(restored.directory),
    )


def standing_verdicts(restored: Restored, decisions: Path | None) -> Verdicts:
    """Return the verdicts there are: of a file, or of the output's own, else none.

    Raises:
        InputError: the file is not as it should be.
    """
    path = decisions or restored.directory / DECISIONS
    return load_verdicts(path) if decisions is not None or path.exists() else Verdicts()


def render_review(data: ReviewData) -> str:
    """Return the page as HTML text."""
    return render_page("review", data)


def _card(fix: FixLine, state: State, verdicts: Verdicts, picture: FixPicture | None) -> Card:
    standing = standing_of(fix, state)
    verdict = "accepted" if fix.id in verdicts.accepted else ""
    verdict = "rejected" if fix.id in verdicts.rejected else verdict
    return Card(
        id=fix.id,
        kind=fix.kind,
        confidence=fix.confidence,
        frame=fix.frame,
        state=standing,
        verdict=verdict,
        facts=fix_facts(fix, standing),
        picture=picture,
    )


def fix_facts(fix: FixLine, standing: str) -> list[tuple[str, str]]:
    """Return what is known of a fix, for people."""
    x, y = fix.anchor
    width, height = fix.box[2] - fix.box[0], fix.box[3] - fix.box[1]
    tone = {1: "brighter", -1: "darker"}.get(fix.polarity, "mixed")
    done = {
        "applied": _CLASSES.get(fix.provenance, "repaired"),
        "reverted": "repaired, then taken back",
        "left": f"left alone: {fix.why}" if fix.why else "left alone",
    }[standing]
    if standing == "applied" and fix.source:
        across, down = fix.offset
        done += f" from frame {fix.source}"
        done += f" at {across:+.2f}, {down:+.2f} px" if across or down else ""
    facts = [
        ("where", f"frame {fix.frame}, {x}, {y}"),
        ("size", f"{width} x {height} px, {fix.area} px of it {tone}"),
        ("confidence", f"{fix.confidence:.3f}" + _beside(fix.threshold)),
        ("result", done),
    ]
    if standing == "applied" and fix.why:
        facts.append(("note", fix.why))
    return facts


def _beside(threshold: float | None) -> str:
    return "" if threshold is None else f", threshold {threshold:g}"


@dataclass(slots=True)
class KindCount:
    """Defects of one kind: found, repaired, taken back, and pixels that the repairs changed."""

    kind: str
    found: int = 0
    repaired: int = 0
    reverted: int = 0
    pixels: int = 0


def counts_by_kind(states: Mapping[int, State]) -> list[KindCount]:
    """Count fixes by kind, the most frequent first."""
    table: dict[str, KindCount] = {}
    for state in states.values():
        for fix in state.fixes.values():
            count = table.setdefault(fix.kind, KindCount(fix.kind))
            force = state.is_in_force(fix.id)
            count.found += 1
            count.repaired += force
            count.reverted += fix.id in state.reverted
            count.pixels += fix.pixels if force else 0
    return sorted(table.values(), key=lambda c: (-c.found, c.kind))


def standing_of(fix: FixLine, state: State) -> str:
    """Return "applied", "reverted" or "left"."""
    if fix.id in state.reverted:
        return "reverted"
    return "applied" if fix.applied else "left"
