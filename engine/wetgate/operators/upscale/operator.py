"""The upscale operator: Lanczos without ringing, a network's correction, back-projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from wetgate.backends import apply_net, check_names, load_session
from wetgate.color.shaper import signed_log, signed_log_inverse
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    NoSurveys,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    Window,
)
from wetgate.operators.upscale.kernels import RADIUS
from wetgate.operators.upscale.planes import DETAIL_NAMES, DETAIL_REACH, detail
from wetgate.operators.upscale.resample import (
    LIMIT_REACH,
    REDUCE_REACH,
    Method,
    Phases,
    deinterleave,
    enlarge,
    interleave,
    limit,
    limits,
    reduce,
)
from wetgate.weights.card import ModelCard
from wetgate.weights.library import find_model

MARGIN = 1.0
"""See `resample.limits`; chosen on training pictures, where more gains nothing."""
_ROUND_REACH = REDUCE_REACH + 1
"""Small px that one round of back-projection looks farther: reduced, then enlarged bicubically.

Each kernel reaches its outermost pixel on the near side of a small pixel only. So three suffice,
and one more the first time, since limits and networks reach equally far on either side.
"""
_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOperator:
    """Make the picture two or four times as large.

    Args:
        scale: 2 or 4.
        method: "lanczos" (three lobes) or "ewa" (radial, three lobes of a windowed jinc); what the
            network corrects, and the result where there is none.
        net: "auto" for the network that comes with wetgate, "none" for none, or a model.
        back_projection: rounds (0-8) in which what the reduced result lacks is put back.
        backend, precision: see `wetgate models`.

    Caveats:
        A frame of one channel goes through the network as gray. Where the working encoding is
        wetgate's log of scene-linear the result is held to the source by the mean of the light
        over each pixel's square, elsewhere by the antialiased bicubic of its code values.
    """

    scale: int = 2
    method: str = "lanczos"
    net: str = "auto"
    back_projection: int = 2
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name in ("scale", "back_projection"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.scale not in (2, 4):
            raise ValueError(f"scale must be 2 or 4, got {self.scale}")
        if self.method not in ("lanczos", "ewa"):
            raise ValueError(f"method must be lanczos or ewa, got {self.method!r}")
        if not 0 <= self.back_projection <= _MOST_ROUNDS:
            raise ValueError(
                f"back_projection must lie in 0-{_MOST_ROUNDS}, got {self.back_projection}"
            )
        check_names(self.backend, self.precision)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        card = self._card()
        return OperatorSpec(
            name="upscale",
            version=1,
            footprint=self._footprint(card),
            working_space="log",
            provenance=Provenance.FILTERED if card is None else Provenance.INFERRED,
            generative=card is not None and card.generative,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the one stage."""
        return (_Upscale(self),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure nothing."""
        del read, frames, facts
        return {}

    def models(self) -> tuple[str, ...]:
        """Return the name of the network that runs, if one does."""
        if self.net == "none":
            return ()
        return (f"wg-upscale{self.scale}" if self.net == "auto" else self.net,)

    def without_network(self) -> UpscaleOperator:
        """Return the same upscale by resampling and back-projection alone."""
        return replace(self, net="none")

    def resample(self, pixels: Pixels) -> Pixels:
        """Return pixels at the new size by the kernel within the limits."""
        phases = enlarge(pixels, self.scale, self._kernel)
        return interleave(limit(phases, *limits(pixels, MARGIN)))

    @property
    def _kernel(self) -> Method:
        return "ewa" if self.method == "ewa" else "lanczos"

    def _card(self) -> ModelCard | None:
        names = self.models()
        if not names:
            return None
        card = find_model(names[0]).card
        if card.scale != self.scale or card.inputs != DETAIL_NAMES or len(card.outputs) != 3:
            raise ModelLoadError(
                f"{card.name} takes {', '.join(card.inputs)} and enlarges by {card.scale}",
                expected=f"{', '.join(DETAIL_NAMES)} and {self.scale}",
                remedy="name a network of wetgate's own kind, or leave net at auto",
            )
        return card

    def _footprint(self, card: ModelCard | None) -> Footprint:
        estimate = RADIUS if card is None else max(RADIUS, DETAIL_REACH + card.halo)
        return Footprint(
            halo=max(estimate, LIMIT_REACH) + finish_reach(self.back_projection),
            scale=Fraction(self.scale),
            # Six sets of phases of three channels; inside the network some 64 planes.
            bytes_per_pixel=6 * 12 * self.scale**2 + (0 if card is None else 4 * 192),
        )


@dataclass(frozen=True, slots=True)
class _Upscale(NoSurveys):
    operator: UpscaleOperator

    @property
    def footprint(self) -> Footprint:
        return self.operator.spec.footprint

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        operator, small = self.operator, window.center
        inner = window.tile.grown(finish_reach(operator.back_projection))
        phases = enlarged(small, window.region, inner, operator.scale, operator._kernel)
        if operator.net != "none":
            session = load_session(
                operator.models()[0], backend=operator.backend, precision=operator.precision
            )
            origin = window.region.y0, window.region.x0
            change = apply_net(session, seen_by_net(small), origin=origin)
            rows, columns = inner.within(window.region)
            phases += correction(change, operator.scale, small.shape[2])[:, :, rows, columns]
        low, high = limits_in_light(small) if facts.is_log_working else limits(small, MARGIN)
        rows, columns = inner.within(window.region)
        bounds = low[rows, columns], high[rows, columns]
        finish(phases, small[rows, columns], bounds, operator.back_projection, facts.is_log_working)
        rows, columns = window.tile.within(inner)
        return interleave(phases[:, :, rows, columns])


def finish_reach(rounds: int) -> int:
    """Return the small px around a tile that back-projection needs the estimate on."""
    return rounds * _ROUND_REACH + (rounds > 0)


def enlarged(small: Pixels, region: Box, inner: Box, scale: int, method: Method) -> Phases:
    """Enlarge the part `inner` of pixels that cover `region`, at least `RADIUS` px more."""
    rows, columns = inner.grown(RADIUS).within(region)
    cut = slice(RADIUS, RADIUS + inner.height), slice(RADIUS, RADIUS + inner.width)
    return enlarge(small[rows, columns], scale, method)[:, :, cut[0], cut[1]]


def limits_in_light(small: Pixels) -> tuple[Pixels, Pixels]:
    """Return the `limits` for wetgate's log encoding of scene-linear.

    Standing out by as much again on a log scale squares a light: 1000 beside 1 would allow
    1,000,000. So a peak is measured in light, and where nothing around is negative nothing may
    become so.
    """
    low, high = limits(small, MARGIN)
    lowest, _ = limits(small, 0.0)
    _, brightest = limits(signed_log_inverse(small), MARGIN)
    return np.maximum(low, np.minimum(lowest, 0)), np.minimum(high, signed_log(brightest))


def seen_by_net(small: Pixels) -> Pixels:
    """Return the planes `(3, height, width)` that the networks see; gray thrice."""
    color = small if small.shape[2] == 3 else np.repeat(small[..., :1], 3, axis=2)
    return np.ascontiguousarray(detail(color).transpose(2, 0, 1))


def correction(planes: Pixels, scale: int, channels: int) -> Phases:
    """Return what a network adds, `(3, height, width)`, as phases; for gray the mean."""
    if channels == 1:
        planes = (planes[:1] + planes[1:2] + planes[2:]) * np.float32(1 / 3)
    return deinterleave(planes.transpose(1, 2, 0), scale)


def finish(
    phases: Phases, small: Pixels, bounds: tuple[Pixels, Pixels], rounds: int, linear: bool
) -> None:
    """Hold phases, in place, within the limits of the small picture and make them reduce to it.

    A round adds what the reduced result still lacks, enlarged. Every round ends within the limits,
    so it adds no ringing; where the two disagree the limits win.

    Args:
        bounds: lowest and highest value of each small pixel's large ones.
        linear: the encoding is wetgate's log; reduce by area in light, which knows no negative
            lobes, and compare in the log, where a round's step is relative.

    Source: Irani, Peleg, "Improving resolution by image registration", CVGIP 53 (1991).
    """
    limit(phases, *bounds)
    for _ in range(rounds):
        phases += enlarge(small - _reduced(phases, linear), phases.shape[0], "bicubic")
        limit(phases, *bounds)


def _reduced(phases: Phases, linear: bool) -> Pixels:
    if linear:
        return signed_log(reduce(signed_log_inverse(phases), "area"))
    return reduce(phases)
