"""What a person does on a device, through the same handlers as the API.

Owns: the step from a planned row to a handler's command, and what is noted of the outcome.
Must not know: time beyond `now`, the network, who judges.
"""

from collections.abc import Callable
from typing import Any

from quire.errors import NotIn
from quire.events.context import Context
from quire.handlers import identity, invite, joining, message, role, space
from quire.sim import evidence
from quire.sim.device import Device
from quire.sim.ground import ANYONE, SimEvent, guest_of
from quire.store.memberships import JOINING

#: By space and guest.
Links = dict[tuple[str, str], str]


def act(device: Device, event: SimEvent, links: Links, now: int) -> dict[str, Any]:
    """Do it; what came of it. Raises UserError as the handlers do."""
    return ACTIONS[event.action](device, event, links, now)


def _found(device: Device, event: SimEvent, _: Links, now: int) -> dict[str, Any]:
    ctx = _context(device, now)
    known = {one.name for one in identity.list_(ctx)}
    me = event.actor
    if me not in known:
        identity.create(ctx, me)
    space.create(_context(device, now, me), event.detail["space"])
    return _who(_context(device, now, me, event.detail["space"]))


def _invite(device: Device, event: SimEvent, _: Links, now: int) -> dict[str, Any]:
    ctx = _context(device, now, event.actor, event.detail["space"])
    made = invite.create(ctx, event.detail.get("uses", 1), event.detail.get("expires", "7d"))
    return {"link": made.link}


def _join(device: Device, event: SimEvent, links: Links, now: int) -> dict[str, Any]:
    space = event.detail["space"]
    link = links.get((space, guest_of(event))) or links.get((space, ANYONE))
    if link is None:
        raise NotIn("Nobody has handed on a link yet.")
    joining.join(_context(device, now), link, event.actor)
    return _who(_context(device, now, event.actor, event.detail["space"]))


def _who(ctx: Context) -> dict[str, Any]:
    member = ctx.member
    return {"space_id": member.space_id, "pubkey": member.account_id, "device_key": member.device}


def _remove(device: Device, event: SimEvent, _: Links, now: int) -> dict[str, Any]:
    ctx = _context(device, now, event.actor, event.detail["space"])
    before = evidence.keys(device.home, ctx.member.account_id, ctx.member.space_id)
    gone = role.remove(ctx, event.detail["who"]).member
    held = evidence.ids_by(device.home, ctx.member.account_id, ctx.member.space_id, gone)
    return {"pubkey": gone, "keys": sorted(before), "held": sorted(held)}


def _leave(device: Device, event: SimEvent, _: Links, now: int) -> dict[str, Any]:
    ctx = _context(device, now, event.actor, event.detail["space"])
    if ctx.member.kind == JOINING:
        raise NotIn("Who has not been let in yet leaves later.")
    before = evidence.keys(device.home, ctx.member.account_id, ctx.member.space_id)
    return {"pubkey": role.leave(ctx).member, "keys": sorted(before)}


def _write(device: Device, event: SimEvent, _: Links, now: int) -> dict[str, Any]:
    ctx = _context(device, now, event.actor, event.detail["space"])
    if ctx.chosen is None:
        raise NotIn("No link has reached them yet.")
    return {"event_ids": message.create_many(ctx, event.detail["to"], event.detail["texts"])}


def _context(device: Device, now: int, person: str = "", space_name: str = "") -> Context:
    """For the home, an identity of it, or an identity in a space."""
    home, wall, addresses = device.home, device.wall(now), device.node.addresses
    ctx = Context(home, wall, addresses=addresses)
    if not person:
        return ctx
    account = identity.account_called(ctx, person)
    of_account = home.store.memberships.of_account(account)
    chosen = next((member for member in of_account if member.name == space_name), None)
    return Context(home, wall, account, chosen, addresses)


ACTIONS: dict[str, Callable[[Device, SimEvent, Links, int], dict[str, Any]]] = {
    "found": _found,
    "invite": _invite,
    "join": _join,
    "remove": _remove,
    "leave": _leave,
    "write": _write,
}
