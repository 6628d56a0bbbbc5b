"""Pictures of whole frames for the eye: scan, result, what differs, and where it comes from.

They are shrunk, shown through the color config's own view and rounded to 8 bits. Nothing here
reaches an output frame or a disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError
from wetgate.operators.base import Pixels, Provenance
from wetgate.service.review.shot import WORKING_NAMES, Picture, Shot

Kind = Literal["source", "restored", "difference", "matte"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WIDTH = 1280
WIDEST = 4096
GAIN = 8.0
MOST_GAIN = 256.0

CLASS_COLORS: Mapping[int, tuple[int, int, int]] = {
    Provenance.REEXPOSED: (141, 132, 214),
    Provenance.RESAMPLED: (86, 180, 233),
    Provenance.FILTERED: (0, 178, 134),
    Provenance.BORROWED: (240, 190, 60),
    Provenance.INFERRED: (235, 98, 72),
}
"""sRGB codes of the provenance classes, apart for all common kinds of color vision."""
CLASS_WORDS: Mapping[int, str] = {
    Provenance.UNTOUCHED: "the scan's own bits",
    Provenance.REEXPOSED: "re-exposed",
    Provenance.RESAMPLED: "resampled",
    Provenance.FILTERED: "filtered",
    Provenance.BORROWED: "borrowed from another frame",
    Provenance.INFERRED: "invented",
}
_DIM = np.float32(0.5)
_FEW = 4
_LEAST = np.float32(0.55)
"""How much a single px of a class colors a px of the view that covers many."""


@dataclass(frozen=True, slots=True)
class View:
    """A PNG, its size in px, and what is to be said about it."""

    png: bytes
    width: int
    height: int
    facts: Mapping[str, object] = field(default_factory=dict)


def make_view(
    shot: Shot, number: int, kind: Kind, *, width: int = WIDTH, gain: float = GAIN
) -> View:
    """Return a picture of a frame, no wider than `width` px and never enlarged.

    Args:
        gain: by how much a difference is amplified, around middle gray: brighter in the result is
            bright. It is taken in the encoding that the first step works in.

    Raises:
        UsageError: an unknown kind, or a width or gain that makes no sense.
        InputError: a frame is missing or cannot be read.
    """
    if kind not in KINDS:
        raise UsageError(f"no view {kind!r}", expected=", ".join(KINDS))
    if not 16 <= width <= WIDEST:
        raise UsageError(f"a width of {width} px", expected=f"16 to {WIDEST}")
    if not (0 < gain <= MOST_GAIN):  # NaN is neither
        raise UsageError(f"amplified {gain:g} times", expected=f"more than 0, at most {MOST_GAIN}")
    if kind == "difference":
        return _difference(shot, number, width, gain)
    if kind == "matte":
        return _matte(shot, number, width)
    picture = shot.source(number) if kind == "source" else shot.result(number)
    shown, named = _seen(shot, picture, width)
    return _view(shown, {"view": named, "space": picture.space, **_size_facts(picture)})


def shrunk(picture: Picture, width: int) -> Pixels:
    """Return the samples with averaged areas, no wider than `width`, in square px.

    What is not finite counts as 0, so that it does not spread.
    """
    # A picture with few channels is shrunk whole: taking the colors out first would cost more.
    whole = picture.frame.pixels.shape[-1] <= _FEW
    pixels = picture.frame.pixels if whole else np.ascontiguousarray(picture.pixels)
    if picture.frame.non_finite is not None:
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
    small = _fit(pixels, shown_size(picture, width))
    return np.ascontiguousarray(small[..., list(picture.columns)]) if whole else small


def shown_size(picture: Picture, width: int) -> tuple[int, int]:
    """Return width and height of a view: the shape that a projection has."""
    height, across = picture.pixels.shape[:2]
    aspect = picture.frame.pixel_aspect
    aspect = aspect if math.isfinite(aspect) and 0.1 <= aspect <= 10 else 1.0
    wide = min(width, across)
    return wide, max(1, round(height * wide / (across * aspect)))


def _difference(shot: Shot, number: int, width: int, gain: float) -> View:
    after, before = shot.result(number), shot.source(number)
    steps = shot.steps
    working = steps[0].working if steps else "source"
    size = min(shown_size(after, width), shown_size(before, width))
    worked, encoding = [], shot.encoding(before, working)
    for picture in (before, after):
        samples = _fit(shrunk(picture, width), size)
        alpha = None if picture.alpha is None else _fit(picture.alpha, size)
        worked.append(shot.encoding(picture, working).encode(samples, alpha))
    apart = np.nan_to_num(worked[1] - worked[0])
    shown = np.clip(np.float32(0.5) + np.float32(gain) * apart, 0, 1)
    shown = shown if shown.shape[-1] == 3 else np.repeat(shown[..., :1], 3, axis=-1)
    facts: dict[str, object] = {
        "gain": gain,
        "working": WORKING_NAMES["source" if encoding.is_identity else working],
        "least": float(apart.min()),
        "most": float(apart.max()),
        **_size_facts(after),
    }
    if before.pixels.shape[:2] != after.pixels.shape[:2]:
        facts["note"] = "the result has another size than the scan: both are shrunk to one"
    return _view(shown, facts)


def _matte(shot: Shot, number: int, width: int) -> View:
    classes = shot.classes(number)
    picture = shot.result(number)
    size = shown_size(picture, width)
    gray = _seen(shot, picture, width)[0].mean(axis=-1, keepdims=True)
    shown = np.repeat(gray * _DIM, 3, axis=-1)
    legend = []
    for mark in sorted(set(np.unique(classes).tolist()) | {0}):
        where = (classes == mark).astype(np.float32)[..., None]
        share = float(where.mean(dtype=np.float64))
        color = CLASS_COLORS.get(mark, (255, 255, 255))
        legend.append(
            {
                "class": mark,
                "name": CLASS_WORDS.get(mark, f"class {mark}"),
                "color": "" if mark == 0 else "#{:02x}{:02x}{:02x}".format(*color),
                "share": share,
            }
        )
        if mark:
            part = _fit(where, size)
            strength = np.where(part > 0, _LEAST + (1 - _LEAST) * part, 0).astype(np.float32)
            paint = np.asarray(color, np.float32) / 255
            shown = shown * (1 - strength) + paint * strength
    return _view(shown, {"legend": legend, **_size_facts(picture)})


def _seen(shot: Shot, picture: Picture, width: int) -> tuple[Pixels, str]:
    return shot.seen(shrunk(picture, width), picture.space, picture.frame.sample_type)


def _fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    import cv2

    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    made = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)
    return made.reshape(size[1], size[0], pixels.shape[-1])


def _size_facts(picture: Picture) -> dict[str, object]:
    height, width = picture.pixels.shape[:2]
    return {"width": width, "height": height}


def _view(shown: Pixels, facts: Mapping[str, object]) -> View:
    return View(png_of(shown), shown.shape[1], shown.shape[0], facts)


def png_of(shown: NDArray[np.float32]) -> bytes:
    """Return display codes 0-1 `(h, w, 3)` as a PNG, packed quickly."""
    import cv2

    codes = np.ascontiguousarray((shown[..., ::-1] * 255 + np.float32(0.5)).astype(np.uint8))
    made, data = cv2.imencode(".png", codes, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not made:
        raise ValueError(f"no PNG of {codes.shape}")
    return bytes(data.tobytes())
