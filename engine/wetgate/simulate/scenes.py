"""Depth for a photograph: occluders in front of it that move by more than it does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.camera import Layer
from wetgate.simulate.dirt_shapes import catmull_rom, fill
from wetgate.simulate.random import Domain, stream

_NEAREST = 2.4


def parallax_layers(picture: NDArray[np.float32], seed: int, occluders: int) -> tuple[Layer, ...]:
    """Return the picture and so many occluders before it, each nearer than the one before.

    An occluder is a rounded shape or a pole, filled with a part of the same picture, mirrored and
    of another exposure. Its parallax lies between 1.2 and 2.4; edges cover pixels by their area,
    so that the flow (`camera.flow`) is exact on both sides of them.

    Args:
        picture: scene-linear `(height, width, 3)`, the rear layer, with parallax 1.
    """
    height, width = picture.shape[:2]
    layers = [Layer(np.ascontiguousarray(picture, np.float32))]
    for index in range(occluders):
        draw = stream(seed, Domain.SCENE, 0, index)
        turned = np.roll(picture[:, ::-1], int(draw.integers(1, max(2, width))), axis=1)
        gain = np.float32(2.0 ** draw.uniform(-2.5, 0.3))
        share = (index + float(draw.uniform(0.2, 1.0))) / occluders
        parallax = 1.2 + (_NEAREST - 1.2) * share
        outline = _outline(draw, width, height)
        layers.append(
            Layer(
                np.ascontiguousarray(turned * gain, np.float32),
                _coverage(outline, width, height),
                parallax,
            )
        )
    return tuple(layers)


def _outline(draw: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    if draw.uniform() < 0.4:
        # A pole or a branch across the picture.
        x = float(draw.uniform(0.1, 0.9)) * width
        lean = float(draw.uniform(-0.25, 0.25)) * height
        half = float(draw.uniform(0.008, 0.03)) * height
        top, bottom = -0.1 * height, 1.1 * height
        return np.array(
            [(x - half, top), (x + half, top), (x + lean + half, bottom), (x + lean - half, bottom)]
        )
    corners = int(draw.integers(5, 10))
    angle = np.sort(draw.uniform(0, 2 * math.pi, corners))
    reach = float(draw.uniform(0.06, 0.16)) * height * draw.uniform(0.5, 1.3, corners)
    points = np.stack((reach * np.cos(angle), reach * np.sin(angle)), axis=-1)
    closed = catmull_rom(np.concatenate((points, points[:1])), 8)[:-1]
    center = draw.uniform(0.15, 0.85, 2) * (width, height)
    result: NDArray[np.float64] = closed + center
    return result


def _coverage(outline: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    left, top, cover = fill(outline, None)
    alpha = np.zeros((height, width), np.float32)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + cover.shape[1]), min(height, top + cover.shape[0])
    if x1 > x0 and y1 > y0:
        alpha[y0:y1, x0:x1] = cover[y0 - top : y1 - top, x0 - left : x1 - left]
    return alpha
