"""Read files of unknown origin in a process that may be killed.

A damaged file can crash a decoder, send it into an endless loop or make it ask for all memory.
Here that ends one process and fails one frame; the next frame gets a new process. Our own DPX
and Cineon codecs read in this process: they are memory-safe by construction and ours to mend.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from wetgate.io import formats, wire
from wetgate.io.arena import ArenaReader
from wetgate.io.options import Limits
from wetgate.io.raw import RawFrame
from wetgate.model.errors import FrameReadError, WetgateError
from wetgate.model.frame import Frame, ImageInfo

_log = logging.getLogger(__name__)

_START_SECONDS = 120.0
_STOP_SECONDS = 2.0


class _Child:
    """One decoding process and the memory shared with it."""

    def __init__(self, threads: int) -> None:
        self._arena = ArenaReader()
        command = [sys.executable, "-m", "wetgate.io.sandbox_worker", self._arena.token]
        # The working directory is searched for modules: not where files of unknown origin are.
        self._process = subprocess.Popen(
            [*command, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(sys.executable).anchor,
            pass_fds=self._arena.descriptors,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        try:
            self._within(_START_SECONDS, self._receive)
        except (EOFError, ValueError, TimeoutError) as error:
            self.close()
            raise FrameReadError(
                "the decoding process does not start",
                remedy=f"run {' '.join(command[:3])} to see why",
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: wire.Request, finish: Callable[[object], Frame | None]) -> object:
        """Send one request and build the answer while the shared memory holds it.

        Raises:
            EOFError, ValueError, TimeoutError: when the process died, talks nonsense or hangs.
        """

        def talk() -> list[bytes]:
            assert self._process.stdin is not None
            wire.send(self._process.stdin, pickle.dumps(request))
            return self._receive()

        try:
            head, body = self._within(request.limits.seconds, talk)
            answer = wire.load_trusted_classes(head)
            if not isinstance(answer, wire.Answer):
                raise ValueError("the decoder did not answer")
            return self._build(answer, body, request, finish)
        except TimeoutError:
            raise
        except (OSError, pickle.UnpicklingError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(str(error)) from error

    def _build(
        self,
        answer: wire.Answer,
        body: bytes,
        request: wire.Request,
        finish: Callable[[object], Frame | None],
    ) -> object:
        view = memoryview(b"")
        if answer.used:
            view = self._arena.view(answer.used, answer.generation)
        places = answer.places
        if any(o < 0 or s < 0 or o + s > answer.used for o, s in places):
            raise ValueError("places lie outside the shared memory")
        first = 1 if answer.value == "frame" else 0
        # Copies: what rides along must outlive the next request.
        buffers = [bytearray(view[o : o + s]) for o, s in places[first:]]
        value = wire.load_trusted_classes(body, buffers)
        if answer.value != "frame":
            return value
        if not isinstance(value, RawFrame):
            raise ValueError("the decoder sent no frame")
        offset, size = places[0]
        samples = np.frombuffer(view[offset : offset + size], np.dtype(answer.dtype))
        raw = value.with_samples(samples.reshape(answer.shape))
        return finish(raw)

    def _receive(self) -> list[bytes]:
        assert self._process.stdout is not None
        return wire.receive(self._process.stdout)

    def _within(self, seconds: float, act: Callable[[], list[bytes]]) -> list[bytes]:
        """Do something that blocks; the process is killed when it takes too long."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            return act()
        except (EOFError, OSError) as error:
            if late.is_set():
                raise TimeoutError(f"took longer than {seconds:g} s") from error
            raise EOFError from error
        finally:
            timer.cancel()

    def obituary(self) -> str:
        """Say how the process ended."""
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return "the decoder stopped talking"
        if code < 0:
            import signal

            name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
            return f"the decoder was ended by {name}"
        return f"the decoder ended with code {code}"

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # the other side is gone already
                    continue
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._arena.close()


class Reader:
    """Reads frames; use as a context manager, from any number of threads.

    One decoding process serves one request at a time; a second thread that reads at the same
    moment gets a second process. Processes live until `close`.

    Args:
        limits: what a file may ask for, unless a call says otherwise.
        threads: threads that one decoding process uses.
    """

    def __init__(self, *, limits: Limits | None = None, threads: int = 1) -> None:
        self._limits = limits or Limits()
        self._threads = threads
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read_info(
        self, path: Path, *, limits: Limits | None = None, layer: str | None = None
    ) -> ImageInfo:
        """Read what a file says about itself.

        Raises:
            FrameReadError: when it is missing or damaged, or its decoder died or hung.
            UnsupportedImage: for a feature that wetgate cannot carry, by name.
        """
        limits = limits or self._limits
        kind = formats.sniff_format(path)
        if not formats.needs_sandbox(kind):
            return formats.read_info(path, limits=limits, layer=layer)
        request = wire.Request("info", os.path.abspath(path), 0, kind, layer, limits)
        found = self._ask(request, path, None, lambda raw: None)
        if not isinstance(found, ImageInfo):
            raise FrameReadError("the decoder sent no facts", path=path)
        return found

    def read_frame(
        self,
        path: Path,
        number: int,
        *,
        color_space: str,
        limits: Limits | None = None,
        layer: str | None = None,
    ) -> Frame:
        """Read one frame; arguments and errors as `wetgate.io.formats.read_frame`."""
        limits = limits or self._limits
        try:
            kind = formats.sniff_format(path)
        except WetgateError as error:
            raise _numbered(error, number) from error
        if not formats.needs_sandbox(kind):
            return formats.read_frame(
                path, number, color_space=color_space, limits=limits, layer=layer
            )

        def finish(raw: object) -> Frame | None:
            return raw.frame(number, color_space) if isinstance(raw, RawFrame) else None

        request = wire.Request("frame", os.path.abspath(path), number, kind, layer, limits)
        frame = self._ask(request, path, number, finish)
        if not isinstance(frame, Frame):
            raise FrameReadError("the decoder sent no frame", path=path, frame=number)
        return frame

    def _ask(
        self,
        request: wire.Request,
        path: Path,
        number: int | None,
        finish: Callable[[object], Frame | None],
    ) -> object:
        child = self._take()
        healthy = False
        try:
            found = child.ask(request, finish)
            healthy = True
        except TimeoutError as error:
            raise FrameReadError(str(error), path=path, frame=number) from error
        except EOFError as error:
            raise FrameReadError(child.obituary(), path=path, frame=number) from error
        except ValueError as error:
            why = f"the decoder talks nonsense: {error}"
            raise FrameReadError(why, path=path, frame=number) from error
        finally:
            self._give_back(child, healthy=healthy)
        if isinstance(found, WetgateError):
            raise _numbered(found, number)
        return found

    def _take(self) -> _Child:
        with self._lock:
            if self._closed:
                raise ValueError("the reader is closed")
            if self._idle:
                return self._idle.pop()
        return _Child(self._threads)

    def _give_back(self, child: _Child, *, healthy: bool) -> None:
        with self._lock:
            keep = healthy and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            _log.debug("decoding process %d is given up", child.pid)
            child.close()

    def close(self) -> None:
        """End the decoding processes."""
        with self._lock:
            self._closed = True
            children, self._idle = self._idle, []
        for child in children:
            child.close()


def _numbered(error: WetgateError, number: int | None) -> WetgateError:
    """Return the error with the frame number that only the caller knows."""
    return type(error)(
        error.found,
        path=error.path,
        frame=number if error.frame is None else error.frame,
        expected=error.expected,
        remedy=error.remedy,
    )
