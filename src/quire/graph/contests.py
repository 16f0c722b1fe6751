"""Which changes are at odds: a removal, and what the removed did without knowing of it.

Owns: who voids whom, if it counts. Must not know: which of them do count (see `resolve`).
"""

from collections.abc import Callable
from typing import Any

from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.dag import Mask, Node
from quire.graph.ledger import Ledger, admitted, given_root
from quire.graph.roles import Role
from quire.graph.rules import needed


class Contests:
    """What each removal would void, and what would void each node."""

    def __init__(self) -> None:
        self.against: dict[int, Mask] = {}
        self.voids: dict[int, Mask] = {}
        #: The removals that are at odds with anything.
        self.removals: Mask = 0

    def add(self, ledger: Ledger, node: Node) -> bool:
        """Take in a node that nothing builds on yet; True when removals are to be weighed again.

        Not so when all that is new is one more thing, no removal itself, that known removals void.
        """
        if node.flaw:
            return False
        bit = 1 << node.index
        attackers, victims = opponents(ledger, node), voided(ledger, node)
        self._note(node.index, attackers, victims)
        for removal in ledger.dag.each(attackers):
            self.voids[removal.index] = self.voids.get(removal.index, 0) | bit
        for victim in ledger.dag.each(victims):
            self.against[victim.index] = self.against.get(victim.index, 0) | bit
            if is_removal(victim.change):
                self.removals |= 1 << victim.index
        fresh = attackers & ~self.removals
        self.removals |= attackers
        at_odds = is_removal(node.change) and bool(attackers or victims)
        if at_odds:
            self.removals |= bit
        return at_odds or bool(fresh)

    def _note(self, index: int, attackers: Mask, victims: Mask) -> None:
        if attackers:
            self.against[index] = attackers
        if victims:
            self.voids[index] = victims


def is_removal(change: AnyChange) -> bool:
    """Whether a change takes something away from somebody."""
    reach = type(change) in _REACH
    if reach and isinstance(change, changes.SetRole):
        return change.role < Role.ADMIN
    return reach and not (isinstance(change, changes.SetAudience) and change.inside)


def leaves(node: Node) -> bool:
    """Whether somebody leaves the space, or an audience: that no removal takes from them."""
    match node.change:
        case changes.SetRole(member, Role.NONE, _) | changes.SetAudience(_, member, False):
            return member == node.author
    return False


def opponents(ledger: Ledger, node: Node) -> Mask:
    """The removals that void a node, should they count; of a node that nothing builds on yet."""
    change = node.change
    found = ledger.removals(node.author) | ledger.revocations(node.device)
    if more := _OPPONENTS.get(type(change)):
        found |= more(ledger, node, change)
    if not found:
        return 0
    return _only(
        ledger, found & ~(node.past | 1 << node.index), lambda removal: _takes(ledger, removal.change, node)
    )


def voided(ledger: Ledger, removal: Node) -> Mask:
    """What a removal voids, should it count; of a removal that nothing builds on yet."""
    change = removal.change
    if not is_removal(change):
        return 0
    reach = _REACH[type(change)](ledger, removal, change) & ~(removal.past | 1 << removal.index)
    return _only(
        ledger, reach, lambda node: _takes(ledger, change, node) and _concerns(ledger, removal, node)
    )


def _only(ledger: Ledger, mask: Mask, test: Callable[[Node], bool]) -> Mask:
    found = 0
    for node in ledger.dag.each(mask):
        if test(node):
            found |= 1 << node.index
    return found


def _takes(ledger: Ledger, removal: AnyChange, node: Node) -> bool:
    """Whether the right to do what `node` does goes with a removal that concerns it."""
    match removal:
        case changes.SetRole(_, role, _):
            return needed(ledger, node.change, node.author) > max(role, Role.NONE) and not leaves(node)
        case changes.Readmit():
            return not leaves(node)
        case changes.SetAudience():
            return not removal.inside and not leaves(node)
        case changes.Rotate(old, _):
            # Only certificates by the key that was given up.
            by = (
                node.change.root
                if isinstance(node.change, changes.Recover)
                else given_root(node, admitted(node))
            )
            return by == old
    return True


def _concerns(ledger: Ledger, removal: Node, node: Node) -> bool:
    """Whether a node that a removal reaches is of the scope that it is about."""
    change = removal.change
    return not isinstance(change, changes.SetAudience) or _scope(ledger, node.change) == change.audience


def _scope(ledger: Ledger, change: AnyChange) -> str:
    match change:
        case changes.SetAudience(audience, _, _):
            return audience
        case changes.NewKey(scope):
            return scope
        case changes.ShareKey(key, _):
            return ledger.scope_of(key)
    return ""


#: By kind of node: the removals that void it, beside those of its author and its device.
_OPPONENTS: dict[type, Callable[[Ledger, Node, Any], Mask]] = {
    changes.Admit: lambda ledger, _, change: (
        ledger.withdrawals(change.invite)
        | ledger.rotations(change.member)
        | ledger.revocations(change.device)
    ),
    changes.Link: lambda ledger, _, change: ledger.revocations(change.device),
    changes.Recover: lambda ledger, _, change: ledger.rotations(change.member),
    changes.SetAudience: lambda ledger, node, change: ledger.audience_changes(change.audience, node.author),
    changes.NewKey: lambda ledger, node, change: ledger.audience_changes(change.scope, node.author),
    changes.ShareKey: lambda ledger, node, change: ledger.audience_changes(
        ledger.scope_of(change.key), node.author
    ),
}

#: By kind of removal: every node that it could void.
_REACH: dict[type, Callable[[Ledger, Node, Any], Mask]] = {
    changes.SetRole: lambda ledger, _, change: ledger.acts_of_member(change.member),
    changes.Readmit: lambda ledger, _, change: ledger.acts_of_member(change.old),
    changes.SetAudience: lambda ledger, _, change: ledger.acts_of_member(change.member),
    changes.Revoke: lambda ledger, _, change: (
        ledger.acts_of_device(change.device) | ledger.claimed(change.device)
    ),
    changes.RevokeInvite: lambda ledger, _, change: ledger.let_in(change.invite),
    changes.Rotate: lambda ledger, node, _: ledger.certified(node.author),
}
