"""Evidence of dirt at every pixel: a frame against its neighbors laid over it along motion.

Luma is counted in deviations of the shot's noise, so that one threshold fits every exposure, and
rounded to sixteenths: all sums below are then of whole numbers small enough to be exact in
float32, and no result depends on the tile, the order of a sum or the width of a vector unit.

Sources of the classical measures: Kokaram, "Motion picture restoration", Springer 1998, for SDIa
and SDIp (the spike against both neighbors, of one sign for SDIp); Nadenau, Mitra, "Blotch and
scratch detection in image sequences based on rank ordered differences", 1997, for ROD (the
excess over the whole range that the neighbors have near the place).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.operators.base import Window
from wetgate.operators.denoise.passes import REACH, ShotNoise
from wetgate.operators.dirt.motion import PairMotion, displacement

STEPS = 16
"""Whole numbers to one deviation of the noise."""
MOST = 1000 * STEPS
"""Luma beyond a thousand deviations counts as that; 9 sums of 3 x 3 weights stay below 2**24."""
HALO = REACH + 24
"""px of context: motion, the kernel of the warp, the widest neighborhood looked at."""
WIDE = 3
"""Reach of the wide mean, px."""

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A frame beside the center one, laid over it.

    Attributes:
        distance: frames from the center, signed.
        difference: center less neighbor less the change of light, steps; 0 where not `seen`.
        above, below: center less the largest, less the smallest of the 3 x 3 px there, steps.
        seen: where the neighbor shows the place at all.
        trust: 0-1.
        luma: of the neighbor as it is, steps, not laid over anything. light: by how much the
            center is brighter, steps.
    """

    distance: int
    difference: Plane
    above: Plane
    below: Plane
    seen: NDArray[np.bool_]
    trust: Plane
    luma: Plane
    light: Plane
    motion: PairMotion


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the pixels of a window say; planes `(h, w)` of its region, in deviations of noise.

    Attributes:
        luma: of the center, deviations.
        neighbors: those that exist, in the order of time.
        mid: the difference from the middle of all neighbors: their mean without the least and the
            largest where there are three or more. Signed: + where the center is brighter.
        smooth, wide: `mid` under the 3 x 3 binomial and in the mean of 7 x 7 px, each in
            deviations of what it makes of the noise.
        spike: least difference from the two nearest neighbors where both have one sign (SDIp),
            signed; else 0.
        spike_all: the same over all neighbors.
        rank: the excess over the range of 3 x 3 px of the nearest neighbors (ROD), signed.
        disagreement: range of the neighbors among each other, smoothed.
        texture: range of 3 x 3 px in the nearest neighbor where it is least.
        trust: 0-1, that of the better of the two.
        sides: 0, 1 or 2: on how many sides in time there is evidence.
    """

    luma: Plane
    neighbors: tuple[Neighbor, ...]
    mid: Plane
    smooth: Plane
    wide: Plane
    spike: Plane
    spike_all: Plane
    rank: Plane
    disagreement: Plane
    texture: Plane
    trust: Plane
    sides: NDArray[np.uint8]
    nearest: tuple[int, ...] = field(default=())


def evidence(window: Window, noise: ShotNoise) -> Evidence:
    """Lay the neighbors of a window over its center and compare. Good within the frame only."""
    middle = len(window.pixels) // 2
    center = _steps(noise.to_luma(window.center))
    found = []
    for k, pixels in enumerate(window.pixels):
        motion = window.pairs[k]
        if k == middle or not window.valid[k] or not isinstance(motion, PairMotion):
            continue
        luma = _steps(noise.to_luma(pixels))
        found.append(_neighbor(window, center, luma, motion, k - middle))
    return _compared(center, tuple(found), noise)


def _steps(luma: Plane) -> Plane:
    return np.asarray(np.clip(np.rint(luma * np.float32(STEPS)), -MOST, MOST), np.float32)


def _neighbor(
    window: Window, center: Plane, luma: Plane, motion: PairMotion, distance: int
) -> Neighbor:
    region = window.region
    frame = window.frame.shifted(-region.x0, -region.y0)
    moved, seen = _native.warp(
        luma[None],
        motion.vectors,
        (frame.x0, frame.y0, frame.x1, frame.y1),
        (region.x0, region.y0),
        motion.scale,
        float(REACH),
    )
    difference, above, below, visible, trust, light = _native.lay_over(
        center,
        moved[0],
        seen,
        motion.offset,
        motion.cell,
        motion.trust,
        motion.trust_scale,
        (region.x0, region.y0),
        (window.frame.x1, window.frame.y1),
        float(STEPS),
        float(MOST),
    )
    return Neighbor(distance, difference, above, below, visible, trust, luma, light, motion)


def _compared(center: Plane, neighbors: tuple[Neighbor, ...], noise: ShotNoise) -> Evidence:
    import cv2

    cv2.setNumThreads(1)
    unit = np.float32(1.0 / STEPS)
    zero = np.zeros_like(center)
    if not neighbors:
        none = np.zeros(center.shape, np.uint8)
        return Evidence(
            center * unit, (), zero, zero, zero, zero, zero, zero, zero, zero, zero, none
        )
    before = [n for n in neighbors if n.distance < 0][::-1]
    after = [n for n in neighbors if n.distance > 0]
    # With frames on one side only the two nearest of that side have to do.
    near = (before[:1] + after[:1]) if before and after else (before + after)[:2]
    nearest = tuple(n.distance for n in near)
    mid, spread, spike, spike_all, rank, texture, trust, sides = _native.compare_neighbors(
        [
            (n.difference, n.above, n.below, n.trust, n.seen, n.distance in nearest, n.distance > 0)
            for n in neighbors
        ],
        center.shape[0],
        center.shape[1],
        float(unit),
    )
    binomial = np.array([0.25, 0.5, 0.25], np.float32)
    smooth = cv2.sepFilter2D(mid, -1, binomial, binomial)
    spread = np.asarray(cv2.sepFilter2D(spread, -1, binomial, binomial), np.float32)
    low, lowest = _deviations(noise)
    return Evidence(
        luma=center * unit,
        neighbors=neighbors,
        mid=mid * unit,
        smooth=np.asarray(smooth * np.float32(1.0 / (STEPS * low)), np.float32),
        wide=around(mid, WIDE) * np.float32(1.0 / (STEPS * lowest)),
        spike=spike,
        spike_all=spike_all,
        rank=rank,
        disagreement=spread * unit,
        texture=texture,
        trust=trust,
        sides=sides,
        nearest=nearest,
    )


@lru_cache(maxsize=8)
def _responses() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the power that the binomial and the box pass at the DCT frequencies of 8 samples."""
    phase = np.pi * np.arange(8) / 8
    binomial = ((1.0 + np.cos(phase)) / 2.0) ** 2
    side = 2 * WIDE + 1
    half = np.where(phase > 0, phase / 2, 1.0)
    box = np.where(phase > 0, (np.sin(side * half) / (side * np.sin(half))) ** 2, 1.0)
    return np.outer(binomial, binomial), np.outer(box, box)


def _deviations(noise: ShotNoise) -> tuple[float, float]:
    """Return the deviations of luma noise under the binomial and in the box."""
    spectrum = noise.spectrum[0].reshape(8, 8).astype(np.float64)
    low, lowest = (float(np.sqrt(np.mean(spectrum * r))) for r in _responses())
    return max(low, 1e-3), max(lowest, 1e-3)


def around(values: Plane, reach: int) -> Plane:
    """Return the mean of `(2 reach + 1)**2` px of whole numbers, exactly, edges repeated."""
    import cv2

    side = 2 * reach + 1
    total = cv2.boxFilter(
        values, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(total / (side * side), np.float32)


def beyond(
    window: Window,
    neighbor: Neighbor,
    center: NDArray[np.float64],
    sign: NDArray[np.float32],
    y: NDArray[np.intp],
    x: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return by how much places exceed all that a neighbor has within a px of them, deviations.

    Of the neighbor's own px: between them interpolation would blunt a thin line, and then the
    center's would stand out.

    Args:
        center: luma at the places, deviations. sign: 1 where it is brighter, -1 where darker.
        y, x: places of the region, px.
    """
    import cv2

    region, frame = window.region, window.frame
    move = displacement(neighbor.motion, y + region.y0, x + region.x0)
    rows, columns = neighbor.luma.shape
    low = np.clip(frame.y0 - region.y0, 0, rows - 1), np.clip(frame.x0 - region.x0, 0, columns - 1)
    high = np.clip(frame.y1 - region.y0, 1, rows), np.clip(frame.x1 - region.x0, 1, columns)
    at_y = np.clip(np.rint(y + move[:, 1]).astype(np.intp), low[0], high[0] - 1)
    at_x = np.clip(np.rint(x + move[:, 0]).astype(np.intp), low[1], high[1] - 1)
    kernel = np.ones((3, 3), np.uint8)
    largest = np.asarray(cv2.dilate(neighbor.luma, kernel))[at_y, at_x]
    least = np.asarray(cv2.erode(neighbor.luma, kernel))[at_y, at_x]
    there = np.where(sign > 0, largest, least).astype(np.float64) + neighbor.light[y, x]
    return np.asarray(sign * (center - there / STEPS), np.float64)


def sampled(
    window: Window, neighbor: Neighbor, y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return pixels `(n, channel)` of a neighbor at places of the region, linear between px."""
    region, frame = window.region, window.frame
    motion = neighbor.motion
    return _native.sample_along(
        window.pixels[len(window.pixels) // 2 + neighbor.distance],
        motion.vectors,
        motion.scale,
        y,
        x,
        (region.x0, region.y0),
        (frame.x1, frame.y1),
    )
