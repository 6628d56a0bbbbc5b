"""Names with a frame number in them, in every notation artists use."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wetgate.io.ranges import FrameRange
from wetgate.model.errors import SequenceError

# A minus is a sign only behind a dot, an underscore or at the start; else it separates words.
_SIGN = r"(?:(?:(?<=[._])|^)-)?"
DIGITS = re.compile(rf"{_SIGN}\d+")

_RANGE = r"-?\d+(?:--?\d+)?(?:[x:y]\d+)?"
_RANGES = rf"{_RANGE}(?:,{_RANGE})*"
# In front of a pad token only what cannot be part of the name counts: `010####` is no range.
_TOKEN = re.compile(
    rf"\[(?P<square>{_RANGES})\]|\{{(?P<first>-?\d+)\.\.(?P<last>-?\d+)\}}"
    rf"|(?P<range>{_SIGN}(?<!\d)\d+(?:--?|,)\d+(?:[x:y]\d+)?(?:,{_RANGE})*)?"
    r"(?:(?P<hash>#+|@+)|%0?(?P<printf>\d*)d|\$F(?P<houdini>\d*)|<F(?P<angle>\d*)>)"
)
_TRAILING = re.compile(rf"^(?P<name>.*\S)\s+(?P<range>{_RANGES})$")
_FIELD = re.compile(r"%(?:%|0?(\d*)d)")


_MOST_DIGITS = 32
"""A file system takes names of 255 bytes; a padding of millions would be printed all the same."""


@dataclass(frozen=True, slots=True)
class NumberedName:
    """A name taken apart: literal text around one frame number.

    Attributes:
        width: digits the number is padded to; 1 for none.
        frames: the range written inside the name, if any.
    """

    prefix: str
    suffix: str
    width: int
    frames: FrameRange | None

    @property
    def pattern(self) -> str:
        """Return the printf form."""
        return printf_pattern(self.prefix, self.width, self.suffix)


def printf_pattern(prefix: str, width: int, suffix: str) -> str:
    """Write a pattern; percent signs of the literal parts are doubled."""
    number = f"%0{width}d" if width > 1 else "%d"
    return prefix.replace("%", "%%") + number + suffix.replace("%", "%%")


def numbered_like(pattern: str, prefix: str, suffix: str) -> str:
    """Write a pattern that prints numbers as another one does; a plain name where that is one."""
    field = next((m for m in _FIELD.finditer(pattern) if m.group() != "%%"), None)
    if field is None:
        return prefix.replace("%", "%%") + suffix.replace("%", "%%")
    return printf_pattern(f"{prefix}.", int(field[1] or 0), suffix)


def has_number(pattern: str) -> bool:
    """Whether a printf pattern has a place for the frame number."""
    return any(m.group() != "%%" for m in _FIELD.finditer(pattern))


def print_name(pattern: str, number: int, *, sign_beside_digits: bool) -> str:
    """Print a file name; negative numbers as `-001` or, with the sign beside, `-0001`."""

    def put(field: re.Match[str]) -> str:
        if field.group() == "%%":
            return "%"
        width = int(field[1] or 0)
        if number < 0 and sign_beside_digits:
            width += 1
        return f"{number:0{width}d}"

    return _FIELD.sub(put, pattern)


def split_trailing_range(name: str) -> tuple[str, FrameRange | None]:
    """Part `plate.%04d.exr 1001-1100` into name and range."""
    behind = _TRAILING.match(name)
    if behind is None:
        return name, None
    return behind["name"], FrameRange.from_str(behind["range"])


def parse_name(name: str) -> NumberedName | None:
    """Take a name with a frame token apart; None when it has none.

    Raises:
        SequenceError: for several tokens, one that stands for views, or one of too many digits.
    """
    if re.search("%[Vv]", name):
        raise SequenceError(
            f"{name!r} stands for several views", remedy="name the files of one view"
        )
    tokens = list(_TOKEN.finditer(name))
    if len(tokens) > 1:  # `#` and `@` also occur in plain names
        tokens = [t for t in tokens if t["hash"] is None] or tokens
    if not tokens:
        return None
    if len(tokens) > 1:
        raise SequenceError(f"{name!r} has {len(tokens)} frame tokens", expected="one")
    token = tokens[0]
    width, frames = _width_and_frames(token)
    if width > _MOST_DIGITS:
        raise SequenceError(
            f"the frame token pads to {width} digits", expected=f"at most {_MOST_DIGITS}"
        )
    return NumberedName(name[: token.start()], name[token.end() :], width, frames)


def _width_and_frames(token: re.Match[str]) -> tuple[int, FrameRange | None]:
    if token["square"]:
        return _written_width(token["square"]), FrameRange.from_str(token["square"])
    if token["first"]:
        first, last = token["first"], token["last"]
        return _written_width(f"{first} {last}"), FrameRange.from_str(f"{first}-{last}")
    frames = FrameRange.from_str(token["range"]) if token["range"] else None
    if token["hash"]:
        return len(token["hash"]), frames
    digits = token["printf"] or token["houdini"] or token["angle"] or "1"
    # Python does not read a number of thousands of digits; nine are far too many already.
    return max(1, int(digits[:9])), frames


def _written_width(text: str) -> int:
    """Return the padding that numbers written in brackets imply."""
    numbers = re.findall(r"(?<![x:y\d])\d+", text)
    widths = {len(n) for n in numbers}
    padded = any(n.startswith("0") and len(n) > 1 for n in numbers)
    if padded:
        return min(widths)
    return widths.pop() if len(widths) == 1 else 1
