"""`relay`: a space uses a relay from now on, or no more. The latest word on each relay counts.

A relay keeps what members hand it, sealed, for those who come online when nobody else is. Any member may add one, and
any may take one away: it is a convenience, and learns nothing but addresses and sizes.
"""

from collections.abc import Sequence

import msgspec

from quire.core.encoding import from_text, to_text
from quire.core.event import Event
from quire.core.relay_address import RelayAddress, parse_relay
from quire.errors import NotFound, UserError
from quire.events.context import Context
from quire.events.handler import Handler, Opened, Operation
from quire.events.standing import author_known
from quire.limits import MAX_RELAY_URL_CHARS, MAX_RELAYS, MAX_TICKET_RELAYS
from quire.store.graph_rows import shown
from quire.store.views import View


class RelayEvent(Event):
    """The relay with the public key `key`, found at `url`, is used if `used`."""

    url: str
    key: str
    used: bool


class Relay(msgspec.Struct):
    """A relay that a space uses; `address` is its whole address, to be given to others.

    `replaced` is the address that it was found at until now, where that was another one.
    """

    host: str
    address: str
    replaced: str = ""


def project(view: View, batch: Sequence[Opened[RelayEvent]]) -> None:
    """Keep what was said; what counts is decided when it is read."""
    view.write(
        "INSERT OR IGNORE INTO relay_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                o.account,
                o.space,
                o.event.key,
                o.event.url,
                o.event.used,
                o.event.ts,
                o.event.seq,
                o.event.author,
                o.device,
                o.number,
            )
            for o in batch
            if _is_sound(o.event)
        ],
    )


def _is_sound(event: RelayEvent) -> bool:
    if len(event.url) > MAX_RELAY_URL_CHARS:
        return False
    try:
        return parse_relay(f"{event.url}#{event.key}").url == event.url
    except UserError:
        return False


def used(ctx: Context) -> list[RelayAddress]:
    """The relays of this space, those that were added first: at most MAX_RELAYS."""
    rows = ctx.home.store.db.all(
        "SELECT r.key, r.url, r.used FROM relay_rows AS r WHERE r.account = ? AND r.space = ?"
        f" AND {shown('r')} ORDER BY r.ts, r.seq, r.author, r.event",
        (ctx.member.account, ctx.member.space),
    )
    found: dict[str, RelayAddress] = {}
    for key, url, is_used in rows:
        if is_used:
            found[key] = RelayAddress(url, from_text(key, 32))
        else:
            found.pop(key, None)
    return list(found.values())[:MAX_RELAYS]


def to_hand_on(ctx: Context) -> list[RelayAddress]:
    """The relays to tell newcomers of, at most MAX_TICKET_RELAYS: those first that this device ever read at."""
    reached = ctx.home.store.relays.reached(ctx.member.account, ctx.member.space)
    return sorted(used(ctx), key=lambda one: one.key not in reached)[:MAX_TICKET_RELAYS]


def is_told_of(ctx: Context) -> bool:
    """Whether anybody's word on relays has come: until then whoever was invited knows those of the link alone."""
    rows = ctx.view("relay").read(
        "SELECT 1 FROM relay_rows WHERE account = ? AND space = ? LIMIT 1",
        (ctx.member.account, ctx.member.space),
    )
    return bool(rows)


def add(ctx: Context, address: str) -> Relay:
    """Let this space use a relay: `address` is what `quire relay serve` printed, `wss://host/#KEY`.

    Everybody's devices then leave there, sealed, what they write, and fetch what others left.
    """
    relay = parse_relay(address)
    before = used(ctx)
    if relay not in before:
        if len(before) >= MAX_RELAYS and relay.key not in [one.key for one in before]:
            raise UserError(
                f"A space uses at most {MAX_RELAYS} relays: take one away first, with `quire relay remove`."
            )
        ctx.append("relay", {"url": relay.url, "key": to_text(relay.key), "used": True})
    replaced = next((one.text for one in before if one.key == relay.key and one != relay), "")
    return Relay(relay.host, relay.text, replaced)


def list_(ctx: Context) -> list[Relay]:
    """The relays that this space uses."""
    return [Relay(one.host, one.text) for one in used(ctx)]


def remove(ctx: Context, relay: str) -> Relay:
    """Let this space use a relay no more: `relay` is its address, or its host. What it keeps stays there."""
    found = [one for one in used(ctx) if relay in (one.text, one.host, one.url, to_text(one.key))]
    if len(found) != 1:
        raise NotFound(
            f"{'Several relays are' if found else 'No relay of this space is'} called {relay!r}. "
            "`quire relay list` shows their addresses."
        )
    one = found[0]
    ctx.append("relay", {"url": one.url, "key": to_text(one.key), "used": False})
    return Relay(one.host, one.text)


HANDLER = Handler(
    type="relay",
    event=RelayEvent,
    tables=("relay_rows",),
    schema="""
CREATE TABLE relay_rows (
    account INTEGER NOT NULL, space INTEGER NOT NULL, key TEXT NOT NULL, url TEXT NOT NULL, used INTEGER NOT NULL,
    ts INTEGER NOT NULL, seq INTEGER NOT NULL, author TEXT NOT NULL, device INTEGER NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (account, space, event)
) STRICT, WITHOUT ROWID;
""",
    project=project,
    for_newcomers=True,
    needs=author_known,
    operations=(
        Operation("addRelay", add, ("relay", "add"), ("address",), writes=True),
        Operation("listRelays", list_, ("relay", "list")),
        Operation("removeRelay", remove, ("relay", "remove"), ("relay",), writes=True),
    ),
)
