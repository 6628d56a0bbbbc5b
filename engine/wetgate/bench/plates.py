"""Generated plates and the cheapest of operators, for benchmarks of the engine itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.table import digest_bytes
from wetgate.io import dpx
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.frame import Frame, SourceHeader
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    NoSurveys,
    Operator,
    OperatorSpec,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
)

SPACE = "Cineon Log - Film Scan"
_TOP = np.float32(1023)


@dataclass(frozen=True, slots=True)
class Nothing(NoSurveys):
    """Returns what it is given: all that is left to measure is the engine."""

    @property
    def footprint(self) -> Footprint:
        """Return no context at all."""
        return Footprint(bytes_per_pixel=0)

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        return OperatorSpec(
            name="nothing",
            version=1,
            footprint=self.footprint,
            working_space="source",
            provenance=Provenance.UNTOUCHED,
        )

    @property
    def stages(self) -> tuple[Nothing, ...]:
        """Return itself as the only stage."""
        return (self,)

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure nothing."""
        return {}

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        """Return the very pixels of the window."""
        return window.center[window.tile.within(window.region)]


def make_nothing(_name: str, _params: Mapping[str, object]) -> Operator:
    """Make the operator that does nothing, whatever the step says."""
    return Nothing()


def write_plate(
    folder: Path, numbers: Iterable[int], width: int, height: int, *, deviation: float = 0.02
) -> str:
    """Write 10-bit RGB DPX frames of a moving picture with grain; return a digest of the codes."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = _picture(width + 256, height)
    digests = []
    for number in numbers:
        rng = np.random.default_rng(number)
        pixels = picture[:, (3 * number) % 256 :][:, :width].copy()
        pixels += np.float32(deviation) * rng.standard_normal(pixels.shape, dtype=np.float32)
        np.clip(pixels, 0, 1, out=pixels)
        pixels = np.rint(pixels * _TOP) / _TOP
        dpx.write_frame(
            _frame(number, pixels),
            folder / f"plate.{number:04d}.dpx",
            options=WriteOptions(format="dpx", file_name=f"plate.{number:04d}.dpx"),
        )
        digests.append(digest_bytes(pixels.tobytes()))
    return digest_bytes("".join(digests).encode())


def _picture(width: int, height: int) -> NDArray[np.float32]:
    """Soft hills and hard edges from a fixed seed, values 0.1-0.8."""
    rng = np.random.default_rng(7)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    out = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        waves = rng.uniform(20, 200, (4, 2))
        out[..., channel] = 0.45 + 0.06 * sum(np.sin(x / a) * np.cos(y / b) for a, b in waves)
    for _ in range(60):
        left, top = rng.integers(0, width), rng.integers(0, height)
        size = rng.integers(8, max(9, height // 6))
        out[top : top + size, left : left + size] += rng.uniform(-0.2, 0.2, 3).astype(np.float32)
    return np.clip(out, 0.1, 0.8)


def _frame(number: int, pixels: NDArray[np.float32]) -> Frame:
    height, width, _ = pixels.shape
    box = Box.of_size(width, height)
    return Frame(
        number=number,
        pixels=pixels,
        channels=("R", "G", "B"),
        data_window=box,
        display_window=box,
        color_space=SPACE,
        sample_type="uint10",
        header=SourceHeader(format="generated"),
    )
