"""Plates on disk and jobs over them, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from wetgate.io.formats import write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.frame import SampleType
from wetgate.operators import registry
from wetgate.operators.base import Provenance
from wetgate.recipe import Recipe, Step

from support.clips import make_frame, texture, to_codes
from support.operators import (
    BoxBlur,
    CopyOut,
    Enlarged,
    Halve,
    Invert,
    Lift,
    NoCost,
    OneStage,
    Paired,
    Replicate,
    TemporalMean,
    TwoStage,
)

OPERATORS: Mapping[str, Callable[..., Any]] = {
    "nothing": NoCost,
    "copy": CopyOut,
    "invert": Invert,
    "lift": Lift,
    "blur": BoxBlur,
    "mean": TemporalMean,
    "paired": Paired,
    "two": TwoStage,
    "replicate": Replicate,
    "halve": Halve,
    "enlarged": Enlarged,
    "painter": lambda: Lift(name="painter", provenance=Provenance.INFERRED, generative=True),
    "broken": lambda: Broken(),
}


class Broken(OneStage):
    """Returns an array of the wrong size."""

    def __call__(self, window, analysis, facts):  # type: ignore[no-untyped-def]
        return np.zeros((1, 1, 3), np.float32)


def register() -> None:
    """Make the tiny operators known to recipes of this process."""
    registry._FACTORIES = {**registry._FACTORIES, **OPERATORS}


def recipe(*names: str, space: str = "ACEScct", **fields: Any) -> Recipe:
    """A recipe of operators without parameters."""
    return Recipe(
        name="-".join(names) or "none",
        steps=tuple(Step(operator=n) for n in names),
        input_space=space,
        **fields,
    )


def write_plate(
    folder: Path,
    numbers: Iterable[int],
    *,
    width: int = 64,
    height: int = 48,
    suffix: str = "dpx",
    sample_type: SampleType = "uint10",
    picture: Callable[[int], NDArray[np.float32]] | None = None,
    channels: tuple[str, ...] = ("R", "G", "B"),
) -> Path:
    """Write frames named `plate.%04d.<suffix>`; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = picture(number) if picture else texture(number, width, height, len(channels))
        frame = make_frame(
            number,
            to_codes(pixels, sample_type),
            sample_type=sample_type,
            channels=channels,
            fmt=suffix,
        )
        path = folder / f"plate.{number:04d}.{suffix}"
        write_frame(frame, path, options=WriteOptions(format=suffix, file_name=path.name))
    return folder


def file_digests(folder: Path) -> dict[str, bytes]:
    """The bytes of every frame of a folder, by name."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
