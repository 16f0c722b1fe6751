"""One connection to a relay, seen from the client: mailboxes opened, read in order, checked, and written to.

Owns: what is said to a relay and what its answers are held to. A sans-IO machine: `receive(message)`,
`messages_to_send()`, `next_event()`. Must not know: sockets, what a record holds, where marks are kept.

A mailbox is read from a `Mark`, which the caller keeps: whatever the relay then gives must follow it without a gap, in
the order of the chain, under heads that it signed. What contradicts that is a fault of the relay: it is told once,
and the mailbox is closed.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from quire.limits import MAX_MAILBOXES, RECORDS_PER_READ, RELAY_WINDOW_BYTES
from quire.net import relay_wire
from quire.net.mailbox import Access
from quire.net.relay_wire import (
    NO_CHAIN,
    VERSION,
    Ack,
    Add,
    Added,
    BadRelayMessage,
    Challenge,
    Entries,
    Entry,
    Found,
    FromRelay,
    Greeting,
    Grown,
    Head,
    Leave,
    Message,
    Read,
    Record,
    Refusal,
)

#: What a relay did that an honest one never does.
Misdeed = Literal["another-key", "rolled-back", "rewritten", "unsigned", "malformed"]
NO_HEAD = Head(0, NO_CHAIN, b"")


class Mark(NamedTuple):
    """What of a mailbox is kept here: all up to place `cursor`, where the chain is `chain`; own records up to number
    `local` are known to be there. `head` is the longest that the relay vouched for.
    """

    cursor: int = 0
    chain: bytes = NO_CHAIN
    local: int = 0
    head: Head = NO_HEAD


class Came(NamedTuple):
    """What came of a mailbox, in order, up to and with the place that `mark` names.

    `removed`: so many before them are gone by the relay's retention; `reached`: it has no more at present.
    """

    n: int
    mark: Mark
    data: list[bytes]
    removed: int
    reached: bool


class Posted(NamedTuple):
    """What was posted under this number is kept by the relay."""

    n: int
    post: int
    mark: Mark


class Unposted(NamedTuple):
    """What was posted under this number is not kept; `refusal` says why.

    None: the relay holds others under its numbers, which this device did not know of and now reads.
    """

    n: int
    post: int
    refusal: Refusal | None


class Refused(NamedTuple):
    """The relay does not open a mailbox, or ends the connection (`n` 0)."""

    n: int
    refusal: Refusal


class Fault(NamedTuple):
    """The relay broke its word about a mailbox (`n` 0: as a whole): what it vouched for before, and says now."""

    n: int
    misdeed: Misdeed
    before: Head
    now: Head


class Grew(NamedTuple):
    """A mailbox that is read frugally has records that were not read yet: `read_on` fetches them."""

    n: int


RelayEvent = Came | Posted | Unposted | Refused | Fault | Grew


class _Post(NamedTuple):
    number: int
    size: int
    local: int


@dataclass
class _Mailbox:
    access: Access
    mark: Mark
    frugal: bool
    #: Posts that wait for an answer, the oldest first.
    posts: deque[_Post] = field(default_factory=deque)
    #: The last number given to a record.
    local: int = 0
    #: The Hello is answered, and what the relay had is read: from then on more may be posted.
    greeted: bool = False
    reached: bool = False


class RelayClient:
    """`relay` is the public key (32 bytes) that the relay must have."""

    def __init__(self, relay: bytes) -> None:
        self._relay = relay
        self._challenge: Challenge | None = None
        self._mailboxes: dict[int, _Mailbox] = {}
        #: Records that go with a Hello which was not said yet.
        self._waiting: dict[int, list[Record]] = {}
        self._number = self._post = 0
        self._out: list[Message] = []
        self._events: deque[RelayEvent] = deque()
        self.over = False

    @property
    def free(self) -> int:
        """How many mailboxes can be opened beside those that are open."""
        return max(MAX_MAILBOXES - len(self._mailboxes), 0)

    def idle(self, n: int) -> bool:
        """Whether all that a mailbox has is read, and nothing that was posted to it waits for an answer."""
        mailbox = self._mailboxes.get(n)
        return mailbox is not None and mailbox.reached and not mailbox.posts

    def open(self, access: Access, mark: Mark, data: Sequence[bytes], ts: int, frugal: bool = False) -> int:
        """Open a mailbox, now or once the relay has spoken; gives its number on this connection.

        `data` is posted with the greeting, as post 0; `ts` is the wall clock (ms).
        """
        self._number += 1
        mailbox = _Mailbox(access, mark, frugal, local=mark.local)
        self._mailboxes[self._number] = mailbox
        self._waiting[self._number] = self._records(mailbox, 0, data, ts)
        if self._challenge is not None:
            self._say_hello(self._number)
        return self._number

    def room(self, n: int) -> int:
        """How many bytes may be posted to a mailbox now: none before all that the relay had is read."""
        mailbox = self._mailboxes.get(n)
        if mailbox is None or not mailbox.reached:
            return 0
        return max(RELAY_WINDOW_BYTES - sum(post.size for post in mailbox.posts), 0)

    def post(self, n: int, data: Sequence[bytes], ts: int) -> int:
        """Add records to a mailbox that has room; gives the number that the answer will name."""
        self._post += 1
        self._out.append(Add(n, self._records(self._mailboxes[n], self._post, data, ts)))
        return self._post

    def kept(self, n: int, cursor: int) -> None:
        """All up to this place is kept: the relay may note it, and give more."""
        mailbox = self._mailboxes.get(n)
        if mailbox is not None:
            self._out.append(Ack(n, cursor))
            if mailbox.frugal and not mailbox.reached:
                self._out.append(Read(n, cursor, RECORDS_PER_READ))

    def read_on(self, n: int) -> None:
        """Fetch what a mailbox that is read frugally has by now."""
        mailbox = self._mailboxes.get(n)
        if mailbox is not None and mailbox.reached and mailbox.mark.head.length > mailbox.mark.cursor:
            mailbox.reached = False
            self._out.append(Read(n, mailbox.mark.cursor, RECORDS_PER_READ))

    def leave(self, n: int) -> None:
        """Close a mailbox; what is under way comes to nothing."""
        if self._mailboxes.pop(n, None) is not None and self._waiting.pop(n, None) is None:
            self._out.append(Leave(n))

    def receive(self, data: bytes) -> None:
        """Take a message of the relay's; whatever it is, nothing is raised."""
        if self.over:
            return
        try:
            self._take(relay_wire.read_relay(data))
        except BadRelayMessage:
            self._fault(0, "malformed", NO_HEAD)

    def messages_to_send(self) -> list[bytes]:
        """The messages to send now, each as one of the WebSocket's."""
        out, self._out = self._out, []
        return [relay_wire.encode(one) for one in out]

    def next_event(self) -> RelayEvent | None:
        """What has happened since the last time, oldest first."""
        return self._events.popleft() if self._events else None

    # --- what the relay says

    def _take(self, said: FromRelay) -> None:
        if isinstance(said, Challenge):
            self._meet(said)
        elif isinstance(said, Refusal):
            self._take_refusal(said)
        elif self._challenge is None:
            raise BadRelayMessage("malformed")
        elif said.n in self._mailboxes:  # else it was closed meanwhile
            if isinstance(said, Greeting):
                self._greet(said)
            elif isinstance(said, Added):
                self._take_added(said)
            elif isinstance(said, Entries):
                self._take_entries(said)
            elif isinstance(said, Grown):
                self._take_grown(said)
            elif isinstance(said, Found):
                raise BadRelayMessage("malformed")  # nobody asked

    def _meet(self, challenge: Challenge) -> None:
        if self._challenge is not None or challenge.version != VERSION:
            raise BadRelayMessage("malformed")
        if challenge.relay != self._relay:
            self._fault(0, "another-key", NO_HEAD)
            return
        self._challenge = challenge
        for n in list(self._waiting):
            self._say_hello(n)

    def _greet(self, said: Greeting) -> None:
        mailbox = self._mailboxes[said.n]
        mark = mailbox.mark
        if mailbox.greeted:
            raise BadRelayMessage("malformed")
        if not self._vouched(said.n, said.head):
            return
        if said.had < mark.local or said.head.length < max(mark.head.length, mark.cursor):
            self._fault(said.n, "rolled-back", said.head)
            return
        mailbox.greeted = True
        mailbox.local = said.taken
        known = said.had == mark.local
        mailbox.mark = mark._replace(head=said.head, local=said.taken if known else mark.local)
        mailbox.reached = said.head.length == mark.cursor
        if mailbox.posts and not known:
            self._events.append(Unposted(said.n, mailbox.posts.popleft().number, None))
        elif mailbox.posts and said.taken >= mailbox.posts[0].local:
            self._events.append(Posted(said.n, mailbox.posts.popleft().number, mailbox.mark))
        # Else they were refused, and a refusal follows.
        if mailbox.reached:
            self._events.append(Came(said.n, mailbox.mark, [], 0, True))
        elif mailbox.frugal:
            self._out.append(Read(said.n, mark.cursor, RECORDS_PER_READ))

    def _take_added(self, said: Added) -> None:
        mailbox = self._mailboxes[said.n]
        if not mailbox.posts or said.taken < mailbox.posts[0].local:
            raise BadRelayMessage("malformed")
        if self._vouched(said.n, said.head):
            post = mailbox.posts.popleft()
            mailbox.mark = _longer(mailbox.mark, said.head)._replace(
                local=max(mailbox.mark.local, post.local)
            )
            self._events.append(Posted(said.n, post.number, mailbox.mark))

    def _take_grown(self, said: Grown) -> None:
        mailbox = self._mailboxes[said.n]
        if self._vouched(said.n, said.head):
            mailbox.mark = _longer(mailbox.mark, said.head)
            if mailbox.reached and said.head.length > mailbox.mark.cursor:
                self._events.append(Grew(said.n))

    def _take_entries(self, said: Entries) -> None:
        mailbox = self._mailboxes[said.n]
        mark = mailbox.mark
        removed = said.first - 1 - mark.cursor
        if removed < 0 or (removed == 0 and said.before != mark.chain):
            self._fault(said.n, "rewritten", said.head)
            return
        if not self._vouched(said.n, said.head):
            return
        chain, local = said.before, mark.local
        for entry in said.entries:
            device = said.devices[entry.sender]
            chain = relay_wire.link(chain, (_digest(device, entry),))
            if device == mailbox.access.device_key.public:
                local = max(local, entry.local)
        cursor = said.first - 1 + len(said.entries)
        if cursor > said.head.length or (cursor == said.head.length and chain != said.head.chain):
            self._fault(said.n, "rewritten", said.head)
            return
        mailbox.mark = _longer(mark._replace(cursor=cursor, chain=chain, local=local), said.head)
        mailbox.reached = said.reached
        data = [entry.data for entry in said.entries if entry.data is not None]
        self._events.append(Came(said.n, mailbox.mark, data, removed, said.reached))

    def _take_refusal(self, said: Refusal) -> None:
        mailbox = self._mailboxes.get(said.n)
        if said.n == 0:
            self.over = True
            self._events.append(Refused(0, said))
        elif mailbox is not None and (not mailbox.greeted or said.reason == "damaged"):
            del self._mailboxes[said.n]
            self._events.append(Refused(said.n, said))
        elif mailbox is not None and mailbox.posts:
            self._events.append(Unposted(said.n, mailbox.posts.popleft().number, said))

    # --- inside

    def _vouched(self, n: int, head: Head) -> bool:
        """Whether the relay stands by what it says, and it agrees with what it said before.

        A shorter head is none the worse on one connection: a page may have been read before another was written.
        """
        mailbox = self._mailboxes[n]
        mark = mailbox.mark
        if not relay_wire.head_holds(self._relay, mailbox.access.id, head):
            self._fault(n, "unsigned", head)
        elif head.chain != {mark.head.length: mark.head.chain, mark.cursor: mark.chain}.get(
            head.length, head.chain
        ):
            self._fault(n, "rewritten", head)
        else:
            return True
        return False

    def _fault(self, n: int, misdeed: Misdeed, now: Head) -> None:
        mailbox = self._mailboxes.get(n)
        before = NO_HEAD if mailbox is None else mailbox.mark.head
        self._events.append(Fault(n, misdeed, before, now))
        if mailbox is None:
            self.over = True
        self.leave(n)

    def _say_hello(self, n: int) -> None:
        assert self._challenge is not None
        mailbox, records = self._mailboxes[n], self._waiting.pop(n)
        mark = mailbox.mark
        self._out.append(
            mailbox.access.hello(self._challenge, n, mark.cursor, mark.local, mailbox.frugal, records)
        )

    def _records(self, mailbox: _Mailbox, number: int, data: Sequence[bytes], ts: int) -> list[Record]:
        records = [
            Record(mailbox.local + 1 + at, ts, mailbox.access.scope, one) for at, one in enumerate(data)
        ]
        if records:
            mailbox.local = records[-1].local
            mailbox.posts.append(_Post(number, sum(len(one) for one in data), mailbox.local))
        return records


def _longer(mark: Mark, head: Head) -> Mark:
    return mark._replace(head=head) if head.length >= mark.head.length else mark


def _digest(device: bytes, entry: Entry) -> bytes:
    if entry.data is None:
        return entry.digest
    return relay_wire.digest(device, Record(entry.local, entry.ts, entry.scope, entry.data))
