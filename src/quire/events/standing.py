"""Standing: the membership graph of each space, as one identity knows it, kept in step with the store.

Owns: taking events into the graph, and noting what it comes to: members, their devices, what is hidden.
Must not know: any event type (handlers say what an event changes). Callers hold the transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from quire.events.forks import note_forks
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.keyring import choose, take_keys
from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.dag import Node
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.state import ahead, audience_spans, hidden, space_name
from quire.store.graph_rows import DeviceRow, GraphRow
from quire.store.memberships import Membership

_decoder = msgspec.json.Decoder(AnyChange)


def graph_need(event_id: str) -> str:
    """What waits for an event of the graph to be taken in."""
    return f"graph {event_id}"


def device_need(device: str) -> str:
    """What waits for a device to be known as a member's."""
    return f"device {device}"


def author_known(opened: Opened[Any]) -> Sequence[str]:
    """What most events need: that their author's device is known as a member's."""
    return (device_need(opened.event.author),)


def graph_of(home: Home, member: Membership) -> Graph:
    """The graph of a space, read from the store when first asked for."""
    key = (member.account, member.space)
    graph = home.graphs.get(key)
    if graph is None:
        graph = Graph()
        graph.add(
            Entry(
                r.event_id, r.device, r.seq, r.ts, msgspec.json.decode(r.parents), _decoder.decode(r.change)
            )
            for r in home.store.graph.events(*key)
        )
        home.graphs[key] = graph  # only now: what could not be read whole must not be taken for it
    return graph


def graph_at(home: Home, member: Membership, ts: int) -> Graph:
    """The graph without what this device wrote while its clock was ahead, where it writes at `ts` now."""
    graph = graph_of(home, member)
    early = ahead(graph, member.device, ts)
    return graph.without(early) if early else graph


def take_in(home: Home, member: Membership, batch: Sequence[tuple[Opened[Any], Handler]]) -> list[str]:
    """Take events into the graph, each after those it builds on; gives the needs that this meets."""
    graph = graph_of(home, member)
    entries = [_entry(member, opened, handler) for opened, handler in batch]
    fresh = [
        (entry, opened)
        for entry, (opened, _) in zip(entries, batch, strict=True)
        if graph.ledger.node(entry.event_id) is None
    ]
    first = len(graph.ledger.dag.nodes)
    effect = graph.add(entry for entry, _ in fresh)
    _keep(home, member, first, fresh)
    account, space = member.account, member.space
    home.store.graph.set_counts(account, space, True, (node.index for node in effect.counted))
    home.store.graph.set_counts(account, space, False, (node.index for node in effect.voided))
    moved = (*effect.counted, *effect.voided)
    new = graph.ledger.dag.nodes[first:]
    _note_members(home, member, graph, (*new, *moved))
    _note_audiences(home, member, graph, moved)
    take_keys(home, member, graph, new)
    if any(isinstance(node.change, changes.Found) and node.change.from_join for node in effect.counted):
        home.store.memberships.set_from_join(member)
        home.store.buckets.recount_later(account, space)
    if any(isinstance(node.change, changes.Rename) for node in moved):
        home.store.memberships.set_kind(member, member.kind, space_name(graph) or member.name)
    if moved:
        choose(home, member, graph_at(home, member, home.clock(account).last))
        home.moved[space] = None
    if new:
        home.stale.pop((account, space), None)  # what does not count may have handed out a key
    return [device_need(device) for node in new for device in _brings_in(node)]


def _entry(member: Membership, opened: Opened[Any], handler: Handler) -> Entry:
    assert handler.change is not None
    event = opened.event
    change = handler.change(opened, member.raw_space_id)
    return Entry(opened.event_id, event.author, event.seq, event.ts, event.after, change)


def _keep(home: Home, member: Membership, first: int, fresh: Sequence[tuple[Entry, Opened[Any]]]) -> None:
    home.store.graph.add(
        member.account,
        member.space,
        first,
        [
            GraphRow(
                opened.number,
                entry.event_id,
                entry.device,
                entry.seq,
                entry.ts,
                msgspec.json.encode(entry.parents).decode(),
                msgspec.json.encode(entry.change).decode(),
            )
            for entry, opened in fresh
        ],
    )


def _note_members(home: Home, member: Membership, graph: Graph, nodes: Iterable[Node]) -> None:
    """Write down what has changed for whoever the nodes are about."""
    ledger, valid = graph.ledger, graph.valid
    concerned = {name for node in nodes for name in _concerns(graph, node) if name}
    # With a claim that counts no more its device may become another's.
    rivals = {
        rival
        for name in concerned
        for device in ledger.devices_ever(name)
        for rival in ledger.claimants(device)
    }
    people = sorted(concerned | rivals)
    for name in people:
        entries = ledger.entries(name, valid)
        since = min((node.ts for node in entries), default=0)
        role = ledger.role(name, valid) if entries else None
        devices = [_device_row(graph, name, device) for device in ledger.devices_ever(name)]
        found = [row for row in devices if row is not None]
        home.store.graph.set_member(member.account, member.space, name, role, since, found)
        note_forks(home, member, graph, dict.fromkeys(ledger.devices_ever(name), ()))
    if people:
        home.forget_senders()


def _device_row(graph: Graph, name: str, device: str) -> DeviceRow | None:
    """What a device is to a member, unless it is another's: one whose admission does not count shows nothing."""
    ledger, valid = graph.ledger, graph.valid
    everything = (1 << len(ledger.dag.nodes)) - 1
    claims = ledger.claims(device, valid) or ledger.claims(device, everything)
    if claims[0].member != name:
        return None
    return DeviceRow(
        device, claims[0].wrap, ledger.standing(device, valid) is not None, hidden(graph, device)
    )


def _note_audiences(home: Home, member: Membership, graph: Graph, nodes: Iterable[Node]) -> None:
    """Write down who is shown where, for the audiences that the nodes bear on."""
    concerned: dict[str, None] = {}
    for node in nodes:
        match node.change:
            case changes.OpenAudience():
                concerned[node.event_id] = None
            case changes.SetAudience(audience):
                concerned[audience] = None
        for person in _concerns(graph, node):
            concerned.update(dict.fromkeys(graph.ledger.audiences_of(person)))
    for audience in concerned:
        made = graph.ledger.node(audience)
        if made is not None and isinstance(made.change, changes.OpenAudience) and not made.change.fixed:
            spans = audience_spans(graph, audience)
            home.store.audiences.set_spans(member.account, member.space, audience, spans)


def _concerns(graph: Graph, node: Node) -> tuple[str, ...]:
    change = node.change
    match change:
        case (
            changes.Found(member) | changes.Admit(member) | changes.SetRole(member) | changes.Recover(member)
        ):
            return (member,)
        case changes.Readmit(old, new):
            return old, new
        case changes.Link() | changes.Revoke() | changes.Rotate():
            return (node.author,)
    return ()


def _brings_in(node: Node) -> tuple[str, ...]:
    """Devices that are known as a member's by an event.

    Also where it does not count, or what they wrote would wait or not by what was heard first: it is hidden.
    """
    if node.flaw:
        return ()
    match node.change:
        case changes.Found() | changes.Recover():
            return (node.device,)
        case changes.Admit(_, device) | changes.Link(device):
            return (device,)
    return ()
