"""Nodes that let each other in by letters, and cut each other off, on a network in memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from quire.core.certificate import certify
from quire.core.keys import DeviceKey
from quire.core.phrase import root_key
from quire.errors import Refused
from quire.events.context import Context
from quire.graph.rules import REASONS
from quire.handlers import identity, joining, own_link
from quire.limits import MAX_CHAIN, MAX_LETTER_BYTES, MAX_NAME_CHARS, REDIAL_MS
from quire.net.endpoint import Endpoint, SessionId
from quire.net.standing import Refusal
from tests.events.builders import digest
from tests.node.relayed import Relayed, founder
from tests.node.world import Station, World

DAY_MS = 86_400_000


def _same(*stations: Station) -> bool:
    return len({tuple(sorted(station.texts())) for station in stations}) == 1


def _names(station: Station) -> list[str]:
    return [peer["name"] for peer in station.ask("getPeers")]


def _refusals(station: Station) -> list[Refusal | None]:
    member = station.home.store.memberships.all()[0]
    return [status.refused for status in station.running.sessions(member).values()]


@pytest.mark.parametrize("seed", range(3))
def test_newcomers_are_let_in_under_loss(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, loss=0.4, seed=seed)
    alice = world.founder()
    alice.ask("sendMessage", target="general", text="before anybody came")
    guests = [world.newcomer(name, alice) for name in ("bob", "carol", "dora")]
    world.until(lambda: all(guest.is_in() for guest in guests), most=120_000)
    for guest in guests:
        guest.ask("sendMessage", target="general", text=f"{guest.name} is here")
    world.until(lambda: _same(alice, *guests) and len(alice.texts()) == 4, most=120_000)
    assert all(_names(station) == ["alice", "bob", "carol", "dora"] for station in (alice, *guests))
    world.close()


def test_where_a_stranger_was_is_forgotten_until_it_is_let_in(world: World) -> None:
    alice = world.founder()
    stranger = world.newcomer("mallory", alice, approve=True)

    def places() -> list[str]:
        member = alice.home.store.memberships.all()[0]
        known = alice.home.store.memberships.addresses(member.account, member.space, 1_000)
        return [address for device, address, _ in known if device != member.device]

    for port in range(10_000, 10_010):
        stranger.move(("10.9.9.9", port))
        world.run(2_000)
    assert alice.connected() == 1
    assert places() == []
    alice.ask("approveRequest", name="mallory")
    world.until(stranger.is_in)
    world.until(lambda: places() != [])
    assert places()[0] == "10.9.9.9:10009"


@pytest.mark.parametrize("streams", [False, True])
def test_a_newcomer_is_in_before_it_has_what_was_written(world: World, streams: bool) -> None:
    alice = world.founder()
    if streams:
        alice.down()
        alice.up(streams=True)
    for _ in range(4):
        alice.ask("sendMessages", target="general", texts=["long ago"] * 1_000)
    bob = world.station("bob")
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    bob.up(streams=streams)
    for _ in range(10_000):
        if bob.is_in():
            break
        world.run(1)
    assert not bob.space()["unconfirmed"]
    assert bob.space()["held"] < 1_000
    bob.ask("createInvite")
    world.until(lambda: bob.space()["held"] == alice.space()["held"])


def test_who_waits_says_so_and_writes_nothing(world: World) -> None:
    alice = world.founder()
    world.run(2_000)
    alice.down()
    bob = world.newcomer("bob", alice)
    world.run(10_000)
    assert bob.joining() == "waiting for a member to let you in"
    with pytest.raises(Refused, match="a member has to let it in first"):
        bob.ask("sendMessage", target="general", text="too early")
    alice.up()
    world.until(bob.is_in, most=3 * REDIAL_MS)
    assert bob.joining() == ""
    assert bob.troubles() == []


def test_a_member_lets_in_while_the_inviter_is_away(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    link = alice.ask("createInvite")["link"]
    world.until(lambda: _same(alice, bob))
    world.run(5_000)
    alice.down()
    # Carol has heard where Bob is, as a later link of the inviter's would tell.
    carol = world.station("carol")
    carol.ask("joinSpace", link=link, name="carol")
    member = carol.home.store.memberships.all()[0]
    device = bob.home.store.memberships.all()[0].device
    carol.home.store.memberships.remember_address(
        member.account, member.space, device, "{}:{}".format(*bob.address), 0
    )
    carol.up()
    world.until(carol.is_in, most=3 * REDIAL_MS)
    carol.ask("sendMessage", target="general", text="let in by bob")
    world.until(lambda: bob.texts() == ["let in by bob"])
    alice.up()
    world.until(lambda: alice.texts() == ["let in by bob"], most=3 * REDIAL_MS)
    assert _names(alice) == ["alice", "bob", "carol"]


@pytest.mark.parametrize("who", ["inviter", "newcomer", "both"])
@pytest.mark.parametrize("after", [0, 8, 12, 16, 20, 30])
def test_joining_goes_on_across_restarts(world: World, who: str, after: int) -> None:
    alice = world.founder()
    bob = world.newcomer("bob", alice)
    world.run(after)
    for station, name in ((alice, "inviter"), (bob, "newcomer")):
        if who in (name, "both"):
            station.down()
    world.run(2_000)
    for station in (alice, bob):
        if station.node is None:
            station.up()
    world.until(bob.is_in, most=3 * REDIAL_MS)
    bob.ask("sendMessage", target="general", text="here at last")
    world.until(lambda: alice.texts() == ["here at last"])
    assert alice.ask("query", statement="SELECT count(*) AS n FROM auth_graph WHERE action = 'admit'")[
        "rows"
    ] == [{"n": 1}]


def test_a_refusal_is_told_with_its_rule(world: World) -> None:
    alice = world.founder()
    late = world.newcomer("late", alice, expires="30m")
    late.down()
    world.now += DAY_MS
    late.up()
    world.until(lambda: late.space()["refused"] == "invite-expired")
    assert late.joining() == "not let in: the invite has expired"
    again = alice.ask("createInvite")["link"]
    late.ask("joinSpace", link=again, name="late")
    late.committed()
    world.until(late.is_in)
    assert late.space()["refused"] == ""


def test_who_needs_a_word_waits_for_it_from_any_member(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    carol = world.newcomer("carol", alice, approve=True)
    world.until(lambda: [one["name"] for one in bob.ask("listRequests")] == ["carol"])
    assert carol.joining() == "waiting for a member to let you in: a member has been asked"
    bob.ask("approveRequest", name="carol")
    world.until(carol.is_in, most=3 * REDIAL_MS)
    assert bob.ask("listRequests") == []


def test_who_is_removed_is_cut_off_and_told(world: World) -> None:
    alice = world.founder()
    bob, carol = (world.guest(name, alice) for name in ("bob", "carol"))
    alice.ask("sendMessage", target="general", text="with bob")
    world.until(lambda: _same(alice, bob, carol) and alice.texts() == ["with bob"])
    alice.ask("removeMember", name="bob")
    alice.ask("sendMessage", target="general", text="without bob")
    bob.ask("sendMessage", target="general", text="bob shouts")
    world.until(lambda: carol.texts() == ["with bob", "without bob"])
    world.until(lambda: Refusal.REMOVED in _refusals(bob))
    world.run(60_000)
    assert "without bob" not in bob.texts()
    assert alice.texts() == carol.texts() == ["with bob", "without bob"]
    assert _names(alice) == _names(carol) == ["alice", "carol"]
    assert bob.connected() == 0
    present = alice.home.store.names.key_id(alice.home.store.memberships.all()[0].content)
    epochs = bob.home.store.memberships.all()[0].epochs
    assert present not in [bob.home.store.names.key_id(epoch) for epoch in epochs]
    carol.ask("sendMessage", target="general", text="under the new key")
    world.until(lambda: "under the new key" in alice.texts())


def test_who_was_away_learns_of_a_removal_before_it_writes(world: World) -> None:
    alice = world.founder()
    bob, carol = (world.guest(name, alice) for name in ("bob", "carol"))
    world.until(lambda: carol.connected() == 2)
    carol.down()
    alice.ask("removeMember", name="bob")
    world.run(5_000)
    alice.down()
    carol.up()
    world.until(lambda: carol.connected() == 1, most=3 * REDIAL_MS)
    carol.ask("sendMessage", target="general", text="not knowing better")
    world.until(lambda: bob.texts() == ["not knowing better"])
    alice.up()
    world.until(lambda: _names(carol) == ["alice", "carol"], most=3 * REDIAL_MS)
    carol.ask("sendMessage", target="general", text="knowing better")
    world.until(lambda: alice.texts() == ["not knowing better", "knowing better"])
    world.run(30_000)
    assert bob.texts() == ["not knowing better"]


def test_members_who_never_met_share_everything(world: World) -> None:
    """Bob stands between the others."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    carol = world.newcomer("carol", bob)
    world.walls = {frozenset((alice.address, carol.address))}
    world.until(carol.is_in, most=3 * REDIAL_MS)
    for number, station in enumerate((alice, bob, carol)):
        station.ask("sendMessage", target="general", text=str(number))
    alice.ask("sendMessage", target="@carol", text="past bob")
    world.until(lambda: sorted(alice.texts()) == sorted(carol.texts()) == ["0", "1", "2"])
    world.until(lambda: carol.texts("@alice") == ["past bob"])
    alice.ask("rekeySpace")
    alice.ask("sendMessage", target="general", text="under a new key")
    world.until(lambda: "under a new key" in carol.texts())
    assert (alice.connected(), carol.connected()) == (1, 1)
    assert bob.texts("@alice") == []


def test_members_behind_nats_find_each_other(world: World) -> None:
    """Nothing reaches them from where they have sent nothing: each has to hear where the others are, and dial them."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.shielded = {bob.address, ("10.0.0.3", 7_000), ("10.0.0.4", 7_000)}
    carol = world.guest("carol", alice)
    dora = world.guest("dora", alice)
    assert {carol.address, dora.address} < world.shielded
    world.until(lambda: [one.connected() for one in (alice, bob, carol, dora)] == [3] * 4, most=4 * REDIAL_MS)


def _told(station: Station) -> str:
    member = station.home.store.memberships.all()[0]
    return own_link.told(Context(station.home, station.now(), member.account, member))


def test_who_is_removed_while_an_invite_is_open_is_told_why(world: World) -> None:
    """It could hold that invite, so it is heard, and given nothing but the reason."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    alice.ask("createInvite")
    alice.ask("removeMember", name="bob")
    world.until(lambda: _told(bob) != "", most=3 * REDIAL_MS)
    assert _told(bob) == "you were removed"
    assert _told(alice) == ""


def test_who_is_given_nothing_asks_little(world: World) -> None:
    """What it lacks it would lack for good, and say so at every heartbeat: 1.2 MB in half a minute."""
    alice = world.founder()
    alice.ask("sendMessages", target="general", texts=[f"{n}" for n in range(600)])
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    world.walls = {frozenset((alice.address, bob.address))}
    alice.ask("createInvite")
    alice.ask("removeMember", name="bob")
    for one in (alice, bob):
        one.ask("sendMessages", target="general", texts=[f"{n}" for n in range(300)])
    world.walls = set()
    world.until(lambda: _told(bob) != "", most=5 * REDIAL_MS)
    world.run(20_000)
    before = len(world.log)
    world.run(30_000)
    assert sum(len(data) for *_, data in world.log[before:]) < 150_000


@pytest.mark.parametrize("is_inviting", [True, False])
def test_one_who_left_before_a_removal_does_not_undo_the_news_of_it(world: World, is_inviting: bool) -> None:
    """It takes the removed for a member and will never hear better; they are together last."""
    alice = world.founder()
    bob, dora = (world.guest(name, alice) for name in ("bob", "dora"))
    world.until(lambda: _names(bob) == _names(dora) == ["alice", "bob", "dora"])
    dora.down()
    dora.ask("leaveSpace")
    if is_inviting:
        alice.ask("createInvite")
    alice.ask("removeMember", name="bob")
    world.until(lambda: _told(bob) != "", most=3 * REDIAL_MS)
    why = _told(bob)
    dora.up()
    world.run(2 * REDIAL_MS)
    assert _told(bob) == why


def test_who_was_let_in_by_one_who_was_out_hears_of_it_from_members_who_had_never_heard_of_it(
    world: World,
) -> None:
    """They refuse it before they know who let it in, and can say why only then."""
    alice = world.founder()
    carol = world.guest("carol", alice)
    world.until(lambda: alice.connected() == 1)
    link = alice.ask("createInvite")["link"]
    world.run(5_000)
    dora, bob = world.station("dora"), world.station("bob")
    world.walls = {frozenset((carol.address, one.address)) for one in (alice, dora)}
    world.walls |= {frozenset((bob.address, one.address)) for one in (alice, dora)}
    alice.ask("removeMember", name="carol")
    for late in (dora, bob):
        late.ask("joinSpace", link=link, name=late.name)
        late.up()
        world.until(late.is_in, most=5 * REDIAL_MS)
    world.walls = set()
    seat_taken = "not let in: every seat of the invite is taken"
    world.until(lambda: bob.joining() == seat_taken, most=5 * REDIAL_MS)
    world.run(3 * REDIAL_MS)
    assert bob.joining() == seat_taken, "who let it in may not know, and says again that it is in"


def _notice(station: Station) -> str:
    return str(station.ask("getNotice")["text"])


def test_who_was_removed_is_warned_also_after_a_restart_until_it_is_back(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    assert _notice(bob) == ""
    alice.ask("removeMember", name="bob")
    bob.ask("sendMessage", target="general", text="nobody sees that")
    world.until(lambda: _notice(bob) != "", most=3 * REDIAL_MS)
    assert _notice(bob) == (
        "No member any more, a member says: this device was removed. Others may not see what is written here."
    )
    assert bob.joining() == "no member any more, a member says: this device was removed"
    alice.down()
    bob.down()
    assert "was removed" in _notice(bob)
    alice.up()
    bob.up()
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    world.until(lambda: bob.joining() == "", most=3 * REDIAL_MS)
    assert _notice(bob) == ""


def test_who_is_banned_is_warned(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    alice.ask("banMember", name="bob")
    world.until(lambda: _notice(bob) != "", most=3 * REDIAL_MS)
    assert _notice(alice) == ""


def test_who_left_is_told_so(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    bob.ask("leaveSpace")
    assert bob.joining() == "no member any more: you left"
    world.run(3 * REDIAL_MS)
    assert bob.joining() == "no member any more: you left"
    assert [one["name"] for one in alice.ask("listMembers")] == ["alice"]


@pytest.mark.parametrize("seed", range(3))
def test_what_somebody_wrote_before_it_left_comes_though_the_news_of_that_came_first(
    tmp_path: Path, seed: int
) -> None:
    world = World(tmp_path, loss=0.4, seed=seed)
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob), most=12 * REDIAL_MS)
    for number in range(40):
        bob.ask("sendMessage", target="general", text=f"no. {number} " + "x" * 1_500)
    bob.ask("leaveSpace")
    world.until(lambda: [one["name"] for one in alice.ask("listMembers")] == ["alice"], most=12 * REDIAL_MS)
    world.until(lambda: len(alice.texts()) == 40, most=12 * REDIAL_MS)
    world.until(lambda: _refusals(bob) in ([], [Refusal.REMOVED]), most=12 * REDIAL_MS)
    alice.ask("sendMessage", target="general", text="bob is out")
    world.run(6 * REDIAL_MS)
    assert "bob is out" not in bob.texts()
    assert alice.running.sessions(alice.home.store.memberships.all()[0]) == {}
    world.close()


def test_of_two_who_take_the_last_seat_apart_the_other_is_told_why(world: World) -> None:
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.until(lambda: _same(alice, bob))
    link = alice.ask("createInvite", uses=1)["link"]
    world.run(5_000)
    carol, dan = world.station("carol"), world.station("dan")
    world.walls = {frozenset((one.address, other.address)) for one in (alice, carol) for other in (bob, dan)}
    for newcomer, host in ((carol, alice), (dan, bob)):
        newcomer.ask("joinSpace", link=link, name=newcomer.name)
        member = newcomer.home.store.memberships.all()[0]
        device = host.home.store.memberships.all()[0].device
        place = "{}:{}".format(*host.address)
        newcomer.home.store.memberships.remember_address(member.account, member.space, device, place, 0)
        newcomer.up()
    world.until(lambda: carol.is_in() and dan.is_in(), most=6 * REDIAL_MS)
    world.walls = set()
    world.until(lambda: _told(carol) != "" or _told(dan) != "", most=12 * REDIAL_MS)
    world.run(3 * REDIAL_MS)
    assert sorted((_told(carol), _told(dan))) == ["", REASONS["invite-used"]]
    assert _names(alice) == _names(bob)
    assert len(_names(alice)) == 3


def _linked_again_and_again(station: Station, name: str, length: int) -> None:
    """An identity whose device was linked by one that was linked, and so on: what pairing makes."""
    station.ask("createIdentity", name=name)
    memberships = station.home.store.memberships
    (account,) = memberships.accounts()
    root, own = root_key(memberships.root(account) or b""), memberships.device_key(account)
    signer, chain = root, []
    for one in [*(DeviceKey(digest(f"device {n}")) for n in range(length - 1)), own]:
        chain.append(certify(signer, root.text, one.text, identity.wrap_text(one)))
        signer = one
    with station.home.store.transaction():
        memberships.set_chain(account, identity.chain_text(chain))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("length", [5, 6, MAX_CHAIN])
def test_a_device_that_was_linked_by_one_that_was_linked_and_so_on_is_let_in(
    world: World, length: int, streams: bool
) -> None:
    alice = world.founder()
    dora, name = world.station("dora"), "🦆" * MAX_NAME_CHARS
    _linked_again_and_again(dora, name, length)
    dora.ask("joinSpace", link=alice.ask("createInvite")["link"], name=name)
    dora.up(streams=streams)
    world.until(dora.is_in, most=5_000)


def test_a_long_chain_of_certificates_comes_in_by_a_relay(relayed: Relayed) -> None:
    alice = founder(relayed)
    relayed.run(5_000)
    dora = relayed.station("dora")
    _linked_again_and_again(dora, "dora", MAX_CHAIN)
    link = alice.ask("createInvite", approve=True)["link"]
    relayed.walls.add(frozenset((alice.address, dora.address)))
    dora.ask("joinSpace", link=link, name="dora")
    dora.up()
    relayed.until(lambda: alice.ask("listRequests"), most=60_000)


def test_a_letter_that_is_too_long_keeps_no_other_from_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No mistake with one peer is everybody's: who was met is remembered, others are greeted."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    alice.bears_mistakes = True
    real, to = Endpoint.send_letter, bob.home.store.memberships.all()[0].device_key.public

    def send(endpoint: Endpoint, session_id: SessionId, data: bytes) -> None:
        long = endpoint is alice.running._endpoint and session_id.peer == to
        real(endpoint, session_id, bytes(MAX_LETTER_BYTES + 1) if long else data)

    monkeypatch.setattr(Endpoint, "send_letter", send)
    hello = replace(joining.HANDLER, greets=lambda *_: [b"?"])
    monkeypatch.setattr("quire.node.correspondence.serving", lambda *_: [hello, joining.HANDLER])
    bob.down()
    bob.up()
    carol = world.guest("carol", alice)
    world.run(5_000)
    assert {type(one.error) for one in alice.mistakes} == {ValueError}
    assert not alice.running._news
    alice.ask("sendMessage", target="general", text="all the same")
    world.until(lambda: bob.texts() == carol.texts() == ["all the same"])
