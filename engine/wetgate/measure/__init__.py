"""Picture and film metrics, each held against a closed form by the tests."""

from __future__ import annotations

from wetgate.measure.fidelity import mean_squared_error, psnr
from wetgate.measure.interval import bootstrap_mean
from wetgate.measure.structure import luma_601, ssim
from wetgate.measure.temporal import residual_flicker, warp_error

__all__ = [
    "bootstrap_mean",
    "luma_601",
    "mean_squared_error",
    "psnr",
    "residual_flicker",
    "ssim",
    "warp_error",
]
