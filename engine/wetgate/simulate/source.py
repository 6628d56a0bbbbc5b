"""Open what is to be damaged: a photograph under a moving camera, or a clean shot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.color.config import ColorConfig
from wetgate.color.identify import identify
from wetgate.io.formats import read_frame, read_info
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import FrameSequence, find_sequence
from wetgate.model.errors import ColorSpaceUnknown, FrameReadError, UnsupportedImage, UsageError
from wetgate.simulate.camera import CameraSpec
from wetgate.simulate.film import expand_highlights
from wetgate.simulate.shot import CleanShot
from wetgate.simulate.spec import DamageSpec

FILM_SPACE = "wetgate:cineon_rec709_scene"
"""Interop id of the space that `film.log_encode` gives."""

VIDEO_SPACE = "g24_rec709_scene"
"""Interop id of the space that `shot.video_encode` gives."""

_LINEAR = "lin_rec709_scene"
_PHOTO_SUFFIXES = (".jpg", ".jpeg")
_PHOTO_FRAMES = FrameRange.from_numbers(range(1001, 1025))
_PEAK = 6.0
_COVER = 0.89
_TRAVEL = 0.055


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSource:
    """A clean shot or a photograph, in the values the damage wants.

    Attributes:
        pixels: what `DamagedShot` takes.
        spec: the damage, with a camera when the source is a photograph.
        numbers: the frames to make.
        space: color space of the damaged frames, OCIO name.
        folder: where the source lies; nothing is written there.
    """

    pixels: CleanShot | NDArray[np.float32]
    spec: DamageSpec
    numbers: tuple[int, ...]
    space: str
    folder: Path


def open_clean(
    clean: str,
    spec: DamageSpec,
    *,
    config: ColorConfig,
    frames: FrameRange | None = None,
    input_space: str | None = None,
    size: tuple[int, int] | None = None,
) -> CleanSource:
    """Open a photograph (one file) or a sequence.

    A photograph gets a slow pan with a hand-held shake over most of it, 24 frames long unless
    `frames` says otherwise; `size` is then that of the shot.

    Raises:
        InputError: when there is nothing to read, or nothing decides its color space.
        UsageError: for a size with a sequence, which has its own.
    """
    if Path(clean).suffix.lower() in _PHOTO_SUFFIXES:
        space = _photo_space(Path(clean), input_space, config)
        picture = _read_jpeg(Path(clean))
        return _photograph(picture, space, spec, config, frames, size, Path(clean).parent)
    sequence = find_sequence(clean, frames if frames and not Path(clean).is_file() else None)
    first = sequence.path(sequence.numbers[0])
    space = identify(first, read_info(first), config, override=input_space).space
    if len(sequence.numbers) == 1:
        picture = _read(sequence, sequence.numbers[0], space)
        return _photograph(picture, space, spec, config, frames, size, sequence.directory)
    if size is not None:
        raise UsageError("--size is for a photograph; a sequence has its own size")

    def shot(number: int) -> NDArray[np.float32]:
        return _to_input(_read(sequence, number, space), space, spec, config)

    return CleanSource(
        pixels=shot,
        spec=spec,
        numbers=sequence.numbers,
        space=_output_space(space, spec, config),
        folder=sequence.directory,
    )


def _photograph(
    picture: NDArray[np.float32],
    space: str,
    spec: DamageSpec,
    config: ColorConfig,
    frames: FrameRange | None,
    size: tuple[int, int] | None,
    folder: Path,
) -> CleanSource:
    numbers = tuple(frames or _PHOTO_FRAMES)
    height, width = picture.shape[:2]
    size = size or (round(width * _COVER), round(height * _COVER))
    return CleanSource(
        pixels=_to_input(picture, space, spec, config),
        spec=replace(spec, size=size, camera=slow_pan((width, height), size, numbers)),
        numbers=numbers,
        space=_output_space(space, spec, config),
        folder=folder,
    )


def slow_pan(picture: tuple[int, int], size: tuple[int, int], numbers: Sequence[int]) -> CameraSpec:
    """Return a hand-held pan to the right with a slight move in, that stays in the picture.

    Args:
        picture, size: `(width, height)` of the photograph and of the shot, px.
        numbers: the frames the pan takes.
    """
    scale = _COVER * min(picture[0] / size[0], picture[1] / size[1])
    span = max(1, numbers[-1] - numbers[0])
    travel = _TRAVEL * size[0]
    start = 0.5 - travel * scale / 2 / picture[0]
    return CameraSpec(
        scale=scale,
        center=(start, 0.48),
        pan=(travel / span, 0.0075 * size[1] / span),
        zoom=math.exp(-0.035 / span),
        shake=min(1.6, 0.003 * size[1]),
        first=numbers[0],
    )


def _to_input(
    picture: NDArray[np.float32], space: str, spec: DamageSpec, config: ColorConfig
) -> NDArray[np.float32]:
    if spec.encoding == "as-is":
        return picture
    linear = config.processor(space, _LINEAR).apply(picture)
    # A rendered picture has lost its highlights; film would not have, and video loses them again.
    rendered = config.encoding(space) == "sdr-video" and spec.encoding == "film-log"
    return expand_highlights(linear, _PEAK) if rendered else linear


def _output_space(space: str, spec: DamageSpec, config: ColorConfig) -> str:
    own = {"film-log": FILM_SPACE, "video": VIDEO_SPACE}.get(spec.encoding)
    return config.resolve(own) if own else space


def _photo_space(path: Path, input_space: str | None, config: ColorConfig) -> str:
    if input_space is None:
        raise ColorSpaceUnknown(
            "a JPEG does not state its color space",
            path=path,
            remedy='pass --input-space "sRGB Encoded Rec.709 (sRGB)" for an ordinary one',
        )
    return config.resolve(input_space)


def _read_jpeg(path: Path) -> NDArray[np.float32]:
    import cv2

    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FrameReadError(f"cannot be read: {error.strerror}", path=path) from error
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if decoded is None:
        raise FrameReadError("is not a readable JPEG", path=path)
    return decoded[..., ::-1].astype(np.float32) / np.float32(255)


def _read(sequence: FrameSequence, number: int, space: str) -> NDArray[np.float32]:
    frame = read_frame(sequence.path(number), number, color_space=space)
    if len(frame.channels) < 3:
        raise UnsupportedImage(
            f"has the channels {', '.join(frame.channels)}",
            path=sequence.path(number),
            frame=number,
            expected="red, green and blue",
        )
    wanted = [frame.channels.index(c) for c in "RGB"] if set("RGB") <= set(frame.channels) else None
    return np.ascontiguousarray(frame.pixels[..., wanted or slice(0, 3)])
