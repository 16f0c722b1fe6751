"""What the graph comes to: members and devices, and which part of each log is shown.

Owns: answers for views and commands, as of everything that counts. Must not know: names, keys' bytes.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from quire.graph import changes
from quire.graph.dag import Mask, Node, has
from quire.graph.graph import Graph
from quire.graph.roles import Role
from quire.graph.rules import may_hold
from quire.limits import MAX_VOID_KEYS

#: A log's end, where there is none.
FOREVER = 2**53 - 1
#: A mask of all nodes.
EVERYTHING = -1


class Member(NamedTuple):
    """`since` is when it came in (ms); `devices` those in standing, oldest first."""

    member: str
    role: Role
    since: int
    devices: tuple[str, ...]


def members(graph: Graph) -> Iterator[Member]:
    """Everyone who was ever let in, the most senior first."""
    for since, member in seniors(graph):
        yield Member(member, graph.ledger.role(member, graph.valid), since, devices(graph, member))


def seniors(graph: Graph) -> list[tuple[int, str]]:
    """When everyone came in who was ever let in (ms), and who that is, the most senior first."""
    ledger, valid = graph.ledger, graph.valid
    came = [
        (min(e.key for e in entries), m) for m in ledger.people() if (entries := ledger.entries(m, valid))
    ]
    return [(since, member) for (since, _), member in sorted(came)]


def devices(graph: Graph, member: str) -> tuple[str, ...]:
    """A member's devices in standing, oldest first; none for who is no member."""
    if graph.ledger.role(member, graph.valid) < Role.GUEST:
        return ()
    claims = sorted(
        (graph.ledger.claims(device, graph.valid)[0].node.key, device)
        for device in graph.ledger.devices_ever(member)
        if (claim := graph.ledger.standing(device, graph.valid)) is not None and claim.member == member
    )
    return tuple(device for _, device in claims)


def known_devices(graph: Graph, member: str) -> list[str]:
    """Devices of a member whose logs may be shown, in part at least: none before it was let in."""
    if not graph.ledger.entries(member, graph.valid):
        return []
    return [
        device
        for device in graph.ledger.devices_ever(member)
        if graph.ledger.member_of(device, graph.valid) == member
    ]


def hidden(graph: Graph, device: str) -> list[tuple[int, int]]:
    """Which places of a device's log are not shown, as ascending (first seq, last seq)."""
    member = graph.ledger.member_of(device, graph.valid)
    shown = _shown(graph, device, member) if member is not None else []
    ends = [
        node.change.seq
        for node in graph.ledger.dag.each(graph.ledger.revocations(device) & graph.valid)
        if isinstance(node.change, changes.Revoke)
    ]
    end = min(ends, default=FOREVER)
    return _gaps([(first, min(last, end)) for first, last in shown if first <= min(last, end)])


def _shown(graph: Graph, device: str, member: str) -> list[tuple[int, int]]:
    """Places written with the right to write: from each time that it was given until the least mark after it."""
    ledger, valid = graph.ledger, graph.valid
    changed = ledger.role_changes(member, valid)
    ends = [(node, _mark(node, device)) for node, role in changed if role < Role.MEMBER]
    found = []
    for node, role in changed:
        if role >= Role.MEMBER and ledger.role(member, node.past & valid) < Role.MEMBER:
            start = max([_mark(node, device), *(mark for end, mark in ends if has(node.past, end))])
            later = [mark for end, mark in ends if not (_lets_in(end) or has(node.past, end))]
            found.append((start + 1, min(later, default=FOREVER)))
    return sorted(found)


def _lets_in(node: Node) -> bool:
    """Whether somebody comes in by it: nobody's log ends by that, also where it is as a guest."""
    return isinstance(node.change, changes.Admit)


def _mark(node: Node, device: str) -> int:
    """The last place in a device's log before a change of its member's role; none where the change is silent."""
    change = node.change
    match change:
        case changes.SetRole() | changes.Readmit() | changes.SetAudience():
            return change.marks.get(device, (0, ""))[0]
        case changes.Admit() if change.device == device:
            return change.seq
    return 0


def ends(graph: Graph, device: str) -> list[tuple[int, str]]:
    """(seq, event id) of the last events of a device's log that count, as removals and revocations name them."""
    ledger, valid = graph.ledger, graph.valid
    member = ledger.member_of(device, valid)
    found = [
        node.change.marks.get(device)
        for node, role in (ledger.role_changes(member, valid) if member is not None else ())
        if role < Role.MEMBER and isinstance(node.change, changes.SetRole | changes.Readmit)
    ]
    found += [
        (node.change.seq, node.change.last)
        for node in ledger.dag.each(ledger.revocations(device) & valid)
        if isinstance(node.change, changes.Revoke)
    ]
    return sorted({end for end in found if end is not None})


def _gaps(shown: list[tuple[int, int]]) -> list[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    at = 1
    for first, last in shown:
        if at < first:
            gaps.append((at, first - 1))
        at = max(at, last + 1)
    if at <= FOREVER:
        gaps.append((at, FOREVER))
    return gaps


def current_key(graph: Graph, scope: str) -> Node | None:
    """The key of a scope to seal under: the latest generation, of several the one with the least id."""
    last = graph.ledger.last_keys(scope, graph.valid)
    return min(last, key=_precedence, default=None)


def _precedence(node: Node) -> tuple[int, str]:
    assert isinstance(node.change, changes.NewKey)
    return -node.change.generation, node.event_id


def last_keys(graph: Graph, scope: str) -> list[Node]:
    """The keys of a scope that no other key follows, the present one first: a new one names the first of them."""
    return sorted(graph.ledger.last_keys(scope, graph.valid), key=_precedence)


def holders(graph: Graph, key: Node) -> set[str]:
    """The devices that a key was wrapped to."""
    assert isinstance(key.change, changes.NewKey)
    found = set(key.change.recipients)
    for share in graph.ledger.shares(key.event_id, graph.valid):
        if isinstance(share.change, changes.ShareKey):
            found.update(share.change.recipients)
    return found


def left_behind(graph: Graph, key: Node) -> list[str]:
    """The devices that are to hold a key and could not be given it when it was made, since nobody knew of both.

    Who was let in by somebody who knew the key was given it then.
    """
    had, scope = holders(graph, key), graph.ledger.scope_of(key.event_id)
    return [
        device
        for device in entitled(graph, scope)
        if device not in had
        and not any(has(claim.node.past, key) for claim in graph.ledger.claims(device, graph.valid))
    ]


def left_out(graph: Graph, key: Node) -> list[str]:
    """The devices that are to hold a key of the space, since its maker knew them as members', and were not given it."""
    had, ledger, valid = holders(graph, key), graph.ledger, graph.valid
    return sorted(
        device
        for device in ledger.devices()
        if device not in had
        and may_hold(ledger, "", device, valid)
        and may_hold(ledger, "", device, key.past & valid)
    )


def entitled(graph: Graph, scope: str) -> list[str]:
    """The devices that are to hold the keys of a scope, those of the space's by the oldest member first."""
    if scope:
        return [device for member in audience_members(graph, scope) for device in devices(graph, member)]
    return [
        device
        for member in members(graph)
        for device in member.devices
        if may_hold(graph.ledger, scope, device, graph.valid)
    ]


def is_stale(graph: Graph, scope: str) -> bool:
    """Whether the current key of a scope is held by a device that must not have it, leaves some out that are to have
    it, is an old one, or has rivals; or an audience has none that counts: whoever made it may not come back.
    """
    key = current_key(graph, scope)
    if key is None:
        return bool(scope)
    name = key.change.name  # type: ignore[union-attr]
    names = [other.change.name for other in graph.ledger.keys(scope, graph.valid)]  # type: ignore[union-attr]
    used_before = bool(name) and names.count(name) > 1
    return (
        used_before
        or len(last_keys(graph, scope)) > 1
        or any(not may_hold(graph.ledger, scope, device, graph.valid) for device in _given(graph, key))
        or (not scope and bool(left_out(graph, key)))
    )


def _given(graph: Graph, key: Node) -> set[str]:
    """The devices that a key was wrapped to, also by members' events that do not count.

    Who let somebody in that then had no seat, or whose invite was taken back, has handed out the key all the same.
    """
    found = holders(graph, key)
    for share in graph.ledger.shares(key.event_id, EVERYTHING):
        is_member = graph.ledger.role(share.author, graph.valid) >= Role.MEMBER
        if is_member and isinstance(share.change, changes.ShareKey):
            found.update(share.change.recipients)
    return found


def latest_first(graph: Graph) -> list[Node]:
    """The keys of the space that count, in the order in which they are to be sealed under."""
    return sorted(graph.ledger.keys("", graph.valid), key=_precedence)


def void_keys(graph: Graph) -> list[Node]:
    """The first keys of the space that do not count, though they might have, of only so many."""
    found = (node for node in graph.ledger.key_nodes("") if not has(graph.valid, node))
    return list(islice(found, MAX_VOID_KEYS))


def parents(graph: Graph, device: str) -> list[str]:
    """What a new event of a device builds on: all that counts, first what tells most of the device's own rights.

    What does not count is left out, or it could crowd out what does.
    """
    ledger, valid = graph.ledger, graph.valid
    member = ledger.member_of(device, valid) or ""
    rights = ledger.rights(member, device) & valid
    heads = [
        (-((node.past | 1 << node.index) & rights).bit_count(), node.key, node.event_id)
        for node in ledger.dag.latest(valid)
    ]
    return [event_id for _, _, event_id in sorted(heads)]


def ahead(graph: Graph, device: str, ts: int) -> Mask:
    """What a device wrote while its clock was ahead: dated after `ts`, at which it would write now.

    The others hold that back until its time. Nothing where one of them builds on any of it: then it is the clock
    now that is wrong.
    """
    dag = graph.ledger.dag
    if dag.newest <= ts:
        return 0
    own = [node for node in dag.each(graph.ledger.acts_of_device(device)) if node.ts > ts]
    found = sum(1 << node.index for node in own)
    founds = any(isinstance(node.change, changes.Found) for node in own)
    built_on = any(node.past & found and node.device != device for node in dag.nodes)
    return 0 if founds or built_on else found


def space_name(graph: Graph) -> str:
    """What the space was last renamed to, "" if it never was: of concurrent names the one dated last."""
    ledger = graph.ledger
    last = max(ledger.dag.each(ledger.renames() & graph.valid), key=lambda node: node.key, default=None)
    return last.change.name if last is not None and isinstance(last.change, changes.Rename) else ""


def audience_members(graph: Graph, audience: str) -> list[str]:
    """Who is in an audience and in the space, by name."""
    ledger, valid = graph.ledger, graph.valid
    return [
        member
        for member in sorted(ledger.audience_people(audience))
        if ledger.inside(audience, member, valid) and ledger.role(member, valid) >= Role.GUEST
    ]


def audience_spans(graph: Graph, audience: str) -> list[tuple[str, int, int]]:
    """What of logs was written by who was in an audience, as (device, first seq, last seq); ranges may overlap."""
    made = graph.ledger.node(audience)
    if made is None or not has(graph.valid, made) or not isinstance(made.change, changes.OpenAudience):
        return []
    return [
        (device, first, last)
        for member in sorted(graph.ledger.audience_people(audience))
        for device in known_devices(graph, member)
        for first, last in sorted(_spans(graph, made, member, device).items())
    ]


def _spans(graph: Graph, made: Node, member: str, device: str) -> dict[int, int]:
    """From each time that a member was brought into an audience until it was taken out, or removed, after that."""
    ledger, valid = graph.ledger, graph.valid
    assert isinstance(made.change, changes.OpenAudience)
    moves = list(ledger.dag.each(ledger.audience_changes(made.event_id, member) & valid))
    starts = [node for node in moves if isinstance(node.change, changes.SetAudience) and node.change.inside]
    ends = [node for node in moves if node not in starts]
    ends += [node for node, role in ledger.role_changes(member, valid) if role <= Role.NONE]
    if member in made.change.members:
        starts.append(made)
    found: dict[int, int] = {}
    for node in starts:
        first = 1 + max([_mark(node, device), *(_mark(e, device) for e in ends if has(node.past, e))])
        last = min((_mark(end, device) for end in ends if not has(node.past, end)), default=FOREVER)
        if first <= last:
            found[first] = max(last, found.get(first, 0))
    return found


def lost_seat(graph: Graph, admit: str) -> str:
    """The slug of the rule by which an Admit lets nobody in: "" when it does, "waiting" while it is not here."""
    node = graph.ledger.node(admit)
    if node is None or not isinstance(node.change, changes.Admit):
        return "waiting"
    if has(graph.valid, node):
        banned = graph.ledger.role(node.change.member, graph.valid) == Role.BANNED
        return "banned" if banned else ""
    slug = graph.why_void(node)
    revoked = graph.ledger.withdrawals(node.change.invite) & graph.valid
    return "invite-revoked" if slug == "concurrent" and revoked else slug


class OpenInvite(NamedTuple):
    """An invite's event, how many people came in by it, and whether it lets in nobody more, and why."""

    node: Node
    taken: int
    expired: bool
    revoked: bool

    @property
    def is_open(self) -> bool:
        """Whether it lets in anybody more."""
        made = self.node.change
        return (
            not (self.expired or self.revoked) and isinstance(made, changes.Invite) and self.taken < made.uses
        )


def open_invites(graph: Graph, now: int) -> list[OpenInvite]:
    """Every invite that counts, oldest first, as of `now` (ms)."""
    ledger, valid = graph.ledger, graph.valid
    return [
        OpenInvite(
            node,
            ledger.seats_taken(node.event_id, "", valid, 0),
            now > invite.expires,
            bool(ledger.withdrawals(node.event_id) & valid),
        )
        for node in sorted(ledger.dag.each(ledger.invites() & valid), key=lambda node: node.key)
        if (invite := ledger.invite(node.event_id)) is not None
    ]
