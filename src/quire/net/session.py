"""Sync rounds with one peer: one space, one local device, one remote device.

Owns: frames in and out, acknowledgement, greeting, heartbeats, and the peer's address and conduct.
Must not know: sockets, other sessions, the store's insides, what events mean. It never writes a store:
received records go up as BlobsReceived, and the node ingests them in batches.

Laws. Only packets that echo our cid are acted on; any other provokes at most one HELLO, no larger than
itself. Events go only to an address that has answered from there; until then no more bytes go out to
it than came in. Acknowledged means: handed to the node. What a lost strategy message said, a later
heartbeat says again; lost records and addresses are sent again.
"""

from collections import deque
from collections.abc import Sequence

from quire.core.sealing import NONCE_BYTES
from quire.limits import (
    ACTIVE_MS,
    ADDRESSES_PER_FRAME,
    HEARTBEAT_GAP_MS,
    LOOK_AGAIN_MS,
    MAX_ADDRESSES,
    MAX_CONTROL,
    MAX_DATAGRAM,
    MAX_UNCOLLECTED_BYTES,
    PEER_BYTES_PER_SECOND,
    SEND_BATCH,
    SILENCE_MS,
)
from quire.net import wire
from quire.net.conduct import Conduct
from quire.net.flight import Flight
from quire.net.fragments import Reassembly
from quire.net.link import LINK_OVERHEAD, Link
from quire.net.notices import (
    Address,
    AddressesLearned,
    BlobsReceived,
    Connected,
    Disconnected,
    Misbehaved,
    Notice,
    Status,
    SyncChanged,
)
from quire.net.outbox import Outbox, Ref
from quire.net.pairing import Pairing, Verdict
from quire.net.pulse import ByteBudget, Pulse
from quire.net.received import Received
from quire.net.route import Route
from quire.sync.index import EventIndex
from quire.sync.strategy import BadMessage, Entropy, Strategy

_OVERHEAD = LINK_OVERHEAD + wire.PACKET_BYTES
_HELLO_DATAGRAM = _OVERHEAD + len(wire.hello("bloom"))
_WANT_ACK = (wire.EVENTS, wire.FRAGMENT, wire.ADDRESSES, wire.PING)


class Session:
    """See the module. `strategy_name` must be the peer's too; `now` is in ms throughout, from one clock."""

    def __init__(
        self,
        link: Link,
        index: EventIndex,
        strategy_name: str,
        strategy: Strategy,
        entropy: Entropy,
        now: int,
        bytes_per_second: int = PEER_BYTES_PER_SECOND,
    ) -> None:
        self.link = link
        self._index = index
        self._strategy_name = strategy_name
        self._strategy = strategy
        self._entropy = entropy
        self._pairing = Pairing(entropy)
        self._received = Received()
        # Bytes among the refs: a frame of addresses, said again when it is lost.
        self._flight: Flight[Ref | bytes] = Flight()
        self._outbox = Outbox(index, strategy)
        self._reassembly = Reassembly()
        self._pulse = Pulse(entropy, now)
        self._budget = ByteBudget(bytes_per_second, now)
        self._route = Route()
        self._conduct = Conduct()
        self._counter = 0
        self._hellos: list[tuple[bytes, bytes, Address]] = []
        self._control: deque[bytes] = deque()
        self._resume: int | None = None
        self._looked = False
        self._ping = False
        self._out: list[tuple[bytes, Address]] = []
        self._notices: deque[Notice] = deque()
        self._records: list[bytes] = []
        self._records_size = 0
        self._connected = False
        self._in_sync: bool | None = None
        self._heard: int | None = None
        self._active = now
        self._datagrams_in = self._datagrams_out = self._bytes_in = self._bytes_out = 0

    @property
    def connected(self) -> bool:
        """Whether the peer proved itself and is not silent."""
        return self._connected

    @property
    def last_heard(self) -> int | None:
        """When the last packet of the peer's run was accepted (ms)."""
        return self._heard

    def dial(self, addresses: Sequence[Address], now: int) -> None:
        """Addresses to greet the peer at while it is not connected (at most MAX_ADDRESSES, newest last)."""
        self._route.dial(addresses)
        if not self._connected:
            self._pulse.nudge(now)

    def push(self, event_ids: Sequence[bytes], now: int) -> None:
        """Send these live events ahead of reconciliation; without a connection, reconciliation finds them."""
        if self._connected:
            self._active = now
            self._outbox.push(event_ids)

    def peer_holds(self, event_ids: Sequence[bytes], now: int) -> None:
        """These were ingested from this peer: do not send them back."""
        self._outbox.peer_holds(event_ids, now)

    def nudge(self, now: int) -> None:
        """The local store changed: compare soon."""
        self._pulse.nudge(now)

    def share(self, known: Sequence[tuple[bytes, str]]) -> None:
        """Tell the peer where devices of the space were last reached (keys of 32 bytes, `host:port`)."""
        fit = [(device, text) for device, text in known if wire.is_address(text)]
        for at in range(0, len(fit), ADDRESSES_PER_FRAME):
            self._say([wire.addresses(fit[at : at + ADDRESSES_PER_FRAME])])

    def blame(self, reason: str, now: int) -> None:
        """Count something malformed against the peer; too much of it in a minute, and it is ignored."""
        if self._conduct.blame(reason, now):
            self._notices.append(Misbehaved(reason))

    # Receiving.

    def receive(self, payload: bytes, size: int, address: Address, now: int) -> None:
        """Take the payload that the link opened from a datagram of `size` bytes."""
        self._datagrams_in += 1
        self._bytes_in += size
        if self._conduct.ignored(now):
            self._conduct.reject("ignored")
            return
        try:
            packet = wire.read_packet(payload)
        except wire.BadFrame as error:
            self._conduct.reject(error.reason)  # no blame: anybody could be replaying it
            return
        verdict = self._pairing.judge(packet.cid, packet.echo)
        if verdict is Verdict.GREET:
            self._greet(packet.cid, size, address, now)
            return
        if verdict is Verdict.ADOPT:
            self._begin(address, now)
        self._accept(packet, size, address, now)

    def _accept(self, packet: wire.Packet, size: int, address: Address, now: int) -> None:
        if self._records_size > MAX_UNCOLLECTED_BYTES:
            self._conduct.reject("uncollected")  # unacknowledged, so that it comes again
        elif not self._received.add(packet.counter):
            self._conduct.reject("replay")
        else:
            self._hear(packet.counter, size, address, now)
            try:
                for kind, body in wire.read_frames(packet.frames):
                    self._take(kind, body, now)
            except (wire.BadFrame, BadMessage) as error:
                self.blame(error.reason, now)
            if self._received.ack_overdue and self._route.open:
                # Even if the node takes in thousands before it sends: one ACK reaches only so far back.
                self._send([self._ack()], [], address, now)

    def _begin(self, address: Address, now: int) -> None:
        self._received = Received()
        self._lost(self._flight.abandon())
        self._flight = Flight()
        self._route.adopt(address, self._counter)
        self._connected = False

    def _hear(self, counter: int, size: int, address: Address, now: int) -> None:
        self._heard = now
        self._route.heard(address, size, counter == self._received.highest, self._counter)
        if not self._connected:
            self._connected = True
            self._notices.append(Connected(address))
            self._pulse.at_once(now)

    def _take(self, kind: int, body: bytes, now: int) -> None:
        if kind in _WANT_ACK:
            self._received.wants_ack(now)
        if kind == wire.EVENTS:
            self._collect(wire.read_events(body), now)
        elif kind == wire.FRAGMENT:
            record = self._reassembly.add(wire.read_fragment(body), now)
            self._collect([] if record is None else [record], now)
        elif kind == wire.ACK:
            self._take_ack(*wire.read_ack(body), now)
        elif kind == wire.SYNC:
            self._say_sync(self._strategy.receive(body, self._index, now))
            self._note_sync()
        elif kind == wire.ADDRESSES:
            self._notices.append(AddressesLearned(wire.read_addresses(body)))
        elif kind == wire.HELLO and wire.read_hello(body) != self._strategy_name:
            self._conduct.reject("other-strategy")

    def _collect(self, records: list[bytes], now: int) -> None:
        self._active = now
        self._records += records
        self._records_size += sum(map(len, records))

    def _take_ack(self, highest: int, seen: int, now: int) -> None:
        if highest >= self._counter:
            raise wire.BadFrame("ack")
        delivered, lost = self._flight.acked(highest, seen, now)
        self._outbox.delivered([ref for ref in delivered if isinstance(ref, Ref)], now)
        self._lost(lost)
        self._route.acked(highest)

    def _note_sync(self) -> None:
        in_sync = self._strategy.in_sync
        if in_sync:
            self._outbox.clear()
        if in_sync is not None and in_sync != self._in_sync:
            self._in_sync = in_sync
            self._notices.append(SyncChanged(in_sync))

    def _greet(self, cid: bytes, size: int, address: Address, now: int) -> None:
        if len(self._hellos) <= MAX_ADDRESSES and self._route.may_greet(address, size, _HELLO_DATAGRAM, now):
            self._hellos.append((*self._pairing.ids_for(cid), address))
        else:
            self._conduct.reject("ungreeted")

    # Sending.

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, Address]]:
        """Datagrams that may go now, at most SEND_BATCH of them, and the greetings."""
        for cid, echo, target in self._hellos:
            self._emit(cid, echo, [wire.hello(self._strategy_name)], target)
        self._hellos.clear()
        self._resume = None
        address = self._route.address
        if self._connected and address is not None and not self._conduct.ignored(now):
            for _ in range(SEND_BATCH):
                if not self._send_next(address, now):
                    break
            else:
                self._resume = now
        # An ACK that cannot go (no credit, no budget, no connection) must not keep the timer in the past.
        self._received.postpone_ack(now, self._resume or now + HEARTBEAT_GAP_MS)
        out, self._out = self._out, []
        return out

    def _send_next(self, address: Address, now: int) -> bool:
        if not self._budget.allows(now):
            self._resume = self._budget.ready_at()
            return False
        frames = [] if self._route.open and not self._ping else [wire.frame(wire.PING)]
        if self._received.ack_at is not None:
            frames.append(self._ack())
        room = self._route.room(MAX_DATAGRAM) - _OVERHEAD - sum(map(len, frames))
        if room < 0:
            return False
        urgent = (
            self._ping
            or self._route.probe
            or (self._received.ack_at is not None and self._received.ack_at <= now)
        )
        before = len(frames)
        while self._control and len(self._control[0]) <= room:
            frames.append(self._control.popleft())
            room -= len(frames[-1])
        refs: list[Ref] = []
        if self._route.open and self._flight.room > 0:
            filled, refs = self._outbox.fill(room, now, self._flight.rtt)
            frames += filled
        # An ACK can be what keeps the next control frame out: then it goes by itself.
        if len(frames) == before and not urgent and not (before and self._control):
            self._wait_for_more(now)
            return False
        self._send(frames, refs, address, now)
        return True

    def _send(self, frames: list[bytes], refs: list[Ref], address: Address, now: int) -> None:
        self._received.acked()
        self._ping = False
        if any(frame[0] in _WANT_ACK for frame in frames):
            said_again = [frame for frame in frames if frame[0] == wire.ADDRESSES]
            self._flight.sent(self._counter, [*refs, *said_again], now)
        if refs:
            self._active = now
        self._route.spend(self._emit(*self._pairing.ids(), frames, address))

    def _ack(self) -> bytes:
        return wire.ack(self._received.highest, self._received.seen())

    def _wait_for_more(self, now: int) -> None:
        if not self._route.open or self._flight.room <= 0:
            return
        if self._outbox.waiting:
            self._resume = now + LOOK_AGAIN_MS
        elif self._looked and not self._strategy.pushing:
            self._pulse.nudge(now)
        self._looked = self._strategy.pushing

    def _emit(self, cid: bytes, echo: bytes, frames: list[bytes], address: Address) -> int:
        datagram = self.link.seal(self._entropy(NONCE_BYTES), wire.packet(cid, echo, self._counter, frames))
        self._counter += 1
        self._datagrams_out += 1
        self._bytes_out += len(datagram)
        self._budget.spend(len(datagram))
        self._out.append((datagram, address))
        return len(datagram)

    def _say(self, frames: list[bytes]) -> None:
        for frame in frames:
            if len(self._control) < MAX_CONTROL:
                self._control.append(frame)

    def _lost(self, refs: Sequence[Ref | bytes]) -> None:
        self._say([ref for ref in refs if isinstance(ref, bytes)])
        self._outbox.lost([ref for ref in refs if isinstance(ref, Ref)])

    def _say_sync(self, messages: list[bytes]) -> None:
        self._say([wire.frame(wire.SYNC, message) for message in messages])

    # Time.

    def next_timer(self) -> int:
        """When `handle_timer` should be called next (ms); each other call may have changed it."""
        due = self._pulse.due
        for other in (self._received.ack_at, self._resume, self._flight.timer()):
            if other is not None and other < due:
                due = other
        return due

    def handle_timer(self, now: int) -> None:
        """Do what is due; then ask for datagrams and notices."""
        timer = self._flight.timer()
        if timer is not None and now >= timer:
            if self._flight.probe(now):
                self._ping = True
            else:
                self._lost(self._flight.expired(now))
        if now >= self._pulse.due:
            self._beat(now)

    def _beat(self, now: int) -> None:
        self._reassembly.expire(now)
        if self._connected and self._heard is not None and now - self._heard > SILENCE_MS:
            self._connected = False
            self._lost(self._flight.abandon())
            self._notices.append(Disconnected())
        if self._connected:
            self._say_sync(self._strategy.heartbeat(self._index, now))
        else:
            self._dial_all()
        busy = self._strategy.in_sync is not True or now - self._active < ACTIVE_MS
        self._pulse.beat(now, reachable=self._connected, busy=busy)

    def _dial_all(self) -> None:
        cid, echo = self._pairing.ids()
        if not self._hellos:
            self._hellos = [(cid, echo, target) for target in self._route.targets]

    # Telling.

    def next_event(self) -> Notice | None:
        """The next notice, or None. Received records come together, as one BlobsReceived."""
        if self._notices:
            return self._notices.popleft()
        if self._records:
            records, self._records, self._records_size = self._records, [], 0
            return BlobsReceived(records)
        return None

    def status(self) -> Status:
        """Numbers for people and tests."""
        held = self._index.whole().count
        lacks = max(0, held - (self._strategy.peer_count or 0)) if self._strategy.in_sync is False else 0
        return Status(
            connected=self._connected,
            address=self._route.address,
            strategy=self._strategy_name,
            in_sync=self._strategy.in_sync,
            peer_count=self._strategy.peer_count,
            pending=max(lacks, self._outbox.queued),
            rtt=self._flight.rtt,
            window=self._flight.window,
            datagrams_in=self._datagrams_in,
            datagrams_out=self._datagrams_out,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            datagrams_lost=self._flight.lost_count,
            last_heard=self._heard,
            rejected=dict(self._conduct.rejected),
        )
