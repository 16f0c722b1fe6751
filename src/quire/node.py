"""A running node without its sockets: the home, its identities' jobs, and sync with their peers.

Owns: how store, handlers and sessions are put together, behind the five verbs of a sans-IO machine
(`receive_datagram`, `datagrams_to_send`, `next_timer`, `handle_timer`, `next_event`).
Must not know: sockets, real clocks, the API.

`now` is a clock in ms that never runs backwards; `wall_ahead` is what must be added to it to get the time
of day, and may jump. What peers send is ingested in batches, one transaction for each burst; nothing
is pushed or told before the commit.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from quire.core.address import HostPort, format_address, parse_address
from quire.core.encoding import from_text, to_text
from quire.errors import HomeError, UserError
from quire.events.context import Context
from quire.events.home import Home
from quire.events.ingest import release_held
from quire.handlers import incoming, peer
from quire.limits import (
    ARRIVALS_PAGE,
    MAX_ADDRESSES,
    MAX_ADDRESSES_KEPT,
    MAX_SESSIONS,
    REDIAL_MS,
    TICK_MS,
)
from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import Address, AddressesLearned, BlobsReceived, Connected, Notice, Status
from quire.net.session import Session
from quire.store.memberships import Membership


@dataclass(frozen=True)
class Arrived:
    """Events became valid here; `cursor` is the newest arrival's."""

    cursor: int


@dataclass(frozen=True)
class Trouble:
    """Something went wrong that the node lives through; `text` is for a person."""

    text: str


class Node:
    """The machine. `addresses` are the node's own `host:port`s, told to peers and put into invites."""

    def __init__(
        self, home: Home, strategy: str, now: int, wall_ahead: int, addresses: tuple[str, ...] = ()
    ) -> None:
        self.home = home
        self.wall_ahead = wall_ahead
        self.addresses = addresses
        self.trouble = ""
        self._endpoint = Endpoint(home.entropy, strategy)
        self._members: dict[tuple[bytes, bytes], Membership] = {}
        self._known: list[Membership] = []
        self._cursor = home.store.blobs.last_cursor()
        self._next_tick = now
        self._next_dial = now
        self._events: deque[Arrived | Trouble] = deque()
        self._join_spaces()

    def wall(self, now: int) -> int:
        """The time of day (ms) at `now`."""
        return now + self.wall_ahead

    def receive_datagram(self, data: bytes, address: HostPort, now: int) -> None:
        """Take any bytes from the network. They are ingested at the next `datagrams_to_send`."""
        self._endpoint.receive_datagram(data, address, now)

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, HostPort]]:
        """Ingest what has come, and give what may go out now."""
        self._take_in(now)
        return [(data, cast(HostPort, address)) for data, address in self._endpoint.datagrams_to_send(now)]

    def next_timer(self) -> int:
        """When `handle_timer` should be called next (ms)."""
        timer = self._endpoint.next_timer()
        return self._next_tick if timer is None else min(timer, self._next_tick)

    def handle_timer(self, now: int) -> None:
        """Do what is due: sessions' timers, and at each tick the handlers' jobs."""
        self._endpoint.handle_timer(now)
        if now >= self._next_tick:
            self._next_tick = now + TICK_MS
            self._guard(self._tick, now)

    def next_event(self) -> Arrived | Trouble | None:
        """What has happened since the last time, oldest first."""
        return self._events.popleft() if self._events else None

    def committed(self, now: int) -> None:
        """After a commit by anyone: push what this node's identities wrote, and tell of what arrived."""
        self._join_spaces()
        start = self._cursor
        fresh: dict[tuple[int, int], list[bytes]] = {}
        rows = self.home.store.blobs.arrivals_by_own_devices(start)
        for account, space, event_id in rows:
            fresh.setdefault((account, space), []).append(from_text(event_id))
        self._cursor = self.home.store.blobs.last_cursor()
        for member in self._known:
            ids = fresh.get((member.account, member.space), [])
            for page in range(0, len(ids), ARRIVALS_PAGE):
                self._endpoint.push(
                    member.raw_space_id, member.device_key.public, ids[page : page + ARRIVALS_PAGE], now
                )
        if self._cursor > start:
            self._events.append(Arrived(self._cursor))

    def sessions(self, member: Membership) -> dict[str, Status]:
        """Sync state of each peer that this identity has a session with, by public key."""
        mine = (member.raw_space_id, member.device_key.public)
        return {
            to_text(session_id.peer): session.status()
            for session_id, session in self._endpoint.sessions()
            if (session_id.space_id, session_id.local) == mine
        }

    def dropped(self) -> dict[str, int]:
        """Datagrams that belonged to no session, by reason."""
        return dict(self._endpoint.dropped)

    # --- inside

    def _guard(self, step: Callable[[int], None], now: int) -> None:
        """Run a step that writes; a full disk or unreadable file is told, and the node lives on."""
        try:
            step(now)
            self.trouble = ""
        except HomeError as error:
            if self.trouble != str(error):
                self.trouble = str(error)
                self._events.append(Trouble(str(error)))

    def _tick(self, now: int) -> None:
        store = self.home.store
        for member in self._known:
            ctx = Context(self.home, self.wall(now), member.account, member, self.addresses)
            if store.waiting.count(member.account, member.space):
                release_held(self.home, member, self.wall(now))
            with store.transaction():
                for handler in self.home.registry.handlers:
                    for job in handler.jobs:
                        job(ctx)
        self.committed(now)
        if now >= self._next_dial:
            self._dial(now)

    def _join_spaces(self) -> None:
        """Open a door for each identity in each space."""
        members = self.home.store.memberships.all()
        if members is self._known:
            return
        self._known = members
        for member in members:
            key = (member.raw_space_id, member.device_key.public)
            if key not in self._members:
                self._members[key] = member
                space_key, _ = member.epochs[member.current_epoch]
                index = self.home.store.index(member.account, member.space)
                self._endpoint.add(member.raw_space_id, space_key, member.device_key, index)
                self._next_dial = 0

    def _take_in(self, now: int) -> None:
        """Act on what sessions tell; ingest what they received."""
        came = False
        while (found := self._endpoint.next_event()) is not None:
            session_id, notice = found
            session = self._endpoint.session(session_id)
            if session is not None:
                came = True
                self._guard(partial(self._act, session_id, session, notice), now)
        if came:
            self._guard(self.committed, now)

    def _act(self, session_id: SessionId, session: Session, notice: Notice, now: int) -> None:
        member = self._members[session_id.space_id, session_id.local]
        if isinstance(notice, BlobsReceived):
            self._ingest(member, session_id, session, notice.records, now)
        elif isinstance(notice, Connected):
            self._reached(member, session_id, session, notice.address, now)
        elif isinstance(notice, AddressesLearned):
            self._learn(member, notice.known)

    def _ingest(
        self, member: Membership, session_id: SessionId, session: Session, records: list[bytes], now: int
    ) -> None:
        report = incoming.receive(self.home, member, records, to_text(session_id.peer), self.wall(now))
        session.peer_holds([from_text(opened.event_id) for opened in report.arrived], now)
        for reason in report.rejected:
            session.blame(reason, now)
        if report.valid or report.blocked:
            for other_id, other in self._endpoint.sessions():
                if other_id.space_id == session_id.space_id:
                    other.nudge(now)

    def _reached(
        self, member: Membership, session_id: SessionId, session: Session, address: Address, now: int
    ) -> None:
        host, port = cast(HostPort, address)
        device = to_text(session_id.peer)
        self._remember(member, device, format_address(host, port), self.wall(now))
        known = self.home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
        own = [(session_id.local, own) for own in self.addresses[:MAX_ADDRESSES]]
        others = [(from_text(name), text) for name, text, reached in known if reached and name != device]
        session.share([*own, *others])

    def _learn(self, member: Membership, known: list[tuple[bytes, str]]) -> None:
        """Note where a peer says that others can be reached: hints to try, never facts."""
        for raw, text in known:
            device = to_text(raw)
            try:
                parse_address(text)
            except UserError:
                continue
            if raw != member.device_key.public:
                self._remember(member, device, text, 0)
        self._next_dial = 0

    def _remember(self, member: Membership, device: str, address: str, reached_ts: int) -> None:
        with self.home.store.transaction():
            self.home.store.memberships.remember_address(
                member.account, member.space, device, address, reached_ts
            )

    def _dial(self, now: int) -> None:
        """Greet every peer of every space at the addresses known for it, its own latest first."""
        self._next_dial = now + REDIAL_MS
        here = {(m.space, m.account_id) for m in self._known}
        for member in self._known:
            ctx = Context(self.home, self.wall(now), member.account, member)
            known = self.home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
            for other in peer.list_(ctx)[:MAX_SESSIONS]:
                addresses = [parse_address(text) for device, text, _ in known if device == other.pubkey]
                if (member.space, other.pubkey) not in here and addresses:
                    self._dial_one(member, from_text(other.pubkey), addresses[:MAX_ADDRESSES], now)

    def _dial_one(self, member: Membership, device: bytes, addresses: list[HostPort], now: int) -> None:
        session_id = SessionId(member.raw_space_id, member.device_key.public, device)
        session = self._endpoint.session(session_id)
        if session is None or not session.connected:
            try:
                self._endpoint.dial(session_id, list(addresses[::-1]), now)
            except ValueError:
                return  # no usable key, or as many sessions as there may be: tried again at the next dial
