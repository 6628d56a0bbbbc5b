"""The spatial stage of denoise: correct what the classical passes made of one frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.denoise.net import LIMIT, SPATIAL_PLANES, spatial_planes
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import Example, make_shards
from wetgate.train.task import Batch, Planes, Predict
from wetgate.train.tasks.denoise_data import (
    LENGTH,
    NoiseLaw,
    analysis_of,
    classical_passes,
    draw_clip,
    draw_law,
)

STILL = 128
PER_SHARD = 50
_CLIPS_PER_SHARD = 10
HELD_SEED = 1_000_003
_CROP = 64
_STILL_SHARE = 0.5
PLANE_NAMES = (
    *(f"{name}.{c}" for name in ("detail", "residual", "base", "sigma") for c in "rgb"),
    "flatness",
)
_ERROR = 0.05
"""Relative error of the noise level that the network is told; measured profiles err that much."""


class Task:
    """Stills and frames of clips, denoised by the classical passes, against the truth.

    Args:
        width, deep: of the network. stills, clips: number of shards.
    """

    def __init__(
        self, *, width: int = 48, deep: int = 4, stills: int = 60, clips: int = 40
    ) -> None:
        self._width, self._deep = width, deep
        self._counts = stills, clips
        self._stills: list[dict[str, NDArray[np.generic]]] = []
        self._clips: list[dict[str, NDArray[np.generic]]] = []
        self._held: list[dict[str, NDArray[np.generic]]] = []
        self._held_clips: list[dict[str, NDArray[np.generic]]] = []

    def make_net(self) -> Net:
        """Return a U-Net from the planes of the stage to three."""
        return SmallUNet(SPATIAL_PLANES, 3, width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make the noisy pictures and run the classical passes on them."""
        stills, clips = self._counts
        self._stills = make_shards(
            folder, "denoise-stills", seed=seed, count=stills, per_shard=PER_SHARD,
            make=lambda rng: still_example(rng, pictures.crops(rng, 1, STILL)[0]),
        )  # fmt: skip
        self._clips = make_shards(
            folder, "denoise-clips", seed=seed, count=clips, per_shard=_CLIPS_PER_SHARD,
            make=lambda rng: clip_example(rng, pictures),
        )  # fmt: skip
        self._held = make_shards(
            folder, "denoise-held", seed=HELD_SEED, count=1, per_shard=PER_SHARD,
            make=lambda rng: still_example(rng, pictures.held_out(rng, 1, STILL)[0]),
        )  # fmt: skip
        self._held_clips = make_shards(
            folder, "denoise-held-clips", seed=HELD_SEED, count=1, per_shard=_CLIPS_PER_SHARD,
            make=lambda rng: clip_example(rng, pictures, held=True),
        )  # fmt: skip

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Cut crops out of the shards, turned and mirrored."""
        return stacked([self._draw(rng) for _ in range(count)])

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return mean PSNR in dB on held-out stills and frames, and the classical twin's."""
        stills = [
            (s["clean"][i], s["noisy"][i], s["base"][i], s["law"][i])
            for s in self._held
            for i in range(len(s["law"]))
        ]
        frames = [
            (s["clean"][i, t], s["noisy"][i, t], s["base"][i, t], s["law"][i])
            for s in self._held_clips
            for i in range(len(s["law"]))
            for t in (LENGTH // 2,)
        ]
        figures: dict[str, float] = {}
        for name, group in (("stills", stills), ("clips", frames)):
            if not group:
                continue
            ours, twins = [], []
            for parts in group:
                one = stacked([example_of(*(np.asarray(p, np.float32) for p in parts))])
                ours.append(psnr(one.base + one.change(predict(one.x)), one.target))
                twins.append(psnr(one.base, one.target))
            figures[f"{name} dB"] = float(np.mean(ours))
            figures[f"twin {name} dB"] = float(np.mean(twins))
        return figures

    def card(self) -> Mapping[str, object]:
        """Return the card's facts."""
        return {
            "task": "denoise",
            "inputs": (*PLANE_NAMES,),
            "outputs": ("correction.r", "correction.g", "correction.b"),
            "color_encoding": "log or display-referred working encoding of denoise",
            "temporal_radius": 0,
            "generative": False,
            "description": (
                "Corrects the result of the classical denoise passes on one frame; told the "
                "deviation of the noise at every sample (0-60 codes of 255) and how white it is. "
                "The correction is bounded to three deviations."
            ),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[Planes, ...]:
        if not self._clips or rng.uniform() < _STILL_SHARE:
            shard = self._stills[int(rng.integers(len(self._stills)))]
            i = int(rng.integers(len(shard["law"])))
            parts = [shard[n][i] for n in ("clean", "noisy", "base")]
        else:
            shard = self._clips[int(rng.integers(len(self._clips)))]
            i, t = int(rng.integers(len(shard["law"]))), int(rng.integers(LENGTH))
            parts = [shard[n][i, t] for n in ("clean", "noisy", "base")]
        height, width, _ = parts[0].shape
        y, x = int(rng.integers(height - _CROP + 1)), int(rng.integers(width - _CROP + 1))
        turn, mirror = int(rng.integers(4)), rng.uniform() < 0.5
        cut = []
        for part in parts:
            piece = np.rot90(np.asarray(part[y : y + _CROP, x : x + _CROP], np.float32), turn)
            cut.append(np.ascontiguousarray(piece[::-1] if mirror else piece))
        error = float(np.exp(_ERROR * rng.standard_normal()))
        clean, noisy, base = cut
        law = np.asarray(shard["law"][i], np.float32)
        return example_of(clean, noisy, base, law, error=error)


def still_example(rng: np.random.Generator, clean: Planes) -> Example:
    """Add noise of a drawn law to one picture and run the classical passes on it alone."""
    law = draw_law(rng)
    noisy = law.add(clean, rng)
    base = classical_passes({0: noisy}, analysis_of(law, clean))[0]
    return still_arrays(clean, noisy, base, law)


def still_arrays(clean: Planes, noisy: Planes, base: Planes, law: NoiseLaw) -> Example:
    """Return the arrays of one still, pictures in half precision."""
    return {"clean": _half(clean), "noisy": _half(noisy), "base": _half(base), "law": packed(law)}


def clip_example(rng: np.random.Generator, pictures: Pictures, *, held: bool = False) -> Example:
    """Do the same with a short clip, every frame with its neighbors."""
    clean = draw_clip(rng, pictures, held=held)
    law = draw_law(rng)
    noisy = {n: law.add(frame, rng) for n, frame in enumerate(clean)}
    base = classical_passes(noisy, analysis_of(law, clean[LENGTH // 2]))
    return {
        "clean": _half(np.stack(clean)),
        "noisy": _half(np.stack([noisy[n] for n in range(LENGTH)])),
        "base": _half(np.stack([base[n] for n in range(LENGTH)])),
        "law": packed(law),
    }


def packed(law: NoiseLaw) -> NDArray[np.float32]:
    """Return `a` (3), `b` (3) and the flatness of a law."""
    return np.array([*law.a, *law.b, law.flatness], np.float32)


def example_of(
    clean: Planes, noisy: Planes, base: Planes, law: Planes, *, error: float = 1.0
) -> tuple[Planes, ...]:
    """Return x, base, target and deviation as planes, and the weight of one example."""
    variance = law[:3] + law[3:6] * np.clip(base, 0.0, 1.0)
    sigma = (np.sqrt(variance) * error).astype(np.float32)
    x = spatial_planes(base, noisy, sigma, flatness=float(law[6]))
    planes = [np.ascontiguousarray(p.transpose(2, 0, 1)) for p in (base, clean, sigma)]
    level = float(np.sqrt(variance).mean())
    weight = np.full((1, 1, 1), ((25 / 255) / (level + 3 / 255)) ** 0.6, np.float32)
    return x, *planes, weight


def stacked(examples: list[tuple[Planes, ...]]) -> Batch:
    """Stack what `example_of` returned."""
    x, base, target, unit, weight = (np.stack(parts) for parts in zip(*examples, strict=True))
    return Batch(x, base, target, weight=weight, unit=unit, limit=LIMIT)


def _half(pixels: NDArray[np.float32]) -> NDArray[np.float16]:
    return pixels.astype(np.float16)


def psnr(a: Planes, b: Planes) -> float:
    """Return the PSNR in dB for a peak of 1."""
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))
