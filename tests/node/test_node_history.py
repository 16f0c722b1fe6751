"""Nodes in a space where newcomers do not get what was written before they came, on a network in memory."""

from typing import Any

import pytest

from quire.core.sealing import blob_context, open_blob
from quire.errors import BadEvent
from quire.net.notices import Status
from tests.node.keyless import keyless
from tests.node.world import Station, World


def _founder(world: World, history: str = "from-join") -> Station:
    alice = world.station("alice")
    alice.ask("createIdentity", name="alice")
    alice.ask("createSpace", name="club", history=history)
    alice.up()
    return alice


def _say(station: Station, *texts: str) -> None:
    for text in texts:
        station.ask("sendMessage", target="general", text=text)


def _sessions(station: Station) -> list[Status]:
    member = station.home.store.memberships.all()[0]
    return [status for status in station.running.sessions(member).values() if status.connected]


def _agree(world: World, *stations: Station) -> None:
    """Until everybody is in sync with everybody, as both sides of each session say."""

    def settled() -> bool:
        found = [_sessions(station) for station in stations]
        return all(
            len(sessions) == len(stations) - 1 and all(s.in_sync and s.held == s.peer_count for s in sessions)
            for sessions in found
        )

    world.until(settled, most=120_000)


def _blobs(station: Station) -> list[tuple[bytes, bytes]]:
    """(key id, blob) of everything that a station's first identity holds in its first space."""
    member = station.home.store.memberships.all()[0]
    rows = station.home.store.blobs.held_after(member.account, member.space, 0, 10_000)
    return [(station.home.store.names.key_id(row.epoch), row.sealed) for row, _ in rows]


def _opens(station: Station, blobs: list[tuple[bytes, bytes]]) -> int:
    """How many of these blobs any key of a station opens, tried one by one."""
    member = station.home.store.memberships.all()[0]
    opened = 0
    for key_id, blob in blobs:
        for key, _ in member.epochs.values():
            try:
                open_blob(key, blob, blob_context(member.raw_space_id, key_id))
                opened += 1
            except BadEvent:
                pass
    return opened


def _names(station: Station) -> list[str]:
    return [peer["name"] for peer in station.ask("getPeers")]


def _bytes(world: World, duration: int) -> int:
    """What all stations send in so many ms."""
    before = len(world.log)
    world.run(duration)
    return sum(len(data) for *_, data in world.log[before:])


def _content(station: Station) -> list[tuple[bytes, bytes]]:
    """Blobs that are no part of the membership graph."""
    member = station.home.store.memberships.all()[0]
    ids = {station.home.store.names.key_id(epoch) for epoch in member.apart}
    return [one for one in _blobs(station) if one[0] in ids]


def test_a_newcomer_sees_the_members_and_nothing_of_before(world: World) -> None:
    alice = _founder(world)
    _say(alice, *(f"before {number}" for number in range(50)))
    early = _content(alice)
    assert len(early) == 50
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    assert bob.texts() == []
    assert _names(bob) == _names(alice) == ["alice", "bob"]
    assert _opens(bob, early) == 0
    assert _opens(alice, early) == 50
    assert bob.space()["locked"] == 0
    assert alice.space()["held"] == bob.space()["held"] + 50
    assert _sessions(alice)[0].held == _sessions(bob)[0].held == bob.space()["held"]
    assert _sessions(alice)[0].pending == 0
    world.run(10_000)
    assert _bytes(world, 60_000) < 10_000, "two idle heartbeats every five seconds, and no more"
    _say(alice, "hello bob")
    _say(bob, "hello alice")
    _agree(world, alice, bob)
    assert sorted(bob.texts()) == ["hello alice", "hello bob"]
    assert len(alice.texts()) == 52


def test_each_sees_what_came_after_it(world: World) -> None:
    alice = _founder(world)
    _say(alice, "first")
    bob = world.guest("bob", alice)
    _say(bob, "second")
    _agree(world, alice, bob)
    before = _content(bob)
    carol = world.guest("carol", bob)
    _agree(world, alice, bob, carol)
    assert carol.texts() == []
    assert _opens(carol, before) == 0
    for station in (alice, bob, carol):
        _say(station, f"from {station.name}")
    _agree(world, alice, bob, carol)
    late = ["from alice", "from bob", "from carol"]
    assert sorted(carol.texts()) == late
    assert sorted(bob.texts()) == [*late, "second"]
    assert sorted(alice.texts()) == ["first", *late, "second"]
    for station in (alice, bob, carol):
        seen = station.texts()
        station.ask("rebuild")
        assert station.ask("verify")["damage"] == []
        assert station.texts() == seen
    _agree(world, alice, bob, carol)
    for station in (alice, bob, carol):
        station.down()
        station.up()
    _agree(world, alice, bob, carol)
    assert sorted(carol.texts()) == late


def test_who_was_away_while_somebody_came(world: World) -> None:
    alice = _founder(world)
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    bob.down()
    bob.ask("sendMessage", target="general", text="written offline")
    carol = world.guest("carol", alice)
    _say(alice, "bob is away")
    _say(carol, "who is bob?")
    _agree(world, alice, carol)
    bob.up()
    _agree(world, alice, bob, carol)
    assert sorted(bob.texts()) == ["bob is away", "who is bob?", "written offline"]
    # Bob did not know of Carol, and sealed for those he knew.
    assert sorted(carol.texts()) == ["bob is away", "who is bob?"]
    _say(bob, "that is me")
    _agree(world, alice, bob, carol)
    assert "that is me" in carol.texts()


def test_two_are_let_in_at_the_same_time(world: World) -> None:
    alice = _founder(world)
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    links = [alice.ask("createInvite")["link"], bob.ask("createInvite")["link"]]
    _agree(world, alice, bob)
    carol, dora = world.station("carol"), world.station("dora")
    world.walls |= {frozenset((x.address, y.address)) for x in (alice, carol) for y in (bob, dora)}
    carol.ask("joinSpace", link=links[0], name="carol")
    dora.ask("joinSpace", link=links[1], name="dora")
    carol.up()
    dora.up()
    world.until(lambda: carol.is_in() and dora.is_in())
    _say(carol, "carol while dora comes")
    _say(dora, "dora while carol comes")
    _say(bob, "bob to dora")

    world.run(2_000)
    world.walls.clear()
    everyone = (alice, bob, carol, dora)
    _agree(world, *everyone)
    assert [_names(station) for station in everyone] == [["alice", "bob", "carol", "dora"]] * 4
    for station in everyone:
        _say(station, f"now {station.name}")
    _agree(world, *everyone)
    now = [f"now {station.name}" for station in everyone]
    assert sorted(carol.texts()) == ["carol while dora comes", *now]
    assert sorted(dora.texts()) == ["bob to dora", "dora while carol comes", *now]
    assert len(alice.texts()) == len(bob.texts()) == 7
    erin = world.guest("erin", dora)
    _agree(world, *everyone, erin)
    assert _names(erin) == ["alice", "bob", "carol", "dora", "erin"]
    assert erin.texts() == []


def test_removal_closes_what_comes_after(world: World) -> None:
    alice = _founder(world)
    bob, carol = world.guest("bob", alice), world.guest("carol", alice)
    _agree(world, alice, bob, carol)
    _say(alice, "all of us")
    _agree(world, alice, bob, carol)
    alice.ask("removeMember", name="carol")
    _say(alice, "without carol")
    world.until(lambda: "without carol" in bob.texts())
    world.run(5_000)
    assert carol.texts() == ["all of us"]
    assert _opens(carol, _content(alice)) == 1


def test_who_comes_again_does_not_see_what_was_meanwhile(world: World) -> None:
    alice = _founder(world)
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    _say(alice, "one")
    _agree(world, alice, bob)
    alice.ask("removeMember", name="bob")
    _say(alice, "two")
    world.run(3_000)
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    world.until(lambda: "bob" in _names(alice), most=120_000)
    _say(alice, "three")
    world.until(lambda: "three" in bob.texts(), most=120_000)
    _agree(world, alice, bob)
    assert sorted(bob.texts()) == ["one", "three"]


def test_elsewhere_newcomers_read_all_through_several_keys(world: World) -> None:
    alice = _founder(world, "all")
    for number in range(4):
        _say(alice, f"under key {number}")
        alice.ask("rekeySpace")
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    assert sorted(bob.texts()) == [f"under key {number}" for number in range(4)]
    cells: Any = alice.home.store.db.all("SELECT DISTINCT epoch FROM buckets")
    assert cells == [(0,)]


@pytest.mark.slow
def test_what_cannot_be_opened_is_pushed_ever_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a space of the usual kind: whoever waits for a key asks for the same again in every round."""
    alice = _founder(world, "all")
    bob = world.guest("bob", alice)
    _agree(world, alice, bob)
    keyless(bob, monkeypatch)
    alice.ask("rekeySpace")
    alice.ask("sendMessages", target="general", texts=[f"message {number}" for number in range(100)])
    world.run(20_000)
    assert bob.space()["locked"] == 100
    size = sum(len(blob) for _, blob in _blobs(alice))
    world.run(100_000)
    assert _bytes(world, 120_000) < 3 * size + 500_000, "not a hundred times, and two heartbeats a second"
    assert bob.space()["locked"] == 100
