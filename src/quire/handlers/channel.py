"""`channel`: what a channel is called, in the open for everybody's, sealed to its members for a private one.

A public channel goes by its name, a private one by the id of its audience. Who made a private channel names it;
others' word counts only where that one's cannot be read (in a space whose newcomers do not read the past).
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from quire.core.encoding import is_key
from quire.core.event import Event
from quire.core.text import is_name
from quire.errors import NotFound, UserError
from quire.events.context import Context
from quire.events.handler import OPTIONAL, Handler, Opened, Operation
from quire.events.standing import author_known
from quire.handlers import audience, audience_member, graph_events, peer
from quire.handlers.peer import Peer
from quire.limits import MAX_NAME_CHARS
from quire.store.views import View


class ChannelEvent(Event):
    """There is a channel called `name`; sealed, it is that of the audience it is sealed to."""

    name: str


class ChannelMade(msgspec.Struct):
    """A channel: `channel_id` is its name, or the id of the audience of a private one."""

    channel_id: str
    name: str
    private: bool


@lru_cache(maxsize=256)  # asked for every message that is taken in
def is_channel(name: str) -> bool:
    """Whether `name` can be a channel's."""
    # Conversations with peers go by their keys.
    return is_name(name, MAX_NAME_CHARS) and name[0] not in "@#" and not is_key(name)


def project(view: View, batch: Sequence[Opened[ChannelEvent]]) -> None:
    """Keep what each member says, the latest of a private channel's names; who may say it is asked when it is read."""
    rows = []
    for o in batch:
        if not is_channel(o.event.name) or (o.audience is not None and o.audience.fixed):
            continue
        channel_id = o.event.name if o.audience is None else o.audience.audience_id
        place = (o.event.ts, o.event.seq, o.event.author)
        rows.append(
            (o.account, o.space, channel_id, o.sender, o.event.name, o.audience is not None, o.device, *place)
        )
    view.write(
        "INSERT INTO channel_names VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET name = excluded.name, device = excluded.device, ts = excluded.ts, seq = excluded.seq,"
        " author = excluded.author WHERE (excluded.ts, excluded.seq, excluded.author) > (ts, seq, author)",
        rows,
    )


def create(ctx: Context, name: str, private: bool = False) -> ChannelMade:
    """Make a channel for everybody in the space, or, with `private`, for those alone whom its members add."""
    name = checked(name)
    if name in names(ctx).values() or _is_public(ctx, name):
        raise UserError(f"There is a channel called {name!r} already. Choose another name.")
    with ctx.home.store.transaction():
        graph_events.check_writer(ctx)
        made = audience.open_(ctx, audience.CHANNEL, [ctx.member.account_id]) if private else ""
        ctx.append("channel", {"name": name}, audiences=[made] if private else [])
    return ChannelMade(made or name, name, private)


def add(ctx: Context, channel: str, name: str) -> list[Peer]:
    """Add a member of the space to a private channel; it reads what was written before, unless the space forbids."""
    found, person = find_private(ctx, channel), peer.find(ctx, name)
    with ctx.home.store.transaction():
        audience_member.create(ctx, found.channel_id, person.pubkey, True)
        # What it was called so far the newcomer may have no key to, or a relay may keep it no more.
        ctx.append("channel", {"name": found.name}, audiences=[found.channel_id])
    return _members(ctx, found.channel_id)


def remove(ctx: Context, channel: str, name: str) -> list[Peer]:
    """Take somebody out of a private channel of one's own: what is written from now on it cannot read."""
    found, person = find_private(ctx, channel), peer.find(ctx, name)
    audience_member.create(ctx, found.channel_id, person.pubkey, False)
    return _members(ctx, found.channel_id)


def leave(ctx: Context, channel: str) -> list[Peer]:
    """Leave a private channel. What was written so far stays readable on this device."""
    return remove(ctx, channel, ctx.member.account_id)


def list_members(ctx: Context, channel: str) -> list[Peer]:
    """The members of a private channel, by name."""
    return _members(ctx, find_private(ctx, channel).channel_id)


def _members(ctx: Context, channel_id: str) -> list[Peer]:
    inside = set(audience.members(ctx, channel_id))
    return [person for person in peer.everyone(ctx) if person.pubkey in inside]


def checked(name: str) -> str:
    """A channel's name without the `#` that it may be led by. Raises UserError for what is none."""
    bare = name.removeprefix("#")
    if not is_channel(bare):
        raise UserError(
            f"{name!r} is no channel name: 1 to {MAX_NAME_CHARS} printable characters, not led by @ or #."
        )
    return bare


def names(ctx: Context) -> dict[str, str]:
    """Id → name of the private channels that this identity is, or was, in."""
    rows = ctx.home.store.db.all(
        "SELECT c.channel_id, c.member, c.name FROM channel_names AS c"
        " WHERE c.account = ? AND c.space = ? AND c.private AND EXISTS ("
        "SELECT 1 FROM audience_spans AS v WHERE v.account = c.account AND v.space = c.space"
        " AND v.audience = c.channel_id AND v.device = c.device AND c.seq BETWEEN v.first AND v.last)"
        " ORDER BY c.ts, c.seq, c.author",
        (ctx.member.account, ctx.member.space),
    )
    found: dict[str, str] = {}
    by_maker: dict[str, str] = {}
    for channel_id, member, name in rows:
        (by_maker if member == audience.maker(ctx, channel_id) else found)[channel_id] = name
    return found | by_maker


def public(ctx: Context) -> list[str]:
    """The public channels that somebody has announced."""
    rows = ctx.home.store.db.all(
        "SELECT DISTINCT c.channel_id FROM channel_names AS c WHERE c.account = ? AND c.space = ? AND NOT c.private"
        " AND NOT EXISTS (SELECT 1 FROM hidden AS h WHERE h.account = c.account AND h.space = c.space"
        " AND h.device = c.device AND c.seq BETWEEN h.first AND h.last) ORDER BY c.channel_id",
        (ctx.member.account, ctx.member.space),
    )
    return [str(name) for (name,) in rows]


def _is_public(ctx: Context, name: str) -> bool:
    return name in public(ctx)


def find_private(ctx: Context, channel: str) -> ChannelMade:
    """The one private channel of this name, or id. Raises NotFound."""
    found = private_called(ctx, channel.removeprefix("#"))
    if found is None:
        raise NotFound(
            f"There is no private channel called {channel!r} here. `quire channel create NAME --private` makes one; "
            "every member of the space is in a public one."
        )
    return found


def private_called(ctx: Context, name: str) -> ChannelMade | None:
    """The private channel of this name, or id, if there is one; those one is in come first. Raises NotFound."""
    if not name.isascii() and not name.isprintable():
        return None  # half a surrogate cannot even be looked up
    if not ctx.view("channel").read(
        "SELECT 1 FROM channel_names WHERE account = ?1 AND space = ?2 AND private"
        " AND (channel_id = ?3 OR name = ?3) LIMIT 1",
        (ctx.member.account, ctx.member.space, name),
    ):
        return None  # asked for every message that is written
    known = names(ctx)
    if name in known:
        return ChannelMade(name, known[name], True)
    called = [channel_id for channel_id, its_name in known.items() if its_name == name]
    found = [channel_id for channel_id in called if audience.is_inside(ctx, channel_id)] or called
    if len(found) > 1:
        ids = ", ".join(f"#{channel_id}" for channel_id in sorted(found))
        raise NotFound(f"Several private channels are called {name!r}. Say which by id: {ids}")
    return ChannelMade(found[0], name, True) if found else None


HANDLER = Handler(
    type="channel",
    event=ChannelEvent,
    tables=("channel_names",),
    schema="""
CREATE TABLE channel_names (
    account INTEGER NOT NULL, space INTEGER NOT NULL, channel_id TEXT NOT NULL, member TEXT NOT NULL,
    name TEXT NOT NULL, private INTEGER NOT NULL, device INTEGER NOT NULL, ts INTEGER NOT NULL,
    seq INTEGER NOT NULL, author TEXT NOT NULL, PRIMARY KEY (account, space, channel_id, member)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    needs=author_known,
    sealed=OPTIONAL,
    operations=(
        Operation("createChannel", create, ("channel", "create"), ("name",), writes=True),
        Operation("addToChannel", add, ("channel", "add"), ("channel", "name"), writes=True),
        Operation("removeFromChannel", remove, ("channel", "remove"), ("channel", "name"), writes=True),
        Operation("leaveChannel", leave, ("channel", "leave"), ("channel",), writes=True),
        Operation("listChannelMembers", list_members, ("channel", "members"), ("channel",)),
    ),
)
