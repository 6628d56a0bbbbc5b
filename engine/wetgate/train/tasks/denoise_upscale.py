"""Train the joint network: it corrects what the networks of denoise and then of upscale made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.backends import apply_net, load_session
from wetgate.measure import psnr
from wetgate.operators.denoise.net import spatial_planes
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise_upscale.planes import NAMES, noisy_limits
from wetgate.operators.upscale.operator import UpscaleOperator, seen_by_net
from wetgate.operators.upscale.resample import (
    Pixels,
    deinterleave,
    downscale,
    enlarge,
    interleave,
    limit,
)
from wetgate.operators.verbs import run_operator
from wetgate.train.nets import SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks.denoise_data import (
    NoiseLaw,
    analysis_of,
    draw_law,
    facts_of,
    run_stages,
    white_law,
)

_SMALL = 128
_PER_SHARD = 40
_HELD_SEED = 1_000_003
_FRAMES = 3
_SHOT_SHARE = 0.25
"""Of the examples, how many have two more frames of the still scene beside them: over a shot
denoise leaves less noise, and the network must know that picture too."""
_DENSE_SHARE, _GENERATED = 0.5, 0.08
_ERROR = 0.05
"""Relative error of the noise level that the network is told; measured profiles err that much."""


@dataclass(slots=True)
class Task:
    """Small noisy pictures, denoised and enlarged by the operators, against the large clean ones.

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
        """Make the noisy small pictures and run both operators on them."""
        self._train = make_shards(
            folder, "denoise-upscale", seed=seed, count=self.shards, per_shard=_PER_SHARD,
            make=lambda rng: example(rng, _picture(rng, pictures, held=False)),
        )  # fmt: skip
        self._held = make_shards(
            folder, "denoise-upscale-held", seed=_HELD_SEED, count=1, per_shard=_PER_SHARD,
            make=lambda rng: example(rng, _picture(rng, pictures, held=True)),
        )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut patches out of the shards, turned and mirrored."""
        parts = [self._draw(rng) for _ in range(count)]
        x, base, target = (np.stack([p[i] for p in parts]) for i in range(3))
        return Batch(x=x, base=base, target=target)

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return PSNR on held-out pictures beside one operator after the other."""
        ours, twin = [], []
        for shard in self._held:
            for i in range(len(shard["law"])):
                clean, noisy, base, grown = (
                    _whole(shard, n, i) for n in ("clean", "noisy", "base", "grown")
                )
                sigma = _sigma(shard, i, base)
                flatness = float(_whole(shard, "law", i)[6])
                x = spatial_planes(base, noisy, sigma, flatness=flatness)
                change = np.ascontiguousarray(predict(x[None])[0].transpose(1, 2, 0))
                made = limit(deinterleave(grown + change, 2), *noisy_limits(base, sigma))
                inner = np.s_[16:-16, 16:-16]
                ours.append(psnr(clean[inner], interleave(made)[inner]))
                twin.append(psnr(clean[inner], _whole(shard, "sequence", i)[inner]))
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
            "description": "Corrects what wg-upscale2 makes of what the denoise networks made, "
            "seeing what they took; told the deviation of the noise (1-60 codes of 255) and how "
            "white it is.",
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

        clean, grown = cut("clean", 2), cut("grown", 2)
        noisy, base = cut("noisy", 1), cut("base", 1)
        error = np.float32(np.exp(_ERROR * rng.standard_normal()))
        sigma = _sigma(shard, i, base) * error
        seen = spatial_planes(base, noisy, sigma, flatness=float(_whole(shard, "law", i)[6]))
        return seen, _plane(grown), _plane(clean)


def example(rng: np.random.Generator, clean: Pixels) -> Example:
    """Reduce a picture, add noise of a drawn law and run denoise, then upscale."""
    small = downscale(clean, 2)
    frames = _FRAMES if rng.uniform() < _SHOT_SHARE else 1
    law = draw_law(rng) if frames > 1 else white_law(rng)
    noisy = {n: law.add(small, rng) for n in range(frames)}
    center = frames // 2
    analysis = analysis_of(law, small, temporal=frames > 1)
    base = run_stages(DenoiseOperator().stages, noisy, analysis)[center]
    upscale = UpscaleOperator(scale=2)
    change = apply_net(load_session(upscale.models()[0]), seen_by_net(base), origin=(0, 0))
    return {
        "clean": clean.astype(np.float16),
        "noisy": noisy[center].astype(np.float16),
        "base": base.astype(np.float16),
        "grown": (interleave(enlarge(base, 2)) + change.transpose(1, 2, 0)).astype(np.float16),
        "sequence": run_operator(upscale, {0: base}, 0, facts=facts_of(base)).astype(np.float16),
        "law": _packed(law),
    }


def _picture(rng: np.random.Generator, pictures: Pictures, *, held: bool) -> Pixels:
    if rng.uniform() < _DENSE_SHARE:
        return pictures.dense_crop(rng, 2 * _SMALL, generated=_GENERATED, held=held)
    crops = (pictures.held_out if held else pictures.crops)(rng, 1, 2 * _SMALL)
    return np.ascontiguousarray(crops[0])


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
