"""All sessions of one node: which space, local device and remote device a datagram belongs to.

Owns: the doors (spaces) with the local devices behind each, the sessions, and how many there may be.
Must not know: sockets, what a session says, the store's insides.

A datagram costs one keyed hash for each door until its header names a device behind one. Whoever lacks the
link key gets nothing at all. Whoever has it gets a session at the first datagram that proves its device
key, and what that session gives is up to its standing; a removed device gets a short answer now and then.

Sessions that nothing happens to cost nothing but memory: only those are asked that are due, or were stirred.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from quire.core.keys import DeviceKey
from quire.core.sealing import NONCE_BYTES
from quire.limits import SESSION_IDLE_MS, SESSION_REST_MS, STRANGERS_PER_SECOND
from quire.net.agenda import Agenda
from quire.net.contacts import Contacts, Crowded
from quire.net.hails import Hails
from quire.net.link import Door, Link
from quire.net.notices import Address, Connected, Moved, Notice
from quire.net.places import Full, Place, beyond_share, giving_way
from quire.net.refusals import REFUSED_DATAGRAM, Refusals, refusal_to
from quire.net.session import Session
from quire.net.standing import Standing, StandingOf
from quire.sync import STRATEGIES
from quire.sync.allowance import Allowance
from quire.sync.index import EventIndex
from quire.sync.strategy import Entropy

#: Device key (32 bytes) of a peer → the held events that are compared with it.
IndexFor = Callable[[bytes], EventIndex]
#: Does one session's part at a time (ms), and tells what fails in it; whether nothing did.
Contain = Callable[[Callable[[int], None], int], bool]


def raising(part: Callable[[int], None], now: int) -> bool:
    """Contain nothing."""
    part(now)
    return True


class SessionId(NamedTuple):
    """Whose session it is; device keys and space id are 32 raw bytes."""

    space_id: bytes
    local: bytes
    peer: bytes

    @property
    def door(self) -> tuple[bytes, bytes]:
        """The space and the local device: where it is met."""
        return self.space_id, self.local


class _Local(NamedTuple):
    door: Door
    key: DeviceKey
    index_for: IndexFor
    standing: StandingOf


class Endpoint:
    """`entropy(n)` gives n random bytes; `strategy` is a name in STRATEGIES; `streams`: there can be streams.

    A session whose part is contained when it fails rests for SESSION_REST_MS, unless something comes for it.
    """

    def __init__(
        self,
        entropy: Entropy,
        strategy: str = "sketch",
        streams: bool = False,
        contain: Contain = raising,
    ) -> None:
        self._streams = streams
        self._contain = contain
        self._entropy = entropy
        self._strategy = strategy
        self._locals: dict[tuple[bytes, bytes], _Local] = {}
        # Per space: its door, and the local devices by the tag under which they are addressed.
        self._doors: dict[bytes, tuple[Door, dict[bytes, bytes]]] = {}
        self._sessions: dict[SessionId, Session] = {}
        self._dialled: dict[SessionId, int] = {}
        self._made: dict[SessionId, int] = {}
        self._agenda: Agenda[SessionId] = Agenda()
        # Who may have notices to give.
        self._telling: dict[SessionId, None] = {}
        # Per space: whom to tell that what is held has changed. The others were told, and have not come to it yet.
        self._calm: dict[bytes, dict[SessionId, None]] = {}
        self._contacts = Contacts()
        self._calls = Allowance()
        self._refusals = Refusals()
        self._hails = Hails()
        self._out: list[tuple[bytes, Address]] = []
        #: Datagrams dropped before they reached a session, by reason.
        self.dropped: dict[str, int] = {}

    def add(
        self, space_id: bytes, link_key: bytes, device: DeviceKey, index_for: IndexFor, standing: StandingOf
    ) -> None:
        """Let a local device be met in a space, by all who have its link key, which never changes.

        `index_for` gives what is compared with a peer; `standing` says what others may have: after it changed its
        mind, call `standing_changed`.
        """
        if space_id not in self._doors:
            self._doors[space_id] = Door(space_id, link_key), {}
        door, tags = self._doors[space_id]
        tags[door.tag(device.public)] = device.public
        self._locals[space_id, device.public] = _Local(door, device, index_for, standing)

    def remove(self, space_id: bytes, device: bytes) -> None:
        """Forget a local device in a space, and its sessions."""
        local = self._locals.pop((space_id, device), None)
        if local is None:
            return
        tags = self._doors[space_id][1]
        del tags[local.door.tag(device)]
        if not tags:
            del self._doors[space_id]
        for known in list(self._sessions):
            if (known.space_id, known.local) == (space_id, device):
                self._close(known)
        self._contacts.forget(space_id, device)
        self._refusals.forget(space_id, device)

    def standing_changed(self, space_id: bytes, now: int) -> None:
        """The membership graph changed: ask again how the peers of all sessions of a space stand.

        What they are told goes out with the next `datagrams_to_send`.
        """
        for session_id, session in list(self._sessions.items()):
            if session_id.space_id == space_id:
                standing = self._locals[space_id, session_id.local].standing(session_id.peer)
                if standing is Standing.REMOVED:
                    self._out += session.farewell()
                    self._close(session_id)
                else:
                    session.set_standing(standing, now)
        for session_id in beyond_share(self._places()):
            self._close(session_id)

    def dial(self, session_id: SessionId, addresses: list[Address], now: int) -> Session:
        """The session with a peer, made if need be, that will greet it at these addresses.

        Raises KeyError when the local device is not there, ValueError when the peer's key is no key,
        when it was removed, or when there is no place for one more session.
        """
        session = self._sessions.get(session_id)
        if session is None:
            local = self._locals[session_id.space_id, session_id.local]
            standing = local.standing(session_id.peer)
            if standing is Standing.REMOVED:
                raise ValueError("this device was removed")
            link = Link(local.door, local.key, session_id.peer)
            session = self._open(session_id, link, standing, now)
            if session is None:
                raise ValueError("too many sessions")
        self._dialled[session_id] = now
        session.dial(addresses, now)
        return session

    def session(self, session_id: SessionId) -> Session | None:
        """A session, if there is one."""
        return self._sessions.get(session_id)

    def sessions(self) -> list[tuple[SessionId, Session]]:
        """All sessions, oldest first."""
        return list(self._sessions.items())

    def push(self, space_id: bytes, local: bytes, event_ids: list[bytes], now: int) -> None:
        """A local device holds new events: send them to every peer of its space that is connected."""
        for session_id, session in self._sessions.items():
            if session_id.space_id == space_id and session_id.local == local:
                session.push(event_ids, now)
                session.nudge(now)

    def nudge(self, space_id: bytes, now: int) -> None:
        """What is held in a space has changed: all who have sessions there compare soon."""
        for session_id in self._calm.pop(space_id, {}):
            self._sessions[session_id].nudge(now)

    def hold(self, until: int) -> None:
        """Ask no peer for anything until then (ms): what comes could not be kept."""
        for session in self._sessions.values():
            session.comparing.hold(until)

    def send_letter(self, session_id: SessionId, data: bytes) -> None:
        """See `Session.send_letter`. Raises KeyError when there is no such session."""
        self._sessions[session_id].send_letter(data)

    def receive_datagram(self, data: bytes, address: Address, now: int) -> None:
        """Take any bytes from the network; what belongs to no session is counted and dropped."""
        session_id = self._addressed(lambda door: door.peek(data))
        if session_id is None:
            self.drop("unknown")
        else:
            self._deliver(session_id, data, address, now)

    def called(self, greeting: bytes, now: int) -> tuple[SessionId, Link] | None:
        """Who calls whom by a stream's greeting, unproven; None for whoever gets no stream."""
        session_id = self._addressed(lambda door: door.header(greeting))
        may_call = session_id is not None and self.is_member(session_id)
        if session_id is not None and may_call and self._calls.take(STRANGERS_PER_SECOND, now):
            link = self._link(session_id)
            return None if link is None else (session_id, link)
        self.drop("uncalled")
        return None

    def link(self, session_id: SessionId) -> Link:
        """The link of a session. Raises KeyError when there is no such session."""
        return self._sessions[session_id].link

    def is_member(self, session_id: SessionId) -> bool:
        """Whether a peer stands as a member to a local device that is still there."""
        local = self._locals.get((session_id.space_id, session_id.local))
        return local is not None and local.standing(session_id.peer) is Standing.MEMBER

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, Address]]:
        """What may go out now, of all sessions; ask again while `next_timer() <= now`."""
        out, self._out = self._out, []
        for session_id in self._agenda.busy(now):
            self._do(session_id, partial(self._send, session_id, out), now)
        return out

    def next_timer(self) -> int | None:
        """When `handle_timer` should be called next (ms)."""
        timers = [self._sessions[session_id].next_timer() for session_id in self._agenda.stirred]
        planned = self._agenda.next()
        return min(timers if planned is None else [planned, *timers], default=None)

    def handle_timer(self, now: int) -> None:
        """Do what is due, and close sessions of members who came by themselves and fell silent."""
        for session_id in self._agenda.busy(now):
            if now >= self._sessions[session_id].next_timer():
                self._do(session_id, partial(self._handle_timer, session_id), now)

    def next_event(self) -> tuple[SessionId, Notice] | None:
        """The next notice of any session, or None."""
        while self._telling:
            session_id = next(iter(self._telling))
            notice = self._sessions[session_id].next_event()
            if notice is not None:
                if isinstance(notice, Connected | Moved) and notice.address is not None:
                    self._hails.proven(notice.address[:1])
                return session_id, notice
            del self._telling[session_id]
        return None

    def _do(self, session_id: SessionId, part: Callable[[int], None], now: int) -> None:
        """Let what fails in one session keep no other from its turn."""
        if not self._contain(part, now):
            self._agenda.plan(session_id, now + SESSION_REST_MS)

    def _send(self, session_id: SessionId, out: list[tuple[bytes, Address]], now: int) -> None:
        session = self._sessions[session_id]
        sent = session.datagrams_to_send(now)
        # Whoever is not connected is greeted, and no more.
        out += sent if session.connected else [one for one in sent if self._hails.may_go(one[1][:1], now)]
        self._agenda.plan(session_id, session.next_timer())
        self._calm.setdefault(session_id.space_id, {})[session_id] = None

    def _handle_timer(self, session_id: SessionId, now: int) -> None:
        if session_id not in self._dialled and now - self._last_heard(session_id) > SESSION_IDLE_MS:
            self._close(session_id)
            return
        self._sessions[session_id].handle_timer(now)
        self._stir(session_id)

    def _stir(self, session_id: SessionId) -> None:
        """Ask a session for what it has to send and to tell, unless it is over."""
        if session_id in self._sessions:
            self._agenda.stir(session_id)
            self._telling[session_id] = None

    def _addressed(self, header_by: Callable[[Door], tuple[bytes, bytes] | None]) -> SessionId | None:
        """Who means whom by a header that is unmasked door by door, unproven; None where it is nobody behind one."""
        for door, tags in self._doors.values():
            header = header_by(door)
            local = None if header is None else tags.get(header[0])
            if header is not None and local is not None:
                return SessionId(door.space_id, local, header[1])
        return None

    def _deliver(self, session_id: SessionId, data: bytes, address: Address, now: int) -> None:
        session = self._sessions.get(session_id)
        if session is None:
            self._meet(session_id, data, address, now)
            return
        payload = session.link.open(data)
        if payload is None:
            self.drop("unopened")
        else:
            self._hails.heard(address[:1])
            self._stir(session_id)
            session.receive(payload, len(data), address, now)

    def _meet(self, session_id: SessionId, data: bytes, address: Address, now: int) -> None:
        standing = self._locals[session_id.space_id, session_id.local].standing(session_id.peer)
        if standing is Standing.REMOVED and len(data) < REFUSED_DATAGRAM:
            self.drop("removed")
            return
        try:
            opened = self._contacts.open(session_id, standing, data, partial(self._link, session_id), now)
        except Crowded:
            self.drop("strangers")
            return
        if opened is None:
            self.drop("unopened")
        elif standing is Standing.REMOVED:
            self.drop("removed")
            self._refuse(session_id, *opened, address, now)
        elif (session := self._open(session_id, opened[0], standing, now, present=True)) is None:
            self.drop("sessions")
        else:
            self._hails.heard(address[:1])
            session.receive(opened[1], len(data), address, now)

    def _refuse(self, session_id: SessionId, link: Link, payload: bytes, address: Address, now: int) -> None:
        answer = refusal_to(payload)
        if answer is not None and self._refusals.due(session_id, now):
            self._out.append((link.seal(self._entropy(NONCE_BYTES), answer), address))

    def _link(self, session_id: SessionId) -> Link | None:
        """None when what claims to be the peer's key is none."""
        local = self._locals[session_id.space_id, session_id.local]
        try:
            return Link(local.door, local.key, session_id.peer)
        except ValueError:
            return None

    def _open(
        self, session_id: SessionId, link: Link, standing: Standing, now: int, present: bool = False
    ) -> Session | None:
        try:
            leaving = giving_way(self._places(), standing is Standing.UNKNOWN, present, now)
        except Full:
            return None
        if leaving is not None:
            self._close(leaving)
        local = self._locals[session_id.space_id, session_id.local]
        strategy = STRATEGIES[self._strategy](local.door.sync_key(), self._entropy)
        index = local.index_for(session_id.peer)
        session = Session(
            link,
            index,
            self._strategy,
            strategy,
            self._entropy,
            now,
            standing,
            streams=self._streams,
            stirred=partial(self._stir, session_id),
        )
        self._sessions[session_id] = session
        self._made[session_id] = now
        self._stir(session_id)
        return session

    def _places(self) -> list[Place[SessionId]]:
        return [
            Place(
                session_id,
                unknown=session.restricted,
                connected=session.connected,
                dialled=session_id in self._dialled,
                made=self._made[session_id],
                heard=self._last_heard(session_id),
            )
            for session_id, session in self._sessions.items()
        ]

    def _last_heard(self, session_id: SessionId) -> int:
        heard = self._sessions[session_id].last_heard
        return self._made[session_id] if heard is None else heard

    def _close(self, session_id: SessionId) -> None:
        del self._sessions[session_id], self._made[session_id]
        self._dialled.pop(session_id, None)
        self._agenda.drop(session_id)
        self._telling.pop(session_id, None)
        calm = self._calm.get(session_id.space_id)
        if calm is not None:
            calm.pop(session_id, None)
            if not calm:
                del self._calm[session_id.space_id]

    def drop(self, reason: str) -> None:
        """Count what belongs to no session."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
