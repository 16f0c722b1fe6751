import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from quire.errors import HomeError, UserError
from quire.events.home import Home
from quire.node import Arrived, Mistake, Node, Trouble
from quire.runtime import NodeInfo, run
from quire.runtime.clock import steady_ms, wall_ms
from quire.runtime.folder import hold, opened_home
from quire.runtime.ports import bind_tcp
from quire.runtime.run import _Run, run_node
from quire.transport.sockets import Sockets


def _never(_: NodeInfo, __: object) -> NoReturn:
    raise AssertionError("it ran")


def test_what_cannot_be_run_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(UserError, match="no strategy 'best': choose one of"):
        run_node(home, "127.0.0.1:0", "127.0.0.1:0", "best", _never)
    for listen, api in (("nowhere", "127.0.0.1:0"), ("127.0.0.1:0", "nowhere")):
        with pytest.raises(UserError, match="is no address"):
            run_node(home, listen, api, "bloom", _never)
    assert not home.exists()


def test_a_port_in_use_leaves_nothing_behind(tmp_path: Path) -> None:
    with bind_tcp("127.0.0.1", 0) as taken:
        api = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HomeError, match="another program uses it"):
            run_node(tmp_path, "127.0.0.1:0", api, "bloom", _never)
    with hold(tmp_path, "test"), opened_home(tmp_path):  # let go
        pass


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with hold(tmp_path, "test"), opened_home(tmp_path) as made:
        yield made


def _start(folder: Path, home: Home) -> tuple[_Run, Node, Any]:
    sockets = Sockets("127.0.0.1", 0)
    server_socket = bind_tcp("127.0.0.1", 0)
    now = steady_ms()
    node = Node(home, "bloom", now, wall_ms() - now, ("127.0.0.1:1",))
    return _Run(folder, node, sockets, server_socket), node, (sockets, server_socket)


def test_an_error_that_nobody_foresaw_does_not_stop_the_node(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_AFTER_A_MISTAKE", 0.01)
    running, node, sockets = _start(tmp_path, home)
    turns: list[int] = []

    def broken(now: int) -> list[Any]:
        turns.append(now)
        raise ValueError("a mistake")

    monkeypatch.setattr(node, "datagrams_to_send", broken)
    seen: list[dict[str, Any]] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
        with pytest.raises(ValueError, match="a mistake"):
            running._pump()
        for _ in range(500):
            if len(turns) >= 4:
                break
            await asyncio.sleep(0.01)
        assert running._timer is not None
        running._timer.cancel()

    asyncio.run(body())
    assert len(turns) >= 4
    assert len(turns) < 400, "without a rest between"
    assert all(isinstance(context["exception"], ValueError) for context in seen)
    for each in sockets:
        each.close()


def test_who_waits_for_what_came_has_its_turn_before_it_is_answered(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, node, sockets = _start(tmp_path, home)
    turns: list[str] = []

    async def wait() -> None:
        await running._host.changed(0)
        turns.append("told")

    def send(datagrams: list[Any]) -> None:
        turns.append("sent")

    def take_in(now: int) -> None:
        turns.append("taken in")
        if len(turns) == 1:
            node._events.append(Arrived(1))

    monkeypatch.setattr(node, "take_in", take_in)
    monkeypatch.setattr(running._udp, "send", send)

    async def body() -> None:
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        running._came()
        await waiting
        await asyncio.sleep(0)
        assert running._timer is not None
        running._timer.cancel()

    asyncio.run(body())
    assert turns == ["taken in", "told", "taken in", "sent"]
    for each in sockets:
        each.close()


def test_troubles_are_told_to_the_operator(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running, node, sockets = _start(tmp_path, home)
    node._events += [Trouble("The disk is full."), Mistake("A mistake.", ValueError("of ours"))]

    async def body() -> None:
        running._pump()
        assert running._timer is not None
        running._timer.cancel()

    with caplog.at_level(logging.WARNING, "quire"):
        asyncio.run(body())
    assert [record.getMessage() for record in caplog.records] == [
        "quire: The disk is full.",
        "quire: A mistake.",
    ]
    assert "ValueError: of ours" in caplog.text
    for each in sockets:
        each.close()
