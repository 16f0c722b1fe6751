"""The relays by which a space is reached from here: its own words on them, or those of whoever led this device in.

Must not know: how relays are reached, what they keep.
"""

from collections.abc import Sequence

from quire.core.relay_address import RelayAddress, parse_relay
from quire.events.context import Context
from quire.handlers import relay
from quire.store.memberships import JOINING


def used(ctx: Context) -> list[RelayAddress]:
    """The relays of this space; until its own words on them have come, those by which this device comes in."""
    known = ctx.member.kind != JOINING and relay.is_told_of(ctx)
    return relay.used(ctx) if known else _told(ctx)


def keep(ctx: Context, relays: Sequence[str]) -> None:
    """Remember by which relays a space is found that a sibling handed on, until its own words on relays have come."""
    ctx.view("joining").write(
        "INSERT INTO joining VALUES (?, ?, x'', '', '', '', ?, 0, 0)"
        " ON CONFLICT DO UPDATE SET relays = excluded.relays",
        [(ctx.member.account, ctx.member.space, "\n".join(relays))],
    )


def _told(ctx: Context) -> list[RelayAddress]:
    """The relays that this identity's link names, or whoever handed the space on."""
    rows = ctx.view("joining").read(
        "SELECT relays FROM joining WHERE account = ? AND space = ?", (ctx.member.account, ctx.member.space)
    )
    return [parse_relay(line) for (text,) in rows for line in text.splitlines()]
