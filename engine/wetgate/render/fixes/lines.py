"""The lines of the journal of fixes, schema `wetgate.fixes/1`; README.md says what each key means.

A line is one JSON object. `fix` lines tell of one defect each; the `frame` line behind them
closes the record of one written frame; `revert` and `apply` lines tell what was done to a frame
later. What is no whole line of this schema is skipped and never an error: a kill may tear one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from wetgate.model.frame import SampleType
from wetgate.recipe.digest import canonical_json

FIXES_SCHEMA = "wetgate.fixes/1"
Event = Literal["revert", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixLine:
    """One defect of one frame, repaired or left alone.

    Attributes:
        id: `step-frame-x-y`, unique in the output. output: digest of the frame's file as it was
            written, which ties the line to its `frame` line.
        step: index in the recipe, from 0. operator, version: what runs there; the second step of
            one operator is called `name2`.
        threshold: confidence from which the step repairs; None where it knows none.
        number: of the fix within the frame, over all steps.
        anchor, box, kind, area, polarity, confidence, applied, why, provenance, source, offset,
            facts: as `operators.fixes.Fix` says.
        pixels: how many pixels of the file it changed. digest: of its tile data, else empty.
    """

    id: str
    output: str
    step: int
    operator: str
    version: int
    threshold: float | None
    number: int
    frame: int
    anchor: tuple[int, int]
    box: tuple[int, int, int, int]
    kind: str
    area: int
    polarity: int
    confidence: float
    applied: bool
    why: str = ""
    provenance: int = 0
    source: int = 0
    offset: tuple[float, float] = (0.0, 0.0)
    facts: Mapping[str, float] = field(default_factory=dict)
    pixels: int = 0
    digest: str = ""

    @property
    def doubt(self) -> float:
        """How near the confidence is to the threshold; small is doubtful."""
        return abs(self.confidence - (0.5 if self.threshold is None else self.threshold))

    def to_json(self) -> dict[str, object]:
        """Return the line as JSON values."""
        return {**_plain(self), "event": "fix"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLine:
    """The record of one written frame, behind its fixes.

    Attributes:
        output, file: digest and name of the frame's file.
        samples: digest of its color samples, whatever the file's bytes (`codes.samples_digest`).
        source_file, source_digest: the frame of the scan. context, recipe: as in the manifest.
        fixes: how many `fix` lines belong to it. tiles: file of tile data, under `.wetgate`;
            tiles_digest: of its bytes. Empty when no pixel was changed by a fix.
        only_fixes: whether all that differs from the scan belongs to a fix.
        channels: names of the color channels. sample_type: how the file stores them.
        layer: of the source that is the picture. write: how the file was written, for replay.
        closed: why pixels of the scan cannot be given back, else empty.
    """

    frame: int
    output: str
    file: str
    samples: str
    source_file: str
    source_digest: str
    context: str
    recipe: str
    fixes: int
    tiles: str
    tiles_digest: str
    only_fixes: bool
    channels: tuple[str, ...]
    sample_type: SampleType
    layer: str | None
    write: Mapping[str, object]
    closed: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the line as JSON values."""
        return {**_plain(self), "event": "frame"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """Fixes of one frame taken back, or applied again.

    Attributes:
        fixes: ids. before, output: digest of the frame's file before and after.
        samples: digest of its samples after. made: time in UTC, ISO 8601.
        wetgate: version. by, note: who and why, when told.
    """

    event: Event
    frame: int
    fixes: tuple[str, ...]
    before: str
    output: str
    samples: str
    made: str
    wetgate: str
    by: str = ""
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the line as JSON values."""
        return _plain(self)


Line = FixLine | FrameLine | ChangeLine


def line_bytes(line: Line) -> bytes:
    """Return a line as it stands in the file, with its end.

    Raises:
        ValueError: for numbers that JSON does not have.
    """
    document = {**line.to_json(), "schema": FIXES_SCHEMA}
    return (canonical_json(document) + "\n").encode("utf-8", "replace")


def parse_line(text: bytes) -> Line | None:
    """Read one line; None when it is torn, of another schema or not what it should be."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("schema") != FIXES_SCHEMA:
        return None
    take = _Taker(value)
    try:
        event = value.get("event")
        if event == "fix":
            return _fix(take)
        if event == "frame":
            return _frame(take)
        return _change(take, event) if event in ("revert", "apply") else None
    except (ValueError, OverflowError):
        return None


def _plain(line: Line) -> dict[str, object]:
    return {name: getattr(line, name) for name in line.__dataclass_fields__}


class _Taker:
    """Takes values of known types out of an object; ValueError for anything else."""

    def __init__(self, value: Mapping[str, object]) -> None:
        self._value = value

    def integer(self, name: str) -> int:
        return _integer(self._value.get(name))

    def number(self, name: str) -> float:
        return _number(self._value.get(name))

    def text(self, name: str) -> str:
        return _text(self._value.get(name))

    def optional_text(self, name: str) -> str | None:
        found = self._value.get(name)
        return None if found is None else _text(found)

    def optional_number(self, name: str) -> float | None:
        found = self._value.get(name)
        return None if found is None else _number(found)

    def flag(self, name: str) -> bool:
        found = self._value.get(name)
        if not isinstance(found, bool):
            raise ValueError(name)
        return found

    def items(self, name: str, count: int | None = None) -> list[object]:
        found = self._value.get(name)
        if not isinstance(found, list) or (count is not None and len(found) != count):
            raise ValueError(name)
        return found

    def mapping(self, name: str) -> Mapping[str, object]:
        found = self._value.get(name)
        if not isinstance(found, dict):
            raise ValueError(name)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(_text(item) for item in self.items(name))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _sample_type(text: str) -> SampleType:
    for known in get_args(SampleType):
        if text == known:
            return cast(SampleType, known)
    raise ValueError(text)


def _fix(take: _Taker) -> FixLine:
    x, y = map(_integer, take.items("anchor", 2))
    left, top, right, bottom = map(_integer, take.items("box", 4))
    across, down = map(_number, take.items("offset", 2))
    return FixLine(
        id=take.text("id"),
        output=take.text("output"),
        step=take.integer("step"),
        operator=take.text("operator"),
        version=take.integer("version"),
        threshold=take.optional_number("threshold"),
        number=take.integer("number"),
        frame=take.integer("frame"),
        anchor=(x, y),
        box=(left, top, right, bottom),
        kind=take.text("kind"),
        area=take.integer("area"),
        polarity=take.integer("polarity"),
        confidence=take.number("confidence"),
        applied=take.flag("applied"),
        why=take.text("why"),
        provenance=take.integer("provenance"),
        source=take.integer("source"),
        offset=(across, down),
        facts={name: _number(value) for name, value in take.mapping("facts").items()},
        pixels=take.integer("pixels"),
        digest=take.text("digest"),
    )


def _frame(take: _Taker) -> FrameLine:
    return FrameLine(
        frame=take.integer("frame"),
        output=take.text("output"),
        file=take.text("file"),
        samples=take.text("samples"),
        source_file=take.text("source_file"),
        source_digest=take.text("source_digest"),
        context=take.text("context"),
        recipe=take.text("recipe"),
        fixes=take.integer("fixes"),
        tiles=take.text("tiles"),
        tiles_digest=take.text("tiles_digest"),
        only_fixes=take.flag("only_fixes"),
        channels=take.texts("channels"),
        sample_type=_sample_type(take.text("sample_type")),
        layer=take.optional_text("layer"),
        write=take.mapping("write"),
        closed=take.text("closed"),
    )


def _change(take: _Taker, event: Event) -> ChangeLine:
    return ChangeLine(
        event=event,
        frame=take.integer("frame"),
        fixes=take.texts("fixes"),
        before=take.text("before"),
        output=take.text("output"),
        samples=take.text("samples"),
        made=take.text("made"),
        wetgate=take.text("wetgate"),
        by=take.text("by"),
        note=take.text("note"),
    )
