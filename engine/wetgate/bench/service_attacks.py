"""Messages and calls that a service must not fall for."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PATHS = ("/v1/hello?nonce=" + "0" * 32, "/v1/status", "/v1/jobs", "/v1/probe", "/v1/plan", "/")
_METHODS = ("GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD", "TRACE", "CONNECT", "get", "X")


def hostile_message(rng: random.Random, token: str) -> bytes:
    """Return bytes that are nearly, hardly or not at all a message.

    Some carry the right token, so that what lies behind the gate is met as well; none asks for
    work or for the end of the service.
    """
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 300))
    head = _head(rng, token)
    if kind == 1:
        return head[: rng.randrange(len(head))]
    if kind == 2:
        return _mutated(rng, head)
    body = _body(rng)
    if kind == 3:
        return head + b"\r\n" + body
    if kind == 4:
        length = rng.choice((b"-1", b"99999999999999999999", b"0x10", b"1e3", b"", b"4, 4"))
        return head + b"Content-Length: " + length + b"\r\n\r\n" + body
    if kind == 5:
        chunk = rng.choice((b"%x" % len(body), b"ffffffffffffffff", b"-1", b"z", b""))
        return (
            head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n" + body + b"\r\n0\r\n\r\n"
        )
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return whole if kind == 6 else _mutated(rng, whole)


def _head(rng: random.Random, token: str) -> bytes:
    lines = [f"{rng.choice(_METHODS)} {rng.choice(_PATHS)} HTTP/{rng.choice(('1.1', '1.0', '9'))}"]
    lines.append(f"Host: {rng.choice(('wetgate', 'wetgate', 'evil.com', ''))}")
    given = rng.choice((token, token, token[:-1], "", "\x7f"))
    lines.append(f"Authorization: Bearer {given}")
    lines.append(f"Content-Type: {rng.choice(('application/json', 'text/plain'))}")
    for _ in range(rng.randrange(3)):
        lines.append(f"X-{rng.randrange(10)}: {'y' * rng.randrange(2000)}")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def _body(rng: random.Random) -> bytes:
    choices: tuple[object, ...] = (
        {},
        [],
        None,
        {"plate": "/nowhere/p.%04d.exr"},
        {"plate": "/" + "x" * rng.randrange(5000)},
        {"files": ["/a"] * rng.randrange(50)},
        {"plate": "\x00"},
        {"plate": "/a\ud800"},
        {"recipe": {"steps": [None]}},
        {"n": 10 ** rng.randrange(400)},
    )
    text = json.dumps(rng.choice(choices)).encode()
    return _mutated(rng, text) if rng.random() < 0.5 else text


def _mutated(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(changed) + 1)
        what = rng.randrange(3)
        if what == 0:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            changed[at:at] = rng.randbytes(rng.randrange(8))
        else:
            del changed[at : at + rng.randrange(8)]
    # A mutated word must not become the one that ends the service.
    return bytes(changed).replace(b"shutdown", b"")


def _status(found: Mapping[str, Any], head: str) -> int:
    """Send a request as it is and return the status; 0 where there is no answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        try:
            sock.connect(found["socket"])
            sock.sendall((head + "Connection: close\r\n\r\n").encode("latin-1"))
            answer = sock.recv(4096)
        except OSError:
            return 0
    parts = answer.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _tried(found: Mapping[str, Any], heads: Iterator[str]) -> tuple[int, int]:
    statuses = [_status(found, head) for head in heads]
    return len(statuses), sum(status < 400 and status != 0 for status in statuses)


def _get(token: str | None, *lines: str, host: str = "wetgate", path: str = "/v1/status") -> str:
    right = [f"Authorization: Bearer {token}"] if token is not None else []
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *right, *lines, ""])


def _tokens(found: Mapping[str, Any]) -> tuple[int, int]:
    right, rng = found["token"], random.Random(3)
    wrong = ["", right[:-1], right + "0", right.upper() + "G", right[::-1], "0" * 64, "null"]
    wrong += [f"{rng.getrandbits(256):064x}" for _ in range(42)]
    return _tried(found, (_get(token) for token in (*wrong, None)))


def _hosts(found: Mapping[str, Any]) -> tuple[int, int]:
    names = ["localhost", "127.0.0.1", "127.evil.com", "evil.com", "wetgate.evil.com", "", "[::1]"]
    names += ("wetgate:80", "WETGATE", "wetgate.", "0.0.0.0", "169.254.169.254")
    return _tried(found, (_get(found["token"], host=name) for name in names))


def _origins(found: Mapping[str, Any]) -> tuple[int, int]:
    origins = ["null", "http://evil.com", "https://wetgate", "http://wetgate", "http://localhost"]
    origins += ("http://127.0.0.1", "http://127.evil.com", "file://", "chrome-extension://x", "")
    paths = ("/v1/status", "/v1/jobs", "/v1/hello?nonce=" + "0" * 32, "/review")
    heads = (
        _get(found["token"], f"Origin: {origin}", path=path) for origin in origins for path in paths
    )
    return _tried(found, heads)


def _job_names(found: Mapping[str, Any]) -> tuple[int, int]:
    names = (
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "....//",
        "a%2fb",
        "*",
        "%ff",
        "C:%5c",
    )
    ways = ("", "/log", "/results", "/events", "/thumbnail?frame=1")
    heads = (_get(found["token"], path=f"/v1/jobs/{name}{way}") for name in names for way in ways)
    return _tried(found, heads)


Attack = Callable[[Mapping[str, Any]], tuple[int, int]]
ATTACKS: Mapping[str, Attack] = {
    "wrong token": _tokens,
    "wrong Host": _hosts,
    "any Origin": _origins,
    "job names that lead elsewhere": _job_names,
}

_OTHER_USER = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
answered = 0
for _ in range(int(sys.argv[3])):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(sys.argv[1])
            sock.sendall(sys.argv[2].encode())
            answered += bool(sock.recv(4096))
        except OSError:
            pass
print(answered)
"""


def call_as_other_user(found: Mapping[str, Any], *, calls: int) -> int:
    """Call as user 65534 with the right token; return how many calls were answered. Needs root."""
    head = _get(found["token"]) + "\r\n"
    words = [sys.executable, "-c", _OTHER_USER, found["socket"], head, str(calls)]
    done = subprocess.run(words, capture_output=True, check=True)
    return int(done.stdout)
