"""Answers to the review page about outputs, given in a child of the service.

The child answers one question at a time and keeps the last pictures; the service ends it when
nobody has asked for a while, and its memory goes with it.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from wetgate.model.errors import UsageError, WetgateError
from wetgate.operators.base import WorkingSpace
from wetgate.render.fixes.names import parse_name
from wetgate.render.manifest import CONTROL, JOURNAL, MANIFEST
from wetgate.service.review.fixes import fix_crops, judge, list_fixes
from wetgate.service.review.scopes import make_scopes
from wetgate.service.review.shot import WORKING_NAMES, Asked, Shot
from wetgate.service.review.views import GAIN, KINDS, WIDTH, View, make_view

KEPT_BYTES = 96 << 20
"""Of finished pictures, for going back and forth."""

Signature = tuple[tuple[int, int], ...]


class Desk:
    """Opens outputs for looking and answers questions about them, one at a time.

    Use as a context manager, or `close` it: reading a plate may have started a process.
    """

    def __init__(self) -> None:
        self._asked = Asked()
        self._open: tuple[Path, Signature, Shot] | None = None
        self._views: OrderedDict[tuple[object, ...], View] = OrderedDict()
        self._crops: OrderedDict[tuple[object, ...], dict[str, object]] = OrderedDict()

    def go_by(self, asked: Asked) -> None:
        """Take what the job of the next questions was asked for."""
        if asked != self._asked:
            self.close()
            self._asked = asked

    def frames(self, directory: Path) -> dict[str, object]:
        """Return what is known of a shot and of each of its frames, as JSON values."""
        shot = self._shot(directory)
        records = shot.restored.records
        trouble, source, rate = "", [], None
        try:
            source = list(shot.clip.frames)
            rate = shot.clip.frame_rate
        except (WetgateError, OSError) as error:
            trouble = f"the scan is not shown: {error}"
        numbers = sorted(set(source) | set(records))
        return {
            "title": shot.title,
            "directory": str(directory),
            "input_space": shot.input_space,
            "output_space": shot.output_space,
            "steps": [{"operator": s.operator, "working": s.working} for s in shot.steps],
            "rate": None if rate is None else float(rate),
            "trouble": trouble,
            "frames": [
                {
                    "number": number,
                    "status": records[number].status if number in records else "not rendered",
                    "digest": records[number].digest if number in records else "",
                    "changed": records[number].changed if number in records else 0.0,
                    "fixed": records[number].fixed if number in records else 0,
                    "left": records[number].left if number in records else 0,
                    "error": records[number].error if number in records else None,
                }
                for number in numbers
            ],
        }

    def view(
        self, directory: Path, number: int, kind: str, width: int | None, gain: float | None
    ) -> View:
        """Return a picture of a frame (`views.make_view`)."""
        if kind not in KINDS:
            raise UsageError(f"no view {kind!r}", expected=", ".join(KINDS))
        shot = self._shot(directory)
        wide, factor = width or WIDTH, gain if gain is not None else GAIN
        key = (*self._key(shot, number), kind, wide, factor)
        found = self._views.get(key)
        if found is None:
            found = make_view(shot, number, kind, width=wide, gain=factor)
            self._views[key] = found
            while sum(len(v.png) for v in self._views.values()) > KEPT_BYTES:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        return found

    def scopes(
        self, directory: Path, number: int, kind: str, working: str | None
    ) -> dict[str, object]:
        """Return the scopes of a frame as JSON values (`scopes.make_scopes`)."""
        if kind not in ("source", "restored"):
            raise UsageError(f"no scopes of {kind!r}", expected="source or restored")
        if working is not None and working not in WORKING_NAMES:
            raise UsageError(f"no space {working!r}", expected=", ".join(WORKING_NAMES))
        shot = self._shot(directory)
        picture = shot.source(number) if kind == "source" else shot.result(number)
        return make_scopes(shot, picture, cast("WorkingSpace | None", working)).to_json()

    def fixes(self, directory: Path, order: str) -> dict[str, object]:
        """Return the fixes with their verdicts as JSON values."""
        shot = self._shot(directory)
        return list_fixes(shot, order=order)

    def crops(self, directory: Path, name: str) -> dict[str, object]:
        """Return pictures of a fix as JSON values."""
        shot = self._shot(directory)
        frame = parse_name(name)
        key = (*self._key(shot, frame.frame if frame is not None else 0), name)
        if key not in self._crops:
            self._crops[key] = fix_crops(shot, name)
            while len(self._crops) > 200:
                self._crops.popitem(last=False)
        return self._crops[key]

    def _key(self, shot: Shot, number: int) -> tuple[object, ...]:
        """Return what a picture of a frame depends on beside what was asked of it."""
        record = shot.restored.records.get(number)
        digest = record.digest if record is not None else ""
        spaces = shot.input_space, shot.output_space
        return shot.restored.directory, number, digest, spaces, self._asked

    def _shot(self, directory: Path) -> Shot:
        """Open an output, anew when its record has changed."""
        signature = _signature(directory)
        if self._open is None or self._open[:2] != (directory, signature):
            self.close()
            self._open = (directory, signature, Shot(directory, self._asked))
        return self._open[2]

    def close(self) -> None:
        """End what reading the plate has started; the next question opens it again."""
        if self._open is not None:
            self._open[2].close()
            self._open = None

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _signature(directory: Path) -> Signature:
    """Return what changes when an output does."""
    found = []
    for name in (JOURNAL, MANIFEST, "job.json", "fixes.jsonl"):
        with suppress(OSError):
            stat = (directory / CONTROL / name).stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return tuple(found)


_desk = Desk()


def answer_page(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question of the page; `ask` names it, the rest are its facts.

    Raises:
        WetgateError: whatever keeps it from being answered.
    """
    ask, directory = request["ask"], Path(str(request["directory"]))
    number, kind = int(request.get("number") or 0), str(request.get("kind") or "restored")
    _desk.go_by(Asked(**dict(request.get("asked") or {})))
    if ask == "view":
        view = _desk.view(directory, number, kind, request.get("width"), request.get("gain"))
        facts = {**view.facts, "shown": [view.width, view.height]}
        return {"png": base64.b64encode(view.png).decode("ascii"), "facts": facts}
    if ask == "scopes":
        return _desk.scopes(directory, number, kind, request.get("working"))
    if ask == "fixes":
        return _desk.fixes(directory, str(request.get("order") or "doubt"))
    if ask == "crops":
        return _desk.crops(directory, str(request["fix"]))
    if ask == "judge":
        path, told = judge(directory, **{k: request[k] for k in ("accept", "reject", "clear")})
        accepted, rejected = sorted(told.accepted), sorted(told.rejected)
        return {"path": str(path), "accepted": accepted, "rejected": rejected}
    if ask == "frames":
        return _desk.frames(directory)
    raise UsageError(f"no question {ask!r} of the page")
