"""Open a plate: files, color decision and digests joined into a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from wetgate.io.atomic import digest_file
from wetgate.io.formats import needs_sandbox, read_frame, read_info, sniff_format
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import MOVIE_SUFFIXES, FrameSequence, find_sequence, movie_sequence
from wetgate.model.errors import FrameReadError, InputError
from wetgate.model.frame import Frame, ImageInfo
from wetgate.operators.base import Pixels
from wetgate.render.shelf import Loaded

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig
    from wetgate.color.identify import SpaceDecision
    from wetgate.io.sandbox import Reader

UNDECIDED = "unknown"
"""Color space of a clip whose recipe never has to know it."""


class SafeReader:
    """Reads images: our own formats here, all others in a process that may be killed."""

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def info(self, path: Path, layer: str | None = None) -> ImageInfo:
        """Return what a file says about itself; raises `InputError`."""
        if needs_sandbox(sniff_format(path)):
            return self._sandbox().read_info(path, layer=layer)
        return read_info(path, layer=layer)

    def frame(
        self,
        path: Path,
        number: int,
        *,
        color_space: str,
        layer: str | None = None,
    ) -> Frame:
        """Read one frame; raises `InputError`."""
        if needs_sandbox(sniff_format(path)):
            reader = self._sandbox()
            return reader.read_frame(path, number, color_space=color_space, layer=layer)
        return read_frame(path, number, color_space=color_space, layer=layer)

    def close(self) -> None:
        """End the reading process."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _sandbox(self) -> Reader:
        if self._reader is None:
            from wetgate.io.sandbox import Reader

            self._reader = Reader()
        return self._reader


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What decides how a clip is read.

    Attributes:
        decision: how the color space was decided; None when nobody has to know.
    """

    info: ImageInfo
    config: ColorConfig | None
    decision: SpaceDecision | None
    layer: str | None = None

    @property
    def space(self) -> str:
        """OCIO name of the frames' space."""
        return self.decision.space if self.decision is not None else UNDECIDED


class SourceClip:
    """A plate on disk as a `Clip`; also gives the engine digests with its frames.

    Use as a context manager, or `close` it: reading may have started a process.
    """

    def __init__(self, sequence: FrameSequence, facts: ClipFacts, reader: SafeReader) -> None:
        self.sequence = sequence
        self.facts = facts
        self._reader = reader
        self._movie_digest: tuple[tuple[int, int], str] | None = None

    @property
    def frames(self) -> Sequence[int]:
        """Frame numbers that exist, ascending."""
        return self.sequence.numbers

    @property
    def missing(self) -> frozenset[int]:
        """Numbers between the first and the last frame that have no file."""
        return self.sequence.missing

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames per second, when the first frame says so."""
        return self.facts.info.frame_rate

    @property
    def info(self) -> ImageInfo:
        """Facts of the first frame."""
        return self.facts.info

    @property
    def color_space(self) -> str:
        """OCIO name of the frames' space, `unknown` where nobody had to decide it."""
        return self.facts.space

    def __getitem__(self, number: int) -> Frame:
        """Read one frame; raises `InputError` for that frame alone."""
        if number not in self.sequence.numbers:
            raise FrameReadError("no such frame", path=self.sequence.path(number), frame=number)
        return self._reader.frame(
            self.sequence.path(number),
            number,
            color_space=self.color_space,
            layer=self.facts.layer,
        )

    def load(self, number: int) -> Loaded:
        """Read one frame with the digest of its file."""
        frame = self[number]
        path = self.sequence.path(number)
        return Loaded(frame=frame, digest=self.digest(number), nbytes=_size(path))

    def digest(self, number: int) -> str:
        """Return the digest of the file that a frame lies in."""
        path = self.sequence.path(number)
        if self.facts.info.header.format != "movie":
            return digest_file(path)
        # All frames share the file, and a movie is too large to be hashed for each.
        stat = path.stat()
        key = (stat.st_size, stat.st_mtime_ns)
        if self._movie_digest is None or self._movie_digest[0] != key:
            self._movie_digest = (key, digest_file(path))
        return self._movie_digest[1]

    def close(self) -> None:
        """End the reading process."""
        self._reader.close()

    def __enter__(self) -> SourceClip:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error


def open_clip(
    plate: str | Path,
    *,
    input_space: str | None = None,
    config: str | Path | None = None,
    frames: FrameRange | str | None = None,
    layer: str | None = None,
    must_decide: bool = True,
) -> SourceClip:
    """Open a plate.

    Args:
        plate: any notation of `wetgate.io.sequence`.
        input_space: OCIO name, alias or interop id; None decides it from the files.
        config: OCIO config; None for the pinned one.
        frames: the frames of interest; None for all.
        must_decide: False leaves an undecided space `unknown` instead of refusing.

    Raises:
        SequenceError: nothing matches. ColorSpaceUnknown: nothing decides the space.
        InputError: no frame can be read.
    """
    from wetgate.color.config import load_config
    from wetgate.color.identify import identify

    wanted = FrameRange.from_str(frames) if isinstance(frames, str) else frames
    movie = Path(plate).suffix.lower() in MOVIE_SUFFIXES
    sequence = find_sequence(plate, None if movie else wanted)
    reader = SafeReader()
    try:
        number, info = _first_readable(sequence, reader, layer)
        if info.header.format == "movie":
            sequence = _movie_sequence(sequence.path(number), info, wanted)
        space = None if input_space in (None, "auto") else input_space
        loaded = decision = None
        if must_decide or space is not None:
            loaded = load_config(config or None)
            decision = identify(sequence.path(number), info, loaded, override=space)
    except BaseException:
        reader.close()
        raise
    return SourceClip(sequence, ClipFacts(info, loaded, decision, layer), reader)


def _first_readable(
    sequence: FrameSequence, reader: SafeReader, layer: str | None
) -> tuple[int, ImageInfo]:
    first: InputError | None = None
    for number in sequence.numbers:
        try:
            return number, reader.info(sequence.path(number), layer)
        except InputError as error:
            first = first or error
    if first is None:
        raise InputError("no frames", path=sequence.directory)
    raise first


def _movie_sequence(path: Path, info: ImageInfo, wanted: FrameRange | None) -> FrameSequence:
    """Number the frames of a movie from 1 and take those of interest."""
    whole = movie_sequence(path, 1, int(str(info.header.attributes["movie:frames"])))
    if wanted is None:
        return whole
    here = set(whole.numbers)
    return replace(
        whole,
        numbers=tuple(n for n in wanted if n in here),
        missing=frozenset(wanted) - here,
    )


class MatteClip:
    """A sequence of 0-1 control pictures: where steps apply, or where defects are.

    Args:
        channel: the one to read; None for alpha when there is one, else Y, else the first.
        inverted: 1 - value is meant.
        kind: what errors call it.
    """

    def __init__(
        self,
        plate: str | Path,
        *,
        channel: str | None = None,
        inverted: bool = False,
        kind: str = "matte",
    ) -> None:
        self.sequence = find_sequence(plate)
        self._channel = channel
        self._inverted = inverted
        self._kind = kind
        self._reader = SafeReader()

    def read(self, number: int, size: tuple[int, int]) -> Pixels:
        """Return the values of a frame as `(h, w, 1)`, clipped to 0-1; NaN counts as 0.

        Raises:
            InputError: nothing for the frame, unreadable, of another size, or no such channel.
        """
        path = self._path(number)
        frame = self._reader.frame(path, number, color_space=UNDECIDED)
        height, width, _ = frame.pixels.shape
        if (height, width) != size:
            raise FrameReadError(
                f"the {self._kind} is {width} x {height}",
                path=path,
                frame=number,
                expected=f"{size[1]} x {size[0]}, as the plate",
            )
        at = self._index(frame, path)
        values = np.nan_to_num(frame.pixels[..., at : at + 1], nan=0.0, posinf=1.0, neginf=0.0)
        values = np.clip(values, np.float32(0), np.float32(1))
        return np.float32(1) - values if self._inverted else values

    def digest(self, number: int) -> str:
        """Return the digest of a frame's file."""
        return digest_file(self._path(number))

    def close(self) -> None:
        """End the reading process."""
        self._reader.close()

    def _index(self, frame: Frame, path: Path) -> int:
        if self._channel is None:
            return next((frame.channels.index(n) for n in ("A", "Y") if n in frame.channels), 0)
        if self._channel not in frame.channels:
            raise FrameReadError(
                f"the {self._kind} has no channel {self._channel!r}",
                path=path,
                frame=frame.number,
                expected=f"one of {', '.join(frame.channels)}",
            )
        return frame.channels.index(self._channel)

    def _path(self, number: int) -> Path:
        if number not in self.sequence.numbers:
            raise FrameReadError(
                f"no {self._kind} for this frame",
                path=self.sequence.path(number),
                frame=number,
                expected="one for every frame of the plate: the whole shot is measured, and frames "
                "are made from their neighbors",
            )
        return self.sequence.path(number)
