"""Scenes for coded clips: what moves before what, and charts that creep by fractions of a pixel.

A camera over one photograph is the easiest clip a codec can get. What it does badly lies where
something uncovers something else, beside lettering, and in regular patterns that move a little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.camera import CameraSpec, Layer, photograph, view_of
from wetgate.train.generated import words_and_lines
from wetgate.train.tasks._coded_clips import Frames, film, picture_size

Picture = NDArray[np.float32]
Draw = Callable[[int], Picture]
"""Returns a picture `(side, side, 3)` of a side."""

_PANNED, _OVERLAPPING = 0.45, 0.3
"""Shares of pictures under a moving camera and of scenes in depth; the rest are charts."""
_SLOW = 0.25
_GRAINY, _GRAIN = 0.12, (0.8, 3.0)
"""Share of clips with grain, and its deviation in 8-bit codes."""


def scene(rng: np.random.Generator, draw: Draw, size: int, count: int) -> Frames:
    """Film a scene of `count` frames of `size` px: a picture, a few in depth, or a chart."""
    side = picture_size(size)
    kind = rng.uniform()
    if kind < _PANNED:
        frames = film(rng, draw(side), size, count)
    elif kind < _PANNED + _OVERLAPPING:
        frames = _in_depth(rng, draw, size, count)
    else:
        frames = _shot(rng, [Layer(chart(rng, side))], size, count, slow=True)
    if rng.uniform() < _GRAINY:
        deviation = np.float32(rng.uniform(*_GRAIN) / 255)
        frames = frames + deviation * rng.standard_normal((*frames.shape[:3], 1), np.float32)
    limited: Frames = np.clip(frames, 0.0, 1.0)
    return limited


def chart(rng: np.random.Generator, side: int) -> Picture:
    """Draw words and lines, or patterns that get finer towards one side, with words on them."""
    lettering = words_and_lines(rng, side)[:, :side]
    if rng.uniform() < 0.5:
        return lettering
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side)
    if rng.uniform() < 0.5:
        # Local frequency, in cycles per px, grows from 0 at a point to `finest`.
        cx, cy = rng.uniform(-0.2, 1.2, 2)
        square = (x - cx) ** 2 + (y - cy) ** 2
        finest = rng.uniform(0.08, 0.42)
        phase = np.pi * finest * side * square / np.sqrt(square.max())
        wave = np.cos(phase)
    else:
        across, down = (side / rng.uniform(2.6, 12.0) for _ in range(2))
        wave = np.sin(2 * np.pi * across * x) * np.sin(2 * np.pi * down * y)
    middle, depth = rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.4)
    tint = rng.uniform(0.75, 1.15, 3).astype(np.float32)
    pattern = (np.float32(middle) + np.float32(depth) * wave.astype(np.float32))[..., None] * tint
    whole = rng.uniform() < 0.5
    split = side if whole else round(side * rng.uniform(0.3, 0.7))
    made = lettering.copy()
    made[:, :split] = pattern[:, :split]
    if whole:
        ink = _ink(rng, side)[..., None]
        made += ink * (np.float32(rng.choice((0.06, 0.94))) - made)
    return np.clip(made, 0.0, 1.0)


def _in_depth(rng: np.random.Generator, draw: Draw, size: int, count: int) -> Frames:
    """Film one to three cut-out pictures, or words, before another one."""
    side = picture_size(size)
    standing = rng.uniform() < 0.4
    layers = [Layer(draw(side), parallax=0.0 if standing else 1.0)]
    for _ in range(int(rng.integers(1, 4))):
        if rng.uniform() < 0.3:
            level = np.float32(rng.choice((0.04, 0.96)))
            words = np.full((side, side, 3), level, np.float32)
            parallax = float(rng.choice((0.0, 0.0, 1.0, 2.0)))
            layers.append(Layer(words, _ink(rng, side), parallax=parallax))
        else:
            parallax = float(rng.uniform(-2.0, 4.0))
            layers.append(Layer(draw(side), _cover(rng, side), parallax=parallax))
    return _shot(rng, layers, size, count, slow=rng.uniform() < 0.3)


def _shot(
    rng: np.random.Generator, layers: list[Layer], size: int, count: int, *, slow: bool
) -> Frames:
    gain = _SLOW if slow else 1.0
    pan = float(gain * rng.normal(0, 1.6)), float(gain * rng.normal(0, 1.0))
    # The rear picture is `size` px and a margin wide: no path may leave it.
    room = 0.5 * (picture_size(size) - size) - 8.0
    limit = room / max(count - 1, 1)
    pan = float(np.clip(pan[0], -limit, limit)), float(np.clip(pan[1], -limit, limit))
    camera = CameraSpec(pan=pan, shake=float(gain * rng.uniform(0, 1.0)), first=0)
    seed = int(rng.integers(1 << 31))
    frames = []
    for n in range(count):
        views = [view_of(camera, seed, n, size=(size, size), layer=layer) for layer in layers]
        frames.append(photograph(layers, views, (size, size)))
    return np.stack(frames).astype(np.float32)


def _cover(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw what a cut-out picture covers: disks, or a bar, with edges soft by 1 to 4 px."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    soft = float(rng.uniform(1.0, 4.0))
    if rng.uniform() < 0.3:
        angle = rng.uniform(0, np.pi)
        middle = 0.5 * side + rng.uniform(-0.2, 0.2) * side
        along = (x - middle) * np.cos(angle) + (y - middle) * np.sin(angle)
        bar = np.clip((rng.uniform(4.0, 24.0) - np.abs(along)) / soft, 0, 1)
        return np.asarray(bar, np.float32)
    cover = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        cx, cy = rng.uniform(0.2 * side, 0.8 * side, 2)
        away = np.hypot(x - cx, (y - cy) * rng.uniform(0.6, 1.6))
        disk = np.clip((rng.uniform(8.0, 52.0) - away) / soft, 0, 1)
        cover = np.maximum(cover, disk.astype(np.float32))
    return cover


def _ink(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Write a few lines of letters and digits, as captions are."""
    import cv2

    ink = np.zeros((side, side), np.uint8)  # OpenCV writes on 8 bits only
    letters = np.array(list("ABCDEFGHIKLMNOPRSTUVWabcdefghiklmnoprstuvw0123456789  .:/"))
    scale, thick = float(rng.uniform(0.4, 1.2)), int(rng.integers(1, 3))
    top = int(rng.integers(20, side - 20))
    for line in range(int(rng.integers(1, 5))):
        words = "".join(rng.choice(letters, int(rng.integers(6, 18))))
        at = int(rng.integers(0, side // 3)), top + round(line * 36 * scale)
        cv2.putText(ink, words, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    return ink.astype(np.float32) / np.float32(255)
