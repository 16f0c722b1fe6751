"""One identity's use of one relay in one space: what is read there is ingested, what it lacks is handed to it.

Owns: which mailboxes are open, what of this device's store a relay has. Must not know: how relays are reached, other
identities.

Every event goes to the mailbox of the key that it is sealed under. Own events go at once; what others wrote is left to
themselves for a while, and handed over when the relay still lacks it: so it comes to hold all, whoever is reached.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from quire.core.relay_address import RelayAddress
from quire.core.sealing import KEY_ID_BYTES, NONCE_BYTES
from quire.errors import BadEvent
from quire.events.home import Home
from quire.events.ingest import Tail
from quire.events.keyring import first_epoch
from quire.events.settle import Report
from quire.events.standing import graph_of
from quire.handlers import incoming
from quire.limits import (
    FORWARD_MS,
    FRUGAL_MS,
    HELLO_EVENT_BYTES,
    HELLO_RECORD_BYTES,
    MAX_INTEGER,
    POST_BYTES,
    POST_EVENTS,
    RELAY_REREAD_MS,
    RELAY_RETRY_MS,
)
from quire.net.mailbox import Access, bundles
from quire.net.relay_client import Came, Mark, Posted, RelayClient, Unposted
from quire.net.relay_wire import Head, Scope
from quire.node.relay_turns import Turns, in_turn
from quire.store.blobs import BlobRow
from quire.store.memberships import Membership
from quire.store.relays import MailboxRow, Placed, Use

#: Called when something was ingested in a space (32 bytes), now (ms).
Changed = Callable[[bytes, int], None]


class Now(NamedTuple):
    """A clock that never runs backwards, and the time of day (ms each)."""

    steady: int
    wall: int


@dataclass
class _Batch:
    """What is handed over together: once it is kept, the relay has all up to these places (see `Relays.posted`)."""

    own: int
    others: int
    rows: list[BlobRow]
    #: Nonces of what it was known to have.
    had: list[bytes]
    #: Posts without an answer: a mailbox's number and the post's.
    waits: set[tuple[int, int]] = field(default_factory=set)


class _Box(NamedTuple):
    epoch: int
    access: Access


class RelayUse:
    """Of a relay that `client` speaks to; `changed` is told of what was ingested. `frugal`: it is read now and then."""

    def __init__(
        self,
        home: Home,
        member: Membership,
        relay: RelayAddress,
        client: RelayClient,
        changed: Changed,
        frugal: bool,
    ) -> None:
        self.account, self.space = member.account, member.space
        self._home = home
        self._relay = relay
        self._client = client
        self._changed = changed
        self._frugal = frugal
        self._grown: set[int] = set()
        self._read_at = 0
        self._kept = home.store.relays
        self.use = Use(member.account, member.space, self._kept.number(relay.key))
        self._jitter = int.from_bytes(member.device_key.public[:4]) % FORWARD_MS
        self._boxes: dict[int, _Box] = {}
        self._by_epoch: dict[int, int] = {}
        #: Those that are open, and not read to their end.
        self._unread: set[int] = set()
        self._turns = Turns()
        #: Of how many epochs what is handed over together may be.
        self._most_epochs = 1
        self._tail = Tail()
        #: By mailbox: how far it is read beyond what is kept.
        self._marks: dict[bytes, Mark] = {}
        #: By mailbox: the place and the chain up to which it is noted as read, and no further: something after that
        #: found no room among what waits. Another connection reads on from there.
        self._behind: dict[bytes, tuple[int, bytes]] = {}
        self._again_at = MAX_INTEGER
        self._own, self._others = self._kept.posted(self.use)
        self._batch: _Batch | None = None
        #: Until then nothing is handed over: the relay refused.
        self._rests_until = 0
        #: When the first of what others wrote will have had its time: until then nobody looks for it.
        self._others_at = 0
        self._tidied = False

    @property
    def _key(self) -> tuple[int, int]:
        return self.account, self.space

    @property
    def member(self) -> Membership:
        """The identity in its space, as it is now."""
        return self._home.store.memberships.get(self.account, self.space)

    @property
    def numbers(self) -> list[int]:
        """The mailboxes that are open, as the client numbers them."""
        return list(self._boxes)

    @property
    def in_sync(self) -> bool:
        """Whether all that the relay had is read, and all own events that are here are there."""
        member = self.member
        read = bool(self._boxes) and not self._unread and self._turns.all_read(member.epochs)
        return read and self._batch is None and not lacking(self._home, member, self.use, 1)

    @property
    def rest_until(self) -> int:
        """When what the relay refused is tried again."""
        return max(self._rests_until, self._turns.rests_until)

    @property
    def again_at(self) -> int:
        """When all is read that there was, and what found no room is to be read again, by another connection."""
        return MAX_INTEGER if self._unread else self._again_at

    @property
    def wanted(self) -> int:
        """How many mailboxes would be open if all could be."""
        return len(self.member.epochs)

    def open_mailboxes(self, now: Now, most: int) -> None:
        """Open those of the keys that are held by now, so many at `most`: others have their turn later. What waits to
        be posted goes with the first greetings.
        """
        member = self.member
        self._most_epochs = MAX_INTEGER if len(member.epochs) <= most else in_turn(most)
        fresh = self._take_turn(member, most, now)
        first = bool(fresh) and not self._by_epoch
        batch = self._next_batch(now, own=True, most=HELLO_EVENT_BYTES) if first else None
        if batch is not None and any(row.epoch not in fresh for row in batch.rows):
            batch = None
        sealed = {} if batch is None else self._sealed(batch.rows, self._accesses(member, fresh))
        if any(sum(map(len, data)) > HELLO_RECORD_BYTES for data in sealed.values()):
            batch, sealed = None, {}  # one large event: posted once the relay has greeted
        for epoch, access in self._accesses(member, fresh).items():
            data = sealed.get(epoch, [])
            n = self._client.open(access, self._mark(access.id), data, now.wall, self._frugal)
            self._boxes[n] = _Box(epoch, access)
            self._by_epoch[epoch] = n
            self._unread.add(n)
            if batch is not None and data:
                batch.waits.add((n, 0))
        if batch is not None and batch.waits:
            self._batch = batch

    def came(self, came: Came, now: Now) -> None:
        """Ingest what was read, and note how far that was.

        Raises HomeError when it cannot be kept: `client` gives it no second time, another connection does.
        """
        member, box = self.member, self._boxes[came.n]
        records = self._opened(box.access, came.data, now)
        unread = self._unread - {came.n} if came.reached else self._unread
        tail, marks, behind = list(self._tail), {**self._marks, box.access.id: came.mark}, self._behind
        with self._home.store.transaction():
            self._kept.note(self.use, [_nonce(record[KEY_ID_BYTES:]) for record in records])
            if came.removed:
                self._kept.miss(self.use, came.removed)
            if records or tail:
                more = bool(unread)
                report = incoming.receive(self._home, member, records, self._source, now.wall, tail, more)
                behind = self._left_behind(marks, report)
            if not tail:  # what is in it is in no store yet: read it again after a crash
                self._keep(marks, behind)
        self._unread, self._tail, self._marks = unread, tail, marks if tail else {}
        if behind is not self._behind:
            self._behind, self._again_at = behind, now.steady + RELAY_REREAD_MS
        self._client.kept(came.n, came.mark.cursor)
        if records:
            self._turns.used(box.epoch, now.steady)
        if came.reached:
            self._turns.reached(box.epoch)
        if records:
            self._changed(member.raw_space_id, now.steady)

    def posted(self, posted: Posted) -> None:
        """The relay keeps a post."""
        box = self._boxes[posted.n].access.id
        self._marks[box] = self._marks.get(box, posted.mark)._replace(
            local=posted.mark.local, head=posted.mark.head
        )
        if self._batch is not None:
            self._batch.waits.discard((posted.n, posted.post))
            if not self._batch.waits:
                self._settle(self._batch)

    def unposted_by(self, unposted: Unposted, now: Now) -> None:
        """The relay does not keep a post: all of the batch is looked at again, in a while if it says so."""
        self._batch = None
        if unposted.refusal is not None:
            self._rests_until = now.steady + max(unposted.refusal.retry_ms, RELAY_RETRY_MS)

    def grew(self, n: int) -> None:
        """A mailbox has more, which a frugal node reads now and then."""
        self._grown.add(n)

    def refused(self, n: int, retry_ms: int, now: Now) -> None:
        """The relay does not open a mailbox, or shut it: it is tried again in a while, and others are used."""
        box = self._boxes.pop(n)
        del self._by_epoch[box.epoch]
        self._unread.discard(n)
        self._turns.refused(box.epoch, now.steady + max(retry_ms, RELAY_RETRY_MS))
        if self._batch is not None and any(waits == n for waits, _ in self._batch.waits):
            self._batch = None

    def closed(self, now: Now) -> None:
        """The connection is gone: what waits for its successor is ingested as it is.

        Raises HomeError when it cannot be kept: it is read again.
        """
        if self._tail:
            report = incoming.receive(self._home, self.member, [], self._source, now.wall, self._tail)
            self._keep(self._marks, self._left_behind(self._marks, report))

    def post(self, now: Now) -> None:
        """Hand over what the relay lacks, as far as it may be now: after all that it had was read."""
        if self._grown and now.steady >= self._read_at:
            self._read_at = now.steady + FRUGAL_MS
            for n in sorted(self._grown & self._boxes.keys()):
                self._unread.add(n)
                self._client.read_on(n)
            self._grown.clear()
        while self._boxes and self._batch is None and not self._unread and now.steady >= self._rests_until:
            batch = self._next_batch(now, own=True)
            if batch is None and self._turns.awaited(self.member.epochs):
                return
            batch = batch or self._next_batch(now, own=False)
            if batch is None:
                self._turns.needed = ()
                self._tidy()
                return
            if not self._hand_over(batch, now):
                return

    def _tidy(self) -> None:
        """Once after a start: when nothing waits to be looked through, nothing needs to be noted."""
        waiting = self._home.store.waiting.count(*self._key) + self._home.store.locked.count(*self._key)
        if not self._tidied and not waiting and self._others == self._home.store.blobs.last_cursor():
            self._kept.forget_all_noted(self.use)
            self._tidied = True

    # --- inside

    @property
    def _source(self) -> str:
        return f"relay {self._relay.host}"

    def _take_turn(self, member: Membership, most: int, now: Now) -> list[int]:
        """Leave mailboxes for others to be opened; the epochs of those."""
        opened = {epoch: self._client.idle(n) for epoch, n in self._by_epoch.items()}
        most = min(most, len(opened) + self._client.free)
        current = {member.content, member.control}
        if len(member.epochs) > most:  # keys are handed out under the first one
            current.add(first_epoch(self._home, member, graph_of(self._home, member)))
        turn = self._turns.next(member.epochs, current, opened, most, now.steady)
        for epoch in turn.leave:
            n = self._by_epoch.pop(epoch)
            del self._boxes[n]
            self._client.leave(n)
            self._turns.left(epoch, now.steady)
        return turn.fresh

    def _accesses(self, member: Membership, epochs: Sequence[int]) -> dict[int, Access]:
        relay, seed = self._relay.key, member.device_key.seed
        return {
            epoch: Access(member.epochs[epoch][0], relay, seed, _scope(member, epoch)) for epoch in epochs
        }

    def _opened(self, access: Access, data: Sequence[bytes], now: Now) -> list[bytes]:
        records: list[bytes] = []
        for one in data:
            try:
                records += access.open(one)
            except BadEvent as error:  # somebody with the key, or who had it, wrote nonsense
                self._home.store.rejections.count(self.account, self._source, error.reason, now.wall, 1)
        return records

    def _mark(self, mailbox: bytes) -> Mark:
        if mailbox in self._marks:
            return self._marks[mailbox]
        kept = self._kept.mailbox(self.use, mailbox)
        return Mark() if kept is None else Mark(*kept[:3], Head(*kept[3:]))

    def _left_behind(self, marks: Mapping[bytes, Mark], report: Report) -> dict[bytes, tuple[int, bytes]]:
        """How far those mailboxes are to count as read from which something was refused for want of room."""
        if "waiting-list-full" not in report.rejected:
            return self._behind
        kept = {mailbox: self._kept.mailbox(self.use, mailbox) for mailbox in marks}
        return {
            mailbox: Mark()[:2] if row is None else row[:2] for mailbox, row in kept.items()
        } | self._behind

    def _keep(self, marks: Mapping[bytes, Mark], behind: Mapping[bytes, tuple[int, bytes]]) -> None:
        for mailbox, mark in marks.items():
            cursor, chain = behind.get(mailbox, mark[:2])
            self._kept.keep_mailbox(self.use, mailbox, MailboxRow(cursor, chain, mark.local, *mark.head))

    def _next_batch(self, now: Now, own: bool, most: int = POST_BYTES) -> _Batch | None:
        """What comes next of own events, or of others' that had their time, about `most` bytes of it; None when there
        is nothing to look at.
        """
        until = 0 if own else self._home.store.blobs.last_cursor()
        if not own and (self._others >= until or now.steady < self._others_at):
            return None
        found = self._next(own, until, POST_EVENTS)
        wait = FORWARD_MS + self._jitter
        rows = _few(found, MAX_INTEGER if own else now.wall - wait, most, self._most_epochs)
        if rows and (own or len(rows) < len(found) or len(found) == POST_EVENTS):
            reached = rows[-1].place
        elif own:
            return None
        elif found and not rows:
            # Clocks jump: at most as long as it would be for what comes now.
            self._others_at = now.steady + min(found[0].received_ts + wait - now.wall, wait)
            return None
        else:
            reached = until
        had = self._kept.noted(self.use, [_nonce(one.row.sealed) for one in rows])
        lacking = [one.row for one in rows if _nonce(one.row.sealed) not in had]
        return _Batch(reached if own else self._own, self._others if own else reached, lacking, sorted(had))

    def _next(self, own: bool, until: int, limit: int) -> list[Placed]:
        device = self._home.store.names.known_device(self.space, self.member.device) or 0
        if own and self._home.store.blobs.top(device) <= self._own:
            return []  # known without a query: this is asked at each commit
        if own:
            return self._kept.own(self.account, self.space, device, self._own, limit)
        return self._kept.others(self.account, self.space, device, self._others, until, limit)

    def _hand_over(self, batch: _Batch, now: Now) -> bool:
        """Post a batch; False when a mailbox that it goes to cannot take it yet."""
        at = {row.epoch: self._by_epoch.get(row.epoch) for row in batch.rows}
        self._turns.needed = at.keys()
        if any(n is None or not self._client.room(n) for n in at.values()):
            return False
        accesses = {epoch: self._boxes[n].access for epoch, n in at.items() if n is not None}
        for epoch, data in self._sealed(batch.rows, accesses).items():
            n = self._by_epoch[epoch]
            batch.waits.add((n, self._client.post(n, data, now.wall)))
            self._turns.used(epoch, now.steady)
        self._batch, self._turns.needed = batch, ()
        if not batch.waits:
            self._settle(batch)
        return True

    def _sealed(self, rows: Sequence[BlobRow], accesses: Mapping[int, Access]) -> dict[int, list[bytes]]:
        """Epoch → records with the events sealed under it."""
        names, entropy = self._home.store.names, self._home.entropy
        items: dict[int, list[bytes]] = {}
        for row in rows:
            items.setdefault(row.epoch, []).append(names.key_id(row.epoch) + row.sealed)
        return {
            epoch: [accesses[epoch].seal(one, entropy(NONCE_BYTES)) for one in bundles(every)]
            for epoch, every in items.items()
        }

    def _settle(self, batch: _Batch) -> None:
        self._own, self._others, self._batch = batch.own, batch.others, None
        if not batch.rows and not batch.had:
            return  # looked at again after a restart, at no cost
        with self._home.store.transaction():
            self._kept.keep_posted(self.use, self._own, self._others)
            self._kept.forget_noted(self.use, batch.had)
            if not self._tail:
                self._keep(self._marks, self._behind)
        if not self._tail:
            self._marks = {}


def lacking(home: Home, member: Membership, use: Use, limit: int) -> int:
    """How many of this device's events a relay was not handed yet, counted up to `limit`."""
    own, _ = home.store.relays.posted(use)
    device = home.store.names.known_device(member.space, member.device) or 0
    return len(home.store.relays.own(member.account, member.space, device, own, limit))


def _scope(member: Membership, epoch: int) -> Scope:
    """What leads into a space is of use for as long as the space is: a relay that keeps content for days keeps it."""
    return "space" if epoch in member.contents else "friend"


def _few(found: Sequence[Placed], received_until: int, most: int, most_epochs: int) -> list[Placed]:
    """The first of them, received up to a time (ms), of about `most` bytes, and of so many epochs."""
    size, rows, epochs = 0, [], set()
    for one in found:
        epochs.add(one.row.epoch)
        if size >= most or one.received_ts > received_until or len(epochs) > most_epochs:
            break
        size += len(one.row.sealed)
        rows.append(one)
    return rows


def _nonce(sealed: bytes) -> bytes:
    return sealed[:NONCE_BYTES]
