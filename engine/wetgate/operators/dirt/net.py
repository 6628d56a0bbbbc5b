"""The network of dirt: it corrects how likely a pixel is dirt. It never paints one.

It sees the evidence in deviations of noise around a pixel, and answers with a bounded correction
of the classical logit. Pixels that do not stand out are never asked about. What is delivered in
place of dirt comes from other frames, whatever the network says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.backends import Session, apply_net, load_session
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import Window
from wetgate.operators.dirt.confidence import PIXEL_FEATURES, Suspects
from wetgate.operators.dirt.features import STEPS, Evidence, Plane, around
from wetgate.weights import ModelCard, ModelPackage, recall_model

SHIPPED = "wg-dirt"
INPUTS = (
    "difference from the frame before, deviations",
    "difference from the frame after, deviations",
    "difference from the second frame before, deviations",
    "difference from the second frame after, deviations",
    "excess over the neighbors' range, deviations",
    "smoothed difference from the middle of the neighbors, deviations",
    "that difference in the mean of 7 x 7 px, deviations",
    "luma less its mean of 15 x 15 px, deviations",
    "disagreement of the neighbors, deviations",
    "trust in motion",
    "a quarter of the classical logit",
    "evenness of the change over the channels",
    "half of the sides in time that are seen",
    "excess over all that the neighbors' own px about the place have, deviations",
    "echo in the neighbors",
    "range of 3 x 3 px in the neighbor where it is least, deviations",
)
OUTPUTS = ("correction of the logit",)
ENCODING = (
    "luma in deviations of the noise of the shot; what is in deviations as 2 asinh(x / 2); the "
    "logit -2, the evenness, the excess over the neighbors' own px and the echo 0 where nothing "
    "stands out"
)
LIMIT = 8.0
"""Largest correction of the logit."""
QUIET = -8.0
"""Logit of what does not stand out."""
_LOCAL = 7


@dataclass(frozen=True, slots=True)
class NetChoice:
    """Which network runs, and on what."""

    name: str
    backend: str = "auto"
    precision: str = "fp32"

    @property
    def package(self) -> ModelPackage:
        """Return the model package.

        Raises:
            ModelLoadError: no such model, or one that does not take what this operator shows.
        """
        package = recall_model(self.name)
        if package.card.inputs != INPUTS or package.card.outputs != OUTPUTS:
            raise ModelLoadError(
                f"{package.card.name} takes {len(package.card.inputs)} planes of another kind",
                path=package.folder,
                expected=f"the {len(INPUTS)} planes of dirt",
                remedy="name a network of this operator, or leave net at auto",
            )
        return package

    def session(self) -> Session:
        """Return the session; loaded once a process."""
        return load_session(self.package, backend=self.backend, precision=self.precision)

    @property
    def halo(self) -> int:
        """Return the px of context that the network needs."""
        return self.package.card.halo


def net_planes(seen: Evidence, found: Suspects, logit: NDArray[np.float64]) -> Plane:
    """Return what the network sees, `(16, h, w)` over the window's region."""
    planes = np.zeros((len(INPUTS), *seen.luma.shape), np.float32)
    slots = {-1: 0, 1: 1, -2: 2, 2: 3}
    for neighbor in seen.neighbors:
        if neighbor.distance in slots:
            planes[slots[neighbor.distance]] = _compressed(
                neighbor.difference * np.float32(1.0 / STEPS)
            )
    planes[4] = _compressed(seen.rank)
    planes[5] = _compressed(seen.smooth)
    planes[6] = _compressed(seen.wide)
    steps = np.rint(seen.luma * np.float32(STEPS))
    planes[7] = _compressed((steps - around(steps, _LOCAL)) * np.float32(1.0 / STEPS))
    planes[8] = _compressed(seen.disagreement)
    planes[9] = seen.trust
    planes[10] = 0.25 * QUIET
    planes[10, found.y, found.x] = 0.25 * np.clip(logit, QUIET, -QUIET)
    planes[11, found.y, found.x] = found.features[PIXEL_FEATURES.index("evenness")]
    planes[12] = 0.5 * seen.sides.astype(np.float32)
    planes[13, found.y, found.x] = _compressed(found.beyond.astype(np.float32))
    planes[14, found.y, found.x] = found.echo
    planes[15] = _compressed(seen.texture)
    return planes


def refined(
    choice: NetChoice,
    window: Window,
    seen: Evidence,
    found: Suspects,
    logit: NDArray[np.float64],
    *,
    within: Box | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the corrected logit of every suspect, and notes for the report.

    Args:
        within: px of the full frame whose suspects count; those outside keep their logit. None
            for all. What the network makes of a suspect does not depend on it.
    """
    session = choice.session()
    notes = (*session.notes, *([str(session.choice)] if session.choice.fell_back else []))
    if found.y.size == 0:
        return logit, notes
    region = window.region
    seen_by = region if within is None else _around(within, session.card).intersect(region)
    rows, columns = seen_by.within(region)
    planes = np.ascontiguousarray(net_planes(seen, found, logit)[:, rows, columns])
    change = np.zeros(seen.luma.shape, np.float32)
    change[rows, columns] = apply_net(session, planes, origin=(seen_by.y0, seen_by.x0))[0]
    if within is not None:
        inside = within.intersect(region).within(region)
        kept = np.zeros_like(change)
        kept[inside] = change[inside]
        change = kept
    bounded = np.clip(change[found.y, found.x], -LIMIT, LIMIT).astype(np.float64)
    return np.clip(logit, QUIET, -QUIET) + bounded, notes


def _around(box: Box, card: ModelCard) -> Box:
    """Return a box with the network's halo, on the grid of its strides: nothing is padded."""
    m, wide = card.size_multiple, box.grown(card.halo)
    return Box(wide.x0 // m * m, wide.y0 // m * m, -(-wide.x1 // m) * m, -(-wide.y1 // m) * m)


def _compressed(values: Plane) -> Plane:
    """Return values as they are below 1 and on a log scale far above."""
    return np.asarray(2 * np.arcsinh(values / 2), np.float32)
