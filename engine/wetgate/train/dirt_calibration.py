"""Fit the logistics by which `dirt` says how sure it is, and write them as its calibration.

    python -m wetgate.train.dirt_calibration pixels --data PHOTOGRAPHS --work FOLDER
    wetgate train wg-dirt --data PHOTOGRAPHS --out FOLDER
    python -m wetgate.train.dirt_calibration blobs --net FOLDER/wg-dirt --data PHOTOGRAPHS ...
    python -m wetgate.train.dirt_calibration blobs --data PHOTOGRAPHS ...

Each step builds on the one before: pixels, on the classical evidence; the network, which corrects
them; blobs of what the network says, and blobs of the classical confidence for those who run
none. Clips are made as `tasks.dirt` makes them, with seeds of their own; blobs are fitted to longer
clips of filmed photographs, charts and leaves as well, and other films, of pictures and seeds that
no fit has seen, say how far the confidences may be believed. Shots without dirt count twice in the
fits of blobs: to take picture away is worse than to leave dirt.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import pixels_of
from wetgate.operators.dirt import blobs as whole
from wetgate.operators.dirt import confidence as pixel
from wetgate.operators.dirt.blobs import components
from wetgate.operators.dirt.confidence import Judge, Logistic, Perceptron, expanded
from wetgate.operators.dirt.detect import CONFIDENCE, Detect
from wetgate.operators.dirt.features import evidence
from wetgate.operators.dirt.looks import BLOB_FEATURES, Looks, looks_of, population
from wetgate.operators.dirt.neighbors import (
    COMPANY_FEATURES,
    NEIGHBOR_FEATURES,
    company_features,
    compare_looks,
    neighbor_features,
)
from wetgate.operators.dirt.net import NetChoice, refined
from wetgate.train.perceptron import BATCH, fit_perceptron
from wetgate.train.pictures import Pictures
from wetgate.train.tasks._dirt_clips import DIRT, UNSURE, DirtClip, Watched, gather_overlays
from wetgate.train.tasks._dirt_plates import CHOSEN, FITTED, filmed_clips
from wetgate.train.tasks.dirt import clip_shards

_log = logging.getLogger(__name__)

REACH = 2
"""Frames either side that the operator's second stage compares blobs with."""
SEED, ACTION_SEED = 41, 19
"""Of the clips, and of more that are mostly action: what is no dirt has many more looks."""
_ACTION_FROM = 4
"""Of each eight clips those from this one on have action; all but the first of them no dirt."""
_SMALLEST = 2
_SHARE = 0.3
"""Of a blob's px whose label is sure: dirt from which the blob is dirt."""
_RIDGE = 1e-4
_HIDDEN = {"blob": 12, "judged": 24, "settled": 8}
_STEPS, _PASSES = 1500, 600
"""Most steps of a fit, and most times that it goes through all it has: few blobs are soon known by
heart, and whoever knows them so believes what was drawn by lot."""
_BINS = 10
_THRESHOLDS = 0.5, 0.6, 0.7, 0.8

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Settings:
    radius: int = 2
    polarity: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class FrameBlobs:
    """The blobs of one frame and what they are: 1 dirt, 0 not, -1 nobody can tell."""

    looks: Looks
    is_dirt: NDArray[np.int8]
    shape: tuple[int, int]


def fit(columns: Sequence[Float], is_so: Float, ridge: float, names: Sequence[str]) -> Logistic:
    """Fit a logistic of features and their products by Newton's method, ridge on scaled weights.

    Args:
        columns: of features, one value an example. is_so: 0 or 1.
        ridge: weight of the squares of the scaled weights, in units of the mean loss.
    """
    design = np.stack(expanded(columns), axis=1)
    middle, spread = design.mean(axis=0), design.std(axis=0) + 1e-3
    scaled = np.concatenate([(design - middle) / spread, np.ones((len(design), 1))], axis=1)
    penalty = np.full(scaled.shape[1], 2.0 * ridge * len(design))
    penalty[-1] = 1e-9
    weights = np.zeros(scaled.shape[1])

    def loss(w: Float) -> float:
        z = scaled @ w
        return float(np.sum(np.logaddexp(0.0, z) - is_so * z) + 0.5 * np.sum(penalty * w * w))

    now = loss(weights)
    for _ in range(40):
        p = pixel.probability(scaled @ weights)
        gradient = scaled.T @ (p - is_so) + penalty * weights
        curve = scaled.T @ (scaled * (p * (1 - p))[:, None]) + np.diag(penalty)
        step = np.linalg.solve(curve, gradient)
        size = 1.0
        while loss(weights - size * step) > now and size > 1e-6:
            size *= 0.5
        weights = weights - size * step
        before, now = now, loss(weights)
        if before - now < 1e-7 * len(design):
            break
    by_feature = weights[:-1] / spread
    bias = float(weights[-1] - np.sum(by_feature * middle))
    return Logistic(tuple(names), round(bias, 4), tuple(round(float(v), 4) for v in by_feature))


def pixel_examples(
    clips: Iterator[DirtClip], nets: NetChoice | None, *, final: bool, most: int = 8000
) -> tuple[Float, Float]:
    """Return features of pixels that stand out, and whether they are dirt.

    Args:
        final: the columns of `FINAL_FEATURES` instead of those of `PIXEL_FEATURES`.
    """
    features, truth = [], []
    for index, clip in enumerate(clips):
        watched = Watched(clip)
        for center in (0, 3) if index % 3 == 0 else (3,):
            window = watched.window(center, range(center - 2, center + 3))
            seen = evidence(window, watched.noise)
            loud = pixel.suspects(window, seen)
            columns: Sequence[Float] = loud.features
            if final:
                logit = pixel.classical(loud)
                if nets is not None:
                    logit, _ = refined(nets, window, seen, loud, logit)
                columns = pixel.final_columns(loud, logit)
            label = clip.labels[center][loud.y, loud.x]
            known = np.flatnonzero(label != UNSURE)[:: max(1, len(label) // most)]
            features.append(np.stack(columns, axis=1)[known])
            truth.append(label[known] == DIRT)
    return np.concatenate(features), np.concatenate(truth).astype(np.float64)


def blobs_of(clip: DirtClip, nets: NetChoice | None) -> list[FrameBlobs]:
    """Return the blobs of every frame of a clip."""
    watched, stage = Watched(clip), Detect(_Settings(), nets)
    found = []
    for center in range(len(clip.pixels)):
        window = watched.window(center, range(center - 2, center + 3))
        planes = pixels_of(stage(window, watched.analysis, watched.facts))
        growth, first = whole.REFINED_GROWTH, whole.REFINED_SEED
        if nets is None:
            growth, first = whole.GROWTH, whole.SEED
        likely = np.ascontiguousarray(planes[..., CONFIDENCE])
        labels, count = components(likely, _SMALLEST, growth, first)
        looks = looks_of(labels, count, planes)
        truth = clip.labels[center]
        dirt = np.bincount(labels[truth == DIRT], minlength=count + 1)[1:]
        known = looks.area - np.bincount(labels[truth == UNSURE], minlength=count + 1)[1:]
        is_dirt = np.where(known < 1, -1, dirt >= _SHARE * known).astype(np.int8)
        found.append(FrameBlobs(looks, is_dirt, (labels.shape[0], labels.shape[1])))
    return found


def blob_columns(frame: FrameBlobs) -> tuple[Float, ...]:
    """Return the columns of `BLOB_FEATURES`."""
    return (*frame.looks.columns(), *population(frame.looks, frame.shape))


@dataclass(frozen=True, slots=True)
class Step:
    """The examples of one logistic: columns, and what they are (-1 unknown)."""

    columns: list[Float]
    is_dirt: NDArray[np.int8]


def steps_of(
    shots: Sequence[Sequence[FrameBlobs]], known: Mapping[str, Judge]
) -> tuple[Step, Step | None, Step | None]:
    """Return the examples of "blob", "judged" and "settled", as far as `known` reaches."""
    first: list[tuple[Float, ...]] = []
    second: list[tuple[Float, ...]] = []
    third: list[tuple[Float, ...]] = []
    for shot in shots:
        own = [blob_columns(f) for f in shot]
        first += own
        if "blob" not in known:
            continue
        sure = [
            known["blob"](c) if f.looks.area.size else np.zeros(0)
            for c, f in zip(own, shot, strict=True)
        ]
        for k, frame in enumerate(shot):
            beside = {
                d: compare_looks(frame.looks, shot[k + d].looks, sure[k + d], frame.shape)
                for d in range(-REACH, REACH + 1)
                if d and 0 <= k + d < len(shot)
            }
            columns = (*own[k], *neighbor_features(beside, frame.looks.area.size))
            second.append(columns)
            if "judged" in known:
                alone = known["judged"](columns)
                third.append(company_features(frame.looks, alone, beside, frame.shape))
    truth = np.concatenate([f.is_dirt for shot in shots for f in shot])

    def joined(rows: list[tuple[Float, ...]]) -> Step | None:
        if not rows:
            return None
        return Step([np.concatenate(c) for c in zip(*rows, strict=True)], truth)

    made = joined(first)
    assert made is not None  # there are shots
    return made, joined(second), joined(third)


def is_clean(shot: Sequence[FrameBlobs]) -> bool:
    """Return whether no blob of a shot is dirt, or may be."""
    return not any((frame.is_dirt != 0).any() for frame in shot)


def calibration_error(predicted: Float, is_so: NDArray[np.int8]) -> float:
    """Return the expected calibration error in tenths of the confidence."""
    place = np.minimum((predicted * _BINS).astype(np.intp), _BINS - 1)
    gaps = [abs(float(np.sum(predicted[place == k] - is_so[place == k]))) for k in range(_BINS)]
    return sum(gaps) / max(len(predicted), 1)


def fit_blobs(shots: Sequence[Sequence[FrameBlobs]]) -> dict[str, Judge]:
    """Fit "blob", "judged" and "settled", each on what the one before says of unseen shots.

    Every second shot is kept from the fits whose word is asked on it: what was fitted to a shot
    is too sure of it, and the next would learn to believe that.
    """
    halves = shots[::2], shots[1::2]
    # The judges fitted to one half speak on the other.
    apart: tuple[dict[str, Judge], dict[str, Judge]] = ({}, {})
    known: dict[str, Judge] = {}
    for index, (name, features) in enumerate(_LEVELS):
        told = [steps_of(halves[1 - k], apart[k])[index] for k in (0, 1)]
        known[name] = _fitted(told, name, features)
        for k in (0, 1):
            apart[k][name] = _fitted([told[1 - k]], name, features)
    return known


_LEVELS = (
    ("blob", BLOB_FEATURES),
    ("judged", (*BLOB_FEATURES, *NEIGHBOR_FEATURES)),
    ("settled", COMPANY_FEATURES),
)


def _fitted(steps: Sequence[Step | None], name: str, features: Sequence[str]) -> Perceptron:
    found = [s for s in steps if s is not None]
    told = np.concatenate([s.is_dirt >= 0 for s in found])
    truth = np.concatenate([s.is_dirt for s in found])[told].astype(np.float64)
    columns = [np.concatenate(c)[told] for c in zip(*(s.columns for s in found), strict=True)]
    turns = min(_STEPS, _PASSES * -(-truth.size // BATCH))
    return fit_perceptron(columns, truth, features, hidden=_HIDDEN[name], steps=turns)


def write(path: Path, judges: Mapping[str, Judge], facts: Mapping[str, object]) -> None:
    """Write a calibration, keeping the logistics of a file that is there and not given."""
    document = json.loads(path.read_text("utf-8")) if path.is_file() else {"logistics": {}}
    for name, judge in judges.items():
        entry: dict[str, object] = {
            "features": list(judge.names),
            "bias": judge.bias,
            "weights": list(judge.weights),
        }
        if isinstance(judge, Perceptron):
            entry["hidden"] = [list(row) for row in judge.hidden]
        document["logistics"][name] = entry
    document["fit"] = {**document.get("fit", {}), **facts}
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def reliability(
    shots: Sequence[Sequence[FrameBlobs]], known: Mapping[str, Judge]
) -> dict[str, float]:
    """Return how far the last judge may be believed on clips, and what thresholds would do.

    False blobs are counted on the clips in which nothing is dirt.
    """
    step = steps_of(shots, known)[2]
    assert step is not None  # all are known
    sure, is_dirt = known["settled"](step.columns), step.is_dirt
    told = is_dirt >= 0
    figures = {
        "blobs": float(told.sum()),
        "calibration error": round(calibration_error(sure[told], is_dirt[told]), 4),
    }
    clean = [is_clean(shot) for shot in shots]
    frames = sum(len(shot) for shot, c in zip(shots, clean, strict=True) if c)
    of_clean = np.concatenate(
        [np.full(f.is_dirt.size, c) for shot, c in zip(shots, clean, strict=True) for f in shot]
    )
    for threshold in _THRESHOLDS:
        called = sure >= threshold
        right = is_dirt[called & told]
        false = 100.0 * float((called & of_clean).sum()) / max(frames, 1)
        figures[f"precision at {threshold}"] = round(float(right.mean()) if right.size else 1.0, 4)
        figures[f"recall of blobs at {threshold}"] = round(float(called[is_dirt == 1].mean()), 4)
        figures[f"false blobs in 100 clean frames at {threshold}"] = round(false, 2)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step; see the module."""
    parser = argparse.ArgumentParser(description="fit the confidences of dirt")
    parser.add_argument("step", choices=("pixels", "blobs"))
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--net", default="")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--action-clips", type=int, default=96)
    parser.add_argument(
        "--calibration", type=Path, default=Path(pixel.__file__).with_name("calibration.json")
    )
    asked = parser.parse_args(arguments)
    pictures = Pictures.load(asked.data)

    def clips(count: int, *, held: bool) -> Iterator[DirtClip]:
        return clip_shards(asked.work, pictures, SEED, max(1, count // 8), held=held)

    if asked.step == "pixels":
        features, truth = pixel_examples(clips(asked.clips, held=False), None, final=False)
        fitted = fit(list(features.T), truth, _RIDGE, pixel.PIXEL_FEATURES)
        write(asked.calibration, {"pixel": fitted}, {"pixel": {"clips": asked.clips}})
        return
    nets = NetChoice(asked.net) if asked.net else None
    kind = "network" if asked.net else "classical"
    features, truth = pixel_examples(clips(asked.clips // 2, held=False), nets, final=True)
    fitted = fit(list(features.T), truth, _RIDGE, pixel.FINAL_FEATURES)
    write(asked.calibration, {f"{kind} pixel": fitted}, {})
    pixel.calibration.cache_clear()
    count = max(1, asked.action_clips // (8 - _ACTION_FROM))
    more = clip_shards(asked.work, pictures, ACTION_SEED, count, held=False)
    acted = (c for k, c in enumerate(more) if k % 8 >= _ACTION_FROM)
    overlays = gather_overlays(asked.work / "overlays-train", held=False)
    filmed = [blobs_of(c, nets) for _, c in filmed_clips(FITTED, asked.data, overlays)]
    shots = [*(blobs_of(c, nets) for c in chain(clips(asked.clips, held=False), acted)), *filmed]
    known = fit_blobs([*shots, *(s for s in shots if is_clean(s))])
    others = [blobs_of(c, nets) for _, c in filmed_clips(CHOSEN, asked.data, overlays)]
    figures = reliability(others, known)
    _log.info("on other films: %s", figures)
    named = {f"{kind} {name}": judge for name, judge in known.items()}
    facts = {
        "clips": asked.clips,
        "action clips": asked.action_clips,
        "filmed clips": len(filmed),
        "other films": figures,
    }
    write(asked.calibration, named, {kind: facts})


if __name__ == "__main__":
    main()
