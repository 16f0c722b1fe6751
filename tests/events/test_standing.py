"""The membership graph in the store: what is noted of members and devices, in whatever order it is heard of."""

from itertools import permutations
from pathlib import Path
from typing import Any

from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.events.standing import device_need, graph_need, graph_of
from quire.graph.roles import Role
from quire.store.memberships import Membership
from tests.events.builders import (
    MINUTE,
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    give,
    make_home,
    state_of,
    table_rows,
    undone,
    views,
)


def roles(home: Home, member: Membership) -> dict[str, Role]:
    graph = graph_of(home, member)
    return {person: graph.ledger.role(person, graph.valid) for person in graph.ledger.people()}


def removal(space: Space, who: Author, *after: Made, upto: int = 0, ts: int = NOW) -> Made:
    marks = {who.id: [upto, who.prev or ""]} if upto else {}
    return space.founder.act("role", {"member": who.identity, "role": "none", "marks": marks}, *after, ts=ts)


def admitted_by(by: Author, who: Author, *after: Made) -> Made:
    body = {"invite": who.space.invite.event.event_id, "request": who.request()}
    return by.act("admit", body, *after)


def seen(space: Space, batches: list[list[Made]]) -> dict[str, Any]:
    home = make_home()
    member = add_holder(home, space, "alice")
    for batch in batches:
        give(home, member, *batch, now=NOW + MINUTE)
    found = views(home, member)
    rebuild(home, NOW + MINUTE)
    assert views(home, member) == found
    home.close()
    return found


def test_the_graph_is_read_from_the_store_after_reopening(tmp_path: Path) -> None:
    path, space = tmp_path / "quire.db", Space()
    home = make_home(path)
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    give(home, alice, carol.introduce(), removal(space, carol, carol.introduce()))
    before = roles(home, alice), graph_of(home, alice).valid
    home.close()
    home = make_home(path)
    alice = home.store.memberships.get(alice.account, alice.space)
    assert (roles(home, alice), graph_of(home, alice).valid) == before
    assert before[0][carol.identity] == Role.NONE
    home.close()


def test_a_rollback_forgets_what_the_graph_took_in() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    before = views(home, alice)
    with undone(home.store.db):
        give(home, alice, carol.introduce())
        assert carol.identity in roles(home, alice)
    assert views(home, alice) == before
    assert carol.identity not in roles(home, alice)
    give(home, alice, carol.introduce(), carol.say("after all"))
    assert bodies(home, alice) == ["after all"]
    home.close()


def test_needs_name_what_they_wait_for() -> None:
    assert device_need("d") == "device d"
    assert graph_need("e") == "graph e"


def test_who_was_let_in_by_one_who_was_going_is_nobody_in_every_order() -> None:
    """The admission is voided by a concurrent removal of who made it: no row is left, and its words are hidden."""
    space = Space()
    carol, dora = Author(space, "carol"), Author(space, "dora")
    intro = carol.introduce()
    made = [
        intro,
        admitted_by(carol, dora, intro),
        dora.say("hidden"),
        removal(space, carol, intro, ts=NOW + 5),
    ]
    outcomes = [seen(space, [[one] for one in order]) for order in permutations(made)]
    outcomes += [seen(space, [made]), seen(space, [made[::-1]])]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["message_index"] == []
    assert dora.identity not in str(outcomes[0]["members"])
    assert set(outcomes[0]["states"].values()) == {"valid"}


def test_a_voided_removal_brings_back_what_it_hid() -> None:
    """Bob removes Carol while the founder removes Bob: the founder is senior, so Carol stays."""
    space = Space()
    bob, carol = Author(space, "bob"), Author(space, "carol")
    admins = space.founder.invite("admin")
    joined = bob.introduce(ts=NOW - MINUTE, invite=admins)
    intro = carol.introduce()
    said = carol.say("still here")
    by_bob = bob.act(
        "role",
        {"member": carol.identity, "role": "none", "marks": {}},
        admins.event,
        joined,
        intro,
        ts=NOW + 5,
    )
    of_bob = removal(space, bob, joined, ts=NOW + 5)
    made = [joined, intro, said, by_bob, of_bob]
    outcomes = [
        seen(space, [[admins.event], *([one] for one in order)]) for order in list(permutations(made))[::7]
    ]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert [row[4] for row in outcomes[0]["message_index"]] == ["still here"]
    without = seen(space, [[admins.event, *made[:-1]]])
    assert without["message_index"] == []


def test_a_removal_that_comes_before_what_it_hides() -> None:
    space, home = Space(), make_home()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    intro, said = carol.introduce(), carol.say("too late")
    gone = removal(space, carol, intro)
    for one in (gone, said, intro):
        give(home, alice, one)
    assert bodies(home, alice) == []
    assert state_of(home, alice, said) == "valid"
    rows = table_rows(home, alice, "hidden")
    assert [dict(row)["device"] for row in rows] == [carol.id]
    home.close()


def test_one_device_is_never_two_peoples_at_once() -> None:
    """Whoever claims it second gets nothing, whatever is heard of first."""
    space = Space()
    carol, thief = Author(space, "carol"), Author(space, "thief")
    thief.key, thief.id = carol.key, carol.id
    made = [carol.introduce(), thief.introduce(ts=NOW - MINUTE), carol.say("mine")]
    outcomes = [seen(space, [[one] for one in order]) for order in permutations(made)]
    devices = [outcome["member_devices"] for outcome in outcomes]
    assert all(found == devices[0] for found in devices)
    owners = {dict(row)["device"]: dict(row)["member"] for row in devices[0]}
    assert owners[carol.id] == carol.identity
