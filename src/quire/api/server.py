"""HTTP over the table of operations, the event stream and the web page.

Owns: routes, sizes and statuses. Everything runs on the event loop's one thread, as the store wants it,
but for SQL, which has a connection of its own. Must not know: sockets of peers, files but the page's.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import quire
from quire.api.group_commit import GroupCommit
from quire.api.guard import Guard, failure
from quire.api.host import Host, NodeContext
from quire.api.openapi import document
from quire.api.operations import OPERATIONS, RESERVED, prepare
from quire.api.scope import scoped
from quire.api.subscriptions import stream
from quire.api.version import version
from quire.errors import HomeError, NotFound, QuireError, Refused, UserError
from quire.limits import MAX_INTEGER, MAX_REQUEST_BYTES, MAX_SUBSCRIBERS

#: They read through a connection of their own and can take seconds, so they run beside the event loop.
_BESIDE = frozenset({"query"})
_STATUS: tuple[tuple[type[QuireError], int], ...] = (
    (NotFound, 404),
    (Refused, 403),
    (UserError, 400),
    (HomeError, 503),
)


class Api:
    """The routes of one node; `closing` ends the event streams."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.closing = asyncio.Event()
        self._group = GroupCommit(host)
        self._subscribers = 0
        self._document = msgspec.json.encode(document(OPERATIONS, version()))

    async def operation(self, request: Request) -> Response:
        """`POST /api/{name}`."""
        name = request.path_params["name"]
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return failure(415, "not-json", "Send the parameters as application/json.")
        body = await _body(request)
        if body is None:
            return failure(413, "too-large", f"A request has at most {MAX_REQUEST_BYTES:,} bytes.")
        params, identity, space = _parse(body)
        run = prepare(self.host, name, params, identity, space)
        if name in _BESIDE:
            result = await asyncio.to_thread(run)
        elif OPERATIONS[name].operation.writes:
            result = await self._group.run(run)
        else:
            result = run()
        return Response(msgspec.json.encode({"result": result}), media_type="application/json")

    async def events(self, request: Request) -> Response:
        """`GET /api/events`."""
        query = request.query_params
        cursor = _cursor(request.headers.get("last-event-id") or query.get("cursor"))
        ctx = NodeContext(self.host.home, self.host.now(), addresses=self.host.addresses(), host=self.host)
        ctx = scoped(ctx, "space", query.get("as"), query.get("space"))
        ctx.member  # noqa: B018  # raises while an error can still be answered as such
        if self._subscribers >= MAX_SUBSCRIBERS:
            return failure(
                503, "too-many", f"At most {MAX_SUBSCRIBERS} programs can listen at once. Close some."
            )
        return StreamingResponse(self._counted(ctx, cursor), media_type="text/event-stream")

    async def _counted(self, ctx: NodeContext, cursor: int | None) -> Any:
        self._subscribers += 1
        try:
            async for chunk in stream(self.host, ctx, cursor, self.closing):
                yield chunk
        finally:
            self._subscribers -= 1

    async def openapi(self, _: Request) -> Response:
        """`GET /openapi.json`."""
        return Response(self._document, media_type="application/json")


def make_app(host: Host, token: str, allowed_hosts: Collection[str] = ()) -> Starlette:
    """The app of one node. Set `app.state.closing` before stopping the server, so that streams end."""
    api = Api(host)
    app = Starlette(
        routes=[
            Route("/openapi.json", api.openapi, methods=["GET"]),
            Route("/api/events", api.events, methods=["GET"]),
            Route("/api/{name}", api.operation, methods=["POST"]),
            Route("/api/{name:path}", _no_such_method, methods=["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            Mount("/", StaticFiles(directory=page_folder(), html=True)),
        ],
        middleware=[Middleware(Guard, token=token, allowed_hosts=allowed_hosts)],
        exception_handlers={QuireError: _on_quire_error, HTTPException: _on_http_error, Exception: _on_bug},
    )
    app.state.closing = api.closing
    return app


async def _no_such_method(request: Request) -> Response:
    if request.path_params["name"] not in OPERATIONS:
        raise HTTPException(404)
    raise HTTPException(405, headers={"Allow": "POST"})


def page_folder() -> Path:
    """The web page's files."""
    return Path(quire.__file__).parent / "web"


async def _body(request: Request) -> bytes | None:
    """The request's body; None when it is larger than MAX_REQUEST_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            return None
    return bytes(body)


def _parse(body: bytes) -> tuple[dict[str, Any], str | None, str | None]:
    try:
        params = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UserError(f"The request is not a JSON object: {error}") from None
    identity, space = (params.pop(name, None) for name in RESERVED)
    if not isinstance(identity, str | None) or not isinstance(space, str | None):
        raise UserError("`as` and `space` take text: a name or an id.")
    return params, identity, space


def _cursor(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > MAX_INTEGER:
        raise UserError("A cursor is the `id` of an event of this stream.")
    return int(text)


async def _on_quire_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QuireError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return failure(status, error.code, str(error))


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    texts = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    answer = failure(error.status_code, "bad-request", texts.get(error.status_code, error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_bug(_: Request, __: Exception) -> JSONResponse:
    return failure(500, "internal", "The node made a mistake. Its log says more; nothing saved is lost.")
