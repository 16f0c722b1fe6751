"""One client's connection: the relay's side of the protocol over an asynchronous store.

Owns: what each message does and answers. Must not know: sockets (it is given `send`, which waits until the client
takes what is sent), other connections, files.

Nothing is queued here: what a reader lacks is read from the store when there is room in its window, and `send` holds
up whoever waits for it. Two tasks at most wait for it: the one that brings messages, and the one that sends news.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from quire import limits
from quire.net import relay_wire as wire
from quire.net.relay_wire import BadRelayMessage, Reason, Record, Refusal
from quire.relay.log_store import Kept, StoreDamaged, StoreUnavailable
from quire.relay.origins import Origin
from quire.relay.quota import Held, Pace, exceeded
from quire.relay.reader import LEAST_ROOM, Reader
from quire.relay.shared import Mailbox, Shared, appended


class Gone(Exception):
    """The client is not there any more, or takes nothing; raised by `send`."""


Send = Callable[[bytes], Awaitable[None]]

_TEXTS: dict[Reason, str] = {
    "rate": "Too much at once: send it again after a while.",
    "full": "There is no room for it. Older records have to go first, or the operator has to allow more.",
    "forbidden": "Nobody has proven on this connection that they may do that.",
    "malformed": "That is no message of this protocol, or not at this point.",
    "mailboxes": f"At most {limits.MAX_MAILBOXES} mailboxes can be open on one connection. Use another one.",
    "too-large": f"A message has at most {limits.MAX_RELAY_MESSAGE:,} bytes and {limits.RECORDS_PER_MESSAGE:,} "
    f"records, and a record {limits.MAX_RELAY_RECORD:,} bytes; before a key is proven a message has at most "
    f"{limits.MAX_RELAY_HELLO:,} bytes.",
    "damaged": "The relay's store is damaged, and its operator has to mend it. Devices still have what they wrote.",
    "unavailable": "The relay cannot store or read at present. Nothing of it was kept: send it again after a while.",
    "going-away": "The relay is about to stop. Connect again after a while.",
    "version": "This relay speaks another version of the protocol.",
}


def refusal(n: int, reason: Reason, retry_ms: int = 0, text: str = "") -> Refusal:
    """A refusal with its sentence."""
    return Refusal(n, reason, retry_ms, text or _TEXTS[reason])


class Connection:
    """`number` tells connections apart in the log; `end` closes it at once; `origin` is where it comes from."""

    def __init__(
        self, number: int, shared: Shared, send: Send, end: Callable[[], None], origin: Origin | None = None
    ) -> None:
        self.number = number
        self.began = shared.world.steady()
        #: Whether it is over: nothing more is received.
        self.ended = False
        #: Whether a key was proven on it: before that a message may be no larger than a Hello.
        self.proven = False
        self._origin = origin
        self._shared = shared
        self._send = send
        self._end = end
        self._pace = Pace(shared.quotas, self.began)
        self._challenge = wire.Challenge(
            wire.VERSION, shared.key.public, shared.world.entropy(wire.NONCE_BYTES)
        )
        self._readers: dict[int, tuple[Reader, Mailbox]] = {}
        self._awake: dict[Reader, Mailbox] = {}
        self._pushing: asyncio.Task[None] | None = None
        self._mistakes = 0

    @property
    def mailboxes(self) -> int:
        """How many mailboxes are open on it."""
        return len(self._readers)

    async def begin(self) -> None:
        """Send what is to be signed. Raises Gone."""
        await self._say(self._challenge)

    async def receive(self, data: bytes) -> None:
        """Act on a message and answer it. Raises Gone."""
        self._shared.under_way += 1
        try:
            await self._receive(data)
        finally:
            self._shared.under_way -= 1

    async def refuse_all(self, reason: Reason, retry_ms: int, why: str, text: str = "") -> None:
        """Say why the whole connection ends, and end it; `why` is for the counters. Raises Gone."""
        self.ended = True
        self._shared.counters.dropped.labels(why).inc()
        try:
            await self._refuse(refusal(0, reason, retry_ms, text))
        finally:
            self._end()

    async def closed(self) -> None:
        """The client is gone: let go of everything."""
        self.ended = True
        for reader, mailbox in self._readers.values():
            self._shared.leave(mailbox, reader)
        self._readers.clear()
        self._awake.clear()
        if self._pushing is not None:
            self._pushing.cancel()
            await asyncio.gather(self._pushing, return_exceptions=True)

    # --- what comes

    async def _receive(self, data: bytes) -> None:
        counters = self._shared.counters
        counters.received_bytes.inc(len(data))
        if not self.proven and len(data) > limits.MAX_RELAY_HELLO:
            await self.refuse_all("too-large", 0, "mistakes")
            return
        try:
            said = wire.read_client(data)
        except BadRelayMessage as bad:
            counters.received.labels("malformed").inc()
            await self._mistake(number_of(data), "too-large" if bad.reason == "too-large" else "malformed")
            return
        counters.received.labels(type(said).__name__.lower()).inc()
        if self._shared.draining and not isinstance(said, wire.Ack | wire.Leave):
            await self._refuse(refusal(said.n, "going-away", limits.RELAY_AWAY_MS))
            return
        if await self._too_fast(said, len(data)):
            return
        try:
            await self._act(said)
        except StoreDamaged as damaged:
            await self._shut(said.n, damaged)
        except StoreUnavailable as error:
            await self._refuse(self._unavailable(said.n, error))

    async def _act(self, said: wire.FromClient) -> None:
        if isinstance(said, wire.Hello):
            await self._hello(said)
            return
        if said.n not in self._readers:
            await self._mistake(said.n, "forbidden")
            return
        reader, mailbox = self._readers[said.n]
        if isinstance(said, wire.Add):
            await self._add(reader, mailbox, said.records)
        elif isinstance(said, wire.Ack):
            await self._ack(reader, mailbox, said.seq)
        elif isinstance(said, wire.Read):
            await self._read(reader, mailbox, said)
        elif isinstance(said, wire.Range):
            await self._range(reader, said)
        else:
            self._close(said.n)

    def _close(self, n: int) -> None:
        """A mailbox is open on this connection no longer."""
        reader, mailbox = self._readers.pop(n)
        self._awake.pop(reader, None)
        self._shared.leave(mailbox, reader)

    async def _too_fast(self, said: wire.FromClient, size: int) -> bool:
        """Whether a message is refused for the connection's pace; whoever goes too fast is heard more slowly too."""
        wait = self._pace.take(1, size, self._shared.world.steady())
        if not wait:
            return False
        refused = isinstance(said, wire.Hello | wire.Add)  # nobody would repeat the others: they wait instead
        if refused:
            await self._refuse(refusal(said.n, "rate", wait))
        await self._pause(wait)
        return refused

    async def _pause(self, wait: int) -> None:
        await self._shared.world.sleep(min(wait, limits.RELAY_PAUSE_MS) / 1000)

    # --- opening a mailbox

    async def _hello(self, hello: wire.Hello) -> None:
        if len(self._readers) >= limits.MAX_MAILBOXES:
            await self._refuse(refusal(hello.n, "mailboxes"))
            return
        if hello.n in self._readers:
            await self._mistake(hello.n, "malformed")
            return
        if self._origin is not None and (wait := self._origin.wait(self._shared.world.steady())):
            await self._refuse(refusal(hello.n, "rate", wait))
            await self._pause(wait)
            return
        if not wire.hello_holds(self._challenge, hello) or not _within(hello.scope, hello.records):
            await self._mistake(hello.n, "forbidden")
            return
        reader = Reader(hello)
        mailbox = self._shared.enter(reader, self._wake)
        self._readers[hello.n] = reader, mailbox
        try:
            greeting, refused = await self._greeting(reader, mailbox, hello)
        except StoreUnavailable:
            self._close(hello.n)
            raise
        self.proven = True
        await self._say(greeting)
        if refused is not None:
            await self._refuse(refused)
        reader.awake, reader.owed = True, not reader.frugal
        if reader.frugal:
            reader.sent = greeting.head.length
        self._wake(reader)

    async def _greeting(
        self, reader: Reader, mailbox: Mailbox, hello: wire.Hello
    ) -> tuple[wire.Greeting, Refusal | None]:
        store = self._shared.store
        position = (await store.positions(reader.mailbox)).get(reader.device)
        reader.device_bytes = 0 if position is None else position.size
        stands = await store.append(reader.mailbox, reader.device, [], self._shared.world.now())
        mailbox.grown(stands.tip)
        mailbox.size = stands.size
        had, refused = stands.taken, None
        synced = 0 if position is None else position.synced
        reader.sent = reader.acknowledged = min(synced if hello.seq < 0 else hello.seq, stands.tip.length)
        news = await store.news(reader.mailbox, reader.device, reader.sent)
        taken = had
        if hello.records:
            taken, refused = await self._keep(reader, mailbox, hello.records, had)
        head = mailbox.head(mailbox.tip)
        return wire.Greeting(hello.n, head, had, taken, synced, news), refused

    # --- adding

    async def _add(self, reader: Reader, mailbox: Mailbox, records: list[Record]) -> None:
        if not records or not _within(reader.scope, records):
            await self._mistake(reader.n, "forbidden" if records else "malformed")
            return
        taken, refused = await self._keep(reader, mailbox, records, 0)
        if refused is not None:
            await self._refuse(refused)
        else:
            await self._say(wire.Added(reader.n, taken, mailbox.head(mailbox.tip)))
            self._wake(reader)

    async def _keep(
        self, reader: Reader, mailbox: Mailbox, records: list[Record], had: int
    ) -> tuple[int, Refusal | None]:
        """The device's last local number after it, and why nothing was kept if so."""
        refused = await self._no_room(reader, mailbox, [record for record in records if record.local > had])
        if refused is not None:
            return had, refused
        world, counters = self._shared.world, self._shared.counters
        try:
            with counters.append_seconds.time():
                done = await self._shared.store.append(reader.mailbox, reader.device, records, world.now())
        except StoreDamaged:
            raise
        except StoreUnavailable as error:
            return had, self._unavailable(reader.n, error)
        reader.took(done.had, done.taken)
        fresh = [record for record in records if record.local > done.had]
        if fresh:
            self._shared.watch.worked()
        size = sum(len(record.data) for record in fresh)
        reader.device_bytes += size
        live = size <= limits.RELAY_SMALL_PAGE and len(mailbox.readers) > 1
        mailbox.grown(
            done.tip, reader, appended(mailbox.tip, reader.device, fresh, done.tip) if live else None
        )
        mailbox.size = done.size
        # Others wait for the records; this one has them, and only waits for a word that they are kept.
        await asyncio.sleep(0)
        mailbox.latest = None
        counters.kept.inc(len(fresh))
        counters.kept_bytes.inc(size)
        return done.taken, None

    async def _no_room(self, reader: Reader, mailbox: Mailbox, records: list[Record]) -> Refusal | None:
        """Why these may not be added now, if so."""
        if not records:
            return None
        shared = self._shared
        size = sum(len(record.data) for record in records)
        now = shared.world.steady()
        if wait := shared.paces.of(reader.device, now).take(len(records), size, now):
            return refusal(reader.n, "rate", wait)
        if 0 < shared.quotas.mailbox_records < mailbox.tip.length - mailbox.first + 1 + len(records):
            mailbox.first = (await shared.store.read(mailbox.id, 0, 1, 1)).first
        held = Held(mailbox.size, mailbox.tip.length - mailbox.first + 1, reader.device_bytes)
        if why := exceeded(shared.quotas, held, len(records), size):
            return refusal(reader.n, "full", shared.full_ms, f"{why}. {_TEXTS['full']}")
        return None

    # --- reading

    async def _ack(self, reader: Reader, mailbox: Mailbox, place: int) -> None:
        if not 0 <= place <= mailbox.tip.length:
            await self._mistake(reader.n, "malformed")
        elif place > reader.acknowledged:
            reader.acknowledge(place)
            self._wake(reader)
            try:
                await self._shared.store.acknowledge(reader.mailbox, reader.device, place)
            except StoreUnavailable as error:
                # Nobody waits for an answer; where it is not noted, this much is read twice after a new start.
                self._unavailable(reader.n, error)

    async def _read(self, reader: Reader, mailbox: Mailbox, asked: wire.Read) -> None:
        if asked.after < 0 or not 0 < asked.limit <= limits.RECORDS_PER_MESSAGE:
            await self._mistake(reader.n, "malformed")
            return
        said, _ = await self._page(reader, mailbox, asked.after, asked.limit, self._page_bytes())
        await self._say_counted(said, len(said.entries))

    async def _range(self, reader: Reader, asked: wire.Range) -> None:
        """Found, a page of it at most: read in steps, since a range of the store has no bound in bytes."""
        longest = max(len(asked.low), len(asked.high))
        if longest > limits.MAX_SORT_KEY_CHARS or not 0 < asked.limit <= limits.RECORDS_PER_MESSAGE:
            await self._mistake(reader.n, "malformed")
            return
        low, high, most = asked.low, asked.high, self._page_bytes()
        records: list[Kept] = []
        size = 0
        while len(records) < asked.limit and size < most:
            step = min(limits.RELAY_RANGE_STEP, asked.limit - len(records))
            more = await self._shared.store.range(reader.mailbox, low, high, step, asked.newest)
            records += more
            size += sum(len(kept.record.data) for kept in more)
            if len(more) < step:
                break
            last = wire.sort_key(more[-1].record.ts, more[-1].record.local, more[-1].device)
            low, high = (low, last) if asked.newest else (f"{last}\0", high)
        page = reader.page(records, most, own=True)
        places = [kept.seq for kept in records[: len(page.entries)]]
        await self._say_counted(wire.Found(reader.n, page.devices, places, page.entries), len(places))

    async def _page(
        self, reader: Reader, mailbox: Mailbox, after: int, most_records: int, most_bytes: int
    ) -> tuple[wire.Entries, int]:
        """Entries after a place, and what they take of the window."""
        if after >= mailbox.tip.length:
            tip = mailbox.tip
            head = mailbox.head(tip)
            return wire.Entries(reader.n, tip.length + 1, tip.chain, [], [], head, True), 0
        part = await mailbox.read(self._shared.store, after, most_records, most_bytes)
        mailbox.grown(part.tip)
        page = reader.page(part.records, most_bytes)
        reached = part.first + len(page.entries) > part.tip.length
        head = mailbox.head(part.tip)
        said = wire.Entries(reader.n, part.first, part.before, page.devices, page.entries, head, reached)
        return said, page.size

    def _page_bytes(self) -> int:
        """While much is on its way to clients, pages are small: many slow readers must not take all memory."""
        busy = self._shared.outgoing > limits.RELAY_OUTGOING_BYTES
        return limits.RELAY_SMALL_PAGE if busy else limits.RELAY_PAGE_BYTES

    # --- news

    def _wake(self, reader: Reader) -> None:
        """See to it that a reader gets what it lacks."""
        known = self._readers.get(reader.n)
        if self.ended or not reader.awake or known is None or known[0] is not reader:
            return
        self._awake[reader] = known[1]
        if self._pushing is None:
            self._pushing = asyncio.ensure_future(self._push())

    async def _push(self) -> None:
        """Send what readers lack, a page of each in turn, until none has anything to come or room for it."""
        try:
            while self._awake and not self.ended:
                reader, mailbox = next(iter(self._awake.items()))
                del self._awake[reader]
                try:
                    more = await self._push_page(reader, mailbox)
                except StoreDamaged as damaged:
                    await self._shut(reader.n, damaged)
                    more = False
                except StoreUnavailable as error:
                    self._unavailable(0, error)
                    await self._shared.world.sleep(limits.RELAY_UNAVAILABLE_MS / 1000)
                    more = True
                if more:
                    self._wake(reader)
        except Gone:
            self.ended = True
        finally:
            self._pushing = None

    async def _push_page(self, reader: Reader, mailbox: Mailbox) -> bool:
        """Send one page, or the new length; whether there may be more. Raises StoreUnavailable, Gone."""
        lacks = reader.sent < mailbox.tip.length
        if reader.frugal:
            if lacks:
                reader.sent = mailbox.tip.length
                await self._say(wire.Grown(reader.n, mailbox.head(mailbox.tip)))
            return False
        if not reader.owed and (not lacks or reader.room < LEAST_ROOM):
            return False
        most = min(self._page_bytes(), reader.room)
        said, size = await self._page(reader, mailbox, reader.sent, limits.RECORDS_PER_MESSAGE, most)
        reader.owed = False
        reader.was_sent(said.first + len(said.entries) - 1, size)
        await self._say_counted(said, len(said.entries))
        return True

    # --- what goes

    async def _say_counted(self, said: wire.FromRelay, entries: int) -> None:
        await self._say(said)
        self._shared.counters.given.inc(entries)

    async def _say(self, said: wire.FromRelay) -> None:
        data = wire.encode(said)
        shared = self._shared
        shared.outgoing += len(data)
        try:
            await self._send(data)
        finally:
            shared.outgoing -= len(data)
        shared.counters.sent_bytes.inc(len(data))

    async def _refuse(self, refused: Refusal) -> None:
        self._shared.counters.refused.labels(refused.reason).inc()
        await self._say(refused)

    async def _mistake(self, n: int, reason: Reason) -> None:
        """Answer what nobody may send; whoever goes on is cut off, and whose message has no number at once."""
        self._mistakes += 1
        if not n or self._mistakes > limits.MAX_RELAY_MISTAKES:
            await self.refuse_all(reason, 0, "mistakes")
        else:
            await self._refuse(refusal(n, reason))

    async def _shut(self, n: int, damaged: StoreDamaged) -> None:
        """Close a mailbox that cannot be read any more, and say why: to wait for it would be to wait for ever."""
        if n in self._readers:
            self._close(n)
        self._unavailable(n, damaged)
        await self._refuse(refusal(n, "damaged", limits.RELAY_DAMAGED_MS))

    def _unavailable(self, n: int, error: StoreUnavailable) -> Refusal:
        self._shared.watch.failed(error)
        self._shared.world.log("store-unavailable", connection=self.number, text=str(error))
        return refusal(n, "unavailable", limits.RELAY_UNAVAILABLE_MS)


def _within(scope: wire.Scope, records: list[Record]) -> bool:
    return all(wire.may_have(scope, record.scope) for record in records)


def number_of(data: bytes) -> int:
    """The mailbox's number in bytes that are no message, where they have one; else 0."""
    try:
        parts = msgspec.msgpack.decode(data[: limits.MAX_RELAY_MESSAGE])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return 0
    n = parts[1] if isinstance(parts, list) and len(parts) > 1 else 0
    return n if isinstance(n, int) and 0 < n <= limits.MAX_INTEGER else 0
