"""The shelf: source frames as planes, with what has to come back untouched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from wetgate.color.nonfinite import non_finite_mask, substitute
from wetgate.model.errors import FrameReadError, InputError, UnsupportedImage
from wetgate.model.frame import Frame
from wetgate.operators.base import Pixels
from wetgate.render.store import DirectPlane, Plane, PlaneStore, row_bands


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One frame as read, with the facts of its file.

    Attributes:
        digest: of the file's bytes; empty when there is no file.
        nbytes: size of the file.
    """

    frame: Frame
    digest: str = ""
    nbytes: int = 0


class FrameSource(Protocol):
    """Where the engine gets its frames from."""

    @property
    def frames(self) -> Sequence[int]:
        """Return the numbers that exist, ascending."""
        ...

    def load(self, number: int) -> Loaded:
        """Read one frame; raises `InputError` for that frame alone."""
        ...


MatteReader = Callable[[int, tuple[int, int]], Pixels]
"""Reads the matte of a frame, `(height, width)`, as float32 `(h, w, 1)`, 0-1."""


def color_channels(channels: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the channels that operators work on: R, G, B, or Y alone.

    A reader that was asked for a layer has taken its name off already.

    Raises:
        UnsupportedImage: naming the channels, when there are neither.
    """
    names = list(channels)
    if all(n in names for n in "RGB"):
        return tuple(names.index(n) for n in "RGB")
    if "Y" in names:
        return (names.index("Y"),)
    raise UnsupportedImage(
        f"no color channels among {', '.join(names)}",
        expected="R, G and B, or Y",
        remedy="choose a layer that has them with --layer",
    )


def alpha_channel(channels: Sequence[str]) -> int | None:
    """Return the index of the alpha that belongs to the color channels, if there is one."""
    return list(channels).index("A") if "A" in channels else None


@dataclass(slots=True, kw_only=True)
class ShelvedFrame:
    """One source frame taken apart.

    Attributes:
        shell: the frame's facts; its pixels are a placeholder unless `whole`.
        color_index: which channels of the frame are `color`.
        color: the color channels with the source's own bits.
        finite: the color channels with stand-ins for NaN and Inf; `color` itself without any.
        rest: all other channels, or None.
        planes: what lies beside the frame in files of its own, by name, such as "defects".
        pinned: somebody still compares with it; not to be dropped.
    """

    shell: Frame
    whole: bool
    color_index: tuple[int, ...]
    color: Plane
    finite: Plane
    rest: Plane | None
    alpha: Plane | None
    matte: Plane | None
    digest: str
    nbytes: int
    planes: Mapping[str, Plane] = field(default_factory=dict)
    pinned: bool = False

    @property
    def has_non_finite(self) -> bool:
        """Whether any color sample is NaN or Inf."""
        return self.finite is not self.color

    def rebuild(self, color: Pixels | None) -> Frame:
        """Return the whole frame with other colors, or with its own when None."""
        if color is None and self.whole:
            return self.shell
        height, width, count = self.shell.pixels.shape
        if color is not None and self.color_index == tuple(range(count)):
            return self.shell.replace_pixels(color, color_space=self.shell.color_space)
        pixels = np.empty((height, width, count), dtype=np.float32)
        for band in row_bands(pixels.shape):
            self.fill_rows(pixels[band], band, color)
        return self.shell.replace_pixels(pixels, color_space=self.shell.color_space)

    def rows(self, band: slice) -> Pixels:
        """Return a band of all channels of the source, with its own bits."""
        if self.whole:
            return self.shell.pixels[band]
        _, width, count = self.shell.pixels.shape
        into = np.empty((band.stop - band.start, width, count), dtype=np.float32)
        self.fill_rows(into, band)
        return into

    def fill_rows(self, into: Pixels, band: slice, color: Pixels | None = None) -> None:
        """Write a band of all channels, the colors from `color` when given."""
        if self.whole:
            into[...] = self.shell.pixels[band]
        elif self.rest is not None:
            others = [i for i in range(into.shape[2]) if i not in self.color_index]
            into[..., others] = self.rest.rows(band.start, band.stop)
        if color is not None:
            into[..., list(self.color_index)] = color[band]
        elif not self.whole:
            into[..., list(self.color_index)] = self.color.rows(band.start, band.stop)

    def release(self) -> None:
        """Give all memory back."""
        every = {self.color, self.finite, self.rest, self.alpha, self.matte, *self.planes.values()}
        for plane in every:
            if plane is not None:
                plane.release()


class Shelf:
    """Keeps source frames from their reading until no output needs them. Thread-safe.

    Args:
        source: the clip.
        store: where planes live.
        direct: keep frames as they were read, because each is needed once only.
        with_steps: whether any operator will look at the colors.
        matte: reads mattes. planes: reads planes of other kinds, by name.
    """

    def __init__(
        self,
        source: FrameSource,
        store: PlaneStore,
        *,
        direct: bool = False,
        with_steps: bool = True,
        matte: MatteReader | None = None,
        planes: Mapping[str, MatteReader] | None = None,
    ) -> None:
        self._source = source
        self._store = store
        self._direct = direct
        self._with_steps = with_steps
        self._matte = matte
        self._planes = dict(planes or {}) if with_steps else {}
        self._lock = threading.Lock()
        self._loading: dict[int, threading.Lock] = {}
        self._frames: dict[int, ShelvedFrame | InputError] = {}
        self.numbers = frozenset(source.frames)

    def get(self, number: int) -> ShelvedFrame:
        """Return a frame, reading it when it is not on the shelf.

        Raises:
            InputError: the frame is missing or unreadable; the same error every time.
        """
        with self._lock:
            mine = self._loading.setdefault(number, threading.Lock())
        with mine:
            found = self._frames.get(number)
            if found is None:
                found = self._load(number)
                with self._lock:
                    self._frames[number] = found
        if isinstance(found, InputError):
            raise found
        return found

    def usable(self, number: int, like: ShelvedFrame) -> bool:
        """Whether a neighbor can be read and lies over `like` pixel by pixel."""
        if number not in self.numbers:
            return False
        try:
            found = self.get(number)
        except InputError:
            return False
        return (
            found.shell.data_window == like.shell.data_window
            and len(found.color_index) == len(like.color_index)
            and found.shell.color_space == like.shell.color_space
        )

    def retain(self, wanted: Callable[[int], bool]) -> None:
        """Drop every frame that is not wanted any more; failures are remembered."""
        with self._lock:
            for number, frame in list(self._frames.items()):
                if isinstance(frame, ShelvedFrame) and not frame.pinned and not wanted(number):
                    del self._frames[number]
                    frame.release()

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Read frames ahead; failures show when the frame is asked for."""
        for number in numbers:
            if number in self.numbers:
                try:
                    self.get(number)
                except InputError:
                    continue

    def _load(self, number: int) -> ShelvedFrame | InputError:
        if number not in self.numbers:
            return FrameReadError("no such frame in the clip", frame=number)
        try:
            return self._take_apart(self._source.load(number))
        except InputError as error:
            return error

    def _take_apart(self, loaded: Loaded) -> ShelvedFrame:
        frame = loaded.frame
        index = color_channels(frame.channels) if self._with_steps else ()
        colors = _select(frame.pixels, index)
        keep = DirectPlane if self._direct else self._exact(frame)
        color = finite = keep(colors)
        if self._with_steps and frame.non_finite is not None and frame.non_finite.any():
            mask = non_finite_mask(colors)
            if mask is not None:
                finite = keep(substitute(np.ascontiguousarray(colors), mask))
        others = [i for i in range(len(frame.channels)) if i not in index]
        alpha = alpha_channel(frame.channels) if self._with_steps else None
        matte = None
        if self._matte is not None and self._with_steps:
            height, width, _ = frame.pixels.shape
            matte = keep(self._matte(frame.number, (height, width)))
        size = (frame.pixels.shape[0], frame.pixels.shape[1])
        planes = {name: keep(read(frame.number, size)) for name, read in self._planes.items()}
        shell = frame
        rest = None
        if not self._direct:
            rest = keep(_select(frame.pixels, others)) if others else None
            # A placeholder of the right shape that takes no memory.
            empty = np.broadcast_to(np.float32(0), frame.pixels.shape)
            shell = replace(frame, pixels=empty, non_finite=None)
        return ShelvedFrame(
            shell=shell,
            whole=self._direct,
            color_index=tuple(index),
            color=color,
            finite=finite,
            rest=rest,
            alpha=keep(frame.pixels[..., alpha : alpha + 1]) if alpha is not None else None,
            matte=matte,
            digest=loaded.digest,
            nbytes=loaded.nbytes,
            planes=planes,
        )

    def _exact(self, frame: Frame) -> Callable[[Pixels], Plane]:
        return lambda pixels: self._store.keep_exact(pixels, frame.sample_type)


def _select(pixels: Pixels, index: Sequence[int]) -> Pixels:
    """Take channels by index; a view where they stand side by side."""
    first = index[0] if index else 0
    if list(index) == list(range(first, first + len(index))):
        return pixels[..., first : first + len(index)]
    return pixels[..., list(index)]
