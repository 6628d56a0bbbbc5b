"""The network of deartifact: a bounded correction of what the classical step made.

It sees the frame and its neighbors, aligned by their flow, as differences from the classical
result in units of the estimated coding error, and answers in that unit: the same numbers mean
the same on a lightly and on a heavily coded shot, and values far from the range of a display
change nothing but their neighbors' differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.backends import Session, apply_net, load_session
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import Window
from wetgate.operators.deartifact.classical import (
    REACH,
    Planes,
    flows_of,
    frame_in_region,
    to_planes,
)
from wetgate.operators.deartifact.grid import BLOCK
from wetgate.weights import ModelPackage, find_model

INPUTS = (
    "source.y - base.y in errors",
    "before.y - base.y in errors",
    "after.y - base.y in errors",
    "4 (base.y - 0.5)",
    "4 base.cb",
    "4 base.cr",
    "source.cb - base.cb in errors",
    "source.cr - base.cr in errors",
    "half of log2 of the error in 8-bit codes",
    "beside a vertical block border",
    "beside a horizontal block border",
)
OUTPUTS = ("correction.y in errors", "correction.cb in errors", "correction.cr in errors")
LIMIT = 4.0
"""Largest correction of the classical result, in coding errors."""
WARP_HALO = REACH + 4
_MOST = 8.0
_SEEN = 4.0
_DOUBT, _REFUSED = 1.5, 2.5
"""RMS correction of a block in coding errors: from the first on it is faded out, from the second
on it is gone. In the material of the training it stays under 1."""
NOTE = "network held back where it would change more than coding can have"


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
        package = find_model(self.name)
        if package.card.inputs != INPUTS or package.card.outputs != OUTPUTS:
            raise ModelLoadError(
                f"{package.card.name} takes {len(package.card.inputs)} planes of another kind",
                path=package.folder,
                expected=f"the {len(INPUTS)} planes of deartifact",
                remedy="name a network of this operator, or leave net at auto",
            )
        return package

    def session(self) -> Session:
        """Return the session; loaded once a process."""
        return load_session(self.package, backend=self.backend, precision=self.precision)

    @property
    def halo(self) -> int:
        """Return the px of context that the network and the guard need."""
        return self.package.card.halo + 2 * BLOCK


def net_planes(window: Window, error: float, offset: tuple[int, int]) -> Planes:
    """Return what the network sees, `(11, height, width)` over the window's region.

    Args:
        window: of a stage after the classical one, radius 1: `previous` is the classical result.
        error: estimated RMS error of luma. offset: corner of the codec's blocks.
    """
    middle = len(window.pixels) // 2
    base = _three(to_planes(window.previous[middle]))
    source = _three(to_planes(window.center))
    unit = np.float32(1.0 / error)
    planes = np.empty((len(INPUTS), *base.shape[1:]), np.float32)
    planes[0] = (source[0] - base[0]) * unit
    for slot, luma in zip((1, 2), _aligned(window, source[0]), strict=True):
        planes[slot] = (luma - base[0]) * unit
    planes[3] = _SEEN * (base[0] - np.float32(0.5))
    planes[4:6] = _SEEN * base[1:]
    planes[6:8] = (source[1:] - base[1:]) * unit
    planes[8] = 0.5 * np.log2(255.0 * error)
    planes[9] = _borders(window.region.x0, window.region.x1, offset[0])[None, :]
    planes[10] = _borders(window.region.y0, window.region.y1, offset[1])[:, None]
    # The network's sight is limited, not the picture: it was trained on no more than this.
    return np.clip(planes, -_MOST, _MOST, out=planes)


def corrected(
    base: NDArray[np.float32], change: Planes, error: float, region: Box
) -> tuple[Planes, NDArray[np.float32] | None]:
    """Return the bounded correction of planes, and how much of it was let through.

    The second is `(height, width)`, 0 where the correction was held back altogether; None where
    all of it passed. Blocks of 8 x 8 px anchored at (0, 0) of the full frame whose correction is
    implausibly large keep the classical result; weights run linearly between their middles.

    Args:
        base: pixels that are corrected; a gray picture takes luma's correction alone.
        change: what the network said, in errors. region: the box of the arrays.
    """
    bounded = np.clip(change[: min(base.shape[2], 3)], -LIMIT, LIMIT)
    side, top = -region.x0 % BLOCK, -region.y0 % BLOCK
    rows, columns = (region.height - top) // BLOCK, (region.width - side) // BLOCK
    passed: NDArray[np.float32] | None = None
    if rows > 0 and columns > 0:
        part = bounded[0, top : top + BLOCK * rows, side : side + BLOCK * columns]
        energy = part.reshape(rows, BLOCK, columns, BLOCK).astype(np.float64) ** 2
        size = np.sqrt(energy.mean(axis=(1, 3)))
        trust = np.clip((_REFUSED - size) / (_REFUSED - _DOUBT), 0.0, 1.0)
        if trust.min() < 1.0:
            y = (np.arange(region.height) - top + 0.5) / BLOCK - 0.5
            x = (np.arange(region.width) - side + 0.5) / BLOCK - 0.5
            passed = _between(trust, y, x)
            bounded = bounded * passed
    scaled: Planes = bounded * np.float32(error)
    return scaled, passed


def run(
    choice: NetChoice, planes: Planes, region: Box, unit: float = 1.0
) -> tuple[Planes, tuple[str, ...]]:
    """Run the network on the planes of a region; return its answer and notes for the report.

    Args:
        unit: the coding error that the planes are in units of.
    """
    session = choice.session()
    change = apply_net(session, planes, origin=(region.y0, region.x0), unit=unit)
    said = session.choice
    return change, (*session.notes, *([str(said)] if said.fell_back else []))


def _three(planes: Planes) -> Planes:
    if planes.shape[0] == 3:
        return planes
    gray = np.zeros((3, *planes.shape[1:]), np.float32)
    gray[0] = planes[0]
    return gray


def _aligned(window: Window, center: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
    """Return luma of the frames before and after, warped; the center's where it is not seen."""
    found = []
    middle = len(window.pixels) // 2
    flows = flows_of(window)
    for k in (middle - 1, middle + 1):
        flow = flows[k]
        if flow is None:
            found.append(center)
            continue
        luma = np.ascontiguousarray(to_planes(window.pixels[k])[:1])
        warped, seen = _native.warp(
            luma,
            flow.vectors,
            frame_in_region(window),
            (window.region.x0, window.region.y0),
            flow.scale,
            float(REACH),
        )
        found.append(np.where(seen > 0, warped[0], center))
    return found


def _borders(start: int, end: int, offset: int) -> NDArray[np.float32]:
    """Return 1 for the two pixels at each block border along an axis, else 0."""
    phase = (np.arange(start, end) - offset) % BLOCK
    beside = (phase == 0) | (phase == BLOCK - 1)
    return np.asarray(beside, np.float32)


def _between(
    trust: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Run linearly between the middles of blocks; beyond the outermost ones go on level."""
    rows = np.arange(trust.shape[0], dtype=np.float64)
    columns = np.arange(trust.shape[1], dtype=np.float64)
    out = np.empty((y.size, x.size), np.float32)
    down = np.stack([np.interp(y, rows, trust[:, k]) for k in range(columns.size)], axis=1)
    for k in range(y.size):
        out[k] = np.interp(x, columns, down[k])
    return out
