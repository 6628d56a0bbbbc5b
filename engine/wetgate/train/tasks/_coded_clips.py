"""Clips with camera motion, coded and decoded: what the deartifact task learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.camera import CameraSpec, Layer, View, photograph, view_of
from wetgate.simulate.codec import CodecSpec, compress

Frames = NDArray[np.float32]
"""float32 `(frame, height, width, 3)`, display-referred."""

_MARGIN = 64
RATES = {"h264": (20.0, 43.0), "mpeg2": (2.0, 24.0), "jpeg": (8.0, 75.0)}
_SHARES = {"h264": 0.66, "mpeg2": 0.17, "jpeg": 0.17}
_PRESETS = ("veryfast", "medium", "medium", "slow")
_GOPS = (None, None, 12, 24)
_B_FRAMES = (None, None, None, 0, 2)
_CROPPED = 0.3
_STILL = 0.15
_BT601 = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedClip:
    """A clip before and after, cropped alike.

    Attributes:
        codec: "h264", "mpeg2" or "jpeg". rate: CRF, qscale or quality.
        offset: `(x, y)` of a corner of the codec's blocks.
    """

    clean: Frames
    coded: Frames
    codec: str
    rate: float
    offset: tuple[int, int]


def picture_size(size: int) -> int:
    """Return the side of the picture that a clip of `size` px is filmed from."""
    return size + _MARGIN


def film(rng: np.random.Generator, picture: NDArray[np.float32], size: int, count: int) -> Frames:
    """Move a camera over a picture: pan, zoom and shake, sometimes all still."""
    still = rng.uniform() < _STILL
    pan = float(rng.normal(0, 1.6)), float(rng.normal(0, 1.0))
    growth, shake = float(rng.normal(0, 0.002)), float(rng.uniform(0, 2.0))
    seed = int(rng.integers(1 << 31))
    layer = Layer(picture)
    for gain in (0.0,) if still else (1.0, 0.5, 0.25, 0.0):
        camera = CameraSpec(
            pan=(gain * pan[0], gain * pan[1]), zoom=1 + gain * growth, shake=gain * shake, first=0
        )
        views = [view_of(camera, seed, n, size=(size, size), layer=layer) for n in range(count)]
        if all(_sees_picture(v, size, picture.shape[0]) for v in views):
            break
    frames = [photograph([layer], [v], (size, size)) for v in views]
    limited: Frames = np.clip(np.stack(frames), 0.0, 1.0).astype(np.float32)
    return limited


def _sees_picture(view: View, size: int, side: int) -> bool:
    return all(o >= 0.0 and o + view.scale * (size - 1) <= side - 1 for o in view.origin)


def random_spec(rng: np.random.Generator) -> CodecSpec:
    """Draw a codec and how hard it presses."""
    codec = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    low, high = RATES[codec]
    if codec == "h264":
        preset = str(rng.choice(_PRESETS))
        return CodecSpec(codec="h264", crf=round(float(rng.uniform(low, high)), 1), preset=preset)
    rate = int(np.rint(np.exp(rng.uniform(np.log(low), np.log(high)))))
    if codec == "mpeg2":
        return CodecSpec(codec="mpeg2", qscale=rate)
    return CodecSpec(codec="jpeg", quality=rate)


def random_h264(rng: np.random.Generator) -> CodecSpec:
    """Draw how x264 codes a clip: rate, preset, key frames, frames between, and the matrix."""
    return CodecSpec(
        codec="h264",
        crf=round(float(rng.uniform(*RATES["h264"])), 1),
        preset=str(rng.choice(_PRESETS)),
        gop=_GOPS[int(rng.integers(len(_GOPS)))],
        b_frames=_B_FRAMES[int(rng.integers(len(_B_FRAMES)))],
        matrix="bt601" if rng.uniform() < _BT601 else "bt709",
    )


def code(rng: np.random.Generator, clean: Frames, spec: CodecSpec) -> CodedClip:
    """Code a clip, and crop some so that blocks do not start in the corner."""
    coded = compress(clean, spec).frames
    x, y = (int(v) for v in rng.integers(0, 8, 2)) if rng.uniform() < _CROPPED else (0, 0)
    height, width = (s // 8 * 8 - 8 * ((x or y) > 0) for s in clean.shape[1:3])
    cut = slice(None), slice(y, y + height), slice(x, x + width)
    rate = next(v for v in (spec.crf, spec.qscale, spec.quality) if v is not None)
    return CodedClip(
        clean=np.ascontiguousarray(clean[cut]),
        coded=np.ascontiguousarray(coded[cut]),
        codec=spec.codec,
        rate=float(rate),
        offset=(-x % 8, -y % 8),
    )
