"""Listen: a Unix socket, the loopback port, or both, with limits on who may be slow."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from asyncio.base_events import Server as Listener
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wetgate.model.errors import ServiceError
from wetgate.model.version import __version__
from wetgate.service.app import make_app
from wetgate.service.discovery import Discovery, read_discovery, remove_socket
from wetgate.service.security import peer_uid
from wetgate.service.state import Service

_log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
"""How long the head of a request may take, from the connection or its first byte."""
_HEADER_CAP = 64 << 10
_BACKLOG = 2048
HAS_UNIX = hasattr(socket, "AF_UNIX") and sys.platform != "win32"


class GuardedProtocol(H11Protocol):
    """One connection: of this user, and not for ever without a request."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or drop that of another user."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if HAS_UNIX and sock is not None and sock.family == socket.AF_UNIX:
            uid = peer_uid(sock)
            if uid is not None and uid != os.getuid():
                _log.warning("a call of user %d was dropped", uid)
                transport.abort()
                return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the head of a request must be whole in time."""
        if self.transport.is_closing():
            return  # what comes behind a message that was refused
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._watch_head()
        else:
            self._unwatch_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no message; an answer that is under way is not finished."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with suppress(h11.LocalProtocolError):  # the call may allow no answer, or have had one
            super().send_400_response(msg)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self._unwatch_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _unwatch_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: it would raise them again before anything is cleaned up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


class Server:
    """Runs a service until it is told to stop.

    Args:
        tcp: listen at the loopback port and not at a Unix socket. port: 0 takes a free one.
        page: turn on the review page at once.
    """

    def __init__(self, service: Service, *, tcp: bool = False, port: int = 0) -> None:
        self.service = service
        self._tcp = tcp or not HAS_UNIX
        self._port = port
        self.port: int | None = None
        self.socket_path: Path | None = None
        self.ready = asyncio.Event()
        self._listeners: list[Listener] = []
        config = uvicorn.Config(
            make_app(service, _page_routes(service)),
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            h11_max_incomplete_event_size=_HEADER_CAP,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
        )
        self._server = _Uvicorn(config)
        service.stop_server = self.stop
        service.open_page = self.open_port

    def stop(self) -> None:
        """End soon."""
        self.service.stopping.set()
        self._server.should_exit = True

    async def run(self) -> None:
        """Listen, answer, and clean up at the end.

        Raises:
            ServiceError: nobody can listen there.
        """
        try:
            sockets = [self._bind_tcp(self._port) if self._tcp else self._bind_unix()]
        except BaseException:
            await self.service.close()
            self.service.only.release()
            raise
        tidy = asyncio.ensure_future(self.service.tidy())
        self._listen_to_signals()
        try:
            self._write_discovery()
            starting = asyncio.ensure_future(self._announce())
            await self._server.serve(sockets)
            await starting
        finally:
            self.service.stopping.set()
            with suppress(FileNotFoundError):
                self.service.home.discovery.unlink()
            for listener in self._listeners:
                listener.close()
            await self.service.close()
            await tidy
            if self.socket_path is not None:
                remove_socket(self.socket_path)
            self.service.only.release()

    async def open_port(self) -> int:
        """Turn on the loopback port, if it is not on, and return it."""
        if self.port is None:
            sock = self._bind_tcp(0)
            loop = asyncio.get_running_loop()
            protocol: Any = partial(
                GuardedProtocol,
                config=self._server.config,
                server_state=self._server.server_state,
                app_state={},
            )
            self._listeners.append(await loop.create_server(protocol, sock=sock, backlog=_BACKLOG))
            self._write_discovery()
        assert self.port is not None
        return self.port

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self.stop)
            except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
                with suppress(ValueError):
                    signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.stop))

    async def _announce(self) -> None:
        while not self._server.started and not self._server.should_exit:
            await asyncio.sleep(0.01)
        self.ready.set()

    def _bind_unix(self) -> socket.socket:
        self._remove_leftovers()
        path = self.service.home.socket_path()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        os.chmod(path, 0o600)
        sock.listen(_BACKLOG)
        self.socket_path = path
        return sock

    def _remove_leftovers(self) -> None:
        """Remove what a killed service has left; the lock says that none lives."""
        home = self.service.home
        before = read_discovery(home.discovery)
        if before is not None and before.socket is not None:
            remove_socket(Path(before.socket))
        for path in (home.discovery, *(home.root / "run").glob("*.sock")):
            with suppress(FileNotFoundError):
                path.unlink()

    def _bind_tcp(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            raise ServiceError(
                f"port {port} of 127.0.0.1 cannot be had: {error.strerror}",
                remedy="choose another --port, or none for a free one",
            ) from error
        self.port = int(sock.getsockname()[1])
        return sock

    def _write_discovery(self) -> None:
        Discovery(
            pid=os.getpid(),
            started=self.service.started,
            socket=str(self.socket_path) if self.socket_path is not None else None,
            port=self.port,
            token=self.service.token,
            version=__version__,
            executable=sys.executable,
        ).write(self.service.home.discovery)


def _page_routes(service: Service) -> list[Any]:
    """Return the routes of the review page."""
    try:
        from wetgate.service.review.routes import routes
    except ModuleNotFoundError:
        return []
    return list(routes(service))
