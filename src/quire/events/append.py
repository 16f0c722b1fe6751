"""Create events: sign, seal and hand them to the same steps that foreign events go through.

Owns: the next link of this device's log. Must not know: any event type.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from quire.core import event as core_event
from quire.core.event import Event
from quire.core.sealing import seal
from quire.errors import UserError
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.settle import Report, write
from quire.limits import MAX_EVENT_BYTES
from quire.store.blobs import BlobRow
from quire.store.memberships import Membership


def append(
    home: Home, member: Membership, type_: str, bodies: Sequence[Mapping[str, Any]], now: int
) -> list[Opened[Any]]:
    """Append events of one type to this identity's log, as a run under one signature.

    `bodies` are the type's own fields; `now` the wall clock (ms). Only the last event of the run carries
    `sig`. Raises UserError when a body is too large, HomeError when the disk is full.
    """
    handler = home.registry.get(type_)
    with home.store.transaction():
        opened, rows = _make_run(home, member, handler, bodies, now)
        home.store.blobs.insert(rows)
        write(home, member, opened, [handler] * len(opened), now, Report())
    return opened


def _make_run(
    home: Home, member: Membership, handler: Handler, bodies: Sequence[Mapping[str, Any]], now: int
) -> tuple[list[Opened[Any]], list[BlobRow]]:
    account, space, author = member.account, member.space, member.account_id
    device = home.store.names.device_number(space, author)
    seq, prev = home.store.blobs.head(device)
    epoch = member.current_epoch
    key, context = member.epochs[epoch]
    ts = home.clock(account).tick(now)
    nonces = home.entropy(24 * len(bodies))
    last = len(bodies) - 1
    opened: list[Opened[Any]] = []
    rows: list[BlobRow] = []
    for place, (number, body) in enumerate(
        zip(home.store.blobs.take_numbers(len(bodies)), bodies, strict=True)
    ):
        seq += 1
        event = make_event(handler, ts, author, seq, prev, body)
        if place == last:
            core_event.sign(event, member.raw_space_id, member.device_key)
        data = core_event.encode(event)
        if len(data) > MAX_EVENT_BYTES:
            raise UserError(
                f"That is too long: an event holds at most {MAX_EVENT_BYTES:,} bytes, this is {len(data):,}."
            )
        event_id = prev = core_event.event_id(data)
        blob = seal(key, nonces[24 * place : 24 * place + 24], data, context)
        rows.append(BlobRow(number, event_id, space, epoch, device, seq, ts, 1, blob))
        opened.append(Opened(account, space, author, number, device, event_id, event))
    return opened, rows


def make_event(
    handler: Handler, ts: int, author: str, seq: int, prev: str | None, body: Mapping[str, Any]
) -> Event:
    """A typed, unsigned event. Raises ValueError for a handler without events."""
    if handler.event is None:
        raise ValueError(f"{handler.type} has no events")
    return handler.event(
        type=handler.type, v=handler.version, ts=ts, author=author, seq=seq, prev=prev, **body
    )


def make_passing(home: Home, member: Membership, type_: str, body: Mapping[str, Any], now: int) -> bytes:
    """A signed and sealed event (`key_id ‖ blob`) that is not part of any log: a request, not a fact."""
    handler = home.registry.get(type_)
    event = make_event(handler, home.clock(member.account).tick(now), member.account_id, 1, None, body)
    core_event.sign(event, member.raw_space_id, member.device_key)
    key, context = member.epochs[member.current_epoch]
    blob = seal(key, home.entropy(24), core_event.encode(event), context)
    return home.store.names.key_id(member.current_epoch) + blob
