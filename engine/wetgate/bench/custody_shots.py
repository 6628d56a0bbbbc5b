"""The shots that custody is measured on, written, restored, and read by other readers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import FIRST, NUMBERS, Plate, plates
from wetgate.bench.material import data_folder
from wetgate.io.exr_planes import encode_planes, write_planes
from wetgate.io.formats import write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import VerifyFailed
from wetgate.model.frame import Frame, SourceHeader
from wetgate.render.job import JobOptions, run_job
from wetgate.simulate import DamagedFrame, DamagedShot, GrainSpec, ScratchSpec, preset

RECIPE = "film-clean-only"
SEED = 5
_SCRATCHES = ScratchSpec(count=2.5)
_STRENGTHS = ("medium", "heavy", "light")

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A plate with dirt and scratches on it, 10-bit log codes by frame number."""

    name: str
    frames: Mapping[int, DamagedFrame]


def clips(data: Path | None) -> Iterator[tuple[str, Clip]]:
    """Yield clips, DPX and EXR in turn, each of other dirt and other scratches."""
    found, _ = plates(data_folder(data))
    kinds = ("DPX 10-bit", "EXR half")
    for round_, strength in enumerate(_STRENGTHS * 4):
        for at, plate in enumerate(found):
            yield kinds[(at + round_) % 2], _worn(plate, strength, SEED + round_)


def _worn(plate: Plate, strength: str, seed: int) -> Clip:
    spec = replace(preset(f"dirt-{strength}", seed), grain=GrainSpec(), scratches=_SCRATCHES)
    shot = DamagedShot(lambda n: plate.frames[n - FIRST], spec)
    name = f"{plate.name} | {strength}, scratched"
    return Clip(name=name, frames={n: shot[n] for n in NUMBERS})


@dataclass(frozen=True, slots=True)
class Shot:
    """A clip on disk, and what became of it."""

    plate: Path
    out: Path
    suffix: str
    space: str

    def source(self, number: int) -> Samples:
        """Return a frame of the scan."""
        return read_samples(self.plate / f"scan.{number}.{self.suffix}")

    def made(self, number: int) -> Samples:
        """Return a frame of the output."""
        return read_samples(self.out / f"scan.{number}.{self.suffix}")

    def planes(self, number: int) -> Mapping[str, Samples]:
        """Return the provenance planes of a frame by name."""
        return exr_planes(self.out / "provenance" / f"provenance.{number}.exr")

    def options(self, out: Path, **more: Any) -> JobOptions:
        """Return the job that restores the scan into a folder."""
        return JobOptions(
            plate=self.plate, out=out, recipe=RECIPE, input_space=self.space,
            policy="archival", **more,
        )  # fmt: skip


def restore(folder: Path, kind: str, clip: Clip) -> Shot:
    """Write a clip into a folder as files of a kind, and restore it there.

    Raises:
        VerifyFailed: a frame could not be restored.
    """
    dpx = kind.startswith("DPX")
    suffix, space = ("dpx", "ACEScct") if dpx else ("exr", "ACEScg")
    plate = folder / "scan"
    plate.mkdir(parents=True)
    for number, damaged in clip.frames.items():
        path = plate / f"scan.{number}.{suffix}"
        if dpx:
            _write_dpx(path, number, damaged.pixels)
        else:
            _write_exr(path, from_acescct(damaged.pixels))
    shot = Shot(plate, folder / "out", suffix, space)
    report = run_job(shot.options(shot.out))
    if report.failed:
        raise VerifyFailed(f"{clip.name}: {report.failed[0].error}", path=shot.out)
    return shot


def _write_dpx(path: Path, number: int, pixels: NDArray[np.float32]) -> None:
    codes = np.clip(np.rint(pixels * np.float32(1023)), 0, 1023).astype(np.float32)
    height, width, _ = pixels.shape
    box = Box.of_size(width, height)
    frame = Frame(
        number=number,
        pixels=codes / np.float32(1023),
        channels=("R", "G", "B"),
        data_window=box,
        display_window=box,
        color_space="ACEScct",
        sample_type="uint10",
        header=SourceHeader(format="dpx"),
    )
    write_frame(frame, path, options=WriteOptions(format="dpx", file_name=path.name))


def _write_exr(path: Path, light: NDArray[np.float32]) -> None:
    box = Box.of_size(light.shape[1], light.shape[0])
    half = {name: light[..., i].astype(np.float16) for i, name in enumerate("RGB")}
    write_planes(path, encode_planes(half, data_window=box, display_window=box))


def from_acescct(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scene-linear light.

    Source: S-2016-001, ACEScct, equation for decoding.
    """
    x = codes.astype(np.float64)
    light = np.where(
        x > 0.155251141552511,
        np.exp2(x * 17.52 - 9.72),
        (x - 0.0729055341958355) / 10.5402377416545,
    )
    return light.astype(np.float32)


def read_samples(path: Path) -> Samples:
    """Return `(h, w, 3)` codes of a 10-bit RGB DPX, or bits of the colors of a half EXR.

    Raises:
        VerifyFailed: another kind of file.
    """
    if path.suffix == ".exr":
        planes = exr_planes(path)
        return np.stack([planes[name].view(np.uint16) for name in "RGB"], axis=-1)
    data = path.read_bytes()
    order = ">" if data[:4] == b"SDPX" else "<"
    (offset,) = struct.unpack(order + "I", data[4:8])
    width, height = struct.unpack(order + "II", data[772:780])
    (packing,) = struct.unpack(order + "H", data[804:806])
    if (data[800], data[803], packing) != (50, 10, 1):
        raise VerifyFailed("is no 10-bit RGB DPX of filled words", path=path)
    words = np.frombuffer(data, order + "u4", width * height, offset).reshape(height, width)
    return np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], axis=-1)


def exr_planes(path: Path) -> dict[str, Samples]:
    """Return the channels of an EXR by name, as the OpenEXR library reads them."""
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: np.asarray(channel.pixels) for name, channel in file.channels().items()}


def differ_at(a: Samples, b: Samples) -> NDArray[np.bool_]:
    """Return the px of two frames `(h, w, channel)` that differ in any channel."""
    found: NDArray[np.bool_] = (a != b).any(axis=-1)
    return found
