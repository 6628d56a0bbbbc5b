"""Verdicts on fixes as a file, schema `wetgate.decisions/1`: written, merged, checked.

The engine reads such a file by `render.decisions`; here people's and pages' files are made and
checked, so that a key nobody knows is told and not passed over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wetgate.io.atomic import write_bytes_atomic
from wetgate.model.errors import InputError, UsageError
from wetgate.recipe.digest import canonical_json
from wetgate.recipe.schema import nearest
from wetgate.render.fixes.names import parse_name

DECISIONS_SCHEMA = "wetgate.decisions/1"
DECISIONS = "decisions.json"
_KEYS = ("schema", "accepted", "rejected", "confidences", "by", "note")
_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*-(0|-?[1-9][0-9]*)-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What a person says of single fixes, by their ids.

    Attributes:
        accepted: are defects, to be repaired whatever their confidence.
        rejected: are picture, to be left alone.
        confidences: 0-1, what was thought of them before the verdict: what a reel's verdicts say
            of its other fixes is learned from that. by, note: who says so, and why.
    """

    accepted: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    confidences: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    note: str = ""

    def speaks_of(self, name: str) -> bool:
        """Whether there is a verdict on a fix."""
        return name in self.accepted or name in self.rejected

    def merged(
        self,
        *,
        accept: Collection[str] = (),
        reject: Collection[str] = (),
        clear: Collection[str] = (),
    ) -> Verdicts:
        """Return the verdicts with newer ones put in; the newer one counts.

        Raises:
            UsageError: an id is named under two of them.
        """
        named = [*accept, *reject, *clear]
        twice = sorted(
            name for name in set(named) if sum(name in c for c in (accept, reject, clear)) > 1
        )
        if twice:
            raise UsageError(f"{twice[0]} is named twice", expected="one verdict on a fix")
        told = frozenset(named)
        accepted = (self.accepted - told) | frozenset(accept)
        rejected = (self.rejected - told) | frozenset(reject)
        return replace(
            self,
            accepted=accepted,
            rejected=rejected,
            confidences={
                k: v for k, v in self.confidences.items() if k in accepted or k in rejected
            },
        )

    def with_confidences(self, known: Mapping[str, float]) -> Verdicts:
        """Return the verdicts with the confidences of those that have none yet.

        The first one known stays: a render that heeds verdicts may think otherwise of them.
        """
        spoken = {k: v for k, v in known.items() if self.speaks_of(k)}
        return replace(self, confidences={**spoken, **self.confidences})

    def document(self) -> dict[str, object]:
        """Return the verdicts as the JSON values of the file."""
        return {
            "schema": DECISIONS_SCHEMA,
            "accepted": sorted(self.accepted),
            "rejected": sorted(self.rejected),
            **({"confidences": dict(self.confidences)} if self.confidences else {}),
            **({"by": self.by} if self.by else {}),
            **({"note": self.note} if self.note else {}),
        }


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of decisions files, for editors."""
    ids = {"type": "array", "items": {"type": "string", "pattern": _PATTERN}, "uniqueItems": True}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Decisions on fixes",
        "type": "object",
        "properties": {
            "schema": {"const": DECISIONS_SCHEMA},
            "accepted": {**ids, "description": "Ids of fixes that are defects."},
            "rejected": {**ids, "description": "Ids of fixes that are picture: left alone."},
            "confidences": {
                "type": "object",
                "propertyNames": {"pattern": _PATTERN},
                "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
                "description": "Confidence of each before the verdict, by id.",
            },
            "by": {"type": "string", "description": "Who decided."},
            "note": {"type": "string", "description": "Why."},
        },
        "required": ["schema"],
        "additionalProperties": False,
    }


def parse_verdicts(document: object, path: Path) -> Verdicts:
    """Check the JSON values of a decisions file.

    Raises:
        InputError: another schema, an unknown key, an id that is none, or one told twice.
    """
    if not isinstance(document, dict) or document.get("schema") != DECISIONS_SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise InputError(
            "no schema" if found is None else f"schema {found!r}",
            path=path,
            expected=f'"schema": "{DECISIONS_SCHEMA}"',
        )
    unknown = sorted(str(key) for key in document if key not in _KEYS)
    if unknown:
        best = nearest(unknown[0], _KEYS)
        raise InputError(
            f"unknown key {unknown[0]!r}",
            path=path,
            expected=f"one of {', '.join(_KEYS)}",
            remedy=f"did you mean {best!r}?" if best else None,
        )
    accepted, rejected = (_ids(document, name, path) for name in ("accepted", "rejected"))
    both = sorted(accepted & rejected)
    if both:
        raise InputError(
            f"{both[0]} is accepted and rejected", path=path, expected="one verdict on a fix"
        )
    by, note = (_text(document, name, path) for name in ("by", "note"))
    confidences = _confidences(document.get("confidences", {}), path)
    found = Verdicts(accepted=accepted, rejected=rejected, by=by, note=note)
    return found.with_confidences(confidences)


def load_verdicts(path: Path) -> Verdicts:
    """Read a decisions file.

    Raises:
        InputError: missing, unreadable, or not as `parse_verdicts` wants it.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(error.strerror or str(error), path=path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", path=path) from None
    return parse_verdicts(document, path)


def save_verdicts(path: Path, verdicts: Verdicts) -> None:
    """Write a decisions file whole or not at all, one id a line.

    Raises:
        DiskFull, OutputError: when it cannot be written.
    """
    text = json.dumps(json.loads(canonical_json(verdicts.document())), indent=1, sort_keys=True)
    write_bytes_atomic(path, (text + "\n").encode("utf-8", "replace"))


def _ids(document: Mapping[str, object], name: str, path: Path) -> frozenset[str]:
    listed = document.get(name, [])
    if not isinstance(listed, list):
        raise InputError(f"{name} is {listed!r}", path=path, expected="a list of ids")
    for at, text in enumerate(listed):
        if not isinstance(text, str) or parse_name(text) is None:
            raise InputError(
                f"{name}[{at}] is {text!r}", path=path, expected="an id such as dirt-1001-345-210"
            )
    if len(set(listed)) != len(listed):
        raise InputError(f"{name} has an id twice", path=path, expected="each once")
    return frozenset(listed)


def _confidences(found: object, path: Path) -> dict[str, float]:
    if not isinstance(found, dict):
        raise InputError(f"confidences is {found!r}", path=path, expected="numbers by id")
    for name, value in found.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if parse_name(name) is None or not is_number or not 0 <= value <= 1:
            raise InputError(
                f"confidences has {name!r}: {value!r}", path=path, expected="an id and 0 to 1"
            )
    return {name: float(value) for name, value in found.items()}


def _text(document: Mapping[str, object], name: str, path: Path) -> str:
    found = document.get(name, "")
    if not isinstance(found, str):
        raise InputError(f"{name} is {found!r}", path=path, expected="text")
    return found
