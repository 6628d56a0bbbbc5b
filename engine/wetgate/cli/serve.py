"""`wetgate serve` and `wetgate status`."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output
from wetgate.model.errors import UsageError
from wetgate.model.units import format_bytes, format_seconds

_LOG_BYTES = 2 << 20


def serve(
    tcp: Annotated[
        bool, typer.Option("--tcp", help="Listen at a port of 127.0.0.1 instead of a Unix socket.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="That port; a free one if 0.")
    ] = 0,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", help="Directory that jobs may speak of; repeatable. All if absent."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Jobs that run at a time.")] = 1,
    idle: Annotated[
        float, typer.Option("--idle", min=0, help="End after that many idle minutes; 0 never.")
    ] = 30.0,
    page: Annotated[
        bool, typer.Option("--page", help="Turn on the review page and print its address.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Serve hosts on this machine: jobs, previews, and the review page when it is asked for."""
    from wetgate.service.discovery import Home
    from wetgate.service.server import Server
    from wetgate.service.state import Service

    output = Output(json=json)
    for directory in root or ():
        if not directory.is_dir():
            raise UsageError("no such directory", path=directory, expected="a --root that exists")
    home = Home.of_user()
    home.prepare()
    _log_to(home.log)

    async def work() -> None:
        service = Service(home, roots=root or (), limit=jobs, idle_seconds=idle * 60 or None)
        server = Server(service, tcp=tcp, port=port)
        running = asyncio.ensure_future(server.run())
        waiting = asyncio.ensure_future(server.ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not running.done():
            where = str(server.socket_path) if server.port is None else f"127.0.0.1:{server.port}"
            output.event("serving", pid=os.getpid(), socket=server.socket_path, port=server.port)
            output.line(f"serving at {where}")
            if page:
                url = await service.page_url()
                output.event("page", url=url)
                output.line(f"review page: {url}")
        await running

    asyncio.run(work())


def status(json: JsonFlag = False) -> None:
    """Say whether a service runs, and what its jobs are at."""
    from wetgate.service.discovery import Home
    from wetgate.service.local import call_service

    output = Output(json=json)
    home = Home.of_user()
    found = call_service(home, "GET", "/v1/status")
    if found is None:
        output.event("status", running=False)
        output.line("no service runs")
        raise typer.Exit(3)
    listed = call_service(home, "GET", "/v1/jobs") or {"jobs": []}
    output.event("status", running=True, **found, records=listed["jobs"])
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found["jobs"].items()))
    output.facts(
        f"service {found['version']}, process {found['pid']}",
        [
            ("up", format_seconds(found["uptime"])),
            ("jobs", counts),
            ("memory", format_bytes(found["rss"])),
            ("files", found["fds"]),
            ("threads", found["threads"]),
            ("log", home.log),
        ],
    )
    for record in listed["jobs"]:
        when = time.strftime("%H:%M", time.localtime(record["created"]))
        left = f", {format_seconds(record['eta'])} left" if record["eta"] is not None else ""
        trouble = f": {record['error']}" if record["error"] else ""
        output.line(
            f"{record['id']}  {when}  {record['state']}  {record['done']}/{record['total']} frames"
            f"{left}  {record['label']}{trouble}"
        )


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # of a full disk the job tells, and not the log at the terminal
    # Every message that is none would be a line.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
