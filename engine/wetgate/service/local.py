"""Call the service of this user from the command line, and start it when none runs."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

from wetgate.model.errors import ServiceError
from wetgate.service.discovery import API, Discovery, Home, read_discovery
from wetgate.service.protocol import ToldError
from wetgate.service.security import UNIX_HOST, server_proof

_SECONDS = 30.0
_START_SECONDS = 20.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, found: Discovery) -> None:
        host = UNIX_HOST if found.socket else f"127.0.0.1:{found.port}"
        super().__init__(host, timeout=_SECONDS)
        self._socket_path = found.socket

    def connect(self) -> None:
        if self._socket_path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._socket_path)


def call_service(
    home: Home, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return the answer of the running service; None when none runs.

    Raises:
        ToldError: the service refused. ServiceError: something else answers in its place.
    """
    found = read_discovery(home.discovery)
    if found is None:
        return None
    nonce = secrets.token_hex(16)
    connection = _Connection(found)
    try:
        said = _call(connection, "GET", f"/v1/hello?nonce={quote(nonce)}", None, {})
        if said.get("proof") != server_proof(found.token, nonce):
            raise ServiceError("what answers there is not this user's service", path=home.root)
        headers = {
            "Authorization": f"Bearer {found.token}",
            "X-Wetgate-Api": str(API[1]),
            "Content-Type": "application/json",
        }
        return _call(connection, method, path, body, headers)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def start_service(home: Home) -> None:
    """Start a service in the background and wait until it answers; one that runs is left alone.

    Raises:
        ServiceError: it does not come up.
    """
    if call_service(home, "GET", "/v1/status") is not None:
        return
    flags: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-m", "wetgate.cli", "serve"],
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        **flags,
    )
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if call_service(home, "GET", "/v1/status") is not None:
            return
        if process.poll() not in (None, 0, ServiceError.exit_code):
            break
        time.sleep(0.05)
    raise ServiceError("the service does not start", remedy=f"see {home.log}, or wetgate serve")


def _call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    headers: dict[str, str],
) -> dict[str, Any]:
    data = json.dumps(body or {}).encode() if method == "POST" else None
    connection.request(method, path, body=data, headers=headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if not isinstance(answer, (dict, list)):
        raise ServiceError("an answer that is not of the service")
    if response.status >= 400 and isinstance(answer, dict):
        raise ToldError.of(answer.get("error", {}))
    return answer if isinstance(answer, dict) else {"items": answer}
