"""Means over plates with their 95 % intervals: what is independent is the plate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wetgate.bench.dirt.measure import Damaged, Share
from wetgate.measure import bootstrap_mean


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over plates and its 95 % interval; NaN where nothing was measured."""

    mean: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        """Return the mean and its interval in a few letters."""
        if self.interval is None:
            return "" if math.isnan(self.mean) else f"{self.mean:.3g}"
        return f"{self.mean:.3g} ({self.interval[0]:.3g} to {self.interval[1]:.3g})"


NOTHING = Figure(math.nan, None)


def over_plates(cases: Sequence[Damaged], value: Callable[[Damaged], float | None]) -> Figure:
    """Average a figure over the clips of each plate, then over plates."""
    groups: dict[str, list[float]] = {}
    for case in cases:
        got = value(case)
        if got is not None and math.isfinite(got):
            groups.setdefault(case.plate, []).append(got)
    if not groups:
        return NOTHING
    return Figure(*bootstrap_mean([sum(g) / len(g) for g in groups.values()]))


def shares(cases: Sequence[Damaged], value: Callable[[Damaged], Share | None]) -> Figure:
    """Pool a share over the clips of each plate, then average over plates."""
    groups: dict[str, Share] = {}
    for case in cases:
        got = value(case)
        if got is not None:
            groups[case.plate] = groups.get(case.plate, Share()) + got
    values = [g.value for g in groups.values() if g.whole]
    return Figure(*bootstrap_mean(values)) if values else NOTHING
