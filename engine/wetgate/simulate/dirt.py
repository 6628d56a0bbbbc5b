"""Dirt: specks, hairs, blotches that lie on one frame only, with their coverage and a list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.dirt_shapes import Placed, arc, blotch, fiber, fill, overlay, speck
from wetgate.simulate.random import Domain, stream

Kind = Literal["speck", "hair", "fiber", "blotch", "overlay"]
_MORE_LANE = 1
_SEEN = 1 / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtSpec:
    """How much dirt, of which kind.

    Attributes:
        specks: mean number of specks a frame (Poisson).
        hairs: mean number of hairs a frame (Poisson): arcs.
        radius: median radius of a speck, px; log-normal with a spread of `radius_spread`.
        opacity: range of the coverage of one piece, 0-1.
        bright_share: share of pieces that are bright (dirt on the negative); the rest, on the
            print, are dark.
        dark, bright: value that full coverage gives, in encoded units.
        fibers: mean number of curled fibers a frame.
        blotches: mean number of ragged clouds a frame.
        blotch_radius: median radius of a blotch, px; spread as of specks.
        clusters: mean number of clusters of specks a frame; each has `cluster_size` in the mean,
            spread about its center with a standard deviation of `cluster_spread` px. (A
            Neyman-Scott process: the parents Poisson, the children Poisson and normal.)
        overlays: folder with a directory of RGBA pictures a class, of which `overlay_count` in
            the mean are laid on a frame, the class drawn first, then the file.
        overlay_extent: width of an overlay, share of the frame's height.
    """

    specks: float = 9.0
    hairs: float = 0.35
    radius: float = 2.6
    radius_spread: float = 0.55
    opacity: tuple[float, float] = (0.55, 1.0)
    bright_share: float = 0.4
    dark: float = 0.09
    bright: float = 0.80
    fibers: float = 0.0
    blotches: float = 0.0
    blotch_radius: float = 14.0
    clusters: float = 0.0
    cluster_size: float = 7.0
    cluster_spread: float = 22.0
    overlays: Path | None = None
    overlay_count: float = 0.0
    overlay_extent: float = 0.5


@dataclass(frozen=True, slots=True)
class Blob:
    """One piece of dirt.

    Attributes:
        identity: its number on the frame, from 1, in the order of laying.
        kind: its shape; `source` is "class/file" of an overlay, else empty.
        box: `(x0, y0, x1, y1)` px that it touches on the frame, half-open.
        area: px that it covers, counted as shares, before `opacity`.
        opacity: of the piece; `value` is what it would paint where opaque, encoded.
    """

    identity: int
    kind: Kind
    box: tuple[int, int, int, int]
    area: float
    opacity: float
    value: float
    is_bright: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class DirtTruth:
    """The dirt of one frame: `dirty = keep * picture + paint`, for every channel.

    Attributes:
        keep: float32 `(height, width)`: 1 - alpha of all that lies there.
        paint: float32 `(height, width)`, encoded units.
        blobs: what touches the frame.
    """

    keep: NDArray[np.float32]
    paint: NDArray[np.float32]
    blobs: tuple[Blob, ...]

    @property
    def alpha(self) -> NDArray[np.float32]:
        """Return how much dirt covers, `(height, width)`, 0-1."""
        result: NDArray[np.float32] = np.float32(1) - self.keep
        return result

    def apply(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lay the dirt on a picture; where there is none it keeps the bits it had."""
        hit = self.keep < 1
        result = picture.copy()
        result[hit] = self.keep[hit][:, None] * picture[hit] + self.paint[hit][:, None]
        return result

    def undo(self, dirty: NDArray[np.float32]) -> NDArray[np.float32]:
        """Invert `apply` where dirt is translucent; NaN where it is opaque."""
        hit = self.keep < 1
        result = dirty.copy()
        left = np.where(self.keep > 0, self.keep, np.float32(np.nan))[hit][:, None]
        result[hit] = (dirty[hit] - self.paint[hit][:, None]) / left
        return result


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: Kind
    placed: Placed
    opacity: float
    is_bright: bool
    source: str = ""


def dirt_truth(spec: DirtSpec, seed: int, number: int, size: tuple[int, int]) -> DirtTruth:
    """Return the dirt of one frame of `size` `(width, height)`."""
    width, height = size
    keep = np.ones((height, width), np.float32)
    paint = np.zeros((height, width), np.float32)
    blobs: list[Blob] = []
    for piece in (*_plain(spec, seed, number, size), *_further(spec, seed, number, size)):
        left, top, cover = piece.placed
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(width, left + cover.shape[1]), min(height, top + cover.shape[0])
        if x1 <= x0 or y1 <= y0:
            continue
        inside = cover[y0 - top : y1 - top, x0 - left : x1 - left]
        seen = inside > _SEEN
        if not seen.any():
            continue
        inside = np.where(seen, inside, np.float32(0))
        alpha = inside * np.float32(piece.opacity)
        value = spec.bright if piece.is_bright else spec.dark
        area = (slice(y0, y1), slice(x0, x1))
        paint[area] += alpha * (np.float32(value) - paint[area])
        keep[area] *= 1 - alpha
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        box = (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)
        blobs.append(
            Blob(
                len(blobs) + 1,
                piece.kind,
                (int(box[0]), int(box[1]), int(box[2]), int(box[3])),
                float(inside.sum(dtype=np.float64)),
                piece.opacity,
                value,
                piece.is_bright,
                piece.source,
            )
        )
    return DirtTruth(keep, paint, tuple(blobs))


def _plain(spec: DirtSpec, seed: int, number: int, size: tuple[int, int]) -> list[_Piece]:
    """Draw the specks and the arcs."""
    draw = stream(seed, Domain.DIRT, number)
    counts = draw.poisson(spec.specks), draw.poisson(spec.hairs)
    pieces = []
    for kind, count in enumerate(counts):
        for _ in range(count):
            center = draw.uniform(0, 1, 2) * size
            is_bright = bool(draw.uniform() < spec.bright_share)
            opacity = float(draw.uniform(*spec.opacity))
            if kind == 0:
                points = speck(draw, spec.radius, spec.radius_spread) + center
                pieces.append(_Piece("speck", fill(points, None), opacity, is_bright))
            else:
                points = arc(draw, min(size)) + center
                line = fill(points, float(draw.uniform(1, 1.8)))
                pieces.append(_Piece("hair", line, opacity, is_bright))
    return pieces


def _further(spec: DirtSpec, seed: int, number: int, size: tuple[int, int]) -> list[_Piece]:
    """Draw clusters, fibers, blotches and overlays."""
    draw = stream(seed, Domain.DIRT, number, _MORE_LANE)
    means = spec.clusters, spec.fibers, spec.blotches, spec.overlay_count if spec.overlays else 0.0
    clusters, fibers, blotches, overlays = (int(draw.poisson(m)) for m in means)
    pieces: list[_Piece] = []

    def look() -> tuple[float, bool]:
        return float(draw.uniform(*spec.opacity)), bool(draw.uniform() < spec.bright_share)

    for _ in range(clusters):
        parent = draw.uniform(0, 1, 2) * size
        # A cluster fell on one side of the film: all its specks are dark, or all bright.
        is_bright = look()[1]
        for _ in range(int(draw.poisson(spec.cluster_size))):
            center = parent + spec.cluster_spread * draw.standard_normal(2)
            points = speck(draw, 0.6 * spec.radius, spec.radius_spread) + center
            pieces.append(_Piece("speck", fill(points, None), look()[0], is_bright))
    for _ in range(fibers):
        points = fiber(draw, min(size)) + draw.uniform(0, 1, 2) * size
        line = fill(points, float(draw.uniform(0.8, 2.2)))
        pieces.append(_Piece("fiber", line, *look()))
    for _ in range(blotches):
        radius = spec.blotch_radius * np.exp(spec.radius_spread * float(draw.standard_normal()))
        cloud = blotch(draw, float(radius), draw.uniform(0, 1, 2) * size)
        pieces.append(_Piece("blotch", cloud, *look()))
    for _ in range(overlays):
        assert spec.overlays is not None  # or their mean is 0
        center = draw.uniform(0, 1, 2) * size
        name, path, placed = overlay(draw, spec.overlays, center, spec.overlay_extent * size[1])
        pieces.append(_Piece("overlay", placed, *look(), f"{name}/{path.name}"))
    return pieces
