"""What somebody can make who has changed their program: events and datagrams that no honest node sends.

Owns: how they are made from what a member really holds. Must not know: when and to whom they are sent.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from quire.core import event as core_event
from quire.core.encoding import from_text, to_text
from quire.core.event import Event
from quire.core.keys import KEY_BYTES, DeviceKey
from quire.core.sealing import KEY_ID_BYTES, NONCE_BYTES, seal
from quire.events.append import make_event
from quire.events.context import Context
from quire.graph.state import parents
from quire.limits import MAX_DATAGRAM
from quire.net import wire
from quire.net.link import Door, Link
from quire.sync.strategy import Entropy

_ID_BYTES = 32


class Made(NamedTuple):
    """An event, or bytes that claim to be one: `record` is `key_id ‖ blob`, `text` what it would show."""

    raw_id: bytes
    record: bytes
    text: str = ""

    @property
    def event_id(self) -> str:
        """Its id as text."""
        return to_text(self.raw_id)


def continued(ctx: Context, seq: int, prev: str | None, texts: Sequence[str]) -> list[Made]:
    """Messages to everyone that go on after place `seq` of one's own log, each with a good signature."""
    made = []
    for text in texts:
        seq += 1
        made.append(
            sealed(ctx, _message(ctx, ctx.member.device, seq, prev, text, ctx.member.device_key), text)
        )
        prev = made[-1].event_id
    return made


def sealed(ctx: Context, event: Event, text: str = "") -> Made:
    """An event as its author would seal it."""
    data = core_event.encode(event)
    return Made(from_text(core_event.event_id(data)), _blob(ctx, ctx.member.content, data), text)


def forged(ctx: Context, victim: str, mark: str) -> list[Made]:
    """All that ingest has to refuse, hold back or make nothing of; `victim` is another member's device key."""
    me, other = ctx.member.device_key, DeviceKey(ctx.home.entropy(KEY_BYTES))
    device = ctx.home.store.names.known_device(ctx.member.space, me.text) or 0
    seq, prev = ctx.home.store.blobs.head(device)
    far = 10_000
    garbage = ctx.home.entropy(200)
    return [
        # In one's own name with a signature that does not hold; in another's, signed by oneself.
        sealed(ctx, _message(ctx, me.text, seq + 1, prev, f"{mark} 1", other), f"{mark} 1"),
        sealed(ctx, _message(ctx, victim, far, to_text(garbage[:32]), f"{mark} 2", me), f"{mark} 2"),
        # In another's name without a signature: it waits for one that cites it, which never comes.
        sealed(ctx, _message(ctx, victim, far + 1, to_text(garbage[:32]), f"{mark} 3", None), f"{mark} 3"),
        # By a device that nobody let in.
        sealed(ctx, _message(ctx, other.text, 1, None, f"{mark} 4", other), f"{mark} 4"),
        _sole_admin(ctx, seq, prev),
        Made(garbage[:_ID_BYTES], _blob(ctx, ctx.member.content, garbage)),
        Made(garbage[1 : 1 + _ID_BYTES], ctx.home.store.names.key_id(ctx.member.content) + garbage),
        Made(garbage[2 : 2 + _ID_BYTES], garbage[:KEY_ID_BYTES] + garbage),
    ]


def _message(
    ctx: Context, author: str, seq: int, prev: str | None, text: str, signer: DeviceKey | None
) -> Event:
    event = _event(ctx, "message", author, seq, prev, {"body": text, "channel": "general"})
    return event if signer is None else core_event.sign(event, ctx.member.raw_space_id, signer)


def _sole_admin(ctx: Context, seq: int, prev: str | None) -> Made:
    """A change of the graph that its author has no right to."""
    member = ctx.member
    after = parents(ctx.graph, member.device)
    body = {"member": member.account_id, "role": "admin", "marks": {}, "after": after}
    event = _event(ctx, "role", member.device, seq + 1, prev, body)
    data = core_event.encode(core_event.sign(event, member.raw_space_id, member.device_key))
    return Made(from_text(core_event.event_id(data)), _blob(ctx, member.control, data))


def _event(
    ctx: Context, type_: str, author: str, seq: int, prev: str | None, body: Mapping[str, Any]
) -> Event:
    ts = ctx.home.clock(ctx.account).tick(ctx.now)
    return make_event(ctx.home.registry.get(type_), ts, author, seq, prev, body)


def _blob(ctx: Context, epoch: int, data: bytes) -> bytes:
    key, context = ctx.member.epochs[epoch]
    return ctx.home.store.names.key_id(epoch) + seal(key, ctx.home.entropy(NONCE_BYTES), data, context)


def garbage(link: Link, count: int, random: Random, entropy: Entropy) -> list[bytes]:
    """Datagrams of nothing: some that nobody sealed, and some that the peer can open."""
    found = [entropy(1 + random.randrange(MAX_DATAGRAM)) for _ in range(count)]
    return found + [link.seal(entropy(NONCE_BYTES), entropy(random.randrange(200))) for _ in range(count)]


def greetings(door: Door, peer: bytes, count: int, entropy: Entropy) -> list[bytes]:
    """The first datagrams of devices that nobody knows, made up for it."""
    return [
        Link(door, DeviceKey(entropy(KEY_BYTES)), peer).seal(
            entropy(NONCE_BYTES),
            wire.packet(entropy(wire.CID_BYTES), wire.NO_CID, 0, [wire.hello("sketch")]),
        )
        for _ in range(count)
    ]
