"""What lies beyond the small picture's Nyquist: recovered, or made up.

Per frequency, over windows of all pictures, coherence tells how much of the result goes with the
truth, whatever its gain: 1 all of it, 0 none. Near 1 it is recovered; where there is energy and
coherence is under 0.2 it is invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from wetgate.bench.table import BenchRow
from wetgate.bench.upscale.peers import peers
from wetgate.bench.upscale.sets import best_operator, reduced, upscaled
from wetgate.measure import luma_601
from wetgate.operators.base import Pixels

_WINDOW, _STEP = 64, 32
_RECOVERED, _INVENTED = 0.5, 0.2
_BANDS = ((0.25, 0.5), (0.5, 0.6), (0.6, 0.8), (0.8, 1.0))
"""Cycles per px of the small picture, whose Nyquist is 0.5."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a result.

    Attributes:
        coherence: with the truth, 0-1. energy: over that of the truth.
    """

    coherence: float
    energy: float

    @property
    def verdict(self) -> str:
        """Say in a word what the band holds."""
        if self.coherence > _RECOVERED:
            return "recovered"
        return "invented" if self.coherence < _INVENTED and self.energy > 0.05 else "in part"


def band_rows(name: str, found: Sequence[Pixels]) -> list[BenchRow]:
    """Measure the bands of a set enlarged by 2, beside Lanczos3."""
    operator, why = best_operator(2)
    lanczos = next(p for p in peers() if p.name == "Lanczos3")
    pairs = [reduced(p, 2) for p in found]
    truths = [truth for truth, _ in pairs]
    ours = bands(truths, [upscaled(operator, small) for _, small in pairs], 2)
    plain = partial(lanczos.enlarged, 2)
    theirs = bands(truths, [plain(small) for _, small in pairs], 2)
    return [
        BenchRow(
            case=f"{name} x2, coherence at {low:g}-{high:g} c/px of the source",
            wetgate=mine.coherence,
            peer=other.coherence,
            peer_name=lanczos.name,
            unit="",
            note=why if low == _BANDS[0][0] else "",
            extra={
                "energy": mine.energy,
                "peer's energy": other.energy,
                "so it is": mine.verdict,
            },
        )
        for (low, high), mine, other in zip(_BANDS, ours, theirs, strict=True)
    ]


def bands(truths: Sequence[Pixels], shown: Sequence[Pixels], scale: int) -> list[Band]:
    """Return coherence and energy in every band, over windows of all pictures.

    Source: Carter, Knapp, Nuttall, "Estimation of the magnitude-squared coherence function via
    overlapped fast Fourier transform processing", IEEE TAU 21 (1973).
    """
    shape = _WINDOW, _WINDOW // 2 + 1
    cross = np.zeros(shape, np.complex128)
    own, other = np.zeros(shape), np.zeros(shape)
    taper = np.outer(np.hanning(_WINDOW), np.hanning(_WINDOW))
    for truth, result in zip(truths, shown, strict=True):
        a, b = luma_601(truth), luma_601(result)
        for y in range(0, a.shape[0] - _WINDOW + 1, _STEP):
            for x in range(0, a.shape[1] - _WINDOW + 1, _STEP):
                cut = np.s_[y : y + _WINDOW, x : x + _WINDOW]
                u = np.fft.rfft2((a[cut] - a[cut].mean()) * taper)
                v = np.fft.rfft2((b[cut] - b[cut].mean()) * taper)
                cross += u * v.conj()
                own += np.abs(u) ** 2
                other += np.abs(v) ** 2
    rows, columns = np.fft.fftfreq(_WINDOW)[:, None], np.fft.rfftfreq(_WINDOW)[None, :]
    radius = np.hypot(rows, columns) * scale
    coherence = np.abs(cross) ** 2 / np.maximum(own * other, 1e-30)
    found = []
    for low, high in _BANDS:
        at = (radius >= low) & (radius < high)
        weight = own[at] / own[at].sum()
        found.append(
            Band(
                coherence=float((coherence[at] * weight).sum()),
                energy=float(other[at].sum() / own[at].sum()),
            )
        )
    return found
