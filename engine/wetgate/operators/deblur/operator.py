"""The deblur operator: measure the lens, sharpen by short filters, let a network correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from wetgate.backends import apply_net, check_names, load_session
from wetgate.backends.base import Session
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
from wetgate.operators.deblur.classical import (
    GUARD,
    LEAST_SIGMA,
    MOST_SIGMA,
    Design,
    Shape,
    decode,
    deconvolve,
    design,
    encode,
    halo_of,
    nearest_sigma,
    ring_bounds,
)
from wetgate.operators.deblur.planes import (
    INPUTS,
    MEAN_REACH,
    OUTPUTS,
    correction_limit,
    local_mean,
    net_planes,
)
from wetgate.operators.deblur.shot import analysis_bytes, measure_shot, noise_at, words
from wetgate.weights import ModelCard, find_model

MODEL = "wg-deblur"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeblurOperator:
    """Take back the small blur of a lens, a print or a focus slightly missed.

    Args:
        blur: "auto" measures it, or the standard deviation of the blur in px (0.35-2.6), which
            is then trusted. A disc of defocus has half its radius.
        net: "auto" for the network that comes with wetgate, "none" for none, or a model.
        backend, precision: see `wetgate models`.

    Caveats:
        Motion blur is measured and reported, never sharpened: with "auto" such a shot comes back
        bit for bit, and so do shots that are sharp already or whose edges are too few to tell.
        One width is used for the whole frame of a shot; the sharpest edges set it, so what is
        out of focus by intent stays soft.
    """

    blur: str | float = "auto"
    net: str = "auto"
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.blur != "auto":
            if isinstance(self.blur, str | bool):
                raise ValueError(f'blur must be "auto" or a number of px, got {self.blur!r}')
            if not LEAST_SIGMA <= self.blur <= MOST_SIGMA:
                raise ValueError(
                    f"blur must lie in {LEAST_SIGMA:g}-{MOST_SIGMA:g} px, got {self.blur}"
                )
        check_names(self.backend, self.precision)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        card = self._card()
        return OperatorSpec(
            name="deblur",
            version=1,
            footprint=self._footprint(card),
            working_space="linear",
            provenance=Provenance.FILTERED if card is None else Provenance.INFERRED,
            generative=card is not None and card.generative,
            needs_analysis=True,
            analysis_bytes=analysis_bytes,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the one stage."""
        return (_Deblur(self),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure blur and noise of a shot; see `shot`."""
        return measure_shot(read, frames, facts, self._told)

    def models(self) -> tuple[str, ...]:
        """Return the name of the network that runs, if one does."""
        if self.net == "none":
            return ()
        return (MODEL if self.net == "auto" else self.net,)

    def without_network(self) -> DeblurOperator:
        """Return the classical filters alone."""
        return replace(self, net="none")

    @property
    def _told(self) -> float | None:
        return None if isinstance(self.blur, str) else float(self.blur)

    def _card(self) -> ModelCard | None:
        names = self.models()
        if not names:
            return None
        card = find_model(names[0]).card
        if card.inputs != INPUTS or card.outputs != OUTPUTS or card.scale != 1:
            raise ModelLoadError(
                f"{card.name} takes {', '.join(card.inputs)}",
                expected=", ".join(INPUTS),
                remedy="name a network of wetgate's own kind, or leave net at auto",
            )
        return card

    def _footprint(self, card: ModelCard | None) -> Footprint:
        sigma = nearest_sigma(self._told or MOST_SIGMA)
        if card is None:
            return Footprint(halo=halo_of(sigma), bytes_per_pixel=160)
        return Footprint(halo=_rim(sigma) + _around(card), bytes_per_pixel=1100)


def _rim(sigma: float) -> int:
    """Return the px that the network's planes need around them."""
    return max(halo_of(sigma), MEAN_REACH)


def _around(card: ModelCard) -> int:
    """Return the px around a tile on which the network's planes are made."""
    return max(card.halo, GUARD)


@dataclass(frozen=True, slots=True)
class _Deblur(NoSurveys):
    operator: DeblurOperator

    @property
    def footprint(self) -> Footprint:
        return self.operator.spec.footprint

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        sigma = cast(float, analysis["sigma"])
        said = (words(analysis),)
        if sigma <= 0.0:
            return Judged(window.center[window.tile.within(window.region)], None, said)
        made = design(nearest_sigma(sigma), cast(Shape, analysis["shape"]))
        names = self.operator.models()
        if not names:
            rows, columns = window.tile.grown(made.reach).within(window.region)
            region = window.center[rows, columns]
            inner = region[made.reach : -made.reach, made.reach : -made.reach]
            return Judged(deconvolve(region, noise_at(analysis, encode(inner)), made), None, said)
        operator = self.operator
        session = load_session(names[0], backend=operator.backend, precision=operator.precision)
        return Judged(_corrected(window, analysis, made, session), None, (*said, *session.notes))


def _corrected(window: Window, analysis: Analysis, made: Design, session: Session) -> Pixels:
    """Sharpen the tile and what the network sees around it, and add the network's correction.

    The correction is counted in the logarithmic encoding, so that it is small where the light is
    small; it stays within `correction_limit` and `ring_bounds`, as the classical result does.
    """
    around = _around(session.card)
    wide = window.tile.grown(around)

    def grown(by: int) -> Pixels:
        return window.center[wide.grown(by).within(window.region)]

    logged = encode(grown(0))
    noise = noise_at(analysis, logged)
    linear = deconvolve(grown(made.reach), noise, made)
    classical = encode(linear)
    mean = local_mean(encode(grown(MEAN_REACH)))
    gray = logged.shape[2] == 1
    seen, shown = (np.repeat(p, 3, axis=2) if gray else p for p in (logged, classical))
    planes = net_planes(seen, shown, mean, made.sigma, noise)
    change = apply_net(session, planes, origin=(wide.y0, wide.x0)).transpose(1, 2, 0)
    if gray:
        change = ((change[..., 0] + change[..., 1] + change[..., 2]) / np.float32(3))[..., None]
    near = window.tile.grown(GUARD).within(wide)
    inner = window.tile.within(wide)
    limit = correction_limit(logged[near], classical[near], noise[near])
    low, high = ring_bounds(logged[near])
    base = classical[inner]
    moved = base + np.minimum(np.maximum(change[inner], -limit), limit)
    moved = np.minimum(np.maximum(moved, low), high)
    # By difference: where the network says nothing, not even the way to the logarithm and back
    # shows. Both are float32, and so is the sum.
    out: Pixels = linear[inner] + (decode(moved) - decode(base))
    return np.ascontiguousarray(out)
