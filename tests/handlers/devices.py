"""People with several devices, on whole nodes in memory: meeting, linking, and writing what nobody should."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from quire.api.operations import call
from quire.core.keys import DeviceKey
from quire.events.append import append
from quire.events.standing import graph_of
from quire.graph.graph import Graph
from quire.store.memberships import Membership
from tests.node.world import MORNING, Station, World

#: A minute of the world's time (ms), in which everything that can happen has.
LONG = 60_000


class Town(World):
    """A world whose stations are devices of people."""

    def __init__(self, folder: Path, loss: float = 0.0) -> None:
        super().__init__(folder, loss)
        self.ann = self.founder("ann")

    def friend(self, name: str) -> Station:
        """Somebody who has joined ann's space, and is in sync."""
        station = self.guest(name, self.ann)
        self.until(
            lambda: len(self.names(station)) == len(self.names(self.ann)) and self.kind(station) != "joining"
        )
        return station

    def names(self, station: Station) -> list[str]:
        return [one["name"] for one in ask(station, "listMembers", "club")]

    def kind(self, station: Station) -> str:
        return str(ask(station, "listSpaces")[0]["kind"])

    def begin(self, new: Station, old: Station | None = None, name: str = "phone") -> dict[str, Any]:
        """Both devices show digits; gives what the old one shows."""
        old = old or self.ann
        link = ask(old, "linkDevice")["link"]
        ask(new, "joinDevice", link=link, name=name)
        self.until(lambda: {ask(one, "getPairing")["state"] for one in (old, new)} == {"compare"})
        return dict(ask(old, "getPairing"))

    def linked(self, name: str = "phone", old: Station | None = None) -> Station:
        """A further device of ann's, in sync in the club."""
        old = old or self.ann
        new = self.station(name)
        new.up()
        ask(old, "confirmDevice", code=self.begin(new, old, name)["code"])
        self.until(lambda: "club" in spaces(new))
        self.until(lambda: held(new) == held(old))
        return new

    def says(self, station: Station, text: str, space: str = "club") -> None:
        ask(station, "sendMessage", space, target="general", text=text)

    def seen(self, text: str, *stations: Station) -> None:
        """Run until all of them show a message."""
        self.until(lambda: all(text in texts(one) for one in stations))


def ask(station: Station, operation: str, space: str | None = None, /, **params: Any) -> Any:
    return msgspec.to_builtins(call(station, operation, params, None, space))


def spaces(station: Station) -> list[str]:
    return [one["name"] for one in ask(station, "listSpaces")] if ask(station, "listIdentities") else []


def texts(station: Station, space: str = "club") -> list[str]:
    return [one["body_text"] for one in ask(station, "getMessages", space, target="general", limit=1_000)]


def member(station: Station, space: str = "club") -> Membership:
    return next(one for one in station.home.store.memberships.all() if one.name == space)


def held(station: Station, space: str = "club") -> int:
    mine = member(station, space)
    return station.home.store.index(mine.account, mine.space).whole().count


def graph(station: Station, space: str = "club") -> Graph:
    return graph_of(station.home, member(station, space))


def force(station: Station, type_: str, body: dict[str, Any], back: int = 0, **how: Any) -> str:
    """Write an event as no honest program would: unchecked, and dated `back` ms before now. Its id."""
    now = MORNING + station.world.now - back
    clock = station.home.clock(member(station).account)
    clock.__init__()  # type: ignore[misc]  # forget what came before, to date it back
    written = append(station.home, member(station), type_, [body], now)[0]
    station.committed()
    return written.event_id


def counts(station: Station, event_id: str) -> bool:
    return graph(station).counts(event_id)


def knows(station: Station, event_id: str) -> Callable[[], bool]:
    return lambda: graph(station).ledger.node(event_id) is not None


def heads(station: Station) -> list[str]:
    """What a new event of this station would build on."""
    known = graph(station)
    return [node.event_id for node in known.ledger.dag.latest(known.valid)]


def key(seed: str) -> DeviceKey:
    return DeviceKey(seed.encode().ljust(32, b"."))
