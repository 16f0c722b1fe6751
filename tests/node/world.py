"""Whole nodes with real homes, on a network in memory, in virtual time; everything follows from the names."""

import heapq
import shutil
from hashlib import shake_256
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec

from quire.api.host import Health, PeerStatus, RelayStatus
from quire.api.operations import call
from quire.core.address import HostPort, format_address
from quire.core.vault import Vault
from quire.events.home import Home
from quire.handlers import REGISTRY
from quire.net import relay_wire
from quire.net.streams import Call, HangUp
from quire.node import Arrived, Mistake, Node, NodeEvent, Trouble
from quire.node.relaying import RelayCall, RelayHangUp
from quire.runtime.host import relay_statuses
from quire.sim.pipes import End, Pipes
from quire.store.memberships import JOINING
from tests.net.memory_relay import Line, MemoryRelay

#: The time of day at the start (ms).
MORNING = 1_790_000_000_000
#: What seals the private keys of every home made here.
VAULT = Vault(bytes(range(32)))


class Station:
    """One home, and the node on it while it runs. It is what the API's operations take for a host."""

    def __init__(self, world: "World", folder: Path, name: str, address: HostPort) -> None:
        self.world = world
        self.name = name
        self.address = address
        self.path = folder / f"{name}.db"
        #: How far this station's clock is wrong (ms).
        self.clock_off = 0
        self.told: list[Arrived | Trouble] = []
        #: Mistakes that the node lived through, where a test bears them: else they are raised.
        self.mistakes: list[Mistake] = []
        self.bears_mistakes = False
        self._count = 0
        self._runs = self._boots = 0
        self.home = Home(self.path, REGISTRY, self._entropy, VAULT)
        self.node: Node | None = None

    def _entropy(self, size: int) -> bytes:
        self._count += 1
        return shake_256(f"{self.name} {self._runs} {self._count}".encode()).digest(size)

    # --- running

    @property
    def running(self) -> Node:
        assert self.node is not None
        return self.node

    def up(self, strategy: str = "sketch", streams: bool = False, frugal: bool = False) -> None:
        """Start a node: a new run, on the same home; `streams`: it can be called, and calls."""
        self._runs += 1
        self.home.store.power.begin(f"boot {self._boots}")
        ahead = MORNING + self.clock_off
        own = (format_address(*self.address),)
        self.node = Node(self.home, strategy, self.world.now, ahead, own, streams, frugal)
        self.world.stations[self.address] = self

    def hear(self, event: NodeEvent) -> None:
        """Keep what the node told. Raises a mistake that no test bears."""
        if isinstance(event, Mistake):
            self.mistakes.append(event)
            if not self.bears_mistakes:
                raise event.error
        elif isinstance(event, Arrived | Trouble):
            self.told.append(event)

    def hear_out(self) -> None:
        """Whatever the node has not come to tell of."""
        while self.node is not None and (event := self.node.next_event()) is not None:
            self.hear(event)

    def down(self, kept: Path | None = None) -> None:
        """Stop it and open the home anew, as a new process would; after a power cut that left the files in `kept`."""
        self.hear_out()
        self.world.stations.pop(self.address, None)
        self.world.pipes.drop(self.name, self.world.now)
        self.world.leave_relays(self.name)
        self.node = None
        self.home.close()
        if kept is not None:
            for file in self.path.parent.glob(f"{self.path.name}*"):
                file.unlink()
            shutil.copytree(kept, self.path.parent, dirs_exist_ok=True)
            self._boots += 1
        self.home = Home(self.path, REGISTRY, self._entropy, VAULT)
        self.home.store.power.came_back(f"boot {self._boots}")

    def move(self, address: HostPort) -> None:
        """Be at another address from now on, without knowing it."""
        del self.world.stations[self.address]
        self.address = address
        self.world.stations[address] = self

    # --- the host of operations

    def now(self) -> int:
        return MORNING + self.clock_off + self.world.now

    def addresses(self) -> tuple[str, ...]:
        return self.node.addresses if self.node is not None else ()

    def health(self) -> Health:
        return Health()

    def committed(self) -> None:
        if self.node is not None:
            self.node.committed(self.world.now)

    def peers(self, account: int, space: int) -> list[PeerStatus]:
        return []

    def relays(self, account: int, space: int) -> list[RelayStatus]:
        member = self.home.store.memberships.get(account, space)
        return [] if self.node is None else relay_statuses(self.node, member, self.world.now)

    async def changed(self, cursor: int) -> None:
        raise NotImplementedError

    def ask(self, operation: str, _as: str | None = None, /, **params: Any) -> Any:
        return msgspec.to_builtins(call(self, operation, params, _as))

    def texts(self, target: str = "general") -> list[str]:
        return [m["body_text"] for m in self.ask("getMessages", target=target, limit=1_000)]

    def troubles(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Trouble)]

    def is_in(self) -> bool:
        """Whether the first identity has the key of its first space, and has heard of its own admission."""
        member = self.home.store.memberships.all()[0]
        return member.kind != JOINING and any(p["pubkey"] == member.account_id for p in self.ask("getPeers"))

    def joining(self) -> str:
        """Where joining stands, in words."""
        return str(self.space()["joining"])

    def space(self) -> Any:
        """The status of the first identity's first space."""
        return self.ask("getStatus")["identities"][0]["spaces"][0]

    def account(self) -> str:
        """The public key of the first identity."""
        return self.home.store.memberships.all()[0].account_id

    def connected(self) -> int:
        """To how many peers, in the first space of the first identity."""
        members = self.home.store.memberships.all()
        return sum(status.connected for status in self.running.sessions(members[0]).values())


class World:
    """Delays each datagram by 5 ms and loses a share of them; nothing goes from one end of a wall to the other."""

    def __init__(self, folder: Path, loss: float = 0.0, seed: int = 1) -> None:
        self.folder = folder
        self.loss = loss
        self.now = 1_000
        self.walls: set[frozenset[HostPort]] = set()
        #: Where only those get through whom something was sent to before.
        self.shielded: set[HostPort] = set()
        self._asked: set[tuple[HostPort, HostPort]] = set()
        self.stations: dict[HostPort, Station] = {}
        self.log: list[tuple[int, HostPort, HostPort, bytes]] = []
        self._random = Random(seed)
        self.pipes = Pipes()
        #: Whom no stream can be opened to.
        self.uncallable: set[HostPort] = set()
        #: Streams that somebody tried to open: when, and who.
        self.calls: list[tuple[int, str]] = []
        #: Bytes that streams carried, by who wrote them.
        self.streamed: dict[str, int] = {}
        self._transit: list[tuple[int, int, bytes, HostPort, HostPort]] = []
        #: Relays by URL, and who is connected to which.
        self.relays: dict[str, MemoryRelay] = {}
        self._lines: dict[tuple[str, int], Line] = {}

    def station(self, name: str) -> Station:
        number = len(list(self.folder.glob("*.db"))) + 1
        return Station(self, self.folder, name, (f"10.0.0.{number}", 7_000))

    def founder(self, name: str = "alice") -> Station:
        station = self.station(name)
        station.ask("createIdentity", name=name)
        station.ask("createSpace", name="club")
        station.up()
        return station

    def newcomer(self, name: str, host: Station, **invite: Any) -> Station:
        """A station that has a link, and runs; nobody has let it in yet."""
        station = self.station(name)
        station.ask("joinSpace", link=host.ask("createInvite", **invite)["link"], name=name)
        station.up()
        return station

    def guest(self, name: str, host: Station) -> Station:
        """A station that was let in, and knows it."""
        station = self.newcomer(name, host)
        self.until(station.is_in)
        return station

    def run(self, duration: int) -> None:
        """Let `duration` ms pass."""
        end = self.now + duration
        for _ in range(100_000):
            for station in list(self.stations.values()):
                self._pump(station)
            due = [station.running.next_timer() for station in self.stations.values()]
            due += [self._transit[0][0]] if self._transit else []
            due += [at] if (at := self.pipes.due()) is not None else []
            now = max(self.now, min(due, default=end))
            if now >= end:
                self.now = end
                return
            self.now = now
            self._deliver()
            for station in list(self.stations.values()):
                station.running.wall_ahead = MORNING + station.clock_off
                if self.now >= station.running.next_timer():
                    station.running.handle_timer(self.now)
        raise AssertionError("time stands still: some timer is always due")

    def until(self, check: Any, most: int = 60_000) -> int:
        """Run until `check()`; the ms that took."""
        start = self.now
        while not check():
            assert self.now - start < most
            self.run(100)
        return self.now - start

    def _pump(self, station: Station) -> None:
        for data, target in station.running.datagrams_to_send(self.now):
            self.log.append((self.now, station.address, target, data))
            self._asked.add((station.address, target))
            if self._random.random() >= self.loss and {station.address, target} not in self.walls:
                self.send(data, station.address, target)
        while (event := station.running.next_event()) is not None:
            if isinstance(event, Call):
                self._call(station, event)
            elif isinstance(event, HangUp):
                self._write(station)
                self.pipes.close(End(station.name, event.number), self.now + 5)
            elif isinstance(event, RelayCall):
                self._call_relay(station, event)
            elif isinstance(event, RelayHangUp):
                self._lines.pop((station.name, event.number), None)
            else:
                station.hear(event)
        self._write(station)
        self._speak_to_relays(station)

    def _call(self, station: Station, call: Call) -> None:
        target = cast(HostPort, call.address)
        self.calls.append((self.now, station.name))
        called = self.stations.get(target)
        number = None
        if (
            called is not None
            and {station.address, target} not in self.walls
            and target not in self.uncallable
        ):
            number = called.running.stream_called(self.now)
        if called is None or number is None:
            self.pipes.refuse(End(station.name, call.number), self.now + 5)
        else:
            self.pipes.join(End(station.name, call.number), End(called.name, number))

    def relay(self, name: str = "relay.example", page: int = 100) -> str:
        """A relay that stands there from now on; its address."""
        seed = shake_256(name.encode()).digest(32)
        url = f"wss://{name}/"
        self.relays[url] = MemoryRelay(seed, page)
        return f"{url}#{self.relays[url].key.text}"

    def _call_relay(self, station: Station, call: RelayCall) -> None:
        relay = self.relays.get(call.url)
        if relay is None:
            station.running.relay_closed(call.number, "nothing listens there", self.now)
        else:
            self._lines[station.name, call.number] = relay.connect()
            station.running.relay_opened(call.number, self.now)

    def leave_relays(self, name: str) -> None:
        """A station is gone, with its connections."""
        for key in [key for key in self._lines if key[0] == name]:
            line = self._lines.pop(key)
            for relay in self.relays.values():
                relay.lines = [one for one in relay.lines if one is not line]

    def hang_up_relays(self, why: str = "it closed the connection") -> None:
        """All connections to relays break."""
        named = {station.name: station for station in self.stations.values()}
        for (name, number), line in list(self._lines.items()):
            del self._lines[name, number]
            for relay in self.relays.values():
                relay.lines = [one for one in relay.lines if one is not line]
            if name in named:
                named[name].running.relay_closed(number, why, self.now)

    def _speak_to_relays(self, station: Station) -> None:
        for (name, number), line in list(self._lines.items()):
            if name == station.name:
                for data in station.running.relaying.to_send(number):
                    line.receive(data)
                said, line.out = line.out, []
                for message in said:
                    station.running.receive_relay(number, relay_wire.encode(message), self.now)

    def _write(self, station: Station) -> None:
        for end in self.pipes.ends(station.name):
            while self.pipes.has_room(end) and (data := station.running.stream_to_send(end.number, self.now)):
                self.streamed[station.name] = self.streamed.get(station.name, 0) + len(data)
                self.pipes.write(end, data, self.now + 5)

    def send(self, data: bytes, source: HostPort, target: HostPort) -> None:
        heapq.heappush(self._transit, (self.now + 5, len(self.log), data, source, target))

    def cut(self, *names: str) -> None:
        """Break the streams that these stations have."""
        self.pipes.cut(lambda a, b: not {a, b} & set(names), self.now)

    def _deliver(self) -> None:
        named = {station.name: station for station in self.stations.values()}
        for end, data in self.pipes.arrived(self.now):
            if data is None:
                named[end.device].running.stream_closed(end.number, self.now)
            else:
                named[end.device].running.receive_stream(end.number, data, self.now)
        while self._transit and self._transit[0][0] <= self.now:
            _, _, data, source, target = heapq.heappop(self._transit)
            if target in self.shielded and (target, source) not in self._asked:
                continue
            if target in self.stations:
                self.stations[target].running.receive_datagram(data, source, self.now)

    def close(self) -> None:
        for station in self.stations.values():
            station.home.close()
        for station in self.stations.values():
            station.hear_out()
