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


def sensor_truth(
    picture: NDArray[np.float32],
    spec: SensorSpec,
    seed: int,
    number: int,
    *,
    law: Literal["density", "gain"],
) -> SensorTruth:
    """Draw the sensor's noise over an encoded picture `(height, width, 3)`.

    Args:
        law: "density" for log codes, "gain" for display codes.
    """
    is_negative = law == "density" and spec.film == "negative"
    signal, slope = _light(picture.astype(np.float64), law, is_negative=is_negative)
    electrons = signal * spec.full_well
    per_electron = 1 / (spec.full_well * slope)
    variance = (electrons + spec.read**2 + spec.row**2) * per_electron**2
    draw = stream(seed, Domain.SENSOR, number)
    white = draw.standard_normal(picture.shape, dtype=np.float32)
    temporal = np.sqrt(electrons + spec.read**2) * white.astype(np.float64)
    if spec.row:
        rows = stream(seed, Domain.SENSOR, number, _ROW_LANE).standard_normal(
            (picture.shape[0], 1, picture.shape[2])
        )
        temporal = temporal + spec.row * rows
    pattern = np.zeros(picture.shape)
    if spec.dsnu or spec.prnu:
        fixed = stream(seed, Domain.SENSOR, 0, _PATTERN_LANE).standard_normal((2, *picture.shape))
        pattern = (spec.dsnu * fixed[0] + spec.prnu * electrons * fixed[1]) * per_electron
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
        light = 10.0 ** -np.maximum(density, 0)
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
