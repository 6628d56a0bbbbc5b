"""Train the joint network: one correction for what denoising lost and enlarging never had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.measure import psnr
from wetgate.operators.denoise.net import spatial_planes
from wetgate.operators.denoise_upscale.planes import NAMES, noisy_limits
from wetgate.operators.upscale.resample import (
    Pixels,
    deinterleave,
    downscale,
    enlarge,
    interleave,
    limit,
    limits,
)
from wetgate.train.nets import SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks.denoise_data import NoiseLaw, analysis_of, classical_passes, draw_law

_SMALL = 128
_PER_SHARD = 40
_HELD_SEED = 1_000_003
_FRAMES = 3
_SHOT_SHARE = 0.25
"""Of the examples, how many have two more frames of the still scene beside them: over a shot the
classical passes leave less noise, and the network must know that picture too."""
_ERROR = 0.05
"""Relative error of the noise level that the network is told; measured profiles err that much."""
_PASSES = 3


@dataclass(slots=True)
class Task:
    """Small noisy pictures that the classical passes denoised, against the large clean ones.

    Args:
        width, deep: of the network, a U-Net. shards: of forty pictures each.
        patch: px of the small picture, a multiple of 4.
    """

    width: int = 40
    deep: int = 4
    shards: int = 40
    patch: int = 48
    _train: list[dict[str, NDArray[np.generic]]] = field(default_factory=list, init=False)
    _held: list[dict[str, NDArray[np.generic]]] = field(default_factory=list, init=False)

    def make_net(self) -> SmallUNet:
        """Return a U-Net from the planes of denoise to three of twice the size."""
        return SmallUNet(len(NAMES), 3, width=self.width, deep=self.deep, scale=2)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make the noisy small pictures and run the classical passes on them."""
        self._train = make_shards(
            folder, "denoise-upscale", seed=seed, count=self.shards, per_shard=_PER_SHARD,
            make=lambda rng: example(rng, pictures.crops(rng, 1, 2 * _SMALL)[0]),
        )  # fmt: skip
        self._held = make_shards(
            folder, "denoise-upscale-held", seed=_HELD_SEED, count=1, per_shard=_PER_SHARD,
            make=lambda rng: example(rng, pictures.held_out(rng, 1, 2 * _SMALL)[0]),
        )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut patches out of the shards, turned and mirrored."""
        parts = [self._draw(rng) for _ in range(count)]
        x, base, target = (np.stack([p[i] for p in parts]) for i in range(3))
        return Batch(x=x, base=base, target=target)

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return PSNR on held-out pictures beside the classical passes with limited Lanczos."""
        ours, twin = [], []
        for shard in self._held:
            for i in range(len(shard["law"])):
                clean, noisy, base = (_whole(shard, n, i) for n in ("clean", "noisy", "base"))
                sigma = _sigma(shard, i, base)
                flatness = float(_whole(shard, "law", i)[6])
                x = spatial_planes(base, noisy, sigma, flatness=flatness)
                change = np.ascontiguousarray(predict(x[None])[0].transpose(1, 2, 0))
                plain = enlarge(base, 2)
                made = plain + deinterleave(change, 2)
                limit(made, *noisy_limits(base, sigma))
                limit(plain, *limits(base, 1.0))
                inner = np.s_[16:-16, 16:-16]
                ours.append(psnr(clean[inner], interleave(made)[inner]))
                twin.append(psnr(clean[inner], interleave(plain)[inner]))
        return {"pictures dB": float(np.mean(ours)), "twin pictures dB": float(np.mean(twin))}

    def card(self) -> Mapping[str, object]:
        """Return the facts of the model card that the task decides."""
        return {
            "task": "denoise-upscale",
            "inputs": NAMES,
            "outputs": ("correction.r", "correction.g", "correction.b"),
            "color_encoding": "log or display-referred working encoding of denoise",
            "temporal_radius": 0,
            "generative": False,
            "description": "Correction of a Lanczos upscale by 2 of what the classical denoise "
            "passes made, seeing what they took; told the deviation of the noise (1-60 codes of "
            "255) and how white it is.",
        }

    def _draw(self, rng: np.random.Generator) -> tuple[Planes, Planes, Planes]:
        shard = self._train[int(rng.integers(len(self._train)))]
        i = int(rng.integers(len(shard["law"])))
        y, x = (2 * int(v) for v in rng.integers(0, (_SMALL - self.patch) // 2 + 1, 2))
        turn, mirror = int(rng.integers(4)), rng.uniform() < 0.5

        def cut(name: str, scale: int) -> Pixels:
            rows = slice(y * scale, (y + self.patch) * scale)
            columns = slice(x * scale, (x + self.patch) * scale)
            piece = np.rot90(np.asarray(shard[name][i, rows, columns], np.float32), turn)
            return np.ascontiguousarray(piece[::-1] if mirror else piece)

        clean, noisy, base = cut("clean", 2), cut("noisy", 1), cut("base", 1)
        error = np.float32(np.exp(_ERROR * rng.standard_normal()))
        sigma = _sigma(shard, i, base) * error
        seen = spatial_planes(base, noisy, sigma, flatness=float(_whole(shard, "law", i)[6]))
        return seen, _plane(interleave(enlarge(base, 2))), _plane(clean)


def example(rng: np.random.Generator, clean: Pixels) -> Example:
    """Reduce a picture, add noise of a drawn law and run the classical passes."""
    small = downscale(clean, 2)
    law = draw_law(rng)
    frames = _FRAMES if rng.uniform() < _SHOT_SHARE else 1
    noisy = {n: law.add(small, rng) for n in range(frames)}
    center = frames // 2
    base = classical_passes(noisy, analysis_of(law, small), _PASSES)[center]
    return {
        "clean": clean.astype(np.float16),
        "noisy": noisy[center].astype(np.float16),
        "base": base.astype(np.float16),
        "law": _packed(law),
    }


def _packed(law: NoiseLaw) -> NDArray[np.float32]:
    return np.array([*law.a, *law.b, law.flatness], np.float32)


def _sigma(shard: Mapping[str, NDArray[np.generic]], i: int, base: Pixels) -> Pixels:
    law = _whole(shard, "law", i)
    variance = law[:3] + law[3:6] * np.clip(base, 0.0, 1.0)
    return np.asarray(np.sqrt(variance), np.float32)


def _whole(shard: Mapping[str, NDArray[np.generic]], name: str, i: int) -> Pixels:
    return np.asarray(shard[name][i], np.float32)


def _plane(pixels: Pixels) -> Planes:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
