"""The routes of the service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from wetgate.io.atomic import output_error
from wetgate.model.errors import BadRequest, NoSuchJob, ServiceError, WetgateError, WrongState
from wetgate.model.version import __version__
from wetgate.service.answer import Answer
from wetgate.service.discovery import API
from wetgate.service.jobs import OVER, Job
from wetgate.service.protocol import (
    INTERNAL,
    AdoptRequest,
    JobRequest,
    PageRequest,
    PreviewRequest,
    ProbeRequest,
    ReleaseRequest,
    error_body,
    parse_message,
    status_of,
)
from wetgate.service.results import results_of
from wetgate.service.security import Guard, server_proof
from wetgate.service.state import Service

_log = logging.getLogger(__name__)
_NDJSON = "application/x-ndjson"

Handler = Callable[[Service, Request], Awaitable[Response]]


async def hello(service: Service, request: Request) -> Response:
    """Say who this is, with a proof that it is the holder of the token."""
    import os

    proof = server_proof(service.token, request.query_params.get("nonce", ""))
    return Answer(
        {
            "service": "wetgate",
            "version": __version__,
            "api": list(API),
            "pid": os.getpid(),
            "proof": proof,
        }
    )


async def status(service: Service, _request: Request) -> Response:
    """Say how the service is doing."""
    return Answer(service.status())


async def recipes(service: Service, _request: Request) -> Response:
    """List the built-in recipes."""
    return Answer((await service.recipes())["recipes"])


async def probe(service: Service, request: Request) -> Response:
    """Say what a plate is."""
    return Answer(await service.probe(parse_message(ProbeRequest, await request.body())))


async def plan(service: Service, request: Request) -> Response:
    """Say what a job would do and need."""
    return Answer(await service.plan(parse_message(JobRequest, await request.body())))


async def submit(service: Service, request: Request) -> Response:
    """Take a job."""
    job = await service.submit(parse_message(JobRequest, await request.body()))
    return Answer({"job": job.record.public()}, 201)


async def list_jobs(service: Service, _request: Request) -> Response:
    """List all jobs, the oldest first."""
    return Answer({"jobs": service.records()})


async def show_job(service: Service, request: Request) -> Response:
    """Show one job."""
    return Answer({"job": _job(service, request).record.public()})


async def forget(service: Service, request: Request) -> Response:
    """Forget the record of a job; frames stay."""
    job = _job(service, request)
    if job.record.state not in OVER:
        raise WrongState(f"the job is {job.record.state}", expected="one that has ended")
    service.store.forget(job)
    return Answer({"forgotten": job.record.id})


async def cancel(service: Service, request: Request) -> Response:
    """Stop a job after the frames in work; once more to stop it at once."""
    return Answer({"job": service.cancel(request.path_params["id"])})


async def resume(service: Service, request: Request) -> Response:
    """Go on with a job that did not come to its end."""
    job = _job(service, request)
    service.runner.resume(job)
    return Answer({"job": job.record.public()})


async def events(service: Service, request: Request) -> Response:
    """Stream what happens to a job, one JSON object a line."""
    job = _job(service, request)
    after = _number(request, "after", 0)

    async def lines() -> AsyncIterator[bytes]:
        service.following(1)
        try:
            async for line in job.follow(after, service.stopping):
                yield line
        finally:
            service.following(-1)

    return StreamingResponse(lines(), media_type=_NDJSON, headers={"cache-control": "no-store"})


async def log(service: Service, request: Request) -> Response:
    """Show everything the child of a job has said."""
    path = _job(service, request).log_path
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    return PlainTextResponse(text)


async def results(service: Service, request: Request) -> Response:
    """List the frames of a job with what became of them."""
    import asyncio

    record = _job(service, request).record
    return Answer(await asyncio.to_thread(results_of, record))


async def thumbnail(service: Service, request: Request) -> Response:
    """Show a frame of a job, small."""
    kind = request.query_params.get("kind", "restored")
    name, frame = request.path_params["id"], _number(request, "frame")
    return Response(await service.thumbnail(name, frame, kind), media_type="image/png")


async def preview(service: Service, request: Request) -> Response:
    """Make one frame of a job, now, and tell where it can be mapped."""
    return Answer(await service.preview(parse_message(PreviewRequest, await request.body())))


async def release(service: Service, request: Request) -> Response:
    """Take a preview back that is looked at no more."""
    service.segments.release(parse_message(ReleaseRequest, await request.body()).file)
    return Answer({"released": True})


async def adopt(service: Service, request: Request) -> Response:
    """List an output that was rendered elsewhere."""
    job = await service.adopt(parse_message(AdoptRequest, await request.body()))
    return Answer({"job": job.record.public()}, 201)


async def page(service: Service, request: Request) -> Response:
    """Turn on the review page and return an address that opens it once."""
    job = parse_message(PageRequest, await request.body()).job
    if job is not None:
        service.store.get(job)
    return Answer({"url": await service.page_url(job)})


async def shutdown(service: Service, _request: Request) -> Response:
    """End the service; jobs stop after the frames in work and can be resumed."""
    service.stopping.set()
    service.stop_server()
    return Answer({"stopping": True})


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/hello", hello),
    ("GET", "/v1/status", status),
    ("GET", "/v1/recipes", recipes),
    ("POST", "/v1/probe", probe),
    ("POST", "/v1/plan", plan),
    ("POST", "/v1/jobs", submit),
    ("GET", "/v1/jobs", list_jobs),
    ("POST", "/v1/jobs/adopt", adopt),
    ("POST", "/v1/page", page),
    ("GET", "/v1/jobs/{id}", show_job),
    ("DELETE", "/v1/jobs/{id}", forget),
    ("GET", "/v1/jobs/{id}/events", events),
    ("GET", "/v1/jobs/{id}/log", log),
    ("GET", "/v1/jobs/{id}/results", results),
    ("POST", "/v1/jobs/{id}/cancel", cancel),
    ("POST", "/v1/jobs/{id}/resume", resume),
    ("GET", "/v1/jobs/{id}/thumbnail", thumbnail),
    ("POST", "/v1/preview", preview),
    ("POST", "/v1/preview/release", release),
    ("POST", "/v1/shutdown", shutdown),
)


def make_app(service: Service, more: Any = ()) -> Guard:
    """Return the guarded application.

    Args:
        more: routes of the review page.
    """
    routes = [
        Route(path, _bound(service, handler), methods=[method]) for method, path, handler in ROUTES
    ]
    app = Starlette(
        routes=[*routes, *more],
        exception_handlers={
            WetgateError: _told,
            HTTPException: _not_found,
            OSError: _refused_by_system,
            Exception: _unexpected,
        },
    )
    app.router.redirect_slashes = False  # a call is written right or not at all
    return Guard(app, token=service.token, sessions=service.pages, touch=service.touch)


def _bound(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(service, request)

    return endpoint


def _job(service: Service, request: Request) -> Job:
    return service.store.get(request.path_params["id"])


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name, "" if default is None else str(default))
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise BadRequest(f"{name}={text[:40]!r} is not a number")
    if len(text) > 12:
        raise BadRequest(f"{name} is out of range")
    return int(text)


async def _told(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WetgateError)
    return Answer(error_body(error), status_of(error))


async def _refused_by_system(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    _log.error("%s %s: %s", request.method, request.url.path, error)
    told = output_error(error, error.filename or "the records of the service")
    return Answer(error_body(told), status_of(told))


async def _not_found(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = NoSuchJob("no such call") if error.status_code == 404 else BadRequest(error.detail)
    return Answer(error_body(refused), error.status_code)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    bug = ServiceError(f"a fault of the service: {type(error).__name__}", remedy="see service.log")
    return Answer(error_body(bug), INTERNAL)
