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
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from quire.core.address import HostPort, format_address, parse_address
from quire.core.encoding import from_text, to_text
from quire.errors import QuireError, UserError
from quire.events.context import Context
from quire.events.home import Home
from quire.events.settle import release_held
from quire.handlers import incoming, peer
from quire.limits import (
    ARRIVALS_PAGE,
    MAX_ADDRESSES,
    MAX_ADDRESSES_KEPT,
    REDIAL_MS,
    TICK_MS,
)
from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import Address, AddressesLearned, BlobsReceived, Connected, Notice, Status
from quire.net.session import Session
from quire.store.memberships import Membership

#: Reasons for refusing an event that say nothing against who gave it.
_NO_FAULT = frozenset({"waiting-list-full"})


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
        self._own_noted = False
        self._rest_until = now
        self._events: deque[Arrived | Trouble] = deque()
        self._join_spaces()

    def wall(self, now: int) -> int:
        """The time of day (ms) at `now`."""
        return now + self.wall_ahead

    def receive_datagram(self, data: bytes, address: HostPort, now: int) -> None:
        """Take any bytes from the network. They are ingested at the next `datagrams_to_send`."""
        self._guard(partial(self._endpoint.receive_datagram, data, address), now)

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, HostPort]]:
        """Ingest what has come, and give what may go out now."""
        self._take_in(now)
        out: list[tuple[bytes, Address]] = []
        self._guard(lambda now: out.extend(self._endpoint.datagrams_to_send(now)), now)
        return [(data, cast(HostPort, address)) for data, address in out]

    def next_timer(self) -> int:
        """When `handle_timer` should be called next (ms)."""
        timer = self._endpoint.next_timer()
        due = self._next_tick if timer is None else min(timer, self._next_tick)
        return max(due, self._rest_until)

    def handle_timer(self, now: int) -> None:
        """Do what is due: sessions' timers, and at each tick the handlers' jobs."""
        self._guard(self._endpoint.handle_timer, now)
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
        """Run a step; a full disk or unreadable file is told, and the node lives on.

        The trouble is over once something could be written again. A step that failed is still due, so
        timers rest for a while.
        """
        changes = self.home.store.db.connection.total_changes
        before = changes()
        try:
            with self.home.store.db.plain_errors():
                step(now)
            if self.trouble and changes() > before:
                self.trouble = ""
        except QuireError as error:
            self._rest_until = now + TICK_MS
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
        if not self._own_noted:
            self._note_own_addresses(now)
            self._own_noted = True
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
                self._own_noted = False

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
            if reason not in _NO_FAULT:
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
        housemates = [m.device_key.public for m in self._known if m.space == member.space]
        own = [(key, address) for key in housemates for address in self.addresses[:MAX_ADDRESSES]]
        others = [(from_text(name), text) for name, text, reached in known if reached and name != device]
        session.share([*own, *others])

    def _learn(self, member: Membership, known: list[tuple[bytes, str]]) -> None:
        """Note where a peer says that others can be reached: hints to try, never facts."""
        with self.home.store.transaction():
            for raw, text in known:
                if raw != member.device_key.public and _usable([text]):
                    self._remember(member, to_text(raw), text, 0)
        self._next_dial = 0

    def _remember(self, member: Membership, device: str, address: str, reached_ts: int) -> None:
        with self.home.store.transaction():
            self.home.store.memberships.remember_address(
                member.account, member.space, device, address, reached_ts
            )

    def _dial(self, now: int) -> None:
        """Greet the peers of every space at the addresses known for them, the latest reached first."""
        self._next_dial = now + REDIAL_MS
        here = {(m.space, m.account_id) for m in self._known}
        for member in self._known:
            ctx = Context(self.home, self.wall(now), member.account, member)
            for other in peer.list_(ctx):
                if (member.space, other.pubkey) not in here:
                    self._dial_one(member, other.pubkey, now)

    def _dial_one(self, member: Membership, pubkey: str, now: int) -> None:
        session_id = SessionId(member.raw_space_id, member.device_key.public, from_text(pubkey))
        session = self._endpoint.session(session_id)
        if session is not None and session.connected:
            return
        addresses = _usable(self.home.store.memberships.addresses_of(member.account, pubkey))
        if addresses:
            with suppress(
                ValueError
            ):  # no usable key, or as many sessions as there may be: tried again later
                self._endpoint.dial(session_id, list(addresses[::-1]), now)

    def _note_own_addresses(self, now: int) -> None:
        """Remember where this node is reached: it goes into invites that are made while none runs."""
        with self.home.store.transaction():
            for member in self._known:
                for address in self.addresses[:MAX_ADDRESSES]:
                    self._remember(member, member.account_id, address, self.wall(now))


def _usable(texts: list[str]) -> list[HostPort]:
    """Those of other people's addresses that are addresses."""
    found = []
    for text in texts:
        with suppress(UserError):
            found.append(parse_address(text))
    return found
