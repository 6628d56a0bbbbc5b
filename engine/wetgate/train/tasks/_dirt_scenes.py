"""Clean scenes for the network and the fits of `dirt`: a picture under a moving camera.

A crop of a photograph, a generated picture or a chart of fine lines; the camera stands still, pans
by less than a px or by many, or is shaken; now and then there are shapes before it that move by
themselves, or by more or less than what is behind them. Everything random comes from the generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate import expand_highlights
from wetgate.train.generated import fine_lines
from wetgate.train.pictures import Pictures

_FINE, _DENSE = 0.15, 0.25
"""Shares of pictures that are charts, and that show twice as much of the scene in a pixel."""
_SPEEDS = (0.0, 0.45, 1.2, 3.0, 12.0), (0.25, 0.2, 0.2, 0.22, 0.13)
"""Pans in px a frame, and their shares."""
_MANY = 4, 10

Picture = NDArray[np.float32]


class Scene:
    """A clean shot: frame number -> scene-linear picture.

    Args:
        size: `(width, height)`, px. frames: of the shot. room: px beyond the frame to move in.
        held: of pictures that never train.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        pictures: Pictures,
        *,
        size: tuple[int, int],
        frames: int,
        room: int,
        held: bool,
    ) -> None:
        self._size, self._middle = size, frames // 2
        side = max(size) + room
        self._back = _linear(_picture(rng, pictures, side, held), rng)
        speed = float(rng.choice(_SPEEDS[0], p=_SPEEDS[1])) * float(rng.uniform(0.6, 1.4))
        angle = float(rng.uniform(0, 2 * np.pi))
        self._pan = speed * np.array([np.cos(angle), 0.4 * np.sin(angle)])
        self._zoom = float(rng.uniform(-0.006, 0.006)) if speed and rng.uniform() < 0.4 else 0.0
        shake = 0.0 if speed == 0 and rng.uniform() < 0.7 else float(rng.uniform(0.05, 1.2))
        self._shake = shake * rng.standard_normal((frames, 2))
        self._fronts = []
        for _ in range(int(rng.integers(1, 4)) if rng.uniform() < 0.5 else 0):
            front = _linear(_picture(rng, pictures, side, held), rng) * np.float32(
                2.0 ** rng.uniform(-2.0, 0.5)
            )
            move = float(np.exp(rng.uniform(0.0, 3.0))) * rng.standard_normal(2) * (1.0, 0.4)
            turn = float(rng.normal(0, 0.02))
            if rng.uniform() < 0.5:  # nearer or farther than what is behind it, and rigid
                move, turn = self._pan * float(rng.uniform(-0.7, 3.0)), 0.0
            self._fronts.append((front, _outline(rng, side), move, turn))

    def __call__(self, number: int) -> Picture:
        """Return a frame, `(height, width, 3)`."""
        time = number - self._middle
        travel = self._pan * time + self._shake[number]
        picture = self._view(self._back, travel, 1.0 + self._zoom * time, 0.0)
        for front, cover, move, turn in self._fronts:
            where = travel + move * time
            alpha = self._view(cover, where, 1.0, turn * time)[..., None]
            picture = picture + alpha * (self._view(front, where, 1.0, turn * time) - picture)
        return np.asarray(np.maximum(picture, 0.0), np.float32)

    def _view(
        self, picture: Picture, travel: NDArray[np.float64], zoom: float, turn: float
    ) -> Picture:
        import cv2

        width, height = self._size
        middle = 0.5 * (picture.shape[0] - 1)
        cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
        matrix = np.array(
            [
                [cos, -sin, middle + travel[0] - cos * width / 2 + sin * height / 2],
                [sin, cos, middle + travel[1] - sin * width / 2 - cos * height / 2],
            ]
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        mirrored = cv2.BORDER_REFLECT_101
        seen = cv2.warpAffine(picture, matrix, self._size, flags=flags, borderMode=mirrored)
        return np.asarray(seen, np.float32)


def _picture(rng: np.random.Generator, pictures: Pictures, side: int, held: bool) -> Picture:
    import cv2

    kind = float(rng.uniform())
    if kind < _FINE:
        return fine_lines(rng, side)
    wide = 2 * side if kind < _FINE + _DENSE else side
    crops = pictures.held_out(rng, 1, wide) if held else pictures.crops(rng, 1, wide)
    if wide == side:
        return np.asarray(crops[0], np.float32)
    return np.asarray(cv2.resize(crops[0], (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _linear(crop: Picture, rng: np.random.Generator) -> Picture:
    light = crop ** np.float32(2.2) * np.float32(rng.uniform(0.5, 1.1))
    made: Picture = expand_highlights(np.asarray(light, np.float32), 6.0)
    return made


def _outline(rng: np.random.Generator, side: int) -> Picture:
    """Return what a layer before the picture covers: one shape, a pole, or many small ones."""
    cover = np.zeros((side, side), np.uint8)
    kind = float(rng.uniform())
    if kind < 0.15:
        middle, half = rng.uniform(0.3, 0.7) * side, rng.uniform(2.0, 12.0)
        lean = rng.uniform(-0.2, 0.2) * side
        top, foot = middle - lean, middle + lean
        corners = [(top - half, 0.0), (top + half, 0.0)]
        corners += [(foot + half, float(side)), (foot - half, float(side))]
        _filled(cover, np.array(corners))
        return np.asarray(cover.astype(np.float32) / np.float32(255), np.float32)
    many = kind < 0.45
    for _ in range(int(rng.integers(*_MANY)) if many else 1):
        count = int(rng.integers(5, 12))
        angle = np.sort(rng.uniform(0, 2 * np.pi, count))
        largest = 0.07 if many else 0.22
        reach = side * rng.uniform(0.02, largest) * rng.uniform(0.5, 1.3, count)
        center = side * rng.uniform(0.15 if many else 0.25, 0.85 if many else 0.75, 2)
        _filled(
            cover,
            np.stack([center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle)], -1),
        )
    return np.asarray(cover.astype(np.float32) / np.float32(255), np.float32)


def _filled(cover: NDArray[np.uint8], corners: NDArray[np.float64]) -> None:
    import cv2

    cv2.fillPoly(cover, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
