"""The routes of the review page: its files, pictures, scopes, fixes, verdicts, another render.

The gate of the service has checked Host, Origin, cookie and the page's own secret before a call
comes here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wetgate.model.errors import BadRequest, NotAllowed, WetgateError, WrongState
from wetgate.render.fixes.verdicts import DECISIONS
from wetgate.render.reporting.html import base_style, fill_template
from wetgate.service.answer import Answer as JsonAnswer
from wetgate.service.protocol import error_body, status_of
from wetgate.service.security import COOKIE
from wetgate.service.state import Service

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Pictures of a show must not stay behind in a browser's cache.
    "Cache-Control": "no-store",
}
FACTS = "X-Wetgate-View"
_SCRIPTS = ("page", "api", "pictures", "stage", "scopes", "fixes", "jobs")
_STYLE = "page.css"
_CHILD = "page"
_SECONDS = 60.0
"""How long one answer about an output may take."""

Answer = Callable[[Request], Awaitable[Response]]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the page."""
    page = _Page(service)
    job = "/v1/page/jobs/{job}"
    return [
        _route("/review", page.html),
        _route("/review/{name}", page.file),
        _route("/v1/page/jobs", page.jobs),
        _route(job, page.job),
        _route(job + "/frames", page.frames),
        _route(job + "/frames/{number}/view", page.view),
        _route(job + "/frames/{number}/scopes", page.scopes),
        _route(job + "/fixes", page.fixes),
        _route(job + "/fixes/{fix}", page.crops),
        _route(job + "/decisions", page.decide, "POST"),
        _route(job + "/rerender", page.rerender, "POST"),
        _route(job + "/cancel", page.cancel, "POST"),
    ]


class _Page:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def html(self, request: Request) -> Response:
        """Let a browser in by its one-time token, or give it the page."""
        once = request.query_params.get("once")
        if once is None:
            csrf = self._service.pages.check(request.cookies.get(COOKIE))
            text = fill_template(_asset("page.html.j2"), csrf=csrf)
            return HTMLResponse(text, headers=HEADERS)
        try:
            cookie = self._service.pages.redeem(once)
        except NotAllowed as error:
            text = fill_template(_asset("refused.html.j2"), message=str(error))
            return HTMLResponse(text, status_of(error), headers=HEADERS)
        job = request.query_params.get("job")
        where = "/review?" + urlencode({"job": job}) if job else "/review"
        answer = RedirectResponse(where, 303, headers=HEADERS)
        answer.set_cookie(COOKIE, cookie, path="/", httponly=True, samesite="strict")
        return answer

    async def file(self, request: Request) -> Response:
        """Give a script or the style sheet of the page."""
        name = request.path_params["name"]
        if name == _STYLE:
            return Response(base_style() + _asset(name), media_type="text/css", headers=HEADERS)
        if name.removesuffix(".js") in _SCRIPTS and name.endswith(".js"):
            return Response(_asset(name), media_type="text/javascript", headers=HEADERS)
        return Response(status_code=404, headers=HEADERS)

    async def jobs(self, request: Request) -> Response:
        """List all jobs."""
        return _json({"jobs": self._service.records()})

    async def job(self, request: Request) -> Response:
        """Tell one job."""
        return _json({"job": self._service.record(_name(request))})

    async def frames(self, request: Request) -> Response:
        """Tell the frames of a job and what is known of the shot."""
        return _json(await self._ask(request, "frames"))

    async def view(self, request: Request) -> Response:
        """Give a picture of a frame."""
        asked = request.query_params
        told = await self._ask(
            request,
            "view",
            number=_frame(request),
            kind=asked.get("kind"),
            width=_number(asked, "width", int),
            gain=_number(asked, "gain", float),
        )
        headers = {**HEADERS, FACTS: json.dumps(told["facts"])}
        return Response(base64.b64decode(told["png"]), media_type="image/png", headers=headers)

    async def scopes(self, request: Request) -> Response:
        """Give waveform and histogram of a frame."""
        asked, number = request.query_params, _frame(request)
        facts = {"number": number, "kind": asked.get("kind"), "working": asked.get("working")}
        return _json(await self._ask(request, "scopes", **facts))

    async def fixes(self, request: Request) -> Response:
        """List the fixes of a job."""
        return _json(await self._ask(request, "fixes", order=request.query_params.get("order")))

    async def crops(self, request: Request) -> Response:
        """Show one fix close."""
        return _json(await self._ask(request, "crops", fix=request.path_params["fix"]))

    async def decide(self, request: Request) -> Response:
        """Put verdicts on record."""
        told = await self._ask(request, "judge", **await _verdicts(request))
        return _json({"accepted": told["accepted"], "rejected": told["rejected"]})

    async def rerender(self, request: Request) -> Response:
        """Render a job again with the verdicts that are on record."""
        decisions = self._output(request) / DECISIONS
        if not decisions.is_file():
            raise WrongState("nothing is decided yet", remedy="accept or reject a fix first")
        return _json({"job": await self._service.rerender(_name(request), decisions)})

    async def cancel(self, request: Request) -> Response:
        """Stop a job after the frames in work."""
        return _json({"job": self._service.cancel(_name(request))})

    def _output(self, request: Request) -> Path:
        directory = self._service.record(_name(request)).get("directory")
        if not directory:
            raise WrongState("the job has no frames yet")
        return Path(str(directory))

    async def _ask(self, request: Request, ask: str, **facts: object) -> dict[str, Any]:
        """Ask the page's child something about a job's output."""
        directory = str(self._output(request))
        argv = self._service.store.get(_name(request)).record.argv
        facts |= {"ask": ask, "directory": directory, "asked": asked_for(argv)}
        return await self._service.warm(_CHILD).ask("page", facts, seconds=_SECONDS)


def asked_for(argv: Sequence[str]) -> dict[str, str]:
    """Return what a page has to know of the command line of a job (`shot.Asked`)."""
    if not argv:
        return {}
    told = dict(text[2:].partition("=")[::2] for text in argv[1:] if text.startswith("--"))
    names = ("input_space", "output_space", "config", "layer", "provenance")
    known = {name: told.get(name.replace("_", "-"), "") for name in names}
    return {"plate": argv[0]} | {name: text for name, text in known.items() if text}


def _name(request: Request) -> str:
    return str(request.path_params["job"])


def _route(path: str, answer: Answer, method: str = "GET") -> Route:
    async def told(request: Request) -> Response:
        try:
            return await answer(request)
        except WetgateError as error:
            return JsonAnswer(error_body(error), status_of(error), headers=HEADERS)

    return Route(path, told, methods=[method], name=getattr(answer, "__name__", None))


def _frame(request: Request) -> int:
    text = str(request.path_params["number"])
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise BadRequest(f"{text[:40]!r} is no frame number")
    return int(text)


async def _document(request: Request, known: set[str]) -> dict[str, Any]:
    try:
        told = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}") from None
    if not isinstance(told, dict) or not set(told) <= known:
        raise BadRequest("not what is asked for", expected=f"an object of {sorted(known)}")
    return told


async def _verdicts(request: Request) -> dict[str, list[str]]:
    names = ("accept", "reject", "clear")
    told = await _document(request, set(names))
    for name, ids in told.items():
        if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
            raise BadRequest(f"{name} is no list of ids")
    return {name: list(told.get(name, [])) for name in names}


def _number(asked: Mapping[str, str], name: str, kind: Callable[[str], Any]) -> Any:
    text = asked.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError as error:
        raise BadRequest(f"{name} is {text[:40]!r}", expected="a number") from error


def _json(value: object) -> JsonAnswer:
    return JsonAnswer(value, headers=HEADERS)


def _asset(name: str) -> str:
    folder = resources.files("wetgate.service.review") / "assets"
    return (folder / name).read_text("utf-8")
