"""Nodes that hold keys of more mailboxes than one connection to a relay opens: all are read, and written to."""

import pytest

from quire.api.operations import call
from quire.limits import FORWARD_MS, OLD_MAILBOX_MS, TICK_MS
from quire.net import relay_client, relay_wire
from quire.net.relay_wire import Hello, Leave, Refusal
from quire.node import relaying
from tests.net.memory_relay import Line, MemoryRelay
from tests.node.relayed import Relayed, founder, pair, state, the_relay
from tests.node.world import Station

MOST = 12


@pytest.fixture
def world(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> Relayed:
    """One in which a connection opens MOST mailboxes."""
    monkeypatch.setattr(relaying, "MAX_MAILBOXES", MOST)
    monkeypatch.setattr(relay_client, "MAX_MAILBOXES", MOST)
    the_relay(relayed).most = MOST
    return relayed


def _rekey(station: Station, times: int) -> None:
    for _ in range(times):
        station.ask("rekeySpace")


def _open(relay: MemoryRelay) -> list[int]:
    return [len(line._open) for line in relay.lines]


def _all_in_sync(world: Relayed, *stations: Station) -> None:
    world.until(lambda: all(state(one) == "in-sync" for one in stations))


def test_who_holds_many_keys_goes_on_using_a_relay(world: Relayed) -> None:
    alice, bob = pair(world)
    _rekey(alice, 2 * MOST)
    world.run(5_000)
    _all_in_sync(world, alice, bob)
    alice.ask("sendMessage", target="general", text="live")
    world.run(20)
    assert bob.texts() == ["live"]
    assert max(_open(the_relay(world))) <= MOST
    assert alice.space()["relays"][0]["unposted"] == 0


def test_who_comes_back_reads_and_writes_under_the_newest_key_at_once(world: Relayed) -> None:
    alice, bob = pair(world)
    bob.down()
    _rekey(alice, 3 * MOST)
    alice.ask("sendMessage", target="general", text="under the newest")
    world.run(30_000)
    alice.down()
    bob.up()
    world.run(60_000)
    assert bob.texts() == ["under the newest"]
    bob.down()
    bob.up()
    world.run(10)
    bob.ask("sendMessage", target="general", text="back again")
    world.run(2 * TICK_MS)
    assert bob.space()["relays"][0]["unposted"] == 0


@pytest.mark.parametrize("frugal", [False, True])
def test_what_somebody_wrote_under_an_old_key_while_away_is_read_in_a_while(
    world: Relayed, frugal: bool
) -> None:
    alice, bob = pair(world)
    bob.down()
    _rekey(alice, 3 * MOST)
    world.run(20_000)
    _all_in_sync(world, alice)
    alice.down()
    alice.up(frugal=frugal)
    world.run(20_000)
    _all_in_sync(world, alice)
    bob.ask("sendMessage", target="general", text="under the first key")
    bob.up()
    world.run(20_000)
    bob.down()
    world.run(OLD_MAILBOX_MS + 40_000)
    assert alice.texts() == ["under the first key"]


def test_nobody_asks_for_old_mailboxes_all_the_time(world: Relayed) -> None:
    alice, bob = pair(world)
    _rekey(alice, 2 * MOST)
    world.run(30_000)
    _all_in_sync(world, alice, bob)
    the_relay(world).heard.clear()
    world.run(OLD_MAILBOX_MS)
    asked = [one for one in the_relay(world).heard if isinstance(one, Hello)]
    assert len(asked) <= 2 * (2 * 2 * MOST + 8)  # each mailbox of each of the two once
    assert len(asked) - MOST <= len([one for one in the_relay(world).heard if isinstance(one, Leave)])


def test_a_relay_that_is_added_later_is_given_what_was_written_under_all_keys(world: Relayed) -> None:
    alice, bob = pair(world)
    texts = []
    for n in range(2 * MOST):
        for station in (alice, bob):
            texts.append(f"{station.name} {n}")
            station.ask("sendMessage", target="general", text=texts[-1])
            world.run(200)
        _rekey(alice, 1)
        world.run(200)
    world.run(30_000)
    second = world.relay("second.example")
    world.relays["wss://second.example/"].most = MOST
    alice.ask("addRelay", address=second)
    world.run(10 * FORWARD_MS)
    assert [one["unposted"] for one in alice.space()["relays"]] == [0, 0]
    del world.relays["wss://relay.example/"]
    world.hang_up_relays()
    link = alice.ask("createInvite")["link"]
    world.run(30_000)
    alice.down()
    bob.down()
    carol = world.station("carol")
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    world.run(60_000)
    assert carol.texts() == texts
    assert max(_open(world.relays["wss://second.example/"])) <= MOST


def test_spaces_share_what_a_connection_opens(world: Relayed) -> None:
    alice, bob = pair(world)
    _rekey(alice, 3 * MOST)
    world.run(30_000)
    alice.ask("createSpace", name="other")
    for space, operation, params in (
        ("other", "addRelay", {"address": world.address}),
        ("other", "sendMessage", {"target": "general", "text": "elsewhere"}),
        ("club", "sendMessage", {"target": "general", "text": "here"}),
    ):
        call(alice, operation, params, None, space)
    world.run(30_000)
    spaces = alice.ask("getStatus")["identities"][0]["spaces"]
    assert [(one["relays"][0]["state"], one["relays"][0]["unposted"]) for one in spaces] == [
        ("in-sync", 0)
    ] * 2
    assert bob.texts() == ["here"]
    assert max(_open(the_relay(world))) <= MOST


def test_a_damaged_mailbox_of_an_old_key_keeps_nothing_from_being_handed_over(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair(world)
    alice.ask("sendMessage", target="general", text="long ago")
    world.run(5_000)
    (damaged,) = (box for box, log in the_relay(world).logs.items() if log[0].record.scope == "space")
    _rekey(alice, 2)
    world.run(10_000)
    honest = Line.receive

    def receive(line: Line, data: bytes) -> None:
        said = relay_wire.read_client(data)
        if isinstance(said, Hello) and said.keys.id == damaged:
            line.out.append(Refusal(said.n, "damaged", 60_000, "The relay's store is damaged."))
        else:
            honest(line, data)

    monkeypatch.setattr(Line, "receive", receive)
    world.hang_up_relays()
    world.run(5_000)
    assert (state(alice), alice.space()["relays"][0]["trouble"]) == (
        "refused",
        "The relay's store is damaged.",
    )
    for turn in range(5):
        alice.ask("sendMessage", target="general", text=str(turn))
        world.run(15_000)
        assert bob.texts() == ["long ago", *(str(n) for n in range(turn + 1))]


def test_a_newcomer_comes_in_while_everybody_sleeps_after_many_keys(world: Relayed) -> None:
    alice = founder(world)
    alice.ask("sendMessage", target="general", text="first")
    _rekey(alice, 3 * MOST)
    alice.ask("sendMessage", target="general", text="last")
    link = alice.ask("createInvite")["link"]
    world.run(30_000)
    alice.down()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.run(60_000)
    assert bob.texts() == ["first", "last"]
