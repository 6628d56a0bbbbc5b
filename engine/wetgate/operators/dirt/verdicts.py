"""A person's verdicts on single fixes, and what they say of the confidence of all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Analysis, Decisions

_KEY = "decisions"
_DOUBT = 1.5
"""Deviation of the shift that is expected before anybody decided, in units of the logit."""
_FARTHEST = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What is decided on the fixes of a shot.

    Attributes:
        accepted, rejected: ids as `Fix.id` gives them.
        shift: by how much the verdicts move the logit of the confidence.
        weighed: how many verdicts told that.
    """

    accepted: frozenset[str] = field(default_factory=frozenset)
    rejected: frozenset[str] = field(default_factory=frozenset)
    shift: float = 0.0
    weighed: int = 0


def with_verdicts(analysis: Analysis, decisions: Decisions) -> Analysis:
    """Return the analysis with verdicts in it, in place of any that it had.

    Args:
        decisions: lists of ids under "accepted" and "rejected"; under "confidences" the
            confidence that each of them had, by id, where it is known. Without it nothing is
            learned about others.
    """
    accepted, rejected = (_ids(decisions, key) for key in ("accepted", "rejected"))
    known = decisions.get("confidences", {})
    seen: list[tuple[float, bool]] = []
    if isinstance(known, Mapping):
        for ids, is_dirt in ((accepted, True), (rejected, False)):
            seen += [(float(known[i]), is_dirt) for i in ids if i in known]
    return {
        **analysis,
        _KEY: {
            "accepted": accepted,
            "rejected": rejected,
            "shift": recalibration(seen),
            "weighed": len(seen),
        },
    }


def verdicts_of(analysis: Analysis) -> Verdicts:
    """Read the verdicts that `with_verdicts` put into an analysis; none without them."""
    found = analysis.get(_KEY)
    if not isinstance(found, Mapping):
        return Verdicts()
    return Verdicts(
        accepted=frozenset(_ids(found, "accepted")),
        rejected=frozenset(_ids(found, "rejected")),
        shift=float(found.get("shift", 0.0)),
        weighed=int(found.get("weighed", 0)),
    )


def recalibration(decided: Sequence[tuple[float, bool]]) -> float:
    """Return the shift of the logit of the confidence that explains verdicts best.

    The largest of the posterior of `p = 1 / (1 + exp(-(logit + shift)))` with a normal prior of
    deviation 1.5 about 0; found by bisection of its slope, which falls everywhere. Rounded to a
    thousandth.

    Args:
        decided: confidence 0-1 and whether it was a defect.

    Source: logistic calibration with a fixed slope, as in Platt, "Probabilistic outputs for
    support vector machines", 1999.
    """
    told = [(c, y) for c, y in decided if 0.0 < c < 1.0]
    if not told:
        return 0.0
    logits = np.array([math.log(c / (1.0 - c)) for c, _ in told])
    truth = np.array([float(y) for _, y in told])

    def slope(shift: float) -> float:
        expected = 1.0 / (1.0 + np.exp(-(logits + shift)))
        return float(np.sum(truth - expected)) - shift / _DOUBT**2

    low, high = -_FARTHEST, _FARTHEST
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return round(0.5 * (low + high), 3)


def shifted(confidence: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Move confidences by a shift of their logit; 0 and 1 are certain and stay."""
    if shift == 0.0:
        return confidence
    open_ = (confidence > 0.0) & (confidence < 1.0)
    inner = np.where(open_, confidence, 0.5)
    moved = 1.0 / (1.0 + np.exp(-(np.log(inner / (1.0 - inner)) + shift)))
    return np.where(open_, np.round(moved, 5), confidence)


def _ids(values: Mapping[str, object], key: str) -> list[str]:
    found = values.get(key, [])
    return sorted({str(i) for i in found}) if isinstance(found, (list, tuple)) else []
