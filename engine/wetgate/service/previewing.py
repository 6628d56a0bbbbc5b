"""The child's side of previews: a job held open, and frames put where a host can map them.

Making the pages of a new file costs several times what copying a frame does. So files are kept
mapped and written again, and the first one is made while its frame is.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from wetgate import _native
from wetgate.io.atomic import output_error
from wetgate.model.errors import UsageError, WetgateError
from wetgate.render.options import JobOptions
from wetgate.render.preview import Previewed, Previewer

OFFSET = 4096
"""Where samples begin in a file."""

KINDS = ("restored", "source", "difference", "matte")


class PreviewDesk:
    """Keeps one job open between previews and makes files of frames; `close` removes them."""

    def __init__(self) -> None:
        self._open: tuple[str, Previewer] | None = None
        self._files: dict[str, _native.FrameFile] = {}
        self._ready: _native.FrameFile | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        threading.Thread(target=self._let_go, name="wetgate-files", daemon=True).start()

    def answer(self, request: Mapping[str, Any], options: JobOptions) -> dict[str, Any]:
        """Make a preview.

        Args:
            request: `frame`, `kind`, `directory` for files, and `free`: the `file`s that nobody
                looks at any more.

        Raises:
            WetgateError: the job cannot be opened or the frame not made.
        """
        kind, directory = request["kind"], Path(request["directory"])
        if kind not in KINDS:
            raise UsageError(f"no preview {kind!r}", expected=", ".join(KINDS))
        previewer = self._previewer(request, options, directory)
        free = [spare["file"] for spare in request.get("free", ())]
        with ThreadPoolExecutor(1) as beside:
            # The room is made ready while the frame is computed.
            ready = beside.submit(self._make_ready, previewer.nbytes(kind), free, directory)
            try:
                made = previewer.frame(request["frame"], kind)
                ready.result()
            except BaseException:
                with suppress(WetgateError):
                    ready.result()
                with self._lock:
                    self._drop_ready()
                raise
        started = time.perf_counter()
        file, generation = self._put(made, directory, free)
        return {
            "file": file,
            "offset": OFFSET,
            "nbytes": made.pixels.nbytes,
            "shape": list(made.pixels.shape),
            "dtype": "float32",
            "strides": list(made.pixels.strides),
            "generation": generation,
            "channels": list(made.channels),
            "color_space": made.color_space,
            "notes": list(made.notes),
            "seconds": made.seconds,
            "write_seconds": time.perf_counter() - started,
        }

    def close(self) -> None:
        """Remove every file that is still there."""
        self._closing.set()
        if self._open is not None:
            self._open[1].close()
        with self._lock:
            self._drop_ready()
            for file in self._files.values():
                _remove(file)

    def _previewer(
        self, request: Mapping[str, Any], options: JobOptions, directory: Path
    ) -> Previewer:
        key = json.dumps([request["options"], _stamps(options)], sort_keys=True)
        if self._open is None or self._open[0] != key:
            if self._open is not None:
                self._open[1].close()
                self._open = None
            self._open = (key, Previewer(options, directory))
        return self._open[1]

    def _make_ready(self, nbytes: int, free: Sequence[str], directory: Path) -> None:
        """See that there is a mapped file for a frame of a size."""
        with self._lock:
            if any(file in self._files and self._files[file].nbytes == nbytes for file in free):
                return
        made = _new_file(directory, nbytes)
        with self._lock:
            self._ready = made

    def _put(self, made: Previewed, directory: Path, free: Sequence[str]) -> tuple[str, int]:
        nbytes = made.pixels.nbytes
        with self._lock:
            fitting = (self._files[f] for f in free if f in self._files and os.path.exists(f))
            file = next((f for f in fitting if f.nbytes == nbytes), None)
            if file is None and self._ready is not None and self._ready.nbytes == nbytes:
                file, self._ready = self._ready, None
            if file is None:
                file = _new_file(directory, nbytes)
            self._files[file.path] = file
            generation = file.generation + 1
            file.write(made.pixels, generation)
            self._drop_ready()
        return file.path, generation

    def _drop_ready(self) -> None:
        """Remove the room that was made and not used: the frame was of another size."""
        if self._ready is not None:
            _remove(self._ready)
            self._ready = None

    def _let_go(self) -> None:
        """Give the memory back of files that the service has removed."""
        while not self._closing.wait(1.0):
            with self._lock:
                for path in [path for path in self._files if not os.path.exists(path)]:
                    self._files.pop(path).close()


def _remove(file: _native.FrameFile) -> None:
    file.close()
    with suppress(OSError):
        os.unlink(file.path)


def _new_file(directory: Path, nbytes: int) -> _native.FrameFile:
    try:
        return _native.FrameFile(str(directory), nbytes)
    except OSError as error:
        raise output_error(error, directory) from error


def _stamps(options: JobOptions) -> list[tuple[int, int] | None]:
    """Return what tells that a file of the options has changed."""
    found: list[tuple[int, int] | None] = []
    for path in (options.decisions, options.recipe, options.config):
        try:
            stat = os.stat(path) if isinstance(path, (str, Path)) else None
        except OSError:
            stat = None
        found.append((stat.st_mtime_ns, stat.st_size) if stat is not None else None)
    return found
