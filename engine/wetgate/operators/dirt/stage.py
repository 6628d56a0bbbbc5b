"""The second stage of dirt: repair what the first one found.

Everything that decides is measured on whole frames, so a defect that lies in two tiles is repaired
alike in both; a tile only cuts its part out. What neighbors show is looked for when the first
tile asks, since most frames have little dirt, and is the same whoever asks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameSurvey,
    Judged,
    PairSurvey,
    Pixels,
    SourceFacts,
    SurveyBytes,
    Window,
)
from wetgate.operators.denoise.flow import (
    Flow,
    FlowPicture,
    estimate_flow,
    flow_bytes,
    flow_picture,
)
from wetgate.operators.denoise.passes import PATCH, ShotNoise
from wetgate.operators.dirt.blobs import Blob, BlobTable, find_blobs
from wetgate.operators.dirt.candidates import (
    DIRTY,
    NEAR_DIRT,
    Candidate,
    find_candidate,
)
from wetgate.operators.dirt.defects import Defect, Repaired
from wetgate.operators.dirt.detect import CONFIDENCE, dirt_noise
from wetgate.operators.dirt.invent import invented
from wetgate.operators.dirt.neighbors import Likeness, compare, judge
from wetgate.operators.dirt.parts import Motion, find_along, find_sides
from wetgate.operators.dirt.places import Place, grown, make_place
from wetgate.operators.dirt.repair import REACH_OUT, repair
from wetgate.operators.dirt.tile import REJECTED, Tile, alpha_at
from wetgate.operators.dirt.verdicts import Verdicts, shifted, verdicts_of
from wetgate.operators.dirt.ways import TAPS

RADIUS = 3
"""Frames either side that pixels are borrowed from."""
_JUDGED_BY = 2
_SUSPECT = 0.15
_GROWN = 2
_MAKING = 20
"""Bytes a px that looking for blobs takes beside what is kept of them (measured)."""
_MARGIN = 2 * (REACH_OUT + _GROWN) + 2


def _survey_bytes(width: int, height: int) -> SurveyBytes:
    """Return what a frame as repairs see it takes.

    The source, marks, and labels of up to 65535 blobs; the picture that motion is found on, and
    motion. `making` is measured, of frames up to a third of which is suspect: one that a defect
    map marks all over takes 50 bytes a px more. A blob keeps some 2.4 kB whatever the size of the
    frame, and ten thousand of them are in no plan.
    """
    pixels, flow = width * height, flow_bytes(width, height)
    making = max(flow.making, _MAKING * pixels)
    return replace(flow, frame=(12 + 1 + 2) * pixels + flow.frame, making=making)


class RepairSettings(Protocol):
    """What the stage reads of its operator."""

    @property
    def threshold(self) -> float:
        """Return the confidence from which a blob is repaired."""
        ...

    @property
    def smallest(self) -> int:
        """Return the px below which a blob is left alone."""
        ...

    @property
    def largest(self) -> int:
        """Return the side of the largest box that a blob may fill, px."""
        ...

    @property
    def invent(self) -> bool:
        """Return whether holes that no frame shows are filled from around them."""
        ...

    @property
    def recalibrate(self) -> bool:
        """Return whether verdicts move the confidence of what was not decided on."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FrameView:
    """One whole frame as repairs see it.

    Attributes:
        picture: `(height, width, channel)`: the source but for what is marked dirty.
        marks: uint8 `(height, width)`, `DIRTY` and `NEAR_DIRT`.
        table: the blobs found.
        flow_picture: what motion is found on.
        noise: of the shot.
    """

    picture: Pixels
    marks: NDArray[np.uint8]
    table: BlobTable
    flow_picture: FlowPicture
    noise: ShotNoise
    _places: dict[int, Place] = field(default_factory=dict)

    def place(self, blob: Blob) -> Place:
        """Return where a blob is repaired; measured once."""
        made = self._places.get(blob.number)
        if made is None:
            made = self._places[blob.number] = self._measured(blob)
        return made

    def _measured(self, blob: Blob) -> Place:
        height, width = self.marks.shape
        box = blob.box.grown(REACH_OUT).intersect(Box.of_size(width, height))
        own = np.zeros((box.height, box.width), np.uint8)
        own[blob.box.within(box)] = blob.alpha > 0
        mask = (grown(own, REACH_OUT) > 0) & _free(self.table, blob, box)
        return make_place(
            mask,
            (box.x0, box.y0),
            picture=self.picture,
            dirty=self.marks == DIRTY,
            sigma=self.noise.sigma,
        )


def _free(table: BlobTable, blob: Blob, box: Box) -> NDArray[np.bool_]:
    """Tell the pixels of a box that no other blob holds, nor one of a lower number reaches."""
    labels = table.labels[box.y0 : box.y1, box.x0 : box.x1]
    free = labels == 0
    for other in table.blobs[: blob.number - 1]:
        around = other.box.grown(REACH_OUT)
        common = around.intersect(box)
        if common.is_empty:
            continue
        reach = np.zeros((around.height, around.width), np.uint8)
        reach[other.box.within(around)] = other.alpha > 0
        free[common.within(box)] &= grown(reach, REACH_OUT)[common.within(around)] == 0
    free |= labels == blob.number
    return np.asarray(free)


@dataclass(frozen=True, slots=True, eq=False)
class PairView:
    """What one frame offers another. Measured when asked for, once; always the same."""

    here: FrameView
    there: FrameView
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _flow: list[Flow] = field(default_factory=list)
    _found: dict[int, Candidate | None] = field(default_factory=dict)
    _sides: dict[int, tuple[Candidate, ...]] = field(default_factory=dict)
    _along: dict[int, tuple[Candidate, ...]] = field(default_factory=dict)
    _likeness: list[Likeness] = field(default_factory=list)

    def likeness(self) -> Likeness:
        """Return what is like each blob there."""
        with self._lock:
            if not self._likeness:
                self._likeness.append(compare(self.here.table, self.there.table))
            return self._likeness[0]

    def candidate(self, blob: Blob) -> Candidate | None:
        """Return what the other frame shows at the place of a blob."""
        with self._lock:
            return self._candidate(blob)

    def sides(self, blob: Blob) -> tuple[Candidate, ...]:
        """Return what it shows of the place of a blob at the displacements of parts of its rim."""
        with self._lock:
            if blob.number not in self._sides:
                known = self._candidate(blob)
                self._sides[blob.number] = find_sides(*self._about(blob), known)
            return self._sides[blob.number]

    def along(self, blob: Blob, motions: Sequence[Motion], step: int) -> tuple[Candidate, ...]:
        """Return what it shows there if parts of the rim move on as they did."""
        with self._lock:
            if blob.number not in self._along:
                place, here, there, marks, _ = self._about(blob)
                self._along[blob.number] = find_along(place, here, there, marks, motions, step)
            return self._along[blob.number]

    def _candidate(self, blob: Blob) -> Candidate | None:
        if blob.number not in self._found:
            self._found[blob.number] = find_candidate(*self._about(blob))
        return self._found[blob.number]

    def _about(self, blob: Blob) -> tuple[Place, Pixels, Pixels, NDArray[np.uint8], Flow]:
        if not self._flow:
            self._flow.append(estimate_flow(self.here.flow_picture, self.there.flow_picture))
        here, there = self.here, self.there
        return here.place(blob), here.picture, there.picture, there.marks, self._flow[0]


@dataclass(frozen=True, slots=True)
class _Around:
    """A blob and the frames around its own."""

    pairs: Mapping[int, PairView]
    blob: Blob

    def sides(self, step: int) -> Sequence[Candidate]:
        """Return what a frame offers for parts of the rim."""
        return self.pairs[step].sides(self.blob)

    def along(self, step: int, motions: Sequence[Motion]) -> Sequence[Candidate]:
        """Return what it offers where they have moved on."""
        return self.pairs[step].along(self.blob, motions, step)


@dataclass(frozen=True, slots=True)
class Repair:
    """Repair the blobs of a frame that are likely enough to be dirt."""

    operator: RepairSettings

    @property
    def footprint(self) -> Footprint:
        """Return radius, halo and memory."""
        return Footprint(
            temporal_radius=RADIUS,
            center_only=True,
            # A tile that a defect touches sees the whole of it.
            halo=self.operator.largest + _MARGIN,
            bytes_per_pixel=96,
            surveys=_survey_bytes,
        )

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Find the blobs of a frame, and what flow is estimated on; None for tiny frames."""
        if min(facts.width, facts.height) < PATCH:
            return None
        noise = dirt_noise(analysis, facts)
        # Blobs first: what finding them takes is more than the rest, and gone by then.
        table = find_blobs(whole, self.operator, analysis)
        suspect = (whole[..., CONFIDENCE] >= _SUSPECT).astype(np.uint8)
        dirty = grown(suspect, _GROWN)
        near = grown(dirty, TAPS // 2)
        marks = np.where(near > 0, np.uint8(NEAR_DIRT), np.uint8(0))
        marks[dirty > 0] = DIRTY
        picture = np.ascontiguousarray(whole[..., : facts.channels])
        small = flow_picture(noise.to_luma(picture), *noise.luma, 1.0)
        return FrameView(picture, marks, table, small, noise)

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Lay two frames beside each other; nothing is measured before a repair asks."""
        return PairView(cast(FrameView, here), cast(FrameView, there))

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        """Return the tile with its dirt repaired, and all that there is to say of it."""
        tile = window.tile
        pixels = np.ascontiguousarray(window.center[tile.within(window.region)])
        view = window.survey
        if not isinstance(view, FrameView):
            return pixels
        pairs = _pairs(window)
        verdicts = verdicts_of(analysis)
        acts = self.operator.recalibrate
        sure = shifted(_confidences(view, pairs), verdicts.shift if acts else 0.0)
        out = Tile(pixels.copy(), tile)
        for blob, confidence in zip(view.table.blobs, sure, strict=True):
            if blob.box.grown(REACH_OUT).intersect(tile).is_empty:
                continue
            made = self._repaired(window, view, pairs, blob, float(confidence), verdicts)
            rejected = _identity(window, blob) in verdicts.rejected
            if isinstance(made, str):
                why = REJECTED if rejected else made
                out.leave(window.number, blob, float(confidence), why)
            else:
                # The engine takes back what is rejected; the matte is of what stays repaired.
                place, shown = view.place(blob), not rejected
                out.lay(window.number, blob, float(confidence), place, made, shown=shown)
        return out.judged(_told(verdicts, acts=acts))

    def _repaired(
        self,
        window: Window,
        view: FrameView,
        pairs: Mapping[int, PairView],
        blob: Blob,
        confidence: float,
        verdicts: Verdicts,
    ) -> Repaired | str:
        if blob.too_large:
            return "too large"
        wanted = blob.told or _identity(window, blob) in verdicts.accepted
        if confidence < self.operator.threshold and not wanted:
            return "below the threshold"
        place = view.place(blob)
        if not place.rim_y.size:
            return "nothing clean around it"
        region = window.region
        defect = Defect(
            alpha=alpha_at(blob, place),
            source=window.center[place.y - region.y0, place.x - region.x0],
            polarity=blob.polarity,
        )
        made = repair(
            place,
            defect,
            {k: p.candidate(blob) for k, p in pairs.items()},
            _Around(pairs, blob),
        )
        if isinstance(made, str) and self.operator.invent:
            return invented(place, defect, view.picture)
        return made


def _identity(window: Window, blob: Blob) -> str:
    return f"{window.number}-{blob.anchor[0]}-{blob.anchor[1]}"


def _told(verdicts: Verdicts, *, acts: bool) -> tuple[str, ...]:
    """Say what verdicts teach of the confidence."""
    if not verdicts.weighed:
        return ()
    end = "" if acts else ", which recalibrate would act on"
    return (
        f"verdicts on single fixes ({verdicts.weighed}) move the logit of the confidence by "
        f"{verdicts.shift:+.2f}{end}",
    )


def _pairs(window: Window) -> dict[int, PairView]:
    middle = len(window.pairs) // 2
    return {
        k - middle: pair
        for k, (pair, ok) in enumerate(zip(window.pairs, window.valid, strict=True))
        if ok and isinstance(pair, PairView)
    }


def _confidences(view: FrameView, pairs: Mapping[int, PairView]) -> NDArray[np.float64]:
    beside = {d: pair.likeness() for d, pair in pairs.items() if abs(d) <= _JUDGED_BY}
    return judge(view.table, beside)
