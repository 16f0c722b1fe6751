from collections.abc import Callable
from typing import Any

import pytest

from quire.api.operations import OPERATIONS, call, entry, table
from quire.errors import NotFound, UserError
from quire.events.context import Context
from quire.events.handler import Operation
from quire.handlers import REGISTRY
from tests.api.hosts import FakeHost

DEEP: dict[str, object] = {}
for _ in range(800):
    DEEP = {"deeper": DEEP}


def test_every_operation_of_every_handler_is_in_the_table() -> None:
    named = {operation.name for handler in REGISTRY.handlers for operation in handler.operations}
    assert named < OPERATIONS.keys()
    assert {"getPeers", "getStatus", "query", "rebuild", "verify"} <= OPERATIONS.keys()


def test_parameters_and_defaults_follow_the_signature(host: FakeHost) -> None:
    sent = host.ask("sendMessage", target="general", text="one")
    host.ask("sendMessage", target="general", text="two")
    assert sent["body_text"] == "one"
    assert sent["sender_name"] == "alice"
    assert [m["body_text"] for m in host.ask("getMessages", target="#general")] == ["one", "two"]
    assert [m["body_text"] for m in host.ask("getMessages", target="general", limit=1)] == ["two"]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "there must be a value for `target`"),
        ({"target": 5}, "target: expected `str`, got `int`"),
        ({"target": "general", "limit": "7"}, "limit: expected `int`"),
        ({"target": "general", "limit": 0}, "A page has 1 to"),
        ({"target": "general", "lmit": 5}, "it takes no parameter `lmit`"),
        ({"target": "general\ud800"}, "not valid Unicode"),
        ({"target": "general", "before": "9" * 40 + ":1:x"}, "the `position` of a message"),
        ({"target": "#"}, "no channel name"),
        ({"target": DEEP}, "target: expected `str`, got `object`"),
        ({"target": "general", "x": DEEP}, "it takes no parameter `x`"),
    ],
)
def test_mistakes_are_told_in_plain_words(host: FakeHost, params: dict[str, object], text: str) -> None:
    with pytest.raises(UserError) as told:
        call(host, "getMessages", params)
    assert text in str(told.value)


def test_an_unknown_operation_is_not_found(host: FakeHost) -> None:
    with pytest.raises(NotFound, match="no operation called 'fly'"):
        call(host, "fly", {})


def test_the_host_is_told_of_writes_alone(host: FakeHost) -> None:
    before = host.commits
    host.ask("getMessages", target="general")
    assert host.commits == before
    host.ask("sendMessage", target="general", text="x")
    assert host.commits == before + 1


def untyped(ctx: Context, name) -> str:  # type: ignore[no-untyped-def]
    """Says nothing of its parameter."""
    return str(name)


def reserved(ctx: Context, space: str) -> str:
    """Takes a name that every request may use."""
    return space


def undocumented(ctx: Context) -> str:
    return ""


@pytest.mark.parametrize("run", [untyped, reserved, undocumented])
def test_an_operation_must_say_what_it_takes_and_gives(run: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        entry(Operation("bad", run))


def test_names_are_given_once() -> None:
    one = OPERATIONS["getMessages"].operation
    with pytest.raises(ValueError, match="share a name"):
        table([one, Operation("getMessages", one.run)])
    with pytest.raises(ValueError, match="share a name"):
        table([one, Operation("other", one.run, one.cli)])
