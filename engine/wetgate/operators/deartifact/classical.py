"""Deblocking and mosquito suppression without a network.

Four steps on luma, the first two on chroma as well:

* Neighbors are warped onto the frame and averaged in where they agree within the coding error: a
  codec errs anew in every frame that it does not copy.
* 8x8 transforms at 32 shifts of the block grid drop what lies below a multiple of that error, and
  are averaged. Twice: gently, and hard for places beside a strong edge that are flat once
  filtered, where whatever was dropped is mosquito noise.
* What is left of the jumps at block borders is evened out; see `borders`.
* The change is transformed on the codec's own grid, and no sample of it may be larger than the
  quantiser can have hidden (projection onto a convex set).

How hard depends on how abrupt blocks end, which is the mean jump at their borders as a share of
the coding error: 0.02-0.3 after H.264 with its loop filter, 0.25-0.6 after MPEG-2, about 1 after
JPEG, where errors of neighboring blocks have nothing to do with each other.

Sources: Nosratinia, "Enhancement of JPEG-compressed images by re-application of JPEG", J. VLSI
Signal Processing 27, 2001; Yang, Galatsanos, Katsaggelos, "Projection-based spatially adaptive
reconstruction of block-transform compressed images", IEEE TIP 4, 1995; blocks that need fewer
samples weighing more: Guleryuz, "Weighted averaging for denoising with overcomplete
dictionaries", IEEE TIP 16, 2007.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.operators.base import Window
from wetgate.operators.deartifact import borders
from wetgate.operators.deartifact.borders import Evening, even_borders
from wetgate.operators.deartifact.grid import BLOCK
from wetgate.operators.denoise.flow import Flow

Planes = NDArray[np.float32]
"""float32 `(channel, height, width)`: luma first, then blue and red difference."""

REACH = 48
"""Largest motion followed, px along each axis."""
HALO = REACH + 32 + borders.HALO
"""Motion, the fusion's weight (5) and kernel (2), shifted blocks (7), the look for edges (8 + 2),
borders and the block of the projection (7)."""

_SHIFTS = tuple((i, (3 * i + 2 * j) % 8) for j in range(4) for i in range(8))
"""Every phase of either axis four times: were some left out, the seams of the blocks would lie on
a grid of their own. All 64 shifts gain another hundredth of a dB."""
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
"""Luma of BT.601. What is changed is a difference of planes, so that another matrix costs a
little efficiency and moves no color."""
_STRONG_SLOPE = 0.05
_NEAR = 8


_ABRUPT = (0.1, 0.3, 0.5, 0.8)
_DROP = (1.5, 1.0, 1.0)
_DROP_HARD = 2.0
_DROP_ABRUPT, _DROP_STEP, _HARDER = 1.8, 0.65, 1.2
"""Where blocks end abruptly: least drop in errors, drop in quantiser steps, and the hard one."""
_DROP_BLIND = 2.5
"""The drop there in errors when the step is not known."""
_SHARE = (0.0, 1.0, 1.0, 1.0)
_START = (1.3, 1.3, 1.3, 1.1)
_FULL = (1.8, 1.8, 1.8, 1.3)
"""By how abrupt blocks end; tuned on coded clips of generated pictures and photographs."""
_HIDDEN = 6.0
UNKNOWN = 0.2
"""How abrupt blocks are taken to end where nothing is known of their borders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How the error of coding turns into limits; all but `evening` are multiples of that error.

    Attributes:
        agree: RMS difference from the frame, low-passed, that a warped neighbor may have.
        drop: transform samples below this are dropped; `drop_hard` of luma near edges.
        hidden: largest change of a transform sample on the codec's grid.
        evening: how readily borders are evened out.
    """

    drop: float
    drop_hard: float
    evening: Evening
    hidden: float
    agree: float = 0.7


def strength_for(abrupt: float, step: float = 0.0) -> Strength:
    """Return the strength for blocks that end so abruptly.

    Args:
        abrupt: mean excess of the gradient's jump at borders / RMS error of coding.
        step: quantiser's step at low frequencies / RMS error of coding; 0 where not known. How
            far it is from the error depends on the picture: what was coded of a rich one errs by
            0.3 steps, most of a plain one was not coded at all.
    """
    last = max(_DROP_ABRUPT, _DROP_STEP * step) if step > 0.0 else _DROP_BLIND

    def at(curve: tuple[float, ...]) -> float:
        return float(np.interp(abrupt, _ABRUPT, curve))

    drop = at((*_DROP, last))
    return Strength(
        drop=drop,
        drop_hard=at((_DROP_HARD,) * 3 + (_HARDER * last,)),
        hidden=max(_HIDDEN, 1.5 * drop),
        evening=Evening(share=at(_SHARE), start=at(_START), full=at(_FULL)),
    )


def to_planes(pixels: NDArray[np.float32]) -> Planes:
    """Return luma and color differences of `(height, width, 3)`, or the one plane there is."""
    if pixels.shape[2] != 3:
        return np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[:1])
    red, green, blue = (pixels[..., k] for k in range(3))
    luma = np.float32(_RED) * red + np.float32(_GREEN) * green + np.float32(_BLUE) * blue
    scale_blue, scale_red = np.float32(0.5 / (1 - _BLUE)), np.float32(0.5 / (1 - _RED))
    return np.stack([luma, (blue - luma) * scale_blue, (red - luma) * scale_red])


def change_to_pixels(change: Planes) -> NDArray[np.float32]:
    """Return what a change of planes is in `(height, width, channel)`."""
    if change.shape[0] == 1:
        return np.ascontiguousarray(np.moveaxis(change, 0, 2))
    luma, blue_difference, red_difference = change
    red = luma + np.float32(2 * (1 - _RED)) * red_difference
    blue = luma + np.float32(2 * (1 - _BLUE)) * blue_difference
    green = (luma - np.float32(_RED) * red - np.float32(_BLUE) * blue) * np.float32(1 / _GREEN)
    return np.stack([red, green, blue], axis=2)


def restore(
    window: Window,
    frames: Sequence[Planes | None],
    error: float,
    offset: tuple[int, int] | None,
    strength: Strength,
    drops: Sequence[float] = (),
) -> tuple[Planes, Planes]:
    """Return the change of the center's planes, and luma shrunk in other ways, over the region.

    The second is `(len(drops), height, width)`: neighbors averaged in and samples dropped, and
    nothing else done.

    Args:
        frames: planes of each frame of the window, None where it is not valid.
        error: RMS coding error of luma.
        offset: corner of the codec's blocks in the frame; None where the grid is not known, and
            nothing is projected on it.
        drops: what else samples are dropped below, in errors.
    """
    center = frames[len(frames) // 2]
    assert center is not None  # the center is always valid
    fused = _fused(window, frames, (strength.agree * error) ** 2)
    anchor = _anchor(window, offset or (0, 0))
    threshold = _flat(error)
    shrunk = _native.shrink_blocks(
        fused[0], anchor, _SHIFTS, threshold, [strength.drop, strength.drop_hard, *drops]
    )
    gentle, hard = shrunk[:2]
    share = mosquito_share(hard, error)
    luma = gentle + share * (hard - gentle)
    if offset is not None and strength.evening.share > 0.0:
        luma = luma + even_borders(luma, anchor, error, strength.evening)
    out = [luma]
    for plane in fused[1:]:
        out.append(_native.shrink_blocks(plane, anchor, _SHIFTS, threshold, [strength.drop])[0])
    change = np.stack(out) - center
    if offset is not None:
        limit = _flat(strength.hidden * error)
        limit[0] *= 2  # the mean of a block is not what a codec drops
        change[0] = _native.limit_blocks(np.ascontiguousarray(change[0]), anchor, limit)
    return np.ascontiguousarray(change), shrunk[2:]


def mosquito_share(filtered: NDArray[np.float32], error: float) -> NDArray[np.float32]:
    """Return 0-1: 1 where a strong edge is near and the filtered picture itself is flat."""
    dx, dy = np.zeros_like(filtered), np.zeros_like(filtered)
    dx[:, 1:-1] = 0.5 * (filtered[:, 2:] - filtered[:, :-2])
    dy[1:-1] = 0.5 * (filtered[2:] - filtered[:-2])
    slope = np.sqrt(dx * dx + dy * dy)
    near = _largest(slope, _NEAR)
    around = _largest(slope, 2)
    edge = np.clip((near - np.float32(0.5 * _STRONG_SLOPE)) / np.float32(_STRONG_SLOPE), 0, 1)
    flat = np.clip(np.float32(2.0) - around / np.float32(1.0 * error), 0, 1)
    return np.asarray(edge * flat, np.float32)


def _largest(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the largest value within `radius` px along both axes."""
    import cv2

    cv2.setNumThreads(1)
    side = 2 * radius + 1
    return np.asarray(cv2.dilate(values, np.ones((side, side), np.uint8)), np.float32)


def _fused(window: Window, frames: Sequence[Planes | None], floor_error: float) -> Planes:
    flows = flows_of(window)
    return _native.fuse(
        list(frames),
        [None if f is None else f.vectors for f in flows],
        frame_in_region(window),
        (window.region.x0, window.region.y0),
        next((f.scale for f in flows if f is not None), 1),
        float(REACH),
        floor_error,
    )


def flows_of(window: Window) -> list[Flow | None]:
    """Return the flow to each frame of the window, None for the center and where there is none."""
    return [
        p if ok and isinstance(p, Flow) else None
        for p, ok in zip(window.pairs, window.valid, strict=True)
    ]


def frame_in_region(window: Window) -> tuple[int, int, int, int]:
    """Return the frame's corners, px from the corner of the region."""
    box = window.frame.shifted(-window.region.x0, -window.region.y0)
    return box.x0, box.y0, box.x1, box.y1


def _anchor(window: Window, offset: tuple[int, int]) -> tuple[int, int]:
    return (offset[0] - window.region.x0) % BLOCK, (offset[1] - window.region.y0) % BLOCK


def _flat(value: float) -> NDArray[np.float32]:
    return np.full(BLOCK * BLOCK, value, np.float32)
