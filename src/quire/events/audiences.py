"""Audiences: events whose body only some members can open, sealed and opened.

Owns: which held key opens a body, and what waits for a key. Must not know: any event type. The event around a
body is signed, stored and passed on like any other; who cannot open it shows it nowhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import msgspec

from quire.core import canonical
from quire.core.encoding import from_text, to_text
from quire.core.event import Event, SealedEvent
from quire.core.sealed_body import AudienceKey, open_body, randomness_size, seal_body
from quire.errors import BadEvent, NoKeyYet, UserError
from quire.events.handler import Audience, Handler, Opened
from quire.events.home import Home
from quire.events.keyring import audience_keys, held_key
from quire.events.standing import device_need, graph_of
from quire.graph import changes
from quire.graph.graph import Graph
from quire.graph.state import current_key
from quire.limits import MAX_BODY_KEYS
from quire.store.memberships import Membership

_HEADER = frozenset((*Event.__struct_fields__, *SealedEvent.__struct_fields__))

NO_KEY = (
    "This device has no key of that conversation yet: another device in it has to hand it on first. "
    "It does so by itself as soon as the two have been in touch."
)


def needs(handler: Handler, opened: Opened[Any]) -> Sequence[str]:
    """What an event waits for; one with a sealed body for its author's device alone, whoever can open it."""
    if type(opened.event) is SealedEvent:
        return (device_need(opened.event.author),)
    return handler.needs(opened)


def provides(handler: Handler, opened: Opened[Any]) -> Sequence[str]:
    """What an event provides; nothing where the body is sealed, or it would depend on who holds the key."""
    return () if type(opened.event) is SealedEvent else handler.provides(opened)


# --- Opening.


def open_bodies(
    home: Home, member: Membership, batch: Iterable[tuple[Opened[Any], Handler]]
) -> list[tuple[Opened[Any], Handler]]:
    """What opens of a batch of sealed events, once for each audience; the rest is noted to wait for its keys.

    What is sealed to an audience that never changes counts only from its members. Who was in one that changes
    when they wrote is for `audience_spans` to say, whenever it is read: it hangs on what else has arrived.
    """
    held = audience_keys(home, member)
    graph = graph_of(home, member)
    audience_of = cache(lambda raw: _audience(graph, to_text(raw)))
    found: list[tuple[Opened[Any], Handler]] = []
    waits: list[tuple[str, int]] = []
    for opened, handler in batch:
        if len(opened.event.keys) > MAX_BODY_KEYS:
            continue
        for name in opened.event.keys:
            keys = [(key, audience) for key in held.get(name, ()) if (audience := audience_of(key.audience))]
            for key, audience in keys:
                if audience.fixed and opened.sender not in audience.members:
                    continue  # whoever is outside may have come by a key, or made one of their own
                event = _opened(opened.event, handler, member.raw_space_id, key)
                if event is not None:
                    found.append((msgspec.structs.replace(opened, event=event, audience=audience), handler))
            if not keys and _is_key_name(name):
                waits.append((name, opened.number))
    if waits:
        home.store.audiences.set_unopened(member.account, member.space, waits)
    return found


def _audience(graph: Graph, audience_id: str) -> Audience | None:
    """An audience that somebody made, whether or not that counts (any more): what was shown stays."""
    node = graph.ledger.node(audience_id)
    if node is None or not isinstance(node.change, changes.OpenAudience):
        return None
    return Audience(audience_id, node.change.members, node.change.fixed)


def _opened(event: SealedEvent, handler: Handler, space_id: bytes, key: AudienceKey) -> Event | None:
    """The typed event in a sealed one; None where it does not open, or holds what its type has not."""
    assert handler.event is not None
    try:
        fields = canonical.decode(open_body(event, space_id, key))
    except BadEvent:
        return None
    if type(fields) is not dict or not _HEADER.isdisjoint(fields):
        return None
    header = {
        name: value
        for name in Event.__struct_fields__
        if (value := getattr(event, name)) is not msgspec.UNSET
    }
    try:
        return msgspec.convert({**header, **fields}, handler.event)
    except msgspec.ValidationError:
        return None


@lru_cache(maxsize=256)  # asked for every body that does not open, under few keys
def _is_key_name(name: str) -> bool:
    try:
        from_text(name, 8)
    except ValueError:
        return False
    return True


# --- Sealing.


def sealing_keys(home: Home, member: Membership, audiences: Sequence[str]) -> list[AudienceKey]:
    """The current keys of audiences (ids of the events that made them). Raises UserError where one is not held.

    There are at most MAX_BODY_KEYS.
    """
    if len(audiences) > MAX_BODY_KEYS:
        raise UserError(
            f"This can go to at most {MAX_BODY_KEYS} audiences at once, these are {len(audiences)}."
        )
    found = [_sealing_key(home, member, audience) for audience in audiences]
    if None in found:
        raise NoKeyYet(NO_KEY)
    return [key for key in found if key is not None]


def is_key_held(home: Home, member: Membership, audience: str) -> bool:
    """Whether this device could seal to an audience."""
    return _sealing_key(home, member, audience) is not None


def _sealing_key(home: Home, member: Membership, audience: str) -> AudienceKey | None:
    node = current_key(graph_of(home, member), audience)
    if node is None or not isinstance(node.change, changes.NewKey):
        return None
    key = held_key(home, member, audience, node.change.name)
    return None if key is None else AudienceKey(from_text(audience, 32), node.change.name, key)


def seal_fields(
    home: Home, member: Membership, header: Event, body: Mapping[str, Any], keys: Sequence[AudienceKey]
) -> SealedEvent:
    """An event with the type's own fields sealed; not signed yet."""
    data = canonical.encode(msgspec.to_builtins(body))
    randomness = home.entropy(randomness_size(len(keys)))
    return seal_body(data, member.raw_space_id, header, keys, randomness)
