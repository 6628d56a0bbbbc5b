"""What the stages read of the analysis of a shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from wetgate.operators.base import Analysis
from wetgate.operators.deartifact.classical import UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a shot was coded, as far as its pixels tell.

    Attributes:
        error: RMS error of luma that is assumed, strength included.
        abrupt: mean jump at block borders / estimated error. step: quantiser's step at low
            frequencies / estimated error, 0 where not known.
        offset: `(x, y)` of a block's corner, None without a grid on whole pixels.
    """

    error: float
    abrupt: float
    step: float
    offset: tuple[int, int] | None


def coding_of(analysis: Analysis, strength: float) -> Coding | None:
    """Return the shot's coding, or None where nothing is to be done.

    Args:
        strength: factor on the estimated error.
    """
    error = cast(float, analysis["error"])
    if error <= 0.0:
        return None
    x, y = cast(Sequence[int], analysis["offset"])
    whole = cast(float, analysis["period"]) in (4.0, 8.0, 16.0)
    return Coding(
        error=error * strength,
        abrupt=cast(float, analysis["height"]) / error if whole else UNKNOWN,
        step=cast(float, analysis["step"]) / error,
        offset=(x, y) if whole else None,
    )
