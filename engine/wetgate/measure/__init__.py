"""Picture and film metrics, each held against a closed form by the tests."""

from __future__ import annotations

from wetgate.measure.fidelity import mean_squared_error, psnr
from wetgate.measure.interval import bootstrap_mean
from wetgate.measure.temporal import residual_flicker

__all__ = ["bootstrap_mean", "mean_squared_error", "psnr", "residual_flicker"]
