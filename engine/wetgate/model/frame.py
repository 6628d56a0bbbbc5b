"""The frame: pixels with the facts that give them meaning, and the source they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box

SampleType = Literal["uint8", "uint10", "uint12", "uint16", "half", "float"]
"""How the file stores one sample of the pixels it hands to operators."""

_CODES: Mapping[str, int] = {"uint8": 8, "uint10": 10, "uint12": 12, "uint16": 16}


def code_depth(sample_type: SampleType) -> int | None:
    """Return the bits of an integer sample type, or None for half and float."""
    return _CODES.get(sample_type)


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """Everything a file said that pixels do not say; carried, not interpreted.

    Attributes:
        format: file format, lower case ("dpx", "exr", "tiff", "png", "cineon", "movie").
        attributes: what the reader understood, by the format's own names. Read-only.
        raw: the bytes of the source that are re-emitted verbatim (DPX header and user data).
        payload: what only the reader of the same format can write back: further elements,
            further parts, channels that float32 cannot hold, fill bits. Opaque.
    """

    format: str
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    raw: bytes | None = None
    payload: object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What a file says about itself before any pixel is decoded.

    Attributes:
        channels: names of the channels that `Frame.pixels` will hold, in file order.
        sample_type: how the file stores them.
        data_window: where pixels exist; `display_window`: the format's picture area. Half-open.
        pixel_aspect: width / height of one pixel.
        frame_rate: frames per second when the file says so.
        carried: names of what travels untouched beside the pixels (other parts, uint channels).
        losses: metadata that writing this format back would lose or change, in words.
    """

    header: SourceHeader
    channels: tuple[str, ...]
    sample_type: SampleType
    data_window: Box
    display_window: Box
    pixel_aspect: float = 1.0
    frame_rate: Fraction | None = None
    carried: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a clip.

    Attributes:
        number: the frame's identity, e.g. 1001; never an index.
        pixels: float32 `(height, width, channel)`, C order, covering `data_window`. Un-clamped:
            integer sources are `code / (2**bits - 1)`, linear EXR may be negative or far above 1.
        channels: one name per channel of `pixels`.
        color_space: OCIO name in the config in force. A field, not metadata.
        sample_type: how the source stored the samples; what a writer must give back.
        non_finite: `(height, width)` mask of pixels with NaN or Inf in any channel, or None.
    """

    number: int
    pixels: NDArray[np.float32]
    channels: tuple[str, ...]
    data_window: Box
    display_window: Box
    color_space: str
    sample_type: SampleType
    header: SourceHeader
    pixel_aspect: float = 1.0
    non_finite: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.float32 or self.pixels.ndim != 3:
            raise ValueError(
                f"pixels must be float32 (height, width, channel), got {self.pixels.dtype} "
                f"{self.pixels.shape}"
            )
        height, width, count = self.pixels.shape
        if (width, height) != self.data_window.size:
            raise ValueError(f"pixels are {width} x {height}, data window is {self.data_window}")
        if count != len(self.channels):
            raise ValueError(f"{count} channels of pixels for names {self.channels}")

    def __repr__(self) -> str:
        return (
            f"Frame({self.number}, {self.pixels.shape}, channels={self.channels}, "
            f"space={self.color_space!r}, sample_type={self.sample_type!r})"
        )

    def replace_pixels(self, pixels: NDArray[np.float32], *, color_space: str) -> Frame:
        """Return the frame with other pixels of the same size; the space must be restated."""
        return replace(self, pixels=pixels, color_space=color_space)


@runtime_checkable
class Clip(Protocol):
    """A lazy, random-access run of frames of one size and one color space."""

    @property
    def frames(self) -> Sequence[int]:
        """Frame numbers that exist, ascending."""
        ...

    @property
    def missing(self) -> frozenset[int]:
        """Numbers between the first and the last frame that have no file."""
        ...

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames per second, exact, when known."""
        ...

    @property
    def info(self) -> ImageInfo:
        """Facts of the first frame."""
        ...

    def __getitem__(self, number: int) -> Frame:
        """Read one frame; raises `FrameReadError` for that frame alone."""
        ...
