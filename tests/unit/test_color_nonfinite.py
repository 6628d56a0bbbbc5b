"""Stand-ins for NaN and Inf."""

from __future__ import annotations

import time

import numpy as np
import pytest
from wetgate.color.nonfinite import non_finite_mask, restore, substitute


def brute_force(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = pixels.copy()
    for y, x in zip(*np.nonzero(mask), strict=True):
        out[y, x] = 0
        for reach in (1, 2, 4, 8):
            near = [
                pixels[v, u]
                for v in range(max(0, y - reach), min(mask.shape[0], y + reach + 1))
                for u in range(max(0, x - reach), min(mask.shape[1], x + reach + 1))
                if not mask[v, u]
            ]
            if near:
                out[y, x] = np.median(np.array(near), axis=0)
                break
    return out


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_substitute_equals_brute_force(share: float, channels: int) -> None:
    rng = np.random.default_rng(int(share * 100) + channels)
    pixels = rng.normal(0, 2, (31, 37, channels)).astype(np.float32)
    mask = rng.random((31, 37)) < share
    mask[5:16, 20:33] = True
    pixels[mask] = rng.choice(np.array([np.nan, np.inf, -np.inf], np.float32), pixels[mask].shape)
    got = substitute(pixels, mask)
    assert np.isfinite(got).all()
    assert np.allclose(got, brute_force(pixels, mask), rtol=1e-6, atol=1e-6)


def test_a_tile_with_context_gives_what_the_frame_gives() -> None:
    rng = np.random.default_rng(9)
    pixels = rng.normal(0, 1, (60, 60, 3)).astype(np.float32)
    mask = rng.random((60, 60)) < 0.3
    mask[20:40, 20:40] = True
    whole = substitute(pixels, mask)
    tile = substitute(pixels[12:48, 12:48], mask[12:48, 12:48])
    assert np.array_equal(whole[20:40, 20:40], tile[8:28, 8:28])


def test_clean_pixels_are_not_copied_and_bits_come_back() -> None:
    pixels = np.ones((4, 5, 3), np.float32)
    assert non_finite_mask(pixels) is None
    assert substitute(pixels, None) is pixels
    dirty = pixels.copy()
    dirty[1, 2, 0] = np.array([0x7F812345], np.uint32).view(np.float32)[0]
    mask = non_finite_mask(dirty)
    assert mask is not None and mask.sum() == 1 and mask[1, 2]
    result = restore(substitute(dirty, mask) * np.float32(2), dirty, mask)
    assert np.array_equal(result[1, 2].view(np.uint32), dirty[1, 2].view(np.uint32))
    assert (result[~mask] == 2).all()


def test_a_frame_of_nan_does_not_hang() -> None:
    pixels = np.full((540, 960, 3), np.nan, np.float32)
    start = time.perf_counter()
    assert not substitute(pixels, non_finite_mask(pixels)).any()
    assert time.perf_counter() - start < 20
