"""The deartifact operator: block grid and quality from the pixels, shifted transforms, a net."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

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
    Stage,
    Window,
)
from wetgate.operators.deartifact import classical, net
from wetgate.operators.deartifact.classical import (
    UNKNOWN,
    change_to_pixels,
    strength_for,
    to_planes,
)
from wetgate.operators.deartifact.grid import BLOCK, LEAST_SIZE, find_grid, grid_at, traces
from wetgate.operators.deartifact.quality import LEAST, estimate_error, quantiser_step
from wetgate.operators.denoise.flow import FlowPicture, estimate_flow, flow_picture

MODEL = "wg-deartifact"
"""The network that "auto" stands for."""

_SAMPLES = 8
_WEAK = 0.5
"""Share of the error taken for a grid that lies on no whole pixels."""
_BLOCKS = re.compile(r"8(?:@(\d+),(\d+))?")
_BYTES = 300
_NET_BYTES = 420
_SURVEY_BYTES = 1 + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeartifactOperator:
    """Remove blocking and mosquito noise of H.264, MPEG-2 and JPEG.

    Args:
        strength: factor on the estimated coding error (0.25-2); 1 trusts the estimate.
        blocks: "auto" looks for the block grid and leaves a shot without traces of one alone;
            "8" says that the plate was coded in blocks from the frame's corner, as H.264, MPEG-2
            and JPEG do, whatever shows of it; "8@x,y" that a block starts x px from the left and
            y px from the top, because somebody cropped.
        net: "none" for the classical step alone, "auto" for the network that `MODEL` names where
            it is installed, or the name or folder of another model package.
        backend, precision: what runs the network; see `wetgate.backends`.

    Caveats:
        With `blocks` at "auto" a shot without traces of a grid is returned bit for bit; so is one
        of frames under 64 px, always. The report says so. After a resize there is no grid on
        whole pixels: the period is reported, and the classical step runs at half strength without
        projection and without network.
    """

    strength: float = 1.0
    blocks: str = "auto"
    net: str = "none"
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if not 0.25 <= self.strength <= 2.0:
            raise ValueError(f"strength must lie in 0.25-2, got {self.strength}")
        if self.blocks != "auto" and not _BLOCKS.fullmatch(self.blocks):
            raise ValueError(f'blocks is "auto", "8" or "8@x,y", got {self.blocks!r}')

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        footprints = [stage.footprint for stage in self.stages]
        return OperatorSpec(
            name="deartifact",
            version=2,
            footprint=Footprint(
                temporal_radius=sum(f.temporal_radius for f in footprints),
                halo=sum(f.halo for f in footprints),
                bytes_per_pixel=max(f.bytes_per_pixel for f in footprints),
            ),
            working_space="source",
            provenance=Provenance.INFERRED if self.models() else Provenance.FILTERED,
            needs_analysis=True,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the classical step, then the network's correction of it."""
        if self.net == "none":
            return (_Classical(self.strength),)
        choice = net.NetChoice(self.models()[0], self.backend, self.precision)
        return (_Classical(self.strength, exact_output=True), _Correction(self.strength, choice))

    def models(self) -> tuple[str, ...]:
        """Return the model package that runs, if any."""
        if self.net == "none":
            return ()
        return (MODEL if self.net == "auto" else self.net,)

    def without_network(self) -> DeartifactOperator:
        """Return the classical step alone."""
        return replace(self, net="none")

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Find the block grid of a shot and estimate how far coding moved its pixels.

        Returns:
            `error`: RMS error of luma, 0 where no grid was found; `period`, `offset` (x, y),
            `score` and `height` of the grid, see `grid.BlockGrid`; `step`: see
            `quality.quantiser_step`; `told`: whether the grid comes from `blocks`.
        """
        told = _corner(self.blocks)
        if min(facts.width, facts.height) < LEAST_SIZE:
            return {"error": 0.0, "small": True}
        count = min(_SAMPLES, len(frames))
        picks = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
        luma = [np.nan_to_num(to_planes(read(frames[k]))[0]) for k in picks]
        found = traces(luma)
        grid = find_grid(found) if told is None else grid_at(found, told)
        if grid is None:
            return {"error": 0.0}
        error = estimate_error(luma, found, grid) if grid.is_whole else _WEAK * grid.height
        if error < LEAST:
            return {"error": 0.0}
        return {
            "error": float(error),
            "period": float(grid.period),
            "offset": [int(v) for v in grid.offset],
            "score": round(float(grid.score), 3),
            "height": float(grid.height),
            "step": quantiser_step(luma, grid.offset) if grid.is_whole else 0.0,
            "told": told is not None,
        }


def _corner(blocks: str) -> tuple[int, int] | None:
    """Return the corner of a block that the parameter names, or None for "auto"."""
    match = _BLOCKS.fullmatch(blocks)
    if match is None:
        return None
    x, y = (int(v or 0) % BLOCK for v in match.groups())
    return x, y


@dataclass(frozen=True, slots=True)
class _Coding:
    """What the stages read of the analysis; `offset` is None without a grid on whole pixels."""

    error: float
    abrupt: float
    step: float
    offset: tuple[int, int] | None


def _coding(analysis: Analysis, strength: float) -> _Coding | None:
    """Return the shot's coding, or None where nothing is to be done."""
    error = cast(float, analysis["error"])
    if error <= 0.0:
        return None
    x, y = cast(Sequence[int], analysis["offset"])
    whole = cast(float, analysis["period"]) in (4.0, 8.0, 16.0)
    abrupt = cast(float, analysis["height"]) / error if whole else UNKNOWN
    step = cast(float, analysis["step"]) / error
    return _Coding(error * strength, abrupt, step, (x, y) if whole else None)


@dataclass(frozen=True, slots=True)
class _Flowing:
    """What both stages share: flow between neighbors."""

    strength: float

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on; None where nothing is to be done."""
        if _coding(analysis, self.strength) is None:
            return None
        return flow_picture(to_planes(whole)[0], 0.0, 1.0, 1.0)

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Estimate flow."""
        return estimate_flow(cast(FlowPicture, here), cast(FlowPicture, there))


@dataclass(frozen=True, slots=True)
class _Classical(_Flowing):
    exact_output: bool = False

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            temporal_radius=1,
            halo=classical.HALO,
            bytes_per_pixel=_BYTES,
            survey_bytes_per_pixel=_SURVEY_BYTES,
            exact_output=self.exact_output,
        )

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        coding = _coding(analysis, self.strength)
        said = (report(analysis),)
        if coding is None:
            return Judged(window.center[window.tile.within(window.region)], None, said)
        source = _tile_of(window, window.center)
        frames = [
            to_planes(p) if ok else None for p, ok in zip(window.pixels, window.valid, strict=True)
        ]
        how = strength_for(coding.abrupt, coding.step)
        change = classical.restore(window, frames, coding.error, coding.offset, how)
        tile = window.tile.within(window.region)
        moved: Pixels = source + change_to_pixels(change[:, tile[0], tile[1]])
        return Judged(moved, None, said)


@dataclass(frozen=True, slots=True)
class _Correction(_Flowing):
    choice: net.NetChoice

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            temporal_radius=1,
            halo=self.choice.halo + net.WARP_HALO,
            bytes_per_pixel=_NET_BYTES,
            survey_bytes_per_pixel=_SURVEY_BYTES,
        )

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        coding = _coding(analysis, self.strength)
        base = _tile_of(window, window.previous[len(window.previous) // 2])
        if coding is None or coding.offset is None:
            return Judged(base, np.full(base.shape[:2], Provenance.FILTERED, np.uint8))
        planes = net.net_planes(window, coding.error, coding.offset)
        inner = window.tile.grown(self.choice.halo)
        rows, columns = inner.within(window.region)
        seen = np.ascontiguousarray(planes[:, rows, columns])
        change, notes = net.run(self.choice, seen, inner, coding.error)
        bounded, trust = net.corrected(base, change, coding.error, inner)
        tile = window.tile.within(inner)
        pixels: Pixels = base + change_to_pixels(bounded[:, tile[0], tile[1]])
        if trust is None:
            return Judged(pixels, None, notes)
        classes = np.where(trust[tile] > 0, Provenance.INFERRED, Provenance.FILTERED)
        return Judged(pixels, classes.astype(np.uint8), (*notes, net.NOTE))


def _tile_of(window: Window, pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[window.tile.within(window.region)])


def report(analysis: Mapping[str, object]) -> str:
    """Say in words what an analysis found."""
    error = cast(float, analysis["error"])
    if analysis.get("small"):
        return f"frames under {LEAST_SIZE} px show too few blocks; the shot is left as it is"
    if error <= 0.0:
        return (
            "no traces of block coding, the shot is left as it is; "
            'blocks = "8" says that it was coded'
        )
    period = cast(float, analysis["period"])
    x, y = cast(Sequence[int], analysis["offset"])
    where = f"{period:g} px blocks from ({x}, {y}){', as told' if analysis['told'] else ''}"
    if period not in (4.0, 8.0, 16.0):
        where = f"blocks of {period:.2f} px, resized after coding: classical and weak"
    return f"{where}, estimated error {255 * error:.2f} codes of 255"
