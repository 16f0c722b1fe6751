"""The virtual network: what becomes of each datagram between two devices, in virtual time.

Owns: who is at which address, delay, loss, duplication, reordering, corruption, narrow uplinks, partitions (of both
ways or one), clogged and unplugged devices, those behind a NAT, and the tally of it. Must not know: nodes, what
datagrams carry. Every link draws from its own stream, so that what happens on one does not change the luck of another.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from quire.core.address import HostPort
from quire.sim.scenario import Conditions

#: How long (ms) a NAT lets answers through after something was sent to an address.
NAT_MS = 60_000
#: What an uplink holds back before it drops what comes next, as the time (ms) that sending it takes.
QUEUE_MS = 500


class Arrival(NamedTuple):
    """A datagram that has come to the device called `target`; `source` is the address it was sent from."""

    target: str
    source: HostPort
    data: bytes


class _Packet(NamedTuple):
    sender: str
    source: HostPort
    target: HostPort
    data: bytes


@dataclass
class Tally:
    """Of what one device sent; `lost` counts copies that reached nobody."""

    sent: int = 0
    bytes_sent: int = 0
    lost: int = 0
    duplicated: int = 0
    corrupted: int = 0


class Network:
    """Devices by name; times in ms."""

    def __init__(self, seed: int) -> None:
        self.conditions = Conditions()
        self._tally: dict[str, Tally] = {}
        self._seed = seed
        self._at: dict[HostPort, str] = {}
        self._links: dict[tuple[str, HostPort], Random] = {}
        # (when it is handed over, when it arrived, order, what)
        self._transit: list[tuple[int, int, int, _Packet]] = []
        self._order = 0
        self._side: dict[str, int] = {}
        self._unplugged: set[str] = set()  # asked for membership only, never iterated
        #: Pairs (sender, receiver) that nothing passes between, in this direction.
        self._mute: set[tuple[str, str]] = set()
        #: Until when what goes to a device is held up; until when an uplink is busy (ms).
        self._clogged: dict[str, int] = {}
        self._busy: dict[str, float] = {}
        #: By device behind a NAT: when it last sent to each address.
        self._asked: dict[str, dict[HostPort, int]] = {}
        self._digest = blake2b(digest_size=8)

    def place(self, device: str, address: HostPort) -> None:
        """A device is at this address now, and nowhere else."""
        self._at = {at: name for at, name in self._at.items() if name != device}
        self._at[address] = device

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Devices reach only those of their own group (one in no group: those in none)."""
        self._side = {device: side for side, group in enumerate(groups) for device in group}

    def silence(self, senders: Sequence[str], receivers: Sequence[str]) -> None:
        """Nothing that these send reaches those; the other way is open."""
        self._mute |= {(one, other) for one in senders for other in receivers}

    def heal(self) -> None:
        """End all partitions."""
        self._side = {}
        self._mute = set()

    def clog(self, device: str, until: int) -> None:
        """What is sent to a device comes all at once, after this time."""
        self._clogged[device] = until

    def shield(self, device: str) -> None:
        """A device is behind a NAT: only from addresses that it has sent to lately does anything come through."""
        self._asked[device] = {}

    def unplug(self, device: str) -> None:
        """A device has no network."""
        self._unplugged.add(device)

    def plug(self, device: str) -> None:
        """A device has network again."""
        self._unplugged.discard(device)

    def tally(self, device: str) -> Tally:
        """What became of what a device sent."""
        return self._tally.setdefault(device, Tally())

    def send(self, data: bytes, sender: str, source: HostPort, target: HostPort, now: int) -> None:
        """Put a datagram on its way."""
        self._digest.update(b"%d %s %s %d " % (now, source[0].encode(), target[0].encode(), len(data)) + data)
        tally = self.tally(sender)
        tally.sent += 1
        tally.bytes_sent += len(data)
        is_, random = self.conditions, self._link(sender, target)
        queued = self._queue(sender, len(data), now)
        if sender in self._asked:
            self._asked[sender][target] = now
        copies = 1 + (random.random() < is_.duplicate)
        tally.duplicated += copies - 1
        for _ in range(copies):
            if random.random() < is_.loss or queued is None or not self._reaches(sender, target):
                tally.lost += 1
                continue
            if random.random() < is_.corrupt:
                tally.corrupted += 1
                data = _flip(data, random)
            wait = is_.delay_ms + random.randrange(is_.jitter_ms + 1)
            if random.random() < is_.reorder:
                wait += random.randrange(4 * (is_.delay_ms + is_.jitter_ms))
            leaves = max(now + queued, self._clogged.get(self._at[target], 0))
            self._order += 1
            arrives = leaves + wait
            handed = arrives + -arrives % is_.together_ms
            packet = _Packet(sender, source, target, data)
            heapq.heappush(self._transit, (handed, arrives, self._order, packet))

    def _queue(self, sender: str, size: int, now: int) -> int | None:
        """How long (ms) a datagram waits for the uplink of its sender; None when there is no room for it."""
        if not self.conditions.uplink_kb:
            return 0
        begins = max(float(now), self._busy.get(sender, 0.0))
        if begins - now > QUEUE_MS:
            return None
        self._busy[sender] = begins + size / self.conditions.uplink_kb
        return int(self._busy[sender] - now)

    def uplink_takes(self, sender: str, now: int) -> int:
        """When a device puts the next piece of a stream on its uplink: streams leave half of the queue to datagrams,
        as TCP does on average, which fills it until something is lost and then lets go.
        """
        return max(now, int(self._busy.get(sender, 0.0)) - QUEUE_MS // 2)

    def stream_leaves(self, sender: str, receiver: str, size: int, now: int) -> int:
        """Put a piece of a stream on an uplink, which takes it; when it leaves."""
        if self.conditions.uplink_kb:
            begins = max(float(now), self._busy.get(sender, 0.0))
            self._busy[sender] = begins + size / self.conditions.uplink_kb
        clogged = max(self._clogged.get(sender, 0), self._clogged.get(receiver, 0))
        return max(now, int(self._busy.get(sender, 0.0)), clogged)

    def written(self, sender: str, on: str, data: bytes, random: Random, now: int) -> bytes:
        """What becomes of what a device writes `on` a stream; the fingerprint tells of it."""
        self._digest.update(f"{now} {on} {len(data)} ".encode() + data)
        if random.random() >= self.conditions.corrupt:
            return data
        self.tally(sender).corrupted += 1
        return _flip(data, random)

    def named(self, address: HostPort) -> str | None:
        """The device at an address."""
        return self._at.get(address)

    def joins(self, one: str, other: str) -> bool:
        """Whether a stream between two devices carries anything: what goes one way is answered the other."""
        at = {name: address for address, name in self._at.items()}
        return self._reaches(one, at[other]) and self._reaches(other, at[one])

    def lets_call(self, caller: str, called: str) -> bool:
        """Whether one device can open a stream to the other: nobody can to one behind a NAT."""
        return called not in self._asked and self.joins(caller, called)

    def next_arrival(self) -> int | None:
        """When something arrives next."""
        return self._transit[0][0] if self._transit else None

    def arrivals(self, now: int) -> list[Arrival]:
        """What has arrived, in order; what was under way when the path broke is lost."""
        found = []
        while self._transit and self._transit[0][0] <= now:
            sender, source, target, data = heapq.heappop(self._transit)[-1]
            if self._reaches(sender, target) and self._lets_in(self._at[target], source, now):
                found.append(Arrival(self._at[target], source, data))
            else:
                self.tally(sender).lost += 1
        return found

    def fingerprint(self) -> str:
        """Sixteen characters that differ when any datagram ever sent, or anything written on a stream, differs."""
        return self._digest.hexdigest()

    def _reaches(self, sender: str, target: HostPort) -> bool:
        device = self._at.get(target)
        if device is None or sender in self._unplugged or device in self._unplugged:
            return False
        return self._side.get(sender) == self._side.get(device) and (sender, device) not in self._mute

    def _lets_in(self, device: str, source: HostPort, now: int) -> bool:
        asked = self._asked.get(device)
        return asked is None or now - asked.get(source, -NAT_MS - 1) <= NAT_MS

    def _link(self, sender: str, target: HostPort) -> Random:
        link = self._links.get((sender, target))
        if link is None:
            link = self._links[sender, target] = Random(f"{self._seed} link {sender} {target[0]}:{target[1]}")
        return link


def _flip(data: bytes, random: Random) -> bytes:
    """One to four bits flipped."""
    changed = bytearray(data)
    for _ in range(1 + random.randrange(4)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)
