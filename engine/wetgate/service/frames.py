"""Take the files that a host shows for the sequence they belong to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wetgate.io.notation import DIGITS, parse_name
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import MOVIE_SUFFIXES, find_sequence
from wetgate.model.errors import SequenceError, UsageError

_REMEDY = "send the frames of one sequence at a time, or name the plate by a pattern"


@dataclass(frozen=True, slots=True)
class NamedPlate:
    """A plate, and the frames of it that are meant.

    Attributes:
        plate: directory and pattern of the whole sequence, or one file without a number.
        frames: numbers as a range expression; None for all.
    """

    plate: str
    frames: str | None


def plate_of_files(files: Sequence[str]) -> NamedPlate:
    """Return the sequence that files are frames of, with their numbers.

    The order does not count and a file may be named twice, as a strip may show it twice.

    Args:
        files: absolute paths.

    Raises:
        UsageError: no file at all. SequenceError: frames of several sequences, no number, or one
            is not there.
    """
    if not files:
        raise UsageError("the list of files is empty")
    paths = [Path(file) for file in dict.fromkeys(files)]
    first = paths[0]
    other = next((p for p in paths if p.parent != first.parent), None)
    if other is not None:
        raise SequenceError(
            f"frames of several directories, {first.parent} and {other.parent}", remedy=_REMEDY
        )
    for path in paths:
        if not os.path.isfile(path):
            raise SequenceError("no such file", path=path)
    if len(paths) == 1 and (first.suffix.lower() in MOVIE_SUFFIXES or not _digits(first.name)):
        return NamedPlate(str(first), None)
    prefix, suffix, texts = _common_name(paths)
    width = _width(texts)
    # Literal percent signs stay single: this is a name to be read, not to be printed.
    name = prefix + (f"%0{width}d" if width > 1 else "%d") + suffix
    named = parse_name(name)
    if named is None or (named.prefix, named.suffix) != (prefix, suffix):
        raise SequenceError(f"{name!r} can be read in two ways", path=first, remedy="rename it")
    plate = str(first.parent / name)
    numbers = sorted({int(text) for text in texts})
    found = find_sequence(plate)
    lost = [p for p, text in zip(paths, texts, strict=True) if found.path(int(text)) != p]
    if lost:
        raise SequenceError(
            "numbers are padded in different ways",
            path=lost[0],
            expected=found.name(int(texts[paths.index(lost[0])])),
            remedy="rename the frames",
        )
    return NamedPlate(plate, str(FrameRange.from_numbers(numbers)))


def _digits(name: str) -> list[re.Match[str]]:
    stem = name[: len(name) - len(Path(name).suffix)]
    return list(DIGITS.finditer(stem))


def _common_name(paths: Sequence[Path]) -> tuple[str, str, list[str]]:
    """Find the one place where the names of all frames differ, or the last number of one name."""
    first = paths[0].name
    for number in reversed(_digits(first)):
        prefix, suffix = first[: number.start()], first[number.end() :]
        shape = re.compile(f"{re.escape(prefix)}(-?\\d+){re.escape(suffix)}")
        matches = [shape.fullmatch(path.name) for path in paths]
        if all(matches):
            return prefix, suffix, [match.group(1) for match in matches if match is not None]
    stranger = next((p for p in paths if len(_digits(p.name)) != len(_digits(first))), paths[-1])
    raise SequenceError(
        f"{first} and {stranger.name} are not frames of one sequence", remedy=_REMEDY
    )


def _width(texts: Sequence[str]) -> int:
    plain = [t for t in texts if not t.startswith("-")] or [t.removeprefix("-") for t in texts]
    if any(len(t) > 1 and t.startswith("0") for t in plain):
        return min(map(len, plain))
    widths = {len(t) for t in plain}
    return widths.pop() if len(widths) == 1 else 1
