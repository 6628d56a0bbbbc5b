"""What the operators said, told once a shot: which frames it concerns and how much of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wetgate.io.ranges import FrameRange
from wetgate.render.events import FrameReport
from wetgate.render.plan import NetworkUse
from wetgate.render.windows import Shots

NETWORK_OFF = "network switched off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotNote:
    """One remark about some frames of one shot.

    Attributes:
        shot: index of the shot, from 0. text: the remark.
        share: mean share of these frames, 0-1, where the remark is about pixels; else None.
        most: greatest share of one frame.
    """

    shot: int
    text: str
    frames: FrameRange
    share: float | None = None
    most: float = 0.0

    @property
    def share_text(self) -> str:
        """The shares in percent."""
        if self.share is None:
            return ""
        return f"{100 * self.share:.3g} % on average, at most {100 * self.most:.3g} %"

    def __str__(self) -> str:
        where = f" ({self.share_text})" if self.share is not None else ""
        return f"frames {self.frames}: {self.text}{where}"


def summarize(
    frames: Sequence[FrameReport], shots: Shots, networks: Sequence[NetworkUse] = ()
) -> tuple[ShotNote, ...]:
    """Group remarks by shot, in the order of the frames; a remark is told once a shot.

    Args:
        networks: told beside the remarks; a remark on what runs one is then left out.
    """
    told = tuple(f": {use.choice}" for use in networks)
    found: dict[tuple[int, str], list[int]] = {}
    off: dict[int, list[tuple[int, float]]] = {}
    for frame in sorted(frames, key=lambda f: f.number):
        shot = shots.index(frame.number)
        if frame.network_off:
            off.setdefault(shot, []).append((frame.number, frame.network_off))
        for text in frame.notes:
            if text.endswith(told):
                continue
            found.setdefault((shot, text), []).append(frame.number)
    notes = [
        ShotNote(
            shot=shot,
            text=NETWORK_OFF,
            frames=FrameRange.from_numbers([n for n, _ in pairs]),
            share=sum(share for _, share in pairs) / len(pairs),
            most=max(share for _, share in pairs),
        )
        for shot, pairs in off.items()
    ]
    notes += [
        ShotNote(shot=shot, text=text, frames=FrameRange.from_numbers(numbers))
        for (shot, text), numbers in found.items()
    ]
    return tuple(sorted(notes, key=lambda note: note.shot))
