"""The decoding process: reads one file a request and dies with its parent.

Started by `wetgate.io.sandbox` as `python -m wetgate.io.sandbox_worker TOKEN THREADS`. It
talks over standard input and output and hands pixels over through the arena.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from wetgate.io import formats, wire
from wetgate.io.arena import ArenaWriter
from wetgate.io.options import Limits
from wetgate.model.errors import FrameReadError, WetgateError


def main(token: str, threads: int) -> None:
    """Serve requests until standard input closes."""
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not become part of a message.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    requests: queue.SimpleQueue[wire.Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    _forbid_core_dumps()
    from wetgate.io import oiio

    oiio.set_threads(threads)
    arena = ArenaWriter(token)
    base = _address_space()
    wire.send(answers, b"ready")
    while True:
        request = requests.get()
        _set_limits(request.limits, base)
        wire.send(answers, *_answer(request, arena))


def _listen(source: IO[bytes], requests: queue.SimpleQueue[wire.Request]) -> None:
    """Hand requests on; end the process at once when the parent is gone, even in mid-decode."""
    while True:
        try:
            (blob,) = wire.receive(source)
        except (EOFError, OSError):
            os._exit(0)
        requests.put(pickle.loads(blob))


def _answer(request: wire.Request, arena: ArenaWriter) -> tuple[bytes, bytes]:
    try:
        return _do(request, arena)
    except WetgateError as error:
        failure = error
    except MemoryError:
        failure = FrameReadError(
            f"needs more than the {request.limits.memory_mb} MB of memory that reading may take",
            path=request.path,
        )
    except Exception as error:  # whatever a damaged file makes a library do, this file failed
        failure = FrameReadError(f"{type(error).__name__}: {error}", path=request.path)
    body, _ = wire.dump(failure)
    head, _ = wire.dump(wire.Answer("error"))
    return head, body


def _do(request: wire.Request, arena: ArenaWriter) -> tuple[bytes, bytes]:
    path = Path(request.path)
    if request.wish == "info":
        info = formats.read_info(path, limits=request.limits, layer=request.layer)
        body, buffers = wire.dump(info)
        places, used = arena.put(buffers)
        answer = wire.Answer("info", places=tuple(places), used=used, generation=arena.generation)
        return wire.dump(answer)[0], body
    raw = formats.load(
        path, request.number, request.kind, limits=request.limits, layer=request.layer
    )
    samples = np.ascontiguousarray(raw.samples)
    body, buffers = wire.dump(replace(raw, samples=np.empty(0, samples.dtype)))
    places, used = arena.put([samples.reshape(-1).view(np.uint8).data, *buffers])
    answer = wire.Answer(
        "frame", samples.dtype.str, samples.shape, tuple(places), used, arena.generation
    )
    return wire.dump(answer)[0], body


def _address_space() -> int:
    """Return the bytes of address space in use, 0 where it cannot be told."""
    import psutil

    return int(psutil.Process().memory_info().vms)


def _forbid_core_dumps() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _set_limits(limits: Limits, base: int) -> None:
    """Let the system end this process when a file makes it want too much."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    cores = os.cpu_count() or 1
    seconds = int(used.ru_utime + used.ru_stime + limits.seconds * cores) + 2
    bounds = (
        (resource.RLIMIT_AS, base + (limits.memory_mb << 20)),
        (resource.RLIMIT_CPU, seconds),
    )
    for which, wanted in bounds:
        _, hard = resource.getrlimit(which)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # not every system keeps every limit
            resource.setrlimit(which, (soft, hard))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
