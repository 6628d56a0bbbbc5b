"""Clips in memory: frames made of numbers, without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError
from wetgate.model.frame import Frame, ImageInfo, SampleType, SourceHeader, code_depth
from wetgate.render.shelf import Loaded


def make_frame(
    number: int,
    pixels: NDArray[np.float32],
    *,
    sample_type: SampleType = "float",
    channels: tuple[str, ...] = ("R", "G", "B"),
    color_space: str = "ACES2065-1",
    fmt: str = "exr",
) -> Frame:
    height, width, _ = pixels.shape
    box = Box.of_size(width, height)
    bad = ~np.isfinite(pixels).all(axis=-1)
    return Frame(
        number=number,
        pixels=pixels,
        channels=channels,
        data_window=box,
        display_window=box,
        color_space=color_space,
        sample_type=sample_type,
        header=SourceHeader(format=fmt),
        non_finite=bad if bad.any() else None,
    )


def texture(number: int, width: int, height: int, count: int = 3) -> NDArray[np.float32]:
    """Noise over a gradient, moving a pixel a frame; float32 in about 0.1-0.9."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = 0.5 + 0.2 * np.sin((x + number) / 5) * np.cos(y / 7)
    out = base[..., None] + 0.05 * rng.standard_normal((height, width, count))
    return out.astype(np.float32)


def to_codes(pixels: NDArray[np.float32], sample_type: SampleType) -> NDArray[np.float32]:
    """Round to what a file of that sample type can hold."""
    depth = code_depth(sample_type)
    if depth is not None:
        top = np.float32((1 << depth) - 1)
        return np.rint(np.clip(pixels, 0, 1) * top).astype(np.float32) / top
    return pixels.astype(np.float16).astype(np.float32) if sample_type == "half" else pixels


@dataclass
class MemoryClip:
    """A clip of frames in memory; numbers in `broken` exist and cannot be read."""

    held: Mapping[int, Frame]
    broken: frozenset[int] = frozenset()
    reads: list[int] = field(default_factory=list)

    @property
    def frames(self) -> Sequence[int]:
        return sorted(set(self.held) | self.broken)

    @property
    def missing(self) -> frozenset[int]:
        return frozenset(range(self.frames[0], self.frames[-1] + 1)) - frozenset(self.frames)

    @property
    def frame_rate(self) -> Fraction | None:
        return None

    @property
    def info(self) -> ImageInfo:
        first = next(iter(self.held.values()))
        return ImageInfo(
            header=first.header,
            channels=first.channels,
            sample_type=first.sample_type,
            data_window=first.data_window,
            display_window=first.display_window,
        )

    def __getitem__(self, number: int) -> Frame:
        self.reads.append(number)
        if number in self.broken:
            raise FrameReadError("truncated", frame=number)
        return self.held[number]

    def load(self, number: int) -> Loaded:
        return Loaded(frame=self[number], digest=f"xxh128:{number:032x}", nbytes=1)


def moving_clip(
    numbers: Sequence[int],
    *,
    width: int = 53,
    height: int = 37,
    sample_type: SampleType = "uint10",
    broken: frozenset[int] = frozenset(),
) -> MemoryClip:
    return MemoryClip(
        {
            n: make_frame(
                n, to_codes(texture(n, width, height), sample_type), sample_type=sample_type
            )
            for n in numbers
            if n not in broken
        },
        broken,
    )
