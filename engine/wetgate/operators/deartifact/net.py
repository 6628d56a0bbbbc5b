"""The network of deartifact: a bounded correction of what the classical step made.

It sees the frame, its aligned neighbors and luma with more and with fewer samples dropped, all as
differences from the classical result in units of the estimated coding error, and answers in that
unit: the same numbers mean the same on a lightly and on a heavily coded shot, and values far from
the range of a display change nothing but their neighbors' differences.
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
from wetgate.operators.deartifact import borders
from wetgate.operators.deartifact.classical import (
    REACH,
    Planes,
    flows_of,
    frame_in_region,
    to_planes,
)
from wetgate.operators.deartifact.coding import Coding
from wetgate.operators.deartifact.grid import BLOCK
from wetgate.weights import ModelPackage, find_model

DROPS = (0.5, 1.0, 1.8, 3.0, 4.5)
"""One error for a whole shot is wrong almost everywhere: how much to drop is the network's choice,
in errors."""
INPUTS = (
    "4 (base.y - 0.5)",
    "half of base.y less its surroundings in errors",
    "half of source.y - base.y in errors",
    "half of before.y - base.y in errors",
    "half of after.y - base.y in errors",
    *(f"half of y with samples below {drop:g} errors dropped - base.y in errors" for drop in DROPS),
    "4 base.cb",
    "4 base.cr",
    "half of source.cb - base.cb in errors",
    "half of source.cr - base.cr in errors",
    "half of log2 of the error in 8-bit codes",
    "half of log2 of 1 + the quantiser's step in 8-bit codes",
    "jump at block borders in errors",
    "how far from the middle of a block along x",
    "how far from the middle of a block along y",
)
OUTPUTS = ("correction.y in errors", "correction.cb in errors", "correction.cr in errors")
LIMIT = 8.0
"""Largest correction of the classical result, in coding errors."""
_SIGHT = 2
_MOST, _MOST_ABRUPT = 4.0, 2.0
_CODES = 255.0
_SEEN = 4.0
DOUBT, REFUSED = 1.5, 2.5
"""RMS correction of a block in coding errors: from the first on it is faded out, from the second
on it is gone. In the material of the training it stays under 1."""
ABRUPT = 0.75
"""Least jump at block borders, in coding errors, for which the network is asked. Of 40 clips each,
held out, 36 of JPEG lie above it, 3 of MPEG-2, none of H.264 (0.24 at most). Below it the network
lost on some clips, and left more mosquito noise than the classical step does."""
NOT_ASKED = "network not asked: blocks do not end as abruptly as after JPEG"
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
        """Return the px of context that the network, its sight, guard and borders need."""
        return self.package.card.halo + _SIGHT + 2 * BLOCK + borders.HALO


def net_planes(window: Window, base: Planes, shrunk: Planes, coding: Coding) -> Planes:
    """Return what the network sees, `(19, height, width)` over the window's region.

    Args:
        window: of the classical step, radius 1.
        base: planes of the classical result. shrunk: luma with samples below `DROPS` dropped.
        coding: with a grid on whole pixels.
    """
    assert coding.offset is not None  # without a grid no network runs
    base, source = _three(base), _three(to_planes(window.center))
    before, after = _aligned(window, source[0])
    unit = np.float32(0.5 / coding.error)
    planes = np.empty((len(INPUTS), *base.shape[1:]), np.float32)
    planes[0] = _SEEN * (base[0] - np.float32(0.5))
    planes[1] = (base[0] - _softened(base[0])) * unit
    for slot, luma in enumerate((source[0], before, after, *shrunk), 2):
        planes[slot] = (luma - base[0]) * unit
    planes[10:12] = _SEEN * base[1:]
    planes[12:14] = (source[1:] - base[1:]) * unit
    planes[14] = 0.5 * np.log2(_CODES * coding.error)
    planes[15] = 0.5 * np.log2(1.0 + _CODES * coding.step * coding.error)
    planes[16] = min(max(coding.abrupt, 0.0), _MOST_ABRUPT)
    planes[17] = _from_middle(window.region.x0, window.region.x1, coding.offset[0])[None, :]
    planes[18] = _from_middle(window.region.y0, window.region.y1, coding.offset[1])[:, None]
    # The network's sight is limited, not the picture: it was trained on no more than this.
    return np.clip(planes, -_MOST, _MOST, out=planes)


def corrected(
    change: Planes, count: int, error: float, region: Box
) -> tuple[Planes, NDArray[np.float32] | None]:
    """Return the bounded correction of planes, and how much of it was let through.

    The second is `(height, width)`, 0 where the correction was held back altogether; None where
    all of it passed. Blocks of 8 x 8 px anchored at (0, 0) of the full frame whose correction is
    implausibly large keep the classical result; weights run linearly between their middles.

    Args:
        change: what the network said, in errors. region: its box.
        count: planes that are corrected; a gray picture takes luma's correction alone.
    """
    bounded = np.clip(change[:count], -LIMIT, LIMIT)
    side, top = -region.x0 % BLOCK, -region.y0 % BLOCK
    rows, columns = (region.height - top) // BLOCK, (region.width - side) // BLOCK
    passed: NDArray[np.float32] | None = None
    if rows > 0 and columns > 0:
        part = bounded[0, top : top + BLOCK * rows, side : side + BLOCK * columns]
        energy = part.reshape(rows, BLOCK, columns, BLOCK).astype(np.float64) ** 2
        size = np.sqrt(energy.mean(axis=(1, 3)))
        trust = np.clip((REFUSED - size) / (REFUSED - DOUBT), 0.0, 1.0)
        if trust.min() < 1.0:
            y = (np.arange(region.height) - top + 0.5) / BLOCK - 0.5
            x = (np.arange(region.width) - side + 0.5) / BLOCK - 0.5
            passed = _between(trust, y, x)
            bounded = bounded * passed
    scaled: Planes = bounded * np.float32(error)
    return scaled, passed


def run(
    choice: NetChoice, planes: Planes, region: Box, offset: tuple[int, int], unit: float = 1.0
) -> tuple[Planes, tuple[str, ...]]:
    """Run the network on the planes of a region; return its answer and notes for the report.

    The network's own strides start at a corner of the codec's blocks, as in its training.

    Args:
        offset: corner of the codec's blocks in the frame.
        unit: the coding error that the planes are in units of.
    """
    session = choice.session()
    origin = region.y0 - offset[1], region.x0 - offset[0]
    change = apply_net(session, planes, origin=origin, unit=unit)
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


def _from_middle(start: int, end: int, offset: int) -> NDArray[np.float32]:
    """Return -0.5 in the middle of a block to 0.5 beside its borders, along an axis."""
    phase = (np.arange(start, end) - offset) % BLOCK
    middle = 0.5 * (BLOCK - 1)
    return np.asarray(np.abs(phase - middle) / middle - 0.5, np.float32)


def _softened(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return luma under the binomial 1-4-6-4-1 both ways, rims repeated."""
    for axis in (0, 1):
        pad = [(2, 2) if a == axis else (0, 0) for a in (0, 1)]
        wide = np.pad(luma, pad, mode="edge")
        length = luma.shape[axis]
        parts = [
            np.float32(weight / 16) * wide.take(range(k, k + length), axis)
            for k, weight in enumerate((1, 4, 6, 4, 1))
        ]
        luma = parts[0] + parts[1] + parts[2] + parts[3] + parts[4]
    return luma


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
