"""The model operator: run any imported network on frames of any range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from wetgate.backends import Session, apply_net, check_names, load_session
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError, UnsupportedImage
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
from wetgate.operators.imported import exposure
from wetgate.operators.imported.windows import apply_in_windows
from wetgate.operators.upscale.kernels import RADIUS as KERNEL_RADIUS
from wetgate.operators.upscale.resample import enlarge, interleave
from wetgate.weights import ModelCard, find_model

PLANES = (("r", "g", "b"), ("y",))
"""Names of the planes of the networks that this operator runs: a picture in, a picture out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOperator:
    """Run a network that was imported with `wetgate models add`.

    What the network changes is added to the source, or to the source enlarged: values that it
    does not touch keep their bits, and those below 0 and above 1 come through.

    Args:
        name: of the model package, or its folder.
        backend, precision: see `wetgate models`.

    Caveats:
        There is no classical path: a policy that does not let inferred pixels in refuses the
        recipe. A gray frame goes through a color network thrice, and the mean is taken; a color
        frame through a gray network channel by channel.
    """

    name: str
    backend: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be that of a model package, got {self.name!r}")
        check_names(self.backend, self.precision)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts, as the card of the network has them.

        Raises:
            ModelLoadError: no such model, or one that takes more than a picture.
        """
        card = self._card()
        return OperatorSpec(
            name="model",
            version=1,
            footprint=_footprint(card),
            working_space="log",
            provenance=Provenance.INFERRED,
            generative=card.generative,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the one stage."""
        return (_Run(self),)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure nothing."""
        del read, frames, facts
        return {}

    def models(self) -> tuple[str, ...]:
        """Return the name of the network."""
        return (self.name,)

    def without_network(self) -> None:
        """Return None: there is nothing to this step but its network."""
        return None

    def resample(self, pixels: Pixels) -> Pixels:
        """Return pixels at the new size by Lanczos alone."""
        scale = self._card().scale
        return pixels if scale == 1 else interleave(enlarge(pixels, scale))

    def _card(self) -> ModelCard:
        card = find_model(self.name).card
        frames = 2 * card.temporal_radius + 1
        if card.inputs not in PLANES or card.outputs != card.inputs or frames != 1:
            raise ModelLoadError(
                f"{card.name} takes {len(card.inputs)} planes of {frames} frames: "
                f"{', '.join(card.inputs[:8])}",
                expected="a picture of one frame in, a picture out",
                remedy=f"run it with the operator of its task, {card.task}",
            )
        return card


def _footprint(card: ModelCard) -> Footprint:
    told = card.options.get("bytes_per_pixel", 0)
    if card.options.get("window", 0) and isinstance(told, int):
        # One window at a time, of a tile that its halo makes three windows wide.
        told = told // 9
    own = 48 * 4 + 5 * 12 * card.scale**2
    return Footprint(
        halo=max(card.halo, KERNEL_RADIUS) + exposure.REACH,
        scale=Fraction(card.scale),
        bytes_per_pixel=own + (told if isinstance(told, int) else 0),
    )


@dataclass(frozen=True, slots=True)
class _Run(NoSurveys):
    operator: ModelOperator

    @property
    def footprint(self) -> Footprint:
        return self.operator.spec.footprint

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        source = window.center
        if source.shape[2] not in (1, 3):
            raise UnsupportedImage(
                f"a frame with {source.shape[2]} color channels", expected="1 or 3"
            )
        operator = self.operator
        session = load_session(
            operator.name, backend=operator.backend, precision=operator.precision
        )
        card, is_log = session.card, facts.is_log_working
        shown = exposure.to_display(source, is_log=is_log)
        offset, scale = exposure.local_range(shown)
        seen = (shown - offset) / scale
        made = _answer(session, seen, window)
        cut = window.tile.within(window.region)
        if card.scale == 1:
            pixels, classes = _added(
                source[cut], shown[cut], (made - seen[cut]) * scale[cut], is_log=is_log
            )
        else:
            plain = [_enlarged(p, card.scale, cut) for p in (shown, seen, scale)]
            pixels = exposure.from_display(plain[0] + (made - plain[1]) * plain[2], is_log=is_log)
            classes = None
        return Judged(pixels, classes, session.notes)


def _added(
    source: Pixels, shown: Pixels, change: Pixels, *, is_log: bool
) -> tuple[Pixels, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Add a change in what was shown to the source; where it is 0 the bits stay."""
    moved = change != 0.0
    if is_log:
        after = exposure.from_display(shown + change, is_log=True)
        change = after - exposure.from_display(shown, is_log=True)
    pixels = np.where(moved, source + change, source)
    classes = np.where(moved.any(axis=2), Provenance.INFERRED, Provenance.UNTOUCHED)
    return np.ascontiguousarray(pixels, np.float32), classes.astype(np.uint8)


def _enlarged(pixels: Pixels, scale: int, cut: tuple[slice, slice]) -> Pixels:
    return interleave(np.ascontiguousarray(enlarge(pixels, scale)[:, :, cut[0], cut[1]]))


def _answer(session: Session, seen: Pixels, window: Window) -> Pixels:
    """Return what the network makes of the tile, with as many channels as it was shown."""
    planes = np.ascontiguousarray(seen.transpose(2, 0, 1))
    wanted, given = len(session.card.inputs), len(planes)
    if wanted == given:
        made = _run(session, planes, window)
    elif wanted == 1:
        made = np.concatenate([_run(session, planes[k : k + 1], window) for k in range(given)])
    else:
        gray = _run(session, np.repeat(planes, wanted, axis=0), window)
        # Equal planes that the network leaves alone must keep their bits.
        third = np.array(1.0 / wanted, np.float32)
        made = gray[:1] + third * ((gray[1:2] - gray[:1]) + (gray[2:] - gray[:1]))
    return np.ascontiguousarray(made.transpose(1, 2, 0))


def _run(session: Session, planes: Pixels, window: Window) -> Pixels:
    region, tile = window.region, window.tile
    size = session.card.options.get("window", 0)
    if isinstance(size, int) and size > 0:
        return apply_in_windows(session, planes, region=region, tile=tile, window=size)
    made = apply_net(session, planes, origin=(region.y0, region.x0))
    scale = session.card.scale
    inner = Box(
        (tile.x0 - region.x0) * scale,
        (tile.y0 - region.y0) * scale,
        (tile.x1 - region.x0) * scale,
        (tile.y1 - region.y0) * scale,
    )
    return made[:, inner.y0 : inner.y1, inner.x0 : inner.x1]
