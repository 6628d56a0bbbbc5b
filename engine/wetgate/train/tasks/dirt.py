"""Material for the network that refines how likely a pixel is dirt.

Short clips with dirt and with action that only looks like it; the operator's own evidence and its
classical confidence are what the network sees, and it learns to correct the latter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.dirt.confidence import classical, suspects
from wetgate.operators.dirt.features import evidence
from wetgate.operators.dirt.net import ENCODING, INPUTS, LIMIT, OUTPUTS, QUIET, net_planes
from wetgate.train.nets import Net, SmallUNet
from wetgate.train.pictures import Pictures
from wetgate.train.shards import make_shards
from wetgate.train.task import Batch, Predict
from wetgate.train.tasks._dirt_clips import (
    ACTIONS,
    DIRT,
    SIZE,
    UNSURE,
    DirtClip,
    Watched,
    gather_overlays,
    make_clip,
)
from wetgate.weights import DataRecord

_log = logging.getLogger(__name__)

CENTERS = 1, 3, 5
"""Frames of a clip that examples are made of."""
_FIRST_OF = 4
"""Of every fourth clip its first frame too, which has nothing before it."""
_SIDE = 64
_PER_SHARD = 8
_HELD_SHARE = 0.125
_USUAL = 64.0
"""Pixels of a patch that stand out; where there are more, all of them weigh less: else what is
seen of clean shots would be lost in what is seen of those where everything stands out."""

Planes = NDArray[np.float32]


class Task:
    """Examples from `clips` generated clips.

    Args:
        clips: to make, a multiple of 8. width, deep: of the network.
    """

    def __init__(self, clips: int = 168, width: int = 24, deep: int = 3) -> None:
        self._clips = clips
        self._width = width
        self._deep = deep
        self._stored: list[dict[str, NDArray[np.generic]]] = []
        self._held: list[dict[str, NDArray[np.generic]]] = []
        self._overlays = False

    def make_net(self) -> Net:
        """Return the network."""
        return SmallUNet(len(INPUTS), len(OUTPUTS), width=self._width, deep=self._deep)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make or open the stored examples."""
        for held in (False, True):
            count = max(1, round(self._clips * (_HELD_SHARE if held else 1.0) / _PER_SHARD))
            clips = clip_shards(folder, pictures, seed, count, held=held)
            # The evidence changes with the operator, the clips on disk do not.
            kept = [
                _example(watched, center)
                for index, clip in enumerate(clips)
                for watched in (Watched(clip),)
                for center in ((0, *CENTERS) if index % _FIRST_OF == 0 else CENTERS)
            ]
            if held:
                self._held = kept
            else:
                self._stored = kept
        self._overlays = gather_overlays(folder / "overlays-train", held=False) is not None
        if not self._overlays:
            _log.warning(
                "no pictures of film damage: the network learns from generated dirt alone and will "
                "be another one than with them; name their folder in WETGATE_TEST_DATA"
            )

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return patches of the stored examples, turned and mirrored; dirt drawn more often."""
        if not self._stored:
            raise RuntimeError("prepare comes first")
        x, base, target, weight = [], [], [], []
        for _ in range(count):
            example = self._stored[int(rng.integers(len(self._stored)))]
            planes, truth = cast(Planes, example["planes"]), example["truth"]
            height, width = truth.shape
            tries = [
                (int(rng.integers(height - _SIDE + 1)), int(rng.integers(width - _SIDE + 1)))
                for _ in range(3)
            ]
            # Most of a frame is nothing: of three places take the one where most stands out.
            loud = [
                np.count_nonzero(planes[10, t : t + _SIDE, s : s + _SIDE] > 0.25 * QUIET)
                for t, s in tries
            ]
            top, left = tries[int(np.argmax(loud))]
            area = slice(top, top + _SIDE), slice(left, left + _SIDE)
            cut = planes[(slice(None), *area)].astype(np.float32)
            labels = truth[area]
            turn, flip = int(rng.integers(4)), rng.uniform() < 0.5
            cut, labels = np.rot90(cut, turn, (1, 2)), np.rot90(labels, turn)
            if flip:
                cut, labels = cut[:, ::-1], labels[::-1]
            if rng.uniform() < 0.5:  # time runs as well the other way
                cut = cut[[1, 0, 3, 2, *range(4, len(INPUTS))]]
            stands_out = cut[10] > 0.25 * QUIET
            x.append(cut)
            base.append(4.0 * cut[10:11])
            target.append((labels == DIRT)[None])
            # The answer for a pixel that does not stand out is never asked for.
            asked = stands_out & (labels != UNSURE)
            share = np.sqrt(_USUAL / max(_USUAL, float(np.count_nonzero(asked))))
            weight.append((share * asked)[None])
        return Batch(
            x=np.ascontiguousarray(np.stack(x), np.float32),
            base=np.ascontiguousarray(np.stack(base), np.float32),
            target=np.ascontiguousarray(np.stack(target), np.float32),
            weight=np.ascontiguousarray(np.stack(weight), np.float32),
            limit=LIMIT,
            binary=True,
        )

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return pixel F1 and average precision in percent over what stands out, and the twin's."""
        truth, twin, net = [], [], []
        for example in self._held:
            planes = example["planes"].astype(np.float32)
            labels = example["truth"]
            asked = (planes[10] > 0.25 * QUIET) & (labels != UNSURE)
            change = np.clip(predict(planes[None])[0, 0], -LIMIT, LIMIT)
            truth.append(labels[asked] == DIRT)
            twin.append(4.0 * planes[10][asked])
            net.append(4.0 * planes[10][asked] + change[asked])
        is_dirt = np.concatenate(truth)
        figures = {}
        for name, logits in (("", net), ("twin ", twin)):
            scores = np.concatenate(logits)
            figures[f"{name}pixel F1 %"] = 100.0 * best_f1(scores, is_dirt)
            figures[f"{name}average precision %"] = 100.0 * average_precision(scores, is_dirt)
        return figures

    def data(self) -> tuple[DataRecord, ...]:
        """Return the records of what is its own: charts, and film damage, if it was at hand."""
        charts = DataRecord(
            file="charts: zone plates, gratings, weaves, small print",
            origin="wetgate.train.generated",
            licence="Apache-2.0",
        )
        if not self._overlays:
            return (charts,)
        return (
            charts,
            DataRecord(
                file="pictures of film damage, the four fifths that no bench measures with",
                origin="FilmDamageSimulator (github.com/daniela997/FilmDamageSimulator), synthetic",
                licence="MIT",
                author="Copyright (c) 2022 Daniela Ivanova",
            ),
        )

    def card(self) -> Mapping[str, object]:
        """Return the facts of the model card."""
        return {
            "task": "dirt",
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "color_encoding": ENCODING,
            "temporal_radius": 2,
            "generative": False,
            "description": (
                "Corrects how likely a pixel is dirt that lies on one frame only. It finds and "
                "never paints: no pixel of it reaches a picture."
            ),
        }


def clip_shards(
    folder: Path, pictures: Pictures, seed: int, count: int, *, held: bool
) -> Iterator[DirtClip]:
    """Yield the clips of `count` shards, made once: of each eight six with dirt, six with action.

    Args:
        held: of pictures and film damage that never train.
    """
    name = "held" if held else "train"
    overlays = gather_overlays(folder / f"overlays-{name}", held=held)
    made = iter(range(1 << 30))

    def make(rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
        turn = next(made) % _PER_SHARD
        action = ACTIONS[int(rng.integers(len(ACTIONS)))] if turn >= 3 else None
        dirty = turn < 5
        clip = make_clip(rng, pictures, action=action, dirty=dirty, overlays=overlays, held=held)
        return {"pixels": clip.pixels, "labels": clip.labels}

    shards = make_shards(
        folder, f"dirt-{name}-{SIZE[0]}x{SIZE[1]}", seed=seed, count=count,
        per_shard=_PER_SHARD, make=make,
    )  # fmt: skip
    for shard in shards:
        for pixels, labels in zip(shard["pixels"], shard["labels"], strict=True):
            yield DirtClip(np.asarray(pixels, np.uint16), np.asarray(labels, np.uint8))


def _example(watched: Watched, center: int) -> dict[str, NDArray[np.generic]]:
    window = watched.window(center, range(center - 2, center + 3))
    seen = evidence(window, watched.noise)
    loud = suspects(window, seen)
    planes = net_planes(seen, loud, classical(loud))
    return {"planes": planes.astype(np.float16), "truth": watched.labels[center]}


def best_f1(scores: NDArray[np.float32], is_so: NDArray[np.bool_]) -> float:
    """Return the F1 of the threshold that suits the scores best."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(is_so[order])
    called = np.arange(1, len(order) + 1)
    return float(np.max(2.0 * right / (called + is_so.sum()))) if len(order) else 0.0


def average_precision(scores: NDArray[np.float32], is_so: NDArray[np.bool_]) -> float:
    """Return the mean over all that is so of the precision at its score."""
    order = np.argsort(-scores, kind="stable")
    hits = is_so[order]
    precision = np.cumsum(hits) / np.arange(1, len(order) + 1)
    return float(precision[hits].mean()) if hits.any() else 0.0
