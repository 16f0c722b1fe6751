"""`personal`: what is nobody's business but one's own, on all one's devices: read marks, and whom one has blocked.

Sealed to the devices of one identity. Both go into one event type with the same fields, and bodies are padded, so
that nobody can tell a read mark from a block.
"""

from collections.abc import Sequence

import msgspec

from quire.core.encoding import is_key
from quire.core.event import Event
from quire.errors import NotFound, UserError
from quire.events.context import Context
from quire.events.handler import ALWAYS, Handler, Opened, Operation
from quire.events.standing import author_known
from quire.handlers import audience, message, peer
from quire.handlers.peer import Peer
from quire.limits import MAX_NAME_CHARS
from quire.store.views import View

READ, BLOCK, UNBLOCK = "read", "block", "unblock"


class PersonalEvent(Event):
    """`what` is READ (channel `subject` up to `position`), BLOCK or UNBLOCK (of person `subject`)."""

    what: str
    subject: str
    position: str


class ReadMark(msgspec.Struct):
    """Up to which `position` a channel has been read."""

    channel_id: str
    position: str


def project(view: View, batch: Sequence[Opened[PersonalEvent]]) -> None:
    """The latest word of one's own devices counts, on each subject."""
    marks, blocks = [], []
    for o in batch:
        event, place = o.event, (o.event.ts, o.event.seq, o.event.author)
        if o.audience is None or not o.audience.fixed or o.audience.members != (o.received_by,):
            continue
        if event.what == READ and 0 < len(event.subject) <= MAX_NAME_CHARS:
            try:
                to = message.parse_position(event.position)
            except UserError:
                continue
            marks.append((o.account, o.space, event.subject, *to, *place))
        elif event.what in (BLOCK, UNBLOCK) and is_key(event.subject):
            blocks.append((o.account, o.space, event.subject, event.what == BLOCK, *place))
    view.write(
        "INSERT INTO read_marks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET to_ts = excluded.to_ts, to_seq = excluded.to_seq, to_device = excluded.to_device,"
        " ts = excluded.ts, seq = excluded.seq, author = excluded.author"
        " WHERE (excluded.ts, excluded.seq, excluded.author) > (ts, seq, author)",
        marks,
    )
    view.write(
        "INSERT INTO blocked_members VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET blocked = excluded.blocked, ts = excluded.ts, seq = excluded.seq, author = excluded.author"
        " WHERE (excluded.ts, excluded.seq, excluded.author) > (ts, seq, author)",
        blocks,
    )


def mark_read(ctx: Context, target: str, position: str = "") -> ReadMark:
    """Note on all one's devices that a channel (`general`, `@bob`) has been read up to a message's `position`.

    Without a position: up to the newest message.
    """
    place = message.place(ctx, target)
    if not position:
        newest = message.list_(ctx, target, limit=1)
        if not newest:
            raise NotFound(f"There is nothing to read in {target} yet.")
        position = newest[0].position
    position = message.position_of(*message.parse_position(position))
    if position != _mark(ctx, place.channel_id):
        _write(ctx, READ, place.channel_id, position)
    return ReadMark(place.channel_id, position)


def _mark(ctx: Context, channel_id: str) -> str:
    rows = ctx.view("personal").read(
        "SELECT to_ts, to_seq, to_device FROM read_marks WHERE account = ? AND space = ? AND channel_id = ?",
        (ctx.member.account, ctx.member.space, channel_id),
    )
    return message.position_of(*rows[0]) if rows else ""


def block(ctx: Context, name: str) -> Peer:
    """Do not show what somebody writes, on any of one's devices. Nobody else learns of it."""
    return _set_blocked(ctx, name, BLOCK)


def unblock(ctx: Context, name: str) -> Peer:
    """Show again what somebody writes and has written."""
    return _set_blocked(ctx, name, UNBLOCK)


def _set_blocked(ctx: Context, name: str, what: str) -> Peer:
    person = peer.find(ctx, name)
    if person.pubkey == ctx.member.account_id:
        raise UserError("That is yourself: block somebody else.")
    if (person.pubkey in blocked(ctx)) != (what == BLOCK):
        _write(ctx, what, person.pubkey, "")
    return person


def list_blocked(ctx: Context) -> list[Peer]:
    """Those whom one has blocked in this space, by name."""
    keys = blocked(ctx)
    return [person for person in peer.everyone(ctx) if person.pubkey in keys]


def blocked(ctx: Context) -> set[str]:
    """Root keys of those whom this identity has blocked."""
    rows = ctx.view("personal").read(
        "SELECT member FROM blocked_members WHERE account = ? AND space = ? AND blocked",
        (ctx.member.account, ctx.member.space),
    )
    return {str(member) for (member,) in rows}


def _write(ctx: Context, what: str, subject: str, position: str) -> None:
    with ctx.home.store.transaction():
        body = {"what": what, "subject": subject, "position": position}
        ctx.append("personal", body, audiences=[audience.own(ctx)])


HANDLER = Handler(
    type="personal",
    event=PersonalEvent,
    tables=("read_marks", "blocked_members"),
    schema="""
CREATE TABLE read_marks (
    account INTEGER NOT NULL, space INTEGER NOT NULL, channel_id TEXT NOT NULL, to_ts INTEGER NOT NULL,
    to_seq INTEGER NOT NULL, to_device TEXT NOT NULL, ts INTEGER NOT NULL, seq INTEGER NOT NULL,
    author TEXT NOT NULL, PRIMARY KEY (account, space, channel_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked_members (
    account INTEGER NOT NULL, space INTEGER NOT NULL, member TEXT NOT NULL, blocked INTEGER NOT NULL,
    ts INTEGER NOT NULL, seq INTEGER NOT NULL, author TEXT NOT NULL, PRIMARY KEY (account, space, member)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    needs=author_known,
    sealed=ALWAYS,
    operations=(
        Operation("markRead", mark_read, ("read",), ("target",), writes=True),
        Operation("blockMember", block, ("member", "block"), ("name",), writes=True),
        Operation("unblockMember", unblock, ("member", "unblock"), ("name",), writes=True),
        Operation("listBlocked", list_blocked, ("member", "blocked")),
    ),
)
