"""The material of the denoise benchmark: clean clips, and what noise does to them.

Clips are display-referred, 0-1, float32 `(frame, height, width, 3)`. Generated ones come from
fixed seeds; published ones are read from a folder and skipped where it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.model.frame import SampleType
from wetgate.simulate.camera import CameraSpec, Layer, flow, photograph, view_of
from wetgate.simulate.film import GrainSpec, add_grain, expand_highlights, log_encode
from wetgate.simulate.sensor import add_white_noise, quantise

WIDTH, HEIGHT, FRAMES = 256, 192, 15
SCORED = (6, 7, 8)
"""Indices of the frames that count: consecutive, with a whole temporal window around each."""
SEED = 11
_PEAK = 6.0
_NIGHT_MEAN = 30 / 255
_CAMERA_SEED = 23

Frames = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the pixels of one scored frame lie in the next.

    Attributes:
        flow: float32 `(h, w, 2)` px. seen: `(h, w)` visible in both frames.
    """

    flow: NDArray[np.float32]
    seen: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CleanClip:
    """A clip without noise; `dark` ones take part in the clipped conditions alone.

    Attributes:
        motion: exact, from each scored frame to the next; empty where it is not known.
    """

    name: str
    frames: Frames
    dark: bool = False
    motion: tuple[Motion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is done to a clip.

    Attributes:
        sigma: deviation of white noise in 8-bit codes; 0 for film grain.
        bits: depth the noisy clip is rounded and clipped to; None for neither.
    """

    name: str
    sigma: float
    bits: int | None

    @property
    def is_grain(self) -> bool:
        """Whether film grain in log density is added instead of white noise."""
        return self.sigma == 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyClip:
    """A clip under one condition, with what only the peers are told.

    Attributes:
        clean, noisy: `(frame, height, width, 3)` in one encoding.
        sigma: true deviation of the noise in each channel, mean over the clip, before clipping.
        grain: the law of the grain, or None for white noise.
    """

    clip: CleanClip
    condition: Condition
    clean: Frames
    noisy: Frames
    sample_type: SampleType
    sigma: tuple[float, float, float]
    grain: GrainSpec | None = None


GRAIN = Condition(name="film grain, 10-bit log", sigma=0.0, bits=10)
CONDITIONS = (
    *(Condition(name=f"sigma {s}, float", sigma=s, bits=None) for s in (10, 20, 40)),
    *(Condition(name=f"sigma {s}, 8-bit", sigma=s, bits=8) for s in (10, 20, 40)),
    GRAIN,
)
DARK_CONDITIONS = tuple(c for c in CONDITIONS if c.bits == 8 and c.sigma >= 20)


def add_noise(clip: CleanClip, condition: Condition) -> NoisyClip:
    """Put a clip under a condition; the same bits on every call."""
    if condition.is_grain:
        spec = GrainSpec()
        clean = log_encode(expand_highlights(_to_linear(clip.frames), _PEAK))
        noisy = np.stack([add_grain(f, spec, SEED, i) for i, f in enumerate(clean)])
        variance = np.mean(spec.sigma(clean).astype(np.float64) ** 2, axis=(0, 1, 2))
        red, green, blue = (float(v) for v in np.sqrt(variance))
    else:
        spec, clean = None, clip.frames
        deviation = condition.sigma / 255
        noisy = np.stack(
            [add_white_noise(f, deviation, SEED, i) for i, f in enumerate(clip.frames)]
        )
        red = green = blue = deviation
    types: dict[int | None, SampleType] = {None: "float", 8: "uint8", 10: "uint10"}
    return NoisyClip(
        clip=clip,
        condition=condition,
        clean=clean,
        noisy=noisy if condition.bits is None else quantise(noisy, condition.bits),
        sample_type=types[condition.bits],
        sigma=(red, green, blue),
        grain=spec,
    )


def _to_linear(encoded: Frames) -> Frames:
    """Decode sRGB. Source: IEC 61966-2-1."""
    x = encoded.astype(np.float64)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def _to_display(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.clip(linear, 0.0, 1.0)
    return np.where(safe <= 0.0031308, 12.92 * safe, 1.055 * safe ** (1 / 2.4) - 0.055)


def clips(
    data: Path | None, wanted: Sequence[str] | None = None
) -> tuple[list[CleanClip], list[str]]:
    """Return every clip at hand, and why each of the others was skipped.

    Args:
        wanted: names of the only clips to make, without their night versions.
        data: folder of published pictures, with `vid4-city` and `ntia-aspen` in it or in `eval`.
    """
    makers: tuple[tuple[str, Callable[[], CleanClip]], ...] = (
        ("city", lambda: _published("city", data, "vid4-city")),
        ("aspen", lambda: _published("aspen", data, "ntia-aspen")),
        ("photo, hand-held", _photo),
        ("leaves, parallax", _leaves),
        ("static, one mover", _static),
        ("chart, sub-pixel pan", _chart),
    )
    found: list[CleanClip] = []
    skipped: list[str] = []
    for name, make in makers:
        if wanted is not None and name not in wanted:
            continue
        try:
            found.append(make())
        except FileNotFoundError as error:
            skipped.append(f"{name}: {error}")
    if wanted is not None:
        return found, skipped
    night_names = ("city", "photo, hand-held", "leaves, parallax")
    found += [night(c) for c in found if c.name in night_names]
    return found, skipped


def cropped(frames: Frames, width: int, height: int) -> Frames:
    """Cut the middle out of `(..., height, width, 3)` frames."""
    y, x = (frames.shape[-3] - height) // 2, (frames.shape[-2] - width) // 2
    return np.ascontiguousarray(frames[..., y : y + height, x : x + width, :])


def night(clip: CleanClip) -> CleanClip:
    """Underexpose a clip in scene-linear light until its mean code is 30, blacks crushed."""
    linear = _to_linear(clip.frames).astype(np.float64)
    linear = np.maximum(linear - np.quantile(linear, 0.10), 0.0)
    low, high = 0.0, 1.0
    for _ in range(24):
        gain = 0.5 * (low + high)
        if float(_to_display(gain * linear).mean()) < _NIGHT_MEAN:
            low = gain
        else:
            high = gain
    return CleanClip(f"night {clip.name}", _to_display(low * linear).astype(np.float32), True)


def _published(name: str, data: Path | None, folder: str) -> CleanClip:
    import cv2

    places = [] if data is None else [data / folder, data / "eval" / folder]
    place = next((p for p in places if p.is_dir()), None)
    if place is None:
        raise FileNotFoundError(f"no folder {folder} in the test pictures")
    files = sorted(place.glob("*.png"), key=lambda p: int(re.findall(r"\d+", p.stem)[-1]))
    frames = []
    for path in files[:FRAMES]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise FileNotFoundError(f"{path} cannot be read")
        rgb = picture[..., ::-1].astype(np.float32) / np.float32(255)
        frames.append(cropped(rgb, WIDTH, HEIGHT))
    return CleanClip(name, np.stack(frames))


def _sample_photo() -> Frames:
    import cv2

    import wetgate

    path = Path(wetgate.__file__).resolve().parents[2] / "install" / "sample" / "dandelions.jpg"
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        raise FileNotFoundError("no sample photograph beside the package")
    return picture[..., ::-1].astype(np.float32) / np.float32(255)


def _film(name: str, layers: Sequence[Layer], camera: CameraSpec) -> CleanClip:
    size = WIDTH, HEIGHT
    views = [
        [view_of(camera, _CAMERA_SEED, n, size=size, layer=layer) for layer in layers]
        for n in range(camera.first, camera.first + FRAMES)
    ]
    frames = np.stack([photograph(layers, v, size) for v in views])
    motion = [
        _motion(flow(layers, views[a], views[b], size), flow(layers, views[b], views[a], size))
        for a, b in pairwise(SCORED)
    ]
    return CleanClip(name, np.clip(frames, 0, 1), motion=tuple(motion))


def _motion(ahead: NDArray[np.float32], back: NDArray[np.float32]) -> Motion:
    """Keep what comes back to where it started: what is hidden in one of the frames does not."""
    import cv2

    height, width = ahead.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    to_x, to_y = x + ahead[..., 0], y + ahead[..., 1]
    returned = cv2.remap(back, to_x, to_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    inside = (to_x >= 1) & (to_x <= width - 2) & (to_y >= 1) & (to_y <= height - 2)
    seen = inside & (np.abs(ahead + returned).max(axis=-1) < 0.5)
    # Anti-aliased edges mix two motions: leave them out.
    sure = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return Motion(ahead, sure)


def _photo() -> CleanClip:
    camera = CameraSpec(
        scale=3.0, center=(0.42, 0.5), pan=(1.7, 0.6), zoom=0.994, shake=2.0, first=0
    )
    return _film("photo, hand-held", [Layer(_sample_photo())], camera)


def _leaves() -> CleanClip:
    """Dead leaves in three depths, and a pole in front that crosses at 9 px a frame."""
    size = (WIDTH + 160, HEIGHT + 120)
    back = dead_leaves(size, seed=1)
    middle, front = dead_leaves(size, seed=2), dead_leaves(size, seed=3)
    layers = [
        Layer(back, parallax=0.5),
        Layer(middle, _disks(size, seed=4, count=9, radius=(14, 34)), parallax=1.2),
        Layer(front, _disks(size, seed=5, count=4, radius=(12, 24)), parallax=2.2),
        Layer(front[::-1].copy(), _pole(size), parallax=6.0),
    ]
    camera = CameraSpec(pan=(1.5, 0.35), shake=0.6, first=0, center=(0.46, 0.49))
    return _film("leaves, parallax", layers, camera)


def _static() -> CleanClip:
    """A camera that stands still before a photograph-like scene; one disk moves."""
    size = (WIDTH + 80, HEIGHT + 60)
    layers = [
        Layer(dead_leaves(size, seed=6, smallest=3.0), parallax=0.0),
        Layer(
            dead_leaves(size, seed=7), _disks(size, seed=8, count=2, radius=(24, 36)), parallax=1.0
        ),
    ]
    return _film("static, one mover", layers, CameraSpec(pan=(3.3, 0.8), first=0))


def _chart() -> CleanClip:
    camera = CameraSpec(scale=2.0, pan=(0.37, 0.21), first=0, center=(0.48, 0.48))
    return _film("chart, sub-pixel pan", [Layer(_test_chart())], camera)


def dead_leaves(
    size: tuple[int, int], *, seed: int, smallest: float = 5.0, count: int = 2500
) -> Frames:
    """Draw shaded, grained disks over each other, radii as r**-3, `(height, width, 3)`.

    Source: Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 41, 2001.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.full((height, width, 3), 0.4, np.float32)
    largest = height / 3.0
    share = rng.uniform(0, 1, count)
    radii = 1 / np.sqrt(1 / largest**2 + share * (1 / smallest**2 - 1 / largest**2))
    for radius in radii:
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        color = rng.uniform(0.05, 0.95) * rng.uniform(0.75, 1.25, 3)
        angle, wave, depth = rng.uniform(0, np.pi), rng.uniform(2.5, 9), rng.uniform(0, 0.12)
        reach = int(np.ceil(radius)) + 2
        rows = slice(max(0, int(cy) - reach), max(0, min(height, int(cy) + reach + 1)))
        columns = slice(max(0, int(cx) - reach), max(0, min(width, int(cx) + reach + 1)))
        px, py = x[rows, columns] - cx, y[rows, columns] - cy
        cover = np.clip(radius + 0.5 - np.hypot(px, py), 0, 1)[..., None].astype(np.float32)
        stripes = np.sin(2 * np.pi * (px * np.cos(angle) + py * np.sin(angle)) / wave)
        leaf = color * (1 + depth * stripes + 0.25 * px / max(radius, 1.0))[..., None]
        patch = picture[rows, columns]
        patch += cover * (leaf.astype(np.float32) - patch)
    return np.clip(picture, 0, 1)


def _disks(
    size: tuple[int, int], *, seed: int, count: int, radius: tuple[float, float]
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cover = np.zeros((height, width), np.float32)
    for _ in range(count):
        r = rng.uniform(*radius)
        cx = rng.uniform(0.25 * width, 0.75 * width)
        cy = rng.uniform(0.25 * height, 0.75 * height)
        cover = np.maximum(cover, np.clip(r + 0.5 - np.hypot(x - cx, y - cy), 0, 1))
    return cover


def _pole(size: tuple[int, int]) -> NDArray[np.float32]:
    width, height = size
    column = np.clip(9.5 - np.abs(np.arange(width) - 0.66 * width), 0, 1).astype(np.float32)
    return np.tile(column, (height, 1))


def _test_chart() -> Frames:
    """Draw a zone plate, text and a woven texture at twice the shot's resolution."""
    import cv2

    width, height = 2 * (WIDTH + 32), 2 * (HEIGHT + 32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    half = width // 2
    # Local frequency grows with distance to 0.4 cycles per px of the shot, 0.2 of the chart.
    reach = float(np.hypot(half / 2, height / 2))
    distance2 = (x - half / 2) ** 2 + (y - height / 2) ** 2
    plate = 0.5 + 0.4 * np.cos(np.pi * 0.2 / reach * distance2)
    weave = 0.45 + 0.18 * np.sin(2 * np.pi * x / 7.3) * np.sin(2 * np.pi * y / 9.1)
    gray = np.where(x < half, plate, weave).astype(np.float32)
    picture = np.repeat(gray[..., None], 3, axis=2)
    picture[:, half:] *= np.array([1.15, 0.95, 0.75], np.float32)
    for line, words in enumerate(("WET GATE 35mm", "reel 7 of 12", "KEYKODE 0139", "5219 8+02")):
        for k, level in enumerate((0.08, 0.92)):
            at = (half + 12, 48 + 52 * (2 * line + k))
            ink = np.zeros((height, width), np.uint8)  # OpenCV writes on 8 bits only
            cv2.putText(ink, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2, cv2.LINE_AA)
            cover = ink[..., None].astype(np.float32) / np.float32(255)
            picture += cover * (np.float32(level) - picture)
    limited: Frames = np.clip(picture, 0, 1)
    return limited
