"""A person's verdicts on single fixes: read from a file, put into the analysis of each shot.

The file is JSON. What is measured of a plate does not depend on it, so changing it costs no new
measuring; what is rendered does, and the digest of the decided analysis says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wetgate.operators.base import Analysis, Decisions, Operator, TakesDecisions
from wetgate.recipe.digest import canonical_json
from wetgate.render.analysis import ClipAnalysis
from wetgate.render.fixes.verdicts import load_verdicts
from wetgate.render.fixing import labels_of

_ID = re.compile(r"(?P<label>[^-]+)-(?P<fix>(?P<frame>-?\d+)-\d+-\d+)")


@dataclass(frozen=True, slots=True)
class DecisionsFile:
    """Verdicts by the ids of the journal, such as `dirt-1001-345-210`, ascending.

    Attributes:
        confidences: what was thought of them before, `(id, 0-1)`, ascending.
    """

    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    confidences: tuple[tuple[str, float], ...] = ()

    @property
    def labels(self) -> frozenset[str]:
        """The steps that are spoken of."""
        ids = (*self.accepted, *self.rejected)
        return frozenset(m["label"] for m in map(_ID.fullmatch, ids) if m)

    def document(self) -> dict[str, object]:
        """Return the verdicts as JSON values."""
        told: dict[str, object] = {
            "accepted": list(self.accepted),
            "rejected": list(self.rejected),
        }
        return told | ({"confidences": dict(self.confidences)} if self.confidences else {})


def load_decisions(path: str | Path) -> DecisionsFile:
    """Read a decisions file.

    Raises:
        InputError: missing, of another schema, an unknown key, an id that is none, or one with
            two verdicts.
    """
    verdicts = load_verdicts(Path(path))
    return DecisionsFile(
        tuple(sorted(verdicts.accepted)),
        tuple(sorted(verdicts.rejected)),
        tuple(sorted(verdicts.confidences.items())),
    )


def unheard(decisions: DecisionsFile, operators: Sequence[Operator]) -> tuple[str, ...]:
    """Return the steps that are spoken of and do not take decisions, or are not there."""
    return tuple(sorted(decisions.labels - set(_hearing(operators))))


def decide(
    analysis: ClipAnalysis, decisions: DecisionsFile, operators: Sequence[Operator]
) -> ClipAnalysis:
    """Return the analysis with the verdicts on each shot in it, under a digest of its own.

    What is rejected is told to the engine as well, which takes it back; see `render.taking_back`.
    Shots of which nothing is said keep what was measured.
    """
    hearing = _hearing(operators)
    steps = list(analysis.steps)
    for label, index in hearing.items():
        operator = operators[index]
        if not isinstance(operator, TakesDecisions):
            continue
        accepted = _by_shot(decisions.accepted, label, analysis)
        rejected = _by_shot(decisions.rejected, label, analysis)
        confidences = {
            match["fix"]: value
            for match, value in ((_ID.fullmatch(k), v) for k, v in decisions.confidences)
            if match and match["label"] == label
        }
        shots: list[Analysis] = list(steps[index].shots)
        for shot in sorted(set(accepted) | set(rejected)):
            verdicts: Decisions = {
                "accepted": accepted.get(shot, []),
                "rejected": rejected.get(shot, []),
                "confidences": confidences,
            }
            decided = operator.decided(shots[shot], verdicts)
            # What another run will make of the file is what this one goes on with.
            shots[shot] = json.loads(canonical_json(decided))
        gone = frozenset(name for names in rejected.values() for name in names)
        steps[index] = replace(steps[index], shots=tuple(shots), rejected=gone)
    return replace(analysis, steps=tuple(steps)).sealed()


def _hearing(operators: Sequence[Operator]) -> dict[str, int]:
    labels = labels_of([operator.spec.name for operator in operators])
    return {
        label: index
        for index, (label, operator) in enumerate(zip(labels, operators, strict=True))
        if isinstance(operator, TakesDecisions)
    }


def _by_shot(ids: Iterable[str], label: str, analysis: ClipAnalysis) -> dict[int, list[str]]:
    """Return the ids of one step by shot, without its label."""
    found: dict[int, list[str]] = {}
    for text in ids:
        match = _ID.fullmatch(text)
        if match and match["label"] == label and int(match["frame"]) in analysis.frames:
            found.setdefault(analysis.shots.index(int(match["frame"])), []).append(match["fix"])
    return found
