"""A service in a process of its own, and the client that hosts use."""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from wetgate.model.errors import ServiceError

_START_SECONDS = 60.0


class ServiceProcess:
    """A service in a process of its own; ended when left."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.module = client_module()
        self._words = words

    def __enter__(self) -> ServiceProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wetgate.cli", "serve", "--idle", "0", *self._words],
            env={**os.environ, "WETGATE_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_for(lambda: any(self.home.glob("service-*.json")), _START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)

    def client(self) -> Any:
        """Return a connected client."""
        client = self.module.Client(home=str(self.home), timeout=30.0)
        client.connect(start=False)
        return client

    @property
    def discovery(self) -> dict[str, Any]:
        """What the discovery file says."""
        found: dict[str, Any] = json.loads(next(self.home.glob("service-*.json")).read_text())
        return found

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """Give a raw connection."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(self.discovery["socket"])
            yield sock

    def alive(self) -> bool:
        """Whether it runs and answers."""
        return self.process.poll() is None and self.client().status()["pid"] == self.process.pid


def client_module() -> ModuleType:
    """Load the host client by its path, as a host does."""
    packaged = Path(str(importlib.resources.files("wetgate"))) / "plugins"
    for folder in (packaged, Path(__file__).resolve().parents[3] / "plugins"):
        file = folder / "_client" / "wetgate_client.py"
        spec = importlib.util.spec_from_file_location("wetgate_client", file)
        if file.is_file() and spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ServiceError("the installation has no host client", remedy="reinstall wetgate")


def wait_for(true: Callable[[], object], seconds: float, *, must: bool = True) -> None:
    """Wait until something is true; raises `ServiceError` when it must and does not become so."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            if must:
                raise ServiceError(f"the service did not come up within {seconds:g} s")
            return
        time.sleep(0.02)
