"""Film damage with known truth, one stage a file.

Every random draw depends on the seed and the frame number alone, so that any frame can be made
by itself and gets the bits it has in a range.
"""

from __future__ import annotations

from wetgate.simulate.camera import CameraSpec, Layer
from wetgate.simulate.dirt import DirtSpec
from wetgate.simulate.film import GrainSpec, expand_highlights, log_decode, log_encode
from wetgate.simulate.presets import PRESETS, preset
from wetgate.simulate.shot import DamagedShot, damage_shot
from wetgate.simulate.spec import DamagedFrame, DamageSpec, Truth
from wetgate.simulate.weave import WeaveSpec

__all__ = [
    "PRESETS",
    "CameraSpec",
    "DamageSpec",
    "DamagedFrame",
    "DamagedShot",
    "DirtSpec",
    "GrainSpec",
    "Layer",
    "Truth",
    "WeaveSpec",
    "damage_shot",
    "expand_highlights",
    "log_decode",
    "log_encode",
    "preset",
]
