"""The child's side of previews: a job held open, and frames put where a host can map them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wetgate import _native
from wetgate.io.atomic import output_error
from wetgate.model.errors import UsageError
from wetgate.render.options import JobOptions
from wetgate.render.preview import Previewed, Previewer

KINDS = ("restored", "source", "difference", "matte")


class PreviewDesk:
    """Keeps one job open between previews and makes files of frames; `close` removes them."""

    def __init__(self) -> None:
        self._open: tuple[str, Previewer] | None = None
        self._made: set[str] = set()

    def answer(self, request: Mapping[str, Any], options: JobOptions) -> dict[str, Any]:
        """Make a preview.

        Args:
            request: `frame`, `kind`, `directory` for files, and `free`: files that nobody looks
                at any more, each with `file`, `nbytes` and the last `generation`.

        Raises:
            WetgateError: the job cannot be opened or the frame not made.
        """
        kind, directory = request["kind"], Path(request["directory"])
        if kind not in KINDS:
            raise UsageError(f"no preview {kind!r}", expected=", ".join(KINDS))
        made = self._previewer(request, options, directory).frame(request["frame"], kind)
        file, offset, nbytes, generation = self._put(made, directory, request.get("free", ()))
        return {
            "file": file,
            "offset": offset,
            "nbytes": nbytes,
            "shape": list(made.pixels.shape),
            "dtype": "float32",
            "strides": list(made.pixels.strides),
            "generation": generation,
            "channels": list(made.channels),
            "color_space": made.color_space,
            "notes": list(made.notes),
            "seconds": made.seconds,
        }

    def close(self) -> None:
        """Remove every file that is still there."""
        if self._open is not None:
            self._open[1].close()
        for file in self._made:
            with suppress(OSError):
                os.unlink(file)

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

    def _put(self, made: Previewed, directory: Path, free: Any) -> tuple[str, int, int, int]:
        self._made = {file for file in self._made if os.path.exists(file)}
        for old in free:
            if old["nbytes"] == made.pixels.nbytes:
                generation = old["generation"] + 1
                with suppress(OSError, ValueError):
                    told = _native.frame_rewrite(old["file"], made.pixels, generation)
                    return (*told, generation)
        try:
            told = _native.frame_make(str(directory), made.pixels, 1)
        except OSError as error:
            raise output_error(error, directory) from error
        self._made.add(told[0])
        return (*told, 1)


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
