"""What the joint network sees, and how far it may go from what the classical passes made."""

from __future__ import annotations

import numpy as np

from wetgate.operators.upscale.resample import Pixels, limits

NAMES = (
    *(f"{name}.{c}" for name in ("detail", "residual", "base", "sigma") for c in "rgb"),
    "flatness",
)
"""The planes of the spatial denoise network, `denoise.net.spatial_planes`."""
_MARGIN = 1.0
_DEVIATIONS = 1.0
"""What the classical passes took with the noise may come back this far beyond their result."""


def noisy_limits(base: Pixels, sigma: Pixels) -> tuple[Pixels, Pixels]:
    """Return the `limits` of the denoised picture, widened by a share of the noise.

    Args:
        base: `(height, width, channel)`. sigma: deviation of the noise at each of its samples.
    """
    low, high = limits(base, _MARGIN)
    reach = np.float32(_DEVIATIONS) * sigma
    return np.asarray(low - reach), np.asarray(high + reach)
