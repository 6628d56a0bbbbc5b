"""Optical flow between whole frames, on 8-bit pictures made for that alone.

Dense inverse search (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016)
as OpenCV has it. Flow only says where to look; no pixel of it reaches the result. OpenCV cuts
its work by thread count, so the count is pinned to one here: the same bits on any machine load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import SurveyBytes

FLOW_UNITS_PER_PIXEL = 32
_FULL_RESOLUTION_WIDTH = 1280


@dataclass(frozen=True, slots=True)
class FlowPicture:
    """What flow is estimated on: uint8 `(rows, columns)`, one sample for `scale` x `scale` px."""

    picture: NDArray[np.uint8]
    scale: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Displacement from one frame to another.

    Attributes:
        vectors: int16 `(rows, columns, 2)`, x then y, in 1/32 px of the full frame.
        scale: one sample covers `scale` x `scale` px.
    """

    vectors: NDArray[np.int16]
    scale: int

    def at(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return displacements `(len(y), len(x), 2)` at full-frame positions, px."""
        return self._nearest(x, y) / FLOW_UNITS_PER_PIXEL

    def whole_at(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return displacements `(len(y), len(x), 2)` at full-frame positions, whole px."""
        half = FLOW_UNITS_PER_PIXEL // 2
        whole = (self._nearest(x, y).astype(np.int32) + half) // FLOW_UNITS_PER_PIXEL
        return np.ascontiguousarray(whole.astype(np.int16))

    def _nearest(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int16]:
        rows, columns = self.vectors.shape[:2]
        at_y = np.minimum(y // self.scale, rows - 1)
        at_x = np.minimum(x // self.scale, columns - 1)
        return self.vectors[np.ix_(at_y, at_x)]


def flow_scale(width: int, height: int) -> int:
    """Return the px of one sample of a flow picture: all up to 1280 px, then every second."""
    return 1 if max(width, height) <= _FULL_RESOLUTION_WIDTH else 2


def flow_bytes(width: int, height: int) -> SurveyBytes:
    """Return what surveys take that make flow pictures and estimate flow between them.

    The figures of `making` are measured: float32 planes of the whole frame, and what OpenCV keeps
    of pyramids and vectors for every sample.
    """
    scale = flow_scale(width, height)
    samples = -(-width // scale) * -(-height // scale)
    vectors = -(-width // (2 * scale)) * -(-height // (2 * scale))
    return SurveyBytes(
        frame=samples, pair=4 * vectors, making=max(8 * width * height + 18 * samples, 26 * samples)
    )


def flow_picture(
    luma: NDArray[np.float32], low: float, high: float, blur_deviation: float
) -> FlowPicture:
    """Blur, reduce and quantise luma for flow estimation.

    Args:
        luma: `(height, width)`, any unit; `low` and `high` become 0 and 255.
        blur_deviation: of the Gaussian against noise, px of the full frame.
    """
    import cv2

    cv2.setNumThreads(1)
    height, width = luma.shape
    scale = flow_scale(width, height)
    soft = cv2.GaussianBlur(luma, (0, 0), blur_deviation, borderType=cv2.BORDER_REFLECT_101)
    if scale > 1:
        size = -(-width // scale), -(-height // scale)
        soft = cv2.resize(soft, size, interpolation=cv2.INTER_AREA)
    # Stray values near the end of float32 overflow on the way; they must not decide elsewhere.
    with np.errstate(over="ignore", invalid="ignore"):
        code = np.nan_to_num((soft - low) * (255.0 / max(high - low, 1e-6)))
    return FlowPicture(np.clip(np.rint(code), 0, 255).astype(np.uint8), scale)


def estimate_flow(here: FlowPicture, there: FlowPicture) -> Flow:
    """Estimate where each sample of `here` went in `there`."""
    import cv2

    cv2.setNumThreads(1)
    if min(here.picture.shape) < 16:  # too small to carry motion
        return Flow(np.zeros((1, 1, 2), np.int16), 2 * here.scale)
    # The stubs of OpenCV 5 leave this factory out.
    search = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined, unused-ignore]
        cv2.DISOPTICAL_FLOW_PRESET_FAST
    )
    vectors = search.calc(here.picture, there.picture, None)
    # Flow is smooth: kept at half the picture's resolution it serves as well (measured: within
    # 0.01 dB) in a quarter of the memory.
    rows, columns = here.picture.shape
    vectors = cv2.resize(vectors, (-(-columns // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)
    units = np.rint(vectors * float(FLOW_UNITS_PER_PIXEL * here.scale))
    return Flow(np.clip(units, -32767, 32767).astype(np.int16), 2 * here.scale)
