"""Plots of what an operator measured of a shot's noise, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wetgate.render.reporting.page import Profile
from wetgate.render.reporting.plot import Curve, plot

_NAMES = ("red", "green", "blue")
_PLANES = ("brightness", "color 1", "color 2")
_BLOCK = 8
_MOST_SHOTS = 4
_TOPS = {"uint8": 255, "uint10": 1023, "uint12": 4095, "uint16": 65535}


def profiles_of(shots: Sequence[Mapping[str, object]], sample_type: str) -> list[Profile]:
    """Return plots for the analyses that hold a noise profile; others are passed over.

    A noise profile has `channels` (each with a `variance` polynomial `a + b x + c x**2` and the
    `range` it holds in), and may have `bins` (`[signal, deviation, blocks]`) and `spectrum` (the
    variance of each 8 x 8 cosine frequency, in units of the noise).
    """
    found: list[Profile] = []
    for number, shot in enumerate(shots[:_MOST_SHOTS], start=1):
        name = f"shot {number}" if len(shots) > 1 else "the shot"
        if "channels" in shot:
            found.append(_level(shot, sample_type, name))
        if "spectrum" in shot:
            found.append(_spectrum(shot, name))
    return found


def _level(shot: Mapping[str, Any], sample_type: str, name: str) -> Profile:
    scale = float(_TOPS.get(sample_type, 1))
    unit = f"{sample_type.removeprefix('uint')}-bit code" if scale > 1 else "working units"
    channels = shot["channels"]
    names = _NAMES if len(channels) == 3 else tuple(f"channel {i}" for i in range(len(channels)))
    curves = []
    for index, channel in enumerate(channels):
        a, b, c = channel["variance"]
        low, high = channel["range"]
        x = np.linspace(low, high, 48)
        deviation = np.sqrt(np.maximum(a + b * x + c * x**2, 0.0))
        bins = shot.get("bins") or [()] * len(channels)
        dots = tuple((row[0] * scale, row[1] * scale) for row in bins[index])
        curves.append(Curve(names[index], (x * scale).tolist(), (deviation * scale).tolist(), dots))
    how = (
        "between neighboring frames, along the motion"
        if shot.get("temporal", True)
        else "in the smoothest parts of single frames"
    )
    return Profile(
        plot(curves, x_label=f"signal, {unit}", y_label=f"noise, {unit}"),
        f"Standard deviation of the noise against the signal, measured in {name} {how}. "
        "Dots are measurements, lines the model in use.",
    )


def _spectrum(shot: Mapping[str, Any], name: str) -> Profile:
    rows, columns = np.mgrid[0:_BLOCK, 0:_BLOCK]
    reach = np.hypot(rows, columns)
    rings = np.rint(reach).astype(int)
    middle = [k / (2 * _BLOCK) for k in range(_BLOCK)]
    curves = []
    planes = shot["spectrum"]
    for index, values in enumerate(planes):
        plane = np.asarray(values, np.float64).reshape(_BLOCK, _BLOCK)
        power = [float(plane[rings == k].mean()) for k in range(_BLOCK)]
        label = _PLANES[index] if len(planes) == 3 else f"plane {index}"
        curves.append(Curve(label, middle, power))
    return Profile(
        plot(curves, x_label="frequency, cycles/px", y_label="power, 1 is white"),
        f"How the noise of {name} spreads over frequencies. Grain falls off towards fine detail; "
        "electronic noise stays level.",
    )
