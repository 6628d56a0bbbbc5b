"""Plain references beside the dirt operator: detectors of the literature, medians, inpainting.

Each is written as its source has it, on whole frames. Detectors return how strongly every pixel
is suspected, so that a threshold can be searched; repairs return pixels.

Sources: Kokaram, "Motion picture restoration", Springer 1998 (SDIa, SDIp); Nadenau, Mitra,
"Blotch and scratch detection in image sequences based on rank ordered differences", 1996 (ROD);
Telea, "An image inpainting technique based on the fast marching method", 2004; Bertalmio,
Bertozzi, Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

_CODES = 255.0
_FLOW_BLUR = 1.2


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """One frame and its neighbors, laid onto it by motion or taken as they are.

    Attributes:
        here: `(h, w, 3)`. others: `(h, w, 3)` by distance in frames; a frame beyond the end of
            the clip is not there.
    """

    here: Pixels
    others: Mapping[int, Pixels]


def neighborhood(
    frames: Mapping[int, Pixels], number: int, radius: int, *, moved: bool
) -> Neighborhood:
    """Gather a frame's neighbors.

    Args:
        moved: whether each is laid onto the frame by dense optical flow, damage and all.
    """
    here = frames[number]
    others = {}
    for step in (*range(-radius, 0), *range(1, radius + 1)):
        there = frames.get(number + step)
        if there is not None:
            others[step] = laid_onto(here, there) if moved else there
    return Neighborhood(here, others)


def laid_onto(here: Pixels, there: Pixels) -> Pixels:
    """Return `there` where the motion from `here` takes it: flow by DIS, linear sampling."""
    import cv2

    cv2.setNumThreads(1)
    pictures = []
    for frame in (here, there):
        soft = cv2.GaussianBlur(_luma(frame), (0, 0), _FLOW_BLUR)
        pictures.append(np.clip(np.rint(soft * _CODES), 0, _CODES).astype(np.uint8))
    # The stubs of OpenCV 5 leave this factory out.
    search = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined, unused-ignore]
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )
    flow = search.calc(pictures[0], pictures[1], None)
    height, width = here.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(
        there, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.float32)


def _luma(frame: Pixels) -> Plane:
    result: Plane = frame.mean(axis=2, dtype=np.float32)
    return result


def smoothed(frame: Plane, deviation: float) -> Plane:
    """Blur against grain; 0 leaves the plane as it is."""
    import cv2

    return frame if deviation == 0 else np.asarray(cv2.GaussianBlur(frame, (0, 0), deviation))


def sdia(here: Plane, before: Plane, after: Plane) -> Plane:
    """Return the smaller of the two differences to the neighbors, by size."""
    result: Plane = np.minimum(np.abs(here - before), np.abs(here - after))
    return result


def sdip(here: Plane, before: Plane, after: Plane) -> Plane:
    """Return what `sdia` does where both differences have one sign, else 0."""
    same = (here - before) * (here - after) > 0
    return np.where(same, sdia(here, before, after), np.float32(0))


_SHARES: Mapping[str, tuple[float, float, float]] = {
    "first rank": (1.0, np.inf, np.inf),
    "third rank": (np.inf, np.inf, 1.0),
    "three ranks": (1.0, 1.5, 2.0),
}


def rod(here: Plane, before: Plane, after: Plane, shares: tuple[float, float, float]) -> Plane:
    """Return the rank-ordered difference, over the thresholds' ratios to the first.

    Six pixels, three above each other on either neighbor, are put in order. Above their median
    the pixel is compared with the three highest, else with the three lowest. It is dirt at a
    threshold `t` when any of the three differences exceeds its share of `t`; the value is the
    largest such `t`.
    """
    pad = [np.pad(p, ((1, 1), (0, 0)), mode="edge") for p in (before, after)]
    height = here.shape[0]
    rows = np.sort(np.stack([p[k : k + height] for p in pad for k in range(3)]), axis=0)
    middle = 0.5 * (rows[2] + rows[3])
    above = here > middle
    found = np.zeros_like(here)
    for rank, share in enumerate(shares):
        if np.isfinite(share):
            gap = np.where(above, here - rows[5 - rank], rows[rank] - here)
            found = np.maximum(found, gap / np.float32(share))
    result: Plane = found.astype(np.float32)
    return result


def rod_block(here: Plane, before: Plane, after: Plane) -> Plane:
    """Return how far a pixel lies outside the range of the 3x3 blocks on both neighbors."""
    import cv2

    block = np.ones((3, 3), np.uint8)
    high = np.maximum(cv2.dilate(before, block), cv2.dilate(after, block))
    low = np.minimum(cv2.erode(before, block), cv2.erode(after, block))
    result: Plane = np.maximum(np.maximum(here - high, low - here), 0)
    return result


Detector = Callable[[Plane, Plane, Plane], Plane]


def detectors() -> dict[str, tuple[Detector, ...]]:
    """Return the detectors of the literature; of the variants of one the best counts."""
    ranked = [partial(rod, shares=shares) for shares in _SHARES.values()]
    return {"SDIa": (sdia,), "SDIp": (sdip,), "ROD": (*ranked, rod_block)}


def suspicion(around: Neighborhood, detector: Detector, blur: float) -> Plane:
    """Return a detector's value on luma; at the ends of the clip the one neighbor counts twice."""
    before = around.others.get(-1)
    after = around.others.get(1)
    before, after = (after, after) if before is None else (before, after)
    after = before if after is None else after
    if before is None or after is None:
        raise ValueError("a detector needs a neighbor on one side at least")
    here, b, a = (smoothed(_luma(f), blur) for f in (around.here, before, after))
    return detector(here, b, a)


# Repairs


def temporal_median(around: Neighborhood, radius: int) -> Pixels:
    """Return the median over the frame and its neighbors within `radius`."""
    near = [f for step, f in around.others.items() if abs(step) <= radius]
    result: Pixels = np.median(np.stack([around.here, *near]), axis=0).astype(np.float32)
    return result


def neighbors_median(around: Neighborhood, radius: int) -> Pixels:
    """Return the median over the neighbors alone."""
    near = [f for step, f in around.others.items() if abs(step) <= radius]
    result: Pixels = np.median(np.stack(near), axis=0).astype(np.float32)
    return result


def spatial_median(frame: Pixels, size: int) -> Pixels:
    """Return the median over `size` x `size` px (odd), a channel at a time."""
    import cv2

    if size <= 5:
        return np.asarray(cv2.medianBlur(frame, size), np.float32)
    # OpenCV takes wide medians on 8 bits alone; half a code is far below what they miss.
    codes = np.clip(np.rint(frame * _CODES), 0, _CODES).astype(np.uint8)
    return np.asarray(cv2.medianBlur(codes, size), np.float32) / np.float32(_CODES)


def inpainted(frame: Pixels, hole: Mask, method: str, radius: int) -> Pixels:
    """Fill a hole from the frame alone, `method` "Telea" or "Navier-Stokes", in 32-bit float.

    OpenCV's Telea weighs gradients as those of 8-bit codes: on a range of 1 it runs away.
    """
    import cv2

    flag = {"Telea": cv2.INPAINT_TELEA, "Navier-Stokes": cv2.INPAINT_NS}[method]
    top = np.float32(_CODES if method == "Telea" else 1)
    mask = hole.astype(np.uint8)
    planes = [np.ascontiguousarray(frame[..., c] * top) for c in range(frame.shape[2])]
    made = np.stack([cv2.inpaint(p, mask, radius, flag) for p in planes], axis=-1)
    return filled(frame, hole, made / top)


def filled(frame: Pixels, hole: Mask, source: Pixels) -> Pixels:
    """Return the frame with the pixels of `source` in the hole."""
    result = frame.copy()
    result[hole] = source[hole]
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A way to fill holes that are given, in variants of which the best counts.

    Attributes:
        variants: each takes the frame, its neighbors laid on it and not, and the hole.
    """

    name: str
    variants: tuple[Callable[[Neighborhood, Neighborhood, Mask], Pixels], ...]


def repairs() -> tuple[Repair, ...]:
    """Return the repairs that are told where the dirt lies."""

    def inpaint(method: str, radius: int) -> Callable[..., Pixels]:
        return lambda moved, still, hole: inpainted(still.here, hole, method, radius)

    def median(radius: int, motion: bool) -> Callable[..., Pixels]:
        def fill(moved: Neighborhood, still: Neighborhood, hole: Mask) -> Pixels:
            around = moved if motion else still
            return filled(around.here, hole, neighbors_median(around, radius))

        return fill

    def spatial(size: int) -> Callable[..., Pixels]:
        return lambda moved, still, hole: filled(still.here, hole, spatial_median(still.here, size))

    radii: Sequence[int] = (2, 5)
    return (
        Repair(name="Telea", variants=tuple(inpaint("Telea", r) for r in radii)),
        Repair(name="Navier-Stokes", variants=tuple(inpaint("Navier-Stokes", r) for r in radii)),
        Repair(name="spatial median", variants=tuple(spatial(s) for s in (5, 11))),
        Repair(name="temporal median", variants=tuple(median(r, False) for r in (1, 2))),
        Repair(
            name="temporal median along motion", variants=tuple(median(r, True) for r in (1, 2))
        ),
    )
