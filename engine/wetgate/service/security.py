"""Who may call the service, from where, and about which places on disk.

Every call passes `Guard` before a route sees it: exact Host, no foreign Origin, the token (or the
cookie of the review page), JSON only, a cap and a time limit on the message.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from wetgate.model.errors import ApiVersion, BadRequest, MessageTooLarge, NotAllowed, WetgateError
from wetgate.service.answer import Answer
from wetgate.service.discovery import API
from wetgate.service.protocol import error_body, status_of

BODY_CAP = 4 << 20
"""Most bytes of one message."""

BODY_SECONDS = 15.0
"""How long a message may take to arrive."""

UNIX_HOST = "wetgate"
COOKIE = "wetgate_page"
PAGE_HEADER = "x-wetgate-page"

_NONCE = re.compile(r"[0-9a-f]{16,128}")
_ONCE_SECONDS = 120.0
_SESSION_SECONDS = 12 * 3600.0
_PAGE_PREFIXES = ("/review/", "/v1/page/")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def server_proof(token: str, nonce: str) -> str:
    """Return what only the holder of the token can say about a nonce, as hex.

    Raises:
        BadRequest: the nonce is not 16 to 128 lower-case hexadecimal digits.
    """
    if not _NONCE.fullmatch(nonce):
        raise BadRequest("a nonce is 16 to 128 lower-case hexadecimal digits")
    message = f"wetgate-server:{nonce}".encode()
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def peer_uid(sock: socket.socket) -> int | None:
    """Return the user at the other end of a Unix socket; None where the system does not tell.

    *Source:* unix(7) SO_PEERCRED on Linux; LOCAL_PEERCRED and `struct xucred` in <sys/ucred.h>
    on macOS.
    """
    if sys.platform == "linux":
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", found)[1])
    if sys.platform == "darwin":
        local, peercred = 0, 1
        return int(struct.unpack_from("2I", sock.getsockopt(local, peercred, 128))[1])
    return None


def require_bearer(headers: Mapping[str, str], token: str) -> None:
    """Refuse a call that does not carry the token; takes the same time for every wrong one.

    Raises:
        NotAllowed: no token or another one.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise NotAllowed(
            "the call does not carry the service's token", remedy="read the discovery file again"
        )


class PageSessions:
    """One-time tokens that open the review page, and the sessions they turn into.

    Attributes:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._once: dict[str, float] = {}
        self._sessions: dict[str, tuple[float, str]] = {}

    def issue_once(self) -> str:
        """Return a fresh one-time token, good for two minutes."""
        self._forget()
        token = secrets.token_urlsafe(32)
        self._once[_hashed(token)] = self.clock() + _ONCE_SECONDS
        return token

    def redeem(self, once: str) -> str:
        """Trade a one-time token for the value of a cookie; the second use is refused.

        Raises:
            NotAllowed: never issued, used before, or too old.
        """
        self._forget()
        if self._once.pop(_hashed(once), None) is None:
            raise NotAllowed(
                "this address has been used or is too old", remedy="wetgate review --open"
            )
        cookie = secrets.token_urlsafe(32)
        until = self.clock() + _SESSION_SECONDS
        self._sessions[_hashed(cookie)] = (until, secrets.token_urlsafe(32))
        return cookie

    def check(self, cookie: str | None) -> str:
        """Return the page's own secret (for the header X-Wetgate-Page) of a session.

        Raises:
            NotAllowed: no such session.
        """
        self._forget()
        found = self._sessions.get(_hashed(cookie)) if cookie else None
        if found is None:
            raise NotAllowed("this browser is not let in", remedy="wetgate review --open")
        return found[1]

    def check_change(self, cookie: str | None, given: str | None) -> None:
        """Let a page change something only when it also knows its own secret.

        Raises:
            NotAllowed: no such session, or another secret.
        """
        secret = self.check(cookie)
        if not given or not hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode()):
            raise NotAllowed(f"the header {PAGE_HEADER} is not that of the page")

    def _forget(self) -> None:
        now = self.clock()
        self._once = {k: until for k, until in self._once.items() if until > now}
        self._sessions = {k: v for k, v in self._sessions.items() if v[0] > now}


def _hashed(token: str) -> str:
    """Return what a secret is kept under, so that a look-up tells nothing about it by its time."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Roots:
    """The directories that requests may speak of; none given means all that the user can reach."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self.roots = tuple(Path(os.path.realpath(root)) for root in roots)

    def __bool__(self) -> bool:
        return bool(self.roots)

    def resolve(self, path: str, *, name: str = "path") -> str:
        """Return a path with every link of it followed; untouched where there are no roots.

        The last part may be a pattern or not exist yet, and is followed where it is a link.

        Raises:
            NotAllowed: it leads outside the roots.
        """
        if not self.roots:
            return path
        if ".." in Path(path).parts:
            raise NotAllowed(f"{name}: '..' in a path", path=path)
        real = Path(os.path.realpath(path))
        if not any(real == root or root in real.parents for root in self.roots):
            raise NotAllowed(
                f"{name} lies outside the roots of the service",
                path=path,
                expected=" or ".join(map(str, self.roots)),
            )
        return str(real)


class Guard:
    """The gate in front of all routes.

    Args:
        app: what is behind it.
        token: the service's. sessions: of the review page.
        touch: called for every call that was let in.
    """

    def __init__(
        self, app: App, *, token: str, sessions: PageSessions, touch: Callable[[], None]
    ) -> None:
        self._app = app
        self._token = token
        self._sessions = sessions
        self._touch = touch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a call and pass it on, or answer it."""
        if scope["type"] != "http":
            return
        try:
            self._check(Request(scope))
            body = await _body(scope, receive)
        except WetgateError as error:
            await _refusal(scope, error)(scope, receive, send)
            return
        self._touch()
        await self._app(scope, _replay(body, receive), send)

    def _check(self, request: Request) -> None:
        own = own_host(request.scope)
        host = request.headers.getlist("host")
        if len(host) != 1 or host[0] not in own:
            raise NotAllowed(f"the Host {', '.join(host) or 'nobody'} is not this service")
        path = request.url.path if not request.scope.get("path") else request.scope["path"]
        is_page = path == "/review" or path.startswith(_PAGE_PREFIXES)
        self._check_origin(request, is_page, host[0])
        changes = request.method not in ("GET", "HEAD")
        if is_page:
            self._check_page(request, path, changes)
        elif path != "/v1/hello":
            require_bearer(request.headers, self._token)
            _check_api(request)
        if changes:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json" and request.method != "DELETE":
                raise BadRequest(f"content type {kind!r}", expected="application/json")

    def _check_origin(self, request: Request, is_page: bool, host: str) -> None:
        origins = request.headers.getlist("origin")
        right = is_page and origins == [f"http://{host}"]
        if origins and not right:
            raise NotAllowed(f"calls from {', '.join(origins)} are not taken")
        site = request.headers.get("sec-fetch-site")
        if site not in (None, "none", "same-origin"):
            raise NotAllowed(f"calls from another site ({site}) are not taken")
        if is_page and not origins and request.method not in ("GET", "HEAD"):
            raise NotAllowed("a change without an Origin is not taken")

    def _check_page(self, request: Request, path: str, changes: bool) -> None:
        if request.scope["server"][1] is None:
            raise NotAllowed("the review page is reachable by the loopback port only")
        if path == "/review" and "once" in request.query_params and not changes:
            return  # its route redeems the token
        cookie = request.cookies.get(COOKIE)
        if changes:
            self._sessions.check_change(cookie, request.headers.get(PAGE_HEADER))
        else:
            self._sessions.check(cookie)


def _refusal(scope: Scope, error: WetgateError) -> Response:
    """Answer a call that was not let in, and take no more of it."""
    headers = {"connection": "close"}
    if scope["method"] == "HEAD":
        return Response(status_code=status_of(error), headers=headers)
    return Answer(error_body(error), status_of(error), headers)


def own_host(scope: Scope) -> tuple[str, ...]:
    """Return the names that this service answers to on the connection of a call."""
    server = scope.get("server")
    if server is None or server[1] is None:
        return (UNIX_HOST,)
    return (f"127.0.0.1:{server[1]}", f"localhost:{server[1]}")


def _check_api(request: Request) -> None:
    given = request.headers.get("x-wetgate-api", str(API[0]))
    if not given.isascii() or not given.isdigit() or len(given) > 6:
        raise BadRequest("the header X-Wetgate-Api is not a number")
    if not API[0] <= int(given) <= API[1]:
        older = int(given) < API[0]
        raise ApiVersion(
            f"the client speaks version {int(given)} of the protocol",
            expected=f"{API[0]} to {API[1]}",
            remedy="update the add-on" if older else "update wetgate",
        )


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read a message whole.

    Raises:
        MessageTooLarge: over the cap. BadRequest: too slow, or broken off.
    """
    headers = dict(scope["headers"])
    stated = headers.get(b"content-length", b"0")
    if stated.isdigit() and len(stated) < 20 and int(stated) > BODY_CAP:
        raise MessageTooLarge(f"{int(stated)} bytes", expected=f"at most {BODY_CAP}")
    try:
        return await asyncio.wait_for(_read(receive), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise BadRequest(f"the message took longer than {BODY_SECONDS:g} s") from None


async def _read(receive: Receive) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadRequest("the message broke off")
        whole += message.get("body", b"")
        if len(whole) > BODY_CAP:
            raise MessageTooLarge("too many bytes", expected=f"at most {BODY_CAP}")
        if not message.get("more_body", False):
            return bytes(whole)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that has been read once more, then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
