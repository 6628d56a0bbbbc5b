"""Run the frames of a job: one prefetch thread, tile workers, one writer thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from wetgate.color.delta import premultiply
from wetgate.model.errors import (
    BackendError,
    DiskFull,
    InputError,
    ModelLoadError,
    OutOfMemory,
    WetgateError,
)
from wetgate.model.frame import Frame, ImageInfo
from wetgate.render.chain import Chain, Finished
from wetgate.render.encoding import OutputSpace
from wetgate.render.events import FrameReport
from wetgate.render.frames import canvas_of, resized_frame
from wetgate.render.order import WriteOrder
from wetgate.render.output import FrameWriter
from wetgate.render.shelf import Shelf, ShelvedFrame
from wetgate.render.store import Plane, row_bands


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Renders frames in any order and writes them.

    Attributes:
        source_file: name of a frame's source file, for the record.
        matte_digest: digest of a frame's matte and other files beside it; None without any.
        overlap: read ahead and write behind in threads of their own; else all in turn.
        usual: facts of the plate's first frame; frames unlike it are rendered and told.
        early: read the next frame while this one renders; else while it is written, which keeps
            one frame less alive and suits steps that look at one frame only.
    """

    chain: Chain
    shelf: Shelf
    writer: FrameWriter
    source_file: Callable[[int], str]
    matte_digest: Callable[[int], str] | None = None
    output_space: OutputSpace | None = None
    usual: ImageInfo | None = None
    overlap: bool = True
    early: bool = True

    def run(
        self, numbers: Sequence[int], cancel: threading.Event | None = None
    ) -> Iterator[FrameReport]:
        """Render and write frames, yielding a report for each as it is done.

        A frame that cannot be read or written fails alone; a full disk ends the run.

        Raises:
            DiskFull, OutOfMemory, ModelLoadError: the run cannot go on; what was done is on record.
        """
        with ExitStack() as stack:
            reading = stack.enter_context(_Lane(self.overlap, "wetgate-read"))
            writing = stack.enter_context(_Lane(self.overlap, "wetgate-write"))
            ahead: Future[None] | None = None
            behind: tuple[Future[FrameReport], ShelvedFrame] | None = None
            for at, number in enumerate(numbers):
                if cancel is not None and cancel.is_set():
                    break
                if ahead is not None:
                    ahead.result()
                following = numbers[at + 1 : at + 2]
                ahead = self._read_ahead(reading, following, now=self.early)
                started = time.perf_counter()
                try:
                    done, shelved = self._render(number)
                    order = self._order(number, shelved, done, started)
                except DiskFull:
                    raise
                except MemoryError as error:
                    raise OutOfMemory(
                        "the system has no memory left",
                        frame=number,
                        remedy="pass a smaller --memory, or fewer --threads",
                    ) from error
                except WetgateError as error:
                    if not _is_of_one_frame(error):
                        raise
                    spent = time.perf_counter() - started
                    yield self.writer.fail(number, self.source_file(number), error, spent)
                    self.chain.retain(following)
                    continue
                if behind is not None:
                    yield self._written(*behind)
                shelved.pinned = True
                behind = writing.submit(self._write, order), shelved
                del order, done, shelved  # the memory of this frame is the next one's
                if not self.overlap:
                    yield self._written(*behind)
                    behind = None
                self.chain.retain(following)
                ahead = ahead or self._read_ahead(reading, following, now=not self.early)
            if ahead is not None:
                ahead.result()
            if behind is not None:
                yield self._written(*behind)
            self.chain.retain(())

    def _read_ahead(
        self, reading: _Lane, numbers: Sequence[int], *, now: bool
    ) -> Future[None] | None:
        return reading.submit(self._fetch, numbers) if self.overlap and now else None

    def _fetch(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.shelf.prefetch(self.chain.needs(number))

    def _render(self, number: int) -> tuple[Finished, ShelvedFrame]:
        shelved = self.shelf.get(number)
        return self.chain.finish(number), shelved

    def _order(
        self, number: int, shelved: ShelvedFrame, done: Finished, started: float
    ) -> WriteOrder:
        resized = self.chain.sizes.changes
        if resized and done.color is not None:
            frame = resized_frame(shelved, done.color, self.chain.sizes)
        else:
            frame = shelved.rebuild(done.color)
        space_changed = self.output_space is not None
        if self.output_space is not None:
            alpha = shelved.alpha
            if alpha is not None:
                canvas = canvas_of(shelved.shell)
                alpha = self.chain.sizes.plane_output(alpha, canvas, "linear")
            frame = _into_space(frame, shelved, self.output_space, alpha)
        return WriteOrder(
            frame=frame,
            source_rows=shelved.rows,
            source_file=self.source_file(number),
            source_digest=shelved.digest,
            source_bytes=shelved.nbytes,
            color_index=shelved.color_index,
            unchanged=done.color is None and not space_changed,
            space_changed=space_changed,
            resized=resized,
            touched=done.touched,
            mark=done.mark,
            notes=done.notes,
            network_off=done.network_off,
            fixes=done.fixes,
            only_fixes=self.chain.only_fixes and not space_changed,
            matte_digest=self.matte_digest(number) if self.matte_digest is not None else "",
            warnings=_unlike(shelved.shell, self.usual) if self.usual is not None else (),
            seconds=time.perf_counter() - started,
        )

    def _write(self, order: WriteOrder) -> FrameReport:
        try:
            return self.writer.write(order)
        except DiskFull:
            raise
        except WetgateError as error:
            return self.writer.fail(order.frame.number, order.source_file, error, order.seconds)

    def _written(self, future: Future[FrameReport], shelved: ShelvedFrame) -> FrameReport:
        report = future.result()
        shelved.pinned = False
        return report


def _is_of_one_frame(error: WetgateError) -> bool:
    """Whether an error speaks of one frame: unreadable input, or a result of an operator."""
    of_the_run = isinstance(error, OutOfMemory | ModelLoadError)
    return isinstance(error, InputError | BackendError) and not of_the_run


def _unlike(frame: Frame, usual: ImageInfo) -> tuple[str, ...]:
    """Say what sets a frame apart from its plate: a stray file would otherwise pass unseen.

    Data windows may change from frame to frame; display windows, samples and formats do not.
    """
    facts = (
        (
            "{} x {} px".format(*frame.display_window.size),
            "{} x {} px".format(*usual.display_window.size),
        ),
        (frame.sample_type, usual.sample_type),
        (", ".join(frame.channels), ", ".join(usual.channels)),
        (frame.header.format, usual.header.format),
    )
    return tuple(
        f"{here}, where the plate begins with {there}" for here, there in facts if here != there
    )


def _into_space(
    frame: Frame, shelved: ShelvedFrame, target: OutputSpace, alphas: Plane | None
) -> Frame:
    """Convert the colors of a whole frame; other channels keep their bits.

    Args:
        alphas: alpha at the size of the frame.
    """
    pixels = frame.pixels.copy() if frame.pixels is shelved.shell.pixels else frame.pixels
    index = list(shelved.color_index)
    for band in row_bands(pixels.shape):
        color = np.ascontiguousarray(pixels[band][..., index])
        alpha = None if alphas is None else alphas.rows(band.start, band.stop)
        out = target.encoding.encode(color, alpha)
        if target.encoding.premultiplied and alpha is not None:
            out = premultiply(out, alpha[..., 0])
        pixels[band][..., index] = out
    return frame.replace_pixels(pixels, color_space=target.name)


class _Lane:
    """A thread of its own for one kind of work, or the caller's own when `threaded` is False."""

    def __init__(self, threaded: bool, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name) if threaded else None

    def __enter__(self) -> _Lane:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def submit(self, function: Callable[..., object], *args: object) -> Future:  # type: ignore[type-arg]
        """Start the work; without a thread it is done when this returns."""
        if self._pool is not None:
            return self._pool.submit(function, *args)
        future: Future[object] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future
