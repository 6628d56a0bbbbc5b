"""Scratches as the analysis file keeps them, and as rendering reads them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Analysis
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.profile import Profile

PLACES = 256
"""Steps of a stored place a px."""
STRENGTHS = 1 << 16
"""Steps of a stored strength a unit of the encoding; profiles are stored finer than that."""
_PROFILES = 4096
LOST = 0.5
"""Share of the picture that a scratch hides from which on what is left of it is not trusted."""

_Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loan:
    """Where a strip of a lost core comes from.

    Attributes:
        strip: its number. source: frame number. x, y: px; out(p) = frame[source](p + (x, y)).
        shift: what is added to each channel, `STRENGTHS` a unit: light that changed meanwhile.
    """

    strip: int
    source: int
    x: int
    y: int
    shift: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrackOnFrame:
    """One scratch on one frame.

    Attributes:
        first: number of its first strip. place: `(n,)` x in the middle of each strip, px.
        strength: `(n,)`, encoded units; where the emulsion is lost, share of the picture covered.
        loans: where strips of a lost core are borrowed.
    """

    first: int
    place: _Float
    strength: _Float
    loans: tuple[Loan, ...] = ()

    def rows(self, strips: Strips) -> tuple[NDArray[np.intp], _Float, _Float]:
        """Return the rows it runs over, and place and strength in each of them."""
        top = self.first * strips.rows
        bottom = min((self.first + len(self.place)) * strips.rows, strips.height)
        rows = np.arange(top, bottom)
        middles = strips.middles[self.first : self.first + len(self.place)]
        return rows, along(rows, middles, self.place), np.interp(rows, middles, self.strength)


def along(rows: NDArray[np.intp], middles: _Float, values: _Float) -> _Float:
    """Interpolate between the middles of strips, and go on straight beyond the outer ones."""
    inside = np.interp(rows, middles, values)
    if len(values) < 2:
        return inside
    for a, b, beyond in ((0, 1, rows < middles[0]), (-1, -2, rows > middles[-1])):
        slope = (values[b] - values[a]) / (middles[b] - middles[a])
        inside[beyond] = values[a] + slope * (rows[beyond] - middles[a])
    return inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One scratch over the frames of a shot.

    Attributes:
        profile: cross section where the strength is 1.
        polarity: +1 bright, -1 dark.
        value: where the emulsion is lost, the encoded value of what shows in its place, of each
            channel; empty where the picture goes on below.
        confidence: 0-1, that it is a scratch and no line of the picture.
        why: why it is left alone; empty when it is repaired.
        frames: by frame number.
        facts: what the verdict was made of.
    """

    profile: Profile
    polarity: int
    confidence: float
    why: str = ""
    value: tuple[float, ...] = ()
    frames: Mapping[int, TrackOnFrame]
    facts: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return JSON values that `track_of` reads back."""
        return {
            "profile": [[round(float(v) * _PROFILES) for v in row] for row in self.profile.values],
            "polarity": self.polarity,
            "confidence": round(self.confidence, 4),
            "why": self.why,
            "value": [round(v, 6) for v in self.value],
            "facts": {k: round(float(v), 5) for k, v in self.facts.items()},
            "frames": {
                str(n): {
                    "first": t.first,
                    "place": _differences(np.rint(t.place * PLACES)),
                    "strength": _differences(np.rint(t.strength * STRENGTHS)),
                    "loans": [[b.strip, b.source, b.x, b.y, *b.shift] for b in t.loans],
                }
                for n, t in self.frames.items()
            },
        }


def _differences(values: _Float) -> list[int]:
    """Return whole numbers as the first and the steps after it, which take less room."""
    return [int(v) for v in np.diff(values, prepend=0.0)]


def tracks_of(analysis: Analysis) -> tuple[Track, ...]:
    """Read back every track of an analysis."""
    return tuple(track_of(t) for t in cast(Sequence[Mapping[str, object]], analysis["tracks"]))


def track_of(document: Mapping[str, object]) -> Track:
    """Read back what `Track.as_json` returned."""
    frames = {}
    for number, course in cast(Mapping[str, Mapping[str, object]], document["frames"]).items():
        loans = cast(Sequence[Sequence[int]], course["loans"])
        frames[int(number)] = TrackOnFrame(
            cast(int, course["first"]),
            np.cumsum(cast(Sequence[int], course["place"])) / PLACES,
            np.cumsum(cast(Sequence[int], course["strength"])) / STRENGTHS,
            tuple(Loan(b[0], b[1], b[2], b[3], tuple(b[4:])) for b in loans),
        )
    return Track(
        profile=Profile(np.asarray(document["profile"], np.float64) / _PROFILES),
        polarity=cast(int, document["polarity"]),
        confidence=cast(float, document["confidence"]),
        why=cast(str, document["why"]),
        value=tuple(cast(Sequence[float], document["value"])),
        frames=frames,
        facts=dict(cast(Mapping[str, float], document["facts"])),
    )


def box_on(track: Track, here: TrackOnFrame, strips: Strips, frame: Box) -> Box:
    """Return the px that a track touches on a frame, within the frame."""
    rows, place, _ = here.rows(strips)
    reach = track.profile.reach
    left, right = int(np.floor(place.min())) - reach, int(np.ceil(place.max())) + reach + 1
    return Box(left, int(rows[0]), right, int(rows[-1]) + 1).intersect(frame)
