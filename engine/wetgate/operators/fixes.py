"""What an operator says of single defects: the chain of custody of one repaired place.

`Provenance` says where a pixel comes from, `Fix` what was done to one defect of one frame and
why. An operator hands its fixes to the engine with the pixels of a tile (`base.Judged`); the
engine joins tiles, takes back what a holdout matte excludes, and keeps journal and planes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from wetgate.model.box import Box


class Provenance(IntEnum):
    """Where an output pixel comes from (the classes of the report and the manifest)."""

    UNTOUCHED = 0
    REEXPOSED = 1
    RESAMPLED = 2
    FILTERED = 3
    BORROWED = 4
    INFERRED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One defect of one frame, repaired or found and left alone.

    Attributes:
        number: 1 and up, unique within a frame and a step, the same for every tile and however
            the shot is rendered; the value of this fix in `Judged.fixes`.
        frame: number of the frame that has the defect.
        anchor: `(x, y)` px of the full frame, the defect's strongest pixel. The fix is named by
            it, so no two fixes of a step and frame may share one.
        kind: `dust`, `hair`, `blotch`, `sparkle`, `splice`, `chemical` or `scratch`.
        box: the px that it changes or would change, full frame.
        area: px of the defect.
        polarity: 1 brighter than the picture, -1 darker, 0 mixed.
        confidence: 0-1, the probability that this is a defect and not picture.
        applied: False when it was found and left alone; `why` then says why.
        why: a few words, such as "below the threshold", "rejected", "motion cannot be trusted".
        provenance: the highest class of any px it made: `REEXPOSED` where a translucent defect
            was undone, `BORROWED`, `INFERRED`; `UNTOUCHED` when not applied.
        source: number of the frame that most px were borrowed from; 0 when none was.
        offset: `(x, y)` px at the anchor: out(p) = frame[source](p + offset).
        facts: what was measured on the way (features, rim error); finite numbers.
    """

    number: int
    frame: int
    anchor: tuple[int, int]
    kind: str
    box: Box
    area: int
    polarity: int
    confidence: float
    applied: bool
    why: str = ""
    provenance: Provenance = Provenance.UNTOUCHED
    source: int = 0
    offset: tuple[float, float] = (0.0, 0.0)
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return `frame-x-y`; unique in a clip once the step's operator is put before it."""
        return f"{self.frame}-{self.anchor[0]}-{self.anchor[1]}"
