"""Frame ranges as artists write them: `1001-1100x2,1203`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fileseq.exceptions import FileSeqException
from fileseq.frameset import FrameSet

from wetgate.model.errors import SequenceError

MAX_FRAMES = 1_000_000
"""Most frames in one range: eleven hours at 24 frames per second."""


@dataclass(frozen=True, slots=True)
class FrameRange:
    """A set of frame numbers, ascending, each once.

    Caveats:
        * Immutable and hashable; two ranges are equal when they hold the same numbers.
        * Order and repeats of the written form are not kept: `3,1-2,2` is `1-3`.
        * Numbers may be negative: `-3--1`.
    """

    numbers: tuple[int, ...]

    @classmethod
    def from_str(cls, text: str) -> FrameRange:
        """Read the written form.

        Raises:
            SequenceError: when it is empty, malformed, fractional or beyond `MAX_FRAMES`.
        """
        expected = "a range such as 1001-1100x2,1203"
        try:
            frames = FrameSet(text.strip())
            if len(frames) > MAX_FRAMES:
                raise SequenceError(
                    f"frame range {text!r} holds {len(frames)} frames",
                    expected=f"at most {MAX_FRAMES}",
                )
            found = list(frames)
        except (FileSeqException, ValueError, TypeError) as error:
            why = str(error).partition(": did not match")[0]  # a regular expression follows
            raise SequenceError(f"frame range {text!r}: {why}", expected=expected) from error
        if not found or any(int(n) != n for n in found):
            raise SequenceError(f"frame range {text!r} names no whole frames", expected=expected)
        return cls.from_numbers(int(n) for n in found)

    @classmethod
    def from_numbers(cls, numbers: Iterable[int]) -> FrameRange:
        """Make a range of any numbers; order and repeats do not matter."""
        return cls(tuple(sorted(set(numbers))))

    def __str__(self) -> str:
        """Write the canonical form; `from_str` reads it back to an equal range."""
        return FrameSet.from_iterable(self.numbers, sort=True).frameRange()

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_left(self.numbers, number)
        return at < len(self.numbers) and self.numbers[at] == number
