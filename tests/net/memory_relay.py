"""An honest relay in memory, for one client connection after the other; tests make it lie by changing its log."""

from typing import NamedTuple

from quire.core.keys import DeviceKey
from quire.limits import MAX_MAILBOXES
from quire.net import relay_wire
from quire.net.relay_wire import (
    NO_CHAIN,
    VERSION,
    Ack,
    Add,
    Added,
    Challenge,
    Entries,
    Entry,
    Greeting,
    Grown,
    Head,
    Hello,
    Leave,
    Message,
    Read,
    Record,
    Refusal,
)


class Kept(NamedTuple):
    device: bytes
    record: Record


class MemoryRelay:
    """`logs`: mailbox → records in order; `page` entries go into one message, `most` mailboxes are open at once."""

    def __init__(self, seed: bytes = bytes(32), page: int = 3) -> None:
        self.key = DeviceKey(seed)
        self.logs: dict[bytes, list[Kept]] = {}
        self.pruned: dict[bytes, int] = {}
        self.page = page
        self.most = MAX_MAILBOXES
        self.heard: list[Message] = []
        self.lines: list[Line] = []

    def connect(self) -> "Line":
        self.lines.append(Line(self))
        return self.lines[-1]

    def chain(self, mailbox: bytes, length: int) -> bytes:
        log = self.logs.get(mailbox, [])[:length]
        return relay_wire.link(NO_CHAIN, (relay_wire.digest(*one) for one in log))

    def head(self, mailbox: bytes) -> Head:
        length = len(self.logs.get(mailbox, []))
        return relay_wire.sign_head(self.key, mailbox, length, self.chain(mailbox, length))

    def last(self, mailbox: bytes, device: bytes) -> int:
        return max(
            (one.record.local for one in self.logs.get(mailbox, []) if one.device == device), default=0
        )

    def add(self, mailbox: bytes, device: bytes, *records: Record) -> None:
        """Keep records, and tell whoever has the mailbox open."""
        last = self.last(mailbox, device)
        self.logs.setdefault(mailbox, []).extend(Kept(device, one) for one in records if one.local > last)
        for line in self.lines:
            line.grown(mailbox)


class Line:
    """One client's connection: what it is told lies in `out`."""

    def __init__(self, relay: MemoryRelay) -> None:
        self._relay = relay
        self._open: dict[int, Hello] = {}
        self._sent: dict[int, int] = {}
        self._had: dict[int, int] = {}
        self.challenge = Challenge(VERSION, relay.key.public, bytes(range(32)))
        self.out: list[Message] = [self.challenge]

    def receive(self, data: bytes) -> None:
        said, relay = relay_wire.read_client(data), self._relay
        relay.heard.append(said)
        if isinstance(said, Hello) and len(self._open) >= self._relay.most:
            self.out.append(Refusal(said.n, "mailboxes", 0, "Too many mailboxes on one connection."))
        elif isinstance(said, Hello):
            assert relay_wire.hello_holds(self.challenge, said)
            mailbox = said.keys.id
            had = self._had[said.n] = relay.last(mailbox, said.device)
            relay.add(mailbox, said.device, *said.records)
            self._open[said.n] = said
            self._sent[said.n] = said.seq
            taken = relay.last(mailbox, said.device)
            self.out.append(Greeting(said.n, relay.head(mailbox), had, taken, said.seq, []))
            if not said.frugal:
                self._push(said.n)
        elif isinstance(said, Add):
            hello = self._open[said.n]
            self.out.append(Added(said.n, said.records[-1].local, relay.head(hello.keys.id)))
            place = len(self.out) - 1
            relay.add(hello.keys.id, hello.device, *said.records)
            taken = relay.last(hello.keys.id, hello.device)
            self.out[place] = Added(said.n, taken, relay.head(hello.keys.id))
        elif isinstance(said, Read):
            self._sent[said.n] = said.after
            self._push(said.n, min(said.limit, relay.page))  # one message for each question
        elif isinstance(said, Leave):
            del self._open[said.n]
        else:
            assert isinstance(said, Ack)

    def grown(self, mailbox: bytes) -> None:
        for n, hello in self._open.items():
            if hello.keys.id == mailbox and hello.frugal:
                self.out.append(Grown(n, self._relay.head(mailbox)))
            elif hello.keys.id == mailbox:
                self._push(n)

    def _push(self, n: int, limit: int = 10**9) -> None:
        hello, relay = self._open[n], self._relay
        mailbox = hello.keys.id
        log = relay.logs.get(mailbox, [])
        while self._sent[n] < len(log) and limit > 0:
            first = max(self._sent[n], relay.pruned.get(mailbox, 0))
            page = log[first : first + min(relay.page, limit)]
            devices = sorted({one.device for one in page})
            entries = [self._entry(hello, devices, one) for one in page]
            reached = first + len(page) == len(log)
            before = relay.chain(mailbox, first)
            self.out.append(Entries(n, first + 1, before, devices, entries, relay.head(mailbox), reached))
            self._sent[n] = first + len(page)
            limit -= len(page)

    def _entry(self, hello: Hello, devices: list[bytes], one: Kept) -> Entry:
        record, sender = one.record, devices.index(one.device)
        unknown = hello.local < record.local <= self._had[hello.n]
        if one.device == hello.device and not unknown:
            return Entry(sender, record.local, record.ts, record.scope, None, relay_wire.digest(*one))
        return Entry(sender, record.local, record.ts, record.scope, record.data)
