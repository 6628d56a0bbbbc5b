"""Taking a little of the finest detail off near strong edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from wetgate.operators.deartifact.calm import HALF, HALO, SHARE, calmed

Luma = NDArray[np.float32]


def _picture(height: int = 40, width: int = 52) -> Luma:
    rng = np.random.default_rng(8)
    picture = np.full((height, width), 0.3)
    picture[:, 20:26] = 0.8
    picture[28:, 40:] = 0.36
    return (picture + 0.01 * rng.standard_normal(picture.shape)).astype(np.float32)


def _plainly(luma: Luma, base: Luma, source: Luma) -> NDArray[np.float64]:
    height, width = luma.shape
    slope = np.zeros(luma.shape)
    for y in range(height):
        for x in range(width):
            dx = 0.5 * (float(base[y, x + 1]) - float(base[y, x - 1])) if 0 < x < width - 1 else 0.0
            dy = (
                0.5 * (float(base[y + 1, x]) - float(base[y - 1, x])) if 0 < y < height - 1 else 0.0
            )
            slope[y, x] = np.hypot(dx, dy)
    wide = np.pad(luma.astype(np.float64), 1, mode="edge")
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    detail = np.zeros(luma.shape)
    for y in range(height):
        for x in range(width):
            detail[y, x] = luma[y, x] - (kernel * wide[y : y + 3, x : x + 3]).sum()
    square = np.pad(detail**2, 2, mode="edge")
    changed = np.pad((luma.astype(np.float64) - source) ** 2, 2, mode="edge")
    out = np.zeros(luma.shape)
    for y in range(height):
        for x in range(width):
            near = slope[max(0, y - 8) : y + 9, max(0, x - 8) : x + 9].max()
            how = min(max((near - 0.08) / 0.04, 0.0), 1.0)
            energy = square[y : y + 5, x : x + 5].mean()
            half = HALF**2 * changed[y : y + 5, x : x + 5].mean() + 1e-9
            out[y, x] = -SHARE * how * detail[y, x] * half / (half + energy)
    return out


def test_a_plain_loop_says_the_same() -> None:
    luma = _picture()
    base = np.roll(luma, 1, axis=0) * np.float32(0.9)
    source = luma + np.float32(0.03) * np.random.default_rng(4).standard_normal(
        luma.shape, np.float32
    )
    want = _plainly(luma, base, source)
    assert np.abs(want).max() > 0.005
    np.testing.assert_allclose(calmed(luma, base, source), want, atol=1e-6)


def test_only_what_is_near_a_strong_edge_changes() -> None:
    luma = _picture()
    change = calmed(luma, luma, luma + np.float32(0.02))
    # The step of 0.06 further right has a slope of 0.03 and a little.
    assert (change[:, :10] == 0).all() and (change[:, 36:] == 0).all()
    assert (change[:, 12:33] != 0).mean() > 0.95


def test_faint_detail_loses_its_share_strong_detail_little_and_a_ramp_nothing() -> None:
    y, x = np.mgrid[0:32, 0:32].astype(np.float32)
    checks = (-1.0) ** (x + y)
    edges = np.where(x < 16, 0.2, 0.8).astype(np.float32)
    middle = (slice(8, 24), slice(10, 22))
    shares = []
    moved = np.float32(0.02)
    for depth in (1e-3, 0.04, 0.4):
        luma = (0.5 + depth * checks).astype(np.float32)
        change = calmed(luma, edges, luma + moved)[middle]
        shares.append(float(-np.mean(change * checks[middle]) / depth))
    assert shares[0] > 0.98 * SHARE and shares[2] < 0.06 * SHARE
    # The depth that halves the share.
    depth = HALF * float(moved)
    luma = (0.5 + depth * checks).astype(np.float32)
    halved = calmed(luma, edges, luma - moved)[middle]
    np.testing.assert_allclose(halved, -0.5 * SHARE * depth * checks[middle], atol=1e-5)
    # Where nothing was changed, detail stays.
    assert np.abs(calmed(luma, edges, luma)[middle]).max() < 1e-6
    ramp = (0.01 * x + 0.005 * y).astype(np.float32)
    np.testing.assert_allclose(calmed(ramp, edges, ramp + moved)[1:-1, 1:-1], 0.0, atol=1e-7)


def test_what_is_taken_does_not_depend_on_where_the_array_was_cut() -> None:
    luma, base = _picture(60, 80), np.roll(_picture(60, 80), 2, axis=1)
    source = luma + np.float32(0.03)
    cut = slice(11, 53), slice(7, 70)
    part = calmed(luma[cut].copy(), base[cut].copy(), source[cut].copy())
    inner = slice(HALO, -HALO)
    whole = calmed(luma, base, source)[cut]
    np.testing.assert_allclose(part[inner, inner], whole[inner, inner], atol=1e-7)
