from itertools import pairwise
from typing import Any

import pytest

from quire.core.certificate import prove, words
from quire.core.encoding import to_text
from quire.errors import Refused
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.handlers import admit, joining
from quire.handlers.admit_letter import unpack_request
from quire.handlers.peer import everyone
from quire.store.memberships import Membership
from tests.events.builders import (
    FOUNDED,
    MINUTE,
    NOW,
    Author,
    Invite,
    Made,
    Space,
    add_holder,
    bodies,
    digest,
    give,
    make_home,
    views,
)
from tests.handlers.letters import apart


def grant(space: Space, by: Author, who: Author, invite: Invite | None = None, **fields: Any) -> Made:
    """Somebody lets another in, whose request may be odd."""
    invite = invite or space.invite
    body = {"invite": invite.event.event_id, "request": who.request(invite, **fields)}
    return by.act("admit", body, invite.event, *((by.introduce(),) if by is not space.founder else ()))


def made_at(made: list[Made]) -> int:
    """A time after all that is there."""
    return NOW + len(made)


def members(home: Home, member: Membership) -> set[str]:
    return {
        name
        for (name,) in home.store.db.execute(
            "SELECT member FROM members WHERE account = ?", (member.account,)
        )
    }


def test_a_batch_that_brings_a_member_and_its_words() -> None:
    """In one batch, whatever stands first; the words of all who are let in along a chain."""
    space = Space()
    people = [Author(space, name) for name in ("carol", "dora", "erin")]
    made = [people[0].introduce()]
    for one, other in pairwise(people):
        body = {"invite": space.invite.event.event_id, "request": other.request()}
        made.append(one.act("admit", body, made[-1], ts=made_at(made)))
    made += [one.say(f"from {one.name}") for one in people]
    for batch in (made, made[::-1]):
        home = make_home()
        alice = add_holder(home, space, "alice")
        give(home, alice, *batch, now=NOW + MINUTE)
        assert bodies(home, alice) == ["from carol", "from dora", "from erin"]
        home.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"proof": to_text(bytes(64))},
        {"proof": "x"},
        {"consent": to_text(bytes(64))},
        {"chain": []},
        {"wrap": to_text(bytes(32))},
        {"identity": to_text(digest("another"))},
        {"device": to_text(digest("another"))},
        {"name": ""},
        {"name": "a\nb"},
        {"seq": -1},
    ],
    ids=str,
)
def test_a_request_that_does_not_hold_lets_nobody_in(fields: dict[str, Any]) -> None:
    space, home = Space(), make_home()
    alice, dora = add_holder(home, space, "alice"), Author(space, "dora")
    before = members(home, alice)
    give(home, alice, grant(space, Author(space, "alice"), dora, **fields), dora.say("let me in"))
    assert members(home, alice) == before
    assert bodies(home, alice) == []
    home.close()


def test_anothers_request_is_for_nobody_else() -> None:
    """Proof, chain and consent of one person, put together with another's."""
    space, home = Space(), make_home()
    alice, dora, erin = add_holder(home, space, "alice"), Author(space, "dora"), Author(space, "erin")
    for name in ("proof", "chain", "consent", "wrap", "identity", "device"):
        made = grant(space, Author(space, "alice"), dora, **{name: erin.request()[name]})
        give(home, alice, made, now=NOW + MINUTE)
    elsewhere = Space("elsewhere")
    foreign = prove(space.invite.secret, elsewhere.id, dora.id, words("dora", 0))
    give(home, alice, grant(space, Author(space, "alice"), dora, proof=foreign), now=NOW + MINUTE)
    assert {dora.identity, erin.identity}.isdisjoint(members(home, alice))
    home.close()


def test_the_proof_has_to_be_the_invites_own() -> None:
    """A weaker invite's secret does not open a better one."""
    space, home = Space(), make_home()
    alice, dora = add_holder(home, space, "alice"), Author(space, "dora")
    better = space.founder.invite("admin", ts=FOUNDED + 10)
    body = {"invite": better.event.event_id, "request": dora.request(space.invite)}
    me = Author(space, "alice")
    give(home, alice, better.event, me.act("admit", body, better.event, me.introduce()))
    assert dora.identity not in members(home, alice)
    home.close()


def test_seats_go_to_those_who_came_first_wherever_they_are_heard_of_first() -> None:
    space = Space()
    one_seat = space.founder.invite(uses=1, ts=FOUNDED + 10)
    people = [Author(space, name) for name in ("carol", "dora")]
    made = [person.introduce(ts=NOW - MINUTE + at, invite=one_seat) for at, person in enumerate(people)]
    seen = []
    for order in (made, made[::-1]):
        home = make_home()
        alice = add_holder(home, space, "alice")
        give(home, alice, one_seat.event)
        for each in order:
            give(home, alice, each)
        give(home, alice, *(Author(space, person.name).say(f"from {person.name}") for person in people))
        assert bodies(home, alice) == ["from carol"]
        seen.append(views(home, alice))
        rebuild(home, NOW)
        assert views(home, alice) == seen[-1]
        home.close()
    assert seen[0] == seen[1]


def test_a_command_that_breaks_a_rule_writes_nothing() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        (letter,) = joining.greet(there["bob"].ctx("bob"), "x")
        asked = unpack_request(letter[1:])
        ctx = there["ann"].ctx("ann")
        before = there["ann"].sizes()
        with pytest.raises(Refused, match="rule `invite`"):
            admit.create(ctx, to_text(digest("no invite")), asked)
        assert there["ann"].sizes() == before


def test_the_name_asked_for_is_shown_until_one_is_told() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        there.ask("bob", "ann")
        assert [one.name for one in everyone(there["ann"].ctx("ann"))] == ["ann", "bob"]
