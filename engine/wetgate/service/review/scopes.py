"""Waveform and histogram of a frame in the encoding that a step computes with, nothing clipped."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels, WorkingSpace
from wetgate.service.review.shot import WORKING_NAMES, Picture, Shot

BINS = 256
COLUMNS = 256
_SAMPLED = 1 << 19
"""Pixels that are plotted of a frame, about; counts in words are of all."""
_MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """What the scopes of a frame show.

    Attributes:
        space: the encoding in words. low, high: range of the plots, which holds every finite
            sample that is plotted and 0-1. every: one px of so many is plotted.
        histogram: counts by channel, `BINS` from `low` to `high`.
        waveform: counts by channel, `(BINS, columns)`, the lowest values first.
        words: counts of what is outside of 0-1 or not finite, of all px.
    """

    space: str
    low: float
    high: float
    every: int
    histogram: Mapping[str, NDArray[np.int64]]
    waveform: Mapping[str, NDArray[np.int64]]
    words: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return JSON values; waveforms as base64 of little-endian uint16, counts above kept so."""
        top = np.iinfo(np.uint16).max
        columns = next(iter(self.waveform.values())).shape[1]
        return {
            "space": self.space,
            "range": [self.low, self.high],
            "every": self.every,
            "histogram": {
                "bins": BINS,
                "counts": {k: v.tolist() for k, v in self.histogram.items()},
            },
            "waveform": {
                "rows": BINS,
                "columns": columns,
                "counts": {
                    name: base64.b64encode(np.minimum(v, top).astype("<u2").tobytes()).decode(
                        "ascii"
                    )
                    for name, v in self.waveform.items()
                },
            },
            "words": list(self.words),
        }


def make_scopes(shot: Shot, picture: Picture, working: WorkingSpace | None = None) -> Scopes:
    """Measure a picture.

    Args:
        working: None for what the first step of the recipe works in.

    Raises:
        ColorSpaceUnknown: the config does not lead there.
    """
    steps = shot.steps
    name = next((s.operator for s in steps if working in (None, s.working)), None)
    if working is None:
        working = steps[0].working if steps else "source"
    encoding = shot.encoding(picture, working)
    step = _step_for(picture.pixels.shape)
    few = (slice(None, None, step), slice(None, None, step))
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha[few])
    values = encoding.encode(np.ascontiguousarray(picture.pixels[few]), alpha)
    finite = np.isfinite(values)
    low, high = _range(values[finite])
    names = ("R", "G", "B") if values.shape[-1] == 3 else ("Y",)
    marks = np.clip(np.floor((values - low) / (high - low) * BINS), 0, BINS - 1)
    marks = np.where(finite, marks, 0).astype(np.int64)
    columns = min(COLUMNS, values.shape[1])
    place = (np.arange(values.shape[1]) * columns // values.shape[1])[None, :]
    histogram, waveform = {}, {}
    for at, channel in enumerate(names):
        good = finite[..., at]
        flat = (marks[..., at] * columns + place)[good]
        grid = np.bincount(flat, minlength=BINS * columns).reshape(BINS, columns)
        waveform[channel] = grid
        histogram[channel] = grid.sum(axis=1)
    return Scopes(
        space=_space_words(picture.space, working, name, encoding.is_identity),
        low=low,
        high=high,
        every=step * step,
        histogram=histogram,
        waveform=waveform,
        words=range_words(picture.pixels),
    )


def range_words(pixels: Pixels) -> tuple[str, ...]:
    """Say how many samples are below 0, above 1 and not finite; values are the file's own."""
    bad = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
    below, above = int(np.count_nonzero(pixels < 0)), int(np.count_nonzero(pixels > 1))
    finite = pixels if not bad else pixels[np.isfinite(pixels)]
    low = float(finite.min()) if finite.size else math.nan
    high = float(finite.max()) if finite.size else math.nan
    words = [
        f"{_count(below, pixels.size)} below 0, the lowest {low:.4g}"
        if below
        else f"none below 0, the lowest {low:.4g}",
        f"{_count(above, pixels.size)} above 1, the highest {high:.4g}"
        if above
        else f"none above 1, the highest {high:.4g}",
    ]
    if bad:
        words.append(f"{_count(bad, pixels.size)} not finite")
    return tuple(words)


def _count(count: int, total: int) -> str:
    share = 100 * count / total
    shown = f"{share:.2g}" if share < 1 else f"{share:.1f}"
    return f"{count:,} sample{'' if count == 1 else 's'} ({shown} %)"


def _step_for(shape: tuple[int, ...]) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / _SAMPLED)))


def _range(values: Pixels) -> tuple[float, float]:
    """Return a range that holds 0-1 and every value, with a margin where it is more."""
    low = min(0.0, float(values.min())) if values.size else 0.0
    high = max(1.0, float(values.max())) if values.size else 1.0
    room = _MARGIN * (high - low)
    return (low - room if low < 0 else low), (high + room if high > 1 else high)


def _space_words(space: str, working: WorkingSpace, operator: str | None, same: bool) -> str:
    as_works = f", in which {operator} works" if operator else ""
    if same:
        return f"the values of the file ({space}){as_works}"
    if working == "log":
        return f"signed log of {space}: 0 is 0, 1 is 1{as_works}"
    return f"{WORKING_NAMES[working]}{as_works}"
