"""What a job takes before anything is measured: frame sizes, cores, seconds of codecs."""

from __future__ import annotations

import os

from wetgate.io.formats import frame_bytes
from wetgate.render.memory import FrameSize
from wetgate.render.shelf import color_channels
from wetgate.render.source import SourceClip

_READ_SECONDS_PER_MPX = {"dpx": 0.008, "cineon": 0.008, "exr": 0.03}
_WRITE_SECONDS_PER_MPX = {"dpx": 0.02, "exr": 0.15}
_OTHER_SECONDS_PER_MPX = 0.08
"""One core, 10-bit DPX and half RGB EXR with ZIP; decoding, and writing with its read-back."""


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def frame_size(clip: SourceClip, with_color: bool) -> FrameSize:
    """Return how large the frames of a clip are."""
    info = clip.info
    sampled = info.data_window.area * len(info.channels)
    size = FrameSize(
        width=max(1, info.data_window.width),
        height=max(1, info.data_window.height),
        channels=len(info.channels),
        colors=len(color_channels(info.channels)) if with_color else 0,
        sample_type=info.sample_type,
    )
    carried = max(0, frame_bytes(info) - sampled * size.sample_bytes)
    return FrameSize(
        width=size.width,
        height=size.height,
        channels=size.channels,
        colors=size.colors,
        sample_type=size.sample_type,
        carried_bytes=carried if info.carried else 0,
    )


def codec_seconds(clip: SourceClip, target_format: str | None, count: int) -> float:
    """Return the seconds that reading and writing `count` frames side by side take."""
    megapixels = clip.info.data_window.area / 1e6
    read = _READ_SECONDS_PER_MPX.get(clip.info.header.format, _OTHER_SECONDS_PER_MPX)
    write = _WRITE_SECONDS_PER_MPX.get(
        target_format or clip.info.header.format, _OTHER_SECONDS_PER_MPX
    )
    return count * megapixels * max(read, write)
