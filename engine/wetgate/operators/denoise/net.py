"""The network stages of denoise: bounded corrections of what the classical passes made.

The spatial network looks at one frame, the temporal one at five that are aligned to the middle.
Both are told the deviation of the noise at every sample. What is left of the source after the
correction must look like that noise: where it does not, the classical result stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.backends import Session, apply_net, load_session
from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameSurvey,
    Judged,
    NoSurveys,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
)
from wetgate.operators.denoise import passes
from wetgate.operators.denoise.flow import flow_bytes
from wetgate.operators.denoise.reflect import around, picked, reflected
from wetgate.operators.denoise.shot import is_idle
from wetgate.operators.denoise.stages import Pass, tile_of, with_grain
from wetgate.weights import recall_model

LIMIT = 3.0
"""Largest correction of the classical result, in deviations of the noise."""
BLOCK = 16
"""Side of the blocks whose residual is compared with the noise model, px."""
_DOUBT, _REFUSED = 1.6, 2.2
"""Variance of a block's residual over the model's: from the first on the correction is faded out,
from the second on it is gone. The mean over 16 x 16 x 3 samples of white noise deviates by 0.05,
of grain by up to 0.15, so noise alone never gets there."""
EDGE = 8
"""How far beyond the edge of the frame the networks see it reflected, px; a multiple of every
network's size multiple. Beyond that they see zeros, as in training, and small frames cost less."""
_RADIUS = 2
NOTE = "network held back where what it removed does not look like the measured noise"

Planes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NetChoice:
    """Which networks run, and on what.

    Attributes:
        spatial, temporal, alone: names of model packages; `alone` stands in for `spatial` where no
            frame of the shot has a neighbor to be compared with.
    """

    spatial: str
    temporal: str
    alone: str
    backend: str = "auto"
    precision: str = "fp32"

    def session(self, name: str) -> Session:
        """Return the session of a network; loaded once a process."""
        return load_session(name, backend=self.backend, precision=self.precision)


def net_halo(name: str) -> int:
    """Return the px of context that a network and the guard need."""
    return recall_model(name).card.halo + 2 + 2 * BLOCK


@dataclass(frozen=True, slots=True)
class SpatialNet(NoSurveys):
    """The spatial correction of the second pass."""

    shared: Pass
    nets: NetChoice

    @property
    def footprint(self) -> Footprint:
        """Return the halo of the network."""
        return Footprint(
            halo=max(net_halo(self.nets.spatial), net_halo(self.nets.alone)),
            bytes_per_pixel=_NET_BYTES,
            exact_output=True,
        )

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        """Correct the center frame."""
        if is_idle(analysis, facts):
            return tile_of(window, window.previous[0])
        noise = self.shared.noise(analysis, facts)
        seen = window.region.intersect(window.frame.grown(EDGE))
        cut = seen.within(window.region)
        noisy, base = (np.ascontiguousarray(p[cut]) for p in (window.center, window.previous[0]))
        if not noise.clips:
            base = noise.to_pixels(noise.to_units(base))
        sigma = noise.sigma(base)
        session = self.nets.session(self.nets.spatial if noise.temporal else self.nets.alone)
        color = (_color(p) for p in (base, noisy, sigma))
        planes = spatial_planes(*color, flatness=noise.flatness)
        if noise.temporal:
            change = _run(session, planes, seen, sigma)
        else:
            change = _run_mirrored(session, planes, seen, sigma)
        out, weight = guarded(base, change, noisy, sigma, seen)
        tile = window.tile.within(seen)
        classes = _classes(None if weight is None else weight[tile] > 0)
        return Judged(np.ascontiguousarray(out[tile]), classes, _notes(session, weight))


@dataclass(frozen=True, slots=True)
class TemporalNet(Pass):
    """The fusion of three corrected frames, corrected again by what five of them show."""

    nets: NetChoice = NetChoice("", "", "")

    @property
    def footprint(self) -> Footprint:
        """Return radius 2 and the halo of the network beyond that of the fusion."""
        return Footprint(
            temporal_radius=_RADIUS,
            halo=passes.FUSION_HALO + net_halo(self.nets.temporal),
            bytes_per_pixel=_NET_BYTES + 160,
            surveys=flow_bytes,
            exact_output=self.exact_output,
        )

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        """Make the picture that flow is estimated on."""
        return self.survey(whole, analysis, facts, 0.5)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        """Fuse, correct, and remove the bias of clipping."""
        source = tile_of(window, window.center)
        if is_idle(analysis, facts) or self.operator.grain_keep == 1.0:
            return source
        noise = self.noise(analysis, facts)
        if not noise.temporal:  # nothing to fuse: the spatial network had the last word
            alone = tile_of(window, window.previous[_RADIUS])
            if noise.clips:
                alone = noise.to_pixels(noise.to_units(alone))
            clean = with_grain(noise.bounded(alone, source), source, self.operator.grain_keep)
            return Judged(clean, _tile_classes(window))
        base, warped = passes.temporal_inputs(window, noise)
        # Flow and fusion stop at the edge of the frame; beyond it the network sees it reflected.
        halo = net_halo(self.nets.temporal)
        inner = window.tile.grown(halo).intersect(window.frame.grown(EDGE))
        rows, columns = reflected(inner, window)
        # Planes are laid out for what it sees alone, and for what their detail is told against.
        part = around(rows, DETAIL), around(columns, DETAIL)
        rows, columns = rows - part[0].start, columns - part[1].start
        base, center = base[part], window.center[part]
        sigma = noise.sigma(base)
        session = self.nets.session(self.nets.temporal)
        color = (_color(p) for p in (base, center, sigma))
        aligned = [None if w is None else _color_planes(w[:, part[0], part[1]]) for w in warped]
        planes = temporal_planes(*color, flatness=noise.flatness, warped=aligned)
        planes = picked(planes, rows, columns)
        base, center, sigma = (
            np.ascontiguousarray(picked(p.transpose(2, 0, 1), rows, columns).transpose(1, 2, 0))
            for p in (base, center, sigma)
        )
        change = _run(session, planes, inner, sigma)
        out, weight = guarded(base, change, center, sigma, inner)
        tile = window.tile.within(inner)
        clean = np.ascontiguousarray(out[tile])
        if noise.clips:
            clean = noise.to_pixels(noise.to_units(clean))
        return Judged(
            with_grain(noise.bounded(clean, source), source, self.operator.grain_keep),
            None if weight is None else _classes(_fused_by_net(window) | (weight[tile] > 0)),
            _notes(session, weight),
        )


DETAIL = 2
"""Reach of the mean that detail is told against, px."""

_NET_BYTES = 420
"""Planes in and out, and what one tile of the network holds, per px of a tile."""


SPATIAL_PLANES = 13


def spatial_planes(base: Pixels, noisy: Pixels, sigma: Pixels, *, flatness: float) -> Planes:
    """Return the planes of the spatial network, `(13, height, width)`.

    Three each: detail of `base` and what the passes removed, both in deviations of the noise and
    compressed; `base` itself; the deviation on a log scale. Then the flatness. In units of the
    noise a correction looks the same at every level of it, and no value of an HDR picture is
    large.

    Args:
        base: result of the classical passes. noisy: what they were given.
        sigma: deviation of the noise at each sample of `base`.
        flatness: spectral flatness of the noise, 1 for white.
    """
    height, width, _ = base.shape
    planes = np.empty((SPATIAL_PLANES, height, width), np.float32)
    here, unit = base.transpose(2, 0, 1), _unit(sigma)
    planes[0:3] = _compressed((here - _softened(here)) * unit)
    planes[3:6] = _compressed((noisy.transpose(2, 0, 1) - here) * unit)
    planes[6:9] = _compressed(here)
    planes[9:12] = np.log2(sigma.transpose(2, 0, 1) * np.float32(255) + np.float32(0.5)) / 6
    planes[12] = flatness
    return planes


def temporal_planes(
    base: Pixels,
    noisy: Pixels,
    sigma: Pixels,
    *,
    flatness: float,
    warped: Sequence[Planes | None],
) -> Planes:
    """Return the planes of the temporal network: those of the spatial one, then its neighbors'.

    Args:
        warped: of each of four neighbors `(3, h, w)`, aligned; None where there is none. The
            network sees how they differ from `base`, in deviations of the noise.
    """
    here, unit = base.transpose(2, 0, 1), _unit(sigma)
    planes = np.zeros((SPATIAL_PLANES + 3 * len(warped), *base.shape[:2]), np.float32)
    planes[:SPATIAL_PLANES] = spatial_planes(base, noisy, sigma, flatness=flatness)
    for k, there in enumerate(warped):
        if there is not None:
            first = SPATIAL_PLANES + 3 * k
            planes[first : first + 3] = _compressed((there - here) * unit)
    return planes


def _unit(sigma: Pixels) -> Planes:
    floor = np.float32(1e-5)
    return np.asarray(1 / np.maximum(sigma.transpose(2, 0, 1), floor), np.float32)


def _compressed(values: Planes) -> Planes:
    """Return values as they are below 1 and on a log scale far above."""
    return np.asarray(2 * np.arcsinh(values / 2), np.float32)


def _softened(planes: Planes) -> Planes:
    """Return the mean of 5 x 5 px, edges repeated; sums of a fixed order, whatever the tile."""
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (DETAIL, DETAIL)
        wide = np.pad(planes, pad, mode="edge")
        size = planes.shape[axis]
        parts = [np.take(wide, np.arange(k, k + size), axis=axis) for k in range(5)]
        planes = (parts[0] + parts[1] + parts[2] + parts[3] + parts[4]) * np.float32(0.2)
    return planes


def correction_limit(sigma: Pixels) -> Pixels:
    """Return the bound on the correction at each sample."""
    limit: Pixels = np.float32(LIMIT) * sigma
    return limit


def guarded(
    base: Pixels, change: Pixels, noisy: Pixels, sigma: Pixels, region: Box
) -> tuple[Pixels, NDArray[np.float32] | None]:
    """Add the bounded correction where the residual it leaves looks like the noise.

    A block whose residual holds more than `_DOUBT` times the variance of the model, or whose
    correction is as large as the noise itself, keeps the classical result. Blocks are anchored at
    (0, 0) of the full frame, and the weight runs linearly between their middles, so the result
    does not depend on the tile. Blocks that are not whole in the region count as good; they lie
    in the halo.

    Args:
        region: the box of the arrays, px of the full frame.

    Returns:
        the pixels, and the share of the correction that each of them got, `(h, w)`; None when
        it was not held back anywhere.
    """
    limit = correction_limit(sigma)
    change = np.minimum(np.maximum(change, -limit), limit)
    inverse = 1.0 / np.maximum(sigma.astype(np.float64), 1e-12)
    left = (((noisy - base - change) * inverse) ** 2).mean(axis=2)
    moved = ((change * inverse) ** 2).mean(axis=2)
    top, side = -region.y0 % BLOCK, -region.x0 % BLOCK
    rows, columns = (region.height - top) // BLOCK, (region.width - side) // BLOCK
    if rows < 1 or columns < 1:
        return base + change, None

    def blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = values[top : top + rows * BLOCK, side : side + columns * BLOCK]
        return np.asarray(whole.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)))

    worst = np.maximum(blocks(left), 1.0 + blocks(moved))
    trust = np.clip((_REFUSED - worst) / (_REFUSED - _DOUBT), 0.0, 1.0)
    if trust.min() == 1.0:
        return base + change, None
    weight = _between(trust, np.arange(region.height) - top, np.arange(region.width) - side)
    held: Pixels = base + change * weight[..., None]
    return held, weight


def _between(
    trust: NDArray[np.float64], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Run linearly between the middles of blocks; beyond the outermost ones go on level."""

    def place(at: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        t = np.clip((at + 0.5) / BLOCK - 0.5, 0.0, count - 1.0)
        first = np.minimum(t.astype(np.intp), max(count - 2, 0))
        return first, t - first

    (row, down), (column, along) = place(y, trust.shape[0]), place(x, trust.shape[1])
    last_row = np.minimum(row + 1, trust.shape[0] - 1)
    last_column = np.minimum(column + 1, trust.shape[1] - 1)
    upper = trust[row] + (trust[last_row] - trust[row]) * down[:, None]
    value = upper[:, column] + (upper[:, last_column] - upper[:, column]) * along
    return np.asarray(value, np.float32)


def _color(picture: Pixels) -> Pixels:
    """Show the network three channels: a gray picture is one whose channels are alike."""
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _color_planes(planes: Planes | None) -> Planes | None:
    if planes is None or planes.shape[0] == 3:
        return planes
    return np.repeat(planes, 3, axis=0)


def _run(session: Session, planes: Planes, region: Box, sigma: Pixels) -> Pixels:
    """Return the correction in the working encoding: the network speaks in deviations."""
    origin = region.y0, region.x0
    change = apply_net(session, planes, origin=origin, unit=sigma).transpose(1, 2, 0)
    if sigma.shape[2] == 1:
        change = change.mean(axis=2, keepdims=True)
    return np.ascontiguousarray(change * sigma, np.float32)


def _run_mirrored(session: Session, planes: Planes, region: Box, sigma: Pixels) -> Pixels:
    """Return the mean correction of the picture as it is, mirrored either way, and both ways.

    The network errs otherwise on each, so the mean errs less. The frame is mirrored about its
    corner (0, 0), where the grid of the network's strides is anchored: px of one cell of it stay
    together, whatever the tile.

    Source: R. Timofte, R. Rothe, L. Van Gool, "Seven ways to improve example-based single image
    super resolution", CVPR 2016, for the mean over transformed pictures.
    """

    def seen(down: int, across: int) -> Pixels:
        left, right = sorted((across * region.x0, across * region.x1))
        top, bottom = sorted((down * region.y0, down * region.y1))
        turned = np.ascontiguousarray(planes[:, ::down, ::across])
        level = np.ascontiguousarray(sigma[::down, ::across])
        return _run(session, turned, Box(left, top, right, bottom), level)[::down, ::across]

    # Whichever of the four the picture comes as, these are the same two sums.
    mean = (seen(1, 1) + seen(-1, -1)) + (seen(1, -1) + seen(-1, 1))
    return np.ascontiguousarray(mean * np.float32(0.25))


def _classes(inferred: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
    """Return the classes of pixels; None where a network had a word on every one of them."""
    if inferred is None or inferred.all():
        return None
    return np.where(inferred, Provenance.INFERRED, Provenance.FILTERED).astype(np.uint8)


def _tile_classes(window: Window) -> NDArray[np.uint8] | None:
    classes, tile = _near_classes(window)[1], window.tile.within(window.region)
    return None if classes is None else _classes(classes[tile] == Provenance.INFERRED)


def _near_classes(window: Window) -> tuple[NDArray[np.uint8] | None, ...]:
    return window.previous_classes[_RADIUS - 1 : _RADIUS + 2] or (None, None, None)


def _fused_by_net(window: Window) -> NDArray[np.bool_]:
    """Return where the fusion holds what the spatial network made, pixels of the tile."""
    near = _near_classes(window)
    shape = window.center.shape[:2]
    marked = [np.ones(shape, np.bool_) if c is None else c == Provenance.INFERRED for c in near]
    return passes.fused_marks(window, marked)[window.tile.within(window.region)]


def _notes(session: Session, weight: NDArray[np.float32] | None) -> tuple[str, ...]:
    return session.notes if weight is None else (*session.notes, NOTE)
