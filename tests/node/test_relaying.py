"""What is told of relays; tests/test_node_relays.py has the rest."""

from pathlib import Path

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
