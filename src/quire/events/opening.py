"""Opening: from a blob to a typed event and its handler.

Owns: which handler an event belongs to, and the opened events that wait for a voucher. Must not know: what
becomes of an event.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from quire.core import event as core_event
from quire.core.event import Event, SealedEvent
from quire.core.sealing import open_blob
from quire.errors import BadEvent
from quire.events.handler import ALWAYS, NEVER, Handler, Opened
from quire.events.home import Home
from quire.store.blobs import BlobRow
from quire.store.memberships import Membership


class _Head(msgspec.Struct, gc=False):
    type: str
    v: int
    sealed: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


#: Canonical bytes mostly end with type and version, which tells the decoder without reading the rest: a name in
#: quotes cannot stand inside a text, where quotes are escaped.
_TYPE, _SEALED = b',"type":', b'"sealed":'

#: So few events are read faster one by one.
_FEW = 4

_head_decoder = msgspec.json.Decoder(_Head)
_sealed_decoder = msgspec.json.Decoder(SealedEvent)


def decode(home: Home, data: bytes) -> tuple[Event, Handler | None]:
    """The typed event in canonical bytes and its handler, or its header and None. Raises BadEvent."""
    plain = None if _SEALED in data else home.registry.by_ending(data[data.rfind(_TYPE) :])
    if plain is not None:
        return core_event.decode(data, plain[1]), plain[0]
    try:
        head = _head_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return core_event.decode_unknown(data), None
    found = home.registry.decoder(head.type, head.v)
    if found is None:
        return core_event.decode_unknown(data), None
    handler, decoder = found
    if handler.sealed != NEVER:
        if head.sealed is not msgspec.UNSET:
            return core_event.decode(data, _sealed_decoder), handler
        if handler.sealed == ALWAYS:
            raise BadEvent("bad-fields")
    return core_event.decode(data, decoder), handler


#: What `decode` gives, or raises.
Decoded = tuple[Event, Handler | None] | BadEvent


def decode_all(home: Home, data: Sequence[bytes]) -> list[Decoded]:
    """`decode` of each: of many, those of one type are read all at once, in half the time."""
    if len(data) < _FEW:
        return [_decode_one(home, each) for each in data]
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, each in enumerate(data):
        places[each[each.rfind(_TYPE) :]].append(place)
    if len(places) == 1:
        return _decode_alike(home, next(iter(places)), data)
    found: dict[int, Decoded] = {}
    for ending, alike in places.items():
        found.update(zip(alike, _decode_alike(home, ending, [data[place] for place in alike]), strict=True))
    return [found[place] for place in range(len(data))]


def _decode_alike(home: Home, ending: bytes, data: Sequence[bytes]) -> list[Decoded]:
    plain = home.registry.by_ending(ending)
    # No decoder of plain fields takes what is sealed.
    events = None if plain is None else core_event.decode_alike(data, plain[1])
    if plain is None or events is None:
        return [_decode_one(home, each) for each in data]
    return [(event, plain[0]) for event in events]


def _decode_one(home: Home, data: bytes) -> Decoded:
    try:
        return decode(home, data)
    except BadEvent as error:
        return error


def open_stored(home: Home, member: Membership, row: BlobRow) -> tuple[Event, Handler | None] | None:
    """The event in a stored blob, or None where its bytes are damaged: the others must not suffer for it.

    One stored before its type was known here, and malformed as we know now, stays unsupported.
    """
    waiting = home.doubtful.get(row.n)
    if waiting is not None:
        return waiting
    key, context = member.epochs[row.epoch]
    try:
        data = open_blob(key, row.sealed, context)
        try:
            return decode(home, data)
        except BadEvent:
            return core_event.decode_unknown(data), None
    except BadEvent:
        return None


def envelope(member: Membership, row: BlobRow, event: Event) -> Opened[Any]:
    """A stored event as this identity received it."""
    space, space_id = member.space, member.space_id
    return Opened(member.account, space, space_id, member.account_id, row.n, row.device, row.event_id, event)
