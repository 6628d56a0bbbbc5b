"""What fixes are called, and what was probably meant by a name that none has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

_ID = re.compile(r"(?P<step>[A-Za-z_]\w*)-(?P<frame>-?\d{1,12})-(?P<x>\d{1,9})-(?P<y>\d{1,9})")


@dataclass(frozen=True, slots=True)
class FixName:
    """A fix's id taken apart: the step's name, the frame, and the px that it is anchored at."""

    step: str
    frame: int
    x: int
    y: int

    @property
    def rest(self) -> str:
        """The id as the operator knows it, without the step."""
        return f"{self.frame}-{self.x}-{self.y}"

    def __str__(self) -> str:
        return f"{self.step}-{self.rest}"


def parse_name(text: str) -> FixName | None:
    """Take an id apart; None when it is none."""
    found = _ID.fullmatch(text)
    if found is None:
        return None
    name = FixName(found["step"], int(found["frame"]), int(found["x"]), int(found["y"]))
    return name if str(name) == text else None  # "007" would be another spelling of 7


def nearest_name(text: str, known: Collection[str]) -> str | None:
    """Return the id most like `text`: the nearest place in its frame, else the nearest spelling."""
    meant = parse_name(text)
    if meant is not None:
        there = [name for name in map(parse_name, known) if name and name.frame == meant.frame]
        if there:
            # A typing error in the step's name counts less than another step at another place.
            best = min(
                there,
                key=lambda n: (
                    (n.x - meant.x) ** 2 + (n.y - meant.y) ** 2,
                    n.step != meant.step,
                    str(n),
                ),
            )
            return str(best)
    close = difflib.get_close_matches(text, sorted(known)[:20000], n=1, cutoff=0.4)
    return close[0] if close else None
