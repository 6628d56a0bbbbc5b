"""The passes over a window, around the native loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.model.box import Box
from wetgate.operators.base import PairSurvey, Pixels, Window
from wetgate.operators.denoise.flow import Flow
from wetgate.operators.denoise.noise import Curve

PATCH = 8
REACH = 64
"""Largest motion followed between the center and any neighbor, px along each axis."""
SEARCH_HERE = 12
SEARCH_ALONE = 18
"""Where no frame has a neighbor all similar patches are its own: 0.03 to 0.07 dB for a fifth more
time on photographs at sigma 15 to 50."""
SEARCH_THERE = 3
HALO = 2 * (SEARCH_ALONE + PATCH) + REACH + 8
"""Patches of a tile reach `SEARCH_ALONE + PATCH` px out, so do the patches they are matched with;
from there motion reaches on, and the fusion's weight looks at 5 px and its kernel at 2."""

WIENER_NOISE = 0.8
"""Noise variance that the second pass assumes, as a share of the measured one: the guide still
holds some noise, which the Wiener rule would otherwise take for signal it need not keep."""

FUSION_HALO = REACH + 8
_BEYOND = 8
"""Motion, the neighborhood that decides a weight and the kernel of the warp."""

AGREEMENT = 0.04
"""Variance left after two passes, low-passed, as a share of the noise's: what two frames may
differ by and still show the same."""

MOST_REMOVED = 6.0
"""Deviations of the noise that a sample may move by. Of normal noise one sample in 500 million
lies beyond."""

Planes = NDArray[np.float32]
"""float32 `(channel, height, width)` in noise units; channel 0 is luma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotNoise:
    """A shot's noise, ready for the native loops.

    Attributes:
        forward, backward: per channel tables `(channel, knots)` and ranges `(channel, 2)`.
        spectrum: variance `(channel, 64)` of each DCT sample in noise units.
        low_variance: variance of low-passed luma noise.
        gain: noise variance against luma where clipping took some away, or None.
        gain_range: luma of the first and last point of `gain`.
        luma: range of luma that optical flow looks at, noise units.
        deviation: of the noise as it is in the file, in the working encoding; tables `(channel,
            knots)` against the signal and their ranges `(channel, 2)`.
        flatness: spectral flatness of the noise, 1 for white.
        clips: whether the source cut noise off at either end.
        temporal: whether frames of the shot could be compared with each other.
    """

    forward: tuple[NDArray[np.float32], NDArray[np.float32]]
    backward: tuple[NDArray[np.float32], NDArray[np.float32]]
    spectrum: NDArray[np.float32]
    low_variance: float
    gain: NDArray[np.float32] | None
    gain_range: tuple[float, float]
    luma: tuple[float, float]
    deviation: tuple[NDArray[np.float32], NDArray[np.float32]]
    flatness: float
    clips: bool
    temporal: bool

    def to_units(self, pixels: Pixels) -> Planes:
        """Convert `(h, w, c)` of the working encoding to planes of noise units."""
        return _native.to_noise_units(pixels, *self.forward)

    def to_luma(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the first plane of `to_units`, `(h, w)`, without making the others."""
        return _native.to_noise_luma(pixels, *self.forward)

    def to_pixels(self, planes: Planes) -> Pixels:
        """Convert planes back without the bias of the curve or of clipping."""
        return _native.from_noise_units(planes, *self.backward)

    def to_pixels_biased(self, planes: Planes) -> Pixels:
        """Convert planes back so that `to_units` gives them again."""
        tables, ranges = self.forward
        inverse = [_inverted(t, r) for t, r in zip(tables, ranges, strict=True)]
        return _native.from_noise_units(
            planes, np.stack([i[0] for i in inverse]), np.stack([i[1] for i in inverse])
        )

    def sigma(self, signal: Pixels) -> Pixels:
        """Return the deviation of the noise at each sample of a signal, working encoding."""
        tables, ranges = self.deviation
        knots = np.stack([np.linspace(float(a), float(b), tables.shape[1]) for a, b in ranges])
        rows = signal if signal.ndim == 3 else signal.reshape(1, -1, signal.shape[-1])
        return _native.interpolate(rows, knots, tables.astype(np.float64)).reshape(signal.shape)

    def bounded(self, clean: Pixels, source: Pixels) -> Pixels:
        """Take away no more than noise can be: `MOST_REMOVED` deviations at every sample.

        Far beyond the range it was measured on the law of the noise is a guess, and there a lone
        light could be taken for noise and come back in another color. Where the source cut noise
        off this does not apply: it holds no such light, and what clipping lifted is put back.
        """
        if self.clips:
            return clean
        most = np.float32(MOST_REMOVED) * self.sigma(source)
        limited: Pixels = np.minimum(np.maximum(clean, source - most), source + most)
        return limited


def stacked(curves: Sequence[Curve]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lay curves of all channels out for the native loops."""
    tables = np.stack([c.values for c in curves])
    ranges = np.array([[c.low, c.high] for c in curves], np.float32)
    return np.ascontiguousarray(tables), ranges


def _inverted(
    table: NDArray[np.float32], span: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x = np.linspace(float(span[0]), float(span[1]), table.size)
    t = np.linspace(float(table[0]), float(table[-1]), table.size)
    ends = np.array([table[0], table[-1]], np.float32)
    return np.interp(t, table.astype(np.float64), x).astype(np.float32), ends


def within_frame(window: Window, beyond: int = _BEYOND) -> Window:
    """Return the window without what lies far beyond the frame, which no pass looks at.

    Patches and motion end at the edge of the frame; the fusion's kernels reach a few px on. Of a
    small frame with its halo most is such reflection. Pixels are parts of those given: no copies.

    Args:
        beyond: px beyond the frame that are looked at.
    """
    seen = window.region.intersect(window.frame.grown(beyond))
    if seen == window.region:
        return window
    rows, columns = seen.within(window.region)

    def cut(frames: tuple[Pixels, ...]) -> tuple[Pixels, ...]:
        kept = {id(f): f[rows, columns] for f in frames}
        return tuple(kept[id(f)] for f in frames)

    return replace(
        window,
        region=seen,
        pixels=cut(window.pixels),
        previous=cut(window.previous),
        planes={name: plane[rows, columns] for name, plane in window.planes.items()},
    )


def first_pass(window: Window, noise: ShotNoise, *, step: int, threshold: float) -> Planes:
    """Threshold groups matched on the motion-compensated fusion of the window."""
    window = within_frame(window)
    frame = _frame_in_region(window)
    planes = [
        noise.to_units(p) if ok else None for p, ok in zip(window.pixels, window.valid, strict=True)
    ]
    low = [None if p is None else _native.lowpass(p[0], frame) for p in planes]
    guide: list[NDArray[np.float32] | None] = list(low)
    flows = _flows(window.pairs, window.valid)
    middle = len(planes) // 2
    luma = [None if p is None else p[:1] for p in planes]
    guide[middle] = _fuse(window, luma, flows, 2.0 * noise.low_variance)[0]
    return _collaborate(
        window, planes, [], guide, flows, noise, step,
        share=1.0, group_size=16, per_frame=3, hard=threshold, distance=1e30,
    )  # fmt: skip


def second_pass(window: Window, noise: ShotNoise, *, step: int) -> Planes:
    """Filter groups by the Wiener rule, matched on and steered by the first pass."""
    window = within_frame(window)
    planes = [
        noise.to_units(p) if ok else None for p, ok in zip(window.pixels, window.valid, strict=True)
    ]
    basic = [
        noise.to_units(p) if ok else None
        for p, ok in zip(window.previous, window.valid, strict=True)
    ]
    guide = [None if b is None else np.ascontiguousarray(b[0]) for b in basic]
    flows = _flows(window.pairs, window.valid)
    distance = 2.0 * PATCH * PATCH * float(noise.spectrum[0].mean())
    return _collaborate(
        window, planes, basic, guide, flows, noise, step,
        share=WIENER_NOISE, group_size=32, per_frame=6, hard=0.0, distance=distance,
    )  # fmt: skip


def third_pass(window: Window, noise: ShotNoise) -> Planes:
    """Average the second pass along motion with sub-pixel accuracy, where its frames agree."""
    planes = [
        noise.to_units(p) if ok else None
        for p, ok in zip(window.previous, window.valid, strict=True)
    ]
    flows = _flows(window.pairs, window.valid)
    return _fuse(window, planes, flows, AGREEMENT * 2.0 * noise.low_variance)


def temporal_inputs(
    window: Window, noise: ShotNoise
) -> tuple[Pixels, tuple[NDArray[np.float32] | None, ...]]:
    """Return what the third pass makes of a window of radius 2, and its neighbors in place.

    Returns:
        the fusion of the middle three frames, pixels of `region`; for each of the four neighbors
        its planes `(c, h, w)` warped onto the center, None where there is none. Where a neighbor
        shows nothing of the place it has the fusion's values. Good within the frame only.
    """
    middle = len(window.previous) // 2
    near = range(middle - 1, middle + 2)
    planes = [noise.to_units(window.previous[k]) if window.valid[k] else None for k in near]
    flows = _flows(window.pairs, window.valid)
    fused = _fuse(window, planes, [flows[k] for k in near], AGREEMENT * 2.0 * noise.low_variance)
    base = noise.to_pixels_biased(fused)
    spare = base.transpose(2, 0, 1)
    warped: list[NDArray[np.float32] | None] = []
    for k, (pixels, flow) in enumerate(zip(window.previous, flows, strict=True)):
        if k == middle:
            continue
        if flow is None:
            warped.append(None)
            continue
        moved, seen = _native.warp(
            np.ascontiguousarray(pixels.transpose(2, 0, 1)),
            flow.vectors,
            _frame_in_region(window),
            (window.region.x0, window.region.y0),
            flow.scale,
            float(REACH),
        )
        warped.append(np.where(seen > 0, moved, spare))
    return base, tuple(warped)


def fused_marks(window: Window, marked: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return where the fusion of the middle frames may have averaged a marked pixel, `(h, w)`.

    Args:
        marked: pixels `(h, w)` of the region, of the frame before the center, the center and the
            one after it; those of a frame that does not exist are not looked at.

    Good within the frame only. Marks are grown by 2 px and warped as the frames are: of the
    4 x 4 px that cubic convolution reads around a place the inner four then all carry a mark
    if any of the 16 did, and they outweigh the negative lobes of the others.
    """
    middle = len(window.previous) // 2
    found = marked[1].copy()
    flows = _flows(window.pairs, window.valid)
    for k, marks in ((middle - 1, marked[0]), (middle + 1, marked[2])):
        flow = flows[k]
        if flow is None or not marks.any():
            continue
        moved, _ = _native.warp(
            _grown(marks, 2).astype(np.float32)[None],
            flow.vectors,
            _frame_in_region(window),
            (window.region.x0, window.region.y0),
            flow.scale,
            float(REACH),
        )
        found |= moved[0] > 0
    return found


def _grown(marks: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    for axis in (0, 1):
        wide = np.pad(marks, [(by, by) if a == axis else (0, 0) for a in (0, 1)])
        size = marks.shape[axis]
        marks = np.logical_or.reduce(
            [np.take(wide, np.arange(k, k + size), axis=axis) for k in range(2 * by + 1)]
        )
    return marks


def _fuse(
    window: Window,
    planes: Sequence[Planes | None],
    flows: Sequence[Flow | None],
    floor_error: float,
) -> Planes:
    return _native.fuse(
        planes,
        [None if f is None else f.vectors for f in flows],
        _frame_in_region(window),
        (window.region.x0, window.region.y0),
        next((f.scale for f in flows if f is not None), 1),
        float(REACH),
        floor_error,
    )


def _collaborate(
    window: Window,
    planes: Sequence[Planes | None],
    basic: Sequence[Planes | None],
    guide: Sequence[NDArray[np.float32] | None],
    flows: Sequence[Flow | None],
    noise: ShotNoise,
    step: int,
    *,
    share: float,
    group_size: int,
    per_frame: int,
    hard: float,
    distance: float,
) -> Planes:
    tile = window.tile.shifted(-window.region.x0, -window.region.y0)
    search = SEARCH_HERE if noise.temporal else SEARCH_ALONE
    reach = search + PATCH
    ref_x = _references(window.frame.x1, window.tile.x0 - reach, window.tile.x1 + reach, step)
    ref_y = _references(window.frame.y1, window.tile.y0 - reach, window.tile.y1 + reach, step)
    moves = [
        None if f is None else f.whole_at(ref_x + PATCH // 2, ref_y + PATCH // 2) for f in flows
    ]
    return _native.collaborate(
        list(planes),
        list(basic),
        list(guide),
        moves,
        _frame_in_region(window),
        (tile.x0, tile.y0, tile.x1, tile.y1),
        (ref_x - window.region.x0).tolist(),
        (ref_y - window.region.y0).tolist(),
        noise.spectrum * np.float32(share),
        noise.gain,
        noise.gain_range,
        {
            "radius_here": search,
            "radius_there": SEARCH_THERE,
            "group_size": group_size,
            "per_frame": per_frame,
            "reach": REACH,
            "threshold": distance,
            "hard": hard,
        },
    )


def _references(size: int, low: int, high: int, step: int) -> NDArray[np.int64]:
    """Return positions of the grid anchored at 0, its last patch flush with the frame's end."""
    last = size - PATCH
    grid = np.unique(np.append(np.arange(0, last + 1, step), last))
    return grid[(grid >= low - PATCH) & (grid < high + PATCH)]


def _frame_in_region(window: Window) -> tuple[int, int, int, int]:
    box: Box = window.frame.shifted(-window.region.x0, -window.region.y0)
    return box.x0, box.y0, box.x1, box.y1


def _flows(pairs: Sequence[PairSurvey | None], valid: Sequence[bool]) -> list[Flow | None]:
    return [p if ok and isinstance(p, Flow) else None for p, ok in zip(pairs, valid, strict=True)]
