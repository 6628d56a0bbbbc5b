"""What block coding left in a frame beyond its truth: blocking and mosquito noise.

All functions take luma, float32 `(height, width)`, in an encoding whose range is 0-1. A blur
lowers both figures as well as a restoration does: never read them without the PSNR beside them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]

GRIDS = (4, 8, 16)
"""Block sizes of H.264 transforms, MPEG-2, JPEG and macroblocks, px."""

REACH = 8
"""How far from a strong edge ringing counts as mosquito noise, px: one transform block."""

STRONG = 0.12
"""Least central difference of the truth, per px, that makes an edge strong."""

_BOX = 5


def grid_jump(luma: Luma, *, offset: tuple[int, int] = (0, 0)) -> float:
    """Return how much more the gradient jumps across block borders than inside blocks.

    The jump between two pixels is how far their difference lies from the mean of the differences
    on both sides: 0 on any ramp, the height on a step. Mean over the borders of the 4, 8 and 16
    px grids, the three weighing the same, less that over places on none of them; mean of both
    directions.

    Source: the slope difference of Minami, Zakhor, "An optimization approach for removing
    blocking effects in transform coding", IEEE CSVT 5(2), 1995; absolute, not squared.

    Args:
        offset: `(x, y)` of a block corner.

    Raises:
        ValueError: when the frame is smaller than two macroblocks.
    """
    if luma.ndim != 2 or min(luma.shape) < 2 * GRIDS[-1]:
        raise ValueError(f"luma of 32 x 32 px or more is needed, got {luma.shape}")
    total = 0.0
    for axis, start in ((1, offset[0]), (0, offset[1])):
        steps = np.diff(np.moveaxis(luma.astype(np.float64), axis, 0), axis=0)
        jumps = np.abs(steps[1:-1] - 0.5 * (steps[:-2] + steps[2:])).mean(axis=1)
        place = np.arange(2, jumps.size + 2) - start
        inside = jumps[place % GRIDS[0] != 0].mean()
        total += float(np.mean([jumps[place % size == 0].mean() for size in GRIDS]) - inside)
    return total / 2


def blockiness(truth: Luma, shown: Luma, *, offset: tuple[int, int] = (0, 0)) -> float:
    """Return the `grid_jump` of a frame beyond that of its truth.

    0 for no blocking, negative where borders are smoother than they should be.

    Raises:
        ValueError: as `grid_jump`, and when the shapes differ.
    """
    _same(truth, shown)
    return grid_jump(shown, offset=offset) - grid_jump(truth, offset=offset)


def mosquito(truth: Luma, shown: Luma) -> float:
    """Return the high-pass energy near strong edges that the truth does not have.

    Energy is the mean over 5 x 5 px of the squared high-pass, which is the frame less its 3 x 3
    binomial mean. Only where the frame has more of it than the truth it counts, so that detail
    lost at one place does not pay for noise at another; the mean is over all pixels within 8 px
    of a place where the truth's gradient is at least `STRONG`. 0 when there is no such place.

    Raises:
        ValueError: when the shapes differ.
    """
    _same(truth, shown)
    near = near_edges(truth)
    if not near.any():
        return 0.0
    excess = np.maximum(_detail_energy(shown) - _detail_energy(truth), 0.0)
    return float(excess[near].mean())


def near_edges(truth: Luma) -> NDArray[np.bool_]:
    """Return where a strong edge is at most 8 px away along both axes."""
    wide = truth.astype(np.float64)
    slope = np.hypot(*np.gradient(wide))
    return _dilated(slope >= STRONG, REACH)


def reduction(before: float, after: float) -> float:
    """Return the share of an index that is gone: 1 all of it, 0 none, negative when it grew.

    An index that came out as far below zero as it was above counts as not reduced at all. nan
    when there was nothing to reduce.
    """
    return float("nan") if before <= 0.0 else 1.0 - abs(after) / before


def _same(truth: Luma, shown: Luma) -> None:
    if truth.shape != shown.shape:
        raise ValueError(f"shapes must agree, got {truth.shape} and {shown.shape}")


def _detail_energy(luma: Luma) -> NDArray[np.float64]:
    wide = luma.astype(np.float64)
    padded = np.pad(wide, 1, mode="edge")
    rows = 0.25 * (padded[:-2] + padded[2:]) + 0.5 * padded[1:-1]
    soft = 0.25 * (rows[:, :-2] + rows[:, 2:]) + 0.5 * rows[:, 1:-1]
    return _box_mean((wide - soft) ** 2, _BOX // 2)


def _box_mean(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        wide = np.pad(values, pad, mode="edge")
        length = values.shape[axis]
        slices = [wide.take(range(k, k + length), axis) for k in range(2 * radius + 1)]
        values = np.mean(slices, axis=0)
    return values


def _dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        wide = np.pad(mask, pad)
        length = mask.shape[axis]
        slices = [wide.take(range(k, k + length), axis) for k in range(2 * radius + 1)]
        mask = np.any(slices, axis=0)
    return mask
