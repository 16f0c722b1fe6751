import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from quire.api.client import NotRunning, call_node
from quire.errors import HomeError, NotFound, QuireError, Refused, UserError

ANSWERS: dict[str, tuple[int, bytes]] = {
    "fine": (200, b'{"result": [1]}'),
    "mistake": (400, b'{"error": "bad-request", "message": "No."}'),
    "refused": (403, b'{"error": "refused", "message": "Never."}'),
    "missing": (404, b'{"error": "not-found", "message": "Gone."}'),
    "full": (503, b'{"error": "home", "message": "Full."}'),
    "bug": (500, b'{"error": "internal", "message": "Oh."}'),
    "nonsense": (200, b"<html>"),
    "list": (500, b"[]"),
}


class Node(BaseHTTPRequestHandler):
    asked: list[tuple[str, Any, str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.removeprefix("/api/")
        self.asked.append((name, body, self.headers["Authorization"]))
        if name == "hangup":
            self.connection.close()
            return
        status, answer = ANSWERS[name]
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


class Quiet(HTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def node() -> Iterator[str]:
    with Quiet(("127.0.0.1", 0), Node) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_call_and_its_result(node: str) -> None:
    assert call_node(node, "tok", "fine", {"text": "é"}, "alice", None) == [1]
    assert Node.asked[-1] == ("fine", {"text": "é", "as": "alice", "space": None}, "Bearer tok")


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("mistake", UserError, "No."),
        ("refused", Refused, "Never."),
        ("missing", NotFound, "Gone."),
        ("full", HomeError, "Full."),
        ("bug", QuireError, "Oh."),
        ("nonsense", QuireError, "makes no sense"),
        ("list", QuireError, "makes no sense"),
        ("hangup", HomeError, "went away before it answered"),
    ],
)
def test_errors_keep_their_kind(node: str, name: str, kind: type[QuireError], text: str) -> None:
    with pytest.raises(QuireError) as told:
        call_node(node, "tok", name, {})
    assert type(told.value) is kind
    assert text in str(told.value)


def test_nobody_answers(node: str) -> None:
    with pytest.raises(NotRunning, match="No node answers at"):
        call_node("127.0.0.1:1", "tok", "fine", {})
