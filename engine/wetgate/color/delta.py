"""Put an operator's result back into the source so that "did nothing" means the same bits.

An operator works in an encoding `f` of the source `x`. Writing `inv(op(f(x)))` back would round
every value, touched or not. Instead the difference is added: `x + (inv(op(f(x))) - inv(f(x)))`,
which is `x` itself wherever the operator returned what it was given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Convert = Callable[[Pixels], Pixels]
"""A conversion of float32 `(h, w, channel)` into a new array of the same shape."""

ALPHA_EPSILON = 2.0**-14
"""Alpha at or below which color is emission and stays as it is; the smallest normal half."""


def apply_delta(source: Pixels, before: Pixels, after: Pixels, inverse: Convert | None) -> Pixels:
    """Return the source with the operator's change in it.

    Args:
        source: `(h, w, channel)`, in the source's encoding.
        before: the same pixels in the operator's encoding, as the operator got them.
        after: what the operator returned.
        inverse: from the operator's encoding to the source's; None when they are the same, and
            `after` is then taken as it stands.

    Returns:
        A new array with the source's bits (the sign of zero and NaN payloads included) in every
        pixel in which `after` equals `before` bit for bit, and in every channel that the change
        does not reach. Un-clamped.

    Raises:
        ValueError: when the shapes differ.
    """
    if not source.shape == before.shape == after.shape:
        raise ValueError(f"shapes differ: {source.shape}, {before.shape}, {after.shape}")
    if inverse is None and source is before:
        return after.copy()
    same = _same_bits(before, after)
    if inverse is None:
        return np.where(same, source, after)
    if same.all():
        return source.copy()
    change = inverse(after) - inverse(before)
    # A conversion may mix channels, so only a pixel that is the same in all of them is untouched.
    keep = same.all(axis=-1, keepdims=True) | (change == 0.0)
    return np.where(keep, source, source + change)


def _same_bits(a: Pixels, b: Pixels) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = np.equal(
        np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32)
    )
    return same


def unpremultiply(color: Pixels, alpha: NDArray[np.float32]) -> Pixels:
    """Divide color by alpha where alpha is above `ALPHA_EPSILON`; elsewhere color is emission.

    Args:
        color: `(h, w, channel)`, associated (premultiplied), as EXR has it.
        alpha: `(h, w)`, un-clamped.
    """
    return color / _divisor(alpha)


def premultiply(color: Pixels, alpha: NDArray[np.float32]) -> Pixels:
    """Undo `unpremultiply` with the same alpha."""
    return color * _divisor(alpha)


def convert_premultiplied(color: Pixels, alpha: NDArray[np.float32], convert: Convert) -> Pixels:
    """Convert associated color: divide by alpha, convert, multiply again.

    Alpha itself never passes a color conversion. Where alpha is 0 the color is light without
    coverage (flames, glows) and is converted as it stands.
    """
    return premultiply(convert(unpremultiply(color, alpha)), alpha)


def _divisor(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    usable = (alpha > np.float32(ALPHA_EPSILON)) & np.isfinite(alpha)
    return np.where(usable, alpha, np.float32(1.0))[..., None]


def expand_legal(pixels: Pixels, bits: int, *, chroma: bool = False) -> Pixels:
    """Stretch legal (video) range to full: `(code - 64) / 876` at 10 bits, un-clamped.

    Args:
        pixels: `code / (2**bits - 1)`.
        bits: of the source code, at least 8; the limits scale with it.
        chroma: for Cb and Cr `(code - 512) / 896`, centred on 0.

    Source: ITU-R BT.709-6, section 4 (quantisation).
    """
    top, offset, span = _legal(bits, chroma)
    return ((pixels.astype(np.float64) * top - offset) / span).astype(np.float32)


def compress_legal(pixels: Pixels, bits: int, *, chroma: bool = False) -> Pixels:
    """Undo `expand_legal`; every code comes back exactly when rounded."""
    top, offset, span = _legal(bits, chroma)
    return ((pixels.astype(np.float64) * span + offset) / top).astype(np.float32)


def _legal(bits: int, chroma: bool) -> tuple[float, float, float]:
    if not 8 <= bits <= 16:
        raise ValueError(f"legal range is defined for 8 to 16 bits of integer code, got {bits}")
    step = float(1 << (bits - 8))
    top = float((1 << bits) - 1)
    return (top, 128.0 * step, 224.0 * step) if chroma else (top, 16.0 * step, 219.0 * step)
