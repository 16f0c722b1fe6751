"""`message`: what people write, to a channel of the space, or sealed to a private channel or to one person.

Who is to read a sealed message is told by the audience it is sealed to (see `audience`), and by nothing else.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from quire.core.encoding import is_key
from quire.core.event import Event
from quire.errors import UserError
from quire.events.context import Context
from quire.events.handler import OPTIONAL, Handler, Opened, Operation
from quire.events.standing import author_known
from quire.handlers import audience, channel, graph_events, outgoing, peer
from quire.handlers.channel import is_channel
from quire.limits import (
    DEFAULT_PAGE,
    INDEX_STEP,
    MAX_BATCH,
    MAX_BODY_CHARS,
    MAX_INTEGER,
    MAX_PAGE,
    MAX_UNREAD,
)
from quire.store.blobs import BlobRow
from quire.store.graph_rows import shown
from quire.store.search import match_expression
from quire.store.views import View

PUBLIC, PRIVATE, DIRECT = "public", "private", "direct"


class MessageEvent(Event):
    """`body` goes to everyone in `channel`; sealed, without a channel, to the audience it is sealed to."""

    body: str
    channel: str | UnsetType = UNSET


class Message(msgspec.Struct):
    """A message as one identity sees it; for `channel_id` see Channel."""

    event_id: str
    channel_id: str
    sender: str
    sender_name: str
    ts: int
    body_text: str
    #: Sort key, and where to go on reading (`before`).
    position: str
    kind: str
    channel_name: str


class Channel(msgspec.Struct):
    """Where messages are. `channel_id` is a public channel's name, a private one's id, the other person's key.

    `last_ts` is that of the newest message (ms; 0 where there is none), `unread` how many of others are after the
    read mark; both look at the newest 200 messages.
    """

    channel_id: str
    name: str
    direct: bool
    private: bool
    last_ts: int
    unread: int


class Place(NamedTuple):
    """Where messages go to: `kind` is PUBLIC, PRIVATE or DIRECT."""

    channel_id: str
    kind: str
    name: str


def _place_of(o: Opened[MessageEvent]) -> tuple[str, str] | None:
    """Channel id and kind where the holder of this copy sees the message; None where it is not shown to it."""
    event, sealed_to = o.event, o.audience
    if not 0 < len(event.body) <= MAX_BODY_CHARS:
        return None
    if sealed_to is None:
        return None if event.channel is UNSET or not is_channel(event.channel) else (event.channel, PUBLIC)
    if event.channel is not UNSET:
        return None
    if not sealed_to.fixed:
        return sealed_to.audience_id, PRIVATE
    others = [member for member in sealed_to.members if member != o.received_by]
    return (others or [o.received_by])[0], DIRECT


def project(view: View, batch: Sequence[Opened[MessageEvent]]) -> None:
    """Show what this identity is meant to see."""
    rows = []
    numbers: dict[str, int] = {}
    for o in batch:
        event, place = o.event, _place_of(o)
        if place is None:
            continue
        number = numbers.get(place[0])
        if number is None:
            number = numbers[place[0]] = _channel_number(view, o, *place)
        rows.append((o.account, o.space, number, event.ts, event.seq, o.number, o.device, event.body))
    view.write(
        "INSERT OR IGNORE INTO message_rows (account, space, channel, ts, seq, event, sender, body_text)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def _channel_number(view: View, o: Opened[MessageEvent], channel_id: str, kind: str) -> int:
    """The number of a channel in this space, given at first sight."""
    key = (o.account, o.space, channel_id)
    sql = "SELECT n FROM channel_rows WHERE account = ? AND space = ? AND channel_id = ?"
    rows = view.read(sql, key)
    if not rows:
        view.write(
            "INSERT INTO channel_rows (account, space, channel_id, kind) VALUES (?, ?, ?, ?)", [(*key, kind)]
        )
        rows = view.read(sql, key)
    return int(rows[0][0])


def place(ctx: Context, target: str) -> Place:
    """Where `target` is: a channel (`general`, `#general`) or a person (`@bob`, `@me`). Raises UserError.

    A private channel comes before a public one of the same name, lest what is meant for few goes to all.
    """
    if target.startswith("@"):
        person = peer.find(ctx, ctx.member.account_id if target == "@me" else target[1:])
        return Place(person.pubkey, DIRECT, person.name)
    private = channel.private_called(ctx, target.removeprefix("#"))
    if private is not None:
        return Place(private.channel_id, PRIVATE, private.name)
    name = channel.checked(target)
    return Place(name, PUBLIC, name)


def create(ctx: Context, target: str, text: str) -> Message:
    """Write a message to a channel (`general`) or, sealed, to a private one or to one person (`@bob`)."""
    to, opened = _write(ctx, target, [text])
    o = opened[0]
    position = position_of(o.event.ts, o.event.seq, o.event.author)
    me = ctx.member
    return Message(
        o.event_id,
        to.channel_id,
        me.account_id,
        me.identity_name,
        o.event.ts,
        text,
        position,
        to.kind,
        to.name,
    )


def create_many(ctx: Context, target: str, texts: list[str]) -> list[str]:
    """Write many messages to one target at once, under one signature; gives their event ids in order."""
    return [o.event_id for o in _write(ctx, target, texts)[1]]


def _write(ctx: Context, target: str, texts: Sequence[str]) -> tuple[Place, list[Opened[Any]]]:
    if len(texts) > MAX_BATCH:
        raise UserError(f"At most {MAX_BATCH:,} messages go out at once, these are {len(texts):,}.")
    for text in texts:
        _check_text(text)
    with ctx.home.store.transaction():
        graph_events.check_writer(ctx)
        to = place(ctx, target)
        if to.kind == PUBLIC:
            opened = ctx.append("message", *[{"body": text, "channel": to.channel_id} for text in texts])
        else:
            opened = ctx.append(
                "message", *[{"body": text} for text in texts], audiences=[_audience(ctx, to)]
            )
        recipients = outgoing.local_peers(ctx)
        if recipients:
            outgoing.create(ctx, recipients, [o.number for o in opened])
    return to, opened


def _audience(ctx: Context, to: Place) -> str:
    """The audience to seal to, made if need be."""
    if to.kind == DIRECT:
        return audience.direct(ctx, to.channel_id)
    audience.check_inside(ctx, to.channel_id, to.name)
    return to.channel_id


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


def position_of(ts: int, seq: int, device: str) -> str:
    """The sort key of an event as text: `timestamp:seq:device`, numbers zero-padded."""
    return f"{ts:016}:{seq:016}:{device}"


_COLUMNS = f"b.event_id, c.channel_id, c.kind, d.device, o.member, {peer.NAME}, m.ts, m.seq, m.body_text"
_NAMES = (
    "CROSS JOIN blobs AS b ON b.n = m.event CROSS JOIN devices AS d ON d.n = m.sender"
    " CROSS JOIN member_devices AS o ON o.account = m.account AND o.space = m.space AND o.device = m.sender"
)
#: Kept, and not shown: what was written without the right to (in the space, or in a private channel), and by
#: people whom one has blocked.
_SHOWN = f"""
 AND {shown("m", device="sender")}
 AND NOT EXISTS (SELECT 1 FROM blocked_members AS k WHERE k.account = m.account AND k.space = m.space
    AND k.member = o.member AND k.blocked)
 AND (c.kind <> 'private' OR EXISTS (SELECT 1 FROM audience_spans AS v WHERE v.account = m.account
    AND v.space = m.space AND v.audience = c.channel_id AND v.device = m.sender
    AND m.seq BETWEEN v.first AND v.last))
"""


def list_(ctx: Context, target: str, limit: int = DEFAULT_PAGE, before: str = "") -> list[Message]:
    """The newest messages of a channel (`general`) or exchanged with a person (`@bob`), oldest first.

    `limit` is at most 1,000; `before` goes back from a message's `position`.
    """
    channel_id = place(ctx, target).channel_id
    ts, seq, device = parse_position(before) if before else (1 << 62, 0, "")
    rows = ctx.home.store.db.all(
        f"SELECT {_COLUMNS} FROM channel_rows AS c CROSS JOIN message_rows AS m ON m.channel = c.n {_NAMES}"
        " WHERE c.account = ? AND c.space = ? AND c.channel_id = ? AND m.ts <= ?"
        f" AND (m.ts, m.seq, d.device) < (?, ?, ?){_SHOWN}"
        " ORDER BY m.ts DESC, m.seq DESC, d.device DESC, b.event_id DESC LIMIT ?",
        (ctx.member.account, ctx.member.space, channel_id, ts, ts, seq, device, _page(limit)),
    )
    return _messages(ctx, rows[::-1])


def of_event(ctx: Context, row: BlobRow) -> Message | None:
    """The message that an event is, if it is one that is shown to this identity (in the first channel, if in several).

    Found through the order of each channel: an index by event would cost every message 14 bytes.
    """
    found = ctx.home.store.db.all(
        f"SELECT {_COLUMNS} FROM channel_rows AS c CROSS JOIN message_rows AS m ON m.channel = c.n {_NAMES}"
        f" WHERE c.account = ? AND c.space = ? AND m.ts = ? AND m.seq = ? AND m.event = ?{_SHOWN}"
        " ORDER BY c.channel_id",
        (ctx.member.account, ctx.member.space, row.ts, row.seq, row.n),
    )
    return _messages(ctx, found)[0] if found else None


def parse_position(position: str) -> tuple[int, int, str]:
    """`ts`, `seq` and device of a sort key. Raises UserError."""
    try:
        ts, seq, device = position.split(":")
        found = int(ts), int(seq), device
        if not (0 <= found[0] <= MAX_INTEGER and 0 <= found[1] <= MAX_INTEGER and is_key(device)):
            raise ValueError
    except ValueError:
        raise UserError("A place is the `position` of a message, as a listing gives it.") from None
    return found


def _page(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise UserError(f"A page has 1 to {MAX_PAGE:,} entries.")
    return limit


def _messages(ctx: Context, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    called = _channel_names(ctx, {(channel_id, kind): None for _, channel_id, kind, *_ in rows})
    return [
        Message(
            event_id,
            channel_id,
            sender,
            name,
            ts,
            body,
            position_of(ts, seq, device),
            kind,
            called[channel_id],
        )
        for event_id, channel_id, kind, device, sender, name, ts, seq, body in rows
    ]


def _channel_names(ctx: Context, channels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Id → name of channels given as (id, kind); the id where there is no name."""
    kinds = {kind for _, kind in channels}
    private = channel.names(ctx) if PRIVATE in kinds else {}
    people = peer.names(ctx) if DIRECT in kinds else {}
    names = {PUBLIC: {}, PRIVATE: private, DIRECT: people}
    return {channel_id: names[kind].get(channel_id) or channel_id for channel_id, kind in channels}


_IN_CHANNEL = (
    " FROM (SELECT * FROM message_rows AS r WHERE r.channel = c.n ORDER BY r.ts DESC, r.seq DESC, r.event DESC"
    f" LIMIT {MAX_UNREAD}) AS m CROSS JOIN devices AS d ON d.n = m.sender"
    " CROSS JOIN member_devices AS o ON o.account = m.account AND o.space = m.space AND o.device = m.sender"
)
_CHANNELS = f"""
SELECT c.channel_id, c.kind,
    (SELECT max(m.ts){_IN_CHANNEL} WHERE 1{_SHOWN}),
    (SELECT count(*){_IN_CHANNEL} WHERE o.member <> ?1 AND
        (m.ts, m.seq, d.device) > (coalesce(r.to_ts, -1), coalesce(r.to_seq, 0), coalesce(r.to_device, '')){_SHOWN})
FROM channel_rows AS c
LEFT JOIN read_marks AS r ON r.account = c.account AND r.space = c.space AND r.channel_id = c.channel_id
WHERE c.account = ?2 AND c.space = ?3 ORDER BY c.channel_id LIMIT ?4
"""


def list_channels(ctx: Context) -> list[Channel]:
    """The channels of this space and the conversations with its people, by name."""
    member = ctx.member
    rows = ctx.home.store.db.all(_CHANNELS, (member.account_id, member.account, member.space, MAX_PAGE))
    found = {(channel_id, kind): (last_ts or 0, unread) for channel_id, kind, last_ts, unread in rows}
    # Those in which nobody has written yet.
    for name in channel.public(ctx):
        found.setdefault((name, PUBLIC), (0, 0))
    for audience_id in channel.names(ctx):
        found.setdefault((audience_id, PRIVATE), (0, 0))
    called = _channel_names(ctx, found)
    channels = [
        Channel(channel_id, called[channel_id], kind == DIRECT, kind == PRIVATE, *latest)
        for (channel_id, kind), latest in found.items()
    ]
    return sorted(channels, key=lambda found: (found.direct, found.name.casefold(), found.channel_id))


def search(ctx: Context, words: str, limit: int = DEFAULT_PAGE) -> list[Message]:
    """Messages with all the words, the newest arrivals first; `"a phrase"` and `pre*` work too."""
    expression = match_expression(words.replace("\0", " "))
    if ctx.home.search.backlog() <= 4 * INDEX_STEP:
        ctx.home.search.catch_up()
    rows = ctx.home.store.db.all(
        f"SELECT {_COLUMNS} FROM search AS s CROSS JOIN message_rows AS m ON m.n = s.rowid"
        f" CROSS JOIN channel_rows AS c ON c.n = m.channel {_NAMES}"
        f" WHERE s.body_text MATCH ? AND m.account = ? AND m.space = ?{_SHOWN} ORDER BY s.rowid DESC LIMIT ?",
        (expression, ctx.member.account, ctx.member.space, _page(limit)),
    )
    return _messages(ctx, rows)


HANDLER = Handler(
    type="message",
    event=MessageEvent,
    tables=("channel_rows", "message_rows"),
    sealed=OPTIONAL,
    schema=f"""
CREATE TABLE channel_rows (
    n INTEGER PRIMARY KEY, account INTEGER NOT NULL, space INTEGER NOT NULL, channel_id TEXT NOT NULL,
    kind TEXT NOT NULL, UNIQUE (account, space, channel_id)
) STRICT;
CREATE TABLE message_rows (
    n INTEGER PRIMARY KEY, account INTEGER NOT NULL, space INTEGER NOT NULL, channel INTEGER NOT NULL,
    ts INTEGER NOT NULL, seq INTEGER NOT NULL, event INTEGER NOT NULL, sender INTEGER NOT NULL,
    body_text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_in_order ON message_rows (channel, ts, seq, event);
CREATE VIEW message_index (event_id, channel_id, sender, ts, body_text, account_id, space_id) AS
SELECT b.event_id, c.channel_id, o.member, m.ts, m.body_text, a.account_id, s.space_id
FROM message_rows AS m
JOIN channel_rows AS c ON c.n = m.channel
JOIN blobs AS b ON b.n = m.event
JOIN member_devices AS o ON o.account = m.account AND o.space = m.space AND o.device = m.sender
JOIN accounts AS a ON a.n = m.account
JOIN spaces AS s ON s.n = m.space
WHERE 1{_SHOWN};
""",
    project=project,
    needs=author_known,
    operations=(
        Operation("sendMessage", create, ("send",), ("target", "text"), writes=True),
        Operation("sendMessages", create_many, writes=True),
        Operation("getMessages", list_, ("messages",), ("target",)),
        Operation("listChannels", list_channels, ("channels",)),
        Operation("searchMessages", search, ("search",), ("words",)),
    ),
    searchable="message_rows",
)
