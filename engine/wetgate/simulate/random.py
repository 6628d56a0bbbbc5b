"""Counter-based random numbers: every (seed, stage, frame, lane) has its own stream.

A frame made alone gets the same numbers as in a range, in any order, in any process.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(Philox-4x64-10, as numpy implements it).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

_WORD = (1 << 64) - 1


class Domain(IntEnum):
    """Which stage draws; keeps the streams of the stages apart. Values are part of the format."""

    CAMERA = 1
    GRAIN = 2
    DIRT = 3
    WEAVE = 4
    NOISE = 5
    LENS = 6
    FADE = 7
    SCRATCH = 8
    FLICKER = 9
    SENSOR = 10
    ACTION = 11
    SCENE = 12


def stream(seed: int, domain: Domain, frame: int = 0, lane: int = 0) -> np.random.Generator:
    """Return the generator of one stage at one frame.

    Args:
        seed: the shot's seed, any integer (taken modulo 2**64).
        frame: frame number, may be negative.
        lane: separates several independent draws of one stage at one frame (e.g. channels).
    """
    key = np.array([seed & _WORD, int(domain)], dtype=np.uint64)
    # The generator counts in the low words; ours sit in the high ones, 2**128 blocks apart.
    counter = np.array([0, 0, frame & _WORD, lane & _WORD], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
