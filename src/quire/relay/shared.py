"""What all connections of one relay process share: the store, the relay's key, counters, paces, open mailboxes.

Owns: who has which mailbox open here, and telling them that it grew: as much work as it has readers. Must not know:
what is said on a connection, sockets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from quire.core.keys import DeviceKey
from quire.net.relay_wire import Head, Record, digest, link, sign_head
from quire.relay.counters import Counters
from quire.relay.log_store import Kept, LogStore, Part, Tip
from quire.relay.quota import Paces, Quotas
from quire.relay.reader import Reader
from quire.relay.store_watch import StoreWatch

Wake = Callable[[Reader], None]


class World(NamedTuple):
    """Time of day (ms), a clock for timers (ms), waiting (seconds), randomness, and a line for the log."""

    now: Callable[[], int]
    steady: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]
    entropy: Callable[[int], bytes]
    log: Callable[..., None]


class Mailbox:
    """A mailbox that somebody has open here: its readers, and its end as far as is known."""

    __slots__ = ("_ahead", "_head", "_key", "_reading", "first", "id", "latest", "readers", "size", "tip")

    def __init__(self, mailbox: bytes, key: DeviceKey) -> None:
        self.id = mailbox
        self.readers: dict[Reader, Wake] = {}
        self.tip = Tip()
        #: Bytes kept in it, and the first place that retention left, as far as is known.
        self.size, self.first = 0, 1
        #: What was written last, while those who wait for it are woken: they need not read it.
        self.latest: Part | None = None
        self._key = key
        self._head: Head | None = None
        #: The head that there will be soon, unless the store fails.
        self._ahead: Head | None = None
        self._reading: dict[tuple[int, int, int], asyncio.Future[Part]] = {}

    def grown(self, tip: Tip, by: Reader | None = None, latest: Part | None = None) -> None:
        """It is at least as long as this: the store tells so, in an answer or by itself, whichever comes first.

        Who wrote it (`by`) is not woken. `latest` is what was written, for those who read on at once.
        """
        if tip.length > self.tip.length:
            self.tip, self.latest = tip, latest
            for reader, wake in self.readers.items():
                if reader is not by:
                    wake(reader)

    def growing(self, tip: Tip) -> None:
        """It will be this long as soon as the store has it: sign that while the disk is waited for."""
        self._ahead = sign_head(self._key, self.id, tip.length, tip.chain)

    def head(self, tip: Tip) -> Head:
        """The signed head for a length: one signature serves all readers."""
        if self._head is None or self._head[:2] != tip:
            ahead = self._ahead
            if ahead is None or ahead[:2] != tip:
                ahead = sign_head(self._key, self.id, tip.length, tip.chain)
            self._head = ahead
        return self._head

    async def read(self, store: LogStore, after: int, most_records: int, most_bytes: int) -> Part:
        """Read from the store, once for all readers that ask for the same at the same time. Raises StoreUnavailable."""
        latest = self.latest
        if latest is not None and latest.first == after + 1 and len(latest.records) <= most_records:
            return latest
        if len(self.readers) < 2:
            return await store.read(self.id, after, most_records, most_bytes)
        asked = (after, most_records, most_bytes)
        if asked not in self._reading:
            reading = asyncio.ensure_future(store.read(self.id, *asked))
            reading.add_done_callback(lambda done: self._done(asked, done))
            self._reading[asked] = reading
        return await asyncio.shield(self._reading[asked])

    def _done(self, asked: tuple[int, int, int], reading: asyncio.Future[Part]) -> None:
        del self._reading[asked]
        if not reading.cancelled():
            reading.exception()  # who asked is told; nobody may be left by now


def appended(before: Tip, device: bytes, records: Sequence[Record], tip: Tip) -> Part | None:
    """The end of a log that was so long `before` and has these records after it; None where it is not so."""
    chain, kept = before.chain, []
    for place, record in enumerate(records, before.length + 1):
        hashed = digest(device, record)
        chain = link(chain, (hashed,))
        kept.append(Kept(place, device, record, hashed))
    return Part(before.length + 1, before.chain, kept, tip) if chain == tip.chain else None


class Shared:
    """One for each relay process. `outgoing` is what is on its way to clients (bytes)."""

    def __init__(
        self, store: LogStore, key: DeviceKey, quotas: Quotas, full_ms: int, world: World, counters: Counters
    ) -> None:
        self.store = store
        self.key = key
        self.quotas = quotas
        #: When to try again where a share is used up (ms).
        self.full_ms = full_ms
        self.world = world
        self.counters = counters
        self.watch = StoreWatch(store, counters, world.log)
        self.paces = Paces(quotas)
        self.outgoing = 0
        self.draining = False
        #: Messages that are being acted on.
        self.under_way = 0
        self._mailboxes: dict[bytes, Mailbox] = {}
        store.watch(self.grown, self.growing)

    def grown(self, mailbox: bytes, tip: Tip) -> None:
        """A mailbox grew, whichever process wrote to it."""
        if (found := self._mailboxes.get(mailbox)) is not None:
            found.grown(tip)

    def growing(self, mailbox: bytes, tip: Tip) -> None:
        """A mailbox is about to grow."""
        if (found := self._mailboxes.get(mailbox)) is not None:
            found.growing(tip)

    def enter(self, reader: Reader, wake: Wake) -> Mailbox:
        """Open a mailbox for a reader; `wake` is called when it grew."""
        mailbox = self._mailboxes.get(reader.mailbox)
        if mailbox is None:
            mailbox = self._mailboxes[reader.mailbox] = Mailbox(reader.mailbox, self.key)
        mailbox.readers[reader] = wake
        self.counters.mailboxes.set(len(self._mailboxes))
        return mailbox

    def leave(self, mailbox: Mailbox, reader: Reader) -> None:
        """It is closed for a reader."""
        mailbox.readers.pop(reader, None)
        if not mailbox.readers and self._mailboxes.get(mailbox.id) is mailbox:
            del self._mailboxes[mailbox.id]
        self.counters.mailboxes.set(len(self._mailboxes))
