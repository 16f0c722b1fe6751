"""History: which content is left out of what two devices compare, where newcomers do not get what was before them.

Owns: reading from the membership graph which keys a device was given. Must not know: sync, any event type.

Left out is what the graph does not say that both devices were given the key of. Being given a key cannot be
undone, so two devices that know the same graph leave out the same, and come to hold the same of the rest.
"""

from functools import partial

from quire.core.encoding import to_text
from quire.events.home import Home
from quire.events.standing import graph_of
from quire.limits import MAX_SESSIONS
from quire.store.buckets import StoreIndex


def index_for(home: Home, account: int, space: int, device: str) -> StoreIndex:
    """What an identity holds in a space, as far as it is compared with another device."""
    return home.store.index(account, space, partial(closed_to, home, account, space, device))


def closed_to(home: Home, account: int, space: int, device: str) -> frozenset[int]:
    """The epochs whose content an identity leaves out of what it compares with another device.

    None in a space where newcomers get everything.
    """
    member = home.store.memberships.get(account, space)
    if not member.apart:
        return frozenset()
    ledger = graph_of(home, member).ledger
    memory = home.closed.setdefault((account, space), {})
    known = memory.get(device)
    size = len(ledger.dag.nodes)
    if known is not None and known[0] == size and known[1] is member.apart:
        return known[2]
    both = ledger.given(device) & ledger.given(member.device)
    if len(memory) >= MAX_SESSIONS:
        memory.clear()
    names = home.store.names
    closed = frozenset(epoch for epoch in member.apart if to_text(names.key_id(epoch)) not in both)
    memory[device] = size, member.apart, closed
    return closed
