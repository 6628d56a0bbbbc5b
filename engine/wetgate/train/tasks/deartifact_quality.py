"""Fit the quality estimate of the deartifact operator on coded clips whose error is known.

Run by itself it rewrites `quality.json`:
`python -m wetgate.train.tasks.deartifact_quality PHOTOGRAPHS...`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

import wetgate.operators.deartifact
from wetgate.operators.deartifact.classical import to_planes
from wetgate.operators.deartifact.grid import find_grid, traces
from wetgate.operators.deartifact.quality import QualityModel, features
from wetgate.train.pictures import Pictures
from wetgate.train.tasks._coded_clips import code, film, picture_size, random_spec

SEED, CLIPS = 17, 360
_SIZE, _FRAMES, _STRIDE = 224, 7, 3
_RIDGE = 3.0
_FOLDS = 5
_LEAST_CODES = 0.1


def fit_quality(
    pictures: Pictures, *, seed: int = SEED, clips: int = CLIPS
) -> tuple[QualityModel, float]:
    """Return the model, and the RMS of its error in log2 on clips that it was not fitted to."""
    rows, wanted = [], []
    for index in range(clips):
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, index]))
        picture = pictures.crops(rng, 1, picture_size(_SIZE))[0]
        clip = code(rng, film(rng, picture, _SIZE, _FRAMES), random_spec(rng))
        luma = [to_planes(f)[0] for f in clip.coded]
        truth = [to_planes(f)[0] for f in clip.clean]
        error = 255 * float(
            np.sqrt(np.mean([(a - b) ** 2 for a, b in zip(luma, truth, strict=True)]))
        )
        found = traces(luma[::_STRIDE])
        grid = find_grid(found)
        if grid is None or grid.offset != clip.offset or error < _LEAST_CODES:
            continue
        rows.append(features(luma[::_STRIDE], found, grid))
        wanted.append(np.log(error))
    seen, target = np.stack(rows), np.array(wanted)
    away = []
    for fold in range(_FOLDS):
        out = np.arange(target.size) % _FOLDS == fold
        model = _ridge(seen[~out], target[~out])
        away += [
            np.log(255 * model.error(x)) - t for x, t in zip(seen[out], target[out], strict=True)
        ]
    spread = float(np.sqrt(np.mean(np.square(away))) / np.log(2))
    return _ridge(seen, target), spread


def _ridge(seen: np.ndarray, target: np.ndarray) -> QualityModel:
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    units = np.clip((seen - mean) / deviation, -4.0, 4.0)
    square = units.T @ units + _RIDGE * np.eye(units.shape[1])
    weights = np.linalg.solve(square, units.T @ (target - target.mean()))
    return QualityModel(
        intercept=round(float(target.mean()), 6),
        weights=tuple(round(float(w), 6) for w in weights),
        mean=tuple(round(float(m), 6) for m in mean),
        deviation=tuple(round(float(d), 6) for d in deviation),
    )


def main(folders: Sequence[str]) -> None:
    """Fit on the photographs in folders and write the model beside the operator."""
    model, spread = fit_quality(Pictures.load([Path(f) for f in folders]))
    target = Path(wetgate.operators.deartifact.__file__).parent / "quality.json"
    stored = {**asdict(model), "seed": SEED, "clips": CLIPS, "spread_log2": round(spread, 3)}
    target.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
