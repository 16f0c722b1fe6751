"""The rules of the graph: what each change takes, as of what its author built on.

Owns: rights. A rule looks at the past of a change alone, so what it decides never depends on what else has
arrived; what concurrent changes do to each other is for `contests` and `resolve`. The same rules refuse a
person's command before anything is written.
"""

from collections.abc import Callable
from typing import Any

from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.dag import Mask, Node, has
from quire.graph.ledger import Ledger, given_root
from quire.graph.roles import Role

#: Why a change does not count, by the slug that `broken` gives: for people.
REASONS = {
    "void": "its proof does not hold",
    "time": "it is dated before what it builds on",
    "founder": "only its founder founds a space, and before anything else",
    "device": "it was written by a device that is not, or no longer, one of a member's",
    "device-taken": "that device is somebody's already, or was revoked",
    "guest": "a guest can read, and nothing else",
    "admin": "only the founder and admins may do that",
    "founder-stays": "nobody can remove or change the founder",
    "not-there": "who it is about is not in the space",
    "role": "nobody can give a role above their own, or make a second founder",
    "invite": "there is no such invite",
    "invite-revoked": "the invite was revoked",
    "invite-expired": "the invite has expired",
    "invite-used": "every seat of the invite is taken",
    "invite-inviter": "whoever made the invite no longer has the right to",
    "banned": "this identity is banned from the space",
    "already": "it has been done already",
    "consent": "the device has agreed to be somebody else's",
    "own-device": "a device is revoked by another device of the same person",
    "root": "it was not certified by the identity's present root key",
    "audience": "only who is in an audience has a say in it, and only who made it takes others out",
    "audience-fixed": "a conversation between two people stays between them",
    "generation": "it does not follow from the keys before it",
    "recipients": "it hands a key to a device that must not have it",
    "concurrent": "its author lost the right to it at the same time",
}


def flaw(ledger: Ledger, node: Node) -> str:
    """The slug of the rule that a draft breaks whatever else counts, or ""."""
    nodes = ledger.dag.nodes
    if any(nodes[index].ts >= node.ts for index in node.parents):
        return "time"
    if not node.author:
        return "device"
    find = _FLAWS.get(type(node.change))
    return find(ledger, node, node.change) if find else ""


def _void_flaw(_: Ledger, __: Node, ___: changes.Void) -> str:
    return "void"


def _found_flaw(_: Ledger, node: Node, __: changes.Found) -> str:
    return "founder" if node.past else ""


def _admit_flaw(ledger: Ledger, node: Node, change: changes.Admit) -> str:
    return "" if _invite(ledger, change.invite, node.past, change.public) else "invite"


def _revoke_invite_flaw(ledger: Ledger, node: Node, change: changes.RevokeInvite) -> str:
    return "" if _invite(ledger, change.invite, node.past) else "invite"


def _recover_flaw(ledger: Ledger, node: Node, change: changes.Recover) -> str:
    if not (entered := ledger.entries(change.member, node.past)):
        return "not-there"
    given = (*entered, *ledger.dag.each(ledger.rotations(change.member) & node.past))
    return "" if any(given_root(other, change.member) == change.root for other in given) else "root"


def _link_flaw(_: Ledger, node: Node, change: changes.Link) -> str:
    return "" if change.member in ("", node.author) else "consent"


def _invite(ledger: Ledger, event_id: str, mask: Mask, public: str = "") -> Node | None:
    """The node of an invite, if it counts (and has the key)."""
    node, invite = ledger.node(event_id), ledger.invite(event_id)
    if node is None or invite is None or not has(mask, node) or node.flaw:
        return None
    return node if public in ("", invite.public) else None


def _key_flaw(ledger: Ledger, node: Node, change: changes.NewKey) -> str:
    """A key's generation is one more than those of the keys that it names, which had to keep to that too."""
    highest = 0
    for parent in change.parents:
        before = ledger.node(parent)
        if before is None or before.flaw or not has(node.past, before):
            return "generation"
        if not isinstance(before.change, changes.NewKey) or before.change.scope != change.scope:
            return "generation"
        highest = max(highest, before.change.generation)
    return "" if change.generation == highest + 1 else "generation"


def broken(ledger: Ledger, node: Node, mask: Mask) -> str:
    """The slug of the first rule that a change breaks, or "". `mask`: which nodes of its past count."""
    change = node.change
    if node.flaw or isinstance(change, changes.Found):
        return node.flaw
    if isinstance(change, changes.Recover):
        return _recover(ledger, node, change, mask)
    claim = ledger.standing(node.device, mask)
    if claim is None or claim.member != node.author:
        return "device"
    role = ledger.role(node.author, mask)
    if role < needed(ledger, change, node.author):
        return "guest" if role <= Role.GUEST else "admin"
    return _RULES[type(change)](ledger, node, change, mask)


def needed(ledger: Ledger, change: AnyChange, author: str) -> Role:
    """The role that a change takes at least."""
    match change:
        case changes.OpenAudience((member,), True) if member == author:
            return Role.GUEST  # what guests note for their own devices
        case changes.NewKey() | changes.ShareKey() if _is_own(ledger, change, author):
            return Role.GUEST
        case changes.SetRole(member, role, _):
            return Role.GUEST if member == author and role == Role.NONE else Role.ADMIN
        case changes.SetAudience(_, member, inside):
            return Role.GUEST if member == author and not inside else Role.MEMBER
        case changes.Rename():
            return Role.ADMIN
        case changes.Invite():
            return max(Role.MEMBER, change.role)
    return _NEEDS.get(type(change), Role.MEMBER)


def _is_own(ledger: Ledger, change: changes.NewKey | changes.ShareKey, author: str) -> bool:
    """Whether a key is of an audience of its author alone."""
    scope = change.scope if isinstance(change, changes.NewKey) else ledger.scope_of(change.key)
    made = ledger.node(scope)
    return made is not None and made.change == changes.OpenAudience((author,), True)


def _make_invite(_: Ledger, __: Node, change: changes.Invite, ___: Mask) -> str:
    return "role" if change.role > Role.ADMIN or change.role < Role.GUEST else ""


def _link(ledger: Ledger, node: Node, change: changes.Link, mask: Mask) -> str:
    if _is_taken(ledger, change.device, node.author, mask):
        return "device-taken"
    return "already" if ledger.standing(change.device, mask) else ""


def _revoke(ledger: Ledger, node: Node, change: changes.Revoke, mask: Mask) -> str:
    # Its own, even where somebody else's claim came before: who was robbed may always say so.
    if not any(claim.member == node.author for claim in ledger.claims(change.device, mask)):
        return "own-device"
    return "already" if ledger.revocations(change.device) & mask else ""


def _rotate(ledger: Ledger, node: Node, change: changes.Rotate, mask: Mask) -> str:
    return "" if ledger.root(node.author, mask) == change.old else "root"


def _recover(ledger: Ledger, node: Node, change: changes.Recover, mask: Mask) -> str:
    if ledger.role(change.member, mask) < Role.GUEST:
        return "not-there"
    if ledger.root(change.member, mask) != change.root:
        return "root"
    return "device-taken" if _is_taken(ledger, node.device, change.member, mask) else ""


def _is_taken(ledger: Ledger, device: str, member: str, mask: Mask) -> bool:
    """Whether a device cannot become `member`'s: it is another's, or was revoked."""
    owner = ledger.member_of(device, mask)
    return owner is not None and (owner != member or bool(ledger.revocations(device) & mask))


def _revoke_invite(ledger: Ledger, node: Node, change: changes.RevokeInvite, mask: Mask) -> str:
    made = _invite(ledger, change.invite, mask)
    if made is None:
        return "invite"
    own = made.author == node.author
    return "" if own or ledger.role(node.author, mask) >= Role.ADMIN else "admin"


def _admit(ledger: Ledger, node: Node, change: changes.Admit, mask: Mask) -> str:
    invite = _invite(ledger, change.invite, mask, change.public)
    if invite is None:
        return "invite"
    role = ledger.role(change.member, mask)
    if role == Role.BANNED:
        return "banned"
    if role > Role.NONE:
        return "already"
    rotated = ledger.rotations(change.member) & mask
    if rotated and (change.root or change.member) != ledger.root(change.member, mask):
        return "root"
    if _is_taken(ledger, change.device, change.member, mask):
        return "device-taken"
    return may_admit(ledger, invite, change.member, node.ts, mask)


def may_admit(ledger: Ledger, invite: Node, member: str, now: int, mask: Mask) -> str:
    """The rule by which an invite admits nobody more at `now` (ms), or ""."""
    assert isinstance(invite.change, changes.Invite)
    if ledger.withdrawals(invite.event_id) & mask:
        return "invite-revoked"
    if now > invite.change.expires:
        return "invite-expired"
    if ledger.role(invite.author, mask) < needed(ledger, invite.change, invite.author):
        return "invite-inviter"
    seats = invite.change.uses
    return "invite-used" if ledger.seats_taken(invite.event_id, member, mask, seats) >= seats else ""


def _set_role(ledger: Ledger, node: Node, change: changes.SetRole, mask: Mask) -> str:
    present = ledger.role(change.member, mask)
    if change.member == node.author and change.role == Role.NONE:
        return ""
    if present == Role.FOUNDER:
        return "founder-stays"
    if change.role > Role.ADMIN:
        return "role"
    if present == change.role:
        return "already"
    if change.role == Role.BANNED:
        return ""
    if present == Role.BANNED:
        return "" if change.role == Role.NONE else "banned"
    return "not-there" if present == Role.NONE else ""


def _readmit(ledger: Ledger, _: Node, change: changes.Readmit, mask: Mask) -> str:
    roles = ledger.role(change.old, mask), ledger.role(change.new, mask)
    if roles[0] == Role.FOUNDER:
        return "founder-stays"
    return "" if change.old != change.new and min(roles) >= Role.GUEST else "not-there"


def _open_audience(ledger: Ledger, node: Node, change: changes.OpenAudience, mask: Mask) -> str:
    people = set(change.members)
    if node.author not in people or (change.fixed and len(people) > 2):
        return "audience"
    return "" if all(ledger.role(member, mask) >= Role.GUEST for member in people) else "not-there"


def _set_audience(ledger: Ledger, node: Node, change: changes.SetAudience, mask: Mask) -> str:
    if not ledger.inside(change.audience, node.author, mask):
        return "audience"
    made = ledger.node(change.audience)
    assert made is not None
    if isinstance(made.change, changes.OpenAudience) and made.change.fixed:
        return "audience-fixed"
    # Everyone inside brings others in and may leave; who made it takes others out.
    if not change.inside and node.author not in (made.author, change.member):
        return "audience"
    if ledger.inside(change.audience, change.member, mask) == change.inside:
        return "already"
    return "not-there" if change.inside and ledger.role(change.member, mask) < Role.GUEST else ""


def _key(ledger: Ledger, node: Node, change: changes.NewKey | changes.ShareKey, mask: Mask) -> str:
    if isinstance(change, changes.ShareKey):
        shared = ledger.node(change.key)
        if shared is None or not has(node.past, shared) or not isinstance(shared.change, changes.NewKey):
            return "generation"
        scope = shared.change.scope
    else:
        scope = change.scope
        if not _follows(ledger, change, mask):
            return "generation"
    if scope and not ledger.inside(scope, node.author, mask):
        return "audience"
    return "" if all(may_hold(ledger, scope, device, mask) for device in change.recipients) else "recipients"


def may_hold(ledger: Ledger, scope: str, device: str, mask: Mask) -> bool:
    """Whether a device may be given the keys of a scope."""
    claim = ledger.standing(device, mask)
    if claim is None or ledger.role(claim.member, mask) < Role.GUEST:
        return False
    return not scope or ledger.inside(scope, claim.member, mask)


def _follows(ledger: Ledger, change: changes.NewKey, mask: Mask) -> bool:
    """Whether all keys that count before a key have lower numbers.

    It need not name them all, or whoever makes up rivals could make it longer than an event may be. It may name keys
    that do not count (any more): what was built on a removed member's key stays a key.
    """
    return all(_generation(node) < change.generation for node in ledger.last_keys(change.scope, mask))


def _generation(node: Node) -> int:
    assert isinstance(node.change, changes.NewKey)
    return node.change.generation


_FLAWS: dict[type, Callable[[Ledger, Node, Any], str]] = {
    changes.Void: _void_flaw,
    changes.Found: _found_flaw,
    changes.Recover: _recover_flaw,
    changes.Link: _link_flaw,
    changes.Admit: _admit_flaw,
    changes.RevokeInvite: _revoke_invite_flaw,
    changes.NewKey: _key_flaw,
}

#: The role that each change takes at least, where it is not a member's.
_NEEDS = {
    changes.Link: Role.GUEST,
    changes.Recover: Role.GUEST,
    changes.Rotate: Role.GUEST,
    changes.Revoke: Role.GUEST,
    changes.Merge: Role.GUEST,
    changes.Readmit: Role.ADMIN,
}


def _no_more(_: Ledger, __: Node, ___: AnyChange, ____: Mask) -> str:
    return ""


#: What each change takes beside a device and a role.
_RULES: dict[type, Callable[[Ledger, Node, Any, Mask], str]] = {
    changes.Invite: _make_invite,
    changes.RevokeInvite: _revoke_invite,
    changes.Admit: _admit,
    changes.SetRole: _set_role,
    changes.Link: _link,
    changes.Revoke: _revoke,
    changes.Rotate: _rotate,
    changes.Readmit: _readmit,
    changes.OpenAudience: _open_audience,
    changes.SetAudience: _set_audience,
    changes.NewKey: _key,
    changes.ShareKey: _key,
    changes.Rename: _no_more,
    changes.Merge: _no_more,
}
