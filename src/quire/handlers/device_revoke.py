"""`device-revoke`: a device of an identity is taken away by another of its devices.

What it wrote up to the last event that the author holds counts; what comes later is kept, and never shown. It
is said in every space of the identity, by whichever of its devices is in there.
"""

import msgspec

from quire.core.encoding import is_key
from quire.errors import NotFound, Refused, UserError
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.graph import changes
from quire.handlers import device, graph_events, key, siblings
from quire.handlers.siblings import Device
from quire.limits import MAX_INTEGER


class DeviceRevokeEvent(GraphEvent):
    """`device` is the author's identity's no more; of its log, what is up to `last`, at `last_seq`, counts."""

    device: str
    last_seq: int
    last: str


class Revoked(msgspec.Struct):
    """A device that is revoked now, in so many spaces."""

    device: str
    name: str
    spaces: int


def change(o: Opened[DeviceRevokeEvent], _: bytes) -> changes.AnyChange:
    """A revocation, if it names a device and a place."""
    event = o.event
    if not (is_key(event.device) and 0 <= event.last_seq <= MAX_INTEGER):
        return changes.Void()
    return changes.Revoke(event.device, event.last_seq, event.last)


def revoke(ctx: Context, name: str) -> Revoked:
    """Take a device of this identity away (a name from `device list`, or a key): lost, sold or stolen.

    What it wrote so far stays. What is written from now on is sealed with new keys, which it does not get.
    """
    found = _find(ctx, name)
    if found.here:
        raise UserError("That is this very device. Revoke it from another device of this identity.")
    with ctx.home.store.transaction():
        siblings.forget(ctx, found.key)
        spaces = ctx.home.store.memberships.of_account(ctx.account)
        done = sum(create(ctx.within(member), found.key) for member in spaces)
    return Revoked(found.key, found.name, done)


def _find(ctx: Context, name: str) -> Device:
    every = siblings.list_(ctx)
    found = [one for one in every if name == one.key] or [
        one for one in every if name == one.name and not one.revoked
    ]
    if not found:
        raise NotFound(
            f"This identity has no device called {name!r}. `quire device list` shows those it has."
        )
    if len(found) > 1:
        keys = ", ".join(one.key for one in found)
        raise NotFound(f"Several devices are called {name!r}. Say which by its key: {keys}")
    return found[0]


def create(ctx: Context, gone: str) -> bool:
    """Revoke a device in this space, if it and this one stand there; whether that was so."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    claim = ledger.standing(gone, valid)
    if claim is None or claim.member != ctx.member.account_id or not device.stands(ctx):
        return False
    number = ctx.home.store.names.known_device(ctx.member.space, gone)
    seq, last = ctx.home.store.blobs.head(number) if number is not None else (0, None)
    ctx.change("device-revoke", {"device": gone, "last_seq": seq, "last": last or ""})
    try:
        key.renew(ctx, "")
    except Refused:
        pass  # a guest makes no keys: whoever writes next does
    return True


def _spread(ctx: Context) -> None:
    """Job: revoke here what was revoked in another space of this identity."""
    mark, seen = ("device-revoke", ctx.member.account, ctx.member.space), device.extent(ctx)
    if ctx.home.noted.get(mark) == seen:
        return
    for gone in device.revoked(ctx):
        if gone != ctx.member.device:
            create(ctx, gone)
    ctx.home.noted[mark] = device.extent(ctx)


HANDLER = Handler(
    type="device-revoke",
    event=DeviceRevokeEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
    jobs=(_spread,),
    operations=(
        Operation("revokeDevice", revoke, ("device", "revoke"), ("name",), writes=True, scope="identity"),
    ),
)
