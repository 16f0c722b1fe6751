"""Writes that arrive together share one transaction, and fail alone."""

import asyncio
from collections.abc import Callable
from typing import Any

from quire.api.group_commit import GroupCommit
from quire.api.operations import prepare
from quire.errors import HomeError, UserError
from tests.api.hosts import FakeHost
from tests.events.builders import full_disk


def send(host: FakeHost, text: str) -> Callable[[], Any]:
    return prepare(host, "sendMessage", {"target": "general", "text": text})


def run(host: FakeHost, *writes: Callable[[], Any]) -> list[Any]:
    async def together() -> list[Any]:
        group = GroupCommit(host)
        return await asyncio.gather(*(group.run(write) for write in writes), return_exceptions=True)

    return asyncio.run(together())


def commits(host: FakeHost) -> list[str]:
    seen: list[str] = []

    def note(_: Any, sql: str, __: Any) -> bool:
        if sql in ("COMMIT", "BEGIN IMMEDIATE"):
            seen.append(sql)
        return True

    host.home.store.db.connection.exec_trace = note
    return seen


def test_many_writes_are_one_transaction(host: FakeHost) -> None:
    seen = commits(host)
    results = run(host, *(send(host, f"number {n}") for n in range(20)))
    assert [r.body_text for r in results] == [f"number {n}" for n in range(20)]
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"]


def test_one_that_fails_undoes_itself_alone(host: FakeHost) -> None:
    def half_done() -> None:
        send(host, "never kept")()
        raise UserError("changed my mind")

    first, failed, last = run(host, send(host, "before"), half_done, send(host, "after"))
    assert isinstance(failed, UserError)
    shown = [m["body_text"] for m in host.ask("getMessages", target="general")]
    assert shown == [first.body_text, last.body_text] == ["before", "after"]
    assert host.ask("verify")["damaged"] == 0


def test_nothing_is_answered_that_was_not_committed(host: FakeHost) -> None:
    with full_disk(host.home.store.db):
        answers = run(host, *(send(host, "x" * 9_000) for _ in range(30)))
        assert all(isinstance(answer, HomeError) for answer in answers)
    assert host.ask("getMessages", target="general") == []
    assert run(host, send(host, "again"))[0].body_text == "again"
