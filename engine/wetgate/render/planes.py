"""Class, origin and fix of every pixel, written as an EXR sequence or as layers of the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from wetgate.io.atomic import AtomicFile, digest_bytes, digest_file, output_error
from wetgate.io.exr import ExrPayload
from wetgate.io.exr_planes import encode_planes, read_planes, write_planes
from wetgate.io.notation import numbered_like
from wetgate.io.sequence import FrameSequence
from wetgate.model.errors import UsageError, VerifyFailed
from wetgate.model.frame import Frame, ImageInfo
from wetgate.operators.base import Operator, TakesDecisions
from wetgate.render.fix_sink import Samples, WrittenFixes
from wetgate.render.fixing import FrameFixes
from wetgate.render.options import JobOptions

FOLDER = "provenance"
LAYER_PREFIX = "provenance."
PLANES_SCHEMA = "wetgate.provenance/1"
PLANES_BYTES = 40
"""Memory of the planes of one px while they are written to a file of their own, with some of
operators."""
LAYERS_BYTES = 128
"""The same where they go into the frame, which is written and read back once more with them."""
PLANES_DISK_BYTES = 4
"""On disk, about: most samples are 0, and ZIP makes next to nothing of those."""


def make_planes(written: WrittenFixes, fixes: FrameFixes | None) -> dict[str, Samples]:
    """Return the planes of a frame by name.

    `class` (uint32) is the provenance class, 0 for the source's samples. `fix` (uint32) is the
    number of the fix that made the pixel, 0 for none. Where a pixel was borrowed, `source` is the
    number of the frame and `offset.x`, `offset.y` the distance in px (all float32):
    out(p) = frame[source](p + offset); zeros elsewhere. Planes that operators name follow, rounded
    to half.
    """
    origins = written.origins
    borrowed = origins.any(axis=-1)
    source = np.where(borrowed, np.float32(written.frame) + origins[..., 0], np.float32(0))
    planes: dict[str, Samples] = {
        "class": written.classes.astype(np.uint32),
        "fix": written.made,
        "source": source.astype(np.float32),
        "offset.x": np.ascontiguousarray(origins[..., 1]),
        "offset.y": np.ascontiguousarray(origins[..., 2]),
    }
    if fixes is not None:
        planes |= {name: fixes.plane(name).astype(np.float16) for name in fixes.planes}
    return planes


def check_layers(path: Path, planes: Mapping[str, Samples], frame: Frame) -> None:
    """Read the planes beside a picture back.

    Raises:
        VerifyFailed: they are not those that were written.
    """
    payload = frame.header.payload
    part = payload.part if isinstance(payload, ExrPayload) else 0
    found = read_planes(path, prefix=LAYER_PREFIX, part=part)
    for name, samples in planes.items():
        got = found.get(name)
        if got is None or got.dtype != samples.dtype or got.tobytes() != samples.tobytes():
            raise VerifyFailed(
                f"the plane {name!r} read back differs from what was to be written",
                path=path,
                frame=frame.number,
                remedy="the storage or its driver is at fault; nothing was kept",
            )


class Sidecar:
    """The planes of one frame, written under a temporary name; a context that `commit` ends."""

    def __init__(self, target: Path, frame: Frame, planes: Mapping[str, Samples]) -> None:
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(error, target) from error
        self._atomic = AtomicFile(target)
        self.name = f"{FOLDER}/{target.name}"
        try:
            data = encode_planes(
                planes,
                data_window=frame.data_window,
                display_window=frame.display_window,
                pixel_aspect=frame.pixel_aspect,
                facts={"schema": PLANES_SCHEMA},
            )
            write_planes(self._atomic.temp, data)
            self.digest = digest_file(self._atomic.temp)
            if self.digest != digest_bytes(data):
                raise VerifyFailed(
                    "what was read back differs from what was to be written",
                    path=target,
                    frame=frame.number,
                    remedy="the storage or its driver is at fault; nothing was kept",
                )
        except BaseException:
            self._atomic.discard()
            raise

    def commit(self) -> None:
        """Give the file its name."""
        self._atomic.commit()

    def __enter__(self) -> Sidecar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._atomic.discard()


@dataclass(frozen=True, slots=True)
class PlanesOutput:
    """Where the planes of a job go.

    Attributes:
        target: the frames to be written. layers: into them; else into EXRs of their own.
    """

    target: FrameSequence
    layers: bool = False

    def path(self, number: int) -> Path:
        """Return where the planes of a frame are when they have a file of their own."""
        return self.target.directory / FOLDER / sidecar_name(self.target, number)

    def discard(self, number: int) -> None:
        """Remove the planes of a frame, which are those of another one now.

        Raises:
            OutputError: when they are there and cannot be removed.
        """
        path = self.path(number)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise output_error(error, path) from error

    def write(self, frame: Frame, planes: Mapping[str, Samples]) -> Sidecar:
        """Write the planes of a frame; raises `DiskFull`, `OutputError` or `VerifyFailed`."""
        return Sidecar(self.path(frame.number), frame, planes)


def planes_output(
    options: JobOptions,
    operators: Sequence[Operator],
    info: ImageInfo,
    target: FrameSequence,
    target_format: str,
) -> PlanesOutput | None:
    """Return where a job's planes go; None for nowhere.

    Raises:
        UsageError: layers were asked for, and the frames can have none or have some already.
    """
    asked = options.provenance
    if asked == "auto":
        repairs = any(isinstance(operator, TakesDecisions) for operator in operators)
        asked = "sidecar" if repairs else "none"
    if asked == "none":
        return None
    if asked == "layers":
        instead = "pass --provenance sidecar"
        if target_format != "exr":
            raise UsageError(
                f"{target_format} has no layers", expected="EXR frames", remedy=instead
            )
        taken = carried_planes(info)
        if taken:
            raise UsageError(
                f"the source has a channel {taken[0]!r} already",
                expected=f"a source without channels {LAYER_PREFIX}*",
                remedy=instead,
            )
    return PlanesOutput(target, layers=asked == "layers")


def carried_planes(info: ImageInfo) -> tuple[str, ...]:
    """Return the channels in which the source tells its own provenance, of an earlier run."""
    names = set(info.channels)
    payload = info.header.payload
    if isinstance(payload, ExrPayload):
        names |= {c.name for c in payload.header.parts[payload.part].channels}
    return tuple(sorted(name for name in names if name.startswith(LAYER_PREFIX)))


def sidecar_name(target: FrameSequence, number: int) -> str:
    """Return the file name of a frame's planes: `provenance` and the digits of the frame."""
    pattern = numbered_like(target.pattern, FOLDER, ".exr")
    return target.renamed(target.directory / FOLDER, pattern).name(number)
