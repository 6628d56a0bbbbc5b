"""Run one import in a process that has nothing to lose and cannot reach anything.

The file arrives by content, alone in a new folder, so that no name in it can lead anywhere; the
answer is a graph and a few facts in JSON, both bounded and both checked again here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wetgate.importers.limits import Limits
from wetgate.model.errors import ModelLoadError, OutOfMemory

Job = Literal["onnx", "ncnn", "checkpoint"]

_ANSWER, _GRAPH, _LOG = "answer.json", "graph.onnx", "log.txt"
_MAX_ANSWER_BYTES = 1 << 20
_KEPT = ("PATH", "SYSTEMROOT", "SYSTEMDRIVE", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH")
"""Names from the environment that a Python needs to start. Nothing else: no keys, no proxies."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child found.

    Attributes:
        graph: ONNX bytes: one input "x", one output "y", fp32, nothing outside.
        facts: what was measured, JSON values.
        walls: what kept the child in, in words.
    """

    graph: bytes
    facts: Mapping[str, object]
    walls: tuple[str, ...]


def run_child(job: Job, files: Mapping[str, bytes], *, limits: Limits) -> Answer:
    """Convert and measure in a child.

    Args:
        files: plain names -> content.

    Raises:
        ModelLoadError: the child refused the file, died or took too long.
        OutOfMemory: it needs more memory than the limit.
    """
    with tempfile.TemporaryDirectory(prefix="wetgate-import-") as made:
        folder = Path(made).resolve()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        code = _run(job, folder, tuple(files), limits)
        document = _answer(folder, code, limits)
        error = document.get("error")
        if isinstance(error, dict):
            raise _told(error)
        facts, walls = document.get("facts"), document.get("walls")
        if not isinstance(facts, dict) or not isinstance(walls, list):
            raise ModelLoadError("the importing process gave no answer")
        graph = _read_regular(folder / _GRAPH, 2 * limits.file_bytes)
        return Answer(graph, facts, tuple(str(w) for w in walls))


def _run(job: Job, folder: Path, names: tuple[str, ...], limits: Limits) -> int:
    """Start the child, wait for it and return its exit code; ends it when it is late."""
    request = json.dumps(
        {"job": job, "folder": str(folder), "files": names, "limits": asdict(limits)}
    )
    environment = {k: os.environ[k] for k in _KEPT if k in os.environ}
    environment |= {
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "TEMP": str(folder),
        "TMP": str(folder),
    }
    with open(folder / _LOG, "wb") as log:
        # The working directory is searched for modules: not where files of unknown origin are.
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "wetgate.importers.child"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=Path(sys.executable).anchor,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(request.encode("utf-8"), timeout=limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise ModelLoadError(
                f"importing took longer than {limits.seconds:g} s",
                remedy="the file is damaged, hostile or a very large network",
            ) from error
        finally:
            _end(process)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it may have started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()


def _answer(folder: Path, code: int, limits: Limits) -> dict[str, object]:
    try:
        document = json.loads(_read_regular(folder / _ANSWER, _MAX_ANSWER_BYTES))
    except (ModelLoadError, ValueError, RecursionError) as error:
        raise _obituary(folder, code, limits) from error
    if not isinstance(document, dict):
        raise _obituary(folder, code, limits)
    return document


def _obituary(folder: Path, code: int, limits: Limits) -> ModelLoadError | OutOfMemory:
    """Say why there is no answer."""
    try:
        said = _read_regular(folder / _LOG, 1 << 24)[-4000:].decode("utf-8", "replace").strip()
    except ModelLoadError:
        said = ""
    if any(word in said for word in ("bad_alloc", "MemoryError", "annot allocate memory")):
        return too_much_memory(limits)
    if code == -getattr(signal, "SIGXCPU", 24):
        return ModelLoadError(f"importing took more than {limits.cpu_seconds} s of CPU time")
    how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
    last = said.splitlines()[-1][:300] if said else "no message"
    return ModelLoadError(f"the importing process was {how}: {last}")


def too_much_memory(limits: Limits) -> OutOfMemory:
    """Return the error of an import that does not fit its memory."""
    return OutOfMemory(
        f"the model asks for more than {limits.memory_bytes >> 20} MiB of memory for a picture of "
        "64 x 64 px",
        remedy="the file is damaged or made to exhaust the machine",
    )


def _told(error: Mapping[str, object]) -> ModelLoadError | OutOfMemory:
    def text(key: str) -> str | None:
        value = error.get(key)
        return str(value)[:2000] if value else None

    kind = OutOfMemory if error.get("kind") == "OutOfMemory" else ModelLoadError
    return kind(text("found") or "refused", expected=text("expected"), remedy=text("remedy"))


def _read_regular(path: Path, limit: int) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
                raise ModelLoadError("the importing process left no regular file", path=path)
            return file.read(limit)
    except OSError as error:
        raise ModelLoadError("the importing process left no file", path=path) from error
