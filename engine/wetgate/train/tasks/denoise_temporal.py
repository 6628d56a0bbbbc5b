"""The temporal stage of denoise: correct the fusion of frames that the spatial stage made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Pixels, pixels_of
from wetgate.operators.denoise.net import (
    SPATIAL_PLANES,
    NetChoice,
    SpatialNet,
    TemporalNet,
    temporal_planes,
)
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise.passes import temporal_inputs
from wetgate.operators.denoise.shot import shot_noise
from wetgate.operators.denoise.stages import SecondPass
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks.denoise import PLANE_NAMES, example_of, packed, psnr, stacked
from wetgate.train.tasks.denoise_data import (
    LENGTH,
    analysis_of,
    classical_passes,
    draw_clip,
    draw_law,
    facts_of,
    windows_of,
)

_CENTERS = (0, 2, 4, 6)
_NEIGHBORS = 4
_CLIPS_PER_SHARD = 10
_HELD_SEED = 1_000_003
_CROP = 64


class Task:
    """Clips through every stage before the network, at some of their frames.

    Args:
        width, deep: of the network. clips: number of shards. spatial: the model package of the
            stage before.
    """

    def __init__(
        self, *, width: int = 32, deep: int = 3, clips: int = 26, spatial: str = "wg-denoise"
    ) -> None:
        self._width, self._deep, self._count, self._spatial = width, deep, clips, spatial
        self._clips: list[dict[str, NDArray[np.generic]]] = []
        self._held: list[dict[str, NDArray[np.generic]]] = []

    def make_net(self) -> Net:
        """Return a U-Net from the planes of the stage to three."""
        return SmallUNet(SPATIAL_PLANES + 3 * _NEIGHBORS, 3, width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Run every stage before the network on noisy clips."""
        self._clips = make_shards(
            folder, f"temporal-{self._spatial}", seed=seed, count=self._count,
            per_shard=_CLIPS_PER_SHARD, make=lambda rng: self._example(rng, pictures),
        )  # fmt: skip
        self._held = make_shards(
            folder, f"temporal-held-{self._spatial}", seed=_HELD_SEED, count=1,
            per_shard=_CLIPS_PER_SHARD, make=lambda rng: self._example(rng, pictures, held=True),
        )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut crops out of the shards, turned and mirrored."""
        return stacked([self._draw(rng) for _ in range(count)])

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return mean PSNR in dB on held-out clips, and that of the plain fusion."""
        ours, twins = [], []
        for shard in self._held:
            for i in range(len(shard["law"])):
                for t in (1, 2):
                    one = stacked(
                        [_example(*(np.asarray(p, np.float32) for p in _parts(shard, i, t)))]
                    )
                    ours.append(psnr(one.base + one.change(predict(one.x)), one.target))
                    twins.append(psnr(one.base, one.target))
        return {"clips dB": float(np.mean(ours)), "twin clips dB": float(np.mean(twins))}

    def card(self) -> Mapping[str, object]:
        """Return the card's facts."""
        return {
            "task": "denoise-temporal",
            "inputs": (
                *PLANE_NAMES,
                *(f"neighbor{k:+d}.{c}" for k in (-2, -1, 1, 2) for c in "rgb"),
            ),
            "outputs": ("correction.r", "correction.g", "correction.b"),
            "color_encoding": "log or display-referred working encoding of denoise",
            "temporal_radius": 2,
            "generative": False,
            "description": (
                "Corrects the fusion of three denoised frames by what four aligned neighbors "
                "show. The correction is bounded to three deviations of the noise."
            ),
        }

    def _nets(self) -> NetChoice:
        return NetChoice(self._spatial, self._spatial, self._spatial)

    def _draw(self, rng: np.random.Generator) -> tuple[Planes, ...]:
        shard = self._clips[int(rng.integers(len(self._clips)))]
        i, t = int(rng.integers(len(shard["law"]))), int(rng.integers(len(_CENTERS)))
        *parts, law = _parts(shard, i, t)
        height, width = parts[0].shape[:2]
        y, x = int(rng.integers(height - _CROP + 1)), int(rng.integers(width - _CROP + 1))
        turn, mirror = int(rng.integers(4)), rng.uniform() < 0.5
        cut = []
        for part in parts:
            piece = np.rot90(np.asarray(part[y : y + _CROP, x : x + _CROP], np.float32), turn)
            cut.append(np.ascontiguousarray(piece[::-1] if mirror else piece))
        clean, noisy, base, around = cut
        return _example(clean, noisy, base, around, np.asarray(law, np.float32))

    def _example(
        self, rng: np.random.Generator, pictures: Pictures, *, held: bool = False
    ) -> Example:
        clean = draw_clip(rng, pictures, held=held)
        law = draw_law(rng)
        noisy = {n: law.add(frame, rng) for n, frame in enumerate(clean)}
        analysis = analysis_of(law, clean[LENGTH // 2])
        noise = shot_noise(analysis, 1.0)
        second = classical_passes(noisy, analysis)
        operator = DenoiseOperator(net="none")
        spatial = SpatialNet(SecondPass(operator, operator.radius), self._nets())
        alone = windows_of(spatial, noisy, second, analysis)
        corrected = {n: pixels_of(spatial(w, analysis, facts_of(w))) for n, w in alone.items()}
        stage = TemporalNet(operator, 2, nets=self._nets())
        windows = windows_of(stage, noisy, corrected, analysis, _CENTERS)
        bases, warps = [], []
        for window in windows.values():
            base, warped = temporal_inputs(window, noise)
            here = base.transpose(2, 0, 1)
            bases.append(base)
            # float32 `(h, w, 12)`; a neighbor that is not there differs in nothing.
            planes = np.concatenate([here if w is None else w for w in warped])
            warps.append(planes.transpose(1, 2, 0))
        at = list(_CENTERS)
        return {
            "clean": np.stack([clean[n] for n in at]).astype(np.float16),
            "noisy": np.stack([noisy[n] for n in at]).astype(np.float16),
            "base": np.stack(bases).astype(np.float16),
            "around": np.stack(warps).astype(np.float16),
            "law": packed(law),
        }


def _parts(shard: Mapping[str, NDArray[np.generic]], i: int, t: int) -> list[NDArray[np.generic]]:
    return [*(shard[n][i, t] for n in ("clean", "noisy", "base", "around")), shard["law"][i]]


def _example(
    clean: Pixels, noisy: Pixels, base: Pixels, around: Pixels, law: Planes
) -> tuple[Planes, ...]:
    _, *rest = example_of(clean, noisy, base, law)
    warped = [around[..., 3 * k : 3 * k + 3].transpose(2, 0, 1) for k in range(_NEIGHBORS)]
    sigma = rest[2].transpose(1, 2, 0)
    planes = temporal_planes(base, noisy, sigma, flatness=float(law[6]), warped=warped)
    return planes, *rest
