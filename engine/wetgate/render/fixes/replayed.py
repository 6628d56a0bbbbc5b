"""What a replay tells: how each frame came about again, and whether it is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wetgate.model.errors import WetgateError
from wetgate.render.events import Event

Way = Literal["journal", "render"]
Verdict = Literal["same", "same samples", "differs", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One frame made again.

    Attributes:
        verdict: `same` is the same file, byte for byte; `same samples` holds equal samples in
            other bytes, as another version of a compressor writes them.
    """

    number: int
    verdict: Verdict
    error: WetgateError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """How a replay went.

    Attributes:
        way: from the journal alone, or rendered again. why: the reason for that.
    """

    directory: Path
    way: Way
    why: str
    frames: tuple[Replayed, ...]

    @property
    def exit_code(self) -> int:
        """Return 0 when all is the same, 7 when something differs, 4 when a frame failed."""
        verdicts = {frame.verdict for frame in self.frames}
        return 7 if "differs" in verdicts else 4 if "failed" in verdicts else 0


OnFrame = Callable[[Replayed], None]
OnEvent = Callable[[Event], None]
