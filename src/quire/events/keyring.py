"""Keys of spaces and audiences: taken out of the events that carry them, and chosen to seal under.

Owns: which keys an identity holds, and what it seals new events under. Must not know: any event type; who may
hand out a key is the graph's to say.

A space's key opens its content. Its membership graph is sealed under a key derived from that one, so that
newcomers can be given the graph's past without the content's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from nacl.exceptions import CryptoError

from quire.core.encoding import from_text, is_key, to_text
from quire.core.keys import KEY_BYTES, as_content, as_control, derive, is_content
from quire.core.sealed_body import AudienceKey
from quire.core.sealing import key_id, open_sealed, seal
from quire.core.wrapping import WrapKey, unwrap
from quire.errors import BadEvent
from quire.events.home import Home
from quire.events.opening import envelope, open_stored
from quire.graph import changes
from quire.graph.dag import Node
from quire.graph.graph import Graph
from quire.graph.rules import may_hold
from quire.graph.state import current_key, last_keys, latest_first, left_out, void_keys
from quire.store.blobs import BlobRow
from quire.store.memberships import Membership

CONTENT, CONTROL = 0, 1


class OlderKey(NamedTuple):
    """A key of the past, sealed under the key that came after it; `name` is that of the content key."""

    kind: int
    name: str
    sealed: bytes


@dataclass(frozen=True)
class KeyBox:
    """What an event that hands out a key holds.

    `name` is the 8-byte id of the (content) key as text; `boxes` device → the key wrapped to it with
    `ephemeral` (see `core.wrapping`).
    """

    name: str
    ephemeral: bytes
    boxes: Mapping[str, bytes]
    older: Sequence[OlderKey] = ()
    #: Where the event says whose key it is.
    scope: str = ""


class HeldKey(NamedTuple):
    """A key as it was handed to us: its kind, the name of the content key it belongs to, 32 bytes, its scope."""

    kind: int
    name: str
    key: bytes
    scope: str = ""


def control_key(content: bytes) -> bytes:
    """The key that the membership graph is sealed under, from the content key of the same epoch."""
    return as_control(derive(content, "quire control"))


def content_key(home: Home) -> bytes:
    """A new key for content, of the space or of an audience."""
    return as_content(home.entropy(KEY_BYTES))


def control_of(held: HeldKey) -> HeldKey:
    """The key of the graph that belongs to a content key."""
    return HeldKey(CONTROL, held.name, control_key(held.key))


def handed(key: bytes, first: bytes, first_name: str) -> list[HeldKey]:
    """The space's present key, and the graph's first one, as a letter brings them. Raises BadEvent for what is none."""
    if not len(key) == len(first) == KEY_BYTES or not is_content(key) or is_content(first):
        raise BadEvent("bad-letter")
    return [HeldKey(CONTENT, name_of(key), key), HeldKey(CONTROL, first_name, first)]


def name_of(content: bytes) -> str:
    """The public name of a content key."""
    return to_text(key_id(content))


def wrap_context(space_id: bytes, name: str) -> bytes:
    """What is bound to a wrapped key: the space and the key's name."""
    return b"quire key 1" + space_id + from_text(name)


def seal_older(under: HeldKey, older: HeldKey, nonce: bytes, space_id: bytes) -> OlderKey:
    """Seal a key of the past under a later one of the same kind."""
    context = wrap_context(space_id, older.name)
    return OlderKey(older.kind, older.name, seal(under.key, nonce, older.key, context))


def take_keys(home: Home, member: Membership, graph: Graph, nodes: Iterable[Node]) -> None:
    """Take out of events the keys wrapped to this device, and those of the past sealed in them.

    Also where an event does not count: others may have sealed under its key before they heard so, and what a
    device can read must not depend on what it heard first. It seals under none of them: see `choose`.
    """
    found: list[HeldKey] = []
    waiting = _waiting_boxes(home, member)
    for node in nodes:
        change = node.change
        if isinstance(change, changes.NewKey):
            waiting.pop(change.name, None)  # found by the graph from now on
        if isinstance(change, changes.NewKey | changes.ShareKey):
            scope = change.scope if isinstance(change, changes.NewKey) else graph.ledger.scope_of(change.key)
            box = _box(home, member, node) if member.device in change.recipients else None
            key = _unwrapped(member, box, scope) if box is not None else None
            if key is None and isinstance(change, changes.NewKey):
                key = _held(home, member, scope, change.name)
            if key is not None:
                found.append(key)
    if found:
        hold(home, member, graph, found)


def read_early(home: Home, member: Membership, graph: Graph, boxes: Iterable[KeyBox]) -> None:
    """Take keys out of events that are not in the graph yet: those wrapped to this device, and keys of the past.

    Who was just let in, or left out of a new key, can take in the graph, which says what counts, only by these.
    A key that does not belong here opens nothing, and nothing is sealed under it.
    """
    found: list[HeldKey] = []
    waiting = _waiting_boxes(home, member)
    for box in boxes:
        if box.scope:
            continue
        waiting.setdefault(box.name, []).append(replace(box, boxes={}))
        key = _unwrapped(member, box, "")
        found += [key] if key is not None else _all_held(home, member, box.name)
    if found:
        hold(home, member, graph, found)


def read_refused(home: Home, member: Membership, graph: Graph, boxes: Iterable[KeyBox]) -> None:
    """The same for events that are not kept: what of them opens nothing now does so when they come again."""
    found: list[HeldKey] = []
    for box in boxes:
        key = None if box.scope else _unwrapped(member, box, "")
        if key is not None:
            found += [key, *_older(member, box, key)]
    if found:
        hold(home, member, graph, found)


def _waiting_boxes(home: Home, member: Membership) -> dict[str, list[KeyBox]]:
    """What events hand on of the past that the graph has not taken in, by the name of the key they bring."""
    at = (member.account, member.space)
    found = home.boxes.get(at)
    if found is None:
        found = {}
        for row in home.store.blobs.read(home.store.waiting.events(*at)):
            opened = open_stored(home, member, row)
            if opened is not None and opened[1] is not None and opened[1].box is not None:
                box = opened[1].box(envelope(member, row, opened[0]))
                if not box.scope:
                    found.setdefault(box.name, []).append(replace(box, boxes={}))
        home.boxes[at] = found
    return found


def hold(home: Home, member: Membership, graph: Graph, keys: Sequence[HeldKey]) -> None:
    """Keep keys, and those of the past that they open."""
    queue = list(keys)
    done: set[HeldKey] = set()
    while queue:
        held = queue.pop()
        if held in done:
            continue
        done.add(held)
        if held.scope:
            _keep_for_audience(home, member, held)
        else:
            _keep(home, member, held)
        boxes = [_box(home, member, node) for node in _key_nodes(graph, held.scope, held.name)]
        if not held.scope:
            boxes += _waiting_boxes(home, member).get(held.name, [])
        for box in boxes:
            older = _older(member, box, held)
            # What was held before has led to what is before it.
            queue += [o for o in older if o.scope or o not in _all_held(home, member, o.name)]


def write_under(home: Home, member: Membership, content: bytes) -> None:
    """Seal what is written from now on under a content key, and the graph under the key that belongs to it."""
    memberships, name = home.store.memberships, name_of(content)
    epochs = [memberships.add_key(member, key, name) for key in (content, control_key(content))]
    memberships.seal_under(member, *epochs)


def _keep(home: Home, member: Membership, held: HeldKey) -> None:
    if held in _all_held(home, member, held.name):
        return
    # Of a key of the graph, the content key that it comes from alone shows the name: liars may say another.
    is_certain = held.kind == CONTENT
    for key in [held.key, control_key(held.key)] if is_certain else [held.key]:
        home.store.memberships.add_key(member, key, held.name, is_certain)
        home.fresh_keys.setdefault((member.account, member.space), []).append(key_id(key))


def _keep_for_audience(home: Home, member: Membership, held: HeldKey) -> None:
    at = (member.account, member.space)
    if held_key(home, member, held.scope, held.name) is None:
        home.store.audiences.add_key(*at, held.scope, held.name, held.key)
        home.audience_keys.pop(at, None)
    # Also one that was held before: what it is for may have been missing then.
    home.fresh_audience_keys.setdefault(at, []).append(held.name)


def audience_keys(home: Home, member: Membership) -> dict[str, list[AudienceKey]]:
    """The keys of audiences that an identity holds in a space, by name."""
    at = (member.account, member.space)
    found = home.audience_keys.get(at)
    if found is None:
        found = {}
        for audience, name, key in home.store.audiences.keys(*at):
            if is_key(audience):  # a home may hold others, from before events that bring them were void
                found.setdefault(name, []).append(AudienceKey(from_text(audience, 32), name, key))
        home.audience_keys[at] = found
    return found


def choose(home: Home, member: Membership, graph: Graph) -> None:
    """Seal new events under the latest key that is held, those of the graph under the latest that leaves nobody out.

    Who can open a key that a liar made for few could otherwise leave the space, and nobody else would hear of it.
    """
    member = home.store.memberships.get(member.account, member.space)
    held = (
        (node, key)
        for node in latest_first(graph)
        if (key := _held(home, member, "", node.change.name)) is not None  # type: ignore[union-attr]
    )
    latest = next(held, None)
    if latest is not None:
        fair = next((key for node, key in chain([latest], held) if not left_out(graph, node)), latest[1])
        names = home.store.names
        content = names.epoch_number(member.space, from_text(latest[1].name))
        control = names.epoch_number(member.space, key_id(control_key(fair.key)))
        if (content, control) != (member.content, member.control):
            home.store.memberships.seal_under(member, content, control)


def first_epoch(home: Home, member: Membership, graph: Graph) -> int:
    """The epoch of the graph that a space began with: what hands out keys is sealed under it; 0 while it is not known.

    Everybody who was ever let in has its key, so that nobody is kept from a key by lacking another one. Who was
    removed learns by it which devices are given keys, and none of the keys.
    """
    # The event that announces the first key shows which one it is: others may claim its name.
    return next((_row(home, member, node).epoch for node in latest_first(graph)[-1:]), 0)


def first_control(home: Home, member: Membership, graph: Graph) -> HeldKey | None:
    """The key of that epoch, for who is let in: by the name that the graph gives it, whatever who handed it on said."""
    epoch = first_epoch(home, member, graph)
    held = home.store.memberships.get(member.account, member.space).epochs.get(epoch)
    if held is None:
        return None
    return HeldKey(CONTROL, latest_first(graph)[-1].change.name, held[0])  # type: ignore[union-attr]


def _key_nodes(graph: Graph, scope: str, name: str) -> list[Node]:
    """The events that make a key of this scope and name, or claim to, whether or not they count."""
    return [
        node
        for node in graph.ledger.keys_called(name)
        if isinstance(node.change, changes.NewKey) and node.change.scope == scope
    ]


def held_key(home: Home, member: Membership, scope: str, name: str) -> bytes | None:
    """The content key of this scope and name, if this identity holds it."""
    held = _held(home, member, scope, name)
    return None if held is None else held.key


def _held(home: Home, member: Membership, scope: str, name: str) -> HeldKey | None:
    if scope:
        for key in audience_keys(home, member).get(name, ()):
            if to_text(key.audience) == scope:
                return HeldKey(CONTENT, name, key.key, scope)
        return None
    return next((one for one in _all_held(home, member, name) if one.kind == CONTENT), None)


def _all_held(home: Home, member: Membership, name: str) -> list[HeldKey]:
    """The space's content key of a name, and what was handed to us as derived from it: liars may add to those."""
    return [
        HeldKey(CONTENT if is_content(key) else CONTROL, name, key)
        for key in home.store.memberships.keys_called(member, name)
    ]


def _row(home: Home, member: Membership, node: Node) -> BlobRow:
    """An event of the graph as it is stored."""
    number = home.store.graph.event_at(member.account, member.space, node.index)
    return home.store.blobs.read([number])[0]


def _box(home: Home, member: Membership, node: Node) -> KeyBox | None:
    """What an event that hands out a key holds; None where its stored bytes are damaged."""
    row = _row(home, member, node)
    found = open_stored(home, member, row)
    if found is None or found[1] is None or found[1].box is None:
        return None
    return found[1].box(envelope(member, row, found[0]))


def lacks_current(home: Home, member: Membership, graph: Graph) -> bool:
    """Whether this device is to have the space's present key, and was not given it (yet)."""
    current = current_key(graph, "")
    if current is None or not may_hold(graph.ledger, "", member.device, graph.valid):
        return False
    return _held(home, member, "", current.change.name) is None  # type: ignore[union-attr]


def waits_since(home: Home, member: Membership, graph: Graph) -> int:
    """When the present key was first heard of here (ms)."""
    current = current_key(graph, "")
    assert current is not None
    number = home.store.graph.event_at(member.account, member.space, current.index)
    return home.store.blobs.received_at(member.account, member.space, current.ts, number)


def not_handed_on(home: Home, member: Membership, graph: Graph, kind: int) -> list[Node]:
    """Keys of the space that are held here, and that the latest ones and those they lead to do not hand on.

    Among them the first void ones: who had not heard that their maker was removed wrote under them.
    """
    counted = list(graph.ledger.keys("", graph.valid))
    keys = {n.change.name: n for n in (*void_keys(graph), *counted)}  # type: ignore[union-attr]
    queue = [(CONTENT, n.change.name) for n in last_keys(graph, "")]  # type: ignore[union-attr]
    reached: set[tuple[int, str]] = set()
    while queue:
        step = queue.pop()
        if step in reached:
            continue
        reached.add(step)
        box = _box(home, member, keys[step[1]]) if step[1] in keys else None
        queue += [(one.kind, one.name) for one in (box.older if box else ()) if one.kind >= step[0]]
        if step[0] == CONTENT:
            queue.append((CONTROL, step[1]))
    return [n for name, n in keys.items() if (kind, name) not in reached and _held(home, member, "", name)]


def _unwrapped(member: Membership, box: KeyBox, scope: str) -> HeldKey | None:
    sealed = box.boxes.get(member.device)
    if sealed is None:
        return None
    wrap_key = WrapKey(member.device_key.seed)
    try:
        key = unwrap(sealed, box.ephemeral, wrap_key, wrap_context(member.raw_space_id, box.name))
    except (BadEvent, ValueError):
        return None
    return HeldKey(CONTENT, box.name, key, scope) if _is_called(key, box.name) else None


def _older(member: Membership, box: KeyBox | None, held: HeldKey) -> list[HeldKey]:
    found: list[HeldKey] = []
    for older in box.older if box is not None else ():
        if older.kind == CONTROL and held.scope:
            continue  # only the space has a graph
        if older.kind == CONTROL and held.kind == CONTENT:
            under = control_key(held.key)
        elif older.kind == held.kind:
            under = held.key
        else:
            continue
        try:
            key = open_sealed(under, older.sealed, wrap_context(member.raw_space_id, older.name))
        except (CryptoError, ValueError):
            continue
        if _is_called(key, older.name) if older.kind == CONTENT else not is_content(key):
            found.append(HeldKey(older.kind, older.name, key, held.scope))
    return found


def _is_called(key: bytes, name: str) -> bool:
    """Whether a key is for content, and this its name."""
    return is_content(key) and name_of(key) == name
