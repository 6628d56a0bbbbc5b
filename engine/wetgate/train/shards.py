"""Shards: training material that is too dear to make for every batch, kept on disk.

Shard `k` depends on (seed, kind, k) alone; one that is there is not made again, so preparing can
be broken off, go on, and run in several processes at once.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

Example = Mapping[str, NDArray[np.generic]]
"""Arrays of one example by name; all examples of a kind have the same shapes."""


def make_shards(
    folder: Path,
    kind: str,
    *,
    seed: int,
    count: int,
    per_shard: int,
    make: Callable[[np.random.Generator], Example],
) -> list[dict[str, NDArray[np.generic]]]:
    """Make the shards of a kind that are not there yet and open all of them, memory-mapped.

    Args:
        count: shards. per_shard: examples in each.
        make: makes one example from a generator.

    Returns:
        for each shard, arrays with the examples along the first axis.
    """
    root = folder / f"{kind}-seed{seed}"
    root.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        place = root / f"{k:04d}"
        if place.is_dir():
            continue
        key = [seed, zlib.crc32(kind.encode())]
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, k]))
        examples = [make(rng) for _ in range(per_shard)]
        temporary = root / f".{k:04d}.{os.getpid()}"
        temporary.mkdir()
        for name in examples[0]:
            np.save(temporary / f"{name}.npy", np.stack([e[name] for e in examples]))
        try:
            os.rename(temporary, place)
        except OSError:  # another process was first, with the same bits
            for left in temporary.iterdir():
                left.unlink()
            temporary.rmdir()
        _log.info("%s: shard %d of %d", kind, k + 1, count)
    return [
        {p.stem: np.load(p, mmap_mode="r") for p in sorted((root / f"{k:04d}").glob("*.npy"))}
        for k in range(count)
    ]
