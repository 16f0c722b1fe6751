"""The virtual network: what becomes of each datagram between two devices, in virtual time.

Owns: who is at which address, delay, loss, duplication, reordering, corruption, partitions, unplugged
devices, and the tally of it. Must not know: nodes, what datagrams carry. Every link draws from its own
stream, so that what happens on one does not change the luck of another.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from quire.core.address import HostPort
from quire.sim.scenario import Conditions


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
        self._transit: list[tuple[int, int, _Packet]] = []
        self._order = 0
        self._side: dict[str, int] = {}
        self._unplugged: set[str] = set()  # asked for membership only, never iterated
        self._digest = blake2b(digest_size=8)

    def place(self, device: str, address: HostPort) -> None:
        """A device is at this address now, and nowhere else."""
        self._at = {at: name for at, name in self._at.items() if name != device}
        self._at[address] = device

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Devices reach only those of their own group (one in no group: those in none)."""
        self._side = {device: side for side, group in enumerate(groups) for device in group}

    def heal(self) -> None:
        """End the partition."""
        self._side = {}

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
        copies = 1 + (random.random() < is_.duplicate)
        tally.duplicated += copies - 1
        for _ in range(copies):
            if random.random() < is_.loss or not self._reaches(sender, target):
                tally.lost += 1
                continue
            if random.random() < is_.corrupt:
                tally.corrupted += 1
                data = _flip(data, random)
            wait = is_.delay_ms + random.randrange(is_.jitter_ms + 1)
            if random.random() < is_.reorder:
                wait += random.randrange(4 * (is_.delay_ms + is_.jitter_ms))
            self._order += 1
            heapq.heappush(self._transit, (now + wait, self._order, _Packet(sender, source, target, data)))

    def next_arrival(self) -> int | None:
        """When something arrives next."""
        return self._transit[0][0] if self._transit else None

    def arrivals(self, now: int) -> list[Arrival]:
        """What has arrived, in order; what was under way when the path broke is lost."""
        found = []
        while self._transit and self._transit[0][0] <= now:
            sender, source, target, data = heapq.heappop(self._transit)[2]
            if self._reaches(sender, target):
                found.append(Arrival(self._at[target], source, data))
            else:
                self.tally(sender).lost += 1
        return found

    def fingerprint(self) -> str:
        """Sixteen characters that differ when any datagram ever sent differs."""
        return self._digest.hexdigest()

    def _reaches(self, sender: str, target: HostPort) -> bool:
        device = self._at.get(target)
        if device is None or sender in self._unplugged or device in self._unplugged:
            return False
        return self._side.get(sender) == self._side.get(device)

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
