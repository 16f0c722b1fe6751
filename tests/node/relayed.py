"""People who use a relay, on a network in memory, and never meet."""

from pathlib import Path

from tests.net.memory_relay import MemoryRelay
from tests.node.world import Station, World


class Relayed(World):
    """A world in which a relay stands, at `address`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.address = self.relay()


def the_relay(world: Relayed) -> MemoryRelay:
    return world.relays["wss://relay.example/"]


def founder(world: Relayed, name: str = "alice") -> Station:
    alice = world.founder(name)
    alice.ask("addRelay", address=world.address)
    return alice


def pair(world: Relayed) -> tuple[Station, Station]:
    """Two who know each other, and never meet again: there is a wall between them."""
    alice = founder(world)
    bob = world.guest("bob", alice)
    world.until(lambda: state(bob) == "in-sync" and state(alice) == "in-sync")
    world.walls.add(frozenset((alice.address, bob.address)))
    world.uncallable |= {alice.address, bob.address}
    return alice, bob


def state(station: Station) -> str:
    relays = station.space()["relays"]
    return str(relays[0]["state"]) if relays else ""


def alone(station: Station, world: Relayed, duration: int = 30_000) -> None:
    """A while in which this one alone is up."""
    station.up()
    world.run(duration)
    station.down()


def kept(world: Relayed) -> list[bytes]:
    return [one.record.data for log in the_relay(world).logs.values() for one in log]


def forget_content(world: Relayed) -> None:
    """What a relay's retention by age comes to: all content that lies there by now goes."""
    relay = the_relay(world)
    for mailbox, log in relay.logs.items():
        if {one.record.scope for one in log} == {"space"}:
            relay.pruned[mailbox] = len(log)
