"""Filters that know nothing of dirt: they change every pixel, and what they change most is found.

Those of ffmpeg (tmedian, removegrain, atadenoise) are fed 16-bit RGB through pipes and are left
out, with a word, where the bench extra is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wetgate.bench.dirt.peers import (
    Neighborhood,
    Pixels,
    neighborhood,
    spatial_median,
    temporal_median,
)
from wetgate.model.errors import UsageError

Frames = Mapping[int, Pixels]
_TOP = 65535
_ADAPTIVE = "atadenoise=0a={a}:1a={a}:2a={a}:0b={b}:1b={b}:2b={b}:s=5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of a whole clip, in variants of which the best counts.

    Attributes:
        variants: each takes the frames by number and a table of neighbors (along motion, and
            in place), and returns the filtered frames.
    """

    name: str
    variants: tuple[Callable[[Frames, Around], dict[int, Pixels]], ...]


@dataclass(frozen=True, slots=True)
class Around:
    """The neighbors of every frame of a clip, `moved` along motion and `still` in place."""

    moved: Mapping[int, Neighborhood]
    still: Mapping[int, Neighborhood]


def around_of(frames: Frames, radius: int) -> Around:
    """Gather the neighbors of all frames within `radius`."""
    return Around(
        {n: neighborhood(frames, n, radius, moved=True) for n in frames},
        {n: neighborhood(frames, n, radius, moved=False) for n in frames},
    )


def filters() -> tuple[list[Filter], list[str]]:
    """Return the filters at hand, and why others are not."""

    def spatial(size: int) -> Callable[[Frames, Around], dict[int, Pixels]]:
        return lambda frames, _: {n: spatial_median(f, size) for n, f in frames.items()}

    def temporal(radius: int, motion: bool) -> Callable[[Frames, Around], dict[int, Pixels]]:
        def run(frames: Frames, around: Around) -> dict[int, Pixels]:
            table = around.moved if motion else around.still
            return {n: temporal_median(table[n], radius) for n in frames}

        return run

    found = [
        Filter(name="spatial median filter", variants=(spatial(3), spatial(5))),
        Filter(name="temporal median filter", variants=(temporal(1, False), temporal(2, False))),
        Filter(
            name="temporal median filter along motion",
            variants=(temporal(1, True), temporal(2, True)),
        ),
    ]
    try:
        from wetgate.bench.denoise_ffmpeg import ffmpeg_version

        ffmpeg_version()
    except UsageError as error:
        return found, [f"filters of ffmpeg: {error}"]

    def graph(text: str, lost: int = 0) -> Callable[[Frames, Around], dict[int, Pixels]]:
        return lambda frames, _: through_ffmpeg(text, frames, lost)

    found += [
        Filter(name="ffmpeg tmedian", variants=(graph("tmedian=1", 1), graph("tmedian=2", 2))),
        Filter(
            name="ffmpeg removegrain",
            # It knows 8 bits alone.
            variants=tuple(graph(f"removegrain={m}:{m}:{m}") for m in (1, 4, 17, 22)),
        ),
        Filter(
            name="ffmpeg atadenoise",
            variants=tuple(graph(_ADAPTIVE.format(a=a, b=5 * a)) for a in (0.02, 0.08, 0.3)),
        ),
    ]
    return found, []


def through_ffmpeg(graph: str, frames: Frames, lost: int = 0) -> dict[int, Pixels]:
    """Send a clip through a filter graph on planes of RGB, as deep as the filter takes them.

    Args:
        lost: frames that the filter gives none for at either end; those come back as they were.
    """
    from wetgate.bench.denoise_ffmpeg import pipe

    depth = "gbrp" if graph.startswith("removegrain") else "gbrp16"
    numbers = sorted(frames)
    codes = np.stack([np.clip(np.rint(frames[n] * _TOP), 0, _TOP) for n in numbers])
    kept = len(numbers) - 2 * lost
    back, _ = pipe(f"format={depth},{graph}", codes.astype("<u2"), kept)
    result = {n: frames[n] for n in numbers}
    for k, n in enumerate(numbers[lost : lost + kept]):
        result[n] = back[k].astype(np.float32) / np.float32(_TOP)
    return result
