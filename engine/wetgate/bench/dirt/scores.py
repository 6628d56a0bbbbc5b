"""The figures of the dirt benchmark, each held against brute force or a closed form by the tests.

Pixel F1 with a tolerance of 1 px, object F1 at IoU > 0.3, error in holes and rims, blobs that
became invisible, and how far a confidence may be believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.truth import Mask, connected, grown
from wetgate.measure import luma_601

Pixels = NDArray[np.float32]
Labels = NDArray[np.int32]

TOLERANCE = 1
LEAST_IOU = 0.3
RIM = 4
SUCCESS_DB = 28.0
BINS = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were called dirt and how many of those rightly; how many there are and were found.

    The two tallies of hits differ for pixels, where each is counted with its own tolerance.
    """

    right: int = 0
    called: int = 0
    found: int = 0
    there: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Add up two frames or clips."""
        return Counts(
            self.right + other.right,
            self.called + other.called,
            self.found + other.found,
            self.there + other.there,
        )

    @property
    def precision(self) -> float:
        """Share of what was called dirt that is; 1 when nothing was called."""
        return self.right / self.called if self.called else 1.0

    @property
    def recall(self) -> float:
        """Share of the dirt that was found; 1 when there is none."""
        return self.found / self.there if self.there else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def pixel_counts(
    called: Mask, dirt: Mask, ignored: Mask | None = None, tolerance: int = TOLERANCE
) -> Counts:
    """Count pixels: one is right, or found, when its like lies within `tolerance` px.

    Args:
        ignored: pixels that are neither dirt nor clean: calling them is no mistake.
    """
    judged = called if ignored is None else called & ~ignored
    return Counts(
        right=int((judged & grown(dirt, tolerance)).sum()),
        called=int(judged.sum()),
        found=int((dirt & grown(called, tolerance)).sum()),
        there=int(dirt.sum()),
    )


def object_counts(called: Labels, truth: Labels, ignored: Mask | None = None) -> Counts:
    """Count objects: pairs of IoU > 0.3, the closest first, each object in one pair.

    Args:
        called, truth: numbers of objects, 0 for none.
        ignored: pixels left out of every intersection and union; an object that has no others
            does not count.
    """
    if ignored is not None:
        called = np.where(ignored, 0, called)
        truth = np.where(ignored, 0, truth)
    sizes_a, sizes_b = np.bincount(called.ravel()), np.bincount(truth.ravel())
    both = (called > 0) & (truth > 0)
    pairs, shared = np.unique(
        np.stack((called[both], truth[both]), axis=-1), axis=0, return_counts=True
    )
    union = sizes_a[pairs[:, 0]] + sizes_b[pairs[:, 1]] - shared
    iou = shared / union
    used_a, used_b = set[int](), set[int]()
    for k in np.argsort(-iou, kind="stable"):
        a, b = int(pairs[k, 0]), int(pairs[k, 1])
        if iou[k] > LEAST_IOU and a not in used_a and b not in used_b:
            used_a.add(a)
            used_b.add(b)
    return Counts(
        right=len(used_a),
        called=int((sizes_a[1:] > 0).sum()),
        found=len(used_b),
        there=int((sizes_b[1:] > 0).sum()),
    )


@dataclass(frozen=True, slots=True)
class Errors:
    """A sum of squares over samples, for the PSNR of many holes together."""

    total: float = 0.0
    samples: int = 0

    def __add__(self, other: Errors) -> Errors:
        """Pool two sets of samples."""
        return Errors(self.total + other.total, self.samples + other.samples)

    @property
    def psnr(self) -> float:
        """PSNR of the mean squared error for a peak of 1, dB; inf where nothing is wrong."""
        if not self.samples:
            return math.nan
        return math.inf if self.total == 0 else -10 * math.log10(self.total / self.samples)


def errors_in(truth: Pixels, shown: Pixels, where: Mask) -> Errors:
    """Return the errors of one frame in a mask, over all channels."""
    gap = truth[where].astype(np.float64) - shown[where]
    return Errors(float(np.sum(gap * gap)), gap.size)


def rim_of(hole: Mask, reach: int = RIM) -> Mask:
    """Return what lies within `reach` px of a hole and not in it."""
    return grown(hole, reach) & ~hole


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobVerdict:
    """Whether one repaired blob may be told from the picture.

    Attributes:
        psnr: in the hole, against the scan without dirt, dB.
        beneath: the same beneath the grain: the mean squared error against the picture without
            grain, less the grain's own variance, as PSNR.
        seam, allowed: mean step of luma across the hole's edge, and the step that 95 % of the
            neighboring pixels in and about the hole stay under in the undamaged scan; codes of
            8-bit luma.
    """

    psnr: float
    beneath: float
    seam: float
    allowed: float

    @property
    def is_invisible(self) -> bool:
        """Whether the hole is close enough by either measure and shows no seam."""
        close = self.psnr >= SUCCESS_DB or self.beneath >= SUCCESS_DB
        return close and self.seam <= self.allowed


def judge_blob(
    undirtied: Pixels, clean: Pixels, sigma: Pixels, shown: Pixels, hole: Mask
) -> BlobVerdict:
    """Judge one repaired blob; `hole` holds no other. Frames `(h, w, 3)`, cut about the hole.

    Args:
        clean: without grain. sigma: deviation of the grain.
    """
    exact = errors_in(undirtied, shown, hole)
    rough = errors_in(clean, shown, hole)
    grain = float(np.sum(sigma[hole].astype(np.float64) ** 2))
    left = Errors(max(rough.total - grain, 0.0), rough.samples)
    around = grown(hole, RIM)
    truth, made = luma_601(undirtied), luma_601(shown)
    across, about = [], []
    for axis in (0, 1):
        first, second = _beside(hole, axis)
        near_a, near_b = _beside(around, axis)
        across.append(_steps(made, axis)[first != second])
        about.append(_steps(truth, axis)[near_a & near_b])
    seam = float(np.concatenate(across).mean())
    allowed = float(np.quantile(np.concatenate(about), 0.95))
    return BlobVerdict(psnr=exact.psnr, beneath=left.psnr, seam=seam, allowed=allowed)


def _beside(mask: Mask, axis: int) -> tuple[Mask, Mask]:
    """Return a mask at each pixel and at the next one along an axis."""
    return (mask[:-1], mask[1:]) if axis == 0 else (mask[:, :-1], mask[:, 1:])


def _steps(plane: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.abs(np.diff(plane, axis=axis))
    return result


@dataclass(frozen=True, slots=True)
class Bin:
    """What fell into one tenth of the confidence: how many, predicted mean, share that is true."""

    count: int
    predicted: float
    true: float


def reliability(claims: Sequence[tuple[float, bool]], bins: int = BINS) -> list[Bin]:
    """Sort claims of `(confidence 0-1, whether it is so)` into bins of equal width."""
    if not claims:
        return [Bin(0, math.nan, math.nan) for _ in range(bins)]
    confidence = np.array([c for c, _ in claims])
    right = np.array([r for _, r in claims], np.float64)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for k in range(bins):
        here = place == k
        count = int(here.sum())
        means = (confidence[here].mean(), right[here].mean()) if count else (math.nan, math.nan)
        found.append(Bin(count, float(means[0]), float(means[1])))
    return found


def calibration_error(table: Iterable[Bin]) -> float:
    """Return the expected calibration error: the mean gap of the bins, weighted by count.

    Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015.
    """
    filled = [b for b in table if b.count]
    total = sum(b.count for b in filled)
    if not total:
        return math.nan
    return sum(b.count * abs(b.predicted - b.true) for b in filled) / total


def labels_of(mask: Mask, least: int = 1) -> Labels:
    """Return the numbers of the parts of a mask (`connected`) that have `least` px or more."""
    number, labels = connected(mask)
    if least <= 1 or number == 0:
        return labels
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    keep = sizes >= least
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
