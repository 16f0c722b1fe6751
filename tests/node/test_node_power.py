"""Nodes that lose the last commits in a power cut, after peers and relays have had them."""

from pathlib import Path

import pytest

from quire.limits import FORWARD_MS, LOG_PART
from tests.node.power import kept_on_disk, lose_power
from tests.node.relayed import Relayed, alone, pair
from tests.node.world import Station, World


def forks(world: World) -> list[tuple[str, int]]:
    return [
        fork
        for station in world.stations.values()
        for member in station.home.store.memberships.all()
        for fork in station.home.store.blobs.forks_held(member.account, member.space, 10)
    ]


def test_what_peers_had_received_comes_back_and_no_place_of_the_log_is_used_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.founder()
    bob = world.guest("bob", alice)
    alice.ask("sendMessage", target="general", text="long ago")
    world.run(1_000)
    kept = kept_on_disk(alice, tmp_path / "kept")
    alice.ask("sendMessages", target="general", texts=["lost", "and come back"])
    world.run(1_000)
    bob.down()
    lose_power(alice, kept)
    alice.ask("sendMessage", target="general", text="written since")
    bob.up()
    world.run(20_000)
    assert alice.texts() == bob.texts() == ["long ago", "lost", "and come back", "written since"]
    assert forks(world) == []
    world.close()


def test_what_is_on_its_way_back_finds_its_places_free_wherever_it_was(tmp_path: Path) -> None:
    """Twice in a row, the second time with a part of what came back; streams bring it to newcomers as well."""
    world = World(tmp_path)
    alice = world.founder()
    bob = world.guest("bob", alice)
    written = []
    for turn in range(2):
        kept = kept_on_disk(alice, tmp_path / f"kept {turn}")
        texts = [f"{turn} {n}" for n in range(60)]
        alice.ask("sendMessages", target="general", texts=texts)
        world.run(1_000)
        lose_power(alice, kept)
        alice.ask("sendMessage", target="general", text=f"after {turn}")
        written += [*texts, f"after {turn}"]
    world.run(20_000)
    assert alice.texts() == bob.texts() == written
    carol = world.newcomer("carol", bob)
    carol.down()
    carol.up(streams=True)
    world.until(lambda: carol.texts() == written)
    member = carol.home.store.memberships.all()[0]
    heights = carol.home.store.logs(member.account, member.space).heights()
    author = alice.home.store.memberships.all()[0].device
    assert [at.seq // LOG_PART for at in heights if at.device == author] == [0, 1, 2]
    assert forks(world) == []
    world.close()


def faults(station: Station) -> list[str]:
    return [one["fault"] for one in station.space()["relays"][0]["faults"]]


@pytest.mark.parametrize("read", [False, True])
def test_what_only_a_relay_had_received_comes_back_from_it(tmp_path: Path, read: bool) -> None:
    """Alice loses what she posted, and how far she had read; the relay is not accused."""
    world = Relayed(tmp_path)
    alice, bob = pair(world)
    world.run(2 * FORWARD_MS)
    kept = kept_on_disk(alice, tmp_path / "kept")
    alice.ask("sendMessage", target="general", text="lost")
    bob.ask("sendMessage", target="general", text="read, and lost")
    world.run(20_000)
    assert alice.texts() == bob.texts()
    if read:  # what she says next has the number of what she said last
        bob.down()
    lose_power(alice, kept)
    alice.ask("sendMessage", target="general", text="written since")
    world.run(60_000)
    assert sorted(alice.texts()) == ["lost", "read, and lost", "written since"]
    assert faults(alice) == []
    alice.down()
    if read:
        alone(bob, world)
    else:
        world.run(20_000)
    assert bob.texts() == alice.texts()
    assert forks(world) == []
    world.close()


def test_who_lost_all_that_it_wrote_goes_on_where_nothing_was(tmp_path: Path) -> None:
    """Its name too: a newcomer's first event, and all others, are gone; its place in the space is not."""
    world = World(tmp_path)
    alice = world.founder()
    bob = world.newcomer("bob", alice)
    world.until(bob.is_in)
    member = bob.home.store.memberships.all()[0]
    device = bob.home.store.names.device_number(member.space, member.device)
    assert bob.home.store.blobs.head(device)[0] >= 1
    world.run(1_000)
    bob.down()
    with bob.home.store.transaction():
        for table in ("received", "blobs"):
            where = "event IN (SELECT n FROM blobs WHERE device = ?)" if table == "received" else "device = ?"
            bob.home.store.db.execute(f"DELETE FROM {table} WHERE {where}", (device,))
    bob.home.store.power.begin("before")
    bob.down()
    bob.up()
    bob.ask("sendMessage", target="general", text="here again")
    assert bob.home.store.blobs.head(device)[0] == LOG_PART + 1
    world.until(lambda: alice.texts() == ["here again"])
    assert forks(world) == []
    world.close()
