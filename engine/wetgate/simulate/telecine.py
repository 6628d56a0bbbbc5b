"""Interlace and telecine: film frames laid out over video fields.

Source: SMPTE RP 197, "Film-to-Video Transfer List"; 2:3 pull-down takes two fields from one film
frame and three from the next, so that four film frames (A, B, C, D) fill five video frames; the
frames A and B | C | D give the pairs AA BB BC CD DD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError

_TAKES = {"2:3": (2, 3), "2:2": (2,), "interlace": (1,), "3:2": (3, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TelecineSpec:
    """How film frames become fields.

    Attributes:
        pattern: "2:3" (24 to 30 frames a second, first frame two fields) or "3:2" (first frame
            three), "2:2" (fields of one frame together; nothing happens but a field order), or
            "interlace": each frame gives one field, so that two frames make one.
        order: which field of a video frame comes first: "tff" (top: rows 0, 2, ...) or "bff".
        phase: how many fields of the pattern are gone when the range begins.
    """

    pattern: Literal["2:3", "3:2", "2:2", "interlace"] = "2:3"
    order: Literal["tff", "bff"] = "tff"
    phase: int = 0

    def __post_init__(self) -> None:
        if self.phase < 0:
            raise ValueError(f"phase must not be negative, got {self.phase}")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """Where the fields of one video frame come from.

    Attributes:
        index: its place in the video, from 0.
        top, bottom: film frame numbers of rows 0, 2, ... and of rows 1, 3, ...
    """

    index: int
    top: int
    bottom: int

    @property
    def is_mixed(self) -> bool:
        """Return whether its fields come from two film frames: such a frame shows combing."""
        return self.top != self.bottom


def cadence(spec: TelecineSpec, numbers: Sequence[int]) -> tuple[VideoFrame, ...]:
    """Return the video frames that film frames `numbers` fill; a last field alone is dropped.

    Raises:
        UsageError: when there are too few frames for one video frame.
    """
    takes = _TAKES[spec.pattern]
    fields = [n for k, n in enumerate(numbers) for _ in range(takes[k % len(takes)])]
    fields = fields[spec.phase :]
    pairs = list(zip(fields[0::2], fields[1::2], strict=False))
    if not pairs:
        raise UsageError(f"{len(numbers)} film frames make no video frame", expected="more frames")
    if spec.order == "bff":
        pairs = [(second, first) for first, second in pairs]
    return tuple(VideoFrame(k, top, bottom) for k, (top, bottom) in enumerate(pairs))


def weave_fields(top: NDArray[np.float32], bottom: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows 0, 2, ... of `top` between rows 1, 3, ... of `bottom`."""
    result = top.copy()
    result[1::2] = bottom[1::2]
    return result


def film_frame(
    table: Sequence[VideoFrame], video: Sequence[NDArray[np.float32]], number: int
) -> NDArray[np.float32]:
    """Return a film frame put together again from its fields: the inverse of the cadence.

    Raises:
        UsageError: when one of its fields is in no video frame.
    """
    tops = [f.index for f in table if f.top == number]
    bottoms = [f.index for f in table if f.bottom == number]
    if not tops or not bottoms:
        raise UsageError(f"film frame {number} has lost a field to the cut of the range")
    return weave_fields(video[tops[0]], video[bottoms[0]])
