"""Measure how wide the blur of a shot is, and whether it has a direction.

The blur of a lens shows at the edges of things. Every strong edge that stands alone is sampled
along its normal; the derivative of that profile is the blur's own profile (the line spread), and
its second moment the variance of the blur along the normal. Things have soft edges too, and some
are out of focus by intent: the blur that all of the picture shares is that of its sharpest edges,
so a low quantile speaks, separately for every direction. A lens blurs all directions alike;
where one is blurred clearly more than the one across, something moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels
from wetgate.operators.deblur.classical import Shape, blurred
from wetgate.operators.deblur.psf import gaussian_taps

DIRECTIONS = 8
"""Bins of 22.5 degrees for the normal of an edge; bin 0 is centered on horizontal."""

_STEP = 0.5
_REACH = 10.0
_COUNT = round(2 * _REACH / _STEP)
_MOST_EDGES = 6000
_SOFT = 0.7  # px; of the derivative that finds edges
_CONTRAST = 0.02  # least slope of an edge a px, of its brightness
_LEVEL = 0.08  # of the peak, where a line spread counts as ended
_LONE, _STRAY = 2.5, 0.15
"""px either side of an edge that must be flat, and the slope there as a share of the peak."""
_TRUNCATED = 0.853
"""Variance that a Gaussian keeps when it is cut off at `_LEVEL` of its peak."""
_SAMPLING = 1.0 / 6.0
"""px^2 by which bilinear sampling widens, averaged over where samples fall."""

_QUANTILE = 0.25
_LEAST_EDGES, _LEAST_OF_BIN, _LEAST_BINS = 40, 8, 3
_NATURE = 0.09
"""px^2 that the edges of a sharp picture have of their own at this quantile."""
VISIBLE = 0.55
"""px; a shot blurred by less is taken for sharp."""
_DIRECTED, _LOPSIDED, _NEARLY_SHARP = 0.7, 2.0, 0.8
"""Motion is what widens one direction by this many px^2, and by this factor, over the other;
below the last, in px^2, even the worse direction is nearly sharp."""
_SURE, _LEAST_DOUBT = 3.0, 0.15
"""Deviations that a difference must exceed to be believed; px^2 that every direction may err."""

_ALIKE, _LEAST_OF_SHAPE, _FINE = 0.25, 20, 9
_DISC_BELOW, _GAUSSIAN_ABOVE = 0.9, 2.5
"""Error of the disc over that of the Gaussian; edges of several widths together grow tails, so
that what looks alike is rather a disc."""

Verdict = Literal["lens", "sharp", "motion", "unknown"]

_Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Edges:
    """Lone edges of one frame.

    Attributes:
        variance: px^2 of the blur along the normal, sampling taken off.
        angle: of the normal, radians in 0 to pi, from right to down.
        spread: `(edge, along)` line spreads in steps of `_STEP`, sum 1, 0 beyond their ends.
    """

    variance: _Doubles
    angle: _Doubles
    spread: _Doubles

    @classmethod
    def none(cls) -> Edges:
        """Return no edges."""
        return cls(np.empty(0), np.empty(0), np.empty((0, _COUNT)))

    @classmethod
    def joined(cls, parts: Sequence[Edges]) -> Edges:
        """Return the edges of several frames together."""
        if not parts:
            return cls.none()
        return cls(
            np.concatenate([p.variance for p in parts]),
            np.concatenate([p.angle for p in parts]),
            np.concatenate([p.spread for p in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """What the edges say together.

    Attributes:
        verdict: "lens": alike in all directions. "sharp": too little to see. "motion": one
            direction is blurred more. "unknown": too few lone edges to tell.
        sigma: deviation of the lens's blur, px (of the sharper direction for "motion").
        across: deviation in the direction blurred most, px.
        degrees: that direction, from right to down, 0 to 180.
        edges: how many were measured.
        shape: "disc" for defocus, "gaussian" for a soft lens, "either" where it cannot be told.
    """

    verdict: Verdict
    sigma: float
    across: float
    degrees: float
    edges: int
    shape: Shape = "either"


def judge(edges: Edges) -> Blur:
    """Decide what blurred the edges of one or several frames.

    The variance against the direction t of the normal is fitted by `a + b cos 2t + c sin 2t`,
    which is how second moments turn.
    """
    count = len(edges.variance)
    if count < _LEAST_EDGES:
        return Blur(verdict="unknown", sigma=0.0, across=0.0, degrees=0.0, edges=count)
    overall = float(np.quantile(edges.variance, _QUANTILE))
    fitted = _turning(edges)
    if fitted is None:
        return Blur(verdict="unknown", sigma=0.0, across=0.0, degrees=0.0, edges=count)
    turn, least, most, doubt = fitted
    lopsided = most - least > max(_DIRECTED, _SURE * doubt)
    lopsided = lopsided and most > _LOPSIDED * max(least, _NATURE)
    verdict: Verdict = "lens"
    if lopsided and most - _NATURE > _NEARLY_SHARP:
        verdict = "motion"
    elif overall - _NATURE < VISIBLE**2:
        verdict = "sharp"
    lopsided = verdict == "motion"
    shared = least if lopsided else overall
    return Blur(
        verdict=verdict,
        sigma=float(np.sqrt(max(shared - _NATURE, 0.0))),
        across=float(np.sqrt(max((most if lopsided else overall) - _NATURE, 0.0))),
        degrees=float(np.degrees(turn) % 180.0),
        edges=count,
        shape=_shape(edges, overall) if verdict == "lens" else "either",
    )


def _shape(edges: Edges, variance: float) -> Shape:
    """Tell a disc from a Gaussian by the mean line spread of the edges about as wide as the blur.

    A disc's line spread is half an ellipse, steep at its ends, a Gaussian's has tails. Both models
    are widened by what sampling and the edges themselves add; the nearer one is named if it is
    clearly nearer.
    """
    near = np.abs(edges.variance - variance) < _ALIKE * variance
    if np.count_nonzero(near) < _LEAST_OF_SHAPE:
        return "either"
    shown = edges.spread[near].mean(axis=0)
    own = float(np.sqrt(max(variance - _NATURE, 0.0)))
    added = float(np.sqrt(_NATURE + _SAMPLING + _STEP**2 / 12.0))
    fine = (np.arange(_COUNT * _FINE) + 0.5) / _FINE - _COUNT / 2
    at = fine * _STEP
    ellipse = np.sqrt(np.maximum((2.0 * own) ** 2 - at**2, 0.0))
    bell = np.exp(-0.5 * (at / max(own, 1e-6)) ** 2)
    errors = {}
    for name, model in (("disc", ellipse), ("gaussian", bell)):
        widened = np.convolve(model, np.exp(-0.5 * (at / added) ** 2), mode="same")
        steps = widened.reshape(_COUNT, _FINE).sum(axis=1)
        steps = np.where(steps > _LEVEL * steps.max(), steps, 0.0)
        errors[name] = float(np.sum((shown - steps / steps.sum()) ** 2))
    ratio = errors["disc"] / max(errors["gaussian"], 1e-12)
    if ratio < _DISC_BELOW:
        return "disc"
    return "gaussian" if ratio > _GAUSSIAN_ABOVE else "either"


def _turning(edges: Edges) -> tuple[float, float, float, float] | None:
    """Return the direction blurred most, the fitted variance across and along it, and its doubt.

    The fit is only believed at directions that were seen. The doubt is the deviation of the
    difference of the two variances. None when edges of too few directions are there: two alone
    cannot tell a motion between them.
    """
    place = np.round(edges.angle / np.pi * DIRECTIONS).astype(np.intp) % DIRECTIONS
    seen, values, doubts = [], [], []
    for k in range(DIRECTIONS):
        here = edges.variance[place == k]
        if len(here) >= _LEAST_OF_BIN:
            below, value, above = np.quantile(here, (_QUANTILE - 0.1, _QUANTILE, _QUANTILE + 0.1))
            seen.append(2.0 * np.pi * k / DIRECTIONS)
            values.append(float(value))
            # Deviation of a sample quantile: sqrt(p (1 - p) / n) over the density there.
            spread = (above - below) / 0.2
            doubts.append(spread * np.sqrt(_QUANTILE * (1 - _QUANTILE) / len(here)) + _LEAST_DOUBT)
    if len(seen) < _LEAST_BINS:
        return None
    turns = np.asarray(seen)
    rows = np.stack([np.ones_like(turns), np.cos(turns), np.sin(turns)], axis=1)
    weight = 1.0 / np.asarray(doubts)
    form = rows * weight[:, None]
    fit = np.linalg.lstsq(form, np.asarray(values) * weight, rcond=None)[0]
    fitted = rows @ fit
    high, low = int(np.argmax(fitted)), int(np.argmin(fitted))
    apart = rows[high] - rows[low]
    doubt = float(np.sqrt(apart @ np.linalg.pinv(form.T @ form) @ apart))
    turn = float(np.arctan2(fit[2], fit[1]) / 2.0)
    return turn, float(fitted[low]), float(fitted[high]), doubt


def measure_edges(linear: Pixels, knee: float, noise: float) -> Edges:
    """Find and measure the lone edges of one frame.

    Args:
        linear: scene-linear `(h, w, channel)`, un-clamped.
        knee: value below which contrast is counted against this instead of the brightness.
        noise: deviation of noise, in units of brightness (of encoded luma, times its scale).
    """
    luma = linear.mean(axis=2, dtype=np.float64)
    taps = gaussian_taps(_SOFT, 3)[3:]
    rim = int(_REACH) + 3
    if min(luma.shape) <= 2 * rim + 2:
        return Edges.none()
    soft = blurred(luma, taps, 3)
    slope_x = 0.5 * (soft[1:-1, 2:] - soft[1:-1, :-2])
    slope_y = 0.5 * (soft[2:, 1:-1] - soft[:-2, 1:-1])
    size = np.hypot(slope_x, slope_y)
    strength = size / (np.abs(soft[1:-1, 1:-1]) + knee)
    off = rim - 4
    inner = slice(off, -off), slice(off, -off)
    crest = _crest(size, slope_x, slope_y)[inner]
    strong = strength[inner]
    floor = max(_CONTRAST, 4.0 * noise)
    y, x = np.nonzero(crest & (strong > floor))
    if len(y) > _MOST_EDGES:
        keep = np.argpartition(-strong[y, x], _MOST_EDGES)[:_MOST_EDGES]
        y, x = y[keep], x[keep]
    sx, sy = slope_x[inner][y, x], slope_y[inner][y, x]
    length = np.hypot(sx, sy)
    nx, ny = sx / length, sy / length
    profile = _profiles(luma, np.float64(rim) + x, np.float64(rim) + y, nx, ny)
    variance, spread, good = _line_spread(profile)
    angle = np.arctan2(ny, nx) % np.pi
    return Edges(variance[good] - _SAMPLING, angle[good], spread[good])


def _crest(size: _Doubles, slope_x: _Doubles, slope_y: _Doubles) -> NDArray[np.bool_]:
    """Tell where the slope is steeper than before and behind, along itself."""
    wide = np.abs(slope_x) > 2.414 * np.abs(slope_y)
    tall = np.abs(slope_y) > 2.414 * np.abs(slope_x)
    same = (slope_x > 0) == (slope_y > 0)
    padded = np.pad(size, 1)

    def shifted(dy: int, dx: int) -> _Doubles:
        height, width = size.shape
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    out = np.zeros(size.shape, np.bool_)
    for mask, dy, dx in (
        (wide, 0, 1),
        (tall, 1, 0),
        (~wide & ~tall & same, 1, 1),
        (~wide & ~tall & ~same, -1, 1),
    ):
        out |= mask & (size >= shifted(dy, dx)) & (size > shifted(-dy, -dx))
    return out


def _profiles(luma: _Doubles, x: _Doubles, y: _Doubles, nx: _Doubles, ny: _Doubles) -> _Doubles:
    """Sample `(edge, along)` brightness along normals, the mean of three lines side by side."""
    along = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    total = np.zeros((len(x), len(along)))
    for aside in (-1.0, 0.0, 1.0):
        px = (x - aside * ny)[:, None] + nx[:, None] * along
        py = (y + aside * nx)[:, None] + ny[:, None] * along
        px = np.clip(px, 0, luma.shape[1] - 1.001)
        py = np.clip(py, 0, luma.shape[0] - 1.001)
        ix, iy = px.astype(np.intp), py.astype(np.intp)
        fx, fy = px - ix, py - iy
        total += (
            luma[iy, ix] * (1 - fx) * (1 - fy)
            + luma[iy, ix + 1] * fx * (1 - fy)
            + luma[iy + 1, ix] * (1 - fx) * fy
            + luma[iy + 1, ix + 1] * fx * fy
        )
    return total / 3.0


def _line_spread(profile: _Doubles) -> tuple[_Doubles, _Doubles, NDArray[np.bool_]]:
    """Return the variance of each line spread in px^2, it itself, and which are of lone edges."""
    spread = np.diff(profile, axis=1)
    count = spread.shape[1]
    at = (np.arange(count) - (count - 1) / 2) * _STEP
    middle = slice(count // 2 - 3, count // 2 + 3)
    top = count // 2 - 3 + np.argmax(spread[:, middle], axis=1)
    peak = np.take_along_axis(spread, top[:, None], axis=1)[:, 0]
    peak = np.maximum(peak, 1e-12)
    above = spread > _LEVEL * peak[:, None]
    index = np.arange(count)
    after = (index >= top[:, None]) & ~above
    before = (index <= top[:, None]) & ~above
    stop = np.where(after.any(axis=1), np.argmax(after, axis=1), count)
    start = np.where(before.any(axis=1), count - 1 - np.argmax(before[:, ::-1], axis=1), -1)
    inside = (index > start[:, None]) & (index < stop[:, None])
    weight = np.where(inside, spread, 0.0)
    mass = np.maximum(weight.sum(axis=1), 1e-12)
    mean = (weight * at).sum(axis=1) / mass
    variance = (weight * (at - mean[:, None]) ** 2).sum(axis=1) / mass / _TRUNCATED
    # The edge stands alone when beside it nothing rises or falls.
    room = round(_LONE / _STEP)
    rim = (index > stop[:, None] - 1) & (index < stop[:, None] + room)
    rim |= (index < start[:, None] + 1) & (index > start[:, None] - room)
    stray = np.where(rim, np.abs(spread), 0.0).max(axis=1)
    good = (start >= room) & (stop <= count - 1 - room) & (stray < _STRAY * peak)
    third = (weight * (at - mean[:, None]) ** 3).sum(axis=1) / mass
    good &= np.abs(third) < 0.7 * np.maximum(variance, 1e-9) ** 1.5
    # Laid over each other by their centroids, to the step.
    moved = np.round(mean / _STEP).astype(np.intp)
    place = index[None, :] + moved[:, None]
    fits = (place >= 0) & (place < count)
    taken = np.take_along_axis(weight, np.clip(place, 0, count - 1), axis=1)
    return variance, np.where(fits, taken, 0.0) / mass[:, None], good
