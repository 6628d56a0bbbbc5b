"""Film damage with known truth, one stage a file.

Every random draw depends on the seed and the frame number alone, so that any frame can be made
by itself and gets the bits it has in a range. Compression and telecine alone need a whole range.
`README.md` beside this file lists stages, parameters, truth and sources.
"""

from __future__ import annotations

from wetgate.simulate.action import ActionSpec
from wetgate.simulate.camera import CameraSpec, Layer
from wetgate.simulate.codec import CodecResult, CodecSpec, encode_decode
from wetgate.simulate.dirt import DirtSpec
from wetgate.simulate.fade import FadeSpec
from wetgate.simulate.film import GrainSpec, expand_highlights, log_decode, log_encode
from wetgate.simulate.flicker import FlickerSpec
from wetgate.simulate.lens import LensSpec
from wetgate.simulate.presets import PRESETS, preset, with_overlays
from wetgate.simulate.scanner import ScannerSpec
from wetgate.simulate.scenes import parallax_layers
from wetgate.simulate.scratches import ScratchSpec
from wetgate.simulate.sensor import SensorSpec
from wetgate.simulate.sequence import DamagedRange, damage_range
from wetgate.simulate.shot import DamagedShot, damage_shot
from wetgate.simulate.spec import STAGES, DamagedFrame, DamageSpec, Truth
from wetgate.simulate.telecine import TelecineSpec
from wetgate.simulate.tone import ToneSpec
from wetgate.simulate.weave import WeaveSpec

__all__ = [
    "PRESETS",
    "STAGES",
    "ActionSpec",
    "CameraSpec",
    "CodecResult",
    "CodecSpec",
    "DamageSpec",
    "DamagedFrame",
    "DamagedRange",
    "DamagedShot",
    "DirtSpec",
    "FadeSpec",
    "FlickerSpec",
    "GrainSpec",
    "Layer",
    "LensSpec",
    "ScannerSpec",
    "ScratchSpec",
    "SensorSpec",
    "TelecineSpec",
    "ToneSpec",
    "Truth",
    "WeaveSpec",
    "damage_range",
    "damage_shot",
    "encode_decode",
    "expand_highlights",
    "log_decode",
    "log_encode",
    "parallax_layers",
    "preset",
    "with_overlays",
]
