"""The test run itself: nothing reaches the network, what is local still works."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 9)),
        (socket.AF_INET, ("192.0.2.1", 80)),
        (socket.AF_INET6, ("::1", 9)),
    ],
)
def test_no_connection_leaves(family: socket.AddressFamily, address: tuple[str, int]) -> None:
    with socket.socket(family) as one:
        with pytest.raises(RuntimeError, match="network is switched off"):
            one.connect(address)
        with pytest.raises(RuntimeError, match="network is switched off"):
            one.connect_ex(address)


def test_no_packet_leaves() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        pytest.raises(RuntimeError, match="network is switched off"),
    ):
        one.sendto(b"x", ("192.0.2.1", 53))


def test_no_name_is_looked_up() -> None:
    with pytest.raises(RuntimeError, match="network is switched off"):
        urllib.request.urlopen("http://example.invalid/", timeout=1)


def test_unix_sockets_work(tmp_path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no Unix sockets")
    name = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
        peer, _ = server.accept()
        with peer:
            client.sendall(b"here")
            assert peer.recv(4) == b"here"
