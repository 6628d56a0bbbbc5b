"""Damage a clean shot and keep the truth of every stage.

The stages run in this order: action, camera, lens, exposure, density (log code and characteristic
curve), grain, dye fade, dirt, scratches, flicker, weave, sensor noise, scanner, rounding. Weave is
geometry alone, so it is not a resampling of its own: what lies on the film is laid where weave
takes it, and the picture is resampled once (twice when the film turns or bends in the gate). Grain
and dirt of one frame are as likely anywhere: displaced they are statistically the same, and they
are not displaced.

Compression and telecine need a whole range: `sequence.damage_range`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError
from wetgate.simulate.action import ActionTruth, action_truth
from wetgate.simulate.camera import Layer, View, film_grid, flow, photograph, view_of
from wetgate.simulate.dirt import DirtTruth, dirt_truth
from wetgate.simulate.fade import FadeTruth, fade_truth
from wetgate.simulate.film import CODES_PER_DECADE, add_grain, log_encode
from wetgate.simulate.flicker import FlickerTruth, flicker_truth, stop_in_codes
from wetgate.simulate.lens import LensSpec, LensTruth, blur, lens_truth
from wetgate.simulate.resample import sample_at, sample_grid
from wetgate.simulate.scanner import scan
from wetgate.simulate.scenes import parallax_layers
from wetgate.simulate.scratches import ScratchTruth, scratch_truth
from wetgate.simulate.sensor import (
    SensorDraws,
    SensorTruth,
    add_white_noise,
    quantise,
    sensor_draws,
    sensor_truth,
)
from wetgate.simulate.spec import STAGES, DamagedFrame, DamageSpec, Truth
from wetgate.simulate.tone import expose
from wetgate.simulate.weave import WeaveFrame, still, weave_frame, weave_offset

CleanShot = Callable[[int], NDArray[np.float32]]
"""Gives the clean picture of a frame number, float32 `(height, width, 3)`."""

Pixels = NDArray[np.float32]
VIDEO_GAMMA = 2.4


class DamagedShot:
    """A damaged shot, made frame by frame in any order.

    Args:
        source: a clean shot, or a photograph, or layers of one with the rear one first.
        spec: the damage.
    """

    def __init__(self, source: CleanShot | Pixels | Sequence[Layer], spec: DamageSpec) -> None:
        self.spec = spec
        self._clean: CleanShot | None = None
        self._layers: tuple[Layer, ...] = ()
        self._last: tuple[int, Pixels] | None = None
        if callable(source):
            self._clean = source
        elif isinstance(source, np.ndarray):
            picture = np.ascontiguousarray(source, np.float32)
            self._layers = parallax_layers(picture, spec.seed, spec.occluders)
        else:
            self._layers = tuple(source)
        if spec.occluders and not isinstance(source, np.ndarray):
            raise UsageError(
                "occluders stand before a photograph, not before a clean shot or layers",
                remedy="leave them out",
            )
        if (spec.camera is None) != (self._clean is not None):
            raise UsageError(
                "a camera path goes with a photograph, and only with one",
                remedy="give `camera` for a photograph, leave it out for a clean shot",
            )

    def __getitem__(self, number: int) -> DamagedFrame:
        """Make one frame; the same bits alone as in a range."""
        return _FrameMaker(self, number).frame()

    def after(self, number: int, stage: str) -> Pixels:
        """Return a frame as it is after a stage of `STAGES`, `(height, width, 3)`.

        Scene-linear up to "exposure" (with encodings that start from light), encoded from
        "density" on; from "camera" on it lies where weave takes it.

        Raises:
            UsageError: for an unknown stage.
        """
        if stage not in STAGES:
            raise UsageError(f"no stage {stage!r}", expected=f"one of {', '.join(STAGES)}")
        maker = _FrameMaker(self, number)
        early = dict(maker.early())
        return early[stage] if stage in early else maker.late(early["fade"]).after[stage]

    def weave(self, number: int) -> tuple[float, float]:
        """Return the gate's displacement `(x, y)` at one frame, px."""
        if self.spec.weave is None:
            return 0.0, 0.0
        return weave_offset(self.spec.weave, self.spec.seed, number)

    def gate(self, number: int) -> WeaveFrame:
        """Return the place of one frame in the gate."""
        size = self.size(number)
        if self.spec.weave is None:
            return still(size)
        return weave_frame(self.spec.weave, self.spec.seed, number, size)

    def size(self, number: int) -> tuple[int, int]:
        """Return `(width, height)` of one frame, px."""
        if self._clean is None:
            height, width = self._layers[0].picture.shape[:2]
            return self.spec.size or (width, height)
        height, width = self._scene(number).shape[:2]
        return width, height

    def steady(self, number: int) -> Pixels:
        """Return the clean frame as it would be without weave, encoded."""
        return _FrameMaker(self, number, still(self.size(number))).clean()

    def sharp(self, number: int) -> Pixels:
        """Return the clean frame as it would be without the lens's blur, encoded."""
        return _FrameMaker(self, number).clean(blurred=False)

    def flow(self, number: int, other: int) -> Pixels:
        """Return where each pixel of one frame went in another, `(height, width, 2)`, px.

        Exact: camera and weave are known. Where a front layer hides a point in the other frame,
        the flow points to where it would be. `Truth.action` moves by itself, as it states.

        Raises:
            UsageError: for a clean shot, whose own motion is not known.
        """
        if not self._layers:
            raise UsageError(
                "the motion inside a clean shot is not known", remedy="use a photograph"
            )
        here, there, size = self.gate(number), self.gate(other), self.size(number)
        if here.is_shift and there.is_shift:
            moved = self._views(number, here.offset), self._views(other, there.offset)
            return flow(self._layers, *moved, size)
        views = self._views(number, (0.0, 0.0)), self._views(other, (0.0, 0.0))
        return flow(self._layers, *views, size, (here, there))

    def photograph(self, number: int, gate: WeaveFrame) -> Pixels:
        """Return the scene as the camera sees it, where `gate` takes it."""
        if self._clean is None:
            if gate.is_shift:
                return photograph(self._layers, self._views(number, gate.offset), gate.size)
            return photograph(self._layers, self._views(number, (0.0, 0.0)), gate.size, gate)
        picture = self._scene(number)
        if not gate.is_shift:
            return sample_at(picture, *film_grid(gate))
        if gate.offset == (0.0, 0.0):
            return picture
        return sample_grid(picture, gate.size, (-gate.offset[0], -gate.offset[1]), 1.0)

    def _views(self, number: int, offset: tuple[float, float]) -> list[View]:
        assert self.spec.camera is not None  # the constructor saw to it
        camera, seed, size = self.spec.camera, self.spec.seed, self.size(number)
        return [
            view_of(camera, seed, number, size=size, layer=layer, offset=offset)
            for layer in self._layers
        ]

    def _scene(self, number: int) -> Pixels:
        """Read a frame of a clean shot; the last one is kept, for the calls that follow."""
        assert self._clean is not None  # callers see to it
        last = self._last
        if last is None or last[0] != number:
            last = number, np.ascontiguousarray(self._clean(number), np.float32)
            self._last = last
        return last[1]


@lru_cache(maxsize=2)
def _lens(spec: LensSpec, size: tuple[int, int]) -> LensTruth:
    return lens_truth(spec, size)


@dataclass(frozen=True, slots=True)
class _Late:
    """The stages from "dirt" on: the picture after each, and the sensor's noise."""

    after: dict[str, Pixels]
    sensor: SensorTruth | None


class _FrameMaker:
    """Everything about one frame, made when asked for."""

    def __init__(self, shot: DamagedShot, number: int, gate: WeaveFrame | None = None) -> None:
        self._shot = shot
        self._spec = shot.spec
        self._number = number
        self._gate = gate or shot.gate(number)

    def early(self, *, blurred: bool = True) -> Iterator[tuple[str, Pixels]]:
        """Yield the stages from "camera" to "fade" with the picture after each."""
        spec, number = self._spec, self._number
        picture = self._shot.photograph(number, self._gate)
        if self.action is not None:
            picture = self.action.apply(picture)
        yield "camera", picture
        if self.lens is not None and blurred:
            picture = blur(picture, self.lens)
        yield "lens", picture
        if spec.exposure or spec.encoding == "film-log":
            picture = expose(picture, spec.exposure)
        yield "exposure", picture
        if spec.encoding == "film-log":
            picture = log_encode(picture)
        elif spec.encoding == "video":
            picture = video_encode(picture)
        if spec.tone is not None:
            picture = spec.tone.apply(picture)
        yield "density", picture
        if spec.grain is not None:
            picture = add_grain(picture, spec.grain, spec.seed, number)
        yield "grain", picture
        if self.fade is not None:
            picture = self.fade.apply(picture)
        yield "fade", picture

    def late(self, film: Pixels, *, without: str = "") -> _Late:
        """Return the stages from "dirt" on, but for one that is left out."""
        spec, number = self._spec, self._number
        after: dict[str, Pixels] = {}
        picture = film
        if self.dirt is not None and without != "dirt":
            picture = self.dirt.apply(picture)
        after["dirt"] = picture
        if self.scratches is not None and without != "scratches":
            picture = self.scratches.apply(picture)
        after["scratches"] = picture
        if self.flicker is not None:
            picture = self.flicker.apply(picture)
        after["flicker"] = picture
        sensor = None
        if spec.sensor is not None:
            sensor = sensor_truth(picture, spec.sensor, self._sensor_draws, law=spec.law)
            picture = picture + sensor.noise
        if spec.noise_sigma > 0:
            picture = add_white_noise(picture, spec.noise_sigma, spec.seed, number)
        after["sensor"] = picture
        if spec.scanner is not None:
            picture = scan(picture, spec.scanner)
        after["scanner"] = picture
        after["stored"] = picture if spec.bits is None else quantise(picture, spec.bits)
        return _Late(after, sensor)

    def clean(self, *, blurred: bool = True) -> Pixels:
        """Return the picture before grain."""
        for name, picture in self.early(blurred=blurred):
            if name == "density":
                return picture
        raise AssertionError("there is a stage called density")

    def frame(self) -> DamagedFrame:
        """Return the damaged frame with its truth."""
        early = dict(self.early())
        clean, film = early["density"], early["fade"]
        late = self.late(film)
        pixels = late.after["stored"]
        undirtied, matte = self._without("dirt", film, pixels)
        scratch_matte = self._without("scratches", film, pixels)[1]
        spec, dirt = self._spec, self.dirt
        truth = Truth(
            clean=clean,
            undirtied=undirtied,
            matte=matte,
            dirt_coverage=np.zeros(matte.shape, np.float32) if dirt is None else dirt.alpha,
            scratch_matte=scratch_matte,
            weave=self._gate.offset,
            gate=self._gate,
            grain_sigma=None if spec.grain is None else spec.grain.sigma(clean),
            action=self.action,
            lens=self.lens,
            fade=self.fade,
            dirt=dirt,
            scratches=self.scratches,
            flicker=self.flicker,
            sensor=late.sensor,
        )
        return DamagedFrame(number=self._number, pixels=pixels, truth=truth)

    def _without(
        self, stage: str, film: Pixels, pixels: Pixels
    ) -> tuple[Pixels, NDArray[np.bool_]]:
        """Return the stored frame without a stage, and where it differs from the whole one."""
        if getattr(self, stage) is None:
            return pixels, np.zeros(pixels.shape[:2], np.bool_)
        other = self.late(film, without=stage).after["stored"]
        return other, np.any(other != pixels, axis=-1)

    @cached_property
    def lens(self) -> LensTruth | None:
        return None if self._spec.lens is None else _lens(self._spec.lens, self._gate.size)

    @cached_property
    def action(self) -> ActionTruth | None:
        spec = self._spec
        if spec.action is None:
            return None
        return action_truth(spec.action, spec.seed, self._number, self._gate.size, self._to_pixel)

    @cached_property
    def dirt(self) -> DirtTruth | None:
        spec = self._spec
        if spec.dirt is None:
            return None
        return dirt_truth(spec.dirt, spec.seed, self._number, self._gate.size)

    @cached_property
    def scratches(self) -> ScratchTruth | None:
        spec = self._spec
        if spec.scratches is None:
            return None
        return scratch_truth(spec.scratches, spec.seed, self._number, *self._film)

    @cached_property
    def fade(self) -> FadeTruth | None:
        spec = self._spec
        return None if spec.fade is None else fade_truth(spec.fade, spec.seed, *self._centered)

    @cached_property
    def flicker(self) -> FlickerTruth | None:
        spec = self._spec
        if spec.flicker is None:
            return None
        log = spec.law == "density"
        return flicker_truth(
            spec.flicker,
            spec.seed,
            self._number,
            *self._centered,
            law=spec.law,
            unit=stop_in_codes(CODES_PER_DECADE) if log else 1 / VIDEO_GAMMA,
        )

    @cached_property
    def _sensor_draws(self) -> SensorDraws:
        spec, (width, height) = self._spec, self._gate.size
        assert spec.sensor is not None  # or nobody asks
        return sensor_draws(spec.sensor, spec.seed, self._number, (height, width, 3))

    @cached_property
    def _film(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return film_grid(self._gate)

    @cached_property
    def _centered(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Film coordinates with 0 at the center and 1 at the right and the lower edge."""
        width, height = self._gate.size
        x, y = self._film
        return 2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1

    def _to_pixel(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(self._gate.pixel(points[:, 0], points[:, 1]), axis=-1)


def video_encode(linear: Pixels) -> Pixels:
    """Encode light as `light ** (1 / 2.4)`, with its sign; neither clipped nor rounded.

    Source: ITU-R BT.1886, the display's exponent, inverted.
    """
    light = linear.astype(np.float64)
    result: Pixels = (np.sign(light) * np.abs(light) ** (1 / VIDEO_GAMMA)).astype(np.float32)
    return result


def damage_shot(
    clean: CleanShot | Pixels | Sequence[Layer], spec: DamageSpec, frames: Sequence[int]
) -> Iterator[DamagedFrame]:
    """Damage the frames of a clean shot, or of a camera path over a photograph, one by one."""
    shot = DamagedShot(clean, spec)
    for number in frames:
        yield shot[number]
