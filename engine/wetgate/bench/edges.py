"""Edges with a known truth: how far a resampler overshoots them, and how sharp it leaves them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

_FINE = 32
_BIN = 0.25


def slanted_edge(
    size: int, degrees: float, low: float, high: float, *, gray: bool = False
) -> Pixels:
    """Return a straight edge through the middle, each pixel the mean over its own square.

    Args:
        size: px of either side. degrees: of the edge from the vertical; bright on its right.
    """
    at = (np.arange(size * _FINE) + 0.5) / _FINE - size / 2
    turn = np.deg2rad(degrees)
    side = at[None, :] * np.cos(turn) + at[:, None] * np.sin(turn) > 0
    share = side.reshape(size, _FINE, size, _FINE).mean(axis=(1, 3))
    edge = (low + (high - low) * share).astype(np.float32)[..., None]
    return edge if gray else np.repeat(edge, 3, axis=2)


def overshoot(shown: Pixels, low: float, high: float) -> float:
    """Return how far values leave the range of an edge, in % of its height; the worse side."""
    beyond = max(float(shown.max()) - high, low - float(shown.min()), 0.0)
    return 100.0 * beyond / (high - low)


def mtf50(shown: Pixels, degrees: float, scale: int) -> float:
    """Return where the response of a slanted edge falls to one half, in cycles per input px.

    Source: ISO 12233, the slanted-edge method; bins of a quarter of an output px, a Hann window
    over the line spread, the derivative's own response taken out.
    """
    picture = shown.astype(np.float64).mean(axis=2)
    height, width = picture.shape
    margin = 8 * scale
    turn = np.deg2rad(degrees)
    y, x = np.mgrid[0:height, 0:width]
    distance = (x + 0.5 - width / 2) * np.cos(turn) + (y + 0.5 - height / 2) * np.sin(turn)
    inner = np.zeros_like(picture, bool)
    inner[margin:-margin, margin:-margin] = True
    reach = 10.0 * scale
    inner &= np.abs(distance) < reach
    bins = np.floor((distance[inner] + reach) / _BIN).astype(int)
    count = np.bincount(bins, minlength=int(2 * reach / _BIN))
    total = np.bincount(bins, picture[inner], minlength=len(count))
    used = count > 0
    place = np.arange(len(count))
    spread = np.interp(place, place[used], total[used] / count[used])
    line = np.diff(spread)
    line *= np.hanning(len(line))
    response = np.abs(np.fft.rfft(line, 8 * len(line)))
    frequency = np.fft.rfftfreq(8 * len(line), _BIN)
    response = response / response[0] / np.sinc(frequency * _BIN)
    below = int(np.argmax(response < 0.5))
    (f0, f1), (r0, r1) = frequency[below - 1 : below + 1], response[below - 1 : below + 1]
    crossing = f0 + (r0 - 0.5) * (f1 - f0) / (r0 - r1)
    return float(crossing * scale)
