import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from quire.api import server
from quire.api.server import make_app
from quire.errors import HomeError
from quire.limits import MAX_REQUEST_BYTES, MAX_SUBSCRIBERS
from tests.api.hosts import FakeHost

TOKEN = "correct-token"
JSON = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
BASE = "http://127.0.0.1:7000"


def client(host: FakeHost, **settings: Any) -> httpx.Client:
    """A client of the app without a socket; answers are whole before they are seen."""
    transport = httpx.ASGITransport(make_app(host, TOKEN, ("quire.lan",)), raise_app_exceptions=False)

    class Blocking(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            async def run() -> httpx.Response:
                answer = await transport.handle_async_request(request)
                assert isinstance(answer.stream, httpx.AsyncByteStream)
                body = b"".join([chunk async for chunk in answer.stream])
                return httpx.Response(answer.status_code, headers=answer.headers, content=body)

            return asyncio.run(run())

    return httpx.Client(transport=Blocking(), base_url=BASE, **settings)


@pytest.fixture
def api(host: FakeHost) -> httpx.Client:
    return client(host, headers=JSON)


def test_an_operation_is_a_post(api: httpx.Client) -> None:
    sent = api.post("/api/sendMessage", json={"target": "general", "text": "hello"})
    assert sent.status_code == 200
    assert sent.headers["content-type"] == "application/json"
    found = api.post("/api/getMessages", json={"target": "general", "as": "alice", "space": "garden"}).json()
    assert found == {"result": [sent.json()["result"]]}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_but_post_runs_an_operation(api: httpx.Client, host: FakeHost, method: str) -> None:
    answer = api.request(method, "/api/createIdentity", params={"name": "mallory"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert len(host.ask("listIdentities")) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/getMessages", b"{}", 400, "bad-request"),
        ("/api/getMessages", b"", 400, "bad-request"),
        ("/api/getMessages", b"[1]", 400, "bad-request"),
        ("/api/getMessages", b'{"target": ', 400, "bad-request"),
        ("/api/getMessages", b'{"target": "\xff"}', 400, "bad-request"),
        ("/api/getMessages", b'{"target": "general", "as": 5}', 400, "bad-request"),
        ("/api/getMessages", b"[" * 100_000, 400, "bad-request"),
        ("/api/getMessages", b'{"target":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "bad-request"),
        ("/api/getMessages", b'{"target": "@nobody"}', 404, "not-found"),
        ("/api/query", b'{"statement": "DROP TABLE blobs"}', 403, "refused"),
        ("/api/fly", b"{}", 404, "not-found"),
        ("/nothing", b"{}", 405, "bad-request"),
    ],
)
def test_mistakes(api: httpx.Client, path: str, body: bytes, status: int, code: str) -> None:
    answer = api.post(path, content=body)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert answer.json()["message"]


def test_a_request_has_a_size(api: httpx.Client) -> None:
    answer = api.post("/api/getMessages", content=b" " * (MAX_REQUEST_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "too-large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_form_of_another_page_is_refused(api: httpx.Client, kind: str) -> None:
    answer = api.post("/api/createSpace", content=b'{"name": "x"}', headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_failing_home_is_told(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise HomeError("The disk is full.")

    monkeypatch.setattr(server, "prepare", lambda *_: full)
    answer = api.post("/api/getMessages", json={"target": "general"})
    assert (answer.status_code, answer.json()) == (503, {"error": "home", "message": "The disk is full."})


def test_a_bug_shows_nothing_of_the_inside(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any) -> None:
        raise KeyError("inner secret")

    monkeypatch.setattr(server, "prepare", lambda *_: bug)
    answer = api.post("/api/getMessages", json={"target": "general"})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert "secret" not in answer.text


def test_the_page_is_served_without_a_token(host: FakeHost) -> None:
    page = client(host).get("/")
    assert page.status_code == 200
    assert "<title>Quire</title>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client(host).get("/app.js").headers["content-type"].startswith("text/javascript")
    for path in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml", "/nope.js"):
        assert client(host).get(path).status_code == 404


def test_the_document_is_served_without_a_token(host: FakeHost) -> None:
    assert client(host).get("/openapi.json").json()["openapi"] == "3.1.0"


# --- The event stream, over the bare app: httpx's transport would wait for its end. ---------------------


class Stream:
    """One request to `/api/events`, read as it comes."""

    def __init__(self, app: Any, query: str, headers: dict[str, str]) -> None:
        named = {"host": "localhost", "authorization": f"Bearer {TOKEN}", **headers}
        self.scope = {
            "type": "http", "method": "GET", "path": "/api/events", "raw_path": b"/api/events",
            "query_string": query.encode(), "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(k.encode(), v.encode()) for k, v in named.items()],
        }  # fmt: skip
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.task = asyncio.create_task(app(self.scope, self._receive, self.sent.put))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def status(self) -> int:
        return int((await self.sent.get())["status"])

    async def blocks(self) -> AsyncIterator[str]:
        while message := await self.sent.get():
            if not message.get("more_body"):
                return
            yield message["body"].decode()


def streaming(test: Callable[[FakeHost], Coroutine[Any, Any, None]]) -> Callable[[FakeHost], None]:
    def run(host: FakeHost) -> None:
        asyncio.run(asyncio.wait_for(test(host), 20))

    run.__name__ = test.__name__
    return run


@streaming
async def test_a_subscriber_starts_from_now_and_resumes(host: FakeHost) -> None:
    app = make_app(host, TOKEN)
    host.ask("sendMessage", target="general", text="before")
    first = Stream(app, "", {})
    assert await first.status() == 200
    blocks = first.blocks()
    assert (await anext(blocks)).startswith("event: ready\n")
    host.ask("sendMessage", target="general", text="after")
    block = await anext(blocks)
    assert '"body_text":"after"' in block
    cursor = int(block.split("\n")[0].removeprefix("id: "))
    first.gone.set()
    await first.task
    host.ask("sendMessage", target="general", text="meanwhile")
    for again in (
        Stream(app, f"cursor={cursor}", {}),
        Stream(app, "cursor=0", {"last-event-id": str(cursor)}),
    ):
        await again.status()
        blocks = again.blocks()
        assert f'{{"cursor":{cursor}}}' in await anext(blocks)
        assert '"body_text":"meanwhile"' in await anext(blocks)
        again.gone.set()
        await again.task


@pytest.mark.slow
@streaming
async def test_a_stream_ends_when_the_node_stops(host: FakeHost) -> None:
    app = make_app(host, TOKEN)
    stream = Stream(app, "cursor=0", {})
    await stream.status()
    blocks = stream.blocks()
    assert [await anext(blocks) for _ in range(5)]
    app.state.closing.set()
    assert [block async for block in blocks] == []
    await stream.task


@streaming
async def test_mistakes_of_a_subscriber(host: FakeHost) -> None:
    app = make_app(host, TOKEN)
    for query, status in (
        ("cursor=x", 400),
        ("cursor=-1", 400),
        (f"cursor={10**17}", 400),
        ("as=nobody", 404),
    ):
        assert await Stream(app, query, {}).status() == status
    assert await Stream(app, "", {"authorization": "Bearer no"}).status() == 401


@streaming
async def test_subscribers_are_counted(host: FakeHost) -> None:
    app = make_app(host, TOKEN)
    streams = [Stream(app, "", {}) for _ in range(MAX_SUBSCRIBERS)]
    for stream in streams:
        assert await stream.status() == 200
        await anext(stream.blocks())
    assert await Stream(app, "", {}).status() == 503
    streams[0].gone.set()
    await streams[0].task
    last = Stream(app, "", {})
    assert await last.status() == 200
    app.state.closing.set()
    await asyncio.gather(last.task, *(stream.task for stream in streams))
