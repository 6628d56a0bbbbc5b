"""The service under load, under attack, and what a preview costs beside one copy of its pixels."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wetgate import _native
from wetgate.bench.plates import SPACE, write_plate
from wetgate.bench.service_attacks import ATTACKS, call_as_other_user, hostile_message
from wetgate.bench.service_process import ServiceProcess, wait_for
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    bootstrap_ratio,
    cpu_interleaved,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.io.formats import write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import ServiceError
from wetgate.model.frame import Frame, SourceHeader

_MEMORY = Path("/dev/shm")
_UHD = (2160, 3840, 4)
_TRANSPORT_GOAL = 5.0
_ROUND_TRIP_GOAL = 20.0
_FREE_SECONDS = 10.0


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure one service in a process of its own, by the client that hosts use.

    Args:
        quick: a tenth of the jobs, hosts and messages.
        data: unused; the plates are generated.
    """
    less = 10 if quick else 1
    rows: list[BenchRow] = []
    with tempfile.TemporaryDirectory(prefix="wg") as name:
        folder = Path(name)
        uhd, small = folder / "uhd", folder / "small"
        digests = {
            "generated UHD RGBA, 1 frame": _write_rgba(uhd),
            "generated 96x64, 2 frames": write_plate(small, range(1, 3), 96, 64),
        }
        with ServiceProcess(folder / "home", "--jobs", "2") as service:
            rows.extend(_bridge_rows(folder, repeats=7 if quick else 21))
            rows.append(_transport_row(service, uhd, repeats=7 if quick else 21))
            rows.append(_round_trip_row(service, calls=200 if quick else 2000))
            rows.append(_clients_row(service, clients=8, calls=50))
            rows.extend(_soak_rows(service, small, folder, jobs=200 // less))
            rows.append(_hosts_row(service, small, hosts=20 // (2 if quick else 1)))
            rows.append(_fuzz_row(service, messages=100_000 // less))
            rows.extend(_attack_rows(service))
    return BenchTable(
        name="service",
        rows=tuple(rows),
        data=digests,
        versions=package_versions(("wetgate", "starlette", "uvicorn", "h11", "numpy")),
        machine=machine_facts(),
    )


def _frame() -> tuple[Any, Any]:
    """Return a UHD RGBA frame, and room for a copy of it that has been written to."""
    rng = np.random.default_rng(5)
    pixels = rng.random(_UHD, dtype=np.float32)
    return pixels, pixels.copy()


def _write_rgba(folder: Path) -> str:
    """Write one UHD frame of half floats with alpha; return its digest."""
    pixels, _ = _frame()
    frame = Frame(
        number=1,
        pixels=pixels,
        channels=("R", "G", "B", "A"),
        data_window=Box.of_size(_UHD[1], _UHD[0]),
        display_window=Box.of_size(_UHD[1], _UHD[0]),
        color_space=SPACE,
        pixel_aspect=1.0,
        header=SourceHeader(format="exr", attributes={"compression": "none"}),
        sample_type="half",
    )
    folder.mkdir()
    path = folder / "plate.0001.exr"
    write_frame(frame, path, options=WriteOptions(format="exr", file_name=path.name))
    return digest_bytes(path.read_bytes())


def _beside_memcpy(
    case: str,
    ours: Callable[[], object],
    repeats: int,
    *,
    clock: Callable[[], float],
    taken: Sequence[float] | None = None,
) -> BenchRow:
    """Time something beside one memcpy of a UHD RGBA frame, in turn.

    Args:
        clock: CPU time where all happens in this process, else the wall's.
        taken: seconds of every call of `ours` that do not count, one for each.
    """
    pixels, room = _frame()
    ours_ms, memcpy = cpu_interleaved(ours, lambda: np.copyto(room, pixels), repeats, clock=clock)
    if taken is not None:
        ours_ms = [ms - 1e3 * s for ms, s in zip(ours_ms, taken[-repeats:], strict=True)]
    better, (low, high) = bootstrap_ratio(ours_ms, memcpy)
    return BenchRow(
        case=case,
        wetgate=statistics.median(ours_ms),
        peer=statistics.median(memcpy),
        peer_name="one memcpy",
        ratio=1 / better,
        interval=(1 / high, 1 / low),
        goal=f"<= {_TRANSPORT_GOAL:g}",
        reached=1 / better <= _TRANSPORT_GOAL,
        note="CPU time" if clock is time.process_time else "wall time",
        extra={"MB": pixels.nbytes / 1e6},
    )


def _bridge_rows(folder: Path, *, repeats: int) -> list[BenchRow]:
    """Write a frame into a file, map it, and copy every sample out."""
    pixels, room = _frame()
    shared = str(_MEMORY if _MEMORY.is_dir() else folder)
    kept = _native.FrameFile(shared, pixels.nbytes)

    def out(file: _native.FrameFile) -> None:
        file.write(pixels, file.generation + 1)
        found, _ = _native.frame_open(file.path)
        np.copyto(room, found)

    def anew() -> None:
        file = _native.FrameFile(shared, pixels.nbytes)
        out(file)
        os.unlink(file.path)

    what = "bridge: UHD RGBA into {} file, mapped, every sample copied out"
    cpu = time.process_time
    try:
        return [
            _beside_memcpy(what.format("a given-back"), partial(out, kept), repeats, clock=cpu),
            # Not on the way of a preview: the service makes it while the frame is computed.
            replace(
                _beside_memcpy(what.format("a new"), anew, repeats, clock=cpu),
                goal="",
                reached=None,
                note="CPU time; made beside the computing of the first preview",
            ),
        ]
    finally:
        os.unlink(kept.path)


def _transport_row(service: ServiceProcess, plate: Path, *, repeats: int) -> BenchRow:
    """Ask for a frame, map it and copy every sample out; the engine's own seconds do not count."""
    client = service.client()
    taken: list[float] = []
    room = np.zeros(_UHD, dtype=np.float32)

    def preview() -> None:
        asked = {"recipe": "identity", "input_space": SPACE, "kind": "source"}
        with client.preview(plate=str(plate), frame=1, **asked) as found:
            samples = np.frombuffer(found.data, np.float32).reshape(found.shape)
            np.copyto(room, samples)
            del samples
            taken.append(found.facts["seconds"])

    preview()
    taken.clear()
    return _beside_memcpy(
        "preview of UHD RGBA, from the call to every sample copied out, less the engine's time",
        preview,
        repeats,
        clock=time.perf_counter,
        taken=taken,
    )


def _round_trip_row(service: ServiceProcess, *, calls: int) -> BenchRow:
    client = service.client()
    spent = []
    for _ in range(calls):
        started = time.perf_counter()
        client.status()
        spent.append((time.perf_counter() - started) * 1e3)
    middle = statistics.median(spent)
    return BenchRow(
        case=f"control round trip, median of {calls}",
        wetgate=middle,
        goal=f"< {_ROUND_TRIP_GOAL:g} ms",
        reached=middle < _ROUND_TRIP_GOAL,
        extra={"99th percentile": float(np.quantile(spent, 0.99))},
    )


_CALLER = """
import sys
sys.path.insert(0, sys.argv[1])
import wetgate_client
with wetgate_client.Client(home=sys.argv[2], timeout=30.0) as client:
    client.connect(start=False)
    print("ready", flush=True)
    input()
    print(sum(client.status()["pid"] == int(sys.argv[3]) for _ in range(int(sys.argv[4]))))
"""


def _child(service: ServiceProcess, code: str, *words: str) -> subprocess.Popen[str]:
    folder = str(Path(str(service.module.__file__)).parent)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, folder, str(service.home), *words]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def _clients_row(service: ServiceProcess, *, clients: int, calls: int) -> BenchRow:
    children = [
        _child(service, _CALLER, str(service.process.pid), str(calls)) for _ in range(clients)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answered = sum(int(child.communicate()[0]) for child in children)
    return BenchRow(
        case=f"{clients} clients at once, {calls} calls each: answered",
        wetgate=answered,
        goal=f"{clients * calls}",
        reached=answered == clients * calls,
        unit="calls",
        extra={"seconds": time.perf_counter() - started},
    )


def _soak_rows(service: ServiceProcess, plate: Path, folder: Path, *, jobs: int) -> list[BenchRow]:
    """Run many jobs through one service; what it holds must be as before."""
    client = service.client()
    asked = {"plate": str(plate), "recipe": "identity", "input_space": SPACE, "frames": "1"}
    client.wait(client.submit(out=str(folder / "warm"), **asked)["id"])
    before, shared = client.status(), _shared(service)
    records = [client.submit(out=str(folder / f"o{index}"), **asked) for index in range(jobs)]
    done = sum(client.wait(record["id"])["state"] == "done" for record in records)
    for record in records:
        client.forget(record["id"])
        shutil.rmtree(folder / f"o{records.index(record)}", ignore_errors=True)
    wait_for(lambda: client.status()["fds"] <= before["fds"], _FREE_SECONDS, must=False)
    after = client.status()
    rows = [
        BenchRow(
            case=f"{jobs} jobs through one service: done",
            wetgate=done,
            goal=f"{jobs}",
            reached=done == jobs,
            unit="jobs",
            extra={"MB grown": (after["rss"] - before["rss"]) / 1e6},
        )
    ]
    for name, was, now in (
        ("file descriptors", before["fds"], after["fds"]),
        ("threads", before["threads"], after["threads"]),
        ("files of shared memory", shared, _shared(service)),
    ):
        rows.append(
            BenchRow(
                case=f"{name} after {jobs} jobs",
                wetgate=now,
                peer=was,
                peer_name="before",
                goal="<= before",
                reached=now <= was,
                unit=name,
            )
        )
    return rows


def _shared(service: ServiceProcess) -> int:
    """Count the preview files of a service."""
    places = [_MEMORY, service.home / "preview"]
    named = f"wetgate-*-{service.process.pid}-*"
    return sum(1 for p in places if p.is_dir() for d in p.glob(named) for _ in d.iterdir())


_HOST = """
import sys
sys.path.insert(0, sys.argv[1])
import wetgate_client
client = wetgate_client.Client(home=sys.argv[2], timeout=30.0)
client.connect(start=False)
asked = {"plate": sys.argv[3], "kind": "source", "recipe": "identity"}
held = [client.preview(frame=number, **asked) for number in (1, 2)]
print(" ".join(one.path for one in held), flush=True)
input()
"""


def _hosts_row(service: ServiceProcess, plate: Path, *, hosts: int) -> BenchRow:
    """Kill hosts that look at previews, and wait until their memory is free."""
    spent = []
    for _ in range(hosts):
        host = _child(service, _HOST, str(plate))
        assert host.stdout is not None
        paths = [Path(path) for path in host.stdout.readline().split()]
        if len(paths) != 2 or not all(path.exists() for path in paths):
            raise ServiceError("a host got no previews", path=service.home)
        host.send_signal(signal.SIGKILL)
        started = time.monotonic()
        host.communicate()
        wait_for(partial(_all_gone, paths), 30.0, must=False)
        spent.append(time.monotonic() - started)
    late = sum(seconds > _FREE_SECONDS for seconds in spent)
    return BenchRow(
        case=f"{hosts} hosts killed: previews still there after {_FREE_SECONDS:g} s",
        wetgate=late,
        goal="0",
        reached=late == 0,
        unit="hosts",
        extra={"longest s": max(spent)},
    )


def _all_gone(paths: Sequence[Path]) -> bool:
    return not any(path.exists() for path in paths)


def _fuzz_row(service: ServiceProcess, *, messages: int) -> BenchRow:
    """Send bytes that are nearly, hardly or not at all a message."""
    rng = random.Random(11)
    token, sent = service.discovery["token"], 0
    while sent < messages:
        with service.connection() as sock:
            for _ in range(rng.randrange(1, 40)):
                sent += 1
                try:
                    sock.sendall(hostile_message(rng, token))
                except OSError:
                    break
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.recv(1 << 20)
    alive = service.alive()
    faults = (service.home / "service.log").read_text("utf-8", "replace").count("Traceback")
    return BenchRow(
        case=f"{sent} hostile messages: crashes and faults",
        wetgate=faults + (not alive),
        goal="0",
        reached=alive and faults == 0,
        unit="faults",
    )


def _attack_rows(service: ServiceProcess) -> list[BenchRow]:
    rows = []
    for name, attack in ATTACKS.items():
        tried, successes = attack(service.discovery)
        rows.append(_attack_row(name, tried, successes))
    if hasattr(os, "getuid") and os.getuid() == 0:
        for path, mode in ((service.home, 0o755), (service.home / "run", 0o755)):
            os.chmod(path, mode)
        os.chmod(service.discovery["socket"], 0o666)
        answered = call_as_other_user(service.discovery, calls=50)
        rows.append(_attack_row("another user, with the token and open doors", 50, answered))
    return rows


def _attack_row(name: str, tried: int, successes: int) -> BenchRow:
    return BenchRow(
        case=f"{name}: {tried} attempts",
        wetgate=successes,
        goal="0",
        reached=successes == 0,
        unit="successes",
    )
