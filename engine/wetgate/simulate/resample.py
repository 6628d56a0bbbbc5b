"""Sample a picture on a shifted and scaled grid, exactly where asked.

OpenCV's warps round coordinates to 1/32 px; a flow truth cannot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SUPPORT = 2.0


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the cubic convolution kernel with a = -1/2.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    t = np.abs(x)
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))


def axis_taps(
    length: int, count: int, start: float, step: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return source indices and weights that sample one axis at `start + step * i`.

    The kernel widens with `step` above 1, so that making a picture smaller does not alias.
    Weights are corrected to have sum 1 and first moment 0: a linear ramp is sampled exactly.

    Args:
        length: samples of the source axis; beyond its ends it is reflected.
        count: samples wanted.
        start: source coordinate of the first sample (pixel centers at integers).

    Returns:
        indices and weights, both `(count, taps)`.
    """
    width = max(step, 1.0)
    position = start + step * np.arange(count, dtype=np.float64)
    taps = int(np.ceil(2 * _SUPPORT * width)) + 1
    first = np.ceil(position - _SUPPORT * width)
    index = first[:, None] + np.arange(taps)
    distance = index - position[:, None]
    weight = _keys(distance / width)
    weight /= weight.sum(axis=1, keepdims=True)
    moment = (weight * distance).sum(axis=1, keepdims=True)
    # Add (a + b d) times a positive window, with a and b such that the sum stays 1 and the first
    # moment becomes 0.
    window = np.maximum(0.0, 1.0 - np.abs(distance) / (_SUPPORT * width))
    s0, s1, s2 = ((window * distance**k).sum(axis=1, keepdims=True) for k in range(3))
    b = -moment * s0 / (s0 * s2 - s1**2)
    weight = weight + (b * distance - b * s1 / s0) * window
    folded = index.astype(np.intp)
    period = max(2 * (length - 1), 1)
    folded = np.abs(folded) % period
    folded = np.where(folded >= length, period - folded, folded)
    return folded, weight.astype(np.float32)


def sample_grid(
    picture: NDArray[np.float32],
    size: tuple[int, int],
    origin: tuple[float, float],
    step: float,
) -> NDArray[np.float32]:
    """Sample `picture` at `origin + step * (x, y)` for every pixel of the result.

    Args:
        picture: `(height, width, channel)`.
        size: `(width, height)` of the result, px.
        origin: source `(x, y)` of the result's first pixel center, px of the picture.
        step: source px per result px.

    Returns:
        `(height, width, channel)`; the same bits on every call, no threads.
    """
    rows, row_weights = axis_taps(picture.shape[0], size[1], origin[1], step)
    columns, column_weights = axis_taps(picture.shape[1], size[0], origin[0], step)
    tall = np.zeros((size[1], *picture.shape[1:]), np.float32)
    for tap in range(rows.shape[1]):
        tall += row_weights[:, tap, None, None] * picture[rows[:, tap]]
    result = np.zeros((size[1], size[0], picture.shape[2]), np.float32)
    for tap in range(columns.shape[1]):
        result += column_weights[None, :, tap, None] * tall[:, columns[:, tap]]
    return result


def sample_at(
    picture: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample `picture` at any coordinates, by cubic convolution with 4 x 4 taps.

    For turned and bent pictures of about the same scale: nothing is averaged when the coordinates
    lie further apart than a pixel. A ramp is sampled exactly.

    Args:
        picture: `(height, width, channel)`; beyond its edges it is reflected.
        x, y: `(rows, columns)` px of the picture.

    Returns:
        `(rows, columns, channel)`.
    """
    columns, column_weights = _taps_at(x, picture.shape[1])
    rows, row_weights = _taps_at(y, picture.shape[0])
    flat = np.ascontiguousarray(picture).reshape(-1, picture.shape[2])
    result = np.zeros((*x.shape, picture.shape[2]), np.float32)
    for row, row_weight in zip(rows, row_weights, strict=True):
        line = row * picture.shape[1]
        across = np.zeros_like(result)
        for column, column_weight in zip(columns, column_weights, strict=True):
            across += column_weight[..., None] * flat.take(line + column, axis=0)
        result += row_weight[..., None] * across
    return result


def _taps_at(
    position: NDArray[np.float64], length: int
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float32]]]:
    first = np.floor(position) - 1
    period = max(2 * (length - 1), 1)
    indices, weights = [], []
    for k in range(int(2 * _SUPPORT)):
        folded = np.abs((first + k).astype(np.intp)) % period
        indices.append(np.where(folded >= length, period - folded, folded))
        weights.append(_keys(first + k - position).astype(np.float32))
    return indices, weights
