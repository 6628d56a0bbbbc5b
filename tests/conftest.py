"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long one example takes says how busy the machine is, not whether the code is right.
settings.register_profile("wetgate", deadline=None)
settings.load_profile("wetgate")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Switch the network off for the whole run; sockets of this machine's file system work."""
    internet = (socket.AF_INET, socket.AF_INET6)

    def refused(*_: object, **__: object) -> Any:
        raise RuntimeError("the network is switched off in tests")

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, *args: Any) -> Any:
            return refused() if self.family in internet else method(self, *args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", refused)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published test pictures; tests that want it skip when it is absent."""
    named = os.environ.get("WETGATE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test pictures in {folder}; set WETGATE_TEST_DATA")
    return folder
