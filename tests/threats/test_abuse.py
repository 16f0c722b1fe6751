"""What strangers and members can make a node spend: never more than they do, and never without bound."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from quire.core.summary import COARSE, Summary
from quire.limits import MAX_EAGER, MAX_WINDOW, PUSH_BATCH
from quire.store.buckets import StoreIndex
from quire.sync.messages import ENTRIES
from tests.node.world import Station, World


@pytest.fixture
def pair(world: World) -> tuple[Station, Station]:
    alice = world.founder()
    return alice, world.guest("bob", alice)


def test_replays_from_spoofed_addresses_are_answered_with_no_more_than_they_cost(
    world: World, pair: tuple[Station, Station]
) -> None:
    """Whoever recorded bob's datagrams sends them as if others did: no victim gets more bytes than were sent for it."""
    alice, bob = pair
    for n in range(30):
        bob.ask("sendMessage", target="general", text=f"{n}")
        world.run(100)
    recorded = [
        data for _, source, target, data in world.log if (source, target) == (bob.address, alice.address)
    ]
    assert len(recorded) >= 40
    world.walls.add(frozenset((alice.address, bob.address)))
    before, random, sent = len(world.log), Random(1), Counter[Any]()
    for _ in range(3):
        for data in recorded:
            victim = (f"10.9.0.{random.randrange(1, 9)}", 53)
            sent[victim] += len(data)
            world.send(data, victim, alice.address)
        world.run(5_000)
    got = Counter[Any]()
    for _, source, target, data in world.log[before:]:
        if source == alice.address:
            got[target] += len(data)
    assert sum(sent.values()) > 20_000
    assert [victim for victim in sent if got[victim] > sent[victim]] == []


def test_a_member_that_never_agrees_costs_a_bounded_trickle(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counts and prints are lies, new ones each time: the session goes on for ever, and slowly."""
    alice, bob = pair
    carol = world.guest("carol", alice)
    alice.ask("sendMessages", target="general", texts=[f"{n}" for n in range(1_000)])
    world.until(lambda: len(carol.texts()) == len(bob.texts()) == 1_000)
    _lie(bob, monkeypatch)
    world.run(5_000)
    before, seconds = len(world.log), 60
    world.run(1_000 * seconds)
    to_bob = [
        data
        for _, source, target, data in world.log[before:]
        if (source, target) == (alice.address, bob.address)
    ]
    assert seconds < len(to_bob) < 100 * seconds
    assert sum(map(len, to_bob)) < 64_000 * seconds
    alice.ask("sendMessage", target="general", text="still fast")
    world.until(lambda: "still fast" in carol.texts(), 1_000)


def test_events_dated_far_apart_cost_each_message_no_more_than_it_holds(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opens a bucket of its own, which every message about buckets used to read; and its author never agrees."""
    alice, bob = pair
    carol = world.guest("carol", alice)
    count = 3 * ENTRIES
    for number in range(count):
        bob.clock_off = -(number + 1 << COARSE)
        bob.ask("sendMessage", target="general", text=f"{number}")
    bob.clock_off = 0
    world.until(lambda: len(carol.texts()) == len(alice.texts()) == count)
    _lie(bob, monkeypatch)
    read: list[int] = []
    buckets = StoreIndex.buckets

    def noted(index: StoreIndex, *asked: int) -> list[tuple[int, Summary]]:
        found = buckets(index, *asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(StoreIndex, "buckets", noted)
    before = len(world.log)
    world.run(20_000)
    exchanged = [1 for _, *ends, _ in world.log[before:] if bob.address in ends]
    assert max(read) == ENTRIES
    assert sum(read) <= 2 * len(exchanged) * ENTRIES, "by who says it, and by who hears it"
    alice.ask("sendMessage", target="general", text="still fast")
    world.until(lambda: "still fast" in carol.texts(), 1_000)


def _lie(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a station's counts and prints are made up, new ones each time."""
    random = Random(2)
    index_for = station.running._index_for

    def lying(account: int, space: int, device: bytes) -> Any:
        index = index_for(account, space, device)
        index.whole = lambda: Summary(random.randrange(10**9), random.getrandbits(256))  # type: ignore[method-assign]
        return index

    monkeypatch.setattr(station.running, "_index_for", lying)
    for session_id, session in station.running._endpoint.sessions():
        session.comparing._index = lying(*_at(station), session_id.peer)


def _at(station: Station) -> tuple[int, int]:
    member = station.home.store.memberships.all()[0]
    return member.account, member.space


def test_a_peer_that_acknowledges_nothing_costs_bounded_memory(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, bob = pair
    ((_, session),) = alice.running._endpoint.sessions()
    del world.stations[bob.address]  # it is there, says nothing more, and is not yet missed
    for _ in range(4):
        alice.ask("sendMessages", target="general", texts=[f"{n}" for n in range(MAX_EAGER // 2)])
        world.run(500)
    assert MAX_EAGER < session._outbox.queued <= MAX_EAGER + PUSH_BATCH
    assert session._flight.out <= MAX_WINDOW
    assert len(session._outbox._busy) <= PUSH_BATCH + MAX_WINDOW * 8
