"""Where devices are reached: remembered, told to the others, and dialled.

Owns: addresses, as far as a node acts on them. Must not know: sockets, what is said once a device is reached.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from quire.core.address import HostPort, format_address, parse_address
from quire.core.encoding import from_text, to_text
from quire.errors import UserError
from quire.events.home import Home
from quire.limits import HEARSAY_PER_MINUTE, INTRODUCE_MS, MAX_ADDRESSES, MAX_ADDRESSES_KEPT, MAX_SESSIONS
from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import Address
from quire.net.session import Session
from quire.store.memberships import DOORS, JOINING, Membership
from quire.sync.allowance import Allowance

_MINUTE = 60_000


class Whereabouts:
    """`own` are the node's own `host:port`s."""

    def __init__(self, home: Home, endpoint: Endpoint, own: Sequence[str]) -> None:
        self._home = home
        self._endpoint = endpoint
        self._own = own[:MAX_ADDRESSES]
        #: By space and device: where the others were told that it is.
        self._introduced: dict[tuple[bytes, bytes], str] = {}
        #: By space and device: where the others are still to be told that it is.
        self._news: dict[bytes, dict[bytes, str]] = {}
        self._due = 0
        self._heard: dict[SessionId, Allowance] = {}

    def found(
        self,
        member: Membership,
        session_id: SessionId,
        session: Session,
        address: Address,
        wall: int,
        now: int,
    ) -> None:
        """Remember where a device was reached, at a time of day (ms), and tell the others if it is a member's.

        Of a device that is none a space remembers nothing: whoever has a link can make up any number. Once it is a
        member's it is found again.
        """
        if session.restricted and member.kind not in DOORS:
            return
        where = format_address(*cast(HostPort, address))
        self._remember(member, to_text(session_id.peer), where, wall)
        if member.kind != JOINING and not session.restricted:
            self._introduce(session_id, where, now)

    def _introduce(self, session_id: SessionId, where: str, now: int) -> None:
        """Let it be told, once, where a member was reached: others who are behind a NAT have to dial it themselves.

        In a large space all meet at once, and everybody can tell everybody the same. So it is told a while later, each
        at another time (up to twice INTRODUCE_MS): then most have told it themselves, and need not hear it.
        """
        about = session_id.space_id, session_id.peer
        if self._introduced.get(about) == where:
            return
        if len(self._introduced) >= MAX_ADDRESSES_KEPT:
            self._introduced.clear()
        self._introduced[about] = where
        if not self._news:
            self._due = now + INTRODUCE_MS + INTRODUCE_MS * self._home.entropy(1)[0] // 256
        self._news.setdefault(session_id.space_id, {})[session_id.peer] = where

    def next_timer(self) -> int | None:
        """When `handle_timer` should be called next (ms)."""
        return self._due if self._news else None

    def handle_timer(self, now: int) -> None:
        """Tell the others of whoever was introduced, when that is due."""
        if not self._news or now < self._due:
            return
        news, self._news = self._news, {}
        for session_id, session in self._endpoint.sessions():
            others = [one for one in news.get(session_id.space_id, {}).items() if one[0] != session_id.peer]
            if others:
                session.share(others)

    def share(self, member: Membership, housemates: Sequence[bytes], peer: bytes, session: Session) -> None:
        """Tell a peer where the others are, and this node with its devices in the space."""
        device = to_text(peer)
        known = self._home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
        own = [(key, address) for key in housemates for address in self._own]
        others = [(from_text(name), text) for name, text, reached in known if reached and name != device]
        session.share([*own, *others])

    def learn(
        self,
        member: Membership,
        teller: SessionId,
        told: Sequence[tuple[bytes, str]],
        here: set[tuple[int, str]],
        now: int,
    ) -> None:
        """Note where a peer says that others can be reached, and greet those there: hints to try, never facts.

        No more than HEARSAY_PER_MINUTE of one peer: each makes us send something to wherever it says.
        """
        if len(self._heard) > MAX_SESSIONS:
            self._heard.clear()
        heard = self._heard.setdefault(teller, Allowance(_MINUTE))
        named = [(to_text(raw), text) for raw, text in told if heard.take(HEARSAY_PER_MINUTE, now)]
        # Every peer tells where all others are: most of it is known.
        knows = self._home.store.memberships.knows_address
        news = [
            (device, text)
            for device, text in named
            if device != member.device
            and not knows(member.account, member.space, device, text)
            and _usable([text])
        ]
        if news:
            with self._home.store.transaction():
                for device, text in news:
                    self._remember(member, device, text, 0)
        for device in dict.fromkeys(device for device, _ in named):
            if device != member.device and (member.space, device) not in here:
                self._dial_one(member, device, now)

    def dial(self, member: Membership, here: set[tuple[int, str]], now: int) -> None:
        """Greet a space's devices at the addresses known for them, the latest reached first, but for those `here`."""
        known = self._home.store.memberships.addresses(member.account, member.space, MAX_ADDRESSES_KEPT)
        for device in dict.fromkeys(device for device, _, _ in known):
            if (member.space, device) not in here:
                self._dial_one(member, device, now)

    def note_own(self, members: Sequence[Membership], wall: int) -> None:
        """Remember where this node is reached: it goes into invites that are made while none runs."""
        with self._home.store.transaction():
            for member in members:
                for address in self._own:
                    self._remember(member, member.device, address, wall)

    def _dial_one(self, member: Membership, device: str, now: int) -> None:
        session_id = SessionId(member.raw_space_id, member.device_key.public, from_text(device))
        session = self._endpoint.session(session_id)
        if session is not None and session.connected:
            return
        addresses = _usable(self._home.store.memberships.addresses_of(member.account, device))
        if addresses:
            # No usable key, or as many sessions as there may be: tried again later.
            with suppress(ValueError):
                self._endpoint.dial(session_id, list(addresses[::-1]), now)

    def _remember(self, member: Membership, device: str, address: str, reached_ts: int) -> None:
        with self._home.store.transaction():
            self._home.store.memberships.remember_address(
                member.account, member.space, device, address, reached_ts
            )


def _usable(texts: Sequence[str]) -> list[HostPort]:
    """Those of other people's addresses that are addresses."""
    found = []
    for text in texts:
        with suppress(UserError):
            found.append(parse_address(text))
    return found
