"""ncnn models, written by hand: a text of layers and a blob of random weights."""

from __future__ import annotations

import struct

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from wetgate.importers.ncnn import convert

Planes = NDArray[np.float32]
HALF = struct.pack("<I", 0x01306B47)
FULL = struct.pack("<I", 0)


class Pair:
    """A `.param` and a `.bin` in the making."""

    def __init__(self, seed: int = 0) -> None:
        self.lines: list[str] = []
        self.blobs: set[str] = set()
        self.bin = b""
        self.rng = np.random.default_rng(seed)

    def layer(self, kind: str, reads: str, makes: str, values: str = "") -> None:
        tops, bottoms = makes.split(), reads.split()
        self.blobs.update(tops)
        words = [kind, f"l{len(self.lines)}", str(len(bottoms)), str(len(tops)), *bottoms, *tops]
        self.lines.append(" ".join([*words, values]))

    def numbers(self, *shape: int, gain: float = 0.3) -> Planes:
        return (self.rng.normal(0, gain, shape)).astype(np.float32)

    def tagged(self, values: Planes, *, half: bool = False) -> Planes:
        """Add weights; returns them as they were stored."""
        if half:
            data = values.astype("<f2").tobytes()
            self.bin += HALF + data + b"\0" * (-len(data) % 4)
            return values.astype(np.float16).astype(np.float32)
        self.bin += FULL + values.astype("<f4").tobytes()
        return values

    def plain(self, values: Planes) -> Planes:
        self.bin += values.astype("<f4").tobytes()
        return values

    def conv(
        self, reads: str, makes: str, planes: tuple[int, int], more: str = "", *, half: bool = False
    ) -> tuple[Planes, Planes]:
        made, read = planes
        values = f"0={made} 1=3 4=1 5=1 6={made * read * 9} {more}"
        self.layer("Convolution", reads, makes, values)
        return (
            self.tagged(self.numbers(made, read, 3, 3), half=half),
            self.plain(self.numbers(made)),
        )

    @property
    def param(self) -> bytes:
        head = ["7767517", f"{len(self.lines)} {len(self.blobs)}"]
        return ("\n".join([*head, *self.lines]) + "\n").encode()


def run_onnx(pair: Pair, x: Planes) -> Planes:
    """Convert a pair and run it on `(c, h, w)`."""
    data = convert(pair.param, pair.bin).SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x[None]})[0][0])
