"""Relays that lie, refuse, forget or are gone, and much at once: nodes go on, and tell of it."""

from itertools import pairwise
from typing import Any

import pytest

import quire.node.relaying as relaying
from quire.core.keys import derive
from quire.core.relay_address import parse_relay
from quire.core.ticket import decode_link
from quire.limits import (
    HELLO_EVENT_BYTES,
    HELLO_RECORD_BYTES,
    MAX_LEFT,
    MAX_RELAY_HELLO,
    MAX_RELAY_RECORD,
    MAX_RELAY_REST_MS,
    MAX_RELAY_RETRY_MS,
    POST_BYTES,
    POST_EVENTS,
    RELAY_EAGER_MS,
    RELAY_FORGIVEN_MS,
    RELAY_REST_MS,
    RELAY_RETRY_MS,
    RELAY_SLEPT_MS,
)
from quire.net import left, relay_wire
from quire.net.left import Letter
from quire.net.mailbox import Access, bundles
from quire.net.relay_wire import Add, Hello, Record, Refusal
from quire.node.relay_door import RelayDoor
from quire.store.relays import Use
from tests.net.memory_relay import Line, MemoryRelay
from tests.node.relayed import Relayed, founder, pair, state, the_relay
from tests.node.world import MORNING, Station


@pytest.fixture
def world(relayed: Relayed) -> Relayed:
    return relayed


def _forget_last(relay: MemoryRelay) -> None:
    for log in relay.logs.values():
        del log[len(log) // 2 :]


def _swap(relay: MemoryRelay) -> None:
    for log in relay.logs.values():
        log[:2] = log[1::-1]


@pytest.mark.parametrize("lie", [_forget_last, _swap])
def test_a_relay_that_lied_is_told_of_and_what_it_lost_is_handed_over_anew(world: Relayed, lie: Any) -> None:
    alice, bob = pair(world)
    for number in range(6):
        alice.ask("sendMessage", target="general", text=str(number))
    world.run(10_000)
    alice.down()
    bob.down()
    lie(the_relay(world))
    alice.up()
    world.run(60_000)
    (relay,) = alice.space()["relays"]
    assert relay["faults"][0]["misdeed"] in ("rolled-back", "rewritten")
    assert "vouched for" in relay["faults"][0]["meaning"]
    assert relay["state"] == "in-sync"
    link = alice.ask("createInvite")["link"]
    world.run(5_000)
    alice.down()
    carol = world.station("carol")
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    world.run(30_000)
    assert carol.texts() == [str(number) for number in range(6)]


def test_a_relay_that_goes_on_lying_is_left_alone(world: Relayed) -> None:
    alice, _ = pair(world)
    for number in range(20):
        alice.ask("sendMessage", target="general", text=str(number))
    for _ in range(4):
        world.run(10_000)
        _forget_last(the_relay(world))
        world.hang_up_relays()
    world.run(10_000)
    before = len(the_relay(world).heard)
    (relay,) = alice.space()["relays"]
    assert (relay["state"], relay["trouble"]) == ("unreachable", relaying._AGAIN)
    assert 10_000 < relay["retry_ts"] - MORNING - world.now <= RELAY_REST_MS << 4
    assert relay["unposted"] > 0, "it is not said to have what it may have lost"
    world.run(relay["retry_ts"] - MORNING - world.now - 1_000)
    assert len(the_relay(world).heard) == before, "nobody's question changes that"
    world.run(60_000)
    assert state(alice) == "in-sync"


def test_however_often_it_breaks_its_word_it_is_tried_again_some_day() -> None:
    line = relaying._Line(parse_relay("wss://relay.example/#" + "A" * 43))
    rests = [relaying._rest(line, Use(1, 1, 1), now) for now in range(9)]
    assert rests[:3] == [0, RELAY_REST_MS, 4 * RELAY_REST_MS]
    assert rests[-1] == MAX_RELAY_REST_MS
    assert relaying._rest(line, Use(1, 2, 1), 9) == 0  # in another space it is the first time
    assert relaying._rest(line, Use(1, 1, 1), 9 + RELAY_FORGIVEN_MS) == 0


def _restored(world: Relayed, station: Station) -> None:
    """An older copy is put back; until it is told of."""
    _forget_last(the_relay(world))
    world.hang_up_relays()
    known = [one["ts"] for one in station.space()["relays"][0]["faults"]]
    world.until(lambda: [one["ts"] for one in station.space()["relays"][0]["faults"]] != known)


def test_an_older_copy_that_is_put_back_twice_is_soon_forgiven(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RELAY_FORGIVEN_MS > RELAY_REST_MS
    monkeypatch.setattr(relaying, "RELAY_FORGIVEN_MS", 20 * 60_000)
    alice, _ = pair(world)
    for number in range(8):
        alice.ask("sendMessage", target="general", text=str(number))
    world.run(10_000)
    for soon in (10_000, RELAY_REST_MS + 10_000):
        _restored(world, alice)
        world.until(lambda: state(alice) == "in-sync", most=soon)
    world.run(20 * 60_000)
    _restored(world, alice)
    world.until(lambda: state(alice) == "in-sync", most=10_000)


def test_another_relay_in_its_place_for_a_moment_is_no_reason_to_leave_it_alone(world: Relayed) -> None:
    alice, _ = pair(world)
    right = the_relay(world)
    world.relays["wss://relay.example/"] = MemoryRelay(bytes([9] * 32))
    world.hang_up_relays()
    world.run(20_000)
    (relay,) = alice.space()["relays"]
    assert relay["state"] == "unreachable"
    assert "it has another key than its address here" in relay["trouble"]
    world.relays["wss://relay.example/"] = right
    alice.ask("getStatus")
    _soon(world)
    assert state(alice) == "in-sync"


@pytest.mark.slow
def test_a_relay_that_is_gone_is_tried_again_and_again_but_not_too_often(world: Relayed) -> None:
    alice, bob = pair(world)
    gone = world.relays.pop("wss://relay.example/")
    world.hang_up_relays()
    alice.ask("sendMessage", target="general", text="while it is gone")
    world.run(MAX_RELAY_RETRY_MS)
    (relay,) = alice.space()["relays"]
    assert relay["state"] == "unreachable"
    assert relay["unposted"] == 1
    assert relay["trouble"] == "nothing listens there"
    assert relay["retry_ts"] == 0  # at once: somebody looks
    world.relays["wss://relay.example/"] = gone
    world.run(2 * MAX_RELAY_RETRY_MS + 5_000)
    assert bob.texts() == ["while it is gone"]


def _down_for_long(world: Relayed) -> MemoryRelay:
    """The relay is gone until nobody tries it for minutes, and then is back."""
    gone = world.relays.pop("wss://relay.example/")
    world.hang_up_relays()
    world.run(3 * MAX_RELAY_RETRY_MS)
    world.relays["wss://relay.example/"] = gone
    gone.heard.clear()
    world.run(RELAY_RETRY_MS)
    return gone


def _soon(world: Relayed) -> None:
    world.run(2 * RELAY_EAGER_MS + 3_000)


def _wakes(alice: Station) -> None:
    alice.clock_off += RELAY_SLEPT_MS


def _writes(alice: Station) -> None:
    alice.ask("sendMessage", target="general", text="I write")


def _looks(alice: Station) -> None:
    alice.ask("getStatus")


@pytest.mark.parametrize("reason", [_writes, _looks, _wakes])
def test_a_relay_that_was_down_for_long_is_found_soon_where_there_is_reason(
    world: Relayed, reason: Any
) -> None:
    alice, _ = pair(world)
    relay = _down_for_long(world)
    _soon(world)
    assert not relay.heard, "nobody tries it without a reason"
    reason(alice)
    _soon(world)
    assert relay.heard
    assert state(alice) == "in-sync"


def test_another_peer_that_is_reached_is_a_reason(world: Relayed) -> None:
    alice, bob = pair(world)
    relay = _down_for_long(world)
    world.walls.clear()
    world.until(lambda: alice.connected() == 1)
    _soon(world)
    assert relay.heard
    assert state(bob) == "in-sync"


def test_reasons_without_end_make_no_storm(world: Relayed) -> None:
    alice, _ = pair(world)
    del world.relays["wss://relay.example/"]
    world.hang_up_relays()
    before = alice.running.relaying._last_number
    for number in range(600):
        alice.ask("sendMessage", target="general", text=str(number))
        world.run(500)
    tried = alice.running.relaying._last_number - before
    assert 600 * 500 // (2 * RELAY_EAGER_MS) - 1 <= tried <= 600 * 500 // RELAY_EAGER_MS + 5


def test_no_reason_counts_against_the_time_that_a_relay_told(world: Relayed) -> None:
    alice, _ = pair(world)
    away = relay_wire.encode(Refusal(0, "going-away", 10 * RELAY_EAGER_MS, "Not now."))
    alice.running.receive_relay(_number(alice), away, world.now)
    the_relay(world).heard.clear()
    world.run(100)
    for _ in range(9):
        _writes(alice)
        world.run(RELAY_EAGER_MS)
    assert not [one for one in the_relay(world).heard if isinstance(one, Hello)]
    world.run(3 * RELAY_EAGER_MS)
    assert state(alice) == "in-sync"


def _number(station: Station) -> int:
    return next(line.number for line in station.running.relaying._lines.values())


@pytest.mark.parametrize("bound", [POST_EVENTS, POST_BYTES // 3_000])
def test_much_is_handed_over_in_parts(world: Relayed, bound: int) -> None:
    """More events than are looked at once, and more bytes than are on their way at once."""
    alice = founder(world)
    size = 3_000 if bound < POST_EVENTS else 1
    texts = ["x" * size + str(n) for n in range(bound + 50)]
    for start in range(0, len(texts), 500):
        alice.ask("sendMessages", target="general", texts=texts[start : start + 500])
    world.run(5_000)
    posts = [one for one in the_relay(world).heard if isinstance(one, Hello | Add) and one.records]
    sizes = [sum(len(record.data) for record in post.records) for post in posts]
    assert len(posts) > 1
    assert max(sizes) < POST_BYTES * 1.13 + MAX_RELAY_RECORD
    assert alice.space()["relays"][0]["unposted"] == 0


@pytest.mark.parametrize("text", ["x" * 3_000, "\U0001f351" * 15_000])
def test_no_more_goes_with_a_greeting_than_a_relay_takes_of_strangers(world: Relayed, text: str) -> None:
    alice, bob = pair(world)
    alice.down()
    texts = [f"{number} {text}" for number in range(2 * HELLO_EVENT_BYTES // len(text) + 1)]
    alice.ask("sendMessages", target="general", texts=texts)
    the_relay(world).heard.clear()
    alice.up()
    world.run(20_000)
    hellos = [one for one in the_relay(world).heard if isinstance(one, Hello)]
    assert hellos
    assert max(len(relay_wire.encode(one)) for one in hellos) <= MAX_RELAY_HELLO
    assert max(sum(len(one.data) for one in hello.records) for hello in hellos) <= HELLO_RECORD_BYTES
    assert any(hello.records for hello in hellos) == (len(text) < HELLO_EVENT_BYTES // 3)
    assert bob.texts() == texts


def test_a_door_full_of_letters_is_kept_in_mind_as_far_as_it_goes(world: Relayed) -> None:
    """Whoever has a link can fill it; newcomers come in by the latest all the same."""
    alice = founder(world)
    link = alice.ask("createInvite")["link"]
    world.run(3_000)
    ticket = decode_link(link)
    door = Access(
        derive(ticket.link_key, "quire relay door"), the_relay(world).key.public, b"m" * 32, "friend"
    )
    noise = [left.pack(Letter(b"m" * 32, b"", b"x%d" % n)) for n in range(MAX_LEFT + 500)]
    for local, some in enumerate(bundles(noise)):
        the_relay(world).add(door.id, b"m" * 32, Record(local + 1, 1, "friend", door.seal(some, bytes(24))))
    world.run(3_000)
    (kept,) = [
        use
        for line in alice.running.relaying._lines.values()
        for use in line.uses.values()
        if isinstance(use, RelayDoor)
    ]
    assert len(kept._left) == MAX_LEFT
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    world.walls.add(frozenset((alice.address, bob.address)))
    bob.up()
    world.until(bob.is_in)


def test_a_relay_that_refuses_is_asked_again_in_a_while_and_told_of(world: Relayed) -> None:
    alice, bob = pair(world)
    line = the_relay(world).lines[0]
    honest = line.receive
    refused: list[int] = []

    def refuse(data: bytes) -> None:
        said = relay_wire.read_client(data)
        if isinstance(said, Add) and len(refused) < 3:
            refused.append(world.now)
            line.out.append(Refusal(said.n, "full", 10 * RELAY_RETRY_MS, "There is no room for it."))
        else:
            honest(data)

    line.receive = refuse  # type: ignore[method-assign]
    alice.ask("sendMessage", target="general", text="let me in")
    bob.ask("sendMessage", target="general", text="me too")
    world.run(5_000)
    told = {station.name: station.space()["relays"][0] for station in (alice, bob)}
    assert [(one["state"], one["trouble"], one["unposted"]) for one in told.values() if one["trouble"]] == [
        ("refused", "There is no room for it.", 1)
    ]
    again = [one["retry_ts"] for one in told.values() if one["retry_ts"]]
    assert again == [MORNING + refused[0] + 10 * RELAY_RETRY_MS]
    world.run(60_000)
    assert len(refused) == 3
    assert all(later - sooner >= 10 * RELAY_RETRY_MS for sooner, later in pairwise(refused))
    assert alice.texts() == bob.texts()
    told = {station.name: station.space()["relays"][0] for station in (alice, bob)}
    assert {(one["state"], one["retry_ts"]) for one in told.values()} == {("in-sync", 0)}


def test_a_mailbox_that_is_opened_later_is_no_trouble_any_more(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be handed over, so that no answer to that could tell it."""
    alice, _ = pair(world)
    honest, until = Line.receive, world.now + 4 * RELAY_RETRY_MS

    def busy(line: Line, data: bytes) -> None:
        said = relay_wire.read_client(data)
        if isinstance(said, Hello) and world.now < until:
            line.out.append(Refusal(said.n, "rate", 5 * RELAY_RETRY_MS, "Too much at once."))
        else:
            honest(line, data)

    monkeypatch.setattr(Line, "receive", busy)
    world.hang_up_relays()
    world.run(3 * RELAY_RETRY_MS)
    assert state(alice) == "refused"
    assert alice.space()["relays"][0]["trouble"] == "Too much at once."
    world.run(20 * RELAY_RETRY_MS)
    assert state(alice) == "in-sync"
    assert alice.space()["relays"][0]["trouble"] == ""


def test_what_a_relay_has_removed_is_told_and_the_rest_is_read(world: Relayed) -> None:
    alice, bob = pair(world)
    bob.down()
    for number in range(6):
        alice.ask("sendMessage", target="general", text=str(number))
        world.run(50)
    relay = the_relay(world)
    (busiest,) = [mailbox for mailbox, log in relay.logs.items() if len(log) >= 6]
    relay.pruned[busiest] = len(relay.logs[busiest]) - 2
    alice.down()
    bob.up()
    world.run(5_000)
    assert bob.texts() == ["4", "5"]
    assert bob.space()["relays"][0]["missed"] == 4
    assert bob.space()["relays"][0]["faults"] == []
    world.walls.clear()
    alice.up()
    world.run(20_000)
    assert bob.texts() == [str(number) for number in range(6)]
