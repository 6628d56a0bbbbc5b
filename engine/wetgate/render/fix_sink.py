"""What is handed on with every frame written: each fix, its pixels, and the samples it replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgate.io.raw import to_codes, to_half
from wetgate.model.box import Box
from wetgate.model.frame import SampleType, code_depth
from wetgate.operators.base import Pixels
from wetgate.render.fixing import StepFix

Samples = NDArray[Any]
"""As a file stores them: uint8 or uint16 codes, float16 or float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFixes:
    """One frame as it was written and read back, not yet under its name.

    `before` and `after` read planes of the engine that are its own again once `FixSink.take`
    returns.

    Attributes:
        frame: its number. file: the name it will have. digest: of the written file.
        source_file, source_digest: of the source frame.
        fixes: all that was found, ascending by number, as delivered: a fix that a matte holds
            out is not applied and says why.
        made: uint32 `(h, w)`, `StepFix.number` of the last fix that made each pixel; 0 where none
            did or no sample differs from the source's.
        classes: uint8 `(h, w)`, provenance; 0 where the pixel has the source's samples.
        origins: float32 `(h, w, 3)` frame offset, x, y of pixels that were borrowed.
        only_fixes: every pixel that differs was changed by fixes alone.
        not_comparable: why `before` has no meaning (another size, another color space, a lossy
            compression); empty when it has.
        sample_type: how the file stores the colors. channels: their names.
        source_colors, colors: give rows of the colors, of the source in this file's precision and
            of the file as read back.
    """

    frame: int
    file: str
    digest: str
    source_file: str
    source_digest: str
    fixes: tuple[StepFix, ...]
    made: NDArray[np.uint32]
    classes: NDArray[np.uint8]
    origins: NDArray[np.float32]
    only_fixes: bool
    not_comparable: str
    sample_type: SampleType
    channels: tuple[str, ...]
    source_colors: Callable[[slice], Pixels]
    colors: Callable[[slice], Pixels]

    def before(self, box: Box) -> Samples:
        """Return the source's samples of a box as this file would hold them, `(h, w, channel)`.

        Raises:
            ValueError: when the two cannot be laid over each other.
        """
        if self.not_comparable:
            raise ValueError(f"the source cannot be compared: {self.not_comparable}")
        return self._cut(self.source_colors, box)

    def after(self, box: Box) -> Samples:
        """Return the samples of a box of the file, `(h, w, channel)`."""
        return self._cut(self.colors, box)

    def _cut(self, rows: Callable[[slice], Pixels], box: Box) -> Samples:
        part = np.ascontiguousarray(rows(slice(box.y0, box.y1))[:, box.x0 : box.x1])
        return samples_of(part, self.sample_type)


class FixSink(Protocol):
    """Takes what became of each frame, at the moment of writing."""

    def take(self, written: WrittenFixes) -> None:
        """Keep what is to be kept of a frame, whether it has fixes or not.

        Called from the writing thread, one frame at a time, once the frame is verified and before
        it gets its name. A `WetgateError` fails the frame.
        """
        ...

    def named(self, frame: int, digest: str) -> None:
        """Take note that a frame has its name by now; must not fail."""
        ...


def samples_of(pixels: Pixels, sample_type: SampleType) -> Samples:
    """Return float32 samples as a file of that type holds them."""
    depth = code_depth(sample_type)
    if depth is not None:
        codes: Samples = to_codes(pixels, (1 << depth) - 1)
        return codes.astype(np.uint8 if depth <= 8 else np.uint16)
    return to_half(pixels, None) if sample_type == "half" else pixels
