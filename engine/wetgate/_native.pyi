"""Hot loops of wetgate (see native/)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def dpx_unpack(
    data: NDArray[np.uint8],
    pixels: NDArray[np.float32],
    *,
    row_bytes: int,
    bits: int,
    packing: int,
    big_endian: bool,
    channel: Sequence[int],
    odd_channel: int = -1,
) -> bool: ...
def dpx_pack(
    pixels: NDArray[np.float32],
    data: NDArray[np.uint8],
    *,
    row_bytes: int,
    bits: int,
    packing: int,
    big_endian: bool,
    channel: Sequence[int],
    odd_channel: int = -1,
) -> None: ...
def empty_frame(height: int, width: int, channels: int) -> NDArray[np.float32]: ...
def trim_frames() -> None: ...
def return_blocks(bytes: int) -> bool: ...

class FrameFile:
    """A private file of a random name that one frame after another is written to."""

    def __init__(self, directory: str, nbytes: int) -> None: ...
    def write(self, pixels: NDArray[np.float32], generation: int) -> tuple[str, int, int]: ...
    def close(self) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def generation(self) -> int: ...

def frame_open(path: str) -> tuple[NDArray[np.float32], int]: ...
def to_noise_units(
    pixels: NDArray[np.float32], tables: NDArray[np.float32], ranges: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def to_noise_luma(
    pixels: NDArray[np.float32], tables: NDArray[np.float32], ranges: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def interpolate(
    pixels: NDArray[np.float32], knots: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float32]: ...
def from_noise_units(
    planes: NDArray[np.float32], tables: NDArray[np.float32], ranges: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def lay_over(
    center: NDArray[np.float32],
    moved: NDArray[np.float32],
    seen: NDArray[np.float32],
    offset: NDArray[np.float32],
    cell: int,
    trust: NDArray[np.uint8],
    trust_scale: int,
    origin: tuple[int, int],
    frame: tuple[int, int],
    steps: float,
    most: float,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.bool_],
    NDArray[np.float32],
    NDArray[np.float32],
]: ...
def compare_neighbors(
    neighbors: Sequence[
        tuple[
            NDArray[np.float32],
            NDArray[np.float32],
            NDArray[np.float32],
            NDArray[np.float32],
            NDArray[np.bool_],
            bool,
            bool,
        ]
    ],
    height: int,
    width: int,
    unit: float,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.uint8],
]: ...
def displacement(
    vectors: NDArray[np.int16], scale: int, y: NDArray[np.int64], x: NDArray[np.int64]
) -> NDArray[np.float64]: ...
def sample_along(
    pixels: NDArray[np.float32],
    vectors: NDArray[np.int16],
    scale: int,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    origin: tuple[int, int],
    frame: tuple[int, int],
) -> NDArray[np.float32]: ...
def lowpass(
    plane: NDArray[np.float32], frame: tuple[int, int, int, int]
) -> NDArray[np.float32]: ...
def fuse(
    planes: Sequence[NDArray[np.float32] | None],
    flow: Sequence[NDArray[np.int16] | None],
    frame: tuple[int, int, int, int],
    origin: tuple[int, int],
    flow_scale: int,
    reach: float,
    floor_error: float,
) -> NDArray[np.float32]: ...
def collaborate(
    noisy: Sequence[NDArray[np.float32] | None],
    basic: Sequence[NDArray[np.float32] | None],
    guide: Sequence[NDArray[np.float32] | None],
    flow: Sequence[NDArray[np.int16] | None],
    frame: tuple[int, int, int, int],
    tile: tuple[int, int, int, int],
    ref_x: Sequence[int],
    ref_y: Sequence[int],
    noise: NDArray[np.float32],
    level: NDArray[np.float32] | None,
    level_range: tuple[float, float],
    parameters: dict[str, float],
) -> NDArray[np.float32]: ...
def shrink_blocks(
    plane: NDArray[np.float32],
    anchor: tuple[int, int],
    shifts: Sequence[tuple[int, int]],
    threshold: NDArray[np.float32],
    scale: Sequence[float],
) -> NDArray[np.float32]: ...
def limit_blocks(
    change: NDArray[np.float32], anchor: tuple[int, int], limit: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def warp(
    planes: NDArray[np.float32],
    flow: NDArray[np.int16],
    frame: tuple[int, int, int, int],
    origin: tuple[int, int],
    flow_scale: int,
    reach: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def rim_errors(
    there: NDArray[np.float32],
    dirty: NDArray[np.uint8],
    y: NDArray[np.int32],
    x: NDArray[np.int32],
    own: NDArray[np.float64],
    sigma: NDArray[np.float64],
    shifts: NDArray[np.int32],
    least: float,
    bound: float,
) -> NDArray[np.float64]: ...
def read_between(
    source: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64], taps: int
) -> NDArray[np.float32]: ...
