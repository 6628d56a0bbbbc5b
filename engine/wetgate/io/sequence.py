"""Find the frames of a plate on disk, whatever notation names it.

Read: `plate.%04d.exr`, `plate.####.exr` (one `#` a digit, as in Nuke), `plate.@@@@.exr`,
`plate.$F4.exr`, `plate.<F4>.exr`, `plate.[1001-1100].exr`, `plate.{1001..1100}.exr`,
`plate.1001-1100x2####.exr`, a directory, one frame, each with an optional ` 1001-1100` behind.
Printed: only `plate.%04d.exr 1001-1100`, because `#` means another width in every program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wetgate.io.notation import (
    DIGITS,
    NumberedName,
    has_number,
    parse_name,
    print_name,
    printf_pattern,
    split_trailing_range,
)
from wetgate.io.ranges import MAX_FRAMES, FrameRange
from wetgate.model.errors import SequenceError

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".exr", ".sxr", ".mxr", ".dpx", ".cin", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp",
    ".tga", ".jp2", ".j2k", ".jxl", ".webp", ".hdr", ".psd", ".sgi", ".rgb", ".ppm", ".pgm",
    ".pnm", ".pfm", ".gif",
})
MOVIE_SUFFIXES = frozenset({".mov", ".mp4", ".m4v", ".mkv", ".mxf", ".avi"})
# fmt: on


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """The frames of one plate on disk, or the names of those to be written.

    Attributes:
        directory: where the frames are.
        pattern: printf form of the name, `plate.%04d.exr` (a literal percent sign is `%%`), or
            the plain name of a single file that has no number.
        numbers: frame numbers that have a file (source) or are to be written (output), ascending.
        missing: numbers asked for, or lying in a gap, that have no file.
        sign_beside_digits: negative numbers have all their digits beside the sign (`-0001`);
            printf counts the sign as a digit (`-001`).
    """

    directory: Path
    pattern: str
    numbers: tuple[int, ...]
    missing: frozenset[int] = frozenset()
    sign_beside_digits: bool = field(default=False, compare=False)

    def name(self, number: int) -> str:
        """Return the file name of one frame; the number need not exist."""
        return print_name(self.pattern, number, sign_beside_digits=self.sign_beside_digits)

    def path(self, number: int) -> Path:
        """Return the path of one frame; the number need not exist."""
        return self.directory / self.name(number)

    @property
    def expression(self) -> str:
        """Return the canonical text, e.g. `plate.%04d.exr 1001-1100`."""
        if not has_number(self.pattern):
            return self.name(0)
        return f"{self.pattern} {FrameRange(self.numbers)}"

    def renamed(self, directory: Path, pattern: str | None = None) -> FrameSequence:
        """Return the same frames in another directory, under another pattern if given."""
        return replace(self, directory=Path(directory), pattern=pattern or self.pattern)


def find_sequence(plate: str | Path, frames: FrameRange | None = None) -> FrameSequence:
    """Find the frames that `plate` names.

    Args:
        plate: any notation of this module, a directory that holds one sequence, or one file.
        frames: the subset wanted; numbers of it without a file are reported as missing.

    Raises:
        SequenceError: when nothing matches, or more than one sequence does.
    """
    path = Path(plate)
    if os.path.isdir(path):  # the methods of Path raise for names too long for the system
        return _subset(_only_sequence(path), frames)
    if os.path.isfile(path):
        return _subset(_single_file(path), frames)
    name, behind = split_trailing_range(path.name)
    if behind is not None:
        return find_sequence(path.with_name(name), _both(behind, frames))
    named = parse_name(path.name)
    if named is None:
        raise SequenceError(
            "no such file or directory",
            path=path,
            remedy="name a file, a directory or a pattern such as plate.%04d.exr",
        )
    found = _matching(path.parent, named)
    return _subset(found, _both(named.frames, frames))


def _both(first: FrameRange | None, second: FrameRange | None) -> FrameRange | None:
    if first is None or second is None:
        return first or second
    return FrameRange.from_numbers(set(first) & set(second))


def _subset(found: FrameSequence, wanted: FrameRange | None) -> FrameSequence:
    if wanted is None:
        return found
    here = set(found.numbers)
    numbers = tuple(n for n in wanted if n in here)
    if not numbers:
        raise SequenceError(
            f"none of the frames {wanted} exists",
            path=found.directory / found.pattern,
            expected=f"frames of {FrameRange(found.numbers)}",
        )
    return replace(found, numbers=numbers, missing=frozenset(wanted) - here)


def _gaps(numbers: tuple[int, ...], where: Path) -> frozenset[int]:
    if not numbers:
        return frozenset()
    span = numbers[-1] - numbers[0] + 1
    if span - len(numbers) > MAX_FRAMES:
        raise SequenceError(
            f"{len(numbers)} files spread over {span} frame numbers",
            path=where,
            remedy="the digits may not be frame numbers; pass a range of frames",
        )
    return frozenset(range(numbers[0], numbers[-1] + 1)) - frozenset(numbers)


def _list_names(directory: Path, *, files_only: bool = True) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(
                e.name
                for e in entries
                if not e.name.startswith(".") and (not files_only or e.is_file())
            )
    except OSError as error:
        raise SequenceError(
            f"cannot be listed: {error.strerror or error}", path=directory
        ) from error


def _matching(directory: Path, named: NumberedName) -> FrameSequence:
    """Collect what has exactly the name that the pattern prints.

    A directory or a broken link among the frames counts: it is a frame that cannot be read, and
    at the end of a shot nothing else would tell that it is lost.
    """
    shape = re.compile(f"{re.escape(named.prefix)}(-?\\d+){re.escape(named.suffix)}")
    matches = (shape.fullmatch(name) for name in _list_names(directory, files_only=False))
    texts = [m.group(1) for m in matches if m]
    sequence = _build(directory, named.prefix, named.suffix, named.width, texts)
    if not sequence.numbers:
        beside = f"; {len(texts)} files have another number of digits" if texts else ""
        raise SequenceError(f"no file matches{beside}", path=directory / named.pattern)
    return sequence


def _build(
    directory: Path, prefix: str, suffix: str, width: int, texts: Iterable[str]
) -> FrameSequence:
    texts = list(texts)
    pattern = printf_pattern(prefix, width, suffix)
    beside = any(t.startswith("-") and len(t) > max(width, 1 + len(str(-int(t)))) for t in texts)
    shape = FrameSequence(directory, pattern, (), sign_beside_digits=beside)
    numbers = tuple(sorted(int(t) for t in texts if shape.name(int(t)) == prefix + t + suffix))
    return replace(shape, numbers=numbers, missing=_gaps(numbers, directory / pattern))


def _single_file(path: Path) -> FrameSequence:
    """Take one file as a sequence of one frame, numbered by its last digits if it has any."""
    if path.suffix.lower() not in MOVIE_SUFFIXES:
        stem = path.name[: len(path.name) - len(path.suffix)]
        digits = list(DIGITS.finditer(stem))
        if digits:
            at = digits[-1]
            return _one_number(path.parent, path.name, at.start(), at.end())
    return FrameSequence(path.parent, path.name.replace("%", "%%"), (1,))


def _one_number(directory: Path, name: str, start: int, end: int) -> FrameSequence:
    text = name[start:end]
    width = len(text) if not text.startswith("-") else len(text) - 1
    return _build(directory, name[:start], name[end:], width, [text])


def _only_sequence(directory: Path) -> FrameSequence:
    known = IMAGE_SUFFIXES | MOVIE_SUFFIXES
    names = [n for n in _list_names(directory) if Path(n).suffix.lower() in known]
    found = _group(directory, names)
    if not found:
        raise SequenceError("the directory holds no images", path=directory)
    if len(found) > 1:
        listed = ", ".join(s.expression for s in found[:8])
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise SequenceError(
            f"the directory holds {len(found)} sequences: {listed}{more}",
            path=directory,
            remedy="name one of them",
        )
    named = parse_name(found[0].pattern) if has_number(found[0].pattern) else None
    # By name, so that what cannot be read counts as well.
    return found[0] if named is None else _matching(directory, named)


def _group(directory: Path, names: list[str]) -> list[FrameSequence]:
    """Group names into sequences: the digits that vary between like names are the number."""
    alike: dict[tuple[str, ...], list[list[re.Match[str]]]] = {}
    for name in names:
        stem = name[: len(name) - len(Path(name).suffix)]
        digits = list(DIGITS.finditer(stem))
        literal = _literals(name, digits)
        alike.setdefault(literal, []).append(digits)
    found: list[FrameSequence] = []
    for literal, members in alike.items():
        if len(literal) == 1 or len(members) == 1:
            for digits in members:
                found.append(_single_file(directory / _join(literal, [d.group() for d in digits])))
            continue
        found.extend(_group_alike(directory, literal, [[d.group() for d in m] for m in members]))
    return sorted(found, key=lambda s: s.pattern)


def _literals(name: str, digits: list[re.Match[str]]) -> tuple[str, ...]:
    edges = [0, *(e for d in digits for e in d.span()), len(name)]
    return tuple(name[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))


def _join(literal: tuple[str, ...], digits: list[str]) -> str:
    return "".join(part for pair in zip(literal, [*digits, ""], strict=True) for part in pair)


def _group_alike(
    directory: Path, literal: tuple[str, ...], members: list[list[str]]
) -> list[FrameSequence]:
    varying = [i for i in range(len(literal) - 1) if len({m[i] for m in members}) > 1]
    at = varying[-1] if varying else len(literal) - 2
    others: dict[tuple[str, ...], list[list[str]]] = {}
    for member in members:
        others.setdefault((*member[:at], *member[at + 1 :]), []).append(member)
    found = []
    for group in others.values():
        prefix = _join(literal[: at + 1], group[0][:at])
        suffix = _join(literal[at + 1 :], group[0][at + 1 :])
        texts = [m[at] for m in group]
        found.append(_build(directory, prefix, suffix, _width_of(texts), texts))
        if len(found[-1].numbers) != len(texts):
            raise SequenceError(
                "numbers are padded in different ways",
                path=directory / (prefix + "#" + suffix),
                remedy="name the sequence with its padding, e.g. %04d",
            )
    return found


def _width_of(texts: list[str]) -> int:
    """Return the padding of numbers as found on disk."""
    deciding = [t for t in texts if not t.startswith("-")] or texts
    if any(re.match("-?0[0-9]", t) for t in texts):
        return min(len(t) for t in deciding)
    widths = {len(t.lstrip("-")) for t in deciding}
    return widths.pop() if len(widths) == 1 else 1


def output_sequence(out: str | Path, source: FrameSequence) -> FrameSequence:
    """Name the frames to be written.

    Args:
        out: a directory, which keeps the names of the source, or a pattern, whose suffix may
            ask for another format. A plain file name serves a source of one frame.
        source: what is read.

    Raises:
        SequenceError: when several frames would get one name.
    """
    path = Path(out)
    name, frames = split_trailing_range(path.name)
    named = None if os.path.isdir(path) else parse_name(name)
    known = Path(name).suffix.lower() in IMAGE_SUFFIXES | MOVIE_SUFFIXES
    if named is not None:
        if not known:
            raise SequenceError(
                f"suffix {Path(name).suffix!r} names no image format", path=path, expected=".exr"
            )
        stated = _both(named.frames, frames)
        if stated is not None and stated.numbers != source.numbers:
            raise SequenceError(
                f"the output names frames {stated}",
                path=path,
                expected=f"those of the source, {FrameRange(source.numbers)}",
                remedy="choose frames with --frames",
            )
        target = source.renamed(path.parent, named.pattern)
    elif os.path.isdir(path) or not known:
        target = source.renamed(path, _still_names(source))
    elif len(source.numbers) == 1:
        target = source.renamed(path.parent, path.name.replace("%", "%%"))
    else:
        raise SequenceError(
            f"one name for {len(source.numbers)} frames",
            path=path,
            expected=f"a directory or a pattern such as {path.stem}.%04d{path.suffix}",
        )
    return replace(target, missing=frozenset())


def _still_names(source: FrameSequence) -> str | None:
    """Return a pattern for the frames of a movie, which has one name for all; else None."""
    name = source.name(source.numbers[0])
    if Path(name).suffix.lower() not in MOVIE_SUFFIXES:
        return None
    return printf_pattern(f"{Path(name).stem}.", 4, ".exr")


def movie_sequence(path: Path, first: int, count: int) -> FrameSequence:
    """Return the frames inside one movie file: every number has the same path."""
    numbers = tuple(range(first, first + count))
    return FrameSequence(path.parent, path.name.replace("%", "%%"), numbers)


def same_file_tree(outer: Path, inner: Path) -> bool:
    """Whether `inner` is `outer` or lies inside it, once every link is followed.

    Compares device and inode, so that a link, a second mount point or a name in another case
    does not hide the likeness. Neither needs to exist: the part that exists decides.
    """
    outer = Path(os.path.realpath(outer))
    inner = Path(os.path.realpath(inner))
    if outer == inner or outer in inner.parents:
        return True
    try:
        target = os.stat(outer)
    except OSError:
        return False
    for place in (inner, *inner.parents):
        try:
            if os.path.samestat(os.stat(place), target):
                return True
        except OSError:
            continue
    return False
