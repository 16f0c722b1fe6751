"""One mailbox in JetStream: appending to it beside other processes, and finding its pages.

Owns: what this process remembers of a mailbox, which may lag behind the log but never differs from it. A page is
published on the condition that the mailbox's last one is the one that it was made after: one of several writers
wins, the others read its page and number anew. So places have no gap and repeats are seen, whoever writes.
Must not know: who asks, other mailboxes.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from random import uniform
from typing import TypeVar

from quire.limits import (
    APPENDS_PER_PAGE,
    MAX_MAILBOX_DEVICES,
    MAX_WAITING_APPENDS,
    NATS_PATIENCE_S,
    PAGES_PER_QUESTION,
    RELAY_PAGE_BYTES,
    REMEMBERED_PAGE_BYTES,
)
from quire.relay.log_store import Appended, StoreBusy, StoreDamaged, StoreUnavailable, Tip
from quire.relay.nats_client import Unsure
from quire.relay.nats_link import LOG, LOG_SUBJECT, Conflict, Link, Stored
from quire.relay.nats_pages import (
    RECORD_OVERHEAD,
    Page,
    State,
    Summary,
    Wanted,
    batch_of,
    compose,
    encode,
    marker,
    page_of,
    read_body,
    read_summary,
    restore,
)

_Done = TypeVar("_Done")
#: Between tries (s): longer each time while the servers do not agree.
_LEAST_WAIT_S, _MOST_WAIT_S = 0.005, 0.5


async def patiently(act: Callable[[], Awaitable[_Done]]) -> _Done:
    """Try until it is done: StoreUnavailable when the servers do not agree on an answer for long."""
    reason: Exception | None = None
    wait = _LEAST_WAIT_S
    try:
        async with asyncio.timeout(NATS_PATIENCE_S) as bound:
            while (
                not bound.expired()
            ):  # looked at too: a cancellation is lost now and then in asyncio.wait_for()
                try:
                    return await act()
                except Conflict as error:  # somebody got on: whoever waits longer each time might never
                    reason, wait = error, _LEAST_WAIT_S
                except Unsure as error:
                    reason = error
                await asyncio.sleep(uniform(0, wait))
                wait = min(2 * wait, _MOST_WAIT_S)
    except TimeoutError:
        pass
    why = str(reason or "") or "others write at the same time"
    raise StoreUnavailable(
        f"The NATS servers gave no answer for {NATS_PATIENCE_S:.0f} s ({why}): are two of three up, with room?"
    ) from reason


class PageCache:
    """Pages read last, by stream sequence, up to so many bytes of all mailboxes together."""

    def __init__(self) -> None:
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._size = 0

    def get(self, seq: int) -> Page | None:
        """The page, if it is remembered."""
        if seq in self._pages:
            self._pages.move_to_end(seq)
        return self._pages.get(seq)

    def put(self, page: Page) -> None:
        """Remember it, and forget others."""
        if page.seq not in self._pages:
            self._pages[page.seq] = page
            self._size += _taken(page)
        while self._size > REMEMBERED_PAGE_BYTES:
            self._size -= _taken(self._pages.popitem(last=False)[1])


def _taken(page: Page) -> int:
    return page.summary.size + page.summary.count * RECORD_OVERHEAD * 4


class Mailbox:
    """`grown` is called with each new length that this process learns of, once."""

    def __init__(
        self, link: Link, cache: PageCache, mailbox: bytes, grown: Callable[[bytes, Tip], None]
    ) -> None:
        self.subject = LOG_SUBJECT + mailbox.hex()
        self.link = link
        #: Held while a page is being written.
        self.writing = asyncio.Lock()
        self._id = mailbox
        self._cache = cache
        self._grown = grown
        self._state: State | None = None
        self._behind = False
        self._waiting: deque[tuple[Wanted, asyncio.Future[Appended]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._catching_up = asyncio.Lock()
        self._begun = self._ended = 0
        self._told = 0

    @property
    def busy(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting) or self.writing.locked() or self._catching_up.locked()

    # --- what is known

    async def state(self, reach: int = -1) -> State:
        """What is known; what the servers know at present if that is not more than `reach` records."""
        if self._state is None or self._behind or self._state.length <= reach:
            await self._catch_up()
        if self._state is None:  # somebody pruned just now
            raise Unsure("the log changed while it was read")
        return self._state

    async def latest(self) -> State:
        """What the servers know at present."""
        self._behind = True
        return await self.state()

    def forget(self) -> None:
        """Read it anew: what is known does not fit what was found."""
        self._state = None

    def heard(self, stored: Stored) -> None:
        """A page was written, by whomever."""
        summary = read_summary(stored.summary)
        if self._state is not None and stored.seq > self._state.seq:
            if summary.count == 0:
                self._state = None
            elif not self._state.apply(stored.seq, summary):
                self._behind = True
        self._tell(Tip(summary.end, summary.chain))

    def _tell(self, tip: Tip) -> None:
        if tip.length > self._told:
            self._told = tip.length
            self._grown(self._id, tip)

    async def _catch_up(self) -> None:
        """Those who ask while one is under way share the next one: the one under way may have looked too early."""
        ticket = self._begun
        async with self._catching_up:
            if self._ended > ticket:
                return
            self._begun += 1
            number = self._begun
            if self._state is None or not await self._read_on(self._state):
                self._state = await self._load()
            self._behind = False
            self._ended = number

    async def _read_on(self, state: State) -> bool:
        """Take in what follows; False if that is much, or does not fit."""
        for _ in range(PAGES_PER_QUESTION):
            stored = await self.link.following(self.subject, state.seq + 1)
            if stored is None or state is not self._state:
                return state is self._state
            summary = read_summary(stored.summary)
            if stored.seq > state.seq and (summary.count == 0 or not state.apply(stored.seq, summary)):
                return False
        return False

    async def _load(self) -> State:
        last = await self.link.last(LOG, self.subject)
        if last is None:
            return State()
        summary = read_summary(last.summary)
        if summary.snapshot == 0:
            return _restored(last)
        pages = await self.link.pages(self.subject, summary.snapshot, RELAY_PAGE_BYTES)
        if not pages or pages[0].seq != summary.snapshot:
            raise Unsure("a replica lags behind, or the log was pruned meanwhile")
        state = _restored(pages.pop(0))
        while state.seq < last.seq:
            pages = pages or await self.link.pages(self.subject, state.seq + 1, RELAY_PAGE_BYTES)
            if not pages or not state.apply(pages[0].seq, read_summary(pages[0].summary)):
                raise Unsure("a replica lags behind")
            pages.pop(0)
        return state

    # --- appending

    async def append(self, wanted: Wanted) -> Appended:
        """Keep records, in one page with those of others who wait. Raises StoreUnavailable."""
        if len(self._waiting) >= MAX_WAITING_APPENDS:
            raise StoreBusy(f"More than {MAX_WAITING_APPENDS} appends to one mailbox wait.")
        done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        """Write pages while somebody waits; when it cannot be done now, all who wait are told."""
        while self._waiting:
            together = batch_of([wanted for wanted, _ in self._waiting], APPENDS_PER_PAGE)
            batch = [self._waiting.popleft() for _ in range(together)]
            try:
                async with self.writing:
                    answers = await patiently(lambda batch=batch: self._commit([one for one, _ in batch]))  # type: ignore[misc]
            except BaseException as error:
                told = (
                    error if isinstance(error, StoreUnavailable) else StoreUnavailable("The store stopped.")
                )
                for _, done in [*batch, *self._waiting]:
                    if not done.done():
                        done.set_exception(told)
                self._waiting.clear()
                if not isinstance(error, StoreUnavailable):
                    raise
                return
            for (_, done), answer in zip(batch, answers, strict=True):
                _resolve(done, answer)

    async def _commit(self, batch: list[Wanted]) -> list[Appended | None]:
        """One try: number, publish, note. What was published without an answer shows when it is read again."""
        state = await self.state()
        if not compose(
            state, batch, False
        ).pages:  # all repeats, as far as is known: the answer tells how things stand
            state = await self.latest()
        with_snapshot = state.snapshot_due() or state.seq == 0
        composed = compose(state, batch, with_snapshot)
        if len(composed.pages) > 1 and with_snapshot:
            await self.publish([marker(state)], state.seq)
            state = await self.state()
            composed = compose(state, batch, False)
        if composed.pages:
            await self.publish(composed.pages, state.seq)
        return composed.answers

    async def publish(self, pages: list[tuple[Summary, bytes]], expected: int) -> None:
        """Write pages after the one with this stream sequence, all or none.

        Raises Conflict, Unsure, StoreUnavailable.
        """
        try:
            if len(pages) == 1:
                [(summary, data)] = pages
                last = await self.link.publish(self.subject, data, expected, encode(summary))
            else:
                encoded = [(encode(summary), data) for summary, data in pages]
                last = await self.link.publish_all(self.subject, encoded, expected)
        except BaseException:
            self._behind = True
            raise
        for seq, (summary, data) in enumerate(pages, last - len(pages) + 1):
            self._noted(seq, summary, data)

    def _noted(self, seq: int, summary: Summary, data: bytes) -> None:
        if self._state is not None and seq > self._state.seq and not self._state.apply(seq, summary):
            self._behind = True
        self._cache.put(page_of(seq, summary, read_body(data)))
        self._tell(Tip(summary.end, summary.chain))

    # --- pages

    async def pages(self, place: int) -> AsyncIterator[Page]:
        """The pages from the one with this place on, as far as is known. Raises Unsure if they are not there."""
        state = await self.state()
        while place <= state.length:
            page = await self._page(state, place)
            yield page
            place = page.summary.end + 1

    async def stored(self, seq: int) -> Stored | None:
        """The first message of this mailbox from a stream sequence on."""
        found = await self.link.pages(self.subject, seq, 1, most=1)
        return found[0] if found else None

    async def _page(self, state: State, place: int) -> Page:
        first, seq = self._before(state, place)
        known = self._cache.get(seq)
        if known is not None and known.summary.end >= place:
            return known
        seq = await self._closer(state, place, first, seq)
        while True:
            found = await self.link.pages(self.subject, seq, RELAY_PAGE_BYTES)
            pages = [self.taken(stored) for stored in found]
            for page in pages:
                if page.summary.first <= place <= page.summary.end:
                    return page
            if not pages or pages[-1].summary.first > place:
                self.forget()
                raise Unsure(f"place {place} is not there: pruned meanwhile, or a replica lags behind")
            seq = pages[-1].seq + 1

    def _before(self, state: State, place: int) -> tuple[int, int]:
        """First place and stream sequence of the nearest page known that is not after a place."""
        if place in state.marks:
            return place, state.marks[place]
        span, _ = state.near(place)
        at = max((first for first in state.marks if first <= place), default=0)
        return (at, state.marks[at]) if at > span.first else (span.first, span.seq)

    async def _closer(self, state: State, place: int, first: int, seq: int) -> int:
        """Halve the way until a page not far before the place is found; its stream sequence."""
        end = state.near(place)[1]
        while place - first > PAGES_PER_QUESTION and end - seq > PAGES_PER_QUESTION:
            middle = (seq + end) // 2
            stored = await self.stored(middle)
            if stored is None or stored.seq >= end:
                end = middle
                continue
            page = self.taken(stored)
            if page.summary.first > place:
                end = middle
            else:
                first, seq = page.summary.first, stored.seq
        return seq

    def taken(self, stored: Stored) -> Page:
        """A page from its message; remembered."""
        known = self._cache.get(stored.seq)
        if known is None:
            known = page_of(stored.seq, read_summary(stored.summary), read_body(stored.data))
            self._cache.put(known)
        if self._state is not None and known.summary.count:
            self._state.mark(known.summary.first, known.seq)
        return known


def _restored(stored: Stored) -> State:
    snapshot = read_body(stored.data).snapshot
    if snapshot is None:
        raise StoreDamaged(f"The page {stored.seq} of {stored.subject} lacks its snapshot: it is damaged.")
    return restore(stored.seq, read_summary(stored.summary), snapshot)


def _resolve(done: "asyncio.Future[Appended]", answer: Appended | None) -> None:
    if done.done():  # whoever waited went away
        return
    if answer is None:
        done.set_exception(
            StoreUnavailable(f"A mailbox remembers at most {MAX_MAILBOX_DEVICES} devices; this one has them.")
        )
    else:
        done.set_result(answer)
