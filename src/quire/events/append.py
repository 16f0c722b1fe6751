"""Create events: sign, seal and hand them to the same steps that foreign events go through.

Owns: the next link of this device's log. Must not know: any event type.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from quire.core import event as core_event
from quire.core.event import Event
from quire.core.sealing import seal
from quire.errors import NotIn, UserError
from quire.events.audiences import seal_fields, sealing_keys
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.settle import Report, write
from quire.limits import MAX_EVENT_BYTES
from quire.store.blobs import BlobRow
from quire.store.memberships import Membership

NO_KEY = (
    "This device has no key of the space yet: a member has to let it in first. "
    "`quire status` tells whether one is reached; what you write will be possible then."
)


def append(
    home: Home,
    member: Membership,
    type_: str,
    bodies: Sequence[Mapping[str, Any]],
    now: int,
    audiences: Sequence[str] = (),
    epoch: int = 0,
) -> list[Opened[Any]]:
    """Append events of one type to this identity's log, as a run under one signature.

    `bodies` are the type's own fields, sealed to `audiences` where there are any; `now` the wall clock (ms);
    `epoch` the one to seal under, if not the type's present one. Only the last event of the run carries `sig`.
    Raises UserError when a body is too large or a key is not held, HomeError when the disk is full.
    """
    handler = home.registry.get(type_)
    if not epoch:
        of_graph = handler.change is not None or handler.for_newcomers
        epoch = member.control if of_graph else member.content
    with home.store.transaction():
        opened, rows = _make_run(home, member, handler, bodies, now, audiences, epoch)
        home.store.blobs.insert(rows)
        write(home, member, opened, [handler] * len(opened), now, Report())
        if handler.change is not None:
            home.store.db.keep()  # nobody is to act on a membership, or under a key, that its author forgets
            home.clock(member.account).observe(opened[-1].event.ts)  # what builds on it is later
    return opened


def _make_run(
    home: Home,
    member: Membership,
    handler: Handler,
    bodies: Sequence[Mapping[str, Any]],
    now: int,
    audiences: Sequence[str],
    epoch: int,
) -> tuple[list[Opened[Any]], list[BlobRow]]:
    account, space, author = member.account, member.space, member.device
    device = home.store.names.device_number(space, author)
    seq, prev = home.store.log_end(device)
    if epoch not in member.epochs:
        raise NotIn(NO_KEY)
    key, context = member.epochs[epoch]
    clock = home.clock(account)
    nonces = home.entropy(24 * len(bodies))
    last = len(bodies) - 1
    under = sealing_keys(home, member, audiences)
    opened: list[Opened[Any]] = []
    rows: list[BlobRow] = []
    for place, (number, body) in enumerate(
        zip(home.store.blobs.take_numbers(len(bodies)), bodies, strict=True)
    ):
        seq += 1
        ts = clock.tick(now)
        if under:
            header = Event(type=handler.type, v=handler.version, ts=ts, author=author, seq=seq, prev=prev)
            event: Event = seal_fields(home, member, header, body, under)
        else:
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
        at = account, space, member.space_id, member.account_id
        opened.append(Opened(*at, number, device, event_id, event))
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
    if member.control not in member.epochs:
        raise NotIn(NO_KEY)
    event = make_event(handler, home.clock(member.account).tick(now), member.device, 1, None, body)
    core_event.sign(event, member.raw_space_id, member.device_key)
    # Under the key of the graph, which all members come by: what never opens would be kept locked.
    key, context = member.epochs[member.control]
    blob = seal(key, home.entropy(24), core_event.encode(event), context)
    return home.store.names.key_id(member.control) + blob
