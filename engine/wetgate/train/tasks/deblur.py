"""Material for the network that corrects the classical deblurring.

Clean crops are blurred in linear light by Gaussians and discs, get noise in display codes and
are rounded to codes; the operator's own classical path sharpens them, told a width that is off by
up to `_JITTER`, as a measured width is, and sometimes the shape of the blur. Everything random
comes from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wetgate.operators.deblur.classical import (
    GUARD,
    KNEE,
    MOST_SIGMA,
    Shape,
    deconvolve,
    design,
    encode,
    halo_of,
    nearest_sigma,
)
from wetgate.operators.deblur.planes import (
    ENCODING,
    INPUTS,
    MEAN_REACH,
    OUTPUTS,
    correction_limit,
    local_mean,
    net_planes,
)
from wetgate.operators.deblur.psf import Kernel, deviation_of, disc_psf, gaussian_psf
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.task import Batch, Predict

_FORMAT = 3  # of the shards; changes when their making does
_SIDE = 64
_SPARE = 8  # px by which a stored example is larger than a training patch
_RIM = max(halo_of(MOST_SIGMA), MEAN_REACH)
_PSF_REACH = 12
_GAUSSIAN = (0.5, 2.5)
_DISC = (0.7, 3.5)
_MOST_NOISE = 3.0
_JITTER = 0.15
_HELD_OUT = 24
_HELD_SIGMA, _HELD_NOISE = 1.5, 1.0

_Planes = NDArray[np.float32]


def from_code(code: _Planes) -> _Planes:
    """Return scene-linear light of display codes 0-1, continued beyond 1 (IEC 61966-2-1)."""
    low = code / np.float32(12.92)
    high = ((np.maximum(code, 0) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(code <= 0.04045, low, high).astype(np.float32)


def to_code(linear: _Planes) -> _Planes:
    """Return display codes of light; the inverse of `from_code`."""
    safe = np.maximum(linear, np.float32(1e-6))
    high = np.float32(1.055) * safe ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), high).astype(np.float32)


def noise_of_code(logged_luma: _Planes, codes: float) -> _Planes:
    """Return the deviation of encoded luma for independent noise of `codes` 8-bit codes.

    The slope of the encoding against the code, at the gray that has this luma; the mean of three
    channels has 1 / sqrt(3) of the noise of each.
    """
    scale = np.float32(np.log1p(1.0 / KNEE))
    linear = np.copysign(np.expm1(np.abs(logged_luma) * scale) * np.float32(KNEE), logged_luma)
    code = to_code(linear)
    step = np.float32(1.0 / 1024.0)
    by_code = (from_code(code + step) - from_code(code)) / step
    by_light = 1.0 / ((np.abs(linear) + np.float32(KNEE)) * scale)
    return (by_code * by_light * np.float32(codes / 255.0 / np.sqrt(3.0))).astype(np.float32)


class Task:
    """Examples of `examples` stored patches, made once.

    Args:
        examples: patches to make. width, deep: of the network.
    """

    def __init__(self, examples: int = 4000, width: int = 32, deep: int = 4) -> None:
        self._examples = examples
        self._width = width
        self._deep = deep
        self._stored: NDArray[np.float16] | None = None
        self._sigmas: _Planes | None = None
        self._held: list[tuple[_Planes, _Planes, _Planes, _Planes, _Planes, _Planes]] = []

    def make_net(self) -> Net:
        """Return the network."""
        return SmallUNet(len(INPUTS), len(OUTPUTS), width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make or open the stored patches."""
        side = _SIDE + _SPARE
        facts = {"format": _FORMAT, "examples": self._examples, "seed": seed, "side": side}
        shard, note = folder / "deblur.npy", folder / "deblur.json"
        if not note.is_file() or json.loads(note.read_text("utf-8")) != facts:
            folder.mkdir(parents=True, exist_ok=True)
            note.unlink(missing_ok=True)
            shape = (self._examples, side, side, 10)
            stored = np.lib.format.open_memmap(shard, "w+", np.float16, shape)
            sigmas = np.empty(self._examples, np.float32)
            for k in range(self._examples):
                rng = np.random.Generator(np.random.Philox(key=seed, counter=[k, 0, 0, 1]))
                stored[k], sigmas[k] = _example(rng, pictures, side)
            stored.flush()
            np.save(folder / "deblur-sigma.npy", sigmas)
            note.write_text(json.dumps(facts), encoding="utf-8")
        self._stored = np.load(shard, mmap_mode="r")
        self._sigmas = np.load(folder / "deblur-sigma.npy")
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, 2]))
        crops = pictures.held_out(rng, _HELD_OUT, side + 2 * (_RIM + _PSF_REACH))
        self._held = [_held_out(rng, crop) for crop in crops]

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return patches of the stored examples, turned and mirrored."""
        if self._stored is None or self._sigmas is None:
            raise RuntimeError("prepare comes first")
        x, base, target, limits = [], [], [], []
        for _ in range(count):
            k = int(rng.integers(len(self._stored)))
            room = _SPARE - 2 * GUARD
            top, left = (int(v) for v in rng.integers(0, room + 1, 2))
            side = _SIDE + 2 * GUARD
            patch = self._stored[k, top : top + side, left : left + side].astype(np.float32)
            patch = np.rot90(patch, int(rng.integers(4)))
            if rng.uniform() < 0.5:
                patch = patch[::-1]
            source, classical, truth = patch[..., 0:3], patch[..., 3:6], patch[..., 6:9]
            noise = np.ascontiguousarray(patch[..., 9])
            limit = correction_limit(source, classical, noise)
            inner = slice(GUARD, -GUARD), slice(GUARD, -GUARD)
            zero = np.zeros((1, 1, 1), np.float32)
            x.append(
                net_planes(source[inner], classical[inner], zero, self._sigmas[k], noise[inner])
            )
            base.append(classical[inner].transpose(2, 0, 1))
            target.append(truth[inner].transpose(2, 0, 1))
            limits.append(limit.transpose(2, 0, 1))
        return Batch(
            x=np.stack(x), base=np.stack(base), target=np.stack(target), limit=np.stack(limits)
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return PSNR in display codes: of the blurred crops, of the twin, with the network."""
        blurred, twin, net = [], [], []
        for x, base, limit, mean, truth, source in self._held:
            change = predict(x[None])[0].transpose(1, 2, 0)
            ours = base + np.clip(change, -limit, limit)
            want = _shown(truth + mean)
            blurred.append(_psnr(want, _shown(source + mean)))
            twin.append(_psnr(want, _shown(base + mean)))
            net.append(_psnr(want, _shown(ours + mean)))
        name = f"Gaussian {_HELD_SIGMA:g} px, noise {_HELD_NOISE:g} code"
        return {
            f"{name} dB": float(np.mean(net)),
            f"twin {name} dB": float(np.mean(twin)),
            "as blurred dB": float(np.mean(blurred)),
        }

    def card(self) -> Mapping[str, object]:
        """Return the facts of the model card."""
        return {
            "task": "deblur",
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "color_encoding": ENCODING,
            "temporal_radius": 0,
            "generative": False,
            "description": (
                "Corrects the classical deblurring of lens and defocus blur of 0.5 to 2.5 px "
                "deviation; not for motion blur."
            ),
        }


def _example(
    rng: np.random.Generator, pictures: Pictures, side: int
) -> tuple[NDArray[np.float16], float]:
    clean = pictures.crops(rng, 1, side + 2 * (_RIM + _PSF_REACH))[0]
    linear = from_code(clean)
    if rng.uniform() < 0.3:
        linear = linear * np.float32(np.exp(rng.uniform(-1.2, 1.2)))
    if rng.uniform() < 0.15:
        linear = _with_lamps(rng, linear)
    chance = rng.uniform()
    if chance < 0.5:
        kernel = gaussian_psf(float(rng.uniform(*_GAUSSIAN)))
    else:
        kernel = disc_psf(float(rng.uniform(*_DISC)))
    if chance > 0.85:  # a lens out of focus is not perfect otherwise either
        kernel = _both(kernel, gaussian_psf(float(rng.uniform(0.4, 0.8))))
    codes = float(rng.uniform(0.0, _MOST_NOISE))
    depth = 255.0 if rng.uniform() < 0.5 else 1023.0
    true: Shape = "gaussian" if chance < 0.5 else "disc"
    other: Shape = "disc" if chance < 0.5 else "gaussian"
    told = true if rng.uniform() < 0.55 else "either"
    if rng.uniform() < 0.05:
        told = other
    jitter = float(rng.uniform(-_JITTER, _JITTER))
    return _made(rng, linear, kernel, told, codes, depth, jitter)


def _made(
    rng: np.random.Generator,
    linear: _Planes,
    kernel: Kernel,
    shape: Shape,
    codes: float,
    depth: float,
    jitter: float,
) -> tuple[NDArray[np.float16], float]:
    """Blur, add noise, round, sharpen; return source, classical, truth less the mean, noise."""
    soft = cv2.filter2D(linear, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    code = to_code(soft.astype(np.float32)) + rng.standard_normal(
        soft.shape, np.float32
    ) * np.float32(codes / 255)
    code = np.rint(code * np.float32(depth)) / np.float32(depth)
    seen = from_code(code.astype(np.float32))
    sigma = nearest_sigma(deviation_of(kernel) * (1.0 + jitter))
    made = design(sigma, shape)
    all_codes = float(np.hypot(codes, 255.0 / depth / np.sqrt(12.0)))
    start = _RIM + _PSF_REACH
    inner = slice(start, -start), slice(start, -start)
    wide = slice(start - made.reach, made.reach - start)
    region = np.ascontiguousarray(seen[wide, wide])
    logged = encode(seen)
    source = logged[inner]
    noise = noise_of_code(source.mean(axis=2), all_codes)
    classical = encode(deconvolve(region, noise, made))
    near = slice(start - MEAN_REACH, MEAN_REACH - start)
    mean = local_mean(logged[near, near])
    truth = encode(linear[inner].astype(np.float32))
    parts = (source - mean, classical - mean, truth - mean, noise[..., None])
    return np.concatenate(parts, axis=2).astype(np.float16), sigma


def _held_out(
    rng: np.random.Generator, crop: _Planes
) -> tuple[_Planes, _Planes, _Planes, _Planes, _Planes, _Planes]:
    linear = from_code(crop)
    stored, sigma = _made(
        rng, linear, gaussian_psf(_HELD_SIGMA), "gaussian", _HELD_NOISE, 255.0, 0.0
    )
    patch = stored.astype(np.float32)
    start = _RIM + _PSF_REACH
    truth = encode(np.ascontiguousarray(linear[start:-start, start:-start]))
    inner = slice(GUARD, -GUARD), slice(GUARD, -GUARD)
    source, classical, residual = patch[..., 0:3], patch[..., 3:6], patch[..., 6:9]
    noise = np.ascontiguousarray(patch[..., 9])
    mean = truth - residual
    limit = correction_limit(source, classical, noise)
    zero = np.zeros((1, 1, 1), np.float32)
    x = net_planes(source[inner], classical[inner], zero, sigma, noise[inner])
    return x, classical[inner], limit, mean[inner], residual[inner], source[inner]


def _with_lamps(rng: np.random.Generator, linear: _Planes) -> _Planes:
    out = linear.copy()
    for _ in range(int(rng.integers(1, 5))):
        center = tuple(int(v) for v in rng.integers(0, linear.shape[0], 2))
        spot = np.zeros(linear.shape[:2], np.float32)
        cv2.circle(spot, center, int(rng.integers(1, 6)), 1.0, -1, cv2.LINE_AA)
        light = np.exp(rng.uniform(0.0, 4.0)) * rng.uniform(0.7, 1.0, 3)
        out += spot[..., None] * (light.astype(np.float32) - out)
    return out


def _both(first: Kernel, second: Kernel) -> Kernel:
    side = len(first) + len(second) - 1
    spectrum = np.fft.rfft2(first, (side, side)) * np.fft.rfft2(second, (side, side))
    kernel = np.maximum(np.fft.irfft2(spectrum, (side, side)), 0.0)
    return np.asarray(kernel / kernel.sum())


def _shown(logged: _Planes) -> _Planes:
    scale = np.float32(np.log1p(1.0 / KNEE))
    linear = np.copysign(np.expm1(np.abs(logged) * scale) * np.float32(KNEE), logged)
    return np.clip(to_code(linear), 0.0, 1.0)


def _psnr(a: _Planes, b: _Planes) -> float:
    return float(-10.0 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))
