"""Keep the provenance planes true when fixes are taken back or applied again.

They lie in a file of their own or as layers of the frame (`render.planes`); either way the pixels
of the fix get class, fix and origin of what now stands there, and no other sample changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.io.exr import ExrPayload
from wetgate.io.exr_planes import read_planes
from wetgate.io.oiio import Samples
from wetgate.model.frame import Frame
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.manifest import FrameRecord
from wetgate.render.planes import LAYER_PREFIX, Sidecar


@dataclass(frozen=True, slots=True)
class Custody:
    """What the planes are to say of some pixels.

    Attributes:
        x, y: the pixels. values: of each plane that tells of fixes, by its name.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    values: Mapping[str, Samples]


def custody_of(tiles: Tiles, at: NDArray[np.intp], frame: int, *, applied: bool) -> Custody:
    """Return what is true of pixels of the tile data once their fixes are in force, or not."""
    owners = np.repeat(tiles.number, np.diff(tiles.first))[at]
    origins = tiles.origins[at]
    borrowed = origins.any(axis=1)
    source = np.where(borrowed, np.float32(frame) + origins[:, 0], np.float32(0))
    values: dict[str, Samples] = {
        "class": tiles.classes[at].astype(np.uint32),
        "fix": owners.astype(np.uint32),
        "source": source.astype(np.float32),
        "offset.x": origins[:, 1],
        "offset.y": origins[:, 2],
    }
    if not applied:
        values = {name: np.zeros_like(value) for name, value in values.items()}
    return Custody(tiles.x[at], tiles.y[at], values)


def put_layers(frame: Frame, custody: Custody) -> Frame:
    """Return the frame with its provenance layers, if it has any, telling of the pixels."""
    payload = frame.header.payload
    if not isinstance(payload, ExrPayload):
        return frame
    wanted = {LAYER_PREFIX + name: value for name, value in custody.values.items()}
    there = [(at, payload.names[n]) for at, n in enumerate(frame.channels)]
    drawn = [(at, name) for at, name in there if name in wanted]
    if drawn:
        pixels = frame.pixels.copy()
        for at, name in drawn:
            pixels[custody.y, custody.x, at] = wanted[name]
        frame = frame.replace_pixels(pixels, color_space=frame.color_space)
    planes = []
    for plane in payload.planes:
        columns = [(at, name) for at, name in enumerate(plane.channels) if name in wanted]
        if columns and plane.part == payload.part:
            samples = plane.samples.copy()
            for at, name in columns:
                samples[custody.y, custody.x, at] = wanted[name]
            plane = replace(plane, samples=samples)
        planes.append(plane)
    header = replace(frame.header, payload=replace(payload, planes=tuple(planes)))
    return replace(frame, header=header)


def write_sidecar(
    stack: ExitStack,
    record: FrameRecord,
    origin: Path,
    target: Path,
    frame: Frame,
    custody: Custody,
) -> tuple[FrameRecord, Sidecar | None]:
    """Write the planes that lie beside a frame anew, to be committed with the frame.

    Args:
        origin, target: output directories to read from and write to.

    Returns:
        The record with the digest of the planes, and the file to commit; None without planes or
        where they are gone, which `verify` tells anyway.

    Raises:
        FrameReadError: damaged. DiskFull, OutputError, VerifyFailed: they cannot be written.
    """
    if not record.provenance_file:
        return record, None
    name = Path(record.provenance_file)
    inside = Path(name.parent.name) / name.name  # whatever the record says, nowhere else
    if not (origin / inside).exists():
        return record, None
    planes = read_planes(origin / inside)
    for plane, value in custody.values.items():
        if plane in planes:
            samples = np.ascontiguousarray(planes[plane])
            samples = samples.copy()
            samples[custody.y, custody.x] = value
            planes[plane] = samples
    planes = {plane: np.ascontiguousarray(samples) for plane, samples in planes.items()}
    sidecar = stack.enter_context(Sidecar(target / inside, frame, planes))
    return replace(record, provenance=sidecar.digest), sidecar
