"""Write what is known about a damaged frame, stage by stage, and the record of the shot."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import write_bytes_atomic
from wetgate.simulate.lens import LensTruth
from wetgate.simulate.scratches import Scratch
from wetgate.simulate.sequence import DamagedRange
from wetgate.simulate.shot import DamagedShot
from wetgate.simulate.spec import DamagedFrame, Truth

TRUTH_SCHEMA = "wetgate.truth/2"
_TRACK_POINTS = 17
"""A scratch's track is listed at so many rows, from the first to the last."""

RGB = ("R", "G", "B")


class WritePixels(Protocol):
    """Writes one EXR of float samples under the truth's folder."""

    def __call__(self, pixels: NDArray[np.float32], path: Path, channels: tuple[str, ...]) -> None:
        """Write `(height, width, channel)`."""


def write_truth(
    damaged: DamagedFrame, shot: DamagedShot, folder: Path, write: WritePixels
) -> dict[str, Any]:
    """Write the pictures of one frame's truth and return its entry in the record.

    Each kind is a sequence of its own, `<kind>/<kind>.<number>.exr`; a stage that is left out has
    none.
    """
    truth, number = damaged.truth, damaged.number
    pictures: dict[str, tuple[NDArray[np.float32], tuple[str, ...]]] = {
        "clean": (truth.clean, RGB),
        "matte": (truth.matte[..., None].astype(np.float32), ("Y",)),
        **_stage_pictures(truth),
    }
    if shot.spec.camera is not None:
        flow = shot.flow(number, number + 1)
        pictures["flow"] = (flow, ("forward.u", "forward.v"))
    if shot.spec.lens is not None:
        pictures["sharp"] = (shot.sharp(number), RGB)
    for kind, (pixels, channels) in pictures.items():
        write(pixels, folder / kind / f"{kind}.{number:04d}.exr", channels)
    return frame_record(truth)


def _stage_pictures(
    truth: Truth,
) -> dict[str, tuple[NDArray[np.float32], tuple[str, ...]]]:
    pictures: dict[str, tuple[NDArray[np.float32], tuple[str, ...]]] = {}
    if truth.action is not None:
        both = np.concatenate((truth.action.light, truth.action.cover[..., None]), axis=-1)
        pictures["action"] = (both, (*RGB, "A"))
    if truth.grain_sigma is not None:
        pictures["grain-sigma"] = (truth.grain_sigma, RGB)
    if truth.fade is not None:
        pictures["fade-keep"] = (truth.fade.keep, ("cyan", "magenta", "yellow"))
    if truth.dirt is not None:
        laid = np.stack((truth.dirt.keep, truth.dirt.paint), axis=-1)
        pictures["dirt"] = (laid, ("keep", "paint"))
    if truth.scratches is not None:
        laid = np.stack((truth.scratches.keep, truth.scratches.add), axis=-1)
        pictures["scratches"] = (laid, ("keep", "add"))
        matte = truth.scratch_matte[..., None].astype(np.float32)
        pictures["scratch-matte"] = (matte, ("Y",))
    if truth.flicker is not None and truth.flicker.local.any():
        pictures["flicker-local"] = (truth.flicker.local[..., None], ("Y",))
    if not truth.gate.is_shift:
        pictures["weave"] = (truth.gate.displacement(), ("u", "v"))
    if truth.sensor is not None:
        pictures["sensor-variance"] = (truth.sensor.variance, RGB)
        if truth.sensor.pattern.any():
            pictures["sensor-pattern"] = (truth.sensor.pattern, RGB)
    return pictures


def write_lens(lens: LensTruth, folder: Path) -> None:
    """Write the PSFs, which are the same for all frames, as `lens.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, sigma=lens.sigma, kernels=lens.kernels, weights=lens.weights)
    write_bytes_atomic(folder / "lens.npz", buffer.getvalue())


def frame_record(truth: Truth) -> dict[str, Any]:
    """Return the curves and lists of one frame, ready for JSON."""
    gate = truth.gate
    entry: dict[str, Any] = {
        "weave": {"offset_px": gate.offset, "angle_rad": gate.angle, "bend_px": gate.bend.tolist()}
    }
    if truth.action is not None:
        things = [dataclasses.asdict(t) for t in truth.action.things]
        entry["action"] = {"gain": truth.action.gain, "things": things}
    if truth.fade is not None:
        entry["fade"] = {
            "crosstalk": truth.fade.crosstalk.tolist(),
            "resist": truth.fade.resist.tolist(),
            "stain": truth.fade.stain.tolist(),
        }
    if truth.dirt is not None:
        entry["dirt"] = [dataclasses.asdict(blob) for blob in truth.dirt.blobs]
    if truth.scratches is not None:
        entry["scratches"] = [_scratch_record(s) for s in truth.scratches.scratches]
    if truth.flicker is not None:
        keys = ("stops", "gamma", "law", "pivot", "unit")
        entry["flicker"] = {key: getattr(truth.flicker, key) for key in keys}
    return entry


def _scratch_record(scratch: Scratch) -> dict[str, Any]:
    rows = np.linspace(0, len(scratch.center) - 1, _TRACK_POINTS).round().astype(int)
    return {
        "identity": scratch.identity,
        "rows": rows.tolist(),
        "center_px": scratch.center[rows].tolist(),
        "amplitude": scratch.amplitude[rows].tolist(),
        "sigma_px": scratch.sigma,
        "strength": scratch.strength,
        "lobes": scratch.lobes,
        "lost": scratch.lost,
    }


def write_record(
    made: DamagedRange, frames: Mapping[int, Mapping[str, Any]], color_space: str, folder: Path
) -> None:
    """Write `truth.json`: the damage asked for, and what is known of frames and range."""
    codec, table = made.codec, made.table
    record: dict[str, Any] = {
        "schema": TRUTH_SCHEMA,
        "color_space": color_space,
        "damage": dataclasses.asdict(made.shot.spec),
        "weave_px": {n: entry["weave"]["offset_px"] for n, entry in frames.items()},
        "frames": frames,
    }
    if codec is not None:
        record["codec"] = {
            "bytes": codec.bytes,
            "frames": {
                number: {
                    "type": codec.frame_types[k],
                    "bytes": int(codec.frame_bytes[k]),
                    "quality": [round(float(q), 3) for q in codec.generation_quality[:, k]],
                }
                for k, number in enumerate(made.numbers)
            },
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, numbers=np.array(made.numbers), quality=codec.quality_map)
        write_bytes_atomic(folder / "codec-quality.npz", buffer.getvalue())
    if table is not None:
        record["cadence"] = {
            number: {"top": video.top, "bottom": video.bottom, "mixed": video.is_mixed}
            for number, video in zip(made.outputs, table, strict=True)
        }
    text = json.dumps(record, indent=1, default=str)
    write_bytes_atomic(folder / "truth.json", text.encode())
