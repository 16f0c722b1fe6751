"""What a node says something about, and what its own verdict hangs on, as names.

Owns: which verdicts must be looked at again when another changes. Must not know: the verdicts. Names are
those of members, devices, invites, audiences and keys' scopes; a name too many costs time, one too few
would make verdicts hang on the order of arrival.
"""

from collections.abc import Iterable, Iterator

from quire.graph import changes
from quire.graph.dag import Node
from quire.graph.ledger import Ledger


def touches(node: Node) -> tuple[str, ...]:
    """The names that a node says something about."""
    change = node.change
    match change:
        case changes.Found(member):
            names: tuple[str, ...] = member, node.device
        case changes.Admit(member, device, _, invite):
            names = member, device, invite
        case changes.Recover(member):
            names = member, node.device
        case changes.SetRole(subject) | changes.Readmit(subject) | changes.Link(subject):
            names = (subject,)
        case changes.Revoke(subject) | changes.RevokeInvite(subject) | changes.SetAudience(subject):
            names = (subject,)
        case changes.NewKey(scope):
            names = (scope,)
        case changes.Rotate():
            names = (node.author,)
        case _:
            names = ()
    return (*names, node.event_id)


def reads(ledger: Ledger, node: Node) -> Iterator[str]:
    """The names that a node's verdict hangs on."""
    yield node.author
    yield node.device
    change = node.change
    match change:
        case changes.Admit(member, device, _, invite):
            yield from (member, *_device(ledger, device), *_invite(ledger, invite))
        case changes.RevokeInvite(invite):
            yield invite
        case changes.SetRole(member):
            yield member
        case changes.Readmit(old, new):
            yield from (old, new)
        case changes.Link(device) | changes.Revoke(device):
            yield from _device(ledger, device)
        case changes.OpenAudience(members):
            yield from members
        case changes.SetAudience(audience, member):
            yield from (audience, member)
        case changes.NewKey() | changes.ShareKey():
            yield from _key(ledger, change)


def _device(ledger: Ledger, device: str) -> Iterator[str]:
    yield device
    yield from ledger.claimants(device)


def _invite(ledger: Ledger, invite: str) -> Iterable[str]:
    made = ledger.node(invite)
    return (invite, made.author) if made is not None else ()


def _key(ledger: Ledger, change: changes.NewKey | changes.ShareKey) -> Iterator[str]:
    if isinstance(change, changes.ShareKey):
        yield change.key
        yield ledger.scope_of(change.key)
    else:
        yield change.scope
    for device in change.recipients:
        yield from _device(ledger, device)


class Readers:
    """By name: the nodes whose verdicts hang on it. Made up when it is asked for, since it seldom is."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._masks: dict[str, int] = {}
        self._noted = 0

    def of(self, node: Node) -> int:
        """The nodes whose verdicts may change with a node's."""
        if self._noted < len(self._ledger.dag.nodes):
            self._catch_up()
        found = 0
        for name in touches(node):
            found |= self._masks.get(name, 0)
        return found

    def _catch_up(self) -> None:
        nodes, masks = self._ledger.dag.nodes, self._masks
        for node in nodes[self._noted :]:
            if not node.flaw:
                for name in dict.fromkeys(reads(self._ledger, node)):
                    masks[name] = masks.get(name, 0) | 1 << node.index
        self._noted = len(nodes)
