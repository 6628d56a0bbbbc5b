"""The network of deartifact for clips: correct what the classical step made of H.264 and MPEG-2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.deartifact import net
from wetgate.simulate.codec import CodecSpec, compress
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.tasks import deartifact
from wetgate.train.tasks._coded_clips import RATES, random_h264
from wetgate.train.tasks._scenes import scene
from wetgate.train.tasks.deartifact import KINDS, drawn_picture, example_of

_SIZE, _COUNT = 192, 11
_PICKS = 2
"""Frames of a clip that are learned from, of all but the first two and the last."""
_PER_SHARD = 40
_H264 = 0.88
"""Share of the clips; the rest are MPEG-2."""
_HELD_SEED = 1_000_003
_HELD = 20
CODECS = ("h264", "mpeg2")

_Picture = Callable[[int], NDArray[np.float32]]


class Task(deartifact.Task):
    """Crops of coded scenes, in units of the estimated coding error.

    Args:
        width, deep: of the network. clips: shards of `_PER_SHARD` scenes.
    """

    def __init__(self, *, width: int = 28, deep: int = 3, clips: int = 14) -> None:
        super().__init__(width=width, deep=deep, stills=0, clips=clips)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Film, code, and run the classical step."""
        self._shards += make_shards(
            folder, "deartifact-scene", seed=seed, count=self._counts["clip"],
            per_shard=_PER_SHARD, make=lambda rng: example(
                rng, random_codec(rng), lambda side: drawn_picture(pictures, rng, side, held=False)
            ),
        )  # fmt: skip
        for codec in CODECS:
            self._held += make_shards(
                folder, f"deartifact-held-scene-{codec}", seed=_HELD_SEED, count=1,
                per_shard=_HELD, make=lambda rng, codec=codec: example(  # type: ignore[misc]
                    rng, codec, lambda side: drawn_picture(pictures, rng, side, held=True)
                ),
            )  # fmt: skip

    def card(self) -> Mapping[str, object]:
        """Return the card's facts."""
        return {
            **super().card(),
            "description": (
                "Corrects the classical deartifact step after H.264 (CRF 20-43) and MPEG-2, where "
                "blocks end less abruptly than after JPEG; after JPEG the operator asks "
                "wg-deartifact. It sees the neighbors aligned by their motion, and is told the "
                "estimated coding error, the quantiser's step, how abruptly blocks end and where. "
                f"The correction is bounded to {net.LIMIT:g} errors."
            ),
        }


def random_codec(rng: np.random.Generator) -> str:
    """Draw H.264 or MPEG-2."""
    return CODECS[int(rng.uniform() >= _H264)]


def random_coding(rng: np.random.Generator, codec: str) -> CodecSpec:
    """Draw how hard a codec presses."""
    if codec == "h264":
        return random_h264(rng)
    low, high = np.log(RATES["mpeg2"])
    return CodecSpec(codec="mpeg2", qscale=int(np.rint(np.exp(rng.uniform(low, high)))))


def example(rng: np.random.Generator, codec: str, draw: _Picture) -> Example:
    """Code a scene, drawn anew until the operator finds something to do.

    Args:
        codec: of `CODECS`. draw: returns a picture of a side.
    """
    while True:
        clean = scene(rng, draw, _SIZE, _COUNT)
        coded = compress(clean, random_coding(rng, codec)).frames
        inner = rng.choice(np.arange(2, _COUNT - 1), _PICKS, replace=False)
        made = example_of(clean, coded, sorted(int(n) for n in inner))
        if made is not None:
            return {**made, "kind": np.array(KINDS.index(codec), np.int8)}
