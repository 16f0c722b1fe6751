"""Resealing: events of the graph that lie sealed under a key which not all members come by.

Owns: sealing them anew, as any member may, so that others can open what is built on them. Must not know: who may
hold a key, any event type.

An honest member seals under a key that counts. Somebody who hands a key to a few, by an event that breaks a rule,
could seal a change of the graph under it: those few would build on it, and nobody else could follow.
"""

from contextlib import suppress

from quire.core.sealing import open_blob, seal
from quire.errors import BadEvent
from quire.events.home import Home
from quire.events.keyring import control_key, first_control, held_key
from quire.graph.graph import Graph
from quire.graph.state import latest_first, void_keys
from quire.store.memberships import Membership


def reseal_graph(home: Home, member: Membership, graph: Graph) -> int:
    """Seal under the present key of the graph what is sealed under an odd one; how many events."""
    odd, store = _odd_epochs(home, member, graph), home.store
    here = [one for one in store.memberships.all() if one.space == member.space]
    if not odd or not all(member.control in one.epochs for one in here):
        return 0  # nothing odd, or somebody in this home could not open it then
    numbers = [
        store.graph.event_at(member.account, member.space, node.index) for node in graph.ledger.dag.nodes
    ]
    found = [number for number, epoch in store.blobs.epochs(numbers).items() if epoch in odd]
    key, context = member.epochs[member.control]
    for row in store.blobs.read(found):
        with suppress(BadEvent):  # damaged bytes are found, and mended, elsewhere
            data = open_blob(member.epochs[row.epoch][0], row.sealed, member.epochs[row.epoch][1])
            store.blobs.restore(row.n, member.control, seal(key, home.entropy(24), data, context))
    return len(found)


def _odd_epochs(home: Home, member: Membership, graph: Graph) -> set[int]:
    """The epochs whose keys are held, and are neither those of keys that are handed on, nor derived from them."""
    handed_on = {node.change.name for node in (*latest_first(graph), *void_keys(graph))}  # type: ignore[union-attr]
    first = first_control(home, member, graph)
    called = {epoch: home.store.memberships.key_name(member, epoch) for epoch in member.epochs}
    # Who let this one in may have called the first one something else; what hands out keys is to stay under it.
    called |= {epoch: first.name for epoch, (key, _) in member.epochs.items() if first and key == first.key}
    return {
        epoch
        for epoch, name in called.items()
        if not (name in handed_on and _belongs(home, member, name, member.epochs[epoch][0]))
    }


def _belongs(home: Home, member: Membership, name: str, key: bytes) -> bool:
    """Whether a key may be the content key of a name, or the graph's that comes from it."""
    content = held_key(home, member, "", name)
    return content is None or key in (content, control_key(content))
