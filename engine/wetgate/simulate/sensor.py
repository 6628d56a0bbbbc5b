"""The scanner's sensor, additive white noise for benches, and rounding to integer codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.film import DENSITY_PER_CODE
from wetgate.simulate.random import Domain, stream

_ROW_LANE, _PATTERN_LANE = 1, 2
_DISPLAY_GAMMA = 2.4
_LINEAR_BELOW = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSpec:
    """Noise of a sensor, in electrons.

    The signal is the light on the sensor: what film of that density lets through for log codes
    (on a negative, a bright scene gives few electrons), display light otherwise. Variance is
    `electrons + read**2`, in electrons; it is added to the encoded picture with the slope of the
    encoding at that level, to first order.

    Source: Janesick, "Photon Transfer", SPIE 2007: shot, read and fixed pattern noise; EMVA
    Standard 1288: dark signal (DSNU) and photo response (PRNU) non-uniformity.

    Attributes:
        full_well: electrons at full light (clear film; display white).
        read: standard deviation of the read noise, electrons.
        row: standard deviation of the offset of a whole row, new on every frame, electrons.
        dsnu: standard deviation of the fixed offset of a pixel, electrons.
        prnu: standard deviation of the fixed response of a pixel, as a share of the signal.
        film: what is scanned, for log codes: "negative" is dense where the scene is bright,
            "print" where it is dark (density 0 at the top code).
    """

    full_well: float = 20_000.0
    read: float = 8.0
    row: float = 0.0
    dsnu: float = 0.0
    prnu: float = 0.0
    film: Literal["negative", "print"] = "negative"


@dataclass(frozen=True, slots=True)
class SensorTruth:
    """The noise of one frame's sensor over a picture, all float32 `(height, width, 3)`, encoded.

    Attributes:
        variance: of the temporal noise: shot, read and row.
        pattern: the fixed pattern itself: the same on every frame of the same picture.
        noise: what was added in all.
    """

    variance: NDArray[np.float32]
    pattern: NDArray[np.float32]
    noise: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SensorDraws:
    """The random numbers of one frame's sensor, all of variance 1: pixels, rows, two patterns."""

    white: NDArray[np.float32]
    rows: NDArray[np.float32]
    fixed: NDArray[np.float32]


def sensor_draws(
    spec: SensorSpec, seed: int, number: int, shape: tuple[int, int, int]
) -> SensorDraws:
    """Draw the numbers for a picture of `shape` `(height, width, 3)`."""
    pattern = (2, *shape) if spec.dsnu or spec.prnu else (2, 1, 1, 1)
    rows = (shape[0] if spec.row else 1, 1, shape[2])
    return SensorDraws(
        stream(seed, Domain.SENSOR, number).standard_normal(shape, dtype=np.float32),
        stream(seed, Domain.SENSOR, number, _ROW_LANE).standard_normal(rows, dtype=np.float32),
        stream(seed, Domain.SENSOR, 0, _PATTERN_LANE).standard_normal(pattern, dtype=np.float32),
    )


def sensor_truth(
    picture: NDArray[np.float32],
    spec: SensorSpec,
    draws: SensorDraws,
    *,
    law: Literal["density", "gain"],
) -> SensorTruth:
    """Return the sensor's noise over an encoded picture `(height, width, 3)`.

    Args:
        draws: of `sensor_draws`, for a picture of this shape.
        law: "density" for log codes, "gain" for display codes.
    """
    is_negative = law == "density" and spec.film == "negative"
    signal, slope = _light(picture.astype(np.float64), law, is_negative=is_negative)
    electrons = signal * spec.full_well
    per_electron = 1 / (spec.full_well * slope)
    variance = (electrons + spec.read**2 + spec.row**2) * per_electron**2
    temporal = np.sqrt(electrons + spec.read**2) * draws.white
    if spec.row:
        temporal += spec.row * draws.rows
    pattern = np.zeros(picture.shape)
    if spec.dsnu or spec.prnu:
        pattern = (
            spec.dsnu * draws.fixed[0] + spec.prnu * electrons * draws.fixed[1]
        ) * per_electron
    # Through a negative, more light on the sensor is a smaller code.
    if is_negative:
        temporal, pattern = -temporal, -pattern
    return SensorTruth(
        variance.astype(np.float32),
        pattern.astype(np.float32),
        (temporal * per_electron + pattern).astype(np.float32),
    )


def _light(
    encoded: NDArray[np.float64], law: Literal["density", "gain"], *, is_negative: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the light on the sensor, 0-1, and the size of its slope against encoded values."""
    if law == "density":
        density = (encoded if is_negative else 1 - encoded) * (1023 * DENSITY_PER_CODE)
        light = np.exp(-math.log(10) * np.maximum(density, 0))
        return light, light * (math.log(10) * 1023 * DENSITY_PER_CODE)
    # A camera's curve is straight near black, or noise there would be boosted without bound.
    code = np.maximum(encoded, 0)
    slope = _DISPLAY_GAMMA * np.maximum(code, _LINEAR_BELOW) ** (_DISPLAY_GAMMA - 1)
    return code**_DISPLAY_GAMMA, slope


def add_white_noise(
    picture: NDArray[np.float32], sigma: float, seed: int, number: int
) -> NDArray[np.float32]:
    """Add Gaussian noise of standard deviation `sigma`, in units of the picture; not clipped."""
    noise = stream(seed, Domain.NOISE, number).standard_normal(picture.shape, dtype=np.float32)
    result: NDArray[np.float32] = picture + np.float32(sigma) * noise
    return result


def quantise(picture: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to codes of `bits` and scale back by `1 / (2**bits - 1)`; clips to the code range."""
    top = np.float32((1 << bits) - 1)
    result: NDArray[np.float32] = np.clip(np.rint(picture * top), 0, top) / top
    return result
