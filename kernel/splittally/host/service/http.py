"""The service over HTTP: the hot routes as plain ASGI, everything else by Starlette, in one app.

Rule 1. Who asks is found before anything else: by a bearer token, or by the uid at the other end of the
        Unix socket. `Splittally-Principal` names for whom one asks who may act as anybody.
Rule 2. A decision is 200, whatever it says. Everything else is a problem document.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from splittally.core.errors import SplittallyError
from splittally.host.service.authzen import evaluation
from splittally.host.service.feed import cursor, events
from splittally.host.service.hot import (
    JSON,
    RETRY_AFTER_SECONDS,
    body_of,
    caller_of,
    document_of,
    encode,
    one_or_many,
    respond,
    run_lines,
)
from splittally.host.service.metrics import metrics
from splittally.host.service.openapi import document
from splittally.host.service.operations import OPERATIONS, Operation, call
from splittally.host.service.problems import MEDIA_TYPE, Problem, problem_of
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller

EVENTS = "text/event-stream"


def app_of(service: Service) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI app of a service."""
    rest = Starlette(routes=_routes(service), exception_handlers={HTTPException: _refused})
    rest.router.redirect_slashes = False  # an address that a client's headers made up is sent nobody
    hot = {"/v1/intents": one_or_many, "/v1/receipts": one_or_many, "/v1/run": run_lines}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        handle = hot.get(scope["path"]) if scope["type"] == "http" else None
        if handle is None:
            await rest(scope, receive, send)
            return
        face = scope["path"][4:]
        try:
            if scope["method"] != "POST":
                raise Problem(405, "method_not_allowed", f"`{scope['path']}` takes POST")
            await handle(service, scope, receive, send)
            service.count(face, "answered")
        except (Problem, SplittallyError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            service.count(face, problem.code)
            await respond(send, problem.status, encode(problem.document()), MEDIA_TYPE.encode())

    return app


def _routes(service: Service) -> list[Route]:
    routes = [_route(service, operation) for operation in OPERATIONS]

    async def follow(request: Request) -> Response:
        try:
            caller = caller_of(service, request.scope, dict(request.scope["headers"]))
            after = request.headers.get("last-event-id") or request.query_params.get("after") or "-1"
            seq = cursor(service, after)
        except Problem as problem:
            return _problem(problem)
        headers = {"cache-control": "no-store"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type=EVENTS)
        return StreamingResponse(events(service, caller, seq), media_type=EVENTS, headers=headers)

    async def health(request: Request) -> Response:
        return _json({"status": "ok", "seq": service.head.size - 1})

    async def ready(request: Request) -> Response:
        clock = service.clock_state
        is_ready = not service.is_closing and clock != "jumped"
        return _json({"ready": is_ready, "clock": clock}, 200 if is_ready else 503)

    async def described(request: Request) -> Response:
        return _json(document())

    async def measured(request: Request) -> Response:
        return Response(metrics(service), media_type="text/plain; version=0.0.4")

    async def evaluated(request: Request) -> Response:
        return await _answered(service, request, lambda caller, body: evaluation(service, caller, body))

    return [
        *routes,
        Route("/v1/events", _guarded(follow)),
        Route("/health", _guarded(health)),
        Route("/ready", _guarded(ready)),
        Route("/openapi.json", _guarded(described)),
        Route("/metrics", _guarded(measured)),
        Route("/access/v1/evaluation", _guarded(evaluated), methods=["POST"]),
    ]


def _route(service: Service, operation: Operation) -> Route:
    async def endpoint(request: Request) -> Response:
        async def answer(caller: Caller, body: Any) -> Any:
            if request.method == "POST" and request.query_params:
                raise Problem(400, "invalid_input", "the fields of a POST stand in its body")
            given = {**request.query_params, **(body or {}), **request.path_params}
            if len(given) < len(request.query_params.multi_items()) + len(body or ()) + len(
                request.path_params
            ):
                raise Problem(400, "invalid_input", "a field stands twice in this request")
            return await call(service, caller, operation, given, is_text=request.method != "POST")

        return await _answered(service, request, answer, operation.name)

    path = operation.path.replace("{name}", "{name:path}")  # names of accounts have slashes
    return Route(path, _guarded(endpoint), methods=[operation.method], name=operation.name)


async def _answered(
    service: Service,
    request: Request,
    answer: Callable[[Caller, Any], Awaitable[Any]],
    face: str = "evaluation",
) -> Response:
    """The answer to a caller known, with the JSON object of its body."""
    headers = dict(request.scope["headers"])
    try:
        caller = caller_of(service, request.scope, headers)
        raw = await body_of(headers, request.receive) if request.method == "POST" else b""
        body = await document_of(service, caller, raw) if raw.strip() else None
        if body is not None and type(body) is not dict:
            raise Problem(400, "invalid_input", "the body is a JSON object")
        answered = await answer(caller, body)
    except (Problem, SplittallyError) as error:
        problem = error if isinstance(error, Problem) else problem_of(error)
        service.count(face, problem.code)
        return _problem(problem)
    service.count(face, "answered")
    return _json(answered)


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Problem as problem:
            return _problem(problem)

    return guarded


async def _refused(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: a path that is none, a method that a path has not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        text = f"`{request.url.path}` takes another method"
        return _problem(Problem(405, "method_not_allowed", text), error.headers)
    return _problem(Problem(404, "not_found", "there is no such path; `/openapi.json` has them all"))


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type=JSON.decode())


def _problem(problem: Problem, more: Mapping[str, str] | None = None) -> Response:
    headers = dict(more or {})
    if problem.status in (429, 503):
        headers["retry-after"] = RETRY_AFTER_SECONDS.decode()
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(encode(problem.document()), problem.status, headers, MEDIA_TYPE)
