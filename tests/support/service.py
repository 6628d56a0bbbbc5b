"""A service of its own for a test: in a short-named home, in a process that may be killed."""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wetgate.service.discovery import Discovery, Home, read_discovery

ROOT = Path(__file__).parents[2]
CLIENT_FILE = ROOT / "plugins" / "_client" / "wetgate_client.py"
WORKER = Path(__file__).parent / "service_worker.py"


def load_client() -> Any:
    """The host client, as a host loads it: by its path."""
    spec = importlib.util.spec_from_file_location("wetgate_client", CLIENT_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client_module = load_client()


class Running:
    """A service in a process of its own."""

    def __init__(self, home: Path, *words: str, **limits: float) -> None:
        self.home = home
        self.words = words
        self.limits = limits
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {f"WETGATE_TEST_{k.upper()}": str(v) for k, v in self.limits.items()}
        process = subprocess.Popen(
            [sys.executable, str(WORKER), "serve", *self.words],
            env={**os.environ, "WETGATE_HOME": str(self.home), "OMP_NUM_THREADS": "1", **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: self._answers(process), seconds=30)
        return process

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"the service ended with {process.returncode}"
        found = read_discovery(Home(self.home).discovery)
        return found is not None and found.pid == process.pid

    @property
    def discovery(self) -> Discovery:
        found = read_discovery(Home(self.home).discovery)
        assert found is not None
        return found

    def client(self, **options: Any) -> Any:
        client = client_module.Client(home=str(self.home), **options)
        client.connect(start=False)
        return client

    def raw(self, data: bytes, *, seconds: float = 10) -> bytes:
        """Send bytes as they are; return everything that comes back until the end."""
        with self.connection(seconds) as sock:
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            return drain(sock)

    @contextmanager
    def connection(self, seconds: float = 10) -> Iterator[socket.socket]:
        assert self.discovery.socket is not None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(seconds)
            sock.connect(self.discovery.socket)
            yield sock

    def request(
        self, method: str, path: str, *, body: bytes | None = None, **headers: str | None
    ) -> tuple[int, bytes]:
        """Make one call; headers replace those of a rightful client, None leaves one out."""
        usual: dict[str, str | None] = {
            "Host": "wetgate",
            "Authorization": f"Bearer {self.discovery.token}",
            "Content-Type": "application/json",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        with self.connection() as sock:
            connection = http.client.HTTPConnection("wetgate")
            connection.sock = sock
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                usual["Content-Length"] = str(len(body))
            for name, value in usual.items():
                if value is not None:
                    connection.putheader(name, value)
            with suppress(BrokenPipeError):  # it answers before it has heard all
                connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.read()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


@contextmanager
def running(*words: str, home: Path | None = None, **limits: float) -> Iterator[Running]:
    """Run a service for a while.

    Args:
        words: further words of `wetgate serve`.
        limits: `header_seconds`, `body_seconds` to be used instead of the service's own.
    """
    folder = home or Path(tempfile.mkdtemp(prefix="wg"))
    service = Running(folder, *words, **limits)
    try:
        yield service
    finally:
        service.stop()
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)


def drain(sock: socket.socket) -> bytes:
    whole = bytearray()
    with suppress(ConnectionResetError):
        while part := sock.recv(65536):
            whole += part
    return bytes(whole)


def wait_until(true: Callable[[], object], *, seconds: float) -> float:
    """Wait until something is true; return how long it took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started
