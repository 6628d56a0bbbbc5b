"""Where the frames beside a frame show what it shows, and how far that can be trusted.

Flow is estimated between whole frames on small pictures from which a median took the specks.
"No motion" competes with it, and light that changes between two frames (flicker, a flash) is
measured as an offset that varies slowly over the frame, so that it is not taken for dirt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.operators.base import SurveyBytes
from wetgate.operators.denoise.flow import (
    FLOW_UNITS_PER_PIXEL,
    flow_bytes,
    flow_picture,
    flow_scale,
)
from wetgate.operators.denoise.passes import ShotNoise

CELL = 16
"""px of the small picture to a cell of the grid of offsets."""
_STEPS = 4
"""px of the small picture to a sample of trust."""
_BACK_AND_FORTH = 1.5
"""px of the full frame: the error of going there and back at which trust is a half."""
_LEAST_TRUSTED = 4.0
"""Mean difference, in deviations, of a place from where flow says it went: trust is a half."""

_Codes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DirtPicture:
    """A whole frame made small: uint8 codes, one for `scale` x `scale` px.

    Attributes:
        picture: `(rows, columns)`, specks taken out by a median of 3 x 3.
        scale: px of the full frame to a sample.
        unit: codes to one deviation of the noise of luma.
    """

    picture: NDArray[np.uint8]
    scale: int
    unit: float


@dataclass(frozen=True, slots=True)
class PairMotion:
    """What one frame shows of another.

    Attributes:
        vectors: int16 `(rows, columns, 2)`, x then y, in 1/32 px of the full frame: from the
            frame to the other one.
        scale: px of the full frame to a sample of `vectors`.
        trust: uint8 `(rows, columns)`, 0-255: whether going there and back ends where it began
            and the two places look alike; one for `trust_scale` x `trust_scale` px.
        offset: float32 `(rows, columns)`, deviations of noise by which this frame is brighter
            than the other; the middle of a cell of `cell` x `cell` px.
    """

    vectors: NDArray[np.int16]
    scale: int
    trust: NDArray[np.uint8]
    trust_scale: int
    offset: NDArray[np.float32]
    cell: int

    @property
    def nbytes(self) -> int:
        """Return the memory it takes."""
        return self.vectors.nbytes + self.trust.nbytes + self.offset.nbytes


def pair_motion_bytes(width: int, height: int) -> SurveyBytes:
    """Return what pictures made small and the motion between them take; `making` is measured."""
    scale = flow_scale(width, height)
    columns, rows = -(-width // scale), -(-height // scale)
    vectors = 4 * -(-columns // 2) * -(-rows // 2)
    trust = -(-columns // _STEPS) * -(-rows // _STEPS)
    offset = 4 * -(-columns // CELL) * -(-rows // CELL)
    making = max(flow_bytes(width, height).making, 80 * columns * rows)
    return SurveyBytes(frame=columns * rows, pair=vectors + trust + offset, making=making)


def dirt_picture(luma: NDArray[np.float32], noise: ShotNoise) -> DirtPicture:
    """Make a frame small for `pair_motion`.

    Args:
        luma: `(height, width)`, deviations of noise.
    """
    import cv2

    low, high = noise.luma
    made = flow_picture(luma, low, high, 1.0)
    return DirtPicture(
        np.asarray(cv2.medianBlur(made.picture, 3), np.uint8),
        made.scale,
        255.0 / max(high - low, 1e-6),
    )


def pair_motion(here: DirtPicture, there: DirtPicture) -> PairMotion:
    """Find where each place of `here` is in `there`. Whole frames; pure."""
    import cv2

    cv2.setNumThreads(1)
    rows, columns = here.picture.shape
    if min(rows, columns) < 16 or here.picture.shape != there.picture.shape:
        return _still(here)
    forward = _flow(here.picture, there.picture)
    backward = _flow(there.picture, here.picture)
    a, b = here.picture.astype(np.float32), there.picture.astype(np.float32)
    offset, by_flow = _unexplained(a - _moved(b, forward))
    still_offset, by_rest = _unexplained(a - b)
    # At rest unless motion explains clearly more: flow is vague where there is little to see.
    rests = by_rest <= by_flow + np.float32(0.25 * here.unit)
    rests = cv2.medianBlur(rests.astype(np.uint8), 5) > 0
    np.copyto(forward, np.float32(0), where=rests[..., None])
    error = np.asarray(np.where(rests, by_rest, by_flow) / np.float32(here.unit), np.float32)
    back = _moved(backward, forward)
    back += forward
    astray = np.hypot(back[..., 0], back[..., 1]) * np.float32(here.scale)
    np.copyto(astray, np.float32(0), where=rests)
    trust = 1.0 / _over(astray, _BACK_AND_FORTH) / _over(error, _LEAST_TRUSTED)
    small = -(-columns // 2), -(-rows // 2)
    vectors = cv2.resize(forward, small, interpolation=cv2.INTER_AREA)
    units = np.rint(vectors * float(FLOW_UNITS_PER_PIXEL * here.scale))
    few = -(-columns // _STEPS), -(-rows // _STEPS)
    kept = cv2.resize(trust.astype(np.float32), few, interpolation=cv2.INTER_AREA)
    best = np.where(_cells(rests.astype(np.float32)) > 0.5, still_offset, offset)
    return PairMotion(
        np.clip(units, -32767, 32767).astype(np.int16),
        2 * here.scale,
        np.rint(kept * 255.0).astype(np.uint8),
        _STEPS * here.scale,
        np.asarray(best / here.unit, np.float32),
        CELL * here.scale,
    )


def _unexplained(difference: _Codes) -> tuple[NDArray[np.float32], _Codes]:
    """Return the offset of every cell, and what it leaves of a difference in 7 x 7 px; used up."""
    import cv2

    offset = _offset(difference)
    difference -= _spread(offset, difference.shape)
    np.abs(difference, out=difference)
    return offset, np.asarray(cv2.blur(difference, (7, 7)))


def _over(error: _Codes, half: float) -> _Codes:
    """Return 1 + (error / half)**2; the error is used up."""
    error /= np.float32(half)
    error *= error
    error += np.float32(1)
    return error


def _still(here: DirtPicture) -> PairMotion:
    zero = np.zeros((1, 1), np.float32)
    return PairMotion(
        np.zeros((1, 1, 2), np.int16), 2 * here.scale,
        np.full((1, 1), 255, np.uint8), here.scale, zero, CELL * here.scale,
    )  # fmt: skip


def _flow(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    # The stubs of OpenCV 5 leave this factory out.
    search = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined, unused-ignore]
        cv2.DISOPTICAL_FLOW_PRESET_FAST
    )
    return np.asarray(search.calc(here, there, None), np.float32)


def _places(flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = flow.shape[:2]
    x, y = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)[:, None]
    return x + flow[..., 0], y + flow[..., 1]


def _moved(picture: _Codes, flow: NDArray[np.float32]) -> _Codes:
    import cv2

    return np.asarray(
        cv2.remap(picture, *_places(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _cells(values: _Codes) -> NDArray[np.float32]:
    """Return the mean of every cell; cells at the edges are those of the last whole px."""
    import cv2

    rows, columns = -(-values.shape[0] // CELL), -(-values.shape[1] // CELL)
    wide = cv2.copyMakeBorder(
        values, 0, rows * CELL - values.shape[0], 0, columns * CELL - values.shape[1],
        cv2.BORDER_REFLECT_101 if min(values.shape) > CELL else cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(
        np.asarray(wide).reshape(rows, CELL, columns, CELL).mean(axis=(1, 3)), np.float32
    )


def _offset(difference: _Codes) -> NDArray[np.float32]:
    """Return the offset of every cell, smooth and little moved by what is on one frame only."""
    import cv2

    rough = np.asarray(cv2.medianBlur(_cells(np.clip(difference, -80, 80)), 5), np.float32)
    near = _spread(rough, difference.shape)
    # What differs by more than a few codes from the rest of its cell is dirt or motion.
    fine = _cells(np.clip(difference - near, -4, 4)) + rough
    return np.asarray(
        cv2.GaussianBlur(cv2.medianBlur(fine.astype(np.float32), 5), (0, 0), 1.0), np.float32
    )


def _spread(cells: NDArray[np.float32], shape: tuple[int, ...]) -> _Codes:
    """Return values at every px from those of cells, linear between their middles."""
    import cv2

    size = cells.shape[1] * CELL, cells.shape[0] * CELL
    wide = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), np.float32)
    return wide[: shape[0], : shape[1]]


def displacement(
    motion: PairMotion, y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return displacements `(n, 2)`, x then y, px, at `n` places of the full frame."""
    return _native.displacement(motion.vectors, motion.scale, y, x)
