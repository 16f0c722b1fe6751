"""People who are members before anything goes wrong: let in and brought up to date by hand, without a network.

Owns: the letters between a host and its guests, and handing everything to everyone. Must not know: who is to be let
in, and why; the network.
"""

from collections.abc import Iterator, Sequence

from quire.events.context import Context
from quire.handlers import incoming, joining
from quire.limits import INGEST_BATCH
from quire.sim.device import Device


def gather(host: Device, others: Sequence[Device], space: str, now: int) -> None:
    """Let everyone who has a link into the host's space, and give all of them what any of them holds there.

    On each other device lives one of them at most.
    """
    others = [
        one for one in others if any(member.name == space for member in one.home.store.memberships.all())
    ]
    for guest in others:
        _let_in(_inside(host, space, now), _inside(guest, space, now))
    inside = _inside(host, space, now)
    for guest in others:
        _hand_over(_inside(guest, space, now), inside)
    for guest in others:
        _hand_over(inside, _inside(guest, space, now))


def _inside(device: Device, space: str, now: int) -> Context:
    member = next(one for one in device.home.store.memberships.all() if one.name == space)
    return Context(device.home, device.wall(now), member.account, member, device.node.addresses)


def _let_in(host: Context, newcomer: Context) -> None:
    for request in joining.greet(newcomer, host.member.device):
        for welcome in joining.answer(host, newcomer.member.device, request):
            joining.answer(newcomer, host.member.device, welcome)


def _hand_over(giver: Context, taker: Context) -> None:
    incoming.receive(taker.home, taker.member, list(_held(giver)), giver.member.device, taker.now)


def _held(ctx: Context) -> Iterator[bytes]:
    """What an identity holds in its space, as it is sent: the id of the key before each blob."""
    store, after = ctx.home.store, 0
    while page := store.blobs.held_after(ctx.account, ctx.member.space, after, INGEST_BATCH):
        after = page[-1][0].n
        yield from (store.names.key_id(row.epoch) + row.sealed for row, _ in page)
