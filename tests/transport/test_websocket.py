"""What a person reads where a relay cannot be reached. The rest is tried by nodes: tests/process."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from quire.transport.websocket import Events, WebSockets


def why(url: str) -> str:
    """Why a connection is told as closed."""

    async def scenario() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        events = Events(
            lambda _: None, lambda _, __: None, lambda _, text: told.set_result(text), lambda _: []
        )
        lines = WebSockets(events)
        lines.call(1, url)
        try:
            return await told
        finally:
            await lines.close()

    return asyncio.run(scenario())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "socks_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answered(answer: bytes, ask: Callable[[int], str]) -> str:
    """What `ask` gives for the port of somebody who says one thing to whoever comes, and hangs up."""

    async def scenario() -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            return await asyncio.to_thread(ask, server.sockets[0].getsockname()[1])

    return asyncio.run(scenario())


def test_where_nothing_listens_it_is_said_of_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    assert why(f"ws://127.0.0.1:{port}/") == "nothing listens there"
    monkeypatch.setenv("https_proxy", f"http://somebody:secret@127.0.0.1:{port}")
    told = why("wss://127.0.0.1:1/")
    assert (
        told
        == f"the proxy 127.0.0.1:{port}, which the environment names, cannot be used: nothing listens there"
    )


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(port: int) -> str:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        return why("wss://127.0.0.1:1/")

    told = answered(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ask)
    assert told.startswith("the proxy 127.0.0.1:")
    assert "does not let us through" in told


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "http"])
def test_a_place_without_tls_is_told_as_that(answer: bytes) -> None:
    told = answered(answer, lambda port: why(f"wss://127.0.0.1:{port}/"))
    assert told == "it does not speak TLS there: is its address ws:// and not wss://?"


def test_a_host_that_nobody_knows_is_told_without_a_number() -> None:
    told = why("ws://no-such-host.invalid:7750/")
    assert told.startswith("it cannot be reached (")
    assert "Errno" not in told
