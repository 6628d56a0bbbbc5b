"""Generated training pictures: dead leaves, lettering, line work and smooth gradients.

They carry what few photographs do: exact edges at every angle, flat fields, repeated fine
structure and captions. Display-referred, 0-1, float32 `(height, width, 3)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
_SHARES = (0.4, 0.3, 0.25, 0.05)
_WORDS = ("REEL", "7A", "wet gate", "KEYKODE 0139", "Kamera", "1,85:1", "SCENE 12/3", "fin", "AaBb")


def generated_picture(rng: np.random.Generator, size: int) -> Picture:
    """Return one picture of a kind drawn from the generator."""
    makers = (_leaves, _lettering, _lines, _gradients)
    picture = makers[int(rng.choice(4, p=_SHARES))](rng, size)
    return np.clip(picture, 0.0, 1.0).astype(np.float32)


def dead_leaves(rng: np.random.Generator, size: int) -> Picture:
    """Return disks and polygons over each other."""
    return np.clip(_leaves(rng, size), 0.0, 1.0).astype(np.float32)


def words_and_lines(rng: np.random.Generator, size: int) -> Picture:
    """Return lettering beside line work, `(size, 1.1 size, 3)`."""
    half = round(0.55 * size)
    both = (_lettering(rng, size)[:, :half], _lines(rng, size)[:, :half])
    return np.clip(np.concatenate(both, axis=1), 0.0, 1.0).astype(np.float32)


def fine_lines(rng: np.random.Generator, size: int) -> Picture:
    """Return a chart: bands of zone plates, gratings, weaves and small print, down to 2.4 px."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    picture = np.empty((size, size, 3), np.float32)
    edges = np.sort(rng.uniform(0.2, 0.8, int(rng.integers(0, 3)))) * size
    band = np.searchsorted(edges, (x if rng.uniform() < 0.5 else y)[..., None])[..., 0]
    for k in range(len(edges) + 1):
        middle, depth = rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.4)
        kind = int(rng.integers(0, 4))
        gray = middle + depth * _fine_wave(rng, x, y, size) if kind < 3 else _print(rng, size)
        tint = rng.uniform(0.75, 1.2, 3).astype(np.float32)
        picture = np.where((band == k)[..., None], gray[..., None] * tint, picture)
    return np.clip(picture, 0.0, 1.0).astype(np.float32)


def _fine_wave(
    rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """Return a zone plate, a grating or a weave, -1 to 1."""
    kind, angle = int(rng.integers(0, 3)), rng.uniform(0, np.pi)
    period, other = np.exp(rng.uniform(np.log(2.4), np.log(12.0), 2))
    if kind == 0:
        # The frequency grows in proportion to the distance, to 1 / period at the far corner.
        cx, cy = rng.uniform(0.2 * size, 0.8 * size, 2)
        distance = (x - cx) ** 2 + (y - cy) ** 2
        far = float(np.sqrt(distance.max()))
        return np.asarray(np.cos(np.pi * distance / (max(period, 2.4) * far)), np.float32)
    across = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if kind == 1:
        return np.asarray(np.tanh(across * rng.uniform(0.2, 4.0)), np.float32)
    along = np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / other)
    return np.asarray(across * along, np.float32)


def _print(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Return rows of small letters, dark or bright on a flat ground, 0-1."""
    import cv2

    ground = rng.uniform(0.2, 0.8)
    gray = np.full((size, size), ground, np.float32)
    scale, step = rng.uniform(0.3, 0.8), int(rng.integers(12, 30))
    for top in range(step, size, step):
        ink = np.zeros((size, size), np.uint8)  # OpenCV writes on 8 bits only
        words = " ".join(_WORDS[int(k)] for k in rng.integers(0, len(_WORDS), 8))
        at = (int(rng.integers(-30, 30)), top)
        cv2.putText(ink, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
        share = ink.astype(np.float32) / np.float32(255)
        gray += share * (np.float32(rng.choice([0.08, 0.92])) - gray)
    return gray


def windows(rng: np.random.Generator, size: int) -> Picture:
    """Return a wall of windows with mullions, and a few poles: upright edges all over."""
    import cv2

    wall = 0.05 * cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), 1.5)
    wall = rng.uniform(0.35, 0.75) + np.asarray(wall, np.float64)
    left = int(rng.integers(2, 14))
    storey = int(rng.integers(24, 60))
    tall = round(storey * rng.uniform(0.6, 0.9))
    while left < size - 24:
        wide, bars = int(rng.integers(6, 34)), int(rng.integers(0, 4))
        for top in range(int(rng.integers(2, 8)), size - storey, storey):
            wall[top : top + tall, left : left + wide] = rng.uniform(0.03, 0.5)
            for bar in range(1, bars + 1):
                at, thick = left + bar * wide // (bars + 1), int(rng.integers(1, 3))
                wall[top : top + tall, at : at + thick] = rng.uniform(0.4, 0.9)
        left += wide + int(rng.integers(3, 20))
    for _ in range(int(rng.integers(0, 5))):
        at = int(rng.integers(4, size - 4))
        wall[:, at : at + int(rng.integers(1, 5))] = rng.uniform(0.02, 0.95)
    tint = np.array([1.0, rng.uniform(0.9, 1.0), rng.uniform(0.8, 1.0)])
    soft = cv2.GaussianBlur(np.clip(wall, 0, 1)[..., None] * tint, (0, 0), rng.uniform(0.4, 0.9))
    return np.asarray(soft, np.float32)


def _color(rng: np.random.Generator) -> NDArray[np.float64]:
    gray = rng.uniform(0.02, 0.98)
    return np.clip(gray * rng.uniform(0.55, 1.45, 3), 0, 1)


def _leaves(rng: np.random.Generator, size: int) -> Picture:
    """Draw disks and polygons over each other, radii as r**-3.

    Source: Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 41, 2001.
    """
    import cv2

    picture = np.empty((size, size, 3), np.float32)
    picture[:] = _color(rng)
    low, high = rng.uniform(1.0, 4.0), size * rng.uniform(0.2, 0.6)
    for _ in range(int(rng.integers(60, 500))):
        radius = 1 / np.sqrt(1 / high**2 + rng.uniform() * (1 / low**2 - 1 / high**2))
        x, y = rng.uniform(-radius, size + radius, 2)
        corners = int(rng.integers(3, 9)) if rng.uniform() < 0.5 else 24
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners < 24 else None
        angle = turn if turn is not None else np.linspace(0, 2 * np.pi, 24, endpoint=False)
        points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], -1)
        reach = int(radius) + 3
        x0, x1 = max(0, int(x) - reach), min(size, int(x) + reach + 1)
        y0, y1 = max(0, int(y) - reach), min(size, int(y) + reach + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
        shifted = np.rint((points - (x0, y0)) * 16).astype(np.int32)
        cv2.fillPoly(cover, [shifted], 255, cv2.LINE_AA, shift=4)
        share = cover[..., None].astype(np.float32) / np.float32(255)
        rows, columns = np.mgrid[y0:y1, x0:x1]
        wave = rng.uniform(2.2, 14.0)
        along = columns * np.cos(wave) + rows * np.sin(wave)
        stripes = 1 + rng.uniform(0, 0.3) ** 2 * 4 * np.sin(2 * np.pi * along / wave)
        leaf = (_color(rng) * stripes[..., None]).astype(np.float32)
        patch = picture[y0:y1, x0:x1]
        patch += share * (leaf - patch)
    if rng.uniform() < 0.5:
        picture *= 1 + rng.uniform(0, 0.08) * rng.standard_normal((size, size, 1)).astype(
            np.float32
        )
    return picture


def _lettering(rng: np.random.Generator, size: int) -> Picture:
    import cv2

    picture = _gradients(rng, size)
    fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
    for _ in range(int(rng.integers(3, 14))):
        ink = np.zeros((size, size), np.uint8)  # OpenCV writes on 8 bits only
        at = (int(rng.integers(-10, size - 10)), int(rng.integers(8, size)))
        word = _WORDS[int(rng.integers(len(_WORDS)))]
        thick = int(rng.integers(1, 4))
        cv2.putText(
            ink, word, at, fonts[int(rng.integers(3))], rng.uniform(0.35, 2.0), 255, thick,
            cv2.LINE_AA,
        )  # fmt: skip
        if rng.uniform() < 0.5:
            turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-180, 180), 1.0)
            ink = cv2.warpAffine(ink, turn, (size, size)).astype(np.uint8)
        share = ink[..., None].astype(np.float32) / np.float32(255)
        picture += share * (_color(rng).astype(np.float32) - picture)
    return picture


def _lines(rng: np.random.Generator, size: int) -> Picture:
    """Draw gratings, checks and rings with soft ends of contrast."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    picture = _gradients(rng, size)
    for _ in range(int(rng.integers(1, 5))):
        angle, period = rng.uniform(0, np.pi), rng.uniform(2.1, 24.0)
        phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period
        kind = rng.integers(0, 3)
        wave = np.sin(phase + rng.uniform(0, 6))
        if kind == 1:
            wave = np.tanh(wave * rng.uniform(2, 12))
        elif kind == 2:
            cx, cy = rng.uniform(0, size, 2)
            wave = np.sin(2 * np.pi * np.hypot(x - cx, y - cy) / period)
        cx, cy, reach = rng.uniform(0, size), rng.uniform(0, size), size * rng.uniform(0.15, 0.6)
        mask = np.clip((reach - np.maximum(abs(x - cx), abs(y - cy))) / 1.5, 0, 1)
        depth = rng.uniform(0.02, 0.5) * rng.uniform(0.3, 1.0, 3)
        picture += (mask * wave)[..., None] * depth.astype(np.float32)
    return picture


def _gradients(rng: np.random.Generator, size: int) -> Picture:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    a, b, c = _color(rng), _color(rng), _color(rng)
    bend = rng.uniform(0.5, 2.0)
    t, u = x[..., None] ** bend, y[..., None]
    return np.asarray(a + (b - a) * t + (c - a) * u * rng.uniform(0, 1), np.float32)
