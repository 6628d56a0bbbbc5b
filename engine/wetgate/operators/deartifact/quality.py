"""Estimate how far block coding moved the pixels of a shot, without side data.

The figure wanted is the RMS error of luma. It is read off what coding leaves behind: how much
gradients jump at block borders, how many samples of the 8x8 transform are next to nothing in
each band, how much energy there is, and how all that differs between the codec's own grid and
the grid half a block away. A linear model of these turns them into the logarithm of the error;
its coefficients are in `quality.json`, fitted on coded clips whose truth is known by
`wetgate.train.tasks.deartifact_quality`. Where blocks end abruptly, as in JPEG, the jump itself
tells the error better: neighboring blocks err apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.deartifact.grid import BLOCK, BlockGrid, Traces, block_basis

_Luma = NDArray[np.float32]
_CODES = 255.0
_LITTLE = 0.02
_BANDS = ((1, 2), (3, 5), (6, 9), (10, 14))
"""Lowest and highest sum of the two frequency indices."""
_NEAR = (0.5, 1.0, 2.0)
_ABRUPT, _VERY_ABRUPT = 0.5, 0.8
"""Jump / error from which on the jump has a say, and from which on it has all of `_SAY`."""
_SAY = 0.75
_USUAL = 1.1
"""Jump / error of JPEG; 0.5-1.35 in the clips looked at."""
_MOST_ABRUPT = 1.35
_LOW = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
_SOME, _SMALLEST, _ENOUGH = 3.0, 0.08, 12
"""Samples over so many codes are not rounding; which quantile of them is one step; how many of
them a frame must have."""
LEAST, MOST = 0.3 / _CODES, 16.0 / _CODES
"""Errors that the fit has seen; the estimate stays between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityModel:
    """`log(error in 8-bit codes) = intercept + weights . (features - mean) / deviation`."""

    intercept: float
    weights: tuple[float, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def error(self, features: NDArray[np.float64]) -> float:
        """Return the RMS error of luma, in the unit of pixels of range 0-1."""
        away = np.clip((features - np.array(self.mean)) / np.array(self.deviation), -4.0, 4.0)
        log_codes = self.intercept + float(np.array(self.weights) @ away)
        return float(np.clip(np.exp(log_codes) / _CODES, LEAST, MOST))


@lru_cache(maxsize=1)
def quality_model() -> QualityModel:
    """Return the fitted model that comes with wetgate."""
    text = (resources.files(__package__) / "quality.json").read_text("utf-8")
    stored = json.loads(text)
    return QualityModel(
        intercept=float(stored["intercept"]),
        weights=tuple(stored["weights"]),
        mean=tuple(stored["mean"]),
        deviation=tuple(stored["deviation"]),
    )


def features(frames: Sequence[_Luma], found: Traces, grid: BlockGrid) -> NDArray[np.float64]:
    """Return what the model looks at, of luma 0-1 and a grid on whole pixels."""
    x, y = grid.offset
    jump = float(np.mean([found.jump[0, x], found.jump[1, y]]))
    sparse = float(np.mean([found.sparse[0, x], found.sparse[1, y]]))
    here = np.mean([_spectrum(f, (x, y)) for f in frames], axis=0)
    there = np.mean([_spectrum(f, (x + 4, y + 4)) for f in frames], axis=0)
    return np.array(
        [
            np.log(max(jump, 0.0) + _LITTLE),
            np.log(_CODES * grid.height + _LITTLE),
            np.log(max(sparse, 0.0) + _LITTLE),
            *here,
            *(here - there),
        ]
    )


def estimate_error(frames: Sequence[_Luma], found: Traces, grid: BlockGrid) -> float:
    """Return the estimated RMS error of luma, in the unit of the frames."""
    return with_height(quality_model().error(features(frames, found, grid)), grid.height)


def with_height(error: float, height: float) -> float:
    """Return an estimate of the error that also believes in the jump at borders.

    Args:
        height: mean excess of the gradient's jump at borders, in the unit of the error.
    """
    say = _SAY * float(np.clip((height / error - _ABRUPT) / (_VERY_ABRUPT - _ABRUPT), 0.0, 1.0))
    if say > 0.0:
        error = float(np.exp((1 - say) * np.log(error) + say * np.log(height / _USUAL)))
    return float(np.clip(max(error, height / _MOST_ABRUPT), LEAST, MOST))


def quantiser_step(frames: Sequence[_Luma], offset: tuple[int, int]) -> float:
    """Return the quantiser's step at low frequencies, in the unit of the frames.

    Each frame must have been coded by itself: the smallest samples that are not next to nothing
    are then one step. After other codecs the result is some small figure.

    Args:
        offset: corner of the codec's blocks.

    Returns:
        The mean over the frequencies that tell, 0 where none does.
    """
    samples = np.concatenate([_samples(f, offset) for f in frames])
    steps = []
    for row, column in _LOW:
        seen = samples[:, row, column]
        seen = seen[seen > _SOME]
        if seen.size >= _ENOUGH * len(frames):
            steps.append(float(np.quantile(seen, _SMALLEST)))
    return float(np.mean(steps)) / _CODES if steps else 0.0


def _samples(luma: _Luma, offset: tuple[int, int]) -> NDArray[np.float32]:
    """Return the absolute 8x8 DCT samples of all whole blocks, in 8-bit codes."""
    x, y = offset[0] % BLOCK, offset[1] % BLOCK
    rows, columns = (luma.shape[0] - y) // BLOCK, (luma.shape[1] - x) // BLOCK
    whole = luma[y : y + BLOCK * rows, x : x + BLOCK * columns].astype(np.float32)
    blocks = whole.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    basis = block_basis()
    samples: NDArray[np.float32] = np.abs(basis @ blocks @ basis.T).reshape(-1, BLOCK, BLOCK)
    return samples * np.float32(_CODES)


def _spectrum(luma: _Luma, offset: tuple[int, int]) -> NDArray[np.float64]:
    """Return log energy of each band, and the shares of its samples that are next to nothing."""
    samples = _samples(luma, offset)
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    figures: list[float] = []
    for low, high in _BANDS:
        band = samples[:, (order >= low) & (order <= high)]
        # Blocks that weigh the same: a few rich ones must not hide the many poor ones.
        energy = np.log(np.mean(np.square(band), axis=1) + _LITTLE)
        figures += [float(energy.mean()), float(energy.std())]
        figures += [float(np.mean(band < near)) for near in _NEAR]
    return np.array(figures)
