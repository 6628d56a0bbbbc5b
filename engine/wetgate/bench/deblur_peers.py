"""Blurred pictures, and deconvolution by others at the settings that suit each picture best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wetgate.measure import psnr
from wetgate.operators.deblur.psf import Kernel

Pixels = NDArray[np.float32]

ITERATIONS = (3, 6, 10, 16, 25, 40, 80)
BALANCES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
RADII, AMOUNTS = (0.7, 1.0, 1.5, 2.2), (0.5, 1.0, 1.5, 2.5, 4.0)
CONTEXT = 32
"""px of picture around what is scored that peers are given, so that no edge effect counts."""


def to_linear(code: Pixels) -> Pixels:
    """Return light of display codes 0-1. Source: IEC 61966-2-1."""
    x = code.astype(np.float64)
    linear = np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


def to_code(linear: NDArray[np.floating]) -> Pixels:
    """Return display codes of light, limited to 0-1; the inverse of `to_linear`."""
    x = np.clip(linear.astype(np.float64), 0.0, 1.0)
    code = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    return code.astype(np.float32)


def convolved(linear: Pixels, kernel: Kernel) -> Pixels:
    """Return the part of a picture whose blur lies in it, `(h - side + 1, w - side + 1, 3)`."""
    side = len(kernel)
    height, width = linear.shape[0] - side + 1, linear.shape[1] - side + 1
    out = np.zeros((height, width, linear.shape[2]))
    for y, x in zip(*np.nonzero(kernel), strict=True):
        out += kernel[-1 - y, -1 - x] * linear[y : y + height, x : x + width]
    return out.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Peer:
    """One method and what it makes with every setting tried.

    `tries(code, kernel)` gives settings in words and display codes, of a part with `CONTEXT`.
    """

    name: str
    tries: Callable[[Pixels, Kernel], Iterator[tuple[str, Pixels]]]

    def best(self, code: Pixels, kernel: Kernel, truth: Pixels) -> tuple[float, str]:
        """Return the highest PSNR of all settings, and which it was.

        Args:
            truth: what is scored, without `CONTEXT`.
        """
        cut = slice(CONTEXT, -CONTEXT)
        scores = ((psnr(truth, shown[cut, cut]), how) for how, shown in self.tries(code, kernel))
        return max(scores)


def peers() -> list[Peer]:
    """Return all peers; they are told the true kernel and work in linear light."""
    return [
        Peer("Richardson-Lucy", _richardson_lucy),
        Peer("Wiener", _wiener),
        Peer("unsupervised Wiener", _unsupervised),
        Peer("unsharp mask", _unsharp),
    ]


def _each(linear: Pixels, one: Callable[[NDArray[np.float64]], Any]) -> Pixels:
    planes = [one(linear[..., c].astype(np.float64)) for c in range(linear.shape[2])]
    return np.stack(planes, axis=2).astype(np.float32)


def _richardson_lucy(code: Pixels, kernel: Kernel) -> Iterator[tuple[str, Pixels]]:
    method = _method("restoration", "richardson_lucy")
    linear = np.maximum(to_linear(code), np.float32(1e-6))
    for count in ITERATIONS:
        made = _each(linear, partial(method, psf=kernel, num_iter=count, clip=False))
        yield f"{count} iterations", to_code(made)


def _wiener(code: Pixels, kernel: Kernel) -> Iterator[tuple[str, Pixels]]:
    method = _method("restoration", "wiener")
    for balance in BALANCES:
        made = _each(to_linear(code), partial(method, psf=kernel, balance=balance, clip=False))
        yield f"balance {balance:g}", to_code(made)


def _unsupervised(code: Pixels, kernel: Kernel) -> Iterator[tuple[str, Pixels]]:
    method = _method("restoration", "unsupervised_wiener")
    made = _each(to_linear(code), lambda plane: method(plane, kernel, clip=False, rng=1)[0])
    yield "as it is", to_code(made)


def _unsharp(code: Pixels, kernel: Kernel) -> Iterator[tuple[str, Pixels]]:
    del kernel
    method = _method("filters", "unsharp_mask")
    for radius in RADII:
        for amount in AMOUNTS:
            made = method(code, radius, amount, channel_axis=2, preserve_range=True)
            yield f"radius {radius:g}, amount {amount:g}", np.asarray(made, np.float32)


def _method(module: str, name: str) -> Callable[..., Any]:
    """Return a function of scikit-image, which has no types."""
    return cast(Callable[..., Any], getattr(import_module(f"skimage.{module}"), name))
