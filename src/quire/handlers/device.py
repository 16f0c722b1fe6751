"""`device`: a further device of an identity, which one of its devices brings into a space.

Each device has a key and a log of its own. The new one's consent is in the event, so that nobody can claim
another's device; that the author speaks for the identity is for the graph to say. A device that comes into a
space brings its siblings along, as far as they are known from other spaces or from linking them.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from quire.core.certificate import consent_holds
from quire.core.encoding import from_text, is_key
from quire.core.text import is_name
from quire.core.wrapping import is_wrap_public
from quire.errors import Refused
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.events.standing import graph_of
from quire.graph import changes
from quire.graph.roles import Role
from quire.handlers import graph_events, key_share
from quire.limits import MAX_NAME_CHARS
from quire.store.memberships import JOINING
from quire.store.views import View


class DeviceEvent(GraphEvent):
    """`identity` has `device`, with the key `wrap` to wrap to; `name` is what its owner calls it."""

    identity: str
    device: str
    wrap: str
    consent: str
    name: str


class Sibling(msgspec.Struct, frozen=True):
    """A device of an identity, with what it takes to bring it into a space."""

    device: str
    wrap: str
    consent: str
    name: str


def is_sound(identity: str, sibling: Sibling) -> bool:
    """Whether a device agrees to be the identity's, its key can be wrapped to, and its name can be shown."""
    return (
        is_name(sibling.name, MAX_NAME_CHARS)
        and is_key(sibling.wrap)
        and consent_holds(identity, sibling.device, sibling.wrap, sibling.consent)
        and is_wrap_public(from_text(sibling.wrap))
    )


def change(o: Opened[DeviceEvent], _: bytes) -> changes.AnyChange:
    """A device, if it has agreed; that the author is of the same identity is checked by the graph."""
    event = o.event
    if not is_sound(event.identity, Sibling(event.device, event.wrap, event.consent, event.name)):
        return changes.Void()
    return changes.Link(event.device, event.wrap, event.identity)


def project(view: View, batch: Sequence[Opened[DeviceEvent]]) -> None:
    """Keep what is said of devices; what of it counts is for the graph."""
    write_rows(view, "device_rows", [(o, o.event.device) for o in batch])


def write_rows(view: View, table: str, said: Iterable[tuple[Opened[Any], str]]) -> None:
    """Keep in a table of `row_schema` what events say of devices, each beside the device's key."""
    view.write(
        f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                o.account,
                o.space,
                o.event_id,
                o.event.identity,
                device,
                o.event.wrap,
                o.event.consent,
                o.event.name,
                o.event.ts,
            )
            for o, device in said
        ],
    )


def row_schema(table: str) -> str:
    """The SQL of a table of devices and what brought them in."""
    return f"""
CREATE TABLE {table} (
    account INTEGER NOT NULL, space INTEGER NOT NULL, event_id TEXT NOT NULL, member TEXT NOT NULL,
    pubkey TEXT NOT NULL, wrap TEXT NOT NULL, consent TEXT NOT NULL, name TEXT NOT NULL, ts INTEGER NOT NULL,
    PRIMARY KEY (account, space, event_id)
) STRICT, WITHOUT ROWID;
"""


def create(ctx: Context, sibling: Sibling) -> None:
    """Bring a device of this identity into this space. Raises Refused, naming the rule."""
    ctx.change("device", {"identity": ctx.member.account_id, **msgspec.structs.asdict(sibling)})


# --- the devices of one identity, over all its spaces


def linked(ctx: Context) -> dict[str, Sibling]:
    """Device → what is known of those of this identity that came by linking or recovery, where that counts."""
    found: dict[str, Sibling] = {}
    for event_id, space, sibling in _rows(ctx):
        graph = graph_of(ctx.home, ctx.home.store.memberships.get(ctx.account, space))
        claim = graph.ledger.standing(sibling.device, graph.valid)
        if graph.counts(event_id) and claim is not None and claim.member == account_id(ctx):
            found[sibling.device] = sibling
    return found


def _rows(ctx: Context) -> Iterator[tuple[str, int, Sibling]]:
    key = (ctx.account, account_id(ctx))
    for type_, table in (("device", "device_rows"), ("recovery", "recovery_rows")):
        for event_id, space, *fields in ctx.view(type_).read(
            f"SELECT event_id, space, pubkey, wrap, consent, name FROM {table} WHERE account = ? AND member = ?"
            " ORDER BY ts, event_id",
            key,
        ):
            yield event_id, space, Sibling(*fields)


def revoked(ctx: Context) -> dict[str, int]:
    """Device → since when (ms) it is revoked, of this identity's, in any of its spaces."""
    found: dict[str, int] = {}
    for member in ctx.home.store.memberships.of_account(ctx.account):
        graph = graph_of(ctx.home, member)
        for device in graph.ledger.devices_ever(member.account_id):
            for node in graph.ledger.dag.each(graph.ledger.revocations(device) & graph.valid):
                if node.author == member.account_id:
                    found[device] = min(node.ts, found.get(device, node.ts))
    return found


def account_id(ctx: Context) -> str:
    """The identity acted for: its first root key."""
    return ctx.home.store.names.account_name(ctx.account)


def stands(ctx: Context) -> bool:
    """Whether this device speaks for its identity in this space, as far as is known here."""
    member = ctx.member
    if member.kind == JOINING or member.control not in member.epochs:
        return False
    graph = ctx.graph
    claim = graph.ledger.standing(member.device, graph.valid)
    return claim is not None and graph.ledger.role(claim.member, graph.valid) >= Role.GUEST


def extent(ctx: Context) -> tuple[int, ...]:
    """Changes whenever any membership graph of this identity does."""
    spaces = ctx.home.store.memberships.of_account(ctx.account)
    return tuple(len(graph_of(ctx.home, member).ledger.dag.nodes) for member in spaces)


def bring_in(ctx: Context, siblings: Sequence[Sibling]) -> None:
    """Bring devices of this identity into this space where they are not yet, and hand them its key."""
    gone = revoked(ctx)
    missing = [
        sibling
        for sibling in siblings
        if sibling.device not in gone and not ctx.graph.ledger.claims(sibling.device, ctx.graph.valid)
    ]
    for sibling in missing:
        create(ctx, sibling)
    if missing:
        with contextlib.suppress(Refused):  # a guest hands out no keys: a member's device will
            for scope in ("", *ctx.graph.ledger.audiences_of(ctx.member.account_id)):
                key_share.share_missing(ctx, scope)
            for sibling in missing:
                key_share.share_all_held(ctx, sibling.device)


HANDLER = Handler(
    type="device",
    event=DeviceEvent,
    tables=("device_rows",),
    schema=row_schema("device_rows"),
    project=project,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
