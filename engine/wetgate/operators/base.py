"""What an operator is: a pure function of a window with a declared footprint.

An operator knows nothing of files, color spaces, tiles, mattes or strength. The planner gives
it windows in its working encoding and composes what it returns. Three stages, all pure:

* `analyse` runs once for the clip and measures what a single window cannot (noise profile).
* `survey` runs once for a frame on whole frames of the window and returns what tiles cannot
  measure alone (optical flow). Its result is small compared with a frame.
* `__call__` runs for a tile of the frame with `halo` px of context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.frame import SampleType

Pixels = NDArray[np.float32]
"""float32 `(height, width, channel)`, C order."""


class Provenance(IntEnum):
    """Where an output pixel comes from (the classes of the report and the manifest)."""

    UNTOUCHED = 0
    REEXPOSED = 1
    RESAMPLED = 2
    FILTERED = 3
    BORROWED = 4
    INFERRED = 5


WorkingSpace = Literal["source", "log", "linear"]
"""`source`: the file's own encoding. `linear`: scene-linear. `log`: the file's own encoding when
that is already log or display-referred, else a signed log of scene-linear (`color.shaper`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What an operator needs around the pixels it returns.

    Attributes:
        temporal_radius: frames either side.
        halo: input px around a tile.
        scale: output size / input size.
        bytes_per_pixel: peak scratch memory of one call per px of tile with halo, for the planner.
    """

    temporal_radius: int = 0
    halo: int = 0
    scale: Fraction = Fraction(1)
    bytes_per_pixel: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpec:
    """The declared facts of one operator."""

    name: str
    version: int
    footprint: Footprint
    working_space: WorkingSpace
    provenance: Provenance
    generative: bool = False
    needs_analysis: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What an operator may know about the clip it works on.

    Attributes:
        sample_type: how the file stores samples (clipping only happens in integer codes).
        width, height: size of the full frame, px.
        channels: number of color channels (1 or 3).
        is_log_working: True when the working encoding is wetgate's signed log of scene-linear,
            False when it is the file's own encoding (code values scaled to 0-1).
    """

    sample_type: SampleType
    width: int
    height: int
    channels: int
    is_log_working: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Frames x tile handed to an operator, in its working encoding.

    Attributes:
        number: frame number of the center frame.
        pixels: one `(h, w, channel)` array per frame, `2 * temporal_radius + 1` of them; the
            center is at index `temporal_radius`. Reflected at the frame's edges.
        valid: False where a neighbor does not exist, could not be read or lies beyond a cut;
            its pixels are then a copy of the center and must not be used as evidence.
        region: the tile with halo, in px of the full frame; may reach beyond the frame.
        tile: the part of `region` to return.
        frame: the box of the full frame, at (0, 0).
    """

    number: int
    pixels: tuple[Pixels, ...]
    valid: tuple[bool, ...]
    region: Box
    tile: Box
    frame: Box

    @property
    def center(self) -> Pixels:
        """Pixels of the center frame, tile with halo."""
        return self.pixels[len(self.pixels) // 2]


Analysis = Mapping[str, object]
"""What `analyse` measured for one shot: JSON values only, a few kB."""

Survey = object
"""What `survey` measured for one frame; opaque to all but its operator."""

FrameReader = Callable[[int], Pixels]
"""Reads one whole frame of the clip, converted to the operator's working encoding."""


class Operator(Protocol):
    """The seam between the engine and what it runs. Instances hold parameters, never state."""

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        ...

    def analyse(
        self, read: FrameReader, frames: Sequence[int], facts: SourceFacts
    ) -> Analysis:
        """Measure one shot. `frames`: its numbers, ascending. Called before any render."""
        ...

    def survey(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Survey:
        """Measure one frame on a window whose tile is the whole frame, without halo."""
        ...

    def __call__(
        self, window: Window, survey: Survey, analysis: Analysis, facts: SourceFacts
    ) -> Pixels:
        """Return the `tile` of the window, restored, in the working encoding.

        Must be the same bits whatever the tile: anchored grids, bounded support, fixed order
        of floating-point sums.
        """
        ...
