"""Train the upscale networks: corrections of a Lanczos upscale, seen through luma-free detail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wetgate.measure import psnr
from wetgate.operators.upscale.planes import DETAIL_NAMES, detail
from wetgate.operators.upscale.resample import (
    Pixels,
    deinterleave,
    downscale,
    enlarge,
    interleave,
    limit,
    limits,
)
from wetgate.train.nets import PlainNet
from wetgate.train.pictures import Pictures
from wetgate.train.task import Batch, Planes, Predict

_CUTS = 4
"""Crops taken from one picture: pictures cost more than the training step they feed."""
_VIVID = 0.35
"""Of the patches, in how many channels are made negative at random. Edges of photographs are
edges of luma, seldom of color alone; these are both."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_VALIDATION = 24
MARGIN = 1.0


@dataclass(slots=True)
class Task:
    """Pictures of half or a quarter of the size, and what Lanczos does not know of the whole.

    The small picture is the antialiased bicubic reduction of the large one, in display-referred
    code values; one in two is rounded to 8 bits, as most sources once were.

    Args:
        scale: 2 or 4. width, depth: of the network. patch: px of the small picture.
    """

    scale: int = 2
    width: int = 32
    depth: int = 8
    patch: int = 48
    _pictures: Pictures | None = field(default=None, init=False)
    _seed: int = field(default=0, init=False)

    def make_net(self) -> PlainNet:
        """Return a chain of plain convolutions with pixel shuffle at the end."""
        return PlainNet(3, 3, width=self.width, depth=self.depth, scale=self.scale)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Keep the pictures; everything else is made for every batch."""
        del folder
        self._pictures, self._seed = pictures, seed

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return `count` patches, four from each picture drawn."""
        large = self.patch * self.scale
        pictures = self._source().crops(rng, -(-count // _CUTS), 2 * large)
        truth = np.empty((count, large, large, 3), np.float32)
        for k in range(count):
            y, x = (int(v) for v in rng.integers(0, large + 1, 2))
            truth[k] = pictures[k // _CUTS, y : y + large, x : x + large]
            if rng.uniform() < _VIVID:
                turned = rng.uniform(size=3) < 0.5
                truth[k] = np.where(turned, 1 - truth[k], truth[k])
        small = _apart(downscale(_together(truth), self.scale))
        for k in range(count):
            if rng.uniform() < 0.5:
                small[k] = rounded(small[k])
        base = _apart(interleave(enlarge(_together(small), self.scale)))
        seen = np.stack([detail(s) for s in small])
        return Batch(x=_planes(seen), base=_planes(base), target=_planes(truth))

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return luma PSNR on held-out crops, edges left out, beside limited Lanczos."""
        rng = np.random.default_rng(self._seed + 1)
        size = 64 * self.scale
        ours: list[float] = []
        twin: list[float] = []
        for truth in self._source().held_out(rng, _VALIDATION, size):
            small = rounded(downscale(truth, self.scale))
            low, high = limits(small, MARGIN)
            lanczos = enlarge(small, self.scale)
            change = predict(_planes(detail(small)[None]))[0].transpose(1, 2, 0)
            made = lanczos + deinterleave(np.ascontiguousarray(change), self.scale)
            edge = 8 * self.scale
            inner = np.s_[edge:-edge, edge:-edge]
            for values, phases in ((ours, made), (twin, lanczos)):
                shown = interleave(limit(phases, low, high))
                values.append(psnr((truth @ _LUMA)[inner], (shown @ _LUMA)[inner]))
        return {"luma dB": float(np.mean(ours)), "twin luma dB": float(np.mean(twin))}

    def card(self) -> Mapping[str, object]:
        """Return the facts of the model card that the task decides."""
        return {
            "task": "upscale",
            "inputs": DETAIL_NAMES,
            "outputs": ("correction.r", "correction.g", "correction.b"),
            "color_encoding": "log or display-referred code values, 0-1 nominal; exposure-free",
            "temporal_radius": 0,
            "generative": False,
            "description": f"Correction of a Lanczos upscale by {self.scale}: what an antialiased "
            "bicubic reduction took and the neighborhood still tells.",
        }

    def _source(self) -> Pictures:
        if self._pictures is None:
            raise ValueError("prepare() comes before batches")
        return self._pictures


def rounded(pixels: Pixels) -> Pixels:
    """Round to whole 8-bit codes within 0-1, as a file of 8 bits does."""
    codes = np.rint(np.clip(pixels, 0.0, 1.0) * np.float32(255))
    return np.asarray(codes / np.float32(255), np.float32)


def _together(pictures: Pixels) -> Pixels:
    """Lay `(n, h, w, 3)` side by side as channels: `(h, w, n * 3)`."""
    count, height, width, channels = pictures.shape
    laid = pictures.transpose(1, 2, 0, 3).reshape(height, width, count * channels)
    return np.ascontiguousarray(laid)


def _apart(laid: Pixels) -> Pixels:
    height, width, planes = laid.shape
    return np.ascontiguousarray(laid.reshape(height, width, planes // 3, 3).transpose(2, 0, 1, 3))


def _planes(pictures: Pixels) -> Planes:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
