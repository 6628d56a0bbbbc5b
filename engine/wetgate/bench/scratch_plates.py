"""Plates of the scratch benchmark that have upright edges all over: facades, generated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import FRAMES, HEIGHT, NUMBERS, WIDTH, Plate, to_light
from wetgate.simulate import CameraSpec, DamagedShot, DamageSpec

_SEED = 41
_STOREY, _WINDOW = 34, 25
_PANS = {"facade, locked off": 0.0, "facade, slow pan": 0.9}


def facades() -> list[Plate]:
    """Return a row of windows, locked off and in a slow pan, scene-linear light."""
    found = []
    for step, (name, pan) in enumerate(_PANS.items()):
        picture = to_light(_facade(_SEED + step))
        center = 0.5 - 0.5 * pan * (FRAMES - 1) / (picture.shape[1] - 1)
        camera = CameraSpec(pan=(pan, 0.0), center=(center, 0.5))
        shot = DamagedShot(
            picture, DamageSpec(seed=_SEED, size=(WIDTH, HEIGHT), camera=camera, bits=None)
        )
        frames = np.stack([shot.after(n, "camera") for n in NUMBERS])
        found.append(Plate(name, "moving" if pan else "static", frames))
    return found


def _facade(seed: int) -> NDArray[np.float32]:
    """Return display-referred stone with windows of many widths, a mullion in each."""
    import cv2

    rng = np.random.default_rng(seed)
    height, width = HEIGHT + 64, WIDTH + 128
    stone = 0.62 + 0.05 * cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 1.5)
    left = int(rng.integers(3, 12))
    while left < width - 30:
        wide = int(rng.integers(9, 28))
        for top in range(6, height - _STOREY, _STOREY):
            stone[top : top + _WINDOW, left : left + wide] = rng.uniform(0.06, 0.4)
            stone[top : top + _WINDOW, left + wide // 2] = 0.75
        left += wide + int(rng.integers(4, 16))
    tinted = np.clip(stone, 0, 1)[..., None] * np.array([1.0, 0.95, 0.86])
    soft = cv2.GaussianBlur(tinted, (0, 0), 0.5)
    return np.asarray(soft, np.float32)
