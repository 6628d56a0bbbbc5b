"""Denoise and enlarge in one: the classical passes, then one correction for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from wetgate.backends import apply_net, check_names, load_session
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
)
from wetgate.operators.denoise.net import spatial_planes
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise.shot import is_idle, shot_noise
from wetgate.operators.denoise.stages import ThirdPass
from wetgate.operators.denoise_upscale.planes import NAMES, noisy_limits
from wetgate.operators.upscale.kernels import RADIUS
from wetgate.operators.upscale.operator import (
    MARGIN,
    correction,
    enlarged,
    finish,
    finish_reach,
    limits_in_light,
)
from wetgate.operators.upscale.resample import LIMIT_REACH, enlarge, interleave, limit, limits
from wetgate.weights.card import ModelCard
from wetgate.weights.library import find_model

SCALE = 2
SHIPPED = "wg-denoise-upscale2"
_SOFT_REACH = 2
"""Px that the planes of the denoise networks look at around."""
_IDLE = "no noise was found: enlarged without the joint network; upscale has one for clean frames"


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseUpscaleOperator:
    """Remove noise and make the picture twice as large.

    Args:
        radius, step, sigma_scale: of the classical denoise passes, as in `denoise`.
        net: "auto" for the joint network that comes with wetgate, "none" for none, or a model.
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
        """Return the classical passes that come first."""
        return DenoiseOperator(
            radius=self.radius, step=self.step, sigma_scale=self.sigma_scale, net="none"
        )

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        footprints = [stage.footprint for stage in self.stages]
        card = self.card()
        return OperatorSpec(
            name="denoise-upscale",
            version=1,
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
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the three passes of denoise and the one that enlarges."""
        *passes, last = self.denoise().stages
        if not isinstance(last, ThirdPass):
            raise TypeError("the classical denoise ends with its third pass")
        return (*passes, replace(last, exact_output=True), _Enlarge(self))

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise of a shot, as `denoise` does."""
        return self.denoise().analyse(read, frames, facts)

    def models(self) -> tuple[str, ...]:
        """Return the name of the network that runs, if one does."""
        if self.net == "none":
            return ()
        return (SHIPPED if self.net == "auto" else self.net,)

    def without_network(self) -> DenoiseUpscaleOperator:
        """Return the classical denoise followed by the classical upscale."""
        return replace(self, net="none")

    def resample(self, pixels: Pixels) -> Pixels:
        """Return pixels, noise and all, at twice the size by Lanczos3 within the limits."""
        return interleave(limit(enlarge(pixels, SCALE), *limits(pixels, MARGIN)))

    def card(self) -> ModelCard | None:
        """Return the card of the network that runs, if one does.

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
        card, rounds = self.operator.card(), self.operator.back_projection
        halo = RADIUS + finish_reach(rounds)
        if card is not None:  # a shot without noise takes the other way
            halo = max(halo, card.halo + _SOFT_REACH)
        return Footprint(
            halo=max(halo, LIMIT_REACH),
            scale=Fraction(SCALE),
            bytes_per_pixel=6 * 12 * SCALE**2 + (0 if card is None else 4 * 160),
        )

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        operator, base = self.operator, window.previous[0]
        if operator.net == "none":
            return self._plain(window, facts)
        if is_idle(analysis, facts):
            return Judged(self._plain(window, facts), None, (_IDLE,))
        noise = shot_noise(analysis, operator.sigma_scale)
        sigma = noise.sigma(base)
        session = load_session(
            operator.models()[0], backend=operator.backend, precision=operator.precision
        )
        color = map(_color, (base, window.center, sigma))
        planes = spatial_planes(*color, flatness=noise.flatness)
        change = apply_net(session, planes, origin=(window.region.y0, window.region.x0))
        rows, columns = window.tile.within(window.region)
        phases = enlarged(base, window.region, window.tile, SCALE, "lanczos")
        phases += correction(change, SCALE, base.shape[2])[:, :, rows, columns]
        low, high = noisy_limits(base, sigma)
        pixels = interleave(limit(phases, low[rows, columns], high[rows, columns]))
        notes = (*session.notes, *([str(session.choice)] if session.choice.fell_back else []))
        return Judged(pixels, None, notes) if notes else pixels

    def _plain(self, window: Window, facts: SourceFacts) -> Pixels:
        rounds = self.operator.back_projection
        base = window.previous[0]
        inner = window.tile.grown(finish_reach(rounds))
        phases = enlarged(base, window.region, inner, SCALE, "lanczos")
        low, high = limits_in_light(base) if facts.is_log_working else limits(base, MARGIN)
        rows, columns = inner.within(window.region)
        bounds = low[rows, columns], high[rows, columns]
        finish(phases, base[rows, columns], bounds, rounds, facts.is_log_working)
        rows, columns = window.tile.within(inner)
        return interleave(phases[:, :, rows, columns])


def _color(picture: Pixels) -> Pixels:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
