"""What an operator is: a pure function of a window with a declared footprint.

An operator knows nothing of files, color spaces, tiles, mattes or strength. The planner gives
it windows in its working encoding and composes what it returns. It works in pure steps:

* `Operator.analyse` runs once a shot and measures what a single window cannot (noise profile).
* `Stage.survey_frame` and `Stage.survey_pair` run on whole frames and measure what a tile
  cannot (optical flow). What they return is small compared with a frame and is keyed by frame
  number, so the planner may cache it or make it again: the result is the same.
* `Stage.__call__` runs for a tile with `halo` px of context. An operator with several stages
  gets, in every later stage, the output of the one before beside its own input.

What only some operators have is asked for by protocol: `UsesModels` for those that run trained
networks, `Resamples` for those that change the size of the picture, `ReadsPlanes` for those
that look at other planes than color, `TakesDecisions` for those that obey a person's verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.frame import SampleType
from wetgate.operators.fixes import Fix as Fix
from wetgate.operators.fixes import Provenance as Provenance

Pixels = NDArray[np.float32]
"""float32 `(height, width, channel)`, C order."""


WorkingSpace = Literal["source", "log", "linear"]
"""`source`: the file's own encoding. `linear`: scene-linear. `log`: the file's own encoding when
that is already log or display-referred, else a signed log of scene-linear (`color.shaper`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyBytes:
    """What the surveys of a stage take in memory.

    Attributes:
        frame: that of one frame keeps so much. Those of the frames of one window are kept.
        pair: that of a pair of frames keeps so much. Those of one window are kept.
        making: peak of surveying one frame or one pair, beside the planes handed over and what
            it keeps.
    """

    frame: int
    pair: int
    making: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What an operator needs around the pixels it returns.

    Attributes:
        temporal_radius: frames either side.
        halo: input px around a tile.
        scale: output size / input size. Only the last stage of an operator may have another one
            than 1; every size the engine hands it is a multiple of the denominator.
        bytes_per_pixel: peak scratch memory of one call per px of tile with halo, for the planner.
        surveys: what surveys take for frames of a width and height, px; None for stages without.
        exact_output: whether the next stage gets this one's output in float32; otherwise it is
            rounded to half, which is fine for a guide and not for a picture.
        planes: channels of what an inner stage returns; None for those of the frame. The next
            stage sees as many in `Window.previous` and in `survey_frame`. The last stage of an
            operator returns the channels of the frame and says None.
        center_only: whether a call looks at no pixels but those of the center frame, and knows
            neighbors by surveys alone. `Window.pixels` then repeats the center, and `previous`
            is empty, which spares the engine to cut them out.
    """

    temporal_radius: int = 0
    halo: int = 0
    scale: Fraction = Fraction(1)
    bytes_per_pixel: int = 64
    surveys: Callable[[int, int], SurveyBytes] | None = None
    exact_output: bool = False
    planes: int | None = None
    center_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpec:
    """The declared facts of one operator.

    Attributes:
        analysis_bytes: peak memory of `analyse` for frames of so many px, the frames that it holds
            included; None for next to nothing.
    """

    name: str
    version: int
    footprint: Footprint
    working_space: WorkingSpace
    provenance: Provenance
    generative: bool = False
    needs_analysis: bool = False
    analysis_bytes: Callable[[int], int] | None = None


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


Analysis = Mapping[str, object]
"""What `analyse` measured for one shot: JSON values only, a few kB."""

FrameSurvey = object
"""What `survey_frame` measured; opaque to all but its stage."""

PairSurvey = object
"""What `survey_pair` measured, e.g. flow from one frame to another; opaque."""

FrameReader = Callable[[int], Pixels]
"""Reads one whole frame of the clip, color channels only, in the working encoding."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Pixels of a stage with a word on where each comes from and what happened on the way.

    Attributes:
        pixels: what the stage would have returned alone.
        classes: uint8 `(h, w)` of `Provenance` values, the size of `pixels`, none above the class
            of the operator's spec; None when that holds for all of them. `UNTOUCHED` is for
            pixels that were looked at and left alone, a lower class where a network was not
            asked. Those of the last stage mark the pixels of the step; those of any other stage
            are handed to the stage after it, which alone knows what it makes of those pixels.
        notes: short sentences for the report, such as why a network was not asked; the engine
            tells each once a frame.

    Only the last stage of an operator that repairs defects fills the rest; all arrays have the
    `(h, w)` of `pixels`:

        fixes: uint32, the `Fix.number` that made each pixel, 0 where none did. Pixels without a
            fix keep the scan's bits whatever `pixels` holds there.
        origins: float32 `(h, w, 3)`: frame offset (source - own number), x and y in px, where a
            pixel was borrowed: out(p) = frame[number + offset](p + (x, y)); zeros elsewhere.
        planes: float32 planes to be written beside the picture, named `operator.plane`, such as
            "dirt.matte". Every tile of a step names the same.
        records: every fix whose box touches the tile, applied or not, with whole-frame facts:
            tiles of one frame hand in equal records for one number.
    """

    pixels: Pixels
    classes: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    fixes: NDArray[np.uint32] | None = None
    origins: NDArray[np.float32] | None = None
    planes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    records: tuple[Fix, ...] = ()


def pixels_of(result: Pixels | Judged) -> Pixels:
    """Return the pixels of what a stage returned."""
    return result.pixels if isinstance(result, Judged) else result


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Frames x tile handed to a stage, in the operator's working encoding.

    All tuples have `2 * temporal_radius + 1` entries, the center frame in the middle.

    Attributes:
        number: frame number of the center frame.
        pixels: the operator's input, one `(h, w, channel)` array a frame, covering `region`.
            Reflected (edge pixel not repeated) where `region` reaches beyond the frame.
        previous: output of the stage before, same shapes, rounded to half unless that stage's
            footprint asks for `exact_output`; empty for the first stage.
        previous_classes: what the stage before said of each pixel of `previous`, uint8 `(h, w)`;
            None for a frame of which it said nothing: all of it is of the operator's own class.
            Empty for the first stage, or where it said nothing at all.
        planes: named planes of the center frame over `region`, `(h, w, 1)`, reflected like the
            pixels: those that `ReadsPlanes` asks for and the job has. "defects": an infra-red
            channel or another's defect map, 0-1, 1 = defect.
        valid: False where a neighbor does not exist, could not be read or lies beyond a cut;
            its arrays are then those of the center and must not be used as evidence.
        pairs: `survey_pair(center, k)` for every valid neighbor k, else None (center: None).
        survey: `survey_frame` of the center frame; None where the stage surveys nothing.
        region: the tile with halo, in px of the full frame; may reach beyond the frame.
        tile: the part of `region` to return, times the stage's scale.
        frame: the box of the full frame, at (0, 0).
    """

    number: int
    pixels: tuple[Pixels, ...]
    previous: tuple[Pixels, ...]
    valid: tuple[bool, ...]
    pairs: tuple[PairSurvey | None, ...]
    region: Box
    tile: Box
    frame: Box
    previous_classes: tuple[NDArray[np.uint8] | None, ...] = ()
    planes: Mapping[str, Pixels] = field(default_factory=dict)
    survey: FrameSurvey | None = None

    @property
    def center(self) -> Pixels:
        """Input pixels of the center frame, tile with halo."""
        return self.pixels[len(self.pixels) // 2]


class Stage(Protocol):
    """One pass over the frame. Instances hold parameters, never state."""

    @property
    def footprint(self) -> Footprint:
        """Return what this stage alone needs around a tile."""
        ...

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Measure one whole frame of what the stage builds on.

        Args:
            whole: the frame's input for the first stage, else the output of the stage before.

        Returns:
            None when the stage needs no survey in this shot; `survey_pair` is then never called.
        """
        ...

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Measure one frame against another."""
        ...

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        """Return the `tile` of the window in the working encoding.

        A stage that scales returns `tile` times its scale: output pixel (0, 0) is the top left
        part of input pixel (0, 0) of the frame.

        Must give the same bits whatever the tile: grids anchored at (0, 0) of the full frame,
        bounded support, fixed order of floating-point sums, no global threads or state.
        """
        ...


class NoSurveys:
    """The surveys of a stage that looks at tiles alone."""

    __slots__ = ()

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Survey nothing."""
        return None

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Survey nothing."""
        return None


class Operator(Protocol):
    """The seam between the engine and what it runs. Instances hold parameters, never state."""

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts; the footprint is that of all stages together."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the stages in order, at least one. Radii and halos add up along them."""
        ...

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure one shot before any render.

        Args:
            read: reads any frame of the shot.
            frames: the shot's frame numbers, ascending.
        """
        ...


@runtime_checkable
class UsesModels(Protocol):
    """An operator that may run trained networks."""

    def models(self) -> tuple[str, ...]:
        """Return the names or folders of the model packages that this instance would run.

        Empty when it runs none, e.g. because it was asked to do without.
        """
        ...

    def without_network(self) -> Operator | None:
        """Return the same operator on its classical path; None where it has none.

        The engine takes it when a policy does not let inferred pixels in.
        """
        ...


@runtime_checkable
class ChoosesBackend(Protocol):
    """An operator that is told what shall run its networks; see `wetgate.backends`."""

    @property
    def backend(self) -> str:
        """Return the name of the backend that is asked for."""
        ...

    @property
    def precision(self) -> str:
        """Return the precision that is asked for."""
        ...


@runtime_checkable
class Resamples(Protocol):
    """An operator that changes the size and also knows the plain way to do so.

    With it the strength of a step and mattes have something to blend the result with.
    """

    def resample(self, pixels: Pixels) -> Pixels:
        """Return pixels times the operator's scale, by a fixed kernel and no network.

        Args:
            pixels: `(h, w, channel)` in the working encoding; the frame or any part of it whose
                corners are multiples of the scale's denominator. Within the footprint's halo of
                the rim the result need not be that of the whole frame.
        """
        ...


@runtime_checkable
class ReadsPlanes(Protocol):
    """An operator that looks at planes other than the color of its frames."""

    def planes(self) -> tuple[str, ...]:
        """Return the names of the planes that it would use where the job has them.

        A plane that the job does not have is not in `Window.planes`, and that is no error.
        """
        ...


Decisions = Mapping[str, object]
"""A person's verdicts on the fixes of one operator: `{"accepted": [id, ...], "rejected": [...],
"confidences": {id: 0-1, ...}}`, the last of all those spoken of whose confidence is known,
with ids as `Fix.id` gives them; JSON values only."""


@runtime_checkable
class TakesDecisions(Protocol):
    """An operator whose single fixes a person may accept or reject.

    It repairs what is accepted and would be left alone otherwise. What is rejected it repairs as if
    nobody had spoken: the engine takes those pixels back once the repairing steps behind it have
    seen the picture that they saw before, so that a verdict on one fix moves no other.
    """

    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        """Return the analysis with the verdicts in it, so that every chunk obeys the same.

        Pure. The engine calls it once, after `analyse`; what it returns is in the digest of
        everything rendered by it.
        """
        ...
