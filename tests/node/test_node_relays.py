"""Nodes that never meet, and come together by what a relay keeps; newcomers while everybody sleeps."""

import pytest

from quire.api.operations import call
from quire.core.encoding import to_text
from quire.core.ticket import decode_link
from quire.events.append import append
from quire.events.context import Context
from quire.limits import (
    ANSWER_MS,
    ANSWER_RANKS,
    FORWARD_MS,
    FRUGAL_MS,
    MAX_RELAYS,
    MAX_TICKET_RELAYS,
    TICK_MS,
)
from quire.net.relay_wire import Add, Hello, Read
from quire.store.memberships import JOINING
from tests.node.relayed import Relayed, alone, forget_content, founder, kept, pair, state, the_relay
from tests.node.world import Station


@pytest.fixture
def world(relayed: Relayed) -> Relayed:
    return relayed


def test_two_that_are_never_up_together_come_to_hold_the_same(world: Relayed) -> None:
    alice, bob = pair(world)
    alice.down()
    bob.down()
    alice.ask("sendMessage", target="general", text="from alice")
    alone(alice, world)
    bob.ask("sendMessage", target="general", text="from bob")
    alone(bob, world)
    alone(alice, world)
    assert alice.texts() == bob.texts() == ["from alice", "from bob"]


def test_what_is_written_goes_to_the_relay_and_on_at_once(world: Relayed) -> None:
    alice, bob = pair(world)
    alice.ask("sendMessage", target="general", text="live")
    world.run(20)
    assert bob.texts() == ["live"]


def test_what_was_posted_is_not_posted_again_after_a_restart(world: Relayed) -> None:
    alice, bob = pair(world)
    for number in range(5):
        alice.ask("sendMessage", target="general", text=str(number))
    world.run(60_000)
    before = len(kept(world))
    for _ in range(3):
        alice.down()
        bob.down()
        alone(alice, world)
        alone(bob, world)
        alice.up()
        bob.up()
    world.run(60_000)
    assert len(kept(world)) == before


def test_what_a_member_without_the_relay_wrote_is_handed_over_by_others(world: Relayed) -> None:
    """Carol never reaches the relay; alice meets her, and the relay comes to hold what she wrote."""
    alice, bob = pair(world)
    carol = world.guest("carol", alice)
    world.walls.add(frozenset((carol.address, bob.address)))
    world.uncallable.add(carol.address)
    carol.running.relaying.tick([], world.now)
    carol.running.relaying.tick = lambda members, now: None  # type: ignore[method-assign]
    carol.ask("sendMessage", target="general", text="from carol")
    world.run(FORWARD_MS - 5_000)
    assert "from carol" not in bob.texts()
    world.run(2 * FORWARD_MS)
    assert bob.texts() == ["from carol"]


def test_only_one_of_those_who_are_there_hands_over_what_another_wrote(world: Relayed) -> None:
    alice = founder(world)
    guests = [world.guest(name, alice) for name in ("bob", "carol", "dora")]
    world.run(2 * FORWARD_MS)
    before = len(the_relay(world).heard)
    alice.ask("sendMessages", target="general", texts=[f"message {n}" for n in range(50)])
    world.run(4 * FORWARD_MS)
    assert all(len(guest.texts()) == 50 for guest in guests)
    posts = [one for one in the_relay(world).heard[before:] if isinstance(one, Add)]
    assert len(posts) == 1
    assert sum(len(post.records) for post in posts) == 1  # in one bundle


@pytest.mark.slow
def test_a_relay_that_is_added_later_is_given_all_there_is(world: Relayed) -> None:
    alice, bob = pair(world)
    alice.ask("sendMessages", target="general", texts=[f"message {n}" for n in range(3_000)])
    world.run(10_000)
    second = world.relay("second.example")
    bob.ask("addRelay", address=second)
    world.run(60_000)
    del world.relays["wss://relay.example/"]
    world.hang_up_relays()
    alice.down()
    bob.down()
    carol = world.station("carol")
    bob.up()
    link = bob.ask("createInvite")["link"]
    world.run(5_000)
    bob.down()
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    world.run(30_000)
    assert len(carol.texts()) == 1_000  # as many as one page shows
    assert carol.space()["held"] > 3_000


def test_a_newcomer_comes_in_while_everybody_sleeps(world: Relayed) -> None:
    alice = founder(world)
    alice.ask("sendMessage", target="general", text="before")
    link = alice.ask("createInvite")["link"]
    world.run(10_000)
    alice.down()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.run(
        TICK_MS // 2
    )  # it waits for no tick between its door, its welcome and the mailbox of the key in it
    assert bob.texts() == ["before"]
    assert bob.space()["unconfirmed"]
    bob.ask("sendMessage", target="general", text="anybody there?")
    world.run(5_000)
    bob.down()
    alone(alice, world)
    assert alice.texts() == ["before", "anybody there?"]
    assert [peer["name"] for peer in alice.ask("getPeers")] == ["alice", "bob"]
    assert not alice.space()["unconfirmed"]
    alone(bob, world)
    assert bob.joining() == ""
    assert bob.is_in()
    assert not bob.space()["unconfirmed"]


def test_a_newcomer_comes_in_after_what_was_written_before_is_gone_from_the_relay(world: Relayed) -> None:
    alice = founder(world)
    alice.ask("sendMessage", target="general", text="long ago")
    alice.ask("createChannel", name="plans", private=True)
    world.run(10_000)
    forget_content(world)
    alice.ask("sendMessage", target="general", text="lately")
    link = alice.ask("createInvite")["link"]
    world.run(10_000)
    alice.down()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.run(TICK_MS)
    assert bob.texts() == ["lately"]
    assert [one["name"] for one in bob.ask("listMembers")] == ["alice"]
    bob.down()
    alone(alice, world)
    alone(bob, world)
    assert bob.is_in()


def test_a_member_that_was_away_for_long_hears_who_is_in(world: Relayed) -> None:
    alice, bob = pair(world)
    bob.down()
    carol = world.guest("carol", alice)
    alice.ask("grantRole", name="carol", role="admin")
    alice.ask("createChannel", name="plans", private=True)
    alice.ask("sendMessage", target="plans", text="long ago")
    world.run(30_000)
    forget_content(world)
    alice.ask("addToChannel", channel="plans", name="bob")
    alice.ask("sendMessage", target="plans", text="lately")
    world.run(10_000)
    alice.down()
    carol.down()
    alone(bob, world)
    roles = {one["name"]: one["role"] for one in bob.ask("listMembers")}
    assert roles == {"alice": "founder", "bob": "member", "carol": "admin"}
    assert bob.texts("plans") == ["lately"]


def test_members_who_are_all_there_let_a_newcomer_in_once(world: Relayed) -> None:
    alice = founder(world)
    guests = [world.guest(name, alice) for name in ("bob", "carol", "dora")]
    link = alice.ask("createInvite")["link"]
    world.run(5_000)
    erin = world.station("erin")
    erin.ask("joinSpace", link=link, name="erin")
    for other in (alice, *guests):
        world.walls.add(frozenset((erin.address, other.address)))
    erin.up()
    world.until(erin.is_in)
    world.run((ANSWER_RANKS + 2) * ANSWER_MS)
    admitted = f"SELECT count(*) AS n FROM auth_graph WHERE action = 'admit' AND subject = '{erin.account()}'"
    assert alice.ask("query", statement=admitted)["rows"] == [{"n": 1}]


@pytest.mark.parametrize("history", ["all", "from-join"])
def test_who_must_be_confirmed_or_given_a_key_of_their_own_waits_for_a_member(
    world: Relayed, history: str
) -> None:
    alice = world.station("alice")
    alice.ask("createIdentity", name="alice")
    alice.ask("createSpace", name="club", history=history)
    alice.up()
    alice.ask("addRelay", address=world.address)
    alice.ask("sendMessage", target="general", text="before")
    link = alice.ask("createInvite", approve=history == "all")["link"]
    world.run(5_000)
    alice.down()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.run(5_000)
    assert bob.home.store.memberships.all()[0].kind == JOINING
    bob.down()
    alice.up()
    world.run(10_000)
    if history == "all":
        (asked,) = alice.ask("listRequests")
        alice.ask("approveRequest", name=asked["name"])
        world.run(2 * FORWARD_MS)
    alice.down()
    bob.up()
    world.run(10_000)
    assert bob.is_in()
    assert bob.texts() == (["before"] if history == "all" else [])


def test_a_welcome_is_left_again_under_a_new_key_by_whoever_is_there(world: Relayed) -> None:
    """Alice invites and sleeps; bob removes carol, which makes a new key; the newcomer reads what came after."""
    alice, bob = pair(world)
    carol = world.guest("carol", alice)
    alice.ask("grantRole", name="bob", role="admin")
    link = alice.ask("createInvite")["link"]
    world.run(5_000)
    alice.down()
    bob.ask("removeMember", name="carol")
    bob.ask("sendMessage", target="general", text="without carol")
    world.run(3 * FORWARD_MS)
    bob.down()
    carol.down()
    dora = world.station("dora")
    dora.ask("joinSpace", link=link, name="dora")
    dora.up()
    world.run(10_000)
    assert dora.texts() == ["without carol"]


def test_who_was_removed_reads_nothing_that_was_written_since(world: Relayed) -> None:
    alice, bob = pair(world)
    carol = world.guest("carol", alice)
    world.run(5_000)
    carol.down()
    alice.ask("removeMember", name="carol")
    alice.ask("sendMessage", target="general", text="among us")
    world.run(FORWARD_MS)
    opened = {one.keys.id for one in the_relay(world).heard if isinstance(one, Hello)}
    carol.up()
    before = len(the_relay(world).heard)
    alice.down()
    bob.down()
    world.run(10_000)
    reached = {one.keys.id for one in the_relay(world).heard[before:] if isinstance(one, Hello)}
    assert carol.texts() == []
    assert opened - reached  # the mailboxes of the new key are none that carol could name


def test_devices_of_one_identity_find_spaces_of_each_other_by_a_relay(world: Relayed) -> None:
    alice = founder(world)
    tablet = world.station("tablet")
    _link(world, alice, tablet)
    world.until(lambda: tablet.home.store.memberships.all() != [])
    world.run(5_000)
    tablet.down()
    alice.ask("createSpace", name="second")
    call(alice, "addRelay", {"address": world.address}, None, "second")
    call(alice, "sendMessage", {"target": "general", "text": "while it sleeps"}, None, "second")
    world.run(30_000)
    alice.down()
    for one in (tablet, alice, tablet, alice, tablet):  # what one lacks, what the other hands on
        alone(one, world)
    assert sorted(member.name for member in tablet.home.store.memberships.all()) == ["club", "second"]
    (read,) = call(tablet, "getMessages", {"target": "general", "limit": 10}, None, "second")
    assert read.body_text == "while it sleeps"


def _link(world: Relayed, old: Station, new: Station) -> None:
    new.up()
    made = old.ask("linkDevice", name="tablet")
    new.ask("joinDevice", link=made["link"])
    world.until(lambda: old.ask("getPairing")["code"] != "")
    old.ask("confirmDevice", code=old.ask("getPairing")["code"])


def test_a_relay_that_is_taken_away_is_not_used_any_more(world: Relayed) -> None:
    alice, bob = pair(world)
    alice.ask("removeRelay", relay="relay.example")
    world.run(FORWARD_MS)
    assert bob.ask("listRelays") == []
    before = len(the_relay(world).heard)
    bob.ask("sendMessage", target="general", text="where?")
    world.run(FORWARD_MS)
    assert len(the_relay(world).heard) == before
    assert alice.texts() == []


def test_a_space_uses_so_many_relays_and_no_more(world: Relayed) -> None:
    alice = founder(world)
    for number in range(MAX_RELAYS - 1):
        alice.ask("addRelay", address=world.relay(f"relay{number}.example"))
    with pytest.raises(Exception, match="at most"):
        alice.ask("addRelay", address=world.relay("one-more.example"))


def test_a_link_names_relays_that_were_reached_before_others(world: Relayed) -> None:
    alice = world.founder("alice")
    for number in range(MAX_RELAYS - 1):
        alice.ask("addRelay", address=f"wss://nobody{number}.example/#{to_text(bytes((number,)) * 32)}")
    alice.ask("addRelay", address=world.address)
    world.until(lambda: [one["state"] for one in alice.space()["relays"]][-1] == "in-sync")
    relays = decode_link(alice.ask("createInvite")["link"]).relays
    assert len(relays) == MAX_TICKET_RELAYS
    assert relays[0].text == world.address


def test_a_frugal_node_reads_now_and_then(world: Relayed) -> None:
    alice, bob = pair(world)
    bob.down()
    bob.up(frugal=True)
    world.run(FRUGAL_MS)
    before = len(the_relay(world).heard)
    for number in range(20):
        alice.ask("sendMessage", target="general", text=str(number))
        world.run(FRUGAL_MS // 10)
    world.run(FRUGAL_MS)
    assert len(bob.texts()) == 20
    reads = [one for one in the_relay(world).heard[before:] if isinstance(one, Read)]
    assert 2 <= len(reads) <= 4


def test_nothing_is_noted_for_longer_than_it_is_needed(world: Relayed) -> None:
    alice, bob = pair(world)
    for number in range(10):
        alice.ask("sendMessage", target="general", text=str(number))
    world.run(4 * FORWARD_MS)
    for station in (alice, bob):
        assert station.home.store.db.all("SELECT * FROM relayed") == []


def test_an_invite_that_nothing_can_be_sealed_to_keeps_nobody_from_its_relay(world: Relayed) -> None:
    """A member writes one whose public key is no point of the curve: no welcome could wait by it."""
    alice, bob = pair(world)
    mine = bob.home.store.memberships.all()[0]
    graph = Context(bob.home, bob.now(), mine.account, mine).graph
    odd = {
        "after": [node.event_id for node in graph.ledger.dag.latest(graph.valid)],
        "public": to_text(b"\2".ljust(32, b"\0")),
        "proof": to_text(bytes(64)),
        "role": "guest",
        "uses": 1,
        "expires": bob.now() + 86_400_000,
        "approve": False,
    }
    append(bob.home, mine, "invite", [odd], bob.now())
    bob.committed()
    world.until(lambda: alice.space()["held"] == bob.space()["held"])
    world.run(30_000)
    assert state(alice) == state(bob) == "in-sync"
    assert [len(one.ask("listInvites")) for one in (alice, bob)] == [1, 1], (
        "but for the one by which bob came"
    )
    world.until(world.newcomer("carol", alice).is_in)
