"""The first stage of dirt: what stands out of a frame, and a picture to estimate flow on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameSurvey,
    Judged,
    PairSurvey,
    Pixels,
    SourceFacts,
    Window,
)
from wetgate.operators.denoise.passes import PATCH, REACH, ShotNoise, within_frame
from wetgate.operators.denoise.shot import is_idle, shot_noise
from wetgate.operators.dirt.confidence import (
    Suspects,
    classical,
    rounded,
    settled,
    suspects,
)
from wetgate.operators.dirt.features import HALO, Evidence, evidence, sampled
from wetgate.operators.dirt.motion import (
    DirtPicture,
    dirt_picture,
    pair_motion,
    pair_motion_bytes,
)
from wetgate.operators.dirt.net import NetChoice, refined

PICTURE = slice(0, 3)
"""Planes of the provisional picture; of a gray frame all three are alike."""
SPIKE, CONFIDENCE, TRUST = 3, 4, 5
"""Planes: deviations of noise by which a px is brighter than the middle of its neighbors; 0-1 how
likely it is dirt, 1 exactly where a map told so; 0-1 how far motion can be trusted there."""
PLANES = 6

_REPLACED = 0.15
"""Confidence from which the provisional picture shows what the neighbors do."""
_GROWN = 2
_ABOUT = HALO - REACH


class DetectSettings(Protocol):
    """What the stage reads of its operator."""

    @property
    def radius(self) -> int:
        """Return the frames either side that are looked at, 1 or 2."""
        ...

    @property
    def polarity(self) -> str:
        """Return which spikes count: auto, dark, bright or both."""
        ...


@dataclass(frozen=True, slots=True)
class Detect:
    """Find what stands out of a frame against its neighbors laid over it.

    Args:
        nets: the network that refines the confidence of pixels; None for the classical one.

    Returns `PLANES` planes of float32. The planes other than the picture are 0 where nothing
    stands out. The picture is a guide for flow and never delivered.
    """

    operator: DetectSettings
    nets: NetChoice | None = None

    @property
    def _reach(self) -> int:
        """Return the px of evidence that a pixel is judged by, motion left aside."""
        return _ABOUT + _GROWN + (0 if self.nets is None else self.nets.halo)

    @property
    def footprint(self) -> Footprint:
        """Return radius, halo and memory."""
        radius = self.operator.radius
        return Footprint(
            temporal_radius=radius,
            halo=REACH + self._reach,
            bytes_per_pixel=60 * (2 * radius + 1) + 120,
            surveys=pair_motion_bytes,
            exact_output=True,
            planes=PLANES,
        )

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the small picture that motion is found on; None for frames too small."""
        if min(facts.width, facts.height) < PATCH:
            return None
        noise = dirt_noise(analysis, facts)
        return dirt_picture(noise.to_luma(whole), noise)

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Find motion, trust in it, and the change of light."""
        return pair_motion(cast(DirtPicture, here), cast(DirtPicture, there))

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        """Return the planes of the tile."""
        window = within_frame(window, self._reach)
        tile = window.tile.within(window.region)
        planes = np.zeros((*window.center.shape[:2], PLANES), np.float32)
        planes[..., PICTURE] = window.center
        if min(facts.width, facts.height) < PATCH:
            return np.ascontiguousarray(planes[tile])
        seen = evidence(window, dirt_noise(analysis, facts))
        notes: tuple[str, ...] = ()
        if seen.neighbors:
            found = suspects(window, seen)
            logit = classical(found)
            by = "classical" if self.nets is None else "network"
            if self.nets is not None:
                near = window.tile.grown(_GROWN)  # what is shown instead reaches so far
                logit, notes = refined(self.nets, window, seen, found, logit, within=near)
            confidence = np.zeros(window.center.shape[:2], np.float32)
            confidence[found.y, found.x] = rounded(settled(found, logit, by))
            planes[..., SPIKE] = seen.mid
            planes[..., CONFIDENCE] = _of_polarity(confidence, seen, self.operator.polarity)
            planes[..., TRUST] = seen.trust
        _told(window, planes)
        if seen.neighbors:
            _provisional(window, seen, planes)
        result = np.ascontiguousarray(planes[tile])
        return Judged(result, notes=notes) if notes else result


def dirt_noise(analysis: Analysis, facts: SourceFacts) -> ShotNoise:
    """Return the noise of a shot; of one without any, that of a code of its file."""
    if not is_idle(analysis, facts):
        return shot_noise(analysis, 1.0)
    return _silent(facts.channels)


def _silent(channels: int) -> ShotNoise:
    """Return white noise of half an 8-bit code: what is smaller is no dirt that anyone sees."""
    variance = (0.5 / 255.0) ** 2
    plain = {"variance": [variance, 0.0, 0.0], "range": [0.0, 1.0], "clips": [False, False]}
    return shot_noise(
        {
            "channels": [plain] * channels,
            "spectrum": [[1.0] * (PATCH * PATCH)] * channels,
            "luma": [-0.5 * np.sqrt(channels / variance), 0.5 * np.sqrt(channels / variance)],
            "temporal": True,
        },
        1.0,
    )


def _of_polarity(
    confidence: NDArray[np.float32], seen: Evidence, polarity: str
) -> NDArray[np.float32]:
    if polarity in ("auto", "both"):
        return confidence
    wanted = seen.mid > 0 if polarity == "bright" else seen.mid < 0
    return np.where(wanted, confidence, np.float32(0))


def _told(window: Window, planes: Pixels) -> None:
    """Mark what an infra-red channel or a person's map says is a defect."""
    told = window.planes.get("defects")
    if told is not None:
        marked = told[..., 0] >= 0.5
        planes[..., CONFIDENCE][marked] = 1.0


def _provisional(window: Window, seen: Evidence, planes: Pixels) -> None:
    """Show what the neighbors do where dirt is likely and a little around it: their median."""
    import cv2

    likely = (planes[..., CONFIDENCE] >= _REPLACED).astype(np.uint8)
    if not likely.any():
        return
    side = 2 * _GROWN + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    likely = np.asarray(cv2.dilate(likely, shape), np.uint8)
    seen_of_frame = window.frame.intersect(window.region)
    frame = seen_of_frame.shifted(-window.region.x0, -window.region.y0)
    y, x = np.nonzero(likely[frame.y0 : frame.y1, frame.x0 : frame.x1])
    y, x = y + frame.y0, x + frame.x0
    shown = np.stack([sampled(window, n, y, x) for n in seen.neighbors])
    hidden = np.stack([~n.seen[y, x] for n in seen.neighbors])
    shown[hidden] = np.nan
    some = ~hidden.all(axis=0)
    y, x = y[some], x[some]
    planes[y, x, PICTURE] = np.nanmedian(shown[:, some], axis=0)


def suspects_of(window: Window, noise: ShotNoise) -> tuple[Evidence, Suspects]:
    """Return the evidence of a window and its suspects; what training and fits look at."""
    seen = evidence(window, noise)
    return seen, suspects(window, seen)
