"""A hand-driven peer of one session, which says anything, frame by frame."""

from random import Random

from quire.core.keys import DeviceKey
from quire.limits import MAX_DATAGRAM
from quire.net import wire
from quire.net.link import LINK_OVERHEAD, Door, Link
from quire.net.notices import Address, Notice
from quire.net.session import Session
from quire.net.standing import Standing
from quire.sync import STRATEGIES
from quire.sync.index import END, START
from quire.sync.messages import Filter, encode_filter
from tests.net.driver import SPACE, SPACE_KEY, record
from tests.sync.memory import MemoryIndex

HERE: Address = ("here",)
ELSEWHERE: Address = ("elsewhere",)
US, THEM = DeviceKey(b"u" * 32), DeviceKey(b"t" * 32)
CID = b"their id"
DOOR = Door(SPACE, SPACE_KEY)


class Peer:
    """Speaks to one session, frame by frame."""

    def __init__(
        self, held: int = 0, size: int = 100, rate: int = 10**9, standing: Standing = Standing.MEMBER
    ) -> None:
        self.random = Random(5)
        self.index = MemoryIndex()
        for _ in range(held):
            event_id = self.random.randbytes(32)
            self.index.add(7, event_id, record(event_id, 7, size))
        strategy = STRATEGIES["bloom"](DOOR.sync_key(), self.random.randbytes)
        link = Link(DOOR, US, THEM.public)
        self.session = Session(link, self.index, "bloom", strategy, self.random.randbytes, 0, standing, rate)
        self.link = Link(DOOR, THEM, US.public)
        self.cid, self.echo, self.counter = CID, wire.NO_CID, 0
        self.now = 0
        self.packets: list[tuple[wire.Packet, Address]] = []

    def say(
        self, *frames: bytes, address: Address = HERE, echo: bytes | None = None, counter: int = -1
    ) -> bytes:
        """Send one packet; its payload, for playing it again."""
        if counter < 0:
            counter, self.counter = self.counter, self.counter + 1
        payload = wire.packet(self.cid, self.echo if echo is None else echo, counter, frames)
        self.replay(payload, address)
        return payload

    def replay(self, payload: bytes, address: Address = HERE) -> None:
        self.session.receive(payload, len(payload) + LINK_OVERHEAD, address, self.now)

    def ack(self) -> None:
        """Acknowledge everything heard."""
        self.say(wire.ack(self.packets[-1][0].counter, 2**256 - 1))

    def heard(self) -> list[wire.Packet]:
        """What the session sends now."""
        found = []
        for datagram, address in self.session.datagrams_to_send(self.now):
            assert len(datagram) <= MAX_DATAGRAM
            payload = self.link.open(datagram)
            assert payload is not None
            self.packets.append((wire.read_packet(payload), address))
            found.append(self.packets[-1][0])
        return found

    def frames(self, kind: int) -> list[bytes]:
        """Bodies of one kind among what the session sends now."""
        return [
            body
            for packet in self.heard()
            for found, body in wire.read_frames(packet.frames)
            if found == kind
        ]

    def wait(self, ms: int) -> None:
        """Let time pass, timers running."""
        end = self.now + ms
        self.heard()
        while (due := self.session.next_timer()) <= end:
            self.now = max(self.now, due)
            self.session.handle_timer(self.now)
            self.heard()
            if self.session.next_timer() <= self.now:
                self.now += 1
        self.now = end

    def notices(self) -> list[Notice]:
        found = []
        while (notice := self.session.next_event()) is not None:
            found.append(notice)
        return found

    def rejected(self, reason: str) -> int:
        return self.session.status().rejected.get(reason, 0)

    def meet(self) -> "Peer":
        self.say(wire.hello("bloom"))
        (answer,) = self.heard()
        self.echo = answer.cid
        self.say(wire.hello("bloom"))
        return self


def ask_for_all() -> bytes:
    return wire.frame(wire.SYNC, encode_filter(Filter(bytes(8), START, END, 0, 8, b"")))
