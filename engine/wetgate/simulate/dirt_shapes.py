"""Shapes of dirt, as coverage of pixels: specks, arcs, fibers, blotches and overlays."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import FrameReadError, UsageError

_OVERSAMPLE = 8
_BLOTCH_CELLS = 5

Cover = NDArray[np.float32]
Placed = tuple[int, int, Cover]
"""Left column, top row and coverage 0-1 of a shape, which may hang over the frame's edge."""


def speck(draw: np.random.Generator, radius: float, spread: float) -> NDArray[np.float64]:
    """Return the corners of a polygon about the origin, px."""
    corners = int(draw.integers(7, 14))
    radius = radius * math.exp(spread * float(draw.standard_normal()))
    angles = np.sort(draw.uniform(0, 2 * math.pi, corners))
    reach = radius * draw.uniform(0.6, 1.4, corners)
    stretch = draw.uniform(0.6, 1.7)
    return np.stack((reach * np.cos(angles) * stretch, reach * np.sin(angles) / stretch), axis=-1)


def arc(draw: np.random.Generator, extent: int) -> NDArray[np.float64]:
    """Return a bent line about the origin, 5 to 16 % of `extent` long, px."""
    length = extent * draw.uniform(0.05, 0.16)
    heading = draw.uniform(0, 2 * math.pi)
    bend = draw.uniform(-2.5, 2.5) + draw.uniform(-3, 3) * np.linspace(-0.5, 0.5, 32)
    direction = heading + np.cumsum(bend / 32)
    steps = length / 32 * np.stack((np.cos(direction), np.sin(direction)), axis=-1)
    points = np.cumsum(steps, axis=0)
    centered: NDArray[np.float64] = points - points.mean(axis=0)
    return centered


def fiber(draw: np.random.Generator, extent: int) -> NDArray[np.float64]:
    """Return a curled spline about the origin, 4 to 25 % of `extent` in all, px.

    A Catmull-Rom spline through the points of a random walk whose heading drifts.
    """
    knots = int(draw.integers(4, 8))
    length = extent * float(draw.uniform(0.04, 0.25))
    heading = draw.uniform(0, 2 * math.pi) + np.cumsum(draw.normal(0, 0.9, knots - 1))
    steps = np.stack((np.cos(heading), np.sin(heading)), axis=-1) * (length / (knots - 1))
    points = np.concatenate((np.zeros((1, 2)), np.cumsum(steps, axis=0)))
    curve = catmull_rom(points, 10)
    centered: NDArray[np.float64] = curve - curve.mean(axis=0)
    return centered


def catmull_rom(points: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Return a smooth curve through all points, `steps` pieces between two of them.

    Source: Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    first, last = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    p = np.concatenate((first, points, last))
    t = (np.arange(steps) / steps)[:, None]
    pieces = []
    for k in range(len(points) - 1):
        a, b, c, d = p[k : k + 4]
        cubic = -a + 3 * b - 3 * c + d
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + cubic * t**3)
        )
    return np.concatenate((*pieces, points[-1:]))


def fill(points: NDArray[np.float64], width: float | None) -> Placed:
    """Return the coverage of a closed outline, or of an open line `width` px wide.

    An exact area count on a grid eight times finer: drawn hard, then averaged.
    """
    import cv2

    margin = 2.0 + (width or 0.0)
    x0, y0 = np.floor(points.min(axis=0) - margin).astype(int)
    x1, y1 = np.ceil(points.max(axis=0) + margin).astype(int)
    fine = np.zeros(((y1 - y0) * _OVERSAMPLE, (x1 - x0) * _OVERSAMPLE), np.uint8)
    corners = np.rint((points - (x0, y0)) * _OVERSAMPLE).astype(np.int32)
    if width is None:
        cv2.fillPoly(fine, [corners], 1)
    else:
        cv2.polylines(fine, [corners], False, 1, max(1, round(width * _OVERSAMPLE)))
    blocks = fine.reshape(y1 - y0, _OVERSAMPLE, x1 - x0, _OVERSAMPLE)
    return int(x0), int(y0), blocks.mean(axis=(1, 3), dtype=np.float32)


def blotch(draw: np.random.Generator, radius: float, center: NDArray[np.float64]) -> Placed:
    """Return a cloud with ragged edges: gradient noise over a dome, cut at a threshold.

    Source of the noise: Perlin, "An image synthesizer", SIGGRAPH 1985; "Improving noise", 2002.
    """
    reach = math.ceil(1.4 * radius) + 1
    origin = np.floor(center).astype(int) - reach
    y, x = np.mgrid[0 : 2 * reach + 1, 0 : 2 * reach + 1].astype(np.float64)
    u, v = (x + origin[0] - center[0]) / radius, (y + origin[1] - center[1]) / radius
    scale = _BLOTCH_CELLS / 2.8
    places = (u + 1.4) * scale, (v + 1.4) * scale
    clouds = perlin(draw, *places, _BLOTCH_CELLS + 2)
    clouds += 0.5 * perlin(draw, 2 * places[0], 2 * places[1], 2 * _BLOTCH_CELLS + 3)
    height = 0.45 + 0.9 * clouds - 0.75 * (u * u + v * v)
    # A soft rim of about a pixel, whatever the size.
    cover = np.clip(0.5 + height * radius * 0.6, 0, 1)
    return int(origin[0]), int(origin[1]), cover.astype(np.float32)


def perlin(
    draw: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64], cells: int
) -> NDArray[np.float64]:
    """Return gradient noise, about -0.7 to 0.7, zero at whole numbers; `0 <= x, y < cells`."""
    angle = draw.uniform(0, 2 * math.pi, (cells + 1, cells + 1))
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    fx, fy = x - column, y - row
    result = np.zeros(x.shape)
    fade_x, fade_y = (f**3 * (f * (f * 6 - 15) + 10) for f in (fx, fy))
    for dy in (0, 1):
        for dx in (0, 1):
            turned = angle[np.clip(row + dy, 0, cells), np.clip(column + dx, 0, cells)]
            slope = np.cos(turned) * (fx - dx) + np.sin(turned) * (fy - dy)
            weight_x = fade_x if dx else 1 - fade_x
            weight_y = fade_y if dy else 1 - fade_y
            result += weight_x * weight_y * slope
    return result


def is_held_out(name: str) -> bool:
    """Say whether an overlay file, by its name, is kept for measuring: one in five.

    Training leaves these out and benches use no others, so that no shape is met again. Published
    sets repeat shapes under several names, which a name cannot tell.
    """
    return zlib.crc32(name.encode()) % 5 == 0


@lru_cache(maxsize=4)
def overlay_classes(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the pictures of each class of a folder of overlays: one directory a class.

    Raises:
        UsageError: when there are none.
    """
    classes = {
        entry.name: tuple(sorted(entry.glob("*.png")))
        for entry in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if entry.is_dir()
    }
    filled = {name: files for name, files in classes.items() if files}
    if not filled:
        raise UsageError(
            f"no overlays in {folder}", expected="a directory of PNG files with alpha a class"
        )
    return MappingProxyType(filled)


def overlay(
    draw: np.random.Generator, folder: Path, center: NDArray[np.float64], extent: float
) -> tuple[str, Path, Placed]:
    """Return the class, the file and the coverage of one overlay: class first, then file.

    Turned by any angle, mirrored, scaled so that the whole picture is `extent` px wide.
    """
    import cv2

    classes = overlay_classes(folder)
    name = sorted(classes)[int(draw.integers(len(classes)))]
    path = classes[name][int(draw.integers(len(classes[name])))]
    angle, mirrored = float(draw.uniform(0, 2 * math.pi)), bool(draw.integers(2))
    alpha = _alpha(path)
    if mirrored:
        alpha = alpha[:, ::-1]
    size = max(alpha.shape)
    scale = extent / size
    if scale < 1:
        # Areas are averaged before the turn, which samples points.
        shape = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
        smaller = cv2.resize(np.ascontiguousarray(alpha), shape, interpolation=cv2.INTER_AREA)
        alpha = np.asarray(smaller, np.float32)
        scale = 1.0
    reach = math.ceil(0.75 * extent) + 2
    origin = np.floor(center).astype(int) - reach
    offset = center - origin
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    middle = (alpha.shape[1] - 1) / 2, (alpha.shape[0] - 1) / 2
    turn = np.array(
        [
            [cos, -sin, offset[0] - cos * middle[0] + sin * middle[1]],
            [sin, cos, offset[1] - sin * middle[0] - cos * middle[1]],
        ]
    )
    side = 2 * reach + 1
    cover = cv2.warpAffine(np.ascontiguousarray(alpha), turn, (side, side), flags=cv2.INTER_LINEAR)
    return name, path, (int(origin[0]), int(origin[1]), np.asarray(cover, np.float32))


@lru_cache(maxsize=256)
def _alpha(path: Path) -> Cover:
    import cv2

    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FrameReadError(f"cannot be read: {error.strerror}", path=path) from error
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise FrameReadError("is no picture with alpha", path=path, expected="RGBA")
    top = 255 if picture.dtype == np.uint8 else 65535
    alpha: Cover = np.asarray(picture[..., 3], np.float32) / np.float32(top)
    alpha.flags.writeable = False
    return alpha
