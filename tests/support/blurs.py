"""Pictures with edges in all directions, and blur computed another way than the operator does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def leaves(height: int, width: int, seed: int = 5, fine: int = 3) -> Pixels:
    """Overlapping discs and bars on a slope, scene-linear, edges smooth over their own px."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0 : height * fine, 0 : width * fine] + 0.5) / fine
    picture = np.repeat((0.2 + 0.2 * x / width)[..., None], 3, axis=2)
    for _ in range(height * width // 240):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(5, 22)
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.4, 1.0)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = -(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)
        picture[u**2 + (v / flat) ** 2 < r**2] = rng.uniform(0.03, 0.8, 3)
    small = picture.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))
    return small.astype(np.float32)


def by_fourier(picture: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    """Blur with reflected edges by multiplying spectra."""
    reach = len(kernel)
    wide = np.pad(picture.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), "reflect")
    full = np.zeros(wide.shape[:2])
    full[: len(kernel), : len(kernel)] = kernel
    full = np.roll(full, (-(len(kernel) // 2),) * 2, axis=(0, 1))
    spectrum = np.fft.rfft2(full)
    made = [
        np.fft.irfft2(np.fft.rfft2(wide[..., c]) * spectrum, wide.shape[:2])
        for c in range(wide.shape[2])
    ]
    out = np.stack(made, axis=2)[reach:-reach, reach:-reach]
    return np.ascontiguousarray(out, np.float32)
