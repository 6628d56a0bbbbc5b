"""The deartifact operator: block grid and quality from the pixels, shifted transforms, a net."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from wetgate.model.box import Box
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
    SurveyBytes,
    Window,
)
from wetgate.operators.deartifact import classical, net
from wetgate.operators.deartifact.borders import Evening, even_borders
from wetgate.operators.deartifact.classical import (
    Planes,
    change_to_pixels,
    strength_for,
    to_planes,
)
from wetgate.operators.deartifact.coding import Coding, coding_of
from wetgate.operators.deartifact.grid import BLOCK, LEAST_SIZE, find_grid, grid_at, traces
from wetgate.operators.deartifact.quality import LEAST, estimate_error, quantiser_step
from wetgate.operators.denoise.flow import FlowPicture, estimate_flow, flow_bytes, flow_picture

MODEL = "wg-deartifact"
"""The network that "auto" stands for."""

_SAMPLES = 8
_WEAK = 0.5
"""Share of the error taken for a grid that lies on no whole pixels."""
_BLOCKS = re.compile(r"8(?:@(\d+),(\d+))?")
_BYTES = 300
_NET_BYTES = 420


def _analysis_bytes(pixels: int) -> int:
    """Return what the luma of `_SAMPLES` frames takes, and their steps in float64 twice."""
    return _SAMPLES * (4 + 8 + 8) * pixels + 30 * pixels


def _survey_bytes(width: int, height: int) -> SurveyBytes:
    """Return what flow takes, and while a picture is made for it the planes of its frame."""
    flow = flow_bytes(width, height)
    return replace(flow, making=max(flow.making, 26 * width * height + 8 * flow.frame))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeartifactOperator:
    """Remove blocking and mosquito noise of H.264, MPEG-2 and JPEG.

    Args:
        strength: factor on the estimated coding error (0.25-2); 1 trusts the estimate.
        blocks: "auto" looks for the block grid and leaves a shot without traces of one alone;
            "8" says that the plate was coded in blocks from the frame's corner, as H.264, MPEG-2
            and JPEG do, whatever shows of it; "8@x,y" that a block starts x px from the left and
            y px from the top, because somebody cropped.
        net: "auto" for the network that comes with wetgate, "none" for the classical step alone,
            or the name or folder of another model package. It is asked where blocks end as
            abruptly as JPEG's do (`net.ABRUPT`); after H.264 the classical step has the last word.
        backend, precision: what runs the network; see `wetgate.backends`.

    Caveats:
        With `blocks` at "auto" a shot without traces of a grid is returned bit for bit; so is one
        of frames under 64 px, always. The report says so. After a resize there is no grid on
        whole pixels: the period is reported, and the classical step runs at half strength without
        projection and without network.
    """

    strength: float = 1.0
    blocks: str = "auto"
    net: str = "auto"
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
            analysis_bytes=_analysis_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the classical step, with the network's correction of it where one runs."""
        if self.net == "none":
            return (_Restored(self.strength),)
        choice = net.NetChoice(self.models()[0], self.backend, self.precision)
        return (_Restored(self.strength, choice),)

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
class _Restored:
    strength: float
    choice: net.NetChoice | None = None

    @property
    def footprint(self) -> Footprint:
        halo = classical.HALO + (self.choice.halo if self.choice else 0)
        return Footprint(
            temporal_radius=1,
            halo=halo,
            bytes_per_pixel=_BYTES + (_NET_BYTES if self.choice else 0),
            surveys=_survey_bytes,
        )

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on; None where nothing is to be done."""
        if coding_of(analysis, self.strength) is None:
            return None
        return flow_picture(to_planes(whole)[0], 0.0, 1.0, 1.0)

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        """Estimate flow."""
        return estimate_flow(cast(FlowPicture, here), cast(FlowPicture, there))

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        coding = coding_of(analysis, self.strength)
        said = (report(analysis),)
        tile = window.tile.within(window.region)
        if coding is None:
            left = window.center[tile]
            alone = np.full(left.shape[:2], Provenance.UNTOUCHED, np.uint8)
            return Judged(left, alone if self.choice else None, said)
        source = np.ascontiguousarray(window.center[tile])
        if self.choice is None or coding.offset is None or coding.abrupt < net.ABRUPT:
            change, _ = classical_change(window, coding)
            pixels: Pixels = source + change_to_pixels(change[:, tile[0], tile[1]])
            if self.choice is None:
                return Judged(pixels, None, said)
            filtered = np.full(source.shape[:2], Provenance.FILTERED, np.uint8)
            return Judged(pixels, filtered, (*said, net.NOT_ASKED))
        change, planes = seen_by_net(window, coding)
        inner = window.tile.grown(self.choice.halo)
        rows, columns = inner.within(window.region)
        seen = np.ascontiguousarray(planes[:, rows, columns])
        answer, notes = net.run(self.choice, seen, inner, coding.offset, coding.error)
        bounded, trust = net.corrected(answer, change.shape[0], coding.error, inner)
        luma = to_planes(window.center[rows, columns])[0] + change[0, rows, columns] + bounded[0]
        # What the network gives back of detail it gives back of borders, too.
        evened = even_borders(
            luma, _corner_in(inner, coding.offset), coding.error, _evening(coding)
        )
        bounded[0] += evened if trust is None else evened * trust
        tile_inside = window.tile.within(inner)
        total = change[:, tile[0], tile[1]] + bounded[:, tile_inside[0], tile_inside[1]]
        pixels = source + change_to_pixels(total)
        if trust is None:
            return Judged(pixels, None, (*said, *notes))
        classes = np.where(trust[tile_inside] > 0, Provenance.INFERRED, Provenance.FILTERED)
        return Judged(pixels, classes.astype(np.uint8), (*said, *notes, net.NOTE))


def _corner_in(box: Box, offset: tuple[int, int]) -> tuple[int, int]:
    """Return the first corner of a block in a box, px from its own corner."""
    return (offset[0] - box.x0) % BLOCK, (offset[1] - box.y0) % BLOCK


def _evening(coding: Coding) -> Evening:
    return strength_for(coding.abrupt, coding.step).evening


def classical_change(
    window: Window, coding: Coding, drops: Sequence[float] = ()
) -> tuple[Planes, Planes]:
    """Return what `classical.restore` does for a window."""
    frames = [
        to_planes(p) if ok else None for p, ok in zip(window.pixels, window.valid, strict=True)
    ]
    how = strength_for(coding.abrupt, coding.step)
    return classical.restore(window, frames, coding.error, coding.offset, how, drops)


def seen_by_net(window: Window, coding: Coding) -> tuple[Planes, Planes]:
    """Return the classical change of planes, and what the network sees of it; over the region.

    Args:
        coding: with a grid on whole pixels.
    """
    change, shrunk = classical_change(window, coding, net.DROPS)
    base = to_planes(window.center) + change
    return change, net.net_planes(window, base, shrunk, coding)


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
