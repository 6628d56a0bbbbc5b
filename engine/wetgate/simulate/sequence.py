"""The stages that need a whole range: compression, then interlace or telecine.

What a codec makes of a frame depends on the frames around it, and where a field lies depends on
where the range begins: both are functions of the range and the seed, not of a frame alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.codec import CodecResult, compress
from wetgate.simulate.sensor import quantise
from wetgate.simulate.shot import DamagedShot
from wetgate.simulate.spec import DamagedFrame, DamageSpec
from wetgate.simulate.telecine import VideoFrame, cadence, weave_fields

_CODEC_BITS = 8


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """A damaged range after compression and telecine.

    Attributes:
        shot: of which it is a range.
        numbers: film frames that went in.
        codec: what compression did, in the order of `numbers`; None without it.
        table: the fields of each video frame; None without telecine.
    """

    shot: DamagedShot
    numbers: tuple[int, ...]
    codec: CodecResult | None
    table: tuple[VideoFrame, ...] | None

    @property
    def outputs(self) -> tuple[int, ...]:
        """Return the numbers of the frames that come out, on from the first film frame."""
        return output_numbers(self.shot.spec, self.numbers)

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        """Return one output frame, `(height, width, 3)`, on the grid of its bits."""
        if self.table is None:
            return self.film(number)
        here = self.table[self.outputs.index(number)]
        return weave_fields(self.film(here.top), self.film(here.bottom))

    def film(self, number: int) -> NDArray[np.float32]:
        """Return one film frame after compression and before telecine."""
        if self.codec is None:
            return self.shot[number].pixels
        return quantise(self.codec.planes.rgb(self.numbers.index(number)), _CODEC_BITS)


def output_numbers(spec: DamageSpec, numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of the frames that a range of film frames becomes."""
    if spec.telecine is None:
        return tuple(numbers)
    return tuple(numbers[0] + video.index for video in cadence(spec.telecine, numbers))


def damage_range(
    shot: DamagedShot,
    numbers: Sequence[int],
    *,
    on_frame: Callable[[DamagedFrame], None] | None = None,
) -> DamagedRange:
    """Damage a range, compression and telecine included.

    Args:
        on_frame: is called with every damaged film frame, in order, before compression.

    Raises:
        UsageError: without PyAV when there is a codec; for a range too short for its telecine.
    """

    def damaged() -> Iterator[NDArray[np.float32]]:
        for number in numbers:
            frame = shot[number]
            if on_frame is not None:
                on_frame(frame)
            yield frame.pixels

    spec = shot.spec
    table = None if spec.telecine is None else cadence(spec.telecine, numbers)
    codec = None
    if spec.codec is not None:
        codec = compress(damaged(), spec.codec)
    elif on_frame is not None:
        for _ in damaged():
            pass
    return DamagedRange(shot, tuple(numbers), codec, table)
