"""The spatial stage of denoise for frames without neighbors: photographs and white noise alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Planes
from wetgate.train.tasks import denoise
from wetgate.train.tasks.denoise_data import analysis_of, classical_passes, white_law

_GENERATED = 0.08


class Task(denoise.Task):
    """The task of the spatial network on stills alone, nearly all of them photographs."""

    def __init__(self, *, width: int = 40, deep: int = 4, stills: int = 60) -> None:
        super().__init__(width=width, deep=deep, stills=stills, clips=0)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make the noisy pictures and run the classical passes on each alone."""
        self._stills = make_shards(
            folder, "denoise-alone-dense", seed=seed, count=self._counts[0],
            per_shard=denoise.PER_SHARD,
            make=lambda rng: _example(
                rng, pictures.dense_crop(rng, denoise.STILL, generated=_GENERATED)
            ),
        )  # fmt: skip
        self._held = make_shards(
            folder, "denoise-alone-dense-held", seed=denoise.HELD_SEED, count=1,
            per_shard=denoise.PER_SHARD,
            make=lambda rng: _example(
                rng, pictures.dense_crop(rng, denoise.STILL, generated=_GENERATED, held=True)
            ),
        )  # fmt: skip

    def card(self) -> Mapping[str, object]:
        """Return the card's facts."""
        return {
            **super().card(),
            "description": (
                "Corrects the result of the classical denoise passes on a frame that has no "
                "neighbors; white noise of 0-60 codes of 255. The correction is bounded to three "
                "deviations."
            ),
        }


def _example(rng: np.random.Generator, clean: Planes) -> Example:
    law = white_law(rng)
    noisy = law.add(clean, rng)
    base = classical_passes({0: noisy}, analysis_of(law, clean, temporal=False))[0]
    return denoise.still_arrays(clean, noisy, base, law)
