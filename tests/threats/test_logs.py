"""Logs that fork, and events of the graph with everything odd that fits into them."""

from typing import Any

import pytest

from quire.core import canonical
from quire.errors import BadEvent
from quire.handlers import incoming, role
from quire.limits import MAX_EVENT_DEPTH, MAX_INTEGER, REDIAL_MS
from tests.events.builders import invite_keys
from tests.node.world import World
from tests.threats.attacker import ABSENT, Attacker, made_up
from tests.threats.community import DAY, Community, Person, agreed


def control(person: Person) -> bytes:
    """The key that the graph is sealed under."""
    return person.member.epochs[person.member.control][0]


def test_fork_by_a_copied_home_is_shown_and_told() -> None:
    """Two copies write on from the same place: nothing is lost, and every node knows of the two histories."""
    c = Community("ann", "bob", "carl")
    c.bob.say("before the copy")
    c.meet()
    copy = c.twin(c.bob, c.bob.blobs())
    c.bob.say("by the one")
    copy.say("by the other")
    c.ann.hear(c.bob)
    c.carl.take(copy.blobs())
    view = agreed(c, c.ann, c.carl)
    assert sorted(row[4] for row in view["shown"]) == ["before the copy", "by the one", "by the other"]
    assert [device for device, _ in view["forks"]] == [c.bob.device]
    copy.home.close()


def test_fork_by_a_copied_home_gives_no_more_rights_than_the_home_had() -> None:
    """The copy does not hear of the removal, and goes on as if it were a member."""
    c = Community("ann", "bob", "carl")
    c.bob.say("before the copy")
    c.meet()
    copy = c.twin(c.bob, c.bob.blobs())
    role.remove(c.ann.ctx, "bob")
    copy.say("by the copy")
    link = copy.invite()
    c.bob.say("by the one")
    c.carl.take([*copy.blobs(), *c.bob.blobs()])
    view = agreed(c, c.ann, c.carl, sealed=copy.blobs())
    assert [row[4] for row in view["shown"]] == ["before the copy"]
    assert c.person("mallory").join(link, c.carl) != ""
    copy.home.close()


def test_member_who_writes_two_histories_is_a_member_still_and_known_for_it() -> None:
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    here, there = liar.say("to ann", seq=liar.seq + 1), liar.say("to carl", seq=liar.seq + 1)
    c.ann.take([here.sealed])
    c.carl.take([there.sealed])
    view = agreed(c, c.ann, c.carl)
    assert sorted(row[4] for row in view["shown"]) == ["to ann", "to carl"]
    assert view["forks"] == [(c.bob.device, liar.seq + 1)]


@pytest.mark.parametrize(
    "odd",
    [
        {"after": ["x" * 43] * 1_400},
        {"after": [f"{number:043}" for number in range(1_400)]},
        {"marks": {f"{number:043}": [2**53 - 1, "y" * 43] for number in range(500)}},
        {"marks": {"": [-1, ""]}},
        {"ts": 2**53 - 1},
        {"ts": 0},
        {"member": ""},
        {"member": "x" * 43},
        {"role": "emperor"},
        {"v": 2},
        {"v": 2**53 - 1},
    ],
    ids=lambda odd: "-".join(f"{name}" for name in odd),
)
def test_odd_events_of_the_graph_change_nothing_and_stop_nothing(odd: dict[str, Any]) -> None:
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    body = {"member": c.carl.id, "role": "none", "marks": {}, "after": liar.heads()}
    header = {name: value for name, value in odd.items() if name in ("ts", "v")}
    made = liar.write(
        "role", {**body, **{k: v for k, v in odd.items() if k not in header}}, under=control(c.bob), **header
    )
    c.ann.take([made.sealed])
    c.carl.say("goes on")
    role.grant(c.ann.ctx, "carl", "admin")
    view = agreed(c, c.ann, c.carl, sealed=[made.sealed])
    assert made.event_id not in view["valid"]
    assert c.ann.roles() == {"ann": "founder", "bob": "member", "carl": "admin"}
    assert c.ann.texts() == ["goes on"]


@pytest.mark.parametrize(
    "header",
    [
        {"author": "x"},
        {"author": None},
        {"seq": 0, "prev": None},
        {"seq": -1},
        {"prev": "short"},
        {"seq": 2, "prev": None},
        {"sig": "x"},
        {"type": ABSENT},
        {"ts": "now"},
        {"surplus": True},
    ],
    ids="-".join,
)
def test_malformed_headers_are_refused(header: dict[str, Any]) -> None:
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    made = liar.set_role(c.carl.id, "none", under=control(c.bob), **header)
    for person in (c.ann, c.carl):
        report = person.take([made.sealed])
        assert sum(report.rejected.values()) == 1
        assert report.valid == report.blocked == 0
    c.bob.say("fine")
    c.meet(c.ann, c.bob, c.carl)
    assert c.ann.texts() == ["fine"]


def test_json_nested_too_deep_is_refused() -> None:
    c = Community("ann", "bob", "carl")
    deep: object = "x"
    for _ in range(MAX_EVENT_DEPTH):
        deep = [deep]
    liar = Attacker(c.bob)
    with pytest.raises(BadEvent):
        canonical.encode({"deep": [deep]})
    data = b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    for person in (c.ann, c.carl):
        report = person.take([liar.resealed(data, key) for key in (control(c.bob), c.bob.content())])
        assert (report.valid, sum(report.rejected.values())) == (0, 2)
    c.bob.say("fine")
    c.meet()
    assert c.ann.texts() == c.carl.texts() == ["fine"]


def test_event_that_builds_on_itself_or_on_what_is_not_there_waits_alone() -> None:
    """What is unknown may come yet: the event waits, and whatever builds on it; nobody else does."""
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    first = liar.set_role(c.bob.id, "none", ["u" * 43], under=control(c.bob))
    second = liar.set_role(c.bob.id, "none", [first.event_id], under=control(c.bob))
    c.ann.take([second.sealed, first.sealed])
    role.grant(c.ann.ctx, "carl", "admin")
    view = agreed(c, c.ann, c.carl, sealed=[first.sealed, second.sealed])
    assert {first.event_id, second.event_id}.isdisjoint(view["graph"])
    assert c.carl.roles() == {"ann": "founder", "bob": "member", "carl": "admin"}


def test_events_dated_ahead_wait_and_push_no_clock() -> None:
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    early = liar.say("from tomorrow", ts=c.now + DAY)
    keys = invite_keys(bytes(32), c.bob.member.space_id, c.bob.device)
    limits = {**keys, "role": "member", "uses": 1, "expires": 0, "approve": False}
    invite = liar.change("invite", limits, ts=c.now + DAY, under=control(c.bob))
    for person in (c.ann, c.carl):
        person.take([early.sealed, invite.sealed])
        assert person.texts() == []
        person.say(f"{person.name} today")
    c.meet(c.ann, c.carl)
    assert sorted(c.ann.texts()) == ["ann today", "carl today"]
    assert not c.ann.counts(invite.event_id)
    c.later(DAY)
    c.ann.run_jobs()
    c.carl.run_jobs()
    assert sorted(c.ann.texts()) == sorted(c.carl.texts()) == ["ann today", "carl today", "from tomorrow"]
    assert invite.event_id in agreed(c, c.ann, c.carl)["valid"]


def test_a_gap_of_any_size_is_walked_over_at_once() -> None:
    """Where a log goes on after a gap, and forks before it, its ends are still found from event to event."""
    c = Community("ann", "bob", "carl")
    liar = Attacker(c.bob)
    start = liar.seq
    true, false = liar.say("true"), liar.say("false", seq=start + 1)
    liar.seq = MAX_INTEGER - 1
    end = liar.say("far away")
    c.ann.take([true.sealed, false.sealed, end.sealed])
    role.remove(c.ann.ctx, "bob")
    view = agreed(c, c.ann, c.carl, sealed=[false.sealed])
    assert sorted(row[4] for row in view["shown"]) == ["far away", "true"]
    assert view["forks"] == [(c.bob.device, start + 1)]


@pytest.mark.parametrize("first", ["the made up ones", "the news of the leave"])
def test_made_up_events_in_the_places_of_last_words_keep_nobody_from_hearing_them(
    world: World, first: str
) -> None:
    """Mallory met bob after he left: it passes on that news alone, and fills the places of what he wrote before."""
    alice = world.founder()
    bob, mallory = world.guest("bob", alice), world.guest("mallory", alice)
    world.until(lambda: len(bob.ask("listMembers")) == 3)
    world.run(5_000)
    bob.down()
    me, his, its = (station.home.store.memberships.all()[0] for station in (alice, bob, mallory))
    written = bob.home.store.blobs.held_after(his.account, his.space, 0, 1_000)[-1][0].n
    words = [f"last words {number}" for number in range(5)]
    for text in words:
        bob.ask("sendMessage", target="general", text=text)
    bob.ask("leaveSpace")
    rows = [row for row, _ in bob.home.store.blobs.held_after(his.account, his.space, written, 1_000)]
    left = bob.home.store.names.key_id(rows[-1].epoch) + rows[-1].sealed
    false = [made_up(its, his.device, row.seq, alice.now()) for row in rows[:-1]]
    for records in ([*false], [left]) if first == "the made up ones" else ([left], [*false]):
        incoming.receive(alice.home, me, records, its.device, alice.now())
        alice.committed()
        world.run(1_000)
    assert sorted(one["name"] for one in alice.ask("listMembers")) == ["alice", "mallory"]
    assert alice.texts() == []
    mallory.down()
    alice.down()
    alice.up()
    bob.up()
    world.until(lambda: alice.texts() == words, 12 * REDIAL_MS)
