"""Pictures for people: frames shown on a display, differences, details.

Previews are small, rounded to 8 bits and tone-mapped. Nothing here reaches an output frame.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig

Pixels = NDArray[np.float32]

_LINEAR = "lin_rec709_scene"
_SHOULDER = 0.6


def display(pixels: Pixels, space: str, config: ColorConfig | None) -> Pixels:
    """Return color pixels as a display would show them: sRGB codes 0-1, `(h, w, 3)`.

    Log and linear pictures go to linear Rec.709, through a soft shoulder for what is brighter
    than white, and to the sRGB curve. Display-referred pictures are shown as they are, and so is
    everything without a config, because nobody knows what it is.
    """
    rgb = np.nan_to_num(_as_rgb(pixels), nan=0.0, posinf=65504.0, neginf=0.0)
    if config is not None and config.encoding(space) in ("scene-linear", "log"):
        rgb = _srgb(_tone(config.processor(space, _LINEAR).apply(rgb)))
    return np.clip(rgb, 0, 1)


def difference(before: Pixels, after: Pixels, amplification: int) -> Pixels:
    """Return the difference of two displayed pictures, amplified, around middle gray."""
    result: Pixels = np.clip(0.5 + amplification * (after - before), 0, 1)
    return result


def shrink(picture: Pixels, longest: int) -> Pixels:
    """Return the picture no longer than `longest` px on a side, by averaging areas."""
    import cv2

    height, width = picture.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1.0:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def data_uri(picture: Pixels, *, lossless: bool = False) -> str:
    """Return a displayed picture (0-1) as a data URI, PNG or JPEG."""
    import cv2

    codes = np.ascontiguousarray((picture[..., ::-1] * 255 + 0.5).astype(np.uint8))
    if lossless:
        kind, made = "png", cv2.imencode(".png", codes)
    else:
        kind, made = "jpeg", cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return f"data:image/{kind};base64,{base64.b64encode(made[1].tobytes()).decode('ascii')}"


def telling_details(
    before: Pixels, after: Pixels, size: int, count: int = 2
) -> list[tuple[int, int]]:
    """Return the top left corners of the details worth showing at full size.

    The first has the most structure left after restoration, the next the most that went away.
    """
    height, width = after.shape[:2]
    size = min(size, height, width)
    step = max(1, size // 2)
    scores = []
    for y in range(0, height - size + 1, step):
        for x in range(0, width - size + 1, step):
            area = (slice(y, y + size), slice(x, x + size))
            gray = after[area].mean(axis=-1)
            # Clipped areas show nothing.
            shown = float(((gray > 0.04) & (gray < 0.96)).mean())
            across = np.abs(np.diff(gray, axis=1))
            edges = float(across.mean()) * shown if across.size else 0.0
            removed = float((after[area] - before[area]).std()) * shown / (edges + 0.01)
            scores.append((edges, removed, x, y))
    if not scores:
        return []
    chosen = [max(scores)[2:]]
    far = [s for s in scores if math.dist(s[2:], chosen[0]) >= size]
    if far and count > 1:
        chosen.append(max(far, key=lambda s: s[1])[2:])
    return [(x, y) for x, y in chosen]


def _as_rgb(pixels: Pixels) -> Pixels:
    if pixels.shape[-1] >= 3:
        return np.ascontiguousarray(pixels[..., :3])
    return np.repeat(pixels[..., :1], 3, axis=-1)


def _tone(linear: Pixels) -> Pixels:
    light = np.maximum(linear, np.float32(0))
    over = np.maximum(light - _SHOULDER, 0) / (1 - _SHOULDER)
    result: Pixels = np.where(
        light <= _SHOULDER, light, _SHOULDER + (1 - _SHOULDER) * (1 - np.exp(-0.75 * over))
    )
    return result.astype(np.float32)


def _srgb(linear: Pixels) -> Pixels:
    # IEC 61966-2-1.
    curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    result: Pixels = np.where(linear <= 0.0031308, 12.92 * linear, curve).astype(np.float32)
    return result
