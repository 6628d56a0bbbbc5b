"""Where pictures lie when steps change their size, and planes of another size made on demand.

A step that scales works on a frame whose corners are multiples of the scale's denominator from
the corner of the display window: where the frame's own are not, it is grown outwards by up to
that many px, reflected. Pixels of every size so cover the same part of the scene, whatever the
overscan. Nothing here is stored: a resized plane computes the rows it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import Pixels
from wetgate.render.store import Plane
from wetgate.render.windows import gather, reflect

Kernel = Literal["linear", "nearest"]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Data and display window of a frame at one point of the chain."""

    data: Box
    display: Box

    def aligned(self, scale: Fraction) -> Canvas:
        """Return the canvas grown outwards to what a scale divides evenly."""
        unit, x, y = scale.denominator, self.display.x0, self.display.y0

        def grown(box: Box) -> Box:
            return Box(
                x + (box.x0 - x) // unit * unit,
                y + (box.y0 - y) // unit * unit,
                x - (x - box.x1) // unit * unit,
                y - (y - box.y1) // unit * unit,
            )

        return Canvas(grown(self.data), grown(self.display))

    def scaled(self, scale: Fraction) -> Canvas:
        """Return an aligned canvas scaled about the corner of its display window."""
        x, y = self.display.x0, self.display.y0

        def scale_box(box: Box) -> Box:
            part = scaled_box(box.shifted(-x, -y), scale)
            return part.shifted(x, y)

        return Canvas(scale_box(self.data), scale_box(self.display))

    @property
    def inside(self) -> Box:
        """The data window moved to (0, 0), as planes lie."""
        return Box.of_size(*self.data.size)


def scaled_box(box: Box, scale: Fraction) -> Box:
    """Scale a box whose corners are multiples of the scale's denominator."""
    corners = [int(edge * scale) for edge in (box.x0, box.y0, box.x1, box.y1)]
    return Box(*corners)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that frames have along a chain.

    Attributes:
        scales: output size / input size of each step.
    """

    scales: tuple[Fraction, ...]

    @property
    def changes(self) -> bool:
        """Whether any step changes the size."""
        return any(scale != 1 for scale in self.scales)

    @property
    def total(self) -> Fraction:
        """Output size / source size."""
        product = Fraction(1)
        for scale in self.scales:
            product *= scale
        return product

    def before(self, canvas: Canvas, index: int) -> Canvas:
        """Return the canvas that a step works on, for a source canvas."""
        if not self.changes:
            return canvas
        for scale in self.scales[:index]:
            canvas = canvas.aligned(scale).scaled(scale)
        return canvas.aligned(self.scales[index])

    def after(self, canvas: Canvas, index: int) -> Canvas:
        """Return the canvas of a step's output, for a source canvas."""
        return self.before(canvas, index).scaled(self.scales[index])

    def output(self, canvas: Canvas) -> Canvas:
        """Return the canvas of what is written."""
        return self.after(canvas, len(self.scales) - 1) if self.scales else canvas

    def plane_before(self, plane: Plane, canvas: Canvas, index: int, kernel: Kernel) -> Plane:
        """Return a plane of the source at the size that a step works on."""
        for i, scale in enumerate(self.scales[: index + 1]):
            if scale == 1:
                continue
            here = canvas.aligned(scale)
            plane = padded(plane, canvas, here)
            canvas = here.scaled(scale)
            if i < index:
                plane = ResizedPlane(plane, scale, kernel)
        return plane

    def plane_after(self, plane: Plane, canvas: Canvas, index: int, kernel: Kernel) -> Plane:
        """Return a plane of the source at the size of a step's output."""
        plane = self.plane_before(plane, canvas, index, kernel)
        scale = self.scales[index]
        return plane if scale == 1 else ResizedPlane(plane, scale, kernel)

    def plane_output(self, plane: Plane, canvas: Canvas, kernel: Kernel) -> Plane:
        """Return a plane of the source at the size of what is written."""
        if not self.changes:
            return plane
        return self.plane_after(plane, canvas, len(self.scales) - 1, kernel)


def sizes_of(scales: Sequence[Fraction]) -> Sizes:
    """Return the sizes along steps of these scales."""
    return Sizes(tuple(scales))


def padded(plane: Plane, canvas: Canvas, grown: Canvas) -> Plane:
    """Return a plane grown by reflection from one canvas to a larger one."""
    if canvas.data == grown.data:
        return plane
    return PaddedPlane(plane, grown.data.shifted(-canvas.data.x0, -canvas.data.y0))


def padded_index(canvas: Canvas, grown: Canvas) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of a canvas that a larger one is made of by reflection."""
    box = grown.data.shifted(-canvas.data.x0, -canvas.data.y0)
    return (
        reflect(box.y0, box.y1, canvas.data.height),
        reflect(box.x0, box.x1, canvas.data.width),
    )


def pad_marks(marks: NDArray[np.uint8], canvas: Canvas, grown: Canvas) -> NDArray[np.uint8]:
    """Return `(h, w)` values grown as `padded` grows planes."""
    rows, columns = padded_index(canvas, grown)
    return np.ascontiguousarray(marks[rows][:, columns])


class PaddedPlane:
    """A region of a plane that may reach beyond it, reflected; nothing is copied."""

    def __init__(self, base: Plane, region: Box) -> None:
        self._base = base
        self._region = region

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channel)`."""
        return self._region.height, self._region.width, self._base.shape[2]

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows as C-contiguous float32."""
        return self.cut(Box(0, start, self._region.width, stop))

    def cut(self, box: Box) -> Pixels:
        """Return a part as C-contiguous float32."""
        return gather(self._base, box.shifted(self._region.x0, self._region.y0))

    def release(self) -> None:
        """Give the plane underneath back."""
        self._base.release()


class ChannelsPlane:
    """Some channels of a plane."""

    def __init__(self, base: Plane, index: Sequence[int]) -> None:
        self._base = base
        self._index = list(index)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channel)`."""
        height, width, _ = self._base.shape
        return height, width, len(self._index)

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows as C-contiguous float32."""
        return np.ascontiguousarray(self._base.rows(start, stop)[..., self._index])

    def release(self) -> None:
        """Give the plane underneath back."""
        self._base.release()


class ResizedPlane:
    """A plane times a scale, by a kernel without overshoot; values are not clamped.

    `linear` is a triangle as wide as the larger of the two pixels, so that reducing does not
    alias. What is not finite has no weight in it and comes back where it is the nearest sample.
    `nearest` gives every pixel the bits of the sample that its center lies in.
    """

    def __init__(self, base: Plane, scale: Fraction, kernel: Kernel) -> None:
        self._base = base
        self._scale = scale
        self._kernel = kernel

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channel)`."""
        height, width, count = self._base.shape
        return int(height * self._scale), int(width * self._scale), count

    def rows(self, start: int, stop: int) -> Pixels:
        """Return rows as C-contiguous float32."""
        return self.cut(Box(0, start, self.shape[1], stop))

    def cut(self, box: Box) -> Pixels:
        """Return a part as C-contiguous float32; no more of the plane underneath is read."""
        height, width, _ = self._base.shape
        down = nearest_index(box.y0, box.y1, self._scale, height)
        across = nearest_index(box.x0, box.x1, self._scale, width)
        if self._kernel == "nearest":
            part = Box(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
            return np.ascontiguousarray(
                gather(self._base, part)[down - part.y0][:, across - part.x0]
            )
        rows, row_weight = linear_taps(box.y0, box.y1, self._scale, height)
        columns, column_weight = linear_taps(box.x0, box.x1, self._scale, width)
        part = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        band = gather(self._base, part)
        vertical, horizontal = (rows - part.y0, row_weight), (columns - part.x0, column_weight)
        finite = np.isfinite(band)
        if finite.all():
            return _weighted(band, vertical, horizontal).astype(np.float32)
        held = _weighted(np.where(finite, band, 0.0), vertical, horizontal)
        share = _weighted(finite.astype(np.float64), vertical, horizontal)
        near = band[down - part.y0][:, across - part.x0]
        mixed = held / np.where(share > 0, share, 1.0)
        return np.where(np.isfinite(near), mixed, near).astype(np.float32)

    def release(self) -> None:
        """Give the plane underneath back."""
        self._base.release()


def nearest_index(start: int, stop: int, scale: Fraction, size: int) -> NDArray[np.intp]:
    """Return the input sample that the center of each output sample lies in."""
    at = np.arange(start, stop, dtype=np.int64)
    found = (2 * at + 1) * scale.denominator // (2 * scale.numerator)
    return np.minimum(found, size - 1).astype(np.intp)


def linear_taps(
    start: int, stop: int, scale: Fraction, size: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return `(n, k)` input samples and weights of output samples; the edge sample goes on."""
    centers = (np.arange(start, stop) + 0.5) * scale.denominator / scale.numerator - 0.5
    radius = max(1.0, float(1 / scale))
    taps = np.arange(int(2 * radius) + 2)
    at = np.ceil(centers - radius)[:, None] + taps
    weight = np.maximum(1.0 - np.abs(at - centers[:, None]) / radius, 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.clip(at, 0, size - 1).astype(np.intp), weight


_Taps = tuple[NDArray[np.intp], NDArray[np.float64]]


def _weighted(
    band: NDArray[np.float32] | NDArray[np.float64], vertical: _Taps, horizontal: _Taps
) -> NDArray[np.float64]:
    (down, weight), (across, other) = vertical, horizontal
    rows = np.zeros((len(down), *band.shape[1:]))
    for k in range(down.shape[1]):
        rows += weight[:, k, None, None] * band[down[:, k]]
    out = np.zeros((len(down), len(across), band.shape[2]))
    for k in range(across.shape[1]):
        out += other[:, k, None] * rows[:, across[:, k]]
    return out
