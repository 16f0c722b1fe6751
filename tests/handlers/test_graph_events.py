from quire.graph.roles import Role
from quire.handlers import graph_events, role
from tests.events.builders import MINUTE, Author, Space, add_holder, give, make_home, state_of, waits
from tests.handlers.letters import apart
from tests.handlers.network import Network


def test_every_role_has_its_word() -> None:
    assert set(graph_events.ROLE_NAMES) == set(Role)
    assert {graph_events.ROLES[name] for name in graph_events.ROLE_NAMES.values()} == set(Role)


def test_it_waits_for_what_it_builds_on_and_for_its_author() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    first = carol.invite()
    second = carol.act("invite-revoke", {"invite": first.event.event_id}, first.event)
    give(home, alice, second)
    assert waits(home, alice) == [(f"device {carol.id}", second.event_id)]
    give(home, alice, carol.introduce())
    assert waits(home, alice) == [(f"graph {first.event.event_id}", second.event_id)]
    give(home, alice, first.event)
    assert state_of(home, alice, second) == "valid"
    assert waits(home, alice) == []
    home.close()


def test_what_names_nothing_waits_for_ever_and_hurts_nobody() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    lost = carol.act("invite-revoke", {"invite": "x", "after": ["no id"]})
    give(home, alice, carol.introduce(), lost, carol.say("on"))
    assert state_of(home, alice, lost) == "blocked"
    home.close()


def test_marks_are_the_ends_of_logs(pair: Network) -> None:
    pair.settle()
    sent = pair.send("bob", "general", "last")
    pair.settle()
    bob, ctx = pair.member("bob"), pair.ctx("alice")
    (mark,) = graph_events.marks(ctx, bob.account_id).items()
    assert mark[0] == bob.device
    assert mark[1][1] == sent.event_id
    assert graph_events.marks(ctx, "nobody") == {}


def test_our_own_changes_build_on_what_was_far_ahead_once_it_is_let_in() -> None:
    """A clock ahead of ours: its events wait for their time, and ours come after them."""
    with apart() as there:
        there.join("bob")
        there.settle()
        there["bob"].now += 4 * MINUTE
        link = there["bob"].link("bob")
        there["ann"].now -= 10
        there.give("bob", "ann")
        assert role.grant(there["ann"].ctx("ann"), "bob", "guest").role == "guest"
        assert link
