"""Shot cuts: found where another scene begins, and not in pans, flashes, grain or fades."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.render.cuts import CutDetector, make_proxy, unexplained

WIDTH, HEIGHT = 192, 108


@cache
def scene(seed: int, *, width: int = 640, height: int = 216) -> NDArray[np.float32]:
    """A scene of overlapping discs, larger than the frame; values 0-1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    out = np.full((height, width, 3), rng.uniform(0.3, 0.6, 3), np.float32)
    for _ in range(120):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 40)
        out[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0.05, 0.95, 3)
    return out


def crop(picture: NDArray[np.float32], x: int, y: int = 0) -> NDArray[np.float32]:
    return picture[y : y + HEIGHT, x : x + WIDTH].copy()


def cuts(frames: Iterable[NDArray[np.float32]], first: int = 0) -> tuple[int, ...]:
    detector = CutDetector()
    for number, frame in enumerate(frames, start=first):
        detector.add(number, make_proxy(frame))
    return detector.cuts()


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_between_two_scenes_is_found_at_its_frame(seed: int) -> None:
    a, b = scene(seed), scene(seed + 100)
    frames = [crop(a, 2 * n) for n in range(8)] + [crop(b, 3 * n) for n in range(8)]
    assert cuts(frames, first=1001) == (1009,)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("speed", [0, 4, 12])
def test_pans_and_shakes_are_no_cuts(seed: int, speed: int) -> None:
    rng = np.random.default_rng(seed)
    a = scene(seed)
    still = [crop(a, 40) for _ in range(4)]
    pan = [crop(a, min(440, 40 + speed * n), int(rng.integers(0, 6))) for n in range(14)]
    assert cuts(still + pan) == ()


@pytest.mark.parametrize("seed", range(2))
def test_flashes_flicker_fades_and_grain_are_no_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = scene(seed)
    frames = []
    for n in range(24):
        frame = crop(a, n)
        frame = frame * np.float32(rng.uniform(0.6, 1.2)) + np.float32(rng.uniform(0, 0.1))
        if n == 9:
            frame = np.full_like(frame, 0.98)
        if n == 15:
            frame = rng.random(frame.shape, dtype=np.float32)
        frames.append(frame + rng.normal(0, 0.12, frame.shape).astype(np.float32))
    fade = [crop(a, 30) * np.float32(1 - n / 11) for n in range(12)]
    assert cuts(frames) == ()
    assert cuts(fade) == ()


def test_cuts_to_and_from_black_are_cuts() -> None:
    a = scene(1)
    black = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    frames = [crop(a, n) for n in range(6)] + [black] * 6 + [crop(a, n) for n in range(6)]
    assert cuts(frames) == (6, 12)


def test_evidence_is_symmetric_and_zero_for_the_same_frame() -> None:
    a, b = make_proxy(crop(scene(1), 0)), make_proxy(crop(scene(2), 0))
    assert unexplained(a, a) == 0
    assert unexplained(a, b) == pytest.approx(unexplained(b, a), rel=1e-6)
    assert unexplained(a, b[:-1]) == 1.0


def test_the_proxy_holds_block_means() -> None:
    frame = np.random.default_rng(3).random((108, 192, 3), dtype=np.float32)
    want = frame.reshape(54, 2, 96, 2, 3).mean(axis=(1, 3)) @ np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(make_proxy(frame), want, rtol=1e-5)
    small = frame[:5, :7]
    np.testing.assert_allclose(make_proxy(small), small @ np.array([0.25, 0.5, 0.25]), rtol=1e-5)
