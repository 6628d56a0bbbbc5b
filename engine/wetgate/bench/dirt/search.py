"""Every peer on one clip, at the threshold or variant that suits the clip best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import DirtyClip
from wetgate.bench.dirt.filters import Around, Filter
from wetgate.bench.dirt.peers import Neighborhood, detectors, repairs, suspicion
from wetgate.bench.dirt.scores import (
    TOLERANCE,
    Counts,
    Errors,
    Labels,
    errors_in,
    labels_of,
    object_counts,
    pixel_counts,
    rim_of,
)
from wetgate.bench.dirt.truth import Mask, Masks, grown

Pixels = NDArray[np.float32]
Plane = NDArray[np.float32]

BLURS = (0.0, 0.8)
THRESHOLDS = (2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0, 16.0)
"""In deviations of the clip's grain on luma, mean over the clip."""
LEAST = (1, 4)
"""Parts of fewer px are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Detection on one clip.

    Attributes:
        pixels, objects: against what shows of the dirt, hidden blobs and rims ignored.
        all_pixels, all_objects: against all of the dirt, nothing ignored.
    """

    pixels: Counts = field(default_factory=Counts)
    objects: Counts = field(default_factory=Counts)
    all_pixels: Counts = field(default_factory=Counts)
    all_objects: Counts = field(default_factory=Counts)

    def __add__(self, other: Found) -> Found:
        """Add up two frames."""
        return Found(
            pixels=self.pixels + other.pixels,
            objects=self.objects + other.objects,
            all_pixels=self.all_pixels + other.all_pixels,
            all_objects=self.all_objects + other.all_objects,
        )


def detection(called: Mask, labels: Labels, masks: Masks) -> Found:
    """Score one frame."""
    return Found(
        pixels=pixel_counts(called, masks.dirt, masks.ignored),
        objects=object_counts(labels, masks.objects, masks.ignored),
        all_pixels=pixel_counts(called, masks.core),
        all_objects=object_counts(labels, labels_of(masks.core)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a detector was run: its variant, blur, threshold in deviations, smallest part."""

    variant: int
    blur: float
    threshold: float
    least: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """A detector on one clip: at its best setting for pixels, and at that for objects.

    Attributes:
        curve: pixel F1 of every setting tried.
    """

    name: str
    by_pixels: Found
    by_objects: Found
    setting: Setting
    curve: Mapping[Setting, float]


def grain_deviation(clip: DirtyClip, numbers: Sequence[int]) -> float:
    """Return the grain's mean deviation on the mean of the channels, were they independent."""
    total = []
    for n in numbers:
        sigma = clip.frames[n].truth.grain_sigma
        assert sigma is not None  # every clip of this bench has grain
        total.append(float(np.sqrt(np.mean(np.sum(sigma.astype(np.float64) ** 2, axis=2)) / 9)))
    return float(np.mean(total))


def detect_by(
    name: str,
    clip: DirtyClip,
    numbers: Sequence[int],
    values: Callable[[int, int, float], Plane],
    variants: int,
    blurs: Sequence[float] = BLURS,
) -> Detected:
    """Search the best setting of a detector on a clip.

    Args:
        values: suspicion of a frame for a variant and a blur.
    """
    unit = grain_deviation(clip, numbers)
    curve: dict[Setting, float] = {}
    planes = {
        (v, b): {n: values(n, v, b) / np.float32(unit) for n in numbers}
        for v in range(variants)
        for b in blurs
    }
    frames = {n: _Asked.of(clip.masks[n]) for n in numbers}
    for (variant, blur), plane in planes.items():
        for threshold in THRESHOLDS:
            counts = dict.fromkeys(LEAST, Counts())
            for n in numbers:
                setting = Setting(variant=variant, blur=blur, threshold=threshold, least=1)
                called = called_at(plane[n], setting)
                for least in LEAST:
                    kept = called if least == 1 else labels_of(called, least) > 0
                    counts[least] += frames[n].counts(kept)
            for least, count in counts.items():
                curve[replace(setting, least=least)] = count.f1
    best = max(curve, key=lambda s: curve[s])

    def whole(setting: Setting) -> Found:
        total = Found()
        for n in numbers:
            called = called_at(planes[setting.variant, setting.blur][n], setting)
            total += detection(called, labels_of(called), clip.masks[n])
        return total

    # Objects are dear to count: their best threshold is searched for what suits pixels best.
    near = [s for s in curve if (s.variant, s.blur) == (best.variant, best.blur)]
    near = [s for s in near if 0.6 <= s.threshold / best.threshold <= 2.1]
    by_objects = max((whole(s) for s in near), key=lambda f: f.objects.f1)
    return Detected(
        name=name, by_pixels=whole(best), by_objects=by_objects, setting=best, curve=curve
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `pixel_counts` asks of one frame, made once for all thresholds."""

    dirt: Mask
    judged: Mask
    near: Mask
    there: int

    @classmethod
    def of(cls, masks: Masks) -> _Asked:
        judged = ~masks.ignored
        near = grown(masks.dirt, TOLERANCE) & judged
        return cls(masks.dirt, judged, near, int(np.count_nonzero(masks.dirt)))

    def counts(self, called: Mask) -> Counts:
        return Counts(
            right=int(np.count_nonzero(called & self.near)),
            called=int(np.count_nonzero(called & self.judged)),
            found=int(np.count_nonzero(self.dirt & grown(called, TOLERANCE))),
            there=self.there,
        )


def called_at(plane: Plane, setting: Setting) -> Mask:
    """Return what a detector calls dirt; `plane` in deviations of the grain."""
    # Blurred grain deviates less: the same ladder reaches as far down.
    scale = 1.0 if setting.blur == 0 else 0.45
    called: Mask = plane > np.float32(setting.threshold * scale)
    return called if setting.least == 1 else labels_of(called, setting.least) > 0


def detect_peers(clip: DirtyClip, numbers: Sequence[int], around: Around) -> list[Detected]:
    """Run SDIa, SDIp and ROD, along motion and in place."""
    results = []
    for table, how in ((around.moved, "along motion"), (around.still, "in place")):
        for name, variants in detectors().items():

            def values(
                n: int,
                v: int,
                blur: float,
                table: Mapping[int, Neighborhood] = table,
                variants: Sequence[Callable[[Plane, Plane, Plane], Plane]] = variants,
            ) -> Plane:
                return suspicion(table[n], variants[v], blur)

            results.append(detect_by(f"{name} {how}", clip, numbers, values, len(variants)))
    return results


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Repair on one clip.

    Attributes:
        hole, rim: errors in the core of the dirt and within 4 px of it, against the scan without
            dirt. beneath: in the core, against the picture without grain.
        frames: the repaired frames.
    """

    name: str
    hole: Errors
    rim: Errors
    beneath: Errors
    frames: Mapping[int, Pixels]


def repaired(name: str, clip: DirtyClip, frames: Mapping[int, Pixels]) -> Repaired:
    """Score restored frames in the true holes that show, and in their rims."""
    hole, rim, beneath = Errors(), Errors(), Errors()
    for n, shown in frames.items():
        truth, seen = clip.frames[n].truth, clip.masks[n].objects > 0
        hole += errors_in(truth.undirtied, shown, seen)
        beneath += errors_in(truth.clean, shown, seen)
        rim += errors_in(truth.undirtied, shown, rim_of(seen))
    return Repaired(name=name, hole=hole, rim=rim, beneath=beneath, frames=frames)


def repair_peers(clip: DirtyClip, numbers: Sequence[int], around: Around) -> list[Repaired]:
    """Run the repairs that are told where dirt lies (`Masks.told`); the best variant counts."""
    results = []
    for repair in repairs():
        tried = [
            repaired(
                repair.name,
                clip,
                {n: variant(around.moved[n], around.still[n], clip.masks[n].told) for n in numbers},
            )
            for variant in repair.variants
        ]
        results.append(max(tried, key=lambda r: r.hole.psnr))
    return results


def filter_peers(
    clip: DirtyClip, numbers: Sequence[int], around: Around, filters: Sequence[Filter]
) -> list[tuple[Repaired, Detected]]:
    """Run the filters that change everything: as repairs, and for what they change most."""
    results = []
    for made in filters:
        tried = []
        for variant in made.variants:
            frames = variant(clip.pixels, around)
            tried.append(repaired(made.name, clip, {n: frames[n] for n in numbers}))

        def values(n: int, v: int, blur: float, tried: Sequence[Repaired] = tried) -> Plane:
            gap = np.abs(tried[v].frames[n] - clip.frames[n].pixels)
            plane: Plane = gap.mean(axis=2, dtype=np.float32)
            return plane

        found = detect_by(made.name, clip, numbers, values, len(tried), blurs=(0.0,))
        results.append((max(tried, key=lambda r: r.hole.psnr), found))
    return results
