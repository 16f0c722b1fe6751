import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from quire.api import subscriptions
from quire.api.subscriptions import HEARTBEAT, stream
from quire.events.context import Context
from quire.limits import SUBSCRIBER_PAGE
from tests.api.hosts import FakeHost, give_all, let_in


def context(host: FakeHost, place: int = 0) -> Context:
    member = host.home.store.memberships.all()[place]
    return Context(host.home, host.now(), member.account, member)


def read(host: FakeHost, ctx: Context, cursor: int | None, count: int) -> list[bytes]:
    """The first `count` parts of a stream."""

    async def run() -> list[bytes]:
        parts = stream(host, ctx, cursor, asyncio.Event())
        found = [await asyncio.wait_for(anext(parts), 5) for _ in range(count)]
        assert isinstance(parts, AsyncGenerator)
        await parts.aclose()
        return found

    return asyncio.run(run())


def bodies(parts: list[bytes]) -> list[Any]:
    return [part for part in parts if b"data: " in part]


def test_more_than_a_page_comes_whole_and_in_order(host: FakeHost) -> None:
    count = SUBSCRIBER_PAGE + 20
    host.ask("sendMessages", target="general", texts=[str(n) for n in range(count)])
    parts = read(host, context(host), 0, 4 + count)
    for n, part in enumerate(parts[4:]):
        assert b'"body_text":"%d"' % n in part


def test_other_spaces_and_hidden_messages_are_left_out(host: FakeHost) -> None:
    link = host.ask("createInvite", uses=2)["link"]
    for name in ("bob", "carol"):
        host.ask("joinSpace", link=link, name=name)
    host.tick(6)
    host.ask("createSpace", "carol", name="kitchen")
    host.ask("sendMessage", "alice", target="@bob", text="between us")
    host.ask("sendMessage", "carol", "kitchen", target="general", text="soup")
    host.ask("sendMessage", "alice", target="general", text="all of you")
    host.tick(6)
    carol = next(
        c for c in (context(host, n) for n in range(4)) if c.member.name == "garden" and name_of(c) == "carol"
    )
    whole = b"".join(read_until(host, carol, b"all of you"))
    assert b"between us" not in whole
    assert b"soup" not in whole


def test_who_wrote_is_told_by_identity_and_what_a_removed_one_writes_is_not(
    host: FakeHost, tmp_path: Path
) -> None:
    bob = FakeHost(tmp_path / "bob")
    let_in(host, bob, "bob")
    bob.ask("sendMessage", target="general", text="good morning")
    bob.ask("sendMessage", target="@alice", text="for alice")
    give_all(bob, host)
    host.ask("removeMember", name="bob")
    bob.ask("sendMessage", target="general", text="still here")
    give_all(bob, host)
    host.ask("sendMessage", target="general", text="all of you")
    parts = [part for part in read_until(host, context(host), b"all of you") if b'"type":"message"' in part]
    told = [json.loads(part.split(b"data: ")[1]) for part in parts]
    assert [one["body_text"] for one in told] == ["good morning", "for alice", "all of you"]
    key = bob.context().member.account_id
    assert [(one["sender"], one["sender_name"]) for one in told[:2]] == [(key, "bob")] * 2
    assert told[1]["channel_id"] == key
    bob.home.close()


def test_messages_that_no_listing_shows_are_left_out(host: FakeHost) -> None:
    """Other programs can write what ours would not: an empty text, or a channel that is none."""
    ctx = context(host)
    key = ctx.member.account_id
    for fields in ({"body": ""}, {"body": "posing", "channel": key}, {"body": "lost", "channel": "@a"}):
        ctx.append("message", {"channel": "general", **fields})
    host.ask("sendMessage", target="general", text="all of you")
    messages = [part for part in read_until(host, ctx, b"all of you") if b'"type":"message"' in part]
    assert len(messages) == 1


def name_of(ctx: Context) -> str:
    rows = ctx.home.views["identity"].read("SELECT account, name FROM identity_rows")
    return next(str(name) for account, name in rows if account == ctx.account)


def read_until(host: FakeHost, ctx: Context, mark: bytes) -> list[bytes]:
    async def run() -> list[bytes]:
        found = []
        async for part in stream(host, ctx, 0, asyncio.Event()):
            found.append(part)
            if mark in part:
                break
        return found

    return asyncio.run(asyncio.wait_for(run(), 10))


def test_a_cursor_from_the_future_starts_from_now(host: FakeHost) -> None:
    last = host.home.store.blobs.last_cursor()
    assert b'{"cursor":%d}' % last in read(host, context(host), last + 1_000, 1)[0]


def test_silence_is_broken_now_and_then(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "STREAM_HEARTBEAT_S", 0.01)
    assert read(host, context(host), None, 3)[1:] == [HEARTBEAT, HEARTBEAT]


def test_damaged_events_are_passed_over(host: FakeHost) -> None:
    host.ask("sendMessage", target="general", text="lost")
    host.ask("sendMessage", target="general", text="kept")
    db = host.home.store.db
    db.execute("UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE n = (SELECT max(n) - 1 FROM blobs)")
    whole = b"".join(read_until(host, context(host), b"kept"))
    assert b"lost" not in whole
