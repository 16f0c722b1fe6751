"""Up to where each device has acknowledged, in JetStream: one message for each mailbox, the latest alone is kept.

Acknowledgements wait a moment so that many become one write. A crash loses those that wait, and their devices are
given the same again; nothing is ever skipped, because what is written only goes forward, whoever writes.
Must not know: logs, connections.
"""

import asyncio

import msgspec

from quire.limits import ACK_DELAY_S, MAX_MAILBOX_DEVICES, MAX_WAITING_ACKS
from quire.relay.log_store import StoreUnavailable
from quire.relay.nats_link import SYNCED, SYNCED_SUBJECT, Link
from quire.relay.nats_mailbox import patiently
from quire.relay.waiting_acks import WaitingAcks

_read = msgspec.msgpack.Decoder(dict[bytes, int]).decode
_encode = msgspec.msgpack.Encoder().encode


class Synced:
    """Call `close()` at the end: it writes what waits."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting = WaitingAcks()
        self._closing = False
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    async def note(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """Write it soon. With too many that wait already they are written first: may raise StoreUnavailable."""
        if len(self._waiting) >= MAX_WAITING_ACKS:
            await self.flush()
        self._waiting.put(mailbox, device, seq)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def of(self, mailbox: bytes) -> dict[bytes, int]:
        """What each device acknowledged last: as written, and as it waits here. Raises Unsure."""
        waiting = self._waiting.of(mailbox)  # first: what is written meanwhile waits no more
        stored = await self._link.last(SYNCED, _subject(mailbox))
        return _later(_read(stored.data) if stored else {}, waiting)

    async def flush(self) -> None:
        """Write what waits. Raises StoreUnavailable when it cannot be done; then it waits on."""
        async with self._writing:
            for mailbox in {mailbox for mailbox, _, _ in self._waiting.all()}:
                waiting = self._waiting.of(mailbox)
                await patiently(lambda mailbox=mailbox, waiting=waiting: self._write(mailbox, waiting))  # type: ignore[misc]
                self._waiting.written([(mailbox, device, seq) for device, seq in waiting.items()])

    async def close(self) -> None:
        """Write what waits. May raise StoreUnavailable."""
        self._closing = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self.flush()

    async def _write_soon(self) -> None:
        while self._waiting and not self._closing:
            await asyncio.sleep(ACK_DELAY_S)
            try:
                await self.flush()
            except StoreUnavailable:
                continue  # they wait on; whoever appends or reads is told

    async def _write(self, mailbox: bytes, waiting: dict[bytes, int]) -> None:
        stored = await self._link.last(SYNCED, _subject(mailbox))
        known = _read(stored.data) if stored else {}
        later = _later(known, waiting)
        if later != known:
            await self._link.publish(_subject(mailbox), _encode(later), stored.seq if stored else 0)


def _later(known: dict[bytes, int], others: dict[bytes, int]) -> dict[bytes, int]:
    """The later place of each device; of those that never acknowledged before, as many as a mailbox remembers."""
    later = dict(known)
    for device, seq in others.items():
        if device in later or len(later) < MAX_MAILBOX_DEVICES:
            later[device] = max(seq, later.get(device, 0))
    return later


def _subject(mailbox: bytes) -> str:
    return SYNCED_SUBJECT + mailbox.hex()
