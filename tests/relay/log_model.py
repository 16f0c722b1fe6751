"""What a log store has to come to, kept in plain lists: the judge of every real one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from quire.net.relay_wire import NO_CHAIN, SCOPES, Record, Scope, digest, link, sort_key
from quire.relay.log_store import Appended, Kept, Part, Position, Pruned, Retention, Tip

T0 = 1_700_000_000_000
#: What goes by its age.
CONTENT: Sequence[Scope] = ("space",)


def name(*words: object) -> bytes:
    """32 bytes for a mailbox or a device."""
    return sha256(repr(words).encode()).digest()


def records(
    first: int, count: int, size: int = 20, ts: int = T0, seed: int = 0, scopes: Sequence[Scope] = SCOPES
) -> list[Record]:
    """Records with the local numbers from `first` on; the same number gives the same record."""
    return [
        Record(n, ts + n, scopes[n % len(scopes)], name(seed, n)[:4].ljust(size, b"."))
        for n in range(first, first + count)
    ]


def sorted_as(kept: Kept) -> str:
    return sort_key(kept.record.ts, kept.record.local, kept.device)


class _Arrived(NamedTuple):
    kept: Kept
    chain: bytes
    now: int


@dataclass
class Box:
    log: list[_Arrived] = field(default_factory=list)
    floor: int = 0
    local: dict[bytes, int] = field(default_factory=dict)
    synced: dict[bytes, int] = field(default_factory=dict)

    @property
    def tip(self) -> Tip:
        return Tip(len(self.log), self.chain_at(len(self.log)))

    @property
    def held(self) -> list[_Arrived]:
        return self.log[self.floor :]

    def chain_at(self, place: int) -> bytes:
        return self.log[place - 1].chain if place else NO_CHAIN

    def size(self) -> int:
        return sum(len(one.kept.record.data) for one in self.held)


class Model:
    """A log store without a disk."""

    def __init__(self) -> None:
        self.boxes: dict[bytes, Box] = {}

    def append(self, mailbox: bytes, device: bytes, added: Sequence[Record], now: int) -> Appended:
        box = self.boxes.setdefault(mailbox, Box())
        had = box.local.get(device, 0)
        for record in added:
            if record.local > box.local.get(device, 0):
                box.local[device] = record.local
                hashed = digest(device, record)
                kept = Kept(len(box.log) + 1, device, record, hashed)
                box.log.append(_Arrived(kept, link(box.tip.chain, [hashed]), now))
        return Appended(had, box.local.get(device, 0), box.tip, box.size())

    def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        box = self.boxes.get(mailbox, Box())
        after = min(max(after, box.floor), len(box.log))
        found: list[Kept] = []
        for one in box.log[after : after + most_records]:
            most_bytes -= len(one.kept.record.data)
            if found and most_bytes < 0:
                break
            found.append(one.kept)
        return Part(after + 1, box.chain_at(after), found, box.tip)

    def range(self, mailbox: bytes, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
        held = [one.kept for one in self.boxes.get(mailbox, Box()).held]
        held.sort(key=sorted_as, reverse=newest)
        return [kept for kept in held if low <= sorted_as(kept) < high][:limit]

    def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        box = self.boxes.get(mailbox, Box())
        box.synced[device] = max(box.synced.get(device, 0), min(seq, len(box.log)))

    def positions(self, mailbox: bytes) -> dict[bytes, Position]:
        box = self.boxes.get(mailbox, Box())
        sizes = dict.fromkeys([*box.local, *box.synced], 0)
        for one in box.held:
            sizes[one.kept.device] += len(one.kept.record.data)
        return {
            device: Position(box.local.get(device, 0), box.synced.get(device, 0), size)
            for device, size in sizes.items()
        }

    def news(self, mailbox: bytes, device: bytes, after: int) -> dict[bytes, int]:
        counts: dict[bytes, int] = {}
        for one in self.boxes.get(mailbox, Box()).held:
            if one.kept.seq > after and one.kept.device != device:
                counts[one.kept.device] = counts.get(one.kept.device, 0) + 1
        return counts

    def prune(self, keep: Retention, now: int) -> Pruned:
        before = self.usage()
        for box in self.boxes.values():
            while box.held and _goes(box, keep, now):
                box.floor += 1
        after = self.usage()
        return Pruned(before[1] - after[1], before[2] - after[2])

    def usage(self) -> tuple[int, int, int]:
        """Mailboxes that were ever written to, records and bytes that are held."""
        boxes = [box for box in self.boxes.values() if box.log]
        return len(boxes), sum(len(box.held) for box in boxes), sum(box.size() for box in boxes)


def _goes(box: Box, keep: Retention, now: int) -> bool:
    first = box.held[0]
    if keep.size and box.size() > keep.size:
        return True
    if not keep.age:
        return False
    return now - first.now > keep.age if first.kept.record.scope == "space" else box.size() > keep.lasting
