"""Write a damaged shot as files, and its truth beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.color.config import ColorConfig
from wetgate.io.atomic import AtomicFile, output_error
from wetgate.io.dpx_header import HEADER_BYTES, parse_header
from wetgate.io.formats import write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import OutputError, TargetExists
from wetgate.model.frame import Frame, SampleType, SourceHeader
from wetgate.simulate.sequence import DamagedRange, damage_range, output_numbers
from wetgate.simulate.shot import DamagedShot
from wetgate.simulate.source import CleanSource
from wetgate.simulate.spec import DamagedFrame
from wetgate.simulate.truth_files import RGB, write_lens, write_record, write_truth

RATE = Fraction(24)
_FORMATS: dict[int | None, tuple[str, SampleType]] = {
    8: ("png", "uint8"),
    10: ("dpx", "uint10"),
    12: ("dpx", "uint12"),
    16: ("dpx", "uint16"),
    None: ("exr", "float"),
}
_COLOR = ("clean", "sharp")
"""Sequences of the truth that are pictures in the shot's color space; the others are data."""


def write_shot(
    source: CleanSource,
    out: Path,
    *,
    config: ColorConfig,
    truth: Path | None = None,
    overwrite: bool = False,
) -> Iterator[int]:
    """Damage a source frame by frame into `out`, yielding each number when its file is there.

    Names are `plate.<number>.<format>`: DPX for 10, 12 and 16 bits, PNG for 8, EXR for floating
    point. With a codec the whole range is coded before the first file is written; with telecine
    there are as many files as video frames.

    With `truth`, that directory gets sequences of their own for what each stage did (`clean`,
    `matte` and, for a photograph, `flow` to the next frame in px; more as the damage has it), and
    `truth.json` with curves, tables and the damage that was asked for.

    Raises:
        TargetExists: when a file is there already and `overwrite` is not given.
        OutputError: when a file cannot be written.
        UsageError: for a codec without PyAV, or a range too short for its telecine.
    """
    shot = DamagedShot(source.pixels, source.spec)
    suffix, sample_type = _FORMATS[source.spec.bits]
    writer = _Writer(source.space, config)
    outputs = output_numbers(source.spec, source.numbers)
    targets = {n: out / f"plate.{n:04d}.{suffix}" for n in outputs}
    if not overwrite:
        for number, target in targets.items():
            if target.exists():
                raise TargetExists(
                    "is there already", path=target, frame=number, remedy="pass --overwrite"
                )
    for folder in (out, truth):
        if folder is not None:
            _make_folder(folder, source.folder)
    labels = {n: _Label(n, k, len(outputs)) for k, n in enumerate(outputs)}
    records: dict[int, dict[str, Any]] = {}
    alone = source.spec.codec is None and source.spec.telecine is None

    def keep_truth(damaged: DamagedFrame) -> None:
        if truth is None:
            return
        label = _Label(damaged.number, 0, 1)
        if not alone:
            before = truth / "uncoded" / f"uncoded.{damaged.number:04d}.{suffix}"
            writer.write(damaged.pixels, before, sample_type, label)

        def write(pixels: NDArray[np.float32], path: Path, channels: tuple[str, ...]) -> None:
            depth: SampleType = "half" if channels == ("Y",) and "matte" in path.name else "float"
            writer.write(pixels, path, depth, label, channels, picture=path.parent.name in _COLOR)

        if not records and damaged.truth.lens is not None:
            write_lens(damaged.truth.lens, truth)
        records[damaged.number] = write_truth(damaged, shot, truth, write)

    if alone:
        for number in source.numbers:
            damaged = shot[number]
            writer.write(damaged.pixels, targets[number], sample_type, labels[number])
            keep_truth(damaged)
            yield number
        made = DamagedRange(shot, tuple(source.numbers), None, None)
    else:
        made = damage_range(shot, source.numbers, on_frame=keep_truth if truth else None)
        for number in outputs:
            writer.write(made[number], targets[number], sample_type, labels[number])
            yield number
    if truth is not None:
        write_record(made, records, source.space, truth)


def _make_folder(folder: Path, source: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_source = folder.samefile(source)
    except OSError as error:
        raise output_error(error, folder) from error
    if is_source:
        raise OutputError(
            "the source lies there",
            path=folder,
            expected="another directory; sources are never written to",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Label:
    """Which frame of the shot this is: its number, its index and how many there are."""

    number: int
    index: int
    count: int


class _Writer:
    def __init__(self, space: str, config: ColorConfig) -> None:
        self._space = space
        self._interop_id = config.interop_id(space)

    def write(
        self,
        pixels: NDArray[np.float32],
        path: Path,
        sample_type: SampleType,
        label: _Label,
        channels: tuple[str, ...] = RGB,
        *,
        picture: bool = True,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        box = Box.of_size(pixels.shape[1], pixels.shape[0])
        kind = path.suffix[1:]
        is_color = picture and channels == RGB
        frame = Frame(
            number=label.number,
            pixels=np.ascontiguousarray(pixels, np.float32),
            channels=channels,
            data_window=box,
            display_window=box,
            color_space=self._space if is_color else "Raw",
            sample_type=sample_type,
            header=SourceHeader(kind),
        )
        options = WriteOptions(
            format=kind,
            file_name=path.name,
            color_space_changed=True,
            interop_id=self._interop_id if is_color else None,
        )
        with AtomicFile(path) as file:
            write_frame(frame, file.temp, options=options)
            if kind == "dpx":
                _label_dpx(file.temp, label)
            file.commit()


def _label_dpx(path: Path, label: _Label) -> None:
    """State the time code, the rate and the place in the shot in a DPX header just written."""
    with open(path, "r+b") as file:
        header = parse_header(file.read(HEADER_BYTES))
        labelled = header.patched(
            {
                ("TimeCodeBCD", None): time_code_bcd(label.number - 1001),
                ("FrameRate", None): float(RATE),
                ("TemporalRate", None): float(RATE),
                ("FramePosition", None): label.index,
                ("SequenceLength", None): label.count,
                ("FrameId", None): str(label.number),
                ("InputDevice", None): "wetgate simulate",
            }
        )
        file.seek(0)
        file.write(labelled.raw[:HEADER_BYTES])


def time_code_bcd(frames: int) -> int:
    """Return the SMPTE 12M time code, one hour plus `frames` at 24 a second, as packed BCD."""
    rate = int(RATE)
    total = (3600 * rate + frames) % (24 * 3600 * rate)
    seconds, frame = divmod(total, rate)
    fields = (seconds // 3600, seconds // 60 % 60, seconds % 60, frame)
    packed = 0
    for value in fields:
        packed = packed << 8 | (value // 10) << 4 | value % 10
    return packed
