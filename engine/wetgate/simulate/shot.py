"""Damage a clean shot and keep the truth.

The stages run in this order: camera and weave, exposure, log encoding, grain, white noise, dirt,
rounding. Weave is composed with the camera, before grain, so that the picture is resampled once:
grain is independent from frame to frame, hence displaced grain is statistically the same grain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError
from wetgate.simulate.camera import CameraSpec, Layer, View, flow, photograph, view_of
from wetgate.simulate.dirt import DirtSpec, add_dirt
from wetgate.simulate.film import GrainSpec, add_grain, log_encode
from wetgate.simulate.resample import sample_grid
from wetgate.simulate.sensor import add_white_noise, quantise
from wetgate.simulate.weave import WeaveSpec, weave_offset

CleanShot = Callable[[int], NDArray[np.float32]]
"""Gives the clean picture of a frame number, float32 `(height, width, 3)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageSpec:
    """What happens to the shot; None leaves a stage out.

    Attributes:
        seed: decides every random draw, with the frame number.
        encoding: "film-log" takes scene-linear light and gives Cineon log; "as-is" keeps what
            comes in (display-referred or log values, 0-1).
        size: `(width, height)` of the shot; only with a camera.
        camera: moves over a photograph; not for a clean shot, which moves by itself.
        exposure: stops, on scene-linear light; only with "film-log".
        noise_sigma: white Gaussian noise, in units of the encoded picture.
        bits: depth of the integer codes, or None for floating point that is neither rounded nor
            clipped.
    """

    seed: int = 7
    encoding: Literal["film-log", "as-is"] = "film-log"
    size: tuple[int, int] | None = None
    camera: CameraSpec | None = None
    exposure: float = 0.0
    weave: WeaveSpec | None = None
    grain: GrainSpec | None = None
    noise_sigma: float = 0.0
    dirt: DirtSpec | None = None
    bits: int | None = 10

    def __post_init__(self) -> None:
        if self.bits not in (None, 8, 10, 12, 16):
            raise ValueError(f"bits must be 8, 10, 12, 16 or None, got {self.bits}")
        if self.exposure and self.encoding != "film-log":
            raise ValueError("exposure acts on scene-linear light; use encoding='film-log'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about a damaged frame.

    Attributes:
        clean: the picture without grain, noise, dirt and rounding, displaced as the damaged one;
            what a perfect grain and dirt removal would give. Same encoding.
        undirtied: the damaged frame without its dirt: same bits wherever `matte` is False.
        matte: `(height, width)`, True exactly where dirt changed a code.
        dirt_coverage: `(height, width)` share of a pixel that dirt covers, 0-1.
        weave: `(x, y)` px by which the picture is displaced in the gate.
    """

    clean: NDArray[np.float32]
    undirtied: NDArray[np.float32]
    matte: NDArray[np.bool_]
    dirt_coverage: NDArray[np.float32]
    weave: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedFrame:
    """One damaged frame: pixels float32 `(height, width, 3)` and what is known about them."""

    number: int
    pixels: NDArray[np.float32]
    truth: Truth


class DamagedShot:
    """A damaged shot, made frame by frame in any order.

    Args:
        source: a clean shot, or a photograph, or layers of one with the rear one first.
        spec: the damage.
    """

    def __init__(
        self, source: CleanShot | NDArray[np.float32] | Sequence[Layer], spec: DamageSpec
    ) -> None:
        self.spec = spec
        self._clean: CleanShot | None = None
        self._layers: tuple[Layer, ...] = ()
        if callable(source):
            self._clean = source
        elif isinstance(source, np.ndarray):
            self._layers = (Layer(np.ascontiguousarray(source, np.float32)),)
        else:
            self._layers = tuple(source)
        if (spec.camera is None) != (self._clean is not None):
            raise UsageError(
                "a camera path goes with a photograph, and only with one",
                remedy="give `camera` for a photograph, leave it out for a clean shot",
            )
        if self._layers:
            height, width = self._layers[0].picture.shape[:2]
            self._size = spec.size or (width, height)

    def __getitem__(self, number: int) -> DamagedFrame:
        """Make one frame; the same bits alone as in a range."""
        spec = self.spec
        clean = self._encoded(number, self.weave(number))
        noisy = clean
        if spec.grain is not None:
            noisy = add_grain(noisy, spec.grain, spec.seed, number)
        if spec.noise_sigma > 0:
            noisy = add_white_noise(noisy, spec.noise_sigma, spec.seed, number)
        dirty, coverage = noisy, np.zeros(clean.shape[:2], np.float32)
        if spec.dirt is not None:
            dirty, coverage = add_dirt(noisy, spec.dirt, spec.seed, number)
        undirtied, pixels = self._stored(noisy), self._stored(dirty)
        matte = np.any(undirtied != pixels, axis=-1)
        truth = Truth(
            clean=clean,
            undirtied=undirtied,
            matte=matte,
            dirt_coverage=coverage,
            weave=self.weave(number),
        )
        return DamagedFrame(number=number, pixels=pixels, truth=truth)

    def weave(self, number: int) -> tuple[float, float]:
        """Return the gate's displacement `(x, y)` at one frame, px."""
        if self.spec.weave is None:
            return 0.0, 0.0
        return weave_offset(self.spec.weave, self.spec.seed, number)

    def steady(self, number: int) -> NDArray[np.float32]:
        """Return the clean frame as it would be without weave, encoded."""
        return self._encoded(number, (0.0, 0.0))

    def flow(self, number: int, other: int) -> NDArray[np.float32]:
        """Return where each pixel of one frame went in another, `(height, width, 2)`, px.

        Exact: camera and weave are known. Where a front layer hides a point in the other frame,
        the flow points to where it would be.

        Raises:
            UsageError: for a clean shot, whose own motion is not known.
        """
        if not self._layers:
            raise UsageError(
                "the motion inside a clean shot is not known", remedy="use a photograph"
            )
        return flow(self._layers, self._views(number), self._views(other), self._size)

    def _views(self, number: int, offset: tuple[float, float] | None = None) -> list[View]:
        assert self.spec.camera is not None  # the constructor saw to it
        shift = self.weave(number) if offset is None else offset
        camera, seed, size = self.spec.camera, self.spec.seed, self._size
        return [
            view_of(camera, seed, number, size=size, layer=layer, offset=shift)
            for layer in self._layers
        ]

    def _encoded(self, number: int, offset: tuple[float, float]) -> NDArray[np.float32]:
        if self._clean is None:
            picture = photograph(self._layers, self._views(number, offset), self._size)
        else:
            picture = np.ascontiguousarray(self._clean(number), np.float32)
            if offset != (0.0, 0.0):
                size = picture.shape[1], picture.shape[0]
                picture = sample_grid(picture, size, (-offset[0], -offset[1]), 1.0)
        if self.spec.encoding == "as-is":
            return picture
        return log_encode(picture * np.float32(2.0**self.spec.exposure))

    def _stored(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return picture if self.spec.bits is None else quantise(picture, self.spec.bits)


def damage_shot(
    clean: CleanShot | NDArray[np.float32] | Sequence[Layer],
    spec: DamageSpec,
    frames: Sequence[int],
) -> Iterator[DamagedFrame]:
    """Damage the frames of a clean shot, or of a camera path over a photograph, one by one."""
    shot = DamagedShot(clean, spec)
    for number in frames:
        yield shot[number]
