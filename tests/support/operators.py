"""Tiny operators that use every part of the seam, and whose results can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    FrameSurvey,
    Judged,
    OperatorSpec,
    PairSurvey,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
    WorkingSpace,
)


def inner(window: Window) -> tuple[slice, slice]:
    return window.tile.within(window.region)


@dataclass(frozen=True)
class OneStage:
    """Base of operators that are their own and only stage."""

    working: WorkingSpace = "source"
    name: str = "one"
    version: int = 1
    provenance: Provenance = Provenance.FILTERED
    generative: bool = False
    halo: int = 0
    radius: int = 0
    exact: bool = False
    scale: Fraction = Fraction(1)

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            temporal_radius=self.radius,
            halo=self.halo,
            scale=self.scale,
            exact_output=self.exact,
        )

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name=self.name,
            version=self.version,
            footprint=self.footprint,
            working_space=self.working,
            provenance=self.provenance,
            generative=self.generative,
            needs_analysis=type(self).analyse is not OneStage.analyse,
        )

    @property
    def stages(self) -> tuple[OneStage, ...]:
        return (self,)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {}

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return None

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        raise AssertionError("never called without a frame survey")

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        raise AssertionError("abstract")


@dataclass(frozen=True)
class NoCost(OneStage):
    name: str = "nothing"
    provenance: Provenance = Provenance.UNTOUCHED

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return window.center[inner(window)]


@dataclass(frozen=True)
class CopyOut(OneStage):
    """Returns what it got in a new array: bitwise alone, but the engine cannot know before."""

    name: str = "copy"

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return window.center[inner(window)].copy()


@dataclass(frozen=True)
class Invert(OneStage):
    name: str = "invert"
    provenance: Provenance = Provenance.REEXPOSED

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return np.float32(1.0) - window.center[inner(window)]


@dataclass(frozen=True)
class Lift(OneStage):
    """Adds an amount where the working value is above a threshold."""

    name: str = "lift"
    amount: float = 0.125
    above: float = 0.5

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        x = window.center[inner(window)]
        return np.where(x > np.float32(self.above), x + np.float32(self.amount), x)


@dataclass(frozen=True)
class BoxBlur(OneStage):
    name: str = "blur"
    halo: int = 2

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return blur(window.center, self.halo)[inner(window)]


def blur(pixels: Pixels, halo: int) -> Pixels:
    """Average over a square; the rim of `halo` px is not valid."""
    total = np.zeros_like(pixels)
    for dy in range(-halo, halo + 1):
        for dx in range(-halo, halo + 1):
            total += np.roll(pixels, (dy, dx), axis=(0, 1))
    return total / np.float32((2 * halo + 1) ** 2)


@dataclass(frozen=True)
class TemporalMean(OneStage):
    name: str = "mean"
    radius: int = 1

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        total = np.zeros_like(window.center[inner(window)])
        count = np.float32(0)
        for pixels, valid in zip(window.pixels, window.valid, strict=True):
            if valid:
                total += pixels[inner(window)]
                count += np.float32(1)
        return total / count


@dataclass(frozen=True)
class Paired(OneStage):
    """Pulls each frame to its neighbors by weights measured between whole frames."""

    name: str = "paired"
    radius: int = 2
    halo: int = 1

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        means = [float(read(n).mean(dtype=np.float64)) for n in frames]
        return {"mean": sum(means) / len(means), "count": len(frames)}

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return float(whole.mean(dtype=np.float64)) - float(analysis["mean"])  # type: ignore[arg-type]

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        return 1.0 / (1.0 + abs(here - 2.0 * there))  # type: ignore[operator]

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        total = blur(window.center, 1)[inner(window)].copy()
        weight = np.float32(1)
        middle = len(window.pixels) // 2
        for k, pixels in enumerate(window.pixels):
            if k != middle and window.valid[k]:
                w = np.float32(window.pairs[k] * 0.5)  # type: ignore[operator]
                total += w * pixels[inner(window)]
                weight += w
        return total / weight


@dataclass(frozen=True)
class TwoStage:
    """Blur over time first, then mix the neighbors' blurred frames with the sharp center."""

    working: WorkingSpace = "log"
    first: TemporalMean = field(default_factory=lambda: TemporalMean(radius=1))

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name="two",
            version=1,
            footprint=Footprint(temporal_radius=2, halo=3),
            working_space=self.working,
            provenance=Provenance.FILTERED,
        )

    @property
    def stages(self) -> tuple[OneStage, ...]:
        return (self.first, _Second(radius=1, halo=3))

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {}


@dataclass(frozen=True)
class _Second(OneStage):
    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return float(whole.astype(np.float64).max())

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        return min(1.0, 0.5 + abs(here - there))  # type: ignore[operator]

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        out = np.float32(0.5) * window.center[inner(window)]
        weight = np.float32(0.5)
        for k, previous in enumerate(window.previous):
            if window.valid[k]:
                pair = window.pairs[k]
                w = np.float32(1.0 if pair is None else pair)
                out = out + w * blur(previous, 3)[inner(window)]
                weight += w
        return out / weight


@dataclass(frozen=True)
class Netted(OneStage):
    """Stands for an operator with networks: `net` names the packages it would run."""

    name: str = "netted"
    net: tuple[str, ...] = ("test-net",)
    amount: float = 0.25
    classical: bool = True
    provenance: Provenance = Provenance.INFERRED

    def models(self) -> tuple[str, ...]:
        return self.net

    def without_network(self) -> OneStage | None:
        if not self.classical:
            return None
        return replace(self, net=(), amount=0.125, provenance=Provenance.FILTERED)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return window.center[inner(window)] + np.float32(self.amount)


@dataclass(frozen=True)
class Guarded(OneStage):
    """Lifts all; where the source is above `above` it says that its network was not asked."""

    name: str = "guarded"
    above: float = 0.5
    amount: float = 0.125
    provenance: Provenance = Provenance.INFERRED

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        x = window.center[inner(window)]
        off = x[..., 0] > np.float32(self.above)
        classes = np.where(off, Provenance.FILTERED, Provenance.INFERRED).astype(np.uint8)
        notes = ("bright parts",) if off.any() else ()
        return Judged(x + np.float32(self.amount), classes, (*notes, "backend: none"))


@dataclass(frozen=True)
class TwoGuarded:
    """A guide that has something to say, and a stage that uses it."""

    name: str = "twice"

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name=self.name,
            version=1,
            footprint=Footprint(temporal_radius=1),
            working_space="source",
            provenance=Provenance.INFERRED,
        )

    @property
    def stages(self) -> tuple[OneStage, ...]:
        return (_Speaking(), TemporalMean(radius=1))

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {}


@dataclass(frozen=True)
class _Speaking(OneStage):
    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        x = window.center[inner(window)]
        low = np.full(x.shape[:2], Provenance.RESAMPLED, np.uint8)
        return Judged(x, low, (f"made for frame {window.number}",))


@dataclass(frozen=True)
class Replicate(OneStage):
    """Makes every pixel a square of itself; as exact as doing nothing."""

    name: str = "replicate"
    provenance: Provenance = Provenance.INFERRED
    scale: Fraction = Fraction(2)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return self.resample(window.center[inner(window)])

    def resample(self, pixels: Pixels) -> Pixels:
        times = int(self.scale)
        return np.ascontiguousarray(pixels.repeat(times, axis=0).repeat(times, axis=1))


@dataclass(frozen=True)
class Halve(OneStage):
    """Averages squares of 2 x 2 px."""

    name: str = "halve"
    provenance: Provenance = Provenance.RESAMPLED
    scale: Fraction = Fraction(1, 2)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        return halved(window.center[inner(window)])


def halved(x: Pixels) -> Pixels:
    return ((x[0::2, 0::2] + x[0::2, 1::2]) + (x[1::2, 0::2] + x[1::2, 1::2])) * np.float32(0.25)


@dataclass(frozen=True)
class Enlarged(OneStage):
    """Blurs in space and over time and makes 2 x 2 px of each, with a pattern on the grid."""

    name: str = "enlarged"
    radius: int = 1
    halo: int = 3
    provenance: Provenance = Provenance.INFERRED
    scale: Fraction = Fraction(2)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        total = np.zeros_like(window.center)
        count = np.float32(0)
        for pixels, valid in zip(window.pixels, window.valid, strict=True):
            if valid:
                total += blur(pixels, 2)
                count += np.float32(1)
        rows, columns = inner(window)
        twice = (slice(2 * s.start, 2 * s.stop) for s in (rows, columns))
        large = self.resample(total / count)[tuple(twice)]
        y, x = np.mgrid[0 : large.shape[0], 0 : large.shape[1]]
        pattern = (y + 2 * window.tile.y0 + 3 * (x + 2 * window.tile.x0)) % 7
        classes = np.where(pattern == 0, Provenance.RESAMPLED, Provenance.INFERRED)
        large = large + pattern[..., None].astype(np.float32) * np.float32(2**-8)
        return Judged(large, classes.astype(np.uint8), ("enlarged",))

    def resample(self, pixels: Pixels) -> Pixels:
        """Twice the size by the mean of each pixel and its neighbors; wrong at the rim."""
        return blur(pixels, 1).repeat(2, axis=0).repeat(2, axis=1)
