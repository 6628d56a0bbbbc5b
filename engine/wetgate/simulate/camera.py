"""Move a camera over a still picture: pan, zoom, hand-held shake, parallax, with exact flow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError
from wetgate.simulate.random import Domain, stream
from wetgate.simulate.resample import sample_at, sample_grid
from wetgate.simulate.weave import WeaveFrame

_MARGIN = 3
_SHAKE_HERTZ = (0.35, 0.7, 1.3, 2.1, 3.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """How the camera moves, in px of the shot.

    Attributes:
        scale: picture px per shot px at the first frame.
        center: where the camera looks at the first frame, as a share of the picture.
        pan: `(x, y)` px of the shot a frame, constant.
        zoom: growth of `scale` a frame; below 1 moves in.
        shake: standard deviation of the hand-held drift on each axis, px of the shot.
        frame_rate: frames a second, to which the shake's frequencies refer.
        first: frame number at which the path starts.
    """

    scale: float = 1.0
    center: tuple[float, float] = (0.5, 0.5)
    pan: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    shake: float = 0.0
    frame_rate: float = 24.0
    first: int = 1001


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture at one depth.

    Attributes:
        picture: float32 `(height, width, 3)`.
        alpha: float32 `(height, width)` coverage, or None for an opaque layer.
        parallax: how much of the camera's travel this layer shows; 1 for the reference depth.
    """

    picture: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    parallax: float = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """Where the shot's pixels lie in a layer: `origin + scale * (x, y)`."""

    origin: tuple[float, float]
    scale: float

    def motion_to(self, other: View) -> tuple[float, float, float]:
        """Return `(ratio, dx, dy)`: the point `p` here is at `ratio * p + (dx, dy)` there."""
        ratio = self.scale / other.scale
        return (
            ratio,
            (self.origin[0] - other.origin[0]) / other.scale,
            (self.origin[1] - other.origin[1]) / other.scale,
        )


def travel(spec: CameraSpec, seed: int, number: int) -> tuple[float, float]:
    """Return how far the camera has moved since its first frame, px of the shot.

    The shake is a sum of sinusoids with amplitudes as 1/frequency and phases from the seed:
    smooth, without memory, with variance `shake ** 2` over a long time.
    """
    elapsed = number - spec.first
    phases = stream(seed, Domain.CAMERA).uniform(0, 2 * math.pi, (2, len(_SHAKE_HERTZ)))
    norm = math.sqrt(sum(0.5 / f**2 for f in _SHAKE_HERTZ))
    moved = [spec.pan[0] * elapsed, spec.pan[1] * elapsed]
    for axis in range(2):
        for hertz, phase in zip(_SHAKE_HERTZ, phases[axis], strict=True):
            angle = 2 * math.pi * hertz * elapsed / spec.frame_rate + float(phase)
            moved[axis] += spec.shake / norm * math.sin(angle) / hertz
    return moved[0], moved[1]


def view_of(
    spec: CameraSpec,
    seed: int,
    number: int,
    *,
    size: tuple[int, int],
    layer: Layer,
    offset: tuple[float, float] = (0.0, 0.0),
) -> View:
    """Return where the shot's pixels lie in a layer at one frame.

    Args:
        size: `(width, height)` of the shot, px.
        offset: `(x, y)` by which the film is displaced in the gate: the picture moves by as much.
    """
    height, width = layer.picture.shape[:2]
    moved = travel(spec, seed, number)
    scale = spec.scale * spec.zoom ** (number - spec.first)
    middle = (
        spec.center[0] * (width - 1) + layer.parallax * moved[0] * spec.scale,
        spec.center[1] * (height - 1) + layer.parallax * moved[1] * spec.scale,
    )
    return View(
        (
            middle[0] - scale * ((size[0] - 1) / 2 + offset[0]),
            middle[1] - scale * ((size[1] - 1) / 2 + offset[1]),
        ),
        scale,
    )


def photograph(
    layers: Sequence[Layer],
    views: Sequence[View],
    size: tuple[int, int],
    weave: WeaveFrame | None = None,
) -> NDArray[np.float32]:
    """Compose the layers, the last one in front.

    Args:
        weave: where the film sits in the gate, when it is turned or bent there; the views are
            then without offset.

    Raises:
        UsageError: when the camera leaves the rear layer.
    """
    _check_inside(layers[0], views[0], size)
    result = _sampled(layers[0].picture, views[0], size, weave)
    for layer, view in zip(layers[1:], views[1:], strict=True):
        over = _sampled(layer.picture, view, size, weave)
        cover = _coverage(layer, view, size, weave)[..., None]
        result = result + cover * (over - result)
    return result


def _sampled(
    picture: NDArray[np.float32], view: View, size: tuple[int, int], weave: WeaveFrame | None
) -> NDArray[np.float32]:
    if weave is None:
        return sample_grid(picture, size, view.origin, view.scale)
    # First to the shot's resolution, with some margin, then turned and bent there: gathering from
    # a large picture would take hundreds of taps a pixel.
    film_x, film_y = film_grid(weave)
    left, top = math.floor(film_x.min()) - _MARGIN, math.floor(film_y.min()) - _MARGIN
    right, bottom = math.ceil(film_x.max()) + _MARGIN, math.ceil(film_y.max()) + _MARGIN
    origin = view.origin[0] + view.scale * left, view.origin[1] + view.scale * top
    flat = sample_grid(picture, (right - left + 1, bottom - top + 1), origin, view.scale)
    return sample_at(flat, film_x - left, film_y - top)


def film_grid(weave: WeaveFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the film coordinates `(x, y)` of every pixel, `(height, width)` each."""
    y, x = np.mgrid[0 : weave.size[1], 0 : weave.size[0]].astype(np.float64)
    return weave.film(x, y)


def flow(
    layers: Sequence[Layer],
    here: Sequence[View],
    there: Sequence[View],
    size: tuple[int, int],
    weave: tuple[WeaveFrame, WeaveFrame] | None = None,
) -> NDArray[np.float32]:
    """Return how far each pixel moves from one frame to another, `(height, width, 2)`, px.

    Where layers overlap, the motion is that of the front one that covers half or more.

    Args:
        weave: of both frames, when the film is turned or bent; the views are then without offset.
    """
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    film_x, film_y = (x, y) if weave is None else weave[0].film(x, y)
    result: NDArray[np.float64] = np.zeros((size[1], size[0], 2), np.float64)
    for layer, a, b in zip(layers, here, there, strict=True):
        ratio, dx, dy = a.motion_to(b)
        if weave is None:
            field = np.stack(((ratio - 1) * x + dx, (ratio - 1) * y + dy), axis=-1)
        else:
            to_x, to_y = weave[1].pixel(ratio * film_x + dx, ratio * film_y + dy)
            field = np.stack((to_x - x, to_y - y), axis=-1)
        visible = _coverage(layer, a, size, weave[0] if weave else None)[..., None] >= 0.5
        result = np.where(visible, field, result)
    return result.astype(np.float32)


def _coverage(
    layer: Layer, view: View, size: tuple[int, int], weave: WeaveFrame | None
) -> NDArray[np.float32]:
    if layer.alpha is None:
        return np.ones((size[1], size[0]), np.float32)
    sampled = _sampled(layer.alpha[..., None], view, size, weave)[..., 0]
    clipped: NDArray[np.float32] = np.clip(sampled, 0, 1)
    return clipped


def _check_inside(layer: Layer, view: View, size: tuple[int, int]) -> None:
    height, width = layer.picture.shape[:2]
    for axis, length, count in ((0, width, size[0]), (1, height, size[1])):
        low = view.origin[axis]
        high = low + view.scale * (count - 1)
        # Half a pixel over is within the edge pixels.
        if low < -0.5 or high > length - 0.5:
            raise UsageError(
                f"the camera leaves the picture: it sees {'xy'[axis]} {low:.1f} to {high:.1f} "
                f"of {length} px",
                remedy="give a larger picture, a smaller scale, or less pan and shake",
            )
