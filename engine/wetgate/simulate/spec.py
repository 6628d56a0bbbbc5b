"""What happens to a shot, and what is known about each damaged frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.action import ActionSpec, ActionTruth
from wetgate.simulate.camera import CameraSpec
from wetgate.simulate.codec import CodecSpec
from wetgate.simulate.dirt import DirtSpec, DirtTruth
from wetgate.simulate.fade import FadeSpec, FadeTruth
from wetgate.simulate.film import GrainSpec
from wetgate.simulate.flicker import FlickerSpec, FlickerTruth
from wetgate.simulate.lens import LensSpec, LensTruth
from wetgate.simulate.scanner import ScannerSpec
from wetgate.simulate.scratches import ScratchSpec, ScratchTruth
from wetgate.simulate.sensor import SensorSpec, SensorTruth
from wetgate.simulate.telecine import TelecineSpec
from wetgate.simulate.tone import ToneSpec
from wetgate.simulate.weave import WeaveFrame, WeaveSpec

STAGES = (
    "camera",
    "lens",
    "exposure",
    "density",
    "grain",
    "fade",
    "dirt",
    "scratches",
    "flicker",
    "sensor",
    "scanner",
    "stored",
)
"""The stages that a frame goes through by itself, in this order. Weave is geometry: it lies in
"camera" already, and in what each stage lays on the film. Codec and telecine follow, on a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageSpec:
    """What happens to the shot; None leaves a stage out.

    Attributes:
        seed: decides every random draw, with the frame number.
        encoding: "film-log" takes scene-linear light and gives Cineon log; "video" takes
            scene-linear light and gives `light ** (1 / 2.4)`; "as-is" keeps what comes in
            (display-referred or log values, 0-1).
        size: `(width, height)` of the shot; only with a camera.
        camera: moves over a photograph; not for a clean shot, which moves by itself.
        occluders: how many of them stand before a photograph; not before a clean shot or layers.
        action: clean content that looks like dirt; on scene-linear light, as the next two.
        lens: blurs.
        exposure: stops.
        tone: characteristic curve of film or print; not with "as-is".
        grain, dirt, scratches, flicker, weave: what film and projector did.
        fade: of the dyes; only with "film-log".
        sensor: noise of the scanner or camera.
        noise_sigma: white Gaussian noise, in units of the encoded picture, after the sensor's.
        scanner: blur and sharpening.
        bits: depth of the integer codes, or None for floating point that is neither rounded nor
            clipped.
        codec: compression of a whole range, at 8 bits; not with "film-log".
        telecine: fields of a whole range, after the codec.
    """

    seed: int = 7
    encoding: Literal["film-log", "video", "as-is"] = "film-log"
    size: tuple[int, int] | None = None
    camera: CameraSpec | None = None
    occluders: int = 0
    action: ActionSpec | None = None
    lens: LensSpec | None = None
    exposure: float = 0.0
    tone: ToneSpec | None = None
    weave: WeaveSpec | None = None
    grain: GrainSpec | None = None
    fade: FadeSpec | None = None
    dirt: DirtSpec | None = None
    scratches: ScratchSpec | None = None
    flicker: FlickerSpec | None = None
    sensor: SensorSpec | None = None
    noise_sigma: float = 0.0
    scanner: ScannerSpec | None = None
    bits: int | None = 10
    codec: CodecSpec | None = None
    telecine: TelecineSpec | None = None

    def __post_init__(self) -> None:
        if self.bits not in (None, 8, 10, 12, 16):
            raise ValueError(f"bits must be 8, 10, 12, 16 or None, got {self.bits}")
        if self.encoding == "as-is":
            for name in ("exposure", "action", "lens"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name} acts on scene-linear light; use encoding='film-log' or 'video'"
                    )
            if self.tone is not None:
                raise ValueError("tone acts on log exposure; use encoding='film-log' or 'video'")
        if self.fade is not None and self.encoding != "film-log":
            raise ValueError("dye fade acts on density; use encoding='film-log'")
        if self.codec is not None and (self.encoding == "film-log" or self.bits != 8):
            raise ValueError("a codec takes 8-bit display-referred frames; use 'video' and bits=8")
        if self.occluders < 0:
            raise ValueError(f"occluders must be 0 or more, got {self.occluders}")

    @property
    def law(self) -> Literal["density", "gain"]:
        """Return how encoded values relate to light: by logarithm or by a power."""
        return "density" if self.encoding == "film-log" else "gain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about a damaged frame; None for a stage that is left out.

    Attributes:
        clean: the picture as film or camera recorded it, before grain and all that follows,
            displaced as the damaged one; what a perfect restoration would give. Same encoding.
        undirtied: the damaged frame without its dirt: same bits wherever `matte` is False.
        matte: `(height, width)`, True exactly where dirt changed a code.
        dirt_coverage: `(height, width)` share of a pixel that dirt covers, 0-1.
        scratch_matte: `(height, width)`, True exactly where scratches changed a code.
        weave: `(x, y)` px by which the picture is displaced in the gate; `gate` knows the rest.
        grain_sigma: `(height, width, 3)` standard deviation of the grain, encoded.
        action, lens, fade, dirt, scratches, flicker, sensor: the laws of the stages, with which
            most of them can be undone.
    """

    clean: NDArray[np.float32]
    undirtied: NDArray[np.float32]
    matte: NDArray[np.bool_]
    dirt_coverage: NDArray[np.float32]
    scratch_matte: NDArray[np.bool_]
    weave: tuple[float, float]
    gate: WeaveFrame
    grain_sigma: NDArray[np.float32] | None = None
    action: ActionTruth | None = None
    lens: LensTruth | None = None
    fade: FadeTruth | None = None
    dirt: DirtTruth | None = None
    scratches: ScratchTruth | None = None
    flicker: FlickerTruth | None = None
    sensor: SensorTruth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedFrame:
    """One damaged frame: pixels float32 `(height, width, 3)` and what is known about them."""

    number: int
    pixels: NDArray[np.float32]
    truth: Truth
