"""What the graph says about each member, device, invite, audience and key, as of any set of its nodes.

Owns: the graph's nodes by subject, and the questions asked of them. A question takes a mask: the nodes
that count. Must not know: which nodes do count (see `rules` and `resolve`).

Laws. Of concurrent changes to one role the least wins; of ways in, the one that gives most. Being let in again counts
only when whoever lets in knew of the removal. A removal ends all devices and audiences that were there, and what is
claimed concurrently.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.dag import Dag, Mask, Node, has
from quire.graph.roles import Role

__all__ = ["Claim", "Entry", "Ledger", "Status", "has"]


@dataclass(frozen=True)
class Entry:
    """An event of the graph, as a handler read it. `parents` are ids of earlier ones, `ts` ms."""

    event_id: str
    device: str
    seq: int
    ts: int
    parents: Sequence[str]
    change: AnyChange


class Claim(NamedTuple):
    """A device as `node` brings it in for `member`, with the key to wrap to."""

    node: Node
    member: str
    wrap: str


class Status(NamedTuple):
    """What a member is, and the nodes that made it so."""

    role: Role
    given: list[Node]


class Ledger:
    """Nodes by what they are about. Nodes with a flaw are about nothing."""

    def __init__(self) -> None:
        self.dag = Dag()
        self._claims: dict[str, list[Claim]] = defaultdict(list)
        self._devices: dict[str, dict[str, None]] = defaultdict(dict)
        self._audience_people: dict[str, dict[str, None]] = defaultdict(dict)
        self._audiences: dict[str, dict[str, None]] = defaultdict(dict)
        #: By invite: everyone that any event lets in by it.
        self._came_by: dict[str, dict[str, None]] = defaultdict(dict)
        #: What an entry or a change of role gives, by node.
        self._gives: dict[int, Role] = {}
        #: By member: what lets it in, changes its role, ends it, changes its root, certifies its devices.
        self._entries: dict[str, Mask] = defaultdict(int)
        self._roles: dict[str, Mask] = defaultdict(int)
        self._ends: dict[str, Mask] = defaultdict(int)
        self._roots: dict[str, Mask] = defaultdict(int)
        self._certified: dict[str, Mask] = defaultdict(int)
        self._invites: Mask = 0
        #: By device: what takes it away, what brings it in. By invite: what takes it back, whom it let in.
        self._revocations: dict[str, Mask] = defaultdict(int)
        self._claimed: dict[str, Mask] = defaultdict(int)
        self._withdrawals: dict[str, Mask] = defaultdict(int)
        self._admits: dict[str, Mask] = defaultdict(int)
        #: By audience and member. Keys by scope, shares by key.
        self._audience_changes: dict[tuple[str, str], Mask] = defaultdict(int)
        self._keys: dict[str, Mask] = defaultdict(int)
        self._shares: dict[str, Mask] = defaultdict(int)
        #: Keys by name, and the names of the space's keys that each device was ever given.
        self._named: dict[str, list[Node]] = defaultdict(list)
        self._given: dict[str, dict[str, None]] = defaultdict(dict)
        self._renames: Mask = 0
        #: What each did, by member and by device.
        self._by_member: dict[str, Mask] = defaultdict(int)
        self._by_device: dict[str, Mask] = defaultdict(int)

    def draft(self, entry: Entry) -> Node:
        """The node that an event would be, its flaw left open. Raises KeyError when a parent is not there."""
        node = self.dag.draft(entry.event_id, entry.device, entry.seq, entry.ts, entry.parents, entry.change)
        node.author = _claimant(entry.change) or self.member_of(entry.device, node.past) or ""
        return node

    def add(self, node: Node) -> None:
        """Enter a draft."""
        self.dag.add(node)
        if node.flaw:
            return
        bit = 1 << node.index
        self._by_member[node.author] |= bit
        self._by_device[node.device] |= bit
        match node.change:
            case changes.SetRole(member, role, _):
                self._change_role(node, member, role)
            case changes.Admit():
                self._enter_admit(node, node.change)
            case changes.Link(other, wrap):
                self._claim(node, other, node.author, wrap)
            case changes.Recover(member, _, wrap):
                self._claim(node, node.device, member, wrap)
                self._certified[member] |= bit
            case changes.Found(member, wrap):
                self._claim(node, node.device, member, wrap)
                self._enter(node, member, Role.FOUNDER)
            case changes.Readmit(old, _, _):
                self._change_role(node, old, Role.NONE)
            case _:
                self._add_other(node, bit)

    def _add_other(self, node: Node, bit: Mask) -> None:
        match node.change:
            case changes.Invite():
                self._invites |= bit
            case changes.Revoke(device, _, _):
                self._revocations[device] |= bit
            case changes.RevokeInvite(invite):
                self._withdrawals[invite] |= bit
            case changes.Rotate():
                self._roots[node.author] |= bit
            case changes.OpenAudience(members, _):
                for member in members:
                    self._bring(node.event_id, member)
            case changes.SetAudience(audience, member, _):
                self._audience_changes[audience, member] |= bit
                self._bring(audience, member)
            case changes.NewKey(scope):
                self._keys[scope] |= bit
                self._named[node.change.name].append(node)
                self._give(node, node)
            case changes.ShareKey(key, _):
                self._shares[key] |= bit
                self._give(node, self.node(key))
            case changes.Rename():
                self._renames |= bit
            case _:
                pass

    def _give(self, node: Node, key: Node | None) -> None:
        """A node hands out a key, if that was there before it."""
        assert isinstance(node.change, changes.NewKey | changes.ShareKey)
        if key is None or not (key is node or has(node.past, key)):
            return
        if isinstance(key.change, changes.NewKey) and not key.change.scope:
            for device in node.change.recipients:
                self._given[device][key.change.name] = None

    def _bring(self, audience: str, member: str) -> None:
        self._audience_people[audience][member] = None
        self._audiences[member][audience] = None

    def _claim(self, node: Node, device: str, member: str, wrap: str) -> None:
        self._claims[device].append(Claim(node, member, wrap))
        self._claimed[device] |= 1 << node.index
        self._devices[member][device] = None

    def _enter(self, node: Node, member: str, role: Role) -> None:
        self._entries[member] |= 1 << node.index
        self._gives[node.index] = role

    def _enter_admit(self, node: Node, change: changes.Admit) -> None:
        invite = self.invite(change.invite)
        assert invite is not None, "an Admit without an invite has a flaw"
        self._claim(node, change.device, change.member, change.wrap)
        self._enter(node, change.member, invite.role)
        self._certified[change.member] |= 1 << node.index
        self._admits[change.invite] |= 1 << node.index
        self._came_by[change.invite][change.member] = None

    def _change_role(self, node: Node, member: str, role: Role) -> None:
        self._roles[member] |= 1 << node.index
        self._gives[node.index] = role
        if role <= Role.NONE:
            self._ends[member] |= 1 << node.index

    # --- Nodes, whatever counts.

    def node(self, event_id: str) -> Node | None:
        """The node of an event, if it is there."""
        return self.dag.by_id.get(event_id)

    def invite(self, event_id: str) -> changes.Invite | None:
        """What an event invites to; None where it is no invite."""
        node = self.node(event_id)
        return node.change if node is not None and isinstance(node.change, changes.Invite) else None

    def renames(self) -> Mask:
        """Events that give the space a name."""
        return self._renames

    def invites(self) -> Mask:
        """Every invite."""
        return self._invites

    def scope_of(self, key: str) -> str:
        """The scope of a key, "" also where it is none."""
        node = self.node(key)
        return node.change.scope if node is not None and isinstance(node.change, changes.NewKey) else ""

    def people(self) -> list[str]:
        """Everyone that any event lets in."""
        return list(self._entries)

    def devices_ever(self, member: str) -> list[str]:
        """Every device that any event ever claimed for a member."""
        return list(self._devices.get(member, ()))

    def devices(self) -> KeysView[str]:
        """Every device that any event ever claimed for somebody."""
        return self._claims.keys()

    def claimants(self, device: str) -> list[str]:
        """Everyone that any event ever claimed a device for."""
        return [claim.member for claim in self._claims.get(device, ())]

    def audience_people(self, audience: str) -> list[str]:
        """Everyone that any event ever brought into an audience."""
        return list(self._audience_people.get(audience, ()))

    def audiences_of(self, member: str) -> list[str]:
        """Every audience that any event ever brought a member into."""
        return list(self._audiences.get(member, ()))

    def keys_called(self, name: str) -> list[Node]:
        """The events that make a key of this name, or claim to."""
        return list(self._named.get(name, ()))

    def given(self, device: str) -> KeysView[str]:
        """The names of the space's keys that a device was ever given, also by events that do not count.

        What it was given it can open, whatever it has come to: so this only grows.
        """
        return self._given.get(device, {}).keys()

    def crowded(self) -> Iterator[tuple[str, int]]:
        """Invites by which more people were to come in than they have seats, with the seats."""
        for event_id, people in self._came_by.items():
            invite = self.invite(event_id)
            if invite is not None and len(people) > invite.uses:
                yield event_id, invite.uses

    def is_crowded(self, invite: str) -> bool:
        """Whether more people were to come in by an invite than it has seats."""
        made = self.invite(invite)
        return made is not None and len(self._came_by.get(invite, ())) > made.uses

    def removals(self, member: str) -> Mask:
        """Events that change a member's role."""
        return self._roles.get(member, 0)

    def revocations(self, device: str) -> Mask:
        """Events that take a device away."""
        return self._revocations.get(device, 0)

    def rotations(self, member: str) -> Mask:
        """Events that change a member's root key."""
        return self._roots.get(member, 0)

    def certified(self, member: str) -> Mask:
        """Events that stand on a certificate by a member's root key."""
        return self._certified.get(member, 0)

    def claimed(self, device: str) -> Mask:
        """Events that bring a device in."""
        return self._claimed.get(device, 0)

    def withdrawals(self, invite: str) -> Mask:
        """Events that take an invite back."""
        return self._withdrawals.get(invite, 0)

    def let_in(self, invite: str) -> Mask:
        """Events that let people in by an invite."""
        return self._admits.get(invite, 0)

    def audience_changes(self, audience: str, member: str) -> Mask:
        """Events that bring a member into an audience, or out of it."""
        return self._audience_changes.get((audience, member), 0)

    def rights(self, member: str, device: str) -> Mask:
        """Events that a device and its member have their rights from, or lose them by."""
        return self._entries.get(member, 0) | self._roles.get(member, 0) | self._claimed.get(device, 0)

    def acts_of_member(self, member: str) -> Mask:
        """What a member's devices wrote."""
        return self._by_member.get(member, 0)

    def acts_of_device(self, device: str) -> Mask:
        """What a device wrote."""
        return self._by_device.get(device, 0)

    # --- Questions, as of the nodes of a mask.

    def claims(self, device: str, mask: Mask) -> list[Claim]:
        """Claims of a device that count, the earliest first."""
        found = [claim for claim in self._claims.get(device, ()) if has(mask, claim.node)]
        return found if len(found) < 2 else sorted(found, key=lambda claim: claim.node.key)

    def member_of(self, device: str, mask: Mask) -> str | None:
        """Whose device it is: the earliest claim's."""
        found = self.claims(device, mask)
        return found[0].member if found else None

    def standing(self, device: str, mask: Mask) -> Claim | None:
        """The claim by which a device speaks for a member now; None when it was revoked, or removed with them."""
        found = self.claims(device, mask)
        if not found or self.revocations(device) & mask:
            return None
        member = found[0].member
        ends = self._ends.get(member, 0) & mask
        for claim in reversed(found):
            if claim.member == member and claim.node.past & ends == ends:
                return claim
        return None

    def status(self, member: str, mask: Mask) -> Status:
        """What a member is: the least that the latest changes say, else the most that it was let in as.

        Neither says anything unless its author knew of every removal. Any member can let anybody in once more, as
        less, by an invite of its own: that takes nothing.
        """
        counted, ends = self._roles.get(member, 0) & mask, self._ends.get(member, 0) & mask
        since = self._knowing(ends, self._entries.get(member, 0) & mask)
        if not since:
            last = self.dag.latest(counted)
            banned = any(self._gives[node.index] == Role.BANNED for node in last)
            return Status(Role.BANNED if banned else Role.NONE, last)
        if ends:
            counted = sum(1 << node.index for node in self._knowing(ends, counted & ~ends))
        given = self.dag.latest(counted)
        role = (min if given else max)(self._gives[node.index] for node in given or since)
        return Status(role, [node for node in given or since if self._gives[node.index] == role])

    def _knowing(self, ends: Mask, mask: Mask) -> list[Node]:
        """The nodes of a mask that build on all the removals."""
        return [node for node in self.dag.each(mask) if node.past & ends == ends]

    def role(self, member: str, mask: Mask) -> Role:
        """What a member is."""
        return self.status(member, mask).role

    def removed_since(self, member: str, node: Node, mask: Mask) -> bool:
        """Whether somebody else put a member out, and the author of a node did not know of it."""
        return any(
            end.author != member and self.role(member, end.past & mask) >= Role.GUEST
            for end in self.dag.each(self._ends.get(member, 0) & mask & ~node.past)
        )

    def role_changes(self, member: str, mask: Mask) -> list[tuple[Node, Role]]:
        """Entries and changes of a member's role that count, in order of date."""
        counted = (self._entries.get(member, 0) | self._roles.get(member, 0)) & mask
        nodes = sorted(self.dag.each(counted), key=lambda node: node.key)
        return [(node, self._gives[node.index]) for node in nodes]

    def entries(self, member: str, mask: Mask) -> list[Node]:
        """Events that let a member in."""
        return list(self.dag.each(self._entries.get(member, 0) & mask))

    def root(self, member: str, mask: Mask) -> str:
        """A member's present root key: of concurrent rotations, or else of admissions, the earlier dated one's."""
        given = self.dag.latest(self._roots.get(member, 0) & mask) or self.entries(member, mask)
        first = min(given, key=lambda node: node.key, default=None)
        return member if first is None else given_root(first, member)

    def seats_taken(self, invite: str, but: str, mask: Mask, seats: int) -> int:
        """How many people other than `but` came in by an invite; looked at closely only when `seats` may be full."""
        counted = self._admits.get(invite, 0) & mask
        if (number := counted.bit_count()) < seats:
            return number
        return len({admitted(node) for node in self.dag.each(counted)} - {but})

    def admits(self, invite: str, mask: Mask) -> list[Node]:
        """Events that let people in by an invite, in order of date."""
        return sorted(self.dag.each(self._admits.get(invite, 0) & mask), key=lambda node: node.key)

    def inside(self, audience: str, member: str, mask: Mask) -> bool:
        """Whether a member is in an audience: leaving wins over what is concurrent.

        Who was removed from the space comes back without its audiences, but for a conversation of two.
        """
        made = self.node(audience)
        if made is None or not has(mask, made) or not isinstance(made.change, changes.OpenAudience):
            return False
        if made.change.fixed:
            return member in made.change.members
        ends = self._ends.get(member, 0) & mask
        latest = self.dag.latest(self._audience_changes.get((audience, member), 0) & mask)
        if latest:
            return all(_brings_in(node.change) for node in latest) and _knows(latest, ends)
        return member in made.change.members and _knows([made], ends)

    def keys(self, scope: str, mask: Mask) -> Iterator[Node]:
        """The keys of a scope."""
        return self.dag.each(self._keys.get(scope, 0) & mask)

    def key_nodes(self, scope: str) -> Iterator[Node]:
        """Every event that makes a key of a scope, or claims to, whether or not it counts."""
        return self.dag.each(self._keys.get(scope, 0))

    def last_keys(self, scope: str, mask: Mask) -> list[Node]:
        """The keys of a scope that no other key was made in knowledge of."""
        return self.dag.latest(self._keys.get(scope, 0) & mask)

    def shares(self, key: str, mask: Mask) -> Iterator[Node]:
        """Events that wrap a key to more devices."""
        return self.dag.each(self._shares.get(key, 0) & mask)


def admitted(admit: Node) -> str:
    """Whom an Admit lets in."""
    return admit.change.member if isinstance(admit.change, changes.Admit) else ""


def given_root(node: Node, member: str) -> str:
    """The root key that a member has by a Rotate, or by being let in."""
    change = node.change
    return (change.root if isinstance(change, changes.Rotate | changes.Admit) else "") or member


def _claimant(change: AnyChange) -> str:
    """The member that a device names when it speaks for the first time."""
    return change.member if isinstance(change, changes.Found | changes.Recover) else ""


def _brings_in(change: AnyChange) -> bool:
    return isinstance(change, changes.SetAudience) and change.inside


def _knows(nodes: Iterable[Node], ends: Mask) -> bool:
    return any(node.past & ends == ends for node in nodes)
