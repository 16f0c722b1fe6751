"""What is told of relays; test_node_relays.py has the rest."""

from pathlib import Path
from typing import Any

import pytest

from quire.limits import FORWARD_MS
from quire.store.relays import Placed, Relays
from tests.node.relayed import Relayed, pair
from tests.node.world import World


def test_a_newcomer_is_told_why_nobody_lets_it_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.founder("alice")
    alice.ask("addRelay", address=world.relay())
    link = alice.ask("createInvite")["link"]
    world.run(5_000)
    alice.down()
    world.relays.clear()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.run(5_000)
    (relay,) = bob.space()["relays"]
    assert (relay["state"], relay["trouble"]) == ("unreachable", "nothing listens there")
    world.close()


def test_a_relay_that_moved_is_called_where_it_is_found_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.founder("alice")
    address = world.relay()
    alice.ask("addRelay", address=address)
    world.until(lambda: alice.space()["relays"][0]["state"] == "in-sync")
    moved = address.replace("relay.example", "moved.example")
    assert alice.ask("addRelay", address=moved)["replaced"] == address
    world.until(lambda: alice.space()["relays"][0]["state"] == "unreachable")
    world.relays["wss://moved.example/"] = world.relays.pop("wss://relay.example/")
    world.until(lambda: alice.space()["relays"][0]["state"] == "in-sync")
    assert [one["address"] for one in alice.space()["relays"]] == [moved]
    world.close()


def test_who_is_in_sync_may_go_to_sleep_and_a_newcomer_comes_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.founder("alice")
    alice.ask("addRelay", address=world.relay())
    world.until(lambda: alice.space()["relays"][0]["state"] == "in-sync")
    link = alice.ask("createInvite")["link"]
    assert alice.space()["relays"][0]["state"] == "syncing"
    world.until(lambda: alice.space()["relays"][0]["state"] == "in-sync")
    alice.down()
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.until(lambda: bob.home.store.memberships.all()[0].content != 0)
    world.close()


def test_what_others_wrote_is_looked_for_again_only_once_it_has_had_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Relayed(tmp_path)
    alice, bob = pair(world)
    world.run(2 * FORWARD_MS)
    looks: list[int] = []
    whole = Relays.others

    def others(self: Relays, *asked: Any) -> list[Placed]:
        found = whole(self, *asked)
        looks.extend([len(found)] if found else [])
        return found

    monkeypatch.setattr(Relays, "others", others)
    for n in range(20):
        alice.ask("sendMessage", target="general", text=f"message {n}")
        world.run(100)
    assert [message["body_text"] for message in bob.ask("getMessages", target="general")][-1] == "message 19"
    assert len(looks) < 20, "not at each message that comes"
    world.run(3 * FORWARD_MS)
    assert 20 in looks, "all were looked through for what the relay lacks"
    world.close()
