"""Enlarge a picture, reduce it, and keep what was enlarged from ringing.

A large picture is held as phases, `(scale, scale, height, width, channel)` with the height and
width of the small one: `phases[p, q, y, x]` is its pixel `(scale * y + p, scale * x + q)`. Every
step is then a sum of whole shifted planes, in one fixed order of rounded products and sums, so the
bits do not depend on how a picture is cut.

Nothing here clamps to a range: values of any sign and size go through.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.upscale import kernels
from wetgate.operators.upscale.kernels import RADIUS, Reducing

Pixels = NDArray[np.float32]
Phases = NDArray[np.float32]
Method = Literal["lanczos", "ewa", "bicubic"]

LIMIT_REACH = 3
"""Px of the small picture that a limit looks at around the pixel that owns the large one."""
REDUCE_REACH = 2
"""Px of the small picture that a reduced pixel looks at on either side."""


def enlarge(small: Pixels, scale: int, method: Method = "lanczos") -> Phases:
    """Enlarge `(height, width, channel)` to phases of the same height and width.

    Beyond its edges the picture goes on as its edge pixel; who needs another continuation gives
    `RADIUS` px more and takes the middle.

    Args:
        scale: 2 or more, even or odd.
        method: "lanczos" (three lobes, separable), "ewa" (radial, windowed jinc of three lobes) or
            "bicubic" (a = -1/2).
    """
    wide = np.pad(small, ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), mode="edge")
    height, width, channels = small.shape
    out = np.empty((scale, scale, height, width, channels), np.float32)
    scratch = np.empty_like(small)
    if method == "ewa":
        for (p, q), taps in _each(kernels.enlarging_ewa(scale)):
            terms = [(taps[i, j], wide[i : i + height, j : j + width]) for i, j in _in_use(taps)]
            _sum(out[p, q], terms, scratch)
        return out
    weights = kernels.enlarging(scale, method)
    rows = np.empty((height + 2 * RADIUS, width, channels), np.float32)
    across = np.empty_like(rows)
    for q in range(scale):
        terms = [(weights[q, j], wide[:, j : j + width]) for (j,) in _in_use(weights[q])]
        _sum(rows, terms, across)
        for p in range(scale):
            terms = [(weights[p, i], rows[i : i + height]) for (i,) in _in_use(weights[p])]
            _sum(out[p, q], terms, scratch)
    return out


def reduce(phases: Phases, kernel: Reducing = "bicubic") -> Pixels:
    """Reduce phases to `(height, width, channel)`; the way back that `enlarge` inverts.

    Beyond its edges the large picture is mirrored, edge pixels repeated, as MATLAB does it.
    """
    scale, _, height, width, channels = phases.shape
    weights = kernels.reducing(scale, kernel)
    used = [(p, t) for p in range(scale) for t in range(5) if weights[p, t] != 0.0]
    reach = REDUCE_REACH
    columns = np.empty((scale, height, width + 2 * reach, channels), np.float32)
    scratch = np.empty((height, width, channels), np.float32)
    for q in range(scale):
        tall = np.concatenate(
            [
                phases[::-1, q, :reach][:, ::-1],
                phases[:, q],
                phases[::-1, q, height - reach :][:, ::-1],
            ],
            axis=1,
        )
        terms = [(weights[p, t], tall[p, t : t + height]) for p, t in used]
        _sum(columns[q, :, reach : reach + width], terms, scratch)
    columns[:, :, :reach] = columns[::-1, :, reach : 2 * reach][:, :, ::-1]
    columns[:, :, reach + width :] = columns[::-1, :, width : reach + width][:, :, ::-1]
    out = np.empty((height, width, channels), np.float32)
    terms = [(weights[q, t], columns[q, :, t : t + width]) for q, t in used]
    _sum(out, terms, scratch)
    return out


def interleave(phases: Phases) -> Pixels:
    """Lay phases out as the picture `(scale * height, scale * width, channel)` they stand for."""
    scale, _, height, width, channels = phases.shape
    large = np.empty((scale * height, scale * width, channels), np.float32)
    for p in range(scale):
        for q in range(scale):
            large[p::scale, q::scale] = phases[p, q]
    return large


def deinterleave(large: Pixels, scale: int) -> Phases:
    """Cut a picture whose sides are multiples of `scale` into its phases."""
    height, width, channels = large.shape
    cut = large.reshape(height // scale, scale, width // scale, scale, channels)
    return np.ascontiguousarray(cut.transpose(1, 3, 0, 2, 4))


def downscale(large: Pixels, scale: int, kernel: Reducing = "bicubic") -> Pixels:
    """Reduce a picture whose sides are multiples of `scale`.

    "bicubic" gives what MATLAB's `imresize(x, 1 / scale)` gives for floating-point pictures.

    Raises:
        ValueError: when a side is no multiple of `scale`, or too short to mirror.
    """
    if large.shape[0] % scale or large.shape[1] % scale or min(large.shape[:2]) < 2 * scale:
        raise ValueError(f"sides must be multiples of {scale} and hold two, got {large.shape[:2]}")
    return reduce(deinterleave(large, scale), kernel)


def limits(small: Pixels, margin: float) -> tuple[Pixels, Pixels]:
    """Return the lowest and highest value that the large pixels of each small one may take.

    That is the range of the 3 x 3 small pixels around, each first moved away from its surround by
    `margin` times the height by which it stands out: what a 3 x 3 opening (closing) takes off a
    peak (hollow). Opening by a square leaves every half-plane edge alone whatever its direction
    and blur, so beside a straight edge nothing may pass the plateau at all, while a thin line, a
    dot or a texture, whose true peak lies above its pixels, may.

    Args:
        small: `(height, width, channel)`; looks at `LIMIT_REACH` px around.
        margin: 0 keeps strictly to the values that are there.

    Source: Serra, "Image analysis and mathematical morphology", 1982, for the opening.
    """
    low = high = small
    if margin > 0.0:
        gain = np.float32(margin)
        high = small + gain * (small - _largest(_smallest(small)))
        low = small + gain * (small - _smallest(_largest(small)))
    return _smallest(low), _largest(high)


def limit(phases: Phases, low: Pixels, high: Pixels) -> Phases:
    """Keep phases, in place, within the `limits` of the small picture they belong to."""
    np.maximum(phases, low, out=phases)
    np.minimum(phases, high, out=phases)
    return phases


def _sum(out: Pixels, terms: list[tuple[np.float32, Pixels]], scratch: Pixels) -> None:
    for index, (weight, plane) in enumerate(terms):
        if index == 0:
            np.multiply(plane, weight, out=out)
        else:
            np.multiply(plane, weight, out=scratch)
            np.add(out, scratch, out=out)


def _in_use(weights: NDArray[np.float32]) -> list[tuple[int, ...]]:
    return [tuple(int(i) for i in at) for at in np.argwhere(weights)]


def _each(weights: NDArray[np.float32]) -> list[tuple[tuple[int, int], NDArray[np.float32]]]:
    return [((p, q), weights[p, q]) for p in range(len(weights)) for q in range(len(weights))]


def _largest(plane: Pixels) -> Pixels:
    return _extreme(plane, np.maximum)


def _smallest(plane: Pixels) -> Pixels:
    return _extreme(plane, np.minimum)


def _extreme(plane: Pixels, of: np.ufunc) -> Pixels:
    """Return the extreme of the 3 x 3 pixels around each; those beyond the edges do not count."""
    out = plane.copy()
    of(out[1:], plane[:-1], out=out[1:])
    of(out[:-1], plane[1:], out=out[:-1])
    across = out.copy()
    of(across[:, 1:], out[:, :-1], out=across[:, 1:])
    of(across[:, :-1], out[:, 1:], out=across[:, :-1])
    return across
