"""Many ends of the membership graph."""

import pytest

from quire.errors import Refused
from quire.events.context import MERGE, Context
from quire.graph.changes import Merge
from quire.handlers import role
from quire.limits import MAX_PARENTS
from tests.events.builders import NOW, Author, Space, add_holder, digest, give, invite_keys, make_home
from tests.threats.attacker import Attacker
from tests.threats.community import Community


def test_what_builds_on_many_names_no_more_than_the_bound_and_knows_them_all() -> None:
    space, home = Space(), make_home()
    alice = add_holder(home, space, "alice")
    crowd = [Author(space, f"person {number}") for number in range(3 * MAX_PARENTS)]
    give(home, alice, *(one.introduce() for one in crowd))
    ctx = Context(home, NOW, alice.account, alice)
    made = ctx.change(
        "invite",
        {
            **invite_keys(digest("secret"), space.id, alice.device),
            "role": "member",
            "uses": 1,
            "expires": NOW,
            "approve": False,
        },
    )
    dag, valid = ctx.graph.ledger.dag, ctx.graph.valid
    assert [node.event_id for node in dag.latest(valid)] == [made.event_id]
    merges = [node for node in dag.each(valid) if node.change == Merge()]
    assert len(merges) == 3, "as few as it takes"
    assert all(len(node.parents) == MAX_PARENTS for node in merges)
    assert 1 < len(made.event.after) <= MAX_PARENTS
    home.close()


def test_what_is_refused_merges_nothing() -> None:
    space, home = Space(), make_home()
    alice = add_holder(home, space, "alice")
    give(home, alice, *(Author(space, f"person {number}").introduce() for number in range(MAX_PARENTS + 1)))
    ctx = Context(home, NOW, alice.account, alice)
    before = len(ctx.graph.ledger.dag.nodes)
    with pytest.raises(Refused, match="invite"):
        ctx.change("invite-revoke", {"invite": alice.device})
    assert len(ctx.graph.ledger.dag.nodes) == before
    home.close()


def test_guests_bring_ends_together_as_well() -> None:
    """Who leaves, or takes away a device, builds on all that there is."""
    c = Community("ann")
    c.admit("gus", c.ann, role="guest")
    for name in (names := [f"m{number}" for number in range(MAX_PARENTS + 1)]):
        c.admit(name, c.ann)
    c.meet()
    for name in names:
        c.people[name].invite()
    c.meet()
    role.leave(c.gus.ctx)
    dag, valid = c.gus.ctx.graph.ledger.dag, c.gus.ctx.graph.valid
    assert any(node.change == Merge() and node.author == c.gus.id for node in dag.each(valid))
    assert len(dag.latest(valid)) == 1
    c.ann.hear(c.gus)
    assert "gus" not in c.ann.roles()


def test_one_by_who_is_no_member_counts_for_nothing() -> None:
    c = Community("ann", "bob")
    stranger = Attacker(c.bob, c.person("eve").home.store.memberships.device_key(1))
    made = stranger.change(MERGE, {})
    c.ann.take([made.sealed])
    assert not c.ann.counts(made.event_id)
