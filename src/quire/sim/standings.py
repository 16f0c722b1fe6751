"""Who is in, in whose eyes, and what those keep to who have heard that somebody is not.

Owns: comparing what devices' stores say of that with the ground truth. Must not know: the plan, messages' texts.
"""

from collections.abc import Iterator, Mapping, Sequence

from quire.graph.roles import Role
from quire.graph.rules import REASONS
from quire.sim import evidence
from quire.sim.case import Case, identities
from quire.sim.device import Device
from quire.sim.entitled import EXPIRED, LEFT, USED, Removal, Truth


def seated(truth: Truth, devices: Mapping[str, Device]) -> frozenset[str]:
    """Who of all rivals is a member, as the founder knows it."""
    found: set[str] = set()
    for space, _, people in truth.rivals:
        founder = truth.members[space][0]
        roles = evidence.roles(devices[truth.devices[founder]].home, founder, space)
        found.update(one for one in people if roles.get(one, Role.NONE) >= Role.GUEST)
    return frozenset(found)


def turn_away_others(truth: Truth, inside: frozenset[str]) -> None:
    """Note of the rivals who are not in that they are to be turned away."""
    for space, _, people in truth.rivals:
        for one in people:
            if one not in inside:
                truth.removed[one] = Removal(0, truth.members[space][0], space, frozenset(), USED)


def not_turned_away(case: Case) -> Iterator[str]:
    """People who came by an invite that lets in nobody more, and do not know it, or hold what members hold; and invites
    that let in more, or fewer, than they have seats.
    """
    truth, homes = case.truth, {device.name: device.home for device in case.everyone}
    for identity, space, device in _places(truth, case.devices):
        gone, who = truth.removed.get(identity), truth.names[identity]
        if gone is None or gone.why not in (EXPIRED, USED):
            continue
        if evidence.why_out(device.home, identity, space) != REASONS[gone.why]:
            yield f"{who} does not know that it is not let in (rule `{gone.why}`)"
        let_in = evidence.admissions(homes[truth.devices[gone.by]], gone.by, space, identity)
        if let_in and gone.why == EXPIRED:
            yield f"{who} was let in by an invite that had expired"
        if not let_in and (keys := evidence.keys(device.home, identity, space)):
            yield f"{who} was never let in and holds {len(keys)} keys"
        if not let_in and (seen := evidence.count_messages(device.home, identity)):
            yield f"{who} was never let in and sees {seen} messages"
    for _, seats, people in truth.rivals:
        inside = [truth.names[one] for one in people if one not in truth.removed]
        if len(inside) != seats and truth.devices[people[0]] in {device.name for device in case.devices}:
            yield f"an invite for {seats} let in {len(inside)}: {', '.join(inside)}"


def disagreed_on(case: Case) -> Iterator[str]:
    """Members who take others for members than who are, or know of other roles than the founder."""
    truth, homes = case.truth, {device.name: device.home for device in case.everyone}
    for identity, space, device in _places(truth, case.devices):
        roles, who = evidence.roles(device.home, identity, space), truth.names[identity]
        inside = {member for member, role in roles.items() if role >= Role.GUEST}
        if identity in truth.removed:
            if truth.removed[identity].why == LEFT and identity in inside:
                yield f"{who} does not know that it left"
            continue
        members = {member for member in truth.members[space] if member not in truth.removed}
        for other in sorted(inside ^ members):
            called = truth.names.get(other, other)
            yield f"{who} takes {called} for {'a' if other in inside else 'no'} member"
        founder = truth.members[space][0]
        if roles != evidence.roles(homes[truth.devices[founder]], founder, space):
            yield f"{who} knows of other roles than the founder"


def careless(case: Case) -> Iterator[str]:
    """Members who went on under keys of those who they knew are out; and people who wrote where they had left."""
    truth = case.truth
    homes = {who: device.home for device, who, _ in identities(truth, case.everyone)}
    # What a device lost with its power comes back to it later than it was written.
    lost = {event_id for write in truth.writes if truth.may_be_gone(write) for event_id in write.event_ids}
    for removed, gone in truth.removed.items():
        had = gone.keys | evidence.made_unawares(homes[gone.by], gone.by, gone.space_id, removed)
        for identity, space, device in _places(truth, case.devices):
            if space == gone.space_id and identity not in truth.removed:
                under = evidence.sealed_under(device.home, identity, space)
                written = evidence.written_knowing(device.home, identity, space, removed)
                shown = evidence.shown_ids(device.home, identity)
                if count := sum(under[one] in had for one in (written & shown) - lost):
                    yield (
                        f"{truth.names[identity]} wrote {count} messages under keys of {truth.names[removed]},"
                        " having heard that they are out"
                    )
        yield from _wrote_when_gone(truth, removed, gone)


def _wrote_when_gone(truth: Truth, removed: str, gone: Removal) -> Iterator[str]:
    """What somebody wrote to a space that it had left itself. (Who is removed may not have heard of it.)"""
    for write in truth.writes:
        late = write.writer == removed and write.space_id == gone.space_id and write.at_ms > gone.at_ms
        if late and gone.why == LEFT and write.happened:
            yield f"{truth.names[removed]} wrote at {write.at_ms / 1000:.1f} s, when it had left"


def _places(truth: Truth, devices: Sequence[Device]) -> Iterator[tuple[str, str, Device]]:
    """(identity, space, device) of everyone on some devices."""
    for device in devices:
        for space, members in truth.members.items():
            for identity in members:
                if truth.devices[identity] == device.name:
                    yield identity, space, device
