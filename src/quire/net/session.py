"""Sync rounds with one peer: one space, one local device, one remote device.

Owns: frames in and out, acknowledgement, greeting, heartbeats, and the peer's address and conduct. Must not know:
sockets, other sessions, the store's insides, what events mean. It never writes a store: the node ingests BlobsReceived.

Laws. Only packets that echo our cid are acted on; any other provokes at most one HELLO, no larger than itself. Events
go only to an address that has answered from there; until then no more bytes go out to it than came in. A peer that is
not known to be a member is *restricted*: it gets no events and no addresses, only questions, acknowledgements and
letters, and what it brings is taken up to a bound. One that says we were removed is greeted at a low rate until a new
run of it adopts us. Acknowledged means: handed to the node, or beyond that bound. What a lost strategy message said, a
later heartbeat says again; lost records, addresses and letters are sent again. Reading the store may fail: so it is
done before a queue is taken from, and after what came beside a question is taken.
"""

from collections import deque
from collections.abc import Callable, Sequence

from quire.limits import (
    ACTIVE_MS,
    HEARTBEAT_GAP_MS,
    HEARTBEAT_MS,
    LOOK_AGAIN_MS,
    MAX_DATAGRAM,
    PEER_BYTES_PER_SECOND,
    SEND_BATCH,
    SILENCE_MS,
)
from quire.net import wire
from quire.net.comparing import Comparing
from quire.net.conduct import Conduct
from quire.net.control import SAID_AGAIN, Control
from quire.net.dispatch import Dispatch
from quire.net.distance import Distance
from quire.net.flight import Flight
from quire.net.greetings import Greetings
from quire.net.inbox import Inbox
from quire.net.link import LINK_OVERHEAD, Link
from quire.net.notices import (
    Address,
    AddressesLearned,
    BlobsReceived,
    Connected,
    Disconnected,
    LetterReceived,
    Misbehaved,
    Moved,
    Notice,
    Refused,
    Status,
)
from quire.net.outbox import Outbox, Ref
from quire.net.pairing import Pairing, Verdict
from quire.net.pulse import Pulse
from quire.net.received import Received
from quire.net.refusals import REFUSED_DATAGRAM
from quire.net.route import Route
from quire.net.standing import Refusal, Standing, Terms
from quire.sync.index import EventIndex
from quire.sync.strategy import BadMessage, Entropy, Strategy

_OVERHEAD = LINK_OVERHEAD + wire.PACKET_BYTES
_HELLO_DATAGRAM = _OVERHEAD + len(wire.hello("bloom"))


class Session:
    """See the module. `strategy_name` must be the peer's too; `now` is in ms throughout, from one clock.

    `standing` is MEMBER or UNKNOWN; `streams`: there can be streams with peers, see Distance. `stirred` is called when
    there may be something to send or to tell, but by `receive`, and by `handle_timer` when that is due.
    """

    def __init__(
        self,
        link: Link,
        index: EventIndex,
        strategy_name: str,
        strategy: Strategy,
        entropy: Entropy,
        now: int,
        standing: Standing,
        bytes_per_second: int = PEER_BYTES_PER_SECOND,
        streams: bool = False,
        stirred: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self._stirred = stirred
        self._index = index
        self._strategy_name = strategy_name
        self._strategy = strategy
        self._pairing = Pairing(entropy)
        self._received = Received()
        # Bytes among the refs: a frame of SAID_AGAIN, said again when it is lost.
        self._flight: Flight[Ref | bytes] = Flight()
        self._outbox = Outbox(index, strategy)
        self._inbox = Inbox()
        self._terms = Terms(standing)
        self._pulse = Pulse(entropy, now)
        self._dispatch = Dispatch(link, entropy, bytes_per_second, now)
        self._dispatch.slow(self.restricted, now)
        self._route = Route()
        self._conduct = Conduct()
        self._greetings = Greetings(self._pairing, _HELLO_DATAGRAM)
        self._control = Control()
        self.comparing = Comparing(strategy, index, self._outbox, self._control, now)
        self._resume: int | None = None
        self._looked = self._ping = False
        self._notices: deque[Notice] = deque()
        #: Whether the peer proved itself and is not silent; when the last packet of its run was accepted (ms).
        self.connected = False
        self.last_heard: int | None = None
        self.distance = Distance(link.goes_first, streams)
        self._active = now
        self._datagrams_in = self._bytes_in = 0

    @property
    def restricted(self) -> bool:
        """Whether the peer is not known to be a member, and given nothing."""
        return self._terms.restricted

    def dial(self, addresses: Sequence[Address], now: int) -> None:
        """Addresses to greet the peer at while it is not connected (at most MAX_ADDRESSES, newest last)."""
        self._route.dial(addresses)
        if not self.connected:
            self.nudge(now)

    def push(self, event_ids: Sequence[bytes], now: int) -> None:
        """Send these live events ahead of reconciliation; without a connection, reconciliation finds them."""
        if self.connected and not self.restricted:
            self._active = now
            self._outbox.push(event_ids)
            self._stirred()

    def peer_holds(self, event_ids: Sequence[bytes], now: int) -> None:
        """These were ingested from this peer: do not send them back."""
        self._outbox.peer_holds(event_ids, now)

    def nudge(self, now: int) -> None:
        """The local store changed: compare soon."""
        if not self._terms.cut_off:
            self._pulse.nudge(now)
            self._stirred()

    @property
    def refused(self) -> Refusal | None:
        """What the peer says that we are not; None while it takes us for a member's device."""
        return self._terms.refused

    def share(self, known: Sequence[tuple[bytes, str]]) -> None:
        """Tell a member where devices of the space were last reached (keys of 32 bytes, `host:port`), each once."""
        if not self.restricted:
            self._control.share(known)
            self._stirred()

    def send_letter(self, data: bytes) -> None:
        """Give the peer a message of the layers above, at least once, as soon as it is connected.

        At most MAX_LETTERS_WAITING wait, the oldest are dropped; those of a session that ends are too.
        Raises ValueError unless it has 1 to MAX_LETTER_BYTES.
        """
        self._control.letters.add(data)
        self._stirred()

    def set_standing(self, standing: Standing, now: int) -> None:
        """The peer is MEMBER or UNKNOWN from now on; whoever becomes a member is reconciled with at once."""
        if not self._terms.change(standing):
            return
        self._dispatch.slow(self.restricted, now)
        self._stirred()
        if self.restricted:
            self._outbox.clear()
            self._control.unshare()
        else:
            self._reconcile(now)
        self._tell()

    def farewell(self) -> list[tuple[bytes, Address]]:
        """The datagram that tells a connected peer it was removed. The session is over with it."""
        address = self._route.address
        if self.connected and address is not None and self._route.room(REFUSED_DATAGRAM) >= REFUSED_DATAGRAM:
            self._dispatch.emit(*self._pairing.ids(), [wire.refused(Refusal.REMOVED)], address)
        return self._dispatch.take()

    def set_streams(self, streams: bool, now: int) -> None:
        """Whether a stream brings what this session else would. Live events are pushed here all the same."""
        self.distance.set_streams(streams)
        self._strategy.forget()
        self.nudge(now)

    def blame(self, reason: str, now: int) -> None:
        """Count something malformed against the peer; too much of it in a minute, and it is ignored."""
        if self._conduct.blame(reason, now):
            self._notices.append(Misbehaved(reason))
            self._stirred()

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
            if not self._greetings.answer(packet.cid, address, address in self._route.targets, size, now):
                self._conduct.reject("ungreeted")
            return
        if verdict is Verdict.SESSIONLESS:
            self._take_sessionless(packet.frames, now)
            return
        if verdict is Verdict.ADOPT:
            self._begin(address, now)
        self._accept(packet, size, address, now)

    def _accept(self, packet: wire.Packet, size: int, address: Address, now: int) -> None:
        if self._inbox.full:
            self._conduct.reject("uncollected")  # unacknowledged, so that it comes again
        elif not self._received.add(packet.counter):
            self._conduct.reject("replay")
        else:
            self._hear(packet.counter, size, address, now)
            try:
                for kind, body in wire.sync_last(packet.frames):
                    self._take(kind, body, packet.counter, now)
                self._ask(now)
            except (wire.BadFrame, BadMessage) as error:
                self.blame(error.reason, now)
            if self._received.ack_overdue and address == self._route.proven:
                # Even if the node takes in thousands before it sends: one ACK reaches only so far back.
                self._send([self._ack()], [], address, now)

    def _begin(self, address: Address, now: int) -> None:
        self._received = Received()
        self._lost(self._flight.abandon())
        self._flight = Flight()
        self._route.adopt(address, self._greetings.adopted(address), self._dispatch.counter)
        self.connected = False
        self._terms.begin()
        self._control.begin()

    def _hear(self, counter: int, size: int, address: Address, now: int) -> None:
        self.last_heard = now
        self._route.heard(address, size, counter == self._received.highest, self._dispatch.counter)
        if not self.connected and not self._terms.cut_off:  # which stragglers do not undo
            self.connected = True
            self._reconcile(now)
            self._tell()

    def _take(self, kind: int, body: bytes, counter: int, now: int) -> None:
        if wire.wants_ack(kind, body):
            self._received.wants_ack(now)
        if kind in (wire.EVENTS, wire.FRAGMENT):
            self._take_records(kind, body, now)
        elif kind == wire.ACK:
            self._take_ack(*wire.read_ack(body), now)
        elif kind == wire.SYNC:
            self._take_sync(body, now)
        elif kind == wire.ADDRESSES:
            self._learn(wire.read_addresses(body))
        elif kind in (wire.LETTER, wire.PART):
            self._notices += map(LetterReceived, self._control.letters.take(kind, body, now))
        elif kind == wire.REFUSED:
            if self._terms.hear(wire.read_refused(body), counter, now):
                self._be_refused(now)
        elif kind == wire.HELLO:
            self._conduct.note("other-strategy", wire.read_hello(body) != self._strategy_name)

    def _take_records(self, kind: int, body: bytes, now: int) -> None:
        if self._terms.takes(len(body)):
            self._active = now
            self.comparing.came(now)
            self._inbox.add(kind, body, now)
        else:
            self._conduct.reject("unknown-bytes")

    def _take_sync(self, body: bytes, now: int) -> None:
        if not self._terms.hears_sync(now):
            self._conduct.reject("unknown-sync")
        elif not self.distance.streams:
            self.comparing.take(body, self._flight, now)
            if self._route.open:  # for a stream goes there too
                self._notices.extend(self.distance.look(self._strategy, self._index, now))
            self._notices.extend(self.comparing.changes(body))

    def _ask(self, now: int) -> None:
        if not self.distance.leaves and not self._terms.full:
            self.comparing.ask(self._flight, now, self.refused is None)

    def _learn(self, known: list[tuple[bytes, str]]) -> None:
        if not self.restricted:  # anybody's word would have us greet anyone
            self._control.knows(known)
            self._notices.append(AddressesLearned(known))

    def _take_ack(self, highest: int, seen: int, now: int) -> None:
        if highest >= self._dispatch.counter or self._route.guessed(highest):
            raise wire.BadFrame("ack")
        delivered, lost = self._flight.acked(highest, seen, now)
        self._outbox.delivered([ref for ref in delivered if isinstance(ref, Ref)], now)
        self._lost(lost)
        if (moved := self._route.acked(highest)) is not None:
            self._notices.append(Moved(moved))
            self._pulse.nudge(now)

    def _take_sessionless(self, frames: bytes, now: int) -> None:
        if frames != wire.refused(Refusal.REMOVED):
            self._conduct.reject("sessionless")  # there is nothing else to say without a session
        elif self._terms.hear_cut_off():
            self._be_refused(now)

    def _be_refused(self, now: int) -> None:
        if self._terms.refused is None:
            self._control.begin()  # what it was told before, it did not take
            self._reconcile(now)
        else:
            self._notices.append(Refused(self._terms.refused))
        if self._terms.cut_off:
            self._part()
            self._pulse.rest(now)

    # Sending.

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, Address]]:
        """Datagrams that may go now, at most SEND_BATCH of them, and the greetings."""
        for cid, echo, target in self._greetings.take():
            self._dispatch.leap_unless(self._route.open)
            self._dispatch.emit(cid, echo, [wire.hello(self._strategy_name)], target)
        self._resume = None
        self._outbox.looks = not self.distance.leaves
        address = self._route.address
        if self.connected and address is not None and not self._conduct.ignored(now):
            for _ in range(SEND_BATCH):
                if not self._send_next(address, now):
                    break
            else:
                self._resume = now
        # An ACK that cannot go (no credit, no budget, no connection) must not keep the timer in the past.
        self._received.postpone_ack(now, self._resume or now + HEARTBEAT_GAP_MS)
        return self._dispatch.take()

    def _send_next(self, address: Address, now: int) -> bool:
        urgent = self._ping or self._route.probe or self._received.ack_due(now)
        if not (urgent or self._control.waits or self._outbox.waiting):
            self._wait_for_more(now)
            return False
        if not self._dispatch.budget.allows(now):
            self._resume = self._dispatch.budget.ready_at()
            return False
        frames = [] if self._route.open and not self._ping else [wire.frame(wire.PING)]
        room = self._route.room(MAX_DATAGRAM) - _OVERHEAD - sum(map(len, frames))
        acks = self._received.ack_at is not None
        # A move is asked after without room to answer as well, but once: two that both moved would go on for ever.
        if acks and not (self._route.probe and room < len(self._ack())):
            frames.append(self._ack())
            room -= len(frames[-1])
        if room < 0:
            return False
        gives = self._route.open and self._flight.room > 0 and not self.restricted
        if gives:
            self._outbox.read(now, self._flight.rtt)
        before = len(frames)
        frames += self._control.fill(room, self._flight.room > 0, now)
        refs: list[Ref] = []
        if gives:
            filled, refs = self._outbox.fill(room - sum(map(len, frames[before:])))
            frames += filled
        # An ACK can be what keeps the next control frame out: then it goes by itself.
        if len(frames) == before and not urgent and not (before and self._control):
            self._wait_for_more(now)
            return False
        self._send(frames, refs, address, now)
        return True

    def _send(self, frames: list[bytes], refs: list[Ref], address: Address, now: int) -> None:
        if any(frame[0] == wire.ACK for frame in frames):
            self._received.acked()
        self._ping = False
        self._dispatch.leap_unless(self._route.open)
        counter = self._dispatch.counter
        if wanted := [frame[0] for frame in frames if wire.wants_ack(frame[0], frame[wire.FRAME_BYTES :])]:
            said_again = [frame for frame in frames if frame[0] in SAID_AGAIN]
            self._flight.sent(counter, [*refs, *said_again], now, any(kind != wire.SYNC for kind in wanted))
        if refs:
            self._active = now
        self._route.sent(counter, self._dispatch.emit(*self._pairing.ids(), frames, address))

    def _ack(self) -> bytes:
        return wire.ack(self._received.highest, self._received.seen())

    def _wait_for_more(self, now: int) -> None:
        if not self._route.open or self._flight.room <= 0:
            return
        self._resume = self._control.letters.held_until
        if self.restricted:
            return
        if self._outbox.waiting:
            self._resume = now + LOOK_AGAIN_MS
        elif self._looked and not self._strategy.pushing:
            self._pulse.nudge(now)
        self._looked = self._strategy.pushing

    def _lost(self, refs: Sequence[Ref | bytes]) -> None:
        frames = [ref for ref in refs if isinstance(ref, bytes)]
        self._control.again(frames, self.restricted, wire.refused(self._terms.told))
        self._outbox.lost([ref for ref in refs if isinstance(ref, Ref)])

    def _tell(self) -> None:
        """Let a connected peer know that it is not admitted, or that it is now."""
        if self.connected and self._terms.tell():
            self._control.refuse(wire.refused(self._terms.told))

    def _reconcile(self, now: int) -> None:
        if self.connected and self._route.address is not None:
            self._notices.append(Connected(self._route.proven))
            self._pulse.at_once(now)

    def _part(self) -> None:
        self._lost(self._flight.abandon())
        if self.connected:
            self.connected = False
            self._notices.append(Disconnected())

    def next_timer(self) -> int:
        """When `handle_timer` should be called next (ms); each other call may have changed it."""
        due = self._pulse.due
        for other in (self._received.ack_at, self._resume, self._flight.timer()):
            if other is not None and other < due:
                due = other
        return due

    def handle_timer(self, now: int) -> None:
        """Do what is due; then ask for datagrams and notices."""
        if (timer := self._flight.timer()) is not None and now >= timer:
            if self._flight.probe(now):
                self._ping = True
            else:
                self._lost(self._flight.expired(now))
        if now >= self._pulse.due:
            self._beat(now)

    def _beat(self, now: int) -> None:
        self._inbox.reassembly.expire(now)
        silence = 0 if self.last_heard is None else now - self.last_heard
        if self.connected and silence > SILENCE_MS:
            self._part()
        # From where nothing comes nothing may go, once what came is used up; but greetings may.
        reachable = self.connected and (self._route.open or silence < HEARTBEAT_MS)
        if not reachable:
            self._greetings.dial(self._route.targets)
        elif self._terms.full or self.distance.streams:
            self._ping = True  # to be heard of, without asking for anything
        else:
            self.comparing.beat(now)
            self._ask(now)
        # A restricted peer cannot become equal by itself: there is nothing to hurry for.
        differs = self._strategy.in_sync is not True and not self.restricted
        busy = differs or now - self._active < ACTIVE_MS
        self._pulse.beat(now, reachable=reachable, busy=busy)

    # Telling.

    def next_event(self) -> Notice | None:
        """The next notice, or None. Received records come together, as one BlobsReceived."""
        if self._notices:
            return self._notices.popleft()
        records = self._inbox.collect()
        return BlobsReceived(records) if records else None

    def status(self) -> Status:
        """Numbers for people and tests."""
        held = self._index.count()
        lacks = max(0, held - (self._strategy.peer_count or 0)) if self._strategy.in_sync is False else 0
        return Status(
            connected=self.connected,
            address=self._route.address,
            strategy=self._strategy_name,
            in_sync=self._strategy.in_sync,
            held=held,
            peer_count=self._strategy.peer_count,
            pending=max(lacks, self._outbox.queued),
            rtt=self._flight.rtt,
            window=self._flight.window,
            datagrams_in=self._datagrams_in,
            datagrams_out=self._dispatch.count,
            bytes_in=self._bytes_in,
            bytes_out=self._dispatch.bytes,
            datagrams_lost=self._flight.lost_count,
            last_heard=self.last_heard,
            rejected=dict(self._conduct.rejected),
            restricted=self.restricted,
            refused=self._terms.refused,
        )
