"""NaN and Inf: keep them out of arithmetic, stand in for them, and put them back unchanged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_REACHES = (1, 2, 4, 8)
"""Half sizes, px, of the windows in which a stand-in is sought, smallest first."""

_BATCH = 4096
"""Masked pixels treated at once; bounds the memory of a frame that is mostly NaN."""


def convert_finite(
    pixels: NDArray[np.float32], convert: Callable[[NDArray[np.float32]], object]
) -> None:
    """Convert pixels in place with a function that must not see NaN or Inf.

    A channel that is not finite keeps its bits; the pixel's other channels are converted as if
    it were 0.

    Args:
        pixels: float32 `(n, channel)`, C order; overwritten.
        convert: works in place on such an array.
    """
    bad = ~np.isfinite(pixels)
    if not bad.any():
        convert(pixels)
        return
    kept = pixels[bad]
    pixels[bad] = 0.0
    convert(pixels)
    pixels[bad] = kept


def non_finite_mask(pixels: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return the `(h, w)` mask of pixels with NaN or Inf in any channel, or None without any."""
    finite = np.isfinite(pixels)
    # One pass over all samples is several times quicker than one along an axis of three.
    if finite.all():
        return None
    bad: NDArray[np.bool_] = np.logical_not(finite.all(axis=-1))
    return bad


def substitute(pixels: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Give an operator finite numbers where the source has none.

    A masked pixel becomes the median, channel by channel, of the pixels not masked in the
    smallest window of 3, 5, 9 or 17 px that holds any, else 0. Only this neighborhood decides,
    so a tile with 8 px of context gives what the whole frame gives.

    Args:
        pixels: float32 `(h, w, channel)`.
        mask: `(h, w)`, True where the pixel is not to be used; None for nowhere.

    Returns:
        A new array, or `pixels` itself when nothing is masked.
    """
    if mask is None or not mask.any():
        return pixels
    out = pixels.copy()
    out[mask] = 0.0
    rows, columns = np.nonzero(mask)
    usable = np.where(mask[..., None], np.float32(np.nan), pixels)
    for reach in _REACHES:
        padded = np.pad(usable, ((reach, reach), (reach, reach), (0, 0)), constant_values=np.nan)
        size = 2 * reach + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
        open_rows, open_columns = [], []
        for start in range(0, len(rows), _BATCH):
            y, x = rows[start : start + _BATCH], columns[start : start + _BATCH]
            near = windows[y, x].reshape(len(y), pixels.shape[2], size * size)
            count = np.count_nonzero(~np.isnan(near[:, 0]), axis=1)
            found = count > 0
            out[y[found], x[found]] = _median_of_first(np.sort(near[found], axis=2), count[found])
            open_rows.append(y[~found])
            open_columns.append(x[~found])
        rows, columns = np.concatenate(open_rows), np.concatenate(open_columns)
        if not len(rows):
            break
    return out


def _median_of_first(
    ascending: NDArray[np.float32], count: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the median of the first `count[i]` values of `(n, channel, k)`; NaN sorts last."""
    row = np.arange(len(count))
    low, high = ascending[row, :, (count - 1) // 2], ascending[row, :, count // 2]
    return low + (high - low) * np.float32(0.5)


def restore(
    result: NDArray[np.float32], source: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Put the source's own bits back where it was not finite; writes into `result`."""
    if mask is not None:
        result[mask] = source[mask]
    return result
