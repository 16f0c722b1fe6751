"""Logs in NATS JetStream, three replicas of each, for operators who outgrow one machine.

Owns: the store as a whole: its mailboxes, who is told when they grow, what they take in all. Any number of processes
may have one open at the same servers, and append to the same mailboxes. Imported only when a nats:// store is asked
for. Must not know: connections of clients, quotas.

An append is kept once two of three servers have it; they write it to disk as `sync_interval` of their configuration
says (`always`: before they answer). A log that is full may have no room to note what is pruned: retention has to keep
it below the bound that an operator gives the stream (`max_bytes`), or that has to be raised for a moment.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from quire.limits import MAX_REMEMBERED_MAILBOXES
from quire.net.relay_wire import Record
from quire.relay import nats_reads
from quire.relay.log_store import (
    Appended,
    Grown,
    Kept,
    Part,
    Position,
    Pruned,
    Retention,
    StoreUnavailable,
    Tip,
    Usage,
)
from quire.relay.nats_access import NatsAccess
from quire.relay.nats_client import Unsure
from quire.relay.nats_link import KEY_SUBJECT, LOG, LOG_SUBJECT, Link, Stored, open_link
from quire.relay.nats_mailbox import Mailbox, PageCache, patiently
from quire.relay.nats_pages import Wanted, read_summary
from quire.relay.nats_synced import Synced

_Found = TypeVar("_Found")
#: Mailboxes looked at together where all of them are.
_AT_ONCE: Final = 16


class NatsLog:
    """A LogStore; made by `open_nats_log()`."""

    def __init__(self, link: Link, seq: int) -> None:
        self._link = link
        self._cache = PageCache()
        self._boxes: OrderedDict[bytes, Mailbox] = OrderedDict()
        self._synced = Synced(link)
        self._watchers: list[Grown] = []
        self._follower = asyncio.create_task(link.follow(seq, self._heard))

    async def append(self, mailbox: bytes, device: bytes, records: Sequence[Record], now: int) -> Appended:
        """See LogStore."""
        box = self._box(mailbox)
        if records:
            return await box.append(Wanted(device, records, now))
        state = await patiently(box.latest)
        had = state.devices[device].local if device in state.devices else 0
        return Appended(had, had, state.tip, state.size)

    async def read(self, mailbox: bytes, after: int, most_records: int, most_bytes: int) -> Part:
        """See LogStore."""
        box = self._box(mailbox)
        return await patiently(lambda: nats_reads.read(box, after, most_records, most_bytes))

    async def range(self, mailbox: bytes, low: str, high: str, limit: int, newest: bool) -> list[Kept]:
        """See LogStore; what it costs: quire.relay.nats_reads."""
        box = self._box(mailbox)
        return await patiently(lambda: nats_reads.find(box, low, high, limit, newest))

    async def acknowledge(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """See LogStore. Written soon after; by close() at the latest."""
        state = await patiently(lambda: self._box(mailbox).state(seq - 1))
        if (seq := min(seq, state.length)) > 0:
            await self._synced.note(mailbox, device, seq)

    async def positions(self, mailbox: bytes) -> dict[bytes, Position]:
        """See LogStore."""
        state = await patiently(self._box(mailbox).latest)
        synced = await patiently(lambda: self._synced.of(mailbox))
        found = {
            name: Position(one.local, synced.get(name, 0), one.size) for name, one in state.devices.items()
        }
        return found | {name: Position(synced=seq) for name, seq in synced.items() if name not in found}

    async def news(self, mailbox: bytes, device: bytes, after: int) -> list[tuple[bytes, int]]:
        """See LogStore; what it costs: quire.relay.nats_reads."""
        return await patiently(lambda: nats_reads.news(self._box(mailbox), device, after))

    async def served_under(self) -> bytes | None:
        """See LogStore."""
        stored = await patiently(lambda: self._link.last(LOG, KEY_SUBJECT))
        return stored.data if stored else None

    async def serve_under(self, key: bytes, before: bytes | None) -> bytes:
        """See LogStore."""

        async def attempt() -> bytes:
            stored = await self._link.last(LOG, KEY_SUBJECT)
            if stored and stored.data != before:
                return stored.data
            await self._link.publish(KEY_SUBJECT, key, stored.seq if stored else 0)
            return key

        return await patiently(attempt)

    def watch(self, grown: Grown, growing: Grown | None = None) -> None:
        """See LogStore. It tells of nothing before it is kept."""
        self._watchers.append(grown)

    async def prune(self, keep: Retention, now: int) -> Pruned:
        """See LogStore. It looks at every mailbox that anybody wrote to."""
        pruned = await self._for_all(lambda box: nats_reads.prune(box, keep, now))
        return Pruned(sum(one.records for one in pruned), sum(one.size for one in pruned))

    async def usage(self) -> Usage:
        """See LogStore. It looks at every mailbox, so it is not to be asked often; `disk` is one replica's."""
        stream = await patiently(self._link.stream)
        held = await self._for_all(_held)
        return Usage(
            len(held), sum(count for count, _ in held), sum(size for _, size in held), stream["bytes"]
        )

    async def check(self, writing: bool) -> None:
        """As `LogStore.check`: it asks whether the servers that keep the logs see a majority of themselves."""
        try:
            here, of = await self._link.servers()
        except Unsure as error:
            raise StoreUnavailable(
                f"The NATS servers do not agree on an answer ({error}): are two of three up, with room?"
            ) from error
        if 2 * here <= of:
            raise StoreUnavailable(
                f"{here} of the {of} NATS servers that keep the logs are up, and more than half have to be. Start the "
                "others; the relay goes on by itself."
            )

    async def close(self) -> None:
        """Write what waits, and disconnect. Raises StoreUnavailable when acknowledgements could not be written."""
        self._link.leave()
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        try:
            await self._synced.close()
        finally:
            await self._link.close()

    def _box(self, mailbox: bytes) -> Mailbox:
        """What is known of a mailbox; the one asked for longest ago is forgotten, unless somebody waits for it."""
        if mailbox not in self._boxes:
            self._boxes[mailbox] = Mailbox(self._link, self._cache, mailbox, self._grown)
        self._boxes.move_to_end(mailbox)
        for oldest in list(self._boxes)[: max(len(self._boxes) - MAX_REMEMBERED_MAILBOXES, 0)]:
            if not self._boxes[oldest].busy and oldest != mailbox:
                del self._boxes[oldest]
        return self._boxes[mailbox]

    def _heard(self, stored: Stored) -> None:
        mailbox = _mailbox(stored.subject)
        if mailbox in self._boxes:
            self._boxes[mailbox].heard(stored)
        else:
            summary = read_summary(stored.summary)
            self._grown(mailbox, Tip(summary.end, summary.chain))

    def _grown(self, mailbox: bytes, tip: Tip) -> None:
        for watcher in self._watchers:
            watcher(mailbox, tip)

    async def _for_all(self, act: Callable[[Mailbox], Awaitable[_Found]]) -> list[_Found]:
        found: list[_Found] = []
        waiting: list[Awaitable[_Found]] = []

        async def subjects() -> list[str]:
            return [subject async for subject in self._link.mailboxes()]

        for subject in await patiently(subjects):
            box = self._box(_mailbox(subject))
            waiting.append(patiently(lambda box=box: act(box)))  # type: ignore[misc]
            if len(waiting) == _AT_ONCE:
                found += await asyncio.gather(*waiting)
                waiting.clear()
        return found + await asyncio.gather(*waiting)


async def open_nats_log(servers: list[str], access: NatsAccess) -> NatsLog:
    """Connect to these servers. Raises UserError where they are too old or a file of `access` cannot be used,
    StoreUnavailable where none answers.
    """
    link = await open_link(servers, access)
    try:
        return NatsLog(link, int((await link.stream())["last_seq"]))
    except Unsure as error:
        await link.close()
        raise StoreUnavailable(f"The NATS servers do not answer: {error}.") from error


async def _held(box: Mailbox) -> tuple[int, int]:
    state = await box.state()
    return state.length - state.floor + 1, state.size


def _mailbox(subject: str) -> bytes:
    return bytes.fromhex(subject.removeprefix(LOG_SUBJECT))
