"""Between the file's encoding and the one an operator works in, and back by delta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wetgate.color.delta import (
    apply_delta,
    compress_legal,
    expand_legal,
    premultiply,
    unpremultiply,
)
from wetgate.color.nonfinite import non_finite_mask, restore
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.model.frame import SampleType, code_depth
from wetgate.operators.base import Pixels, WorkingSpace
from wetgate.render.store import HALF_MAX

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig, Processor
    from wetgate.recipe.schema import CodeRange

_LINEAR = frozenset({"scene-linear", "display-linear"})


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way from source encoding to working encoding and back.

    Attributes:
        signed_log: whether the working encoding is the signed log of scene-linear.
        forward, backward: color conversions to and from it, None for none.
        premultiplied: colors come multiplied with alpha and are divided for the operator.
        legal_bits: depth of legal-range codes, expanded before a conversion; None for full.
    """

    signed_log: bool = False
    forward: Processor | None = None
    backward: Processor | None = None
    premultiplied: bool = False
    legal_bits: int | None = None

    @property
    def is_identity(self) -> bool:
        """Whether operators get the very values of the file."""
        return not self.signed_log and self.forward is None

    def encode(self, color: Pixels, alpha: Pixels | None = None) -> Pixels:
        """Return colors `(h, w, 1 or 3)` in the working encoding; `color` is not written to.

        Args:
            alpha: `(h, w, 1)`, used when the colors are premultiplied.
        """
        if self.is_identity:
            return color
        if self.premultiplied and alpha is not None:
            color = unpremultiply(color, alpha[..., 0])
        if self.forward is not None:
            if self.legal_bits is not None:
                color = expand_legal(color, self.legal_bits)
            color = convert(self.forward, color)
        return signed_log(color) if self.signed_log else color

    def decode(self, work: Pixels, alpha: Pixels | None = None) -> Pixels:
        """Return the source encoding of working values; the way back of `encode`."""
        if self.signed_log:
            work = signed_log_inverse(work)
        if self.backward is not None:
            work = convert(self.backward, work)
            if self.legal_bits is not None:
                work = compress_legal(work, self.legal_bits)
        if self.premultiplied and alpha is not None:
            work = premultiply(work, alpha[..., 0])
        return work


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpace:
    """The conversion of whole pictures into another color space.

    Attributes:
        name: OCIO name of the target. encoding: its `forward` is the conversion.
    """

    name: str
    encoding: Encoding


def make_encoding(
    working: WorkingSpace,
    *,
    space: str,
    config: ColorConfig,
    sample_type: SampleType,
    premultiplied: bool,
    code_range: CodeRange,
) -> Encoding:
    """Decide the conversions for one operator on one clip.

    Args:
        space: OCIO name of the clip's space.
        premultiplied: the clip has associated alpha.
    """
    linear = is_linear(config, space)
    if working == "log" and linear:
        return Encoding(signed_log=True, premultiplied=premultiplied)
    if working == "linear" and not linear:
        there = config.processor(space, "scene_linear")
        if not there.is_identity:
            return Encoding(
                forward=there,
                backward=config.processor("scene_linear", space),
                premultiplied=premultiplied,
                legal_bits=legal_bits(sample_type) if code_range == "legal" else None,
            )
    return Encoding()


def is_linear(config: ColorConfig, space: str) -> bool:
    """Whether values of a space are proportional to light."""
    return config.encoding(space) in _LINEAR


def legal_bits(sample_type: SampleType) -> int | None:
    """Return the depth of integer codes that may be in legal range, None for half and float."""
    return code_depth(sample_type)


def convert(processor: Processor, color: Pixels) -> Pixels:
    """Convert colors of one or three channels; a single channel is taken as neutral."""
    if color.shape[-1] == 3:
        return processor.apply(color)
    neutral = np.repeat(color, 3, axis=-1)
    return np.ascontiguousarray(processor.apply(neutral)[..., 1:2])


def compose(
    source: Pixels,
    before: Pixels,
    after: Pixels,
    encoding: Encoding,
    *,
    strength: float,
    matte: Pixels | None = None,
    alpha: Pixels | None = None,
    sample_type: SampleType,
) -> Pixels:
    """Apply what an operator did to the source, by delta in source encoding.

    `out = source + strength * matte * (decode(after) - decode(before))`. What the operator left
    alone bit by bit, what the matte excludes and what is not finite keeps the source's bits.

    Args:
        source: `(h, w, channel)` in source encoding, NaN and Inf included.
        before, after: the same region in the working encoding, in and out of the operator. An
            operator gets finite values only; where that is the source itself, pass the same array.
        matte: `(h, w, 1)`, 0-1. alpha: `(h, w, 1)` for premultiplied sources.

    Returns:
        A new array, finite wherever the source is.
    """
    inverse = None if encoding.is_identity else lambda work: encoding.decode(work, alpha)
    with np.errstate(invalid="ignore", over="ignore"):
        out = apply_delta(source, before, after, inverse)
        if strength != 1.0 or matte is not None:
            weight = np.float32(strength) if matte is None else matte * np.float32(strength)
            change = out - source
            out = np.where((change == 0) | (weight == 0), source, source + weight * change)
        if sample_type == "half":
            # A finite pixel must not come back as infinity: halves end here.
            out = np.where(np.abs(source) <= HALF_MAX, np.clip(out, -HALF_MAX, HALF_MAX), out)
    if source is not before:  # what an operator gets is finite
        restore(out, source, non_finite_mask(source))
    return restore(out, source, non_finite_mask(out))


def compose_fixed(
    source: Pixels,
    before: Pixels,
    after: Pixels,
    encoding: Encoding,
    *,
    weight: Pixels,
    alpha: Pixels | None = None,
    sample_type: SampleType,
) -> Pixels:
    """Put what an operator made of single pixels in the place of the source's.

    `out = source + weight * (decode(after) - source)`, and `decode(after)` itself where the
    weight is 1: a pixel borrowed from another frame comes out with that frame's codes, which a
    delta in float32 from a much brighter defect would miss. A sample that the operator left alone
    bit by bit and a pixel that is not finite keep the source's bits.

    Args:
        source: C-contiguous `(n, channel)` pixels in source encoding, NaN and Inf included.
        before, after: the same in the working encoding, in and out of the operator.
        weight: `(n, 1)`, strength times matte. alpha: `(n, 1)` for premultiplied sources.

    Returns:
        A new array, finite wherever the source is.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        # Conversions want rows of a picture; these pixels are one.
        out = encoding.decode(after[None], None if alpha is None else alpha[None])[0]
        mixed = source + weight * (out - source)
        out = np.where(weight == 1, out, np.where(weight == 0, source, mixed))
        same = np.ascontiguousarray(before).view(np.uint32) == np.ascontiguousarray(after).view(
            np.uint32
        )
        # A conversion may mix channels, so only a pixel that is the same in all is untouched.
        out = np.where(
            same if encoding.backward is None else same.all(-1, keepdims=True), source, out
        )
        if sample_type == "half":
            out = np.where(np.abs(source) <= HALF_MAX, np.clip(out, -HALF_MAX, HALF_MAX), out)
    usable = np.isfinite(source).all(-1, keepdims=True) & np.isfinite(out).all(-1, keepdims=True)
    return np.where(usable, out, source).astype(np.float32, copy=False)


def compose_resized(
    nearest: Pixels,
    after: Pixels,
    encoding: Encoding,
    *,
    plain: Pixels | None = None,
    weight: Pixels | np.float32 | None = None,
    alpha: Pixels | None = None,
    sample_type: SampleType,
) -> Pixels:
    """Bring what a scaling operator returned into the source encoding.

    There is no source pixel to add a difference to: the values are decoded as they are. Where
    the nearest sample of the source is not finite, and where the operator made something that is
    not, the bits of that sample stand.

    Args:
        nearest: `(h, w, channel)`, the source in its encoding at the size of the output.
        after: the same region as the operator returned it.
        plain: the same by a classical resample, in the working encoding; with it
            `out = plain + weight * (after - plain)` in the source encoding.
        weight: strength times matte, `(h, w, 1)` or one number.
        alpha: `(h, w, 1)` for premultiplied sources.

    Returns:
        A new array, un-clamped, finite wherever the source is.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        out = encoding.decode(after, alpha)
        if plain is not None and weight is not None:
            base = encoding.decode(plain, alpha)
            mixed = base + weight * (out - base)
            out = np.where(weight == 1, out, np.where(weight == 0, base, mixed))
        out = np.array(out, dtype=np.float32, order="C", copy=True)
        if sample_type == "half":
            held = np.abs(nearest) <= HALF_MAX
            out = np.where(held, np.clip(out, -HALF_MAX, HALF_MAX), out)
    restore(out, nearest, non_finite_mask(nearest))
    return restore(out, nearest, non_finite_mask(out))
