"""Dirt: specks and hairs that lie on one frame only, with their coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.random import Domain, stream

_OVERSAMPLE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtSpec:
    """How much dirt, of which kind.

    Attributes:
        specks: mean number of specks a frame (Poisson).
        hairs: mean number of hairs a frame (Poisson).
        radius: median radius of a speck, px; log-normal with a spread of `radius_spread`.
        opacity: range of the coverage of one piece, 0-1.
        bright_share: share of pieces that are bright (dirt on the negative); the rest are dark.
        dark, bright: value that full coverage gives, in encoded units.
    """

    specks: float = 9.0
    hairs: float = 0.35
    radius: float = 2.6
    radius_spread: float = 0.55
    opacity: tuple[float, float] = (0.55, 1.0)
    bright_share: float = 0.4
    dark: float = 0.09
    bright: float = 0.80


@dataclass(frozen=True, slots=True)
class _Piece:
    """An outline (or a line of some width) in px, how much it covers, and with what."""

    points: NDArray[np.float64]
    width: float | None
    opacity: float
    value: float


def add_dirt(
    encoded: NDArray[np.float32], spec: DirtSpec, seed: int, number: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lay the dirt of one frame on a picture.

    Returns:
        the dirty picture `(height, width, 3)` and the coverage `(height, width)`, 0-1. Where the
        coverage is 0 the picture has the bits it had.
    """
    picture = encoded.copy()
    coverage = np.zeros(encoded.shape[:2], np.float32)
    for piece in _pieces(spec, seed, number, encoded.shape[1], encoded.shape[0]):
        drawn = _draw(piece, encoded.shape[1], encoded.shape[0])
        if drawn is None:
            continue
        area, cover = drawn
        patch = picture[area]
        patch += cover[..., None] * (np.float32(piece.value) - patch)
        under = coverage[area]
        under += cover * (1 - under)
    return picture, coverage


def _pieces(spec: DirtSpec, seed: int, number: int, width: int, height: int) -> list[_Piece]:
    draw = stream(seed, Domain.DIRT, number)
    counts = draw.poisson(spec.specks), draw.poisson(spec.hairs)
    pieces = []
    for kind, count in enumerate(counts):
        for _ in range(count):
            center = draw.uniform(0, 1, 2) * (width, height)
            bright = draw.uniform() < spec.bright_share
            opacity = float(draw.uniform(*spec.opacity))
            value = spec.bright if bright else spec.dark
            if kind == 0:
                points, line = _speck(draw, spec) + center, None
            else:
                points, line = _hair(draw, min(width, height)) + center, float(draw.uniform(1, 1.8))
            pieces.append(_Piece(points, line, opacity, value))
    return pieces


def _speck(draw: np.random.Generator, spec: DirtSpec) -> NDArray[np.float64]:
    corners = int(draw.integers(7, 14))
    radius = spec.radius * math.exp(spec.radius_spread * float(draw.standard_normal()))
    angles = np.sort(draw.uniform(0, 2 * math.pi, corners))
    reach = radius * draw.uniform(0.6, 1.4, corners)
    stretch = draw.uniform(0.6, 1.7)
    return np.stack((reach * np.cos(angles) * stretch, reach * np.sin(angles) / stretch), axis=-1)


def _hair(draw: np.random.Generator, extent: int) -> NDArray[np.float64]:
    length = extent * draw.uniform(0.05, 0.16)
    heading = draw.uniform(0, 2 * math.pi)
    bend = draw.uniform(-2.5, 2.5) + draw.uniform(-3, 3) * np.linspace(-0.5, 0.5, 32)
    direction = heading + np.cumsum(bend / 32)
    steps = length / 32 * np.stack((np.cos(direction), np.sin(direction)), axis=-1)
    points = np.cumsum(steps, axis=0)
    centered: NDArray[np.float64] = points - points.mean(axis=0)
    return centered


def _draw(
    piece: _Piece, width: int, height: int
) -> tuple[tuple[slice, slice], NDArray[np.float32]] | None:
    """Return the covered rows and columns and the coverage there, or None outside the picture."""
    import cv2

    margin = 2.0 + (piece.width or 0.0)
    low = np.floor(piece.points.min(axis=0) - margin).astype(int)
    high = np.ceil(piece.points.max(axis=0) + margin).astype(int)
    x0, y0 = max(0, low[0]), max(0, low[1])
    x1, y1 = min(width, high[0]), min(height, high[1])
    if x1 <= x0 or y1 <= y0:
        return None
    # An exact area count on a finer grid: drawn hard, then averaged.
    fine = np.zeros(((y1 - y0) * _OVERSAMPLE, (x1 - x0) * _OVERSAMPLE), np.uint8)
    points = np.rint((piece.points - (x0, y0)) * _OVERSAMPLE).astype(np.int32)
    if piece.width is None:
        cv2.fillPoly(fine, [points], 1)
    else:
        thickness = max(1, round(piece.width * _OVERSAMPLE))
        cv2.polylines(fine, [points], False, 1, thickness)
    blocks = fine.reshape(y1 - y0, _OVERSAMPLE, x1 - x0, _OVERSAMPLE)
    cover = blocks.mean(axis=(1, 3), dtype=np.float32) * np.float32(piece.opacity)
    return (slice(y0, y1), slice(x0, x1)), cover
