"""All sessions of one node: which space, local device and remote device a datagram belongs to.

Owns: the doors (spaces) with the local devices behind each, the sessions, and how many there may be.
Must not know: sockets, what a session says, the store's insides.

A datagram costs one keyed hash for each door until its header names a device behind one. A member who is
unknown here gets a session at the first datagram that proves its device key; strangers, who lack the
space key, get nothing at all.
"""

from typing import NamedTuple

from quire.core.keys import DeviceKey
from quire.limits import MAX_SESSIONS, SESSION_IDLE_MS, STRANGERS_PER_SECOND
from quire.net.link import Door, Link
from quire.net.notices import Address, Notice
from quire.net.session import Session
from quire.sync import STRATEGIES
from quire.sync.allowance import Allowance
from quire.sync.index import EventIndex
from quire.sync.strategy import Entropy


class SessionId(NamedTuple):
    """Whose session it is; device keys and space id are 32 raw bytes."""

    space_id: bytes
    local: bytes
    peer: bytes


class _Local(NamedTuple):
    door: Door
    key: DeviceKey
    events: EventIndex


class Endpoint:
    """`entropy(n)` gives n random bytes; `strategy` is a name in STRATEGIES."""

    def __init__(self, entropy: Entropy, strategy: str = "bloom") -> None:
        self._entropy = entropy
        self._strategy = strategy
        self._locals: dict[tuple[bytes, bytes], _Local] = {}
        # Per space: its door, and the local devices by the tag under which they are addressed.
        self._doors: dict[bytes, tuple[Door, dict[bytes, bytes]]] = {}
        self._sessions: dict[SessionId, Session] = {}
        self._dialled: dict[SessionId, int] = {}
        self._made: dict[SessionId, int] = {}
        self._refused: dict[tuple[bytes, bytes], None] = {}
        self._strangers = Allowance()
        #: Datagrams dropped before they reached a session, by reason.
        self.dropped: dict[str, int] = {}

    def add(self, space_id: bytes, space_key: bytes, device: DeviceKey, index: EventIndex) -> None:
        """Let a local device be met in a space. All devices of one space share its key."""
        if space_id not in self._doors:
            self._doors[space_id] = Door(space_id, space_key), {}
        door, tags = self._doors[space_id]
        tags[door.tag(device.public)] = device.public
        self._locals[space_id, device.public] = _Local(door, device, index)

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

    def refuse(self, space_id: bytes, peer: bytes) -> None:
        """Have nothing more to do with a device (it was removed from the space)."""
        self._refused[space_id, peer] = None
        for known in list(self._sessions):
            if (known.space_id, known.peer) == (space_id, peer):
                self._close(known)

    def admit(self, space_id: bytes, peer: bytes) -> None:
        """Take back `refuse`."""
        self._refused.pop((space_id, peer), None)

    def dial(self, session_id: SessionId, addresses: list[Address], now: int) -> Session:
        """The session with a peer, made if need be, that will greet it at these addresses.

        Raises KeyError when the local device is not there, ValueError when the peer's key is no key,
        when it is refused, or when MAX_SESSIONS are in use.
        """
        session = self._sessions.get(session_id)
        if session is None:
            local = self._locals[session_id.space_id, session_id.local]
            if (session_id.space_id, session_id.peer) in self._refused:
                raise ValueError("this device is refused")
            session = self._open(session_id, Link(local.door, local.key, session_id.peer), local, now)
            if session is None:
                raise ValueError("too many sessions")
        self._dialled[session_id] = now
        session.dial(addresses, now)
        return session

    def hang_up(self, session_id: SessionId) -> None:
        """Stop dialling a peer, and forget its session."""
        if session_id in self._sessions:
            self._close(session_id)

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

    def receive_datagram(self, data: bytes, address: Address, now: int) -> None:
        """Take any bytes from the network; what belongs to no session is counted and dropped."""
        for door, tags in self._doors.values():
            header = door.peek(data)
            if header is None:
                break
            local = tags.get(header[0])
            if local is not None:
                self._deliver(SessionId(door.space_id, local, header[1]), data, address, now)
                return
        self._drop("unknown")

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, Address]]:
        """What may go out now, of all sessions; ask again while `next_timer() <= now`."""
        return [item for session in self._sessions.values() for item in session.datagrams_to_send(now)]

    def next_timer(self) -> int | None:
        """When `handle_timer` should be called next (ms)."""
        return min((session.next_timer() for session in self._sessions.values()), default=None)

    def handle_timer(self, now: int) -> None:
        """Do what is due, and close sessions of members who came by themselves and fell silent."""
        for session_id, session in list(self._sessions.items()):
            if now >= session.next_timer():
                session.handle_timer(now)
                if session_id not in self._dialled and now - self._last_heard(session_id) > SESSION_IDLE_MS:
                    self._close(session_id)

    def next_event(self) -> tuple[SessionId, Notice] | None:
        """The next notice of any session, or None."""
        for session_id, session in self._sessions.items():
            notice = session.next_event()
            if notice is not None:
                return session_id, notice
        return None

    def _deliver(self, session_id: SessionId, data: bytes, address: Address, now: int) -> None:
        session = self._sessions.get(session_id)
        if session is None:
            self._meet(session_id, data, address, now)
            return
        payload = session.link.open(data)
        if payload is None:
            self._drop("unopened")
        else:
            session.receive(payload, len(data), address, now)

    def _meet(self, session_id: SessionId, data: bytes, address: Address, now: int) -> None:
        if (session_id.space_id, session_id.peer) in self._refused:
            self._drop("refused")
            return
        if not self._strangers.take(STRANGERS_PER_SECOND, now):
            self._drop("strangers")
            return
        local = self._locals[session_id.space_id, session_id.local]
        try:
            link = Link(local.door, local.key, session_id.peer)
        except ValueError:
            self._drop("unopened")
            return
        payload = link.open(data)
        if payload is None:
            self._drop("unopened")
            return
        session = self._open(session_id, link, local, now, present=True)
        if session is None:
            self._drop("sessions")
        else:
            session.receive(payload, len(data), address, now)

    def _open(
        self, session_id: SessionId, link: Link, local: _Local, now: int, present: bool = False
    ) -> Session | None:
        if len(self._sessions) >= MAX_SESSIONS and not self._make_room(present):
            return None
        strategy = STRATEGIES[self._strategy](local.door.sync_key(), self._entropy)
        session = Session(link, local.events, self._strategy, strategy, self._entropy, now)
        self._sessions[session_id] = session
        self._made[session_id] = now
        return session

    def _make_room(self, present: bool) -> bool:
        """Close the longest silent session without a connection; a dialled one only for a peer that is there."""
        silent = [session_id for session_id, session in self._sessions.items() if not session.connected]
        idle = [session_id for session_id in silent if session_id not in self._dialled] or (
            silent if present else []
        )
        if idle:
            self._close(min(idle, key=self._last_heard))
        return bool(idle)

    def _last_heard(self, session_id: SessionId) -> int:
        heard = self._sessions[session_id].last_heard
        return self._made[session_id] if heard is None else heard

    def _close(self, session_id: SessionId) -> None:
        del self._sessions[session_id], self._made[session_id]
        self._dialled.pop(session_id, None)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
