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
