"""Denoise and enlarge: both operators in turn, then one correction for what each could not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from wetgate.backends import Session, apply_net, check_names, load_session
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    Judged,
    NoSurveys,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    Window,
    pixels_of,
)
from wetgate.operators.denoise.net import spatial_planes
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise.profile import measuring_bytes
from wetgate.operators.denoise.shot import is_idle, shot_noise
from wetgate.operators.denoise.stages import Pass
from wetgate.operators.denoise_upscale.planes import NAMES, noisy_limits
from wetgate.operators.upscale.operator import UpscaleOperator, correction, enlarged, seen_by_net
from wetgate.operators.upscale.resample import LIMIT_REACH, interleave, limit
from wetgate.weights.card import ModelCard
from wetgate.weights.library import find_model

SCALE = 2
SHIPPED = "wg-denoise-upscale2"
_SOFT_REACH = 2
"""Px that the planes of the denoise networks look at around."""
_IDLE = "no noise was found: enlarged as the upscale operator does"


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseUpscaleOperator:
    """Remove noise and make the picture twice as large.

    Args:
        radius, step, sigma_scale: as in `denoise`.
        net: "auto" for the joint network that comes with wetgate, "none" for no network at all, or
            a model. A joint network corrects what `denoise` and then `upscale` make, each with the
            networks that come with wetgate.
        back_projection: rounds (0-8) in which, without network, the result is made to reduce to
            the denoised frame. The network is not held to it: it knows better what the noise hid.
        backend, precision: see `wetgate models`.
    """

    radius: int = 3
    step: int = 3
    sigma_scale: float = 1.0
    net: str = "auto"
    back_projection: int = 2
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        self.denoise()
        if type(self.back_projection) is not int or not 0 <= self.back_projection <= 8:
            raise ValueError(f"back_projection must lie in 0-8, got {self.back_projection!r}")
        check_names(self.backend, self.precision)

    def denoise(self) -> DenoiseOperator:
        """Return the operator that comes first."""
        return DenoiseOperator(
            radius=self.radius,
            step=self.step,
            sigma_scale=self.sigma_scale,
            net=self._shipped(),
            backend=self.backend,
            precision=self.precision,
        )

    def upscale(self) -> UpscaleOperator:
        """Return the operator that comes second."""
        return UpscaleOperator(
            scale=SCALE,
            net=self._shipped(),
            back_projection=self.back_projection,
            backend=self.backend,
            precision=self.precision,
        )

    def _shipped(self) -> str:
        return "none" if self.net == "none" else "auto"

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        footprints = [stage.footprint for stage in self.stages]
        card = self.card()
        return OperatorSpec(
            name="denoise-upscale",
            version=2,
            footprint=Footprint(
                temporal_radius=sum(f.temporal_radius for f in footprints),
                halo=sum(f.halo for f in footprints),
                scale=Fraction(SCALE),
                bytes_per_pixel=max(f.bytes_per_pixel for f in footprints),
            ),
            working_space="log",
            provenance=Provenance.FILTERED if card is None else Provenance.INFERRED,
            generative=card is not None and card.generative,
            needs_analysis=True,
            analysis_bytes=measuring_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the stages of denoise and the one that enlarges."""
        *passes, last = self.denoise().stages
        if not isinstance(last, Pass):
            raise TypeError("denoise ends with a pass over its window")
        return (*passes, replace(last, exact_output=True), _Enlarge(self))

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise of a shot, as `denoise` does."""
        return self.denoise().analyse(read, frames, facts)

    def models(self) -> tuple[str, ...]:
        """Return the names of the networks that run: the joint one first."""
        if self.net == "none":
            return ()
        joint = SHIPPED if self.net == "auto" else self.net
        return (joint, *self.denoise().models(), *self.upscale().models())

    def without_network(self) -> DenoiseUpscaleOperator:
        """Return the classical denoise followed by the classical upscale."""
        return replace(self, net="none")

    def resample(self, pixels: Pixels) -> Pixels:
        """Return pixels, noise and all, at twice the size by Lanczos3 within the limits."""
        return self.upscale().resample(pixels)

    def session(self, name: str) -> Session:
        """Return the session of a network; loaded once a process."""
        return load_session(name, backend=self.backend, precision=self.precision)

    def card(self) -> ModelCard | None:
        """Return the card of the joint network that runs, if one does.

        Raises:
            ModelLoadError: it is not there, or is no joint network.
        """
        names = self.models()
        if not names:
            return None
        card = find_model(names[0]).card
        if card.scale != SCALE or card.inputs != NAMES or len(card.outputs) != 3:
            raise ModelLoadError(
                f"{card.name} takes {', '.join(card.inputs)} and enlarges by {card.scale}",
                expected=f"{', '.join(NAMES)} and {SCALE}",
                remedy="name a joint network of wetgate's own kind, or leave net at auto",
            )
        return card


@dataclass(frozen=True, slots=True)
class _Enlarge(NoSurveys):
    operator: DenoiseUpscaleOperator

    @property
    def footprint(self) -> Footprint:
        card, upscale = self.operator.card(), self.operator.upscale().stages[0].footprint
        halo, bytes_per_pixel = max(upscale.halo, LIMIT_REACH), upscale.bytes_per_pixel
        if card is not None:
            halo = max(halo, card.halo + _SOFT_REACH)
            bytes_per_pixel += 4 * 160
        return Footprint(halo=halo, scale=Fraction(SCALE), bytes_per_pixel=bytes_per_pixel)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        operator, base = self.operator, window.previous[0]
        idle = is_idle(analysis, facts)
        if operator.net == "none" or idle:
            (upscale,) = operator.upscale().stages
            made = upscale(replace(window, pixels=(base,), previous=()), {}, facts)
            return Judged(pixels_of(made), None, (_IDLE,)) if idle else made
        noise = shot_noise(analysis, operator.sigma_scale)
        sigma = noise.sigma(base)
        color = map(_color, (base, window.center, sigma))
        session = operator.session(operator.models()[0])
        planes = spatial_planes(*color, flatness=noise.flatness)
        origin = window.region.y0, window.region.x0
        rows, columns = window.tile.within(window.region)
        phases = enlarged(base, window.region, window.tile, SCALE, "lanczos")
        enlarger = operator.session(operator.upscale().models()[0])
        for one, seen in ((enlarger, seen_by_net(base)), (session, planes)):
            change = apply_net(one, seen, origin=origin)
            phases += correction(change, SCALE, base.shape[2])[:, :, rows, columns]
        low, high = noisy_limits(base, sigma)
        pixels = interleave(limit(phases, low[rows, columns], high[rows, columns]))
        notes = (*session.notes, *([str(session.choice)] if session.choice.fell_back else []))
        return Judged(pixels, None, notes) if notes else pixels


def _color(picture: Pixels) -> Pixels:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
