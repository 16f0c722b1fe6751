"""Server-sent events: what becomes valid for one identity in one space, from a cursor on.

Owns: the form of the stream and its end. A cursor counts arrivals in this home, never the author's time,
so nothing that comes late is skipped. Must not know: how arrivals come about.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec

from quire.api.host import Host
from quire.events.context import Context
from quire.events.opening import open_stored
from quire.handlers import message
from quire.limits import STREAM_HEARTBEAT_S, SUBSCRIBER_PAGE
from quire.store.blobs import BlobRow

#: Bytes that keep an idle stream alive.
HEARTBEAT = b": still here\n\n"


async def stream(
    host: Host, ctx: Context, cursor: int | None, closing: asyncio.Event
) -> AsyncIterator[bytes]:
    """The stream after `cursor` (None: from now on), until `closing` is set."""
    last = host.home.store.blobs.last_cursor()
    cursor = last if cursor is None else min(cursor, last)
    yield f'event: ready\nid: {cursor}\ndata: {{"cursor":{cursor}}}\n\n'.encode()
    while not closing.is_set():
        page = host.home.store.blobs.arrived_after(ctx.member.account, cursor, SUBSCRIBER_PAGE)
        for cursor, row in page:
            body = describe(ctx, cursor, row)
            if body is not None:
                yield b"id: %d\ndata: %s\n\n" % (cursor, msgspec.json.encode(body))
        if not page:
            cursor = max(cursor, host.home.store.blobs.last_cursor())
            if not await _change(host, cursor, closing):
                yield HEARTBEAT


def describe(ctx: Context, cursor: int, row: BlobRow) -> dict[str, Any] | None:
    """One event for a subscriber; None where it belongs to another space or is not shown to this identity."""
    member = ctx.member
    if row.space != member.space or ctx.home.store.graph.is_hidden(
        member.account, member.space, row.device, row.seq
    ):
        return None
    found = open_stored(ctx.home, member, row)
    if found is None:
        return None  # of another space, or damaged since it arrived: `quire verify` tells of it
    event, handler = found
    shown = message.of_event(ctx, row) if handler is message.HANDLER else None
    if handler is message.HANDLER and shown is None:
        return None
    sender = ctx.home.sender(member.account, member.space, row.device)
    body = {
        "cursor": cursor,
        "type": event.type,
        "event_id": row.event_id,
        "sender": sender,
        "ts": event.ts,
    }
    return body if shown is None else body | msgspec.structs.asdict(shown)


async def _change(host: Host, cursor: int, closing: asyncio.Event) -> bool:
    """Wait for arrivals or the end; False when neither came for a while."""
    waits = [asyncio.ensure_future(host.changed(cursor)), asyncio.ensure_future(closing.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=STREAM_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
            with suppress(asyncio.CancelledError):
                await wait
    return bool(done)
