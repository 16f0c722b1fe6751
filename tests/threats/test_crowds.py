"""Many ends of the membership graph at once: by honest people who were apart, and by one who makes them up."""

from quire.events import keyring
from quire.graph import state
from quire.graph.changes import Admit
from quire.handlers import device_revoke, key, role
from quire.limits import MAX_PARENTS
from tests.events.builders import digest, invite_keys
from tests.threats.attacker import Attacker, reads
from tests.threats.community import Community, Person, agreed


def crowd(c: Community, liar: Person, number: int) -> list[bytes]:
    """Invites on old parents, dated a little ahead: each of them counts."""
    first = keyring.first_control(liar.home, liar.member, liar.ctx.graph)
    assert first is not None
    own = next(
        node.event_id
        for node in liar.ctx.graph.ledger.dag.nodes
        if isinstance(node.change, Admit) and node.change.member == liar.id
    )
    return [
        Attacker(liar)
        .change(
            "invite",
            {
                **invite_keys(digest(f"invite {place}"), liar.member.space_id, liar.device),
                "role": "guest",
                "uses": 1,
                "expires": 0,
                "approve": False,
            },
            after=[own],
            under=first.key,
            ts=c.now + 240_000 + place,
        )
        .sealed
        for place in range(number)
    ]


def test_who_left_reads_nothing_though_many_who_were_apart_have_changed_something() -> None:
    names = [f"m{number}" for number in range(MAX_PARENTS + 2)]
    c = Community("ann", "eve", *names)
    key.rekey(c.ann.ctx)
    c.meet(c.ann, c.eve)
    role.leave(c.eve.ctx)
    stay = [c.ann, *(c.people[name] for name in names)]
    for one in stay[1:]:
        one.invite()
    for one in stay:
        one.hear(c.eve)
    for one in stay[1:]:
        c.ann.hear(one)
    assert state.is_stale(c.ann.ctx.graph, "")
    c.ann.say("among us")
    c.m0.hear(c.ann)
    assert c.m0.texts() == ["among us"]
    assert reads(c.eve, c.ann) == []
    assert c.ann.view() == c.m0.view()


def test_a_crowd_of_changes_keeps_no_key_from_being_renewed() -> None:
    c = Community("ann", "bob", "carl", "eve")
    key.rekey(c.ann.ctx)
    c.meet()
    role.leave(c.eve.ctx)
    c.meet(c.ann, c.carl, c.eve)
    sealed = crowd(c, c.bob, 100)
    for one in (c.ann, c.carl):
        one.take(sealed)
    c.carl.say("among us")
    assert reads(c.eve, c.carl) == []
    agreed(c, c.ann, c.carl)


def test_a_crowd_of_changes_keeps_nobody_from_being_removed_revoked_or_let_in() -> None:
    c = Community("ann", "bob", "carl", "eve")
    c.link(c.ann, "phone")
    key.rekey(c.ann.ctx)
    link = c.carl.invite()
    c.meet()
    sealed = crowd(c, c.bob, 100)
    for one in (c.ann, c.carl):
        one.take(sealed)
    role.remove(c.ann.ctx, "eve")
    device_revoke.revoke(c.ann.ctx, "phone")
    assert c.person("dora").join(link, c.carl) == ""
    c.meet(c.ann, c.carl, c.dora)
    role.ban(c.ann.ctx, "bob")
    c.meet(c.ann, c.carl, c.dora)
    assert sorted(c.dora.roles()) == ["ann", "carl", "dora"]
    c.ann.say("hello")
    c.meet(c.ann, c.carl, c.dora)
    assert c.dora.texts() == ["hello"]
    agreed(c, c.ann, c.carl, c.dora)


def test_what_a_removal_knew_of_stays_in_a_crowd() -> None:
    """Whom somebody let in long before, with many who were apart since, is in after that one was removed."""
    c = Community("ann", "bob", "carl")
    c.carl.invite()
    sealed = crowd(c, c.carl, 2 * MAX_PARENTS)
    c.admit("dora", c.bob)
    c.ann.hear(c.bob)
    c.ann.take(sealed)
    role.remove(c.ann.ctx, "bob")
    assert set(c.ann.roles()) == {"ann", "carl", "dora"}
