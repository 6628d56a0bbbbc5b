"""How the picture as a whole moved from one frame to another: an affine map, to hundredths of a px.

A camera that is locked off, weaves, pans or turns moves the picture by such a map; where a scene
does not keep to it, what is predicted by it does not agree, and is not used. Gauss-Newton on
reduced frames, coarse to fine; what does not go along (an actor, the scratch itself) has little
weight.

Source: Lucas, Kanade, "An iterative image registration technique", IJCAI 1981; weights after
Geman, McClure, "Statistical methods for tomographic image reconstruction", Bull. ISI 52 (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SIDE = 480
"""Longest side of the finest level, px."""
_LEAST = 24
_ROUNDS = (6, 5, 4, 3)
_SOFT = 0.7

_Float = NDArray[np.float64]

SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SAME.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Levels:
    """A frame in several sizes, the coarsest first; `scale` px of the frame a sample, `(x, y)`."""

    pictures: tuple[NDArray[np.float32], ...]
    scales: tuple[tuple[float, float], ...]


def levels_of(luma: NDArray[np.float32]) -> Levels:
    """Reduce luma `(height, width)` to the sizes that motion is estimated on."""
    import cv2

    cv2.setNumThreads(1)
    height, width = luma.shape
    pictures: list[NDArray[np.float32]] = []
    scales: list[tuple[float, float]] = []
    share = min(1.0, _SIDE / max(height, width))
    while not pictures or min(height, width) * share >= _LEAST:
        size = max(1, round(width * share)), max(1, round(height * share))
        reduced = luma if size == (width, height) else cv2.resize(luma, size, None, 0, 0, 3)
        soft = cv2.GaussianBlur(reduced, (0, 0), _SOFT, borderType=cv2.BORDER_REFLECT_101)
        pictures.append(np.asarray(soft, np.float32))
        scales.append((width / size[0], height / size[1]))
        share *= 0.5
    return Levels(tuple(pictures[::-1]), tuple(scales[::-1]))


def composed(first: _Float, second: _Float) -> _Float:
    """Return the map that goes along the first `(2, 3)` and then along the second."""
    return np.hstack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]])


def moved_to(motion: _Float, x: _Float, y: _Float) -> tuple[_Float, _Float]:
    """Return where places `(x, y)` go."""
    return (
        motion[0, 0] * x + motion[0, 1] * y + motion[0, 2],
        motion[1, 0] * x + motion[1, 1] * y + motion[1, 2],
    )


def global_motion(here: Levels, there: Levels, start: _Float | None = None) -> _Float:
    """Return the affine map `(2, 3)` from places of one frame to those of another.

    Args:
        start: what is known of it: then the finest level alone is looked at.
    """
    motion = SAME.copy() if start is None else start.copy()
    last = len(here.pictures) - 1
    for level in range(last + 1) if start is None else (last,):
        rounds = _ROUNDS[min(level, len(_ROUNDS) - 1)] if start is None else 2
        motion = _refined(
            here.pictures[level], there.pictures[level], here.scales[level], motion, rounds
        )
    return motion


def _refined(
    here: NDArray[np.float32],
    there: NDArray[np.float32],
    scale: tuple[float, float],
    motion: _Float,
    rounds: int,
) -> _Float:
    import cv2

    height, width = here.shape
    down, across = np.gradient(here)
    y, x = np.mgrid[0:height, 0:width]
    u, v = (x - 0.5 * (width - 1)) / width, (y - 0.5 * (height - 1)) / width
    one = np.ones_like(u)
    design = np.stack([across, down, across * u, across * v, down * u, down * v, one])
    design = design.reshape(7, -1)
    sx, sy = scale
    # Pixel middles: a sample at x lies at (x + 0.5) s - 0.5 of the frame.
    into = np.array([[sx, 0.0, 0.5 * sx - 0.5], [0.0, sy, 0.5 * sy - 0.5]])
    back = np.array([[1 / sx, 0.0, 0.5 / sx - 0.5], [0.0, 1 / sy, 0.5 / sy - 0.5]])
    local = composed(composed(into, motion), back)
    for _ in range(rounds):
        warped = cv2.warpAffine(
            there,
            local,
            (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        to_x, to_y = moved_to(local, x.astype(np.float64), y.astype(np.float64))
        seen = (to_x > 0) & (to_x < width - 1) & (to_y > 0) & (to_y < height - 1)
        seen[0] = seen[-1] = seen[:, 0] = seen[:, -1] = False
        if seen.mean() < 0.25:
            break
        apart = (warped.astype(np.float64) - here).ravel()
        known = apart[seen.ravel()]
        middle = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - middle)))
        if spread <= 0:
            spread = float(known.std()) or 1.0
        weight = seen.ravel() / (1.0 + ((apart - middle) / (2.5 * spread)) ** 2) ** 2
        weighed = design * weight
        normal = weighed @ design.T
        # A trace of a pull to where it is, for pictures that show nothing.
        normal[np.diag_indices(6)] += 1e-3 * float(weight.sum()) * spread**2
        step = np.linalg.solve(normal, weighed @ apart)
        # The estimate says by how far the picture there lies off: go the other way.
        change = np.array(
            [
                [1 - step[2] / width, -step[3] / width, 0.0],
                [-step[4] / width, 1 - step[5] / width, 0.0],
            ]
        )
        center = np.array([0.5 * (width - 1), 0.5 * (height - 1)])
        change[:, 2] = center - change[:, :2] @ center - step[:2]
        local = composed(change, local)
        if np.abs(step[:2]).max() < 0.003 and np.abs(step[2:6]).max() < 0.006:
            break
    return composed(composed(back, local), into)
