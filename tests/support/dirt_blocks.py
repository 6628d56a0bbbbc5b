"""Material for the tests of the dirt benchmark: blocks that stand still, and much dirt on them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from wetgate.bench.dirt.clips import NUMBERS, DirtyClip, Plate, dirty_clip, to_light


def blocks(group: str = "static") -> Plate:
    """Return a plate of blocks of 8 px."""
    rng = np.random.default_rng(11)
    small = rng.uniform(0.05, 0.9, (12, 16, 3)).astype(np.float32)
    picture = np.repeat(np.repeat(small, 8, axis=0), 8, axis=1)[:96, :128]
    frames = np.repeat(to_light(picture)[None], len(NUMBERS), axis=0)
    return Plate("blocks", "static" if group == "static" else "moving", frames)


@lru_cache(maxsize=1)
def dirty_blocks() -> DirtyClip:
    """Return the plate with heavy dirt; made once, to be left as it is."""
    return dirty_clip(blocks(), "heavy", 11)
