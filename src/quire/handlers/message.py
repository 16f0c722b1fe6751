"""`message`: what people write, to a channel of the space or to one peer.

A message to one peer is shown to its two ends alone. In this first form it is sealed with the space's key
like every event: other members' devices carry it, and their programs keep it from view.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from quire.core.encoding import is_key
from quire.core.event import Event
from quire.core.text import is_name
from quire.errors import UserError
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.handlers import outgoing, peer
from quire.limits import (
    DEFAULT_PAGE,
    INDEX_STEP,
    MAX_BATCH,
    MAX_BODY_CHARS,
    MAX_INTEGER,
    MAX_NAME_CHARS,
    MAX_PAGE,
)
from quire.store.search import match_expression
from quire.store.views import View


class MessageEvent(Event):
    """`body` goes to everyone in `channel`, or to the one peer `to` (public key)."""

    body: str
    channel: str | UnsetType = UNSET
    to: str | UnsetType = UNSET


class Message(msgspec.Struct):
    """A message as one identity sees it; `channel_id` is the other end's public key for a direct one."""

    event_id: str
    channel_id: str
    sender: str
    sender_name: str
    ts: int
    body_text: str
    #: Sort key, and where to go on reading (`before`).
    position: str


class Channel(msgspec.Struct):
    """Where messages are: a channel by its name, or (`direct`) the conversation with one peer."""

    channel_id: str
    name: str
    direct: bool
    last_ts: int


def _channel_id(o: Opened[MessageEvent]) -> str | None:
    """Where the holder of this copy sees the message, or None where it is not shown to it."""
    event = o.event
    if not 0 < len(event.body) <= MAX_BODY_CHARS:
        return None
    if event.to is UNSET:
        return None if event.channel is UNSET or not is_channel(event.channel) else event.channel
    if event.channel is not UNSET or o.received_by not in (event.to, event.author):
        return None
    return event.to if event.author == o.received_by else event.author


@lru_cache(maxsize=256)  # asked for every event that is taken in
def is_channel(name: str) -> bool:
    """Whether `name` can be a channel's."""
    # Conversations with peers go by their keys.
    return is_name(name, MAX_NAME_CHARS) and name[0] not in "@#" and not is_key(name)


def project(view: View, batch: Sequence[Opened[MessageEvent]]) -> None:
    """Show what this identity is meant to see."""
    rows = []
    numbers: dict[str, int] = {}
    for o in batch:
        event, channel_id = o.event, _channel_id(o)
        if channel_id is None:
            continue
        channel = numbers.get(channel_id)
        if channel is None:
            channel = numbers[channel_id] = _channel_number(view, o, channel_id)
        rows.append((o.account, o.space, channel, event.ts, event.seq, o.number, o.device, event.body))
    view.write(
        "INSERT OR IGNORE INTO message_rows (account, space, channel, ts, seq, event, sender, body_text)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def _channel_number(view: View, o: Opened[MessageEvent], channel_id: str) -> int:
    """The number of a channel in this space, given at first sight."""
    key = (o.account, o.space, channel_id)
    sql = "SELECT n FROM channel_rows WHERE account = ? AND space = ? AND channel_id = ?"
    rows = view.read(sql, key)
    if not rows:
        view.write("INSERT INTO channel_rows (account, space, channel_id) VALUES (?, ?, ?)", [key])
        rows = view.read(sql, key)
    return int(rows[0][0])


def _address(ctx: Context, target: str) -> dict[str, str]:
    """The fields that send a message to `target`: a channel (`general`, `#general`) or a peer (`@bob`)."""
    if target.startswith("@"):
        return {"to": peer.find(ctx, target[1:]).pubkey}
    channel = target.removeprefix("#")
    if not is_channel(channel):
        raise UserError(
            f"{target!r} is no channel name: 1 to {MAX_NAME_CHARS} printable characters, not led by @ or #."
        )
    return {"channel": channel}


def create(ctx: Context, target: str, text: str) -> Message:
    """Write a message to a channel (`general`) or to one peer (`@bob`)."""
    return describe(_write(ctx, target, [text])[0], ctx.member.identity_name)


def create_many(ctx: Context, target: str, texts: list[str]) -> list[str]:
    """Write many messages to one target at once, under one signature; gives their event ids in order."""
    return [o.event_id for o in _write(ctx, target, texts)]


def _write(ctx: Context, target: str, texts: Sequence[str]) -> list[Opened[MessageEvent]]:
    if len(texts) > MAX_BATCH:
        raise UserError(f"At most {MAX_BATCH:,} messages go out at once, these are {len(texts):,}.")
    for text in texts:
        _check_text(text)
    with ctx.home.store.transaction():
        address = _address(ctx, target)
        opened = ctx.append("message", *[{"body": text, **address} for text in texts])
        recipients = outgoing.local_peers(ctx)
        if recipients:
            outgoing.create(ctx, recipients, [o.number for o in opened])
    return opened


def _check_text(text: str) -> None:
    if not text.strip():
        raise UserError("There is nothing in this message: write at least one character.")
    if len(text) > MAX_BODY_CHARS:
        raise UserError(f"A message has 1 to {MAX_BODY_CHARS:,} characters, this one has {len(text):,}.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError("This text holds bytes that are no characters. Send it as UTF-8.") from None


def describe(o: Opened[MessageEvent], sender_name: str) -> Message:
    """A message event as the API shows it."""
    event = o.event
    position = position_of(event.ts, event.seq, event.author)
    return Message(
        o.event_id, _channel_id(o) or "", event.author, sender_name, event.ts, event.body, position
    )


def position_of(ts: int, seq: int, device: str) -> str:
    """The sort key of an event as text: `timestamp:seq:device`, numbers zero-padded."""
    return f"{ts:016}:{seq:016}:{device}"


_COLUMNS = "b.event_id, c.channel_id, d.device, m.ts, m.seq, m.body_text"
_NAMES = "CROSS JOIN blobs AS b ON b.n = m.event CROSS JOIN devices AS d ON d.n = m.sender"


def list_(ctx: Context, target: str, limit: int = DEFAULT_PAGE, before: str = "") -> list[Message]:
    """The newest messages of a channel (`general`) or exchanged with a peer (`@bob`), oldest first.

    `limit` is at most 1,000; `before` goes back from a message's `position`.
    """
    address = _address(ctx, target)
    channel = address.get("to") or address["channel"]
    ts, seq, device = _parse_position(before)
    rows = ctx.home.store.db.all(
        f"SELECT {_COLUMNS} FROM channel_rows AS c CROSS JOIN message_rows AS m ON m.channel = c.n {_NAMES}"
        " WHERE c.account = ? AND c.space = ? AND c.channel_id = ? AND m.ts <= ?"
        " AND (m.ts, m.seq, d.device) < (?, ?, ?) ORDER BY m.ts DESC, m.seq DESC, d.device DESC, b.event_id DESC"
        " LIMIT ?",
        (ctx.member.account, ctx.member.space, channel, ts, ts, seq, device, _page(limit)),
    )
    return _messages(ctx, rows[::-1])


def _parse_position(before: str) -> tuple[int, int, str]:
    if not before:
        return 1 << 62, 0, ""
    try:
        ts, seq, device = before.split(":")
        place = int(ts), int(seq), device
        if not (0 <= place[0] <= MAX_INTEGER and 0 <= place[1] <= MAX_INTEGER and is_key(device)):
            raise ValueError
    except ValueError:
        raise UserError("`before` takes the `position` of a message, as a listing gives it.") from None
    return place


def _page(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise UserError(f"A page has 1 to {MAX_PAGE:,} entries.")
    return limit


def _messages(ctx: Context, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    names = peer.names(ctx)
    return [
        Message(event_id, channel, sender, names.get(sender, ""), ts, body, position_of(ts, seq, sender))
        for event_id, channel, sender, ts, seq, body in rows
    ]


def list_channels(ctx: Context) -> list[Channel]:
    """The channels of this space and the conversations with its peers, by name."""
    member = ctx.member
    names = peer.names(ctx)
    rows = ctx.view("message").read(
        "SELECT channel_id, (SELECT max(ts) FROM message_rows WHERE channel = c.n) FROM channel_rows AS c"
        " WHERE account = ? AND space = ? ORDER BY channel_id LIMIT ?",
        (member.account, member.space, MAX_PAGE),
    )
    channels = [Channel(id_, str(names.get(id_, id_)), id_ in names, last_ts) for id_, last_ts in rows]
    return sorted(channels, key=lambda channel: (channel.direct, channel.name.casefold(), channel.channel_id))


def search(ctx: Context, words: str, limit: int = DEFAULT_PAGE) -> list[Message]:
    """Messages with all the words, the newest arrivals first; `"a phrase"` and `pre*` work too."""
    expression = match_expression(words.replace("\0", " "))
    if ctx.home.search.backlog() <= 4 * INDEX_STEP:
        ctx.home.search.catch_up()
    rows = ctx.home.store.db.all(
        f"SELECT {_COLUMNS} FROM search AS s CROSS JOIN message_rows AS m ON m.n = s.rowid"
        f" CROSS JOIN channel_rows AS c ON c.n = m.channel {_NAMES}"
        " WHERE s.body_text MATCH ? AND m.account = ? AND m.space = ? ORDER BY s.rowid DESC LIMIT ?",
        (expression, ctx.member.account, ctx.member.space, _page(limit)),
    )
    return _messages(ctx, rows)


HANDLER = Handler(
    type="message",
    event=MessageEvent,
    tables=("channel_rows", "message_rows"),
    schema="""
CREATE TABLE channel_rows (
    n INTEGER PRIMARY KEY, account INTEGER NOT NULL, space INTEGER NOT NULL, channel_id TEXT NOT NULL,
    UNIQUE (account, space, channel_id)
) STRICT;
CREATE TABLE message_rows (
    n INTEGER PRIMARY KEY, account INTEGER NOT NULL, space INTEGER NOT NULL, channel INTEGER NOT NULL,
    ts INTEGER NOT NULL, seq INTEGER NOT NULL, event INTEGER NOT NULL, sender INTEGER NOT NULL,
    body_text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_in_order ON message_rows (channel, ts, seq, event);
CREATE VIEW message_index (event_id, channel_id, sender, ts, body_text, account_id, space_id) AS
SELECT b.event_id, c.channel_id, d.device, m.ts, m.body_text, a.account_id, s.space_id
FROM message_rows AS m
JOIN channel_rows AS c ON c.n = m.channel
JOIN blobs AS b ON b.n = m.event
JOIN devices AS d ON d.n = m.sender
JOIN accounts AS a ON a.n = m.account
JOIN spaces AS s ON s.n = m.space;
""",
    project=project,
    needs=lambda o: (peer.need(o.event.author),),
    operations=(
        Operation("sendMessage", create, ("send",), ("target", "text"), writes=True),
        Operation("sendMessages", create_many, writes=True),
        Operation("getMessages", list_, ("messages",), ("target",)),
        Operation("listChannels", list_channels, ("channels",)),
        Operation("searchMessages", search, ("search",), ("words",)),
    ),
    searchable="message_rows",
)
