"""The relays that a node uses: which ones, when to call them, and whose mailboxes are open on each connection.

Owns: connections by number, their retries and what is told of them. Must not know: sockets, what mailboxes hold.

One connection serves all identities and spaces of the node that use a relay.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from quire.core.relay_address import RelayAddress
from quire.errors import HomeError
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import relay, relay_places
from quire.limits import (
    MAX_MAILBOXES,
    MAX_RELAY_REST_MS,
    MAX_RELAY_RETRY_MS,
    MAX_RELAYS,
    RELAY_EAGER_MS,
    RELAY_FORGIVEN_MS,
    RELAY_REST_MS,
    RELAY_RETRY_MS,
    RELAY_SLEPT_MS,
)
from quire.net.relay_client import (
    Came,
    Fault,
    Grew,
    Misdeed,
    Posted,
    Refused,
    RelayClient,
    RelayEvent,
    Unposted,
)
from quire.node.relay_door import RelayDoor
from quire.node.relay_turns import shares
from quire.node.relay_use import Changed, Now, RelayUse, lacking
from quire.store.memberships import DOORS, JOINING, SIBLINGS, Membership
from quire.store.relays import FaultRow, Use

#: What hangs on a connection, by account and space: events, and whether it is a door's.
_Key = tuple[int, int, bool]
_Hanging = RelayUse | RelayDoor
RelayState = Literal["in-sync", "syncing", "unreachable", "refused", "waiting"]
#: What is told of a relay that broke its word again, and is left alone for that.
_AGAIN = "it broke its word again and again, so it is left alone for a while"


#: What a relay as a whole did that none may → what a person is told.
_NO_RELAY: dict[Misdeed, str] = {
    "another-key": "it has another key than its address here: it was set up anew, or is not the relay that it was. Its "
    "operator can tell its present address",
    "malformed": "what answers there says what no relay says",
}


class RelayCall(NamedTuple):
    """Connect to a relay, and call the connection by this number."""

    number: int
    url: str


class RelayHangUp(NamedTuple):
    """End a connection."""

    number: int


class RelayStatus(NamedTuple):
    """How one identity's sync with a relay stands; times as the node's clock gives them, faults as they were noted.

    `retry_at`: when what it could not or would not do is tried again; in the past where nothing waits.
    """

    relay: RelayAddress
    state: RelayState
    unposted: int
    last_heard: int | None
    trouble: str
    retry_at: int
    missed: int
    faults: list[FaultRow]


@dataclass
class _Line:
    """One relay: the connection to it, if there is one, and what hangs on it."""

    address: RelayAddress
    number: int = 0
    client: RelayClient | None = None
    connected: bool = False
    uses: dict[_Key, _Hanging] = field(default_factory=dict)
    boxes: dict[int, _Hanging] = field(default_factory=dict)
    failures: int = 0
    retry_at: int = 0
    #: The earliest that it may be tried again, whatever the reason.
    eager_at: int = 0
    last_heard: int | None = None
    trouble: str = ""
    #: Why it does not open a mailbox, by what hangs there.
    shut: dict[_Hanging, str] = field(default_factory=dict)
    #: By account and space: how often it broke its word lately, and when last.
    broken: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


#: Events counted as not handed over, at most: `quire status` says "100 or more".
UNPOSTED_SHOWN = 100


class Relaying:
    """`wall` gives the time of day (ms) at a `now`; `changed` is told of what was ingested. `frugal`: relays tell this
    node only that they have something, and it reads that now and then.
    """

    def __init__(
        self, home: Home, wall: Callable[[int], int], changed: Changed, frugal: bool = False
    ) -> None:
        self._home = home
        self._wall = wall
        self._changed = changed
        self._frugal = frugal
        self._lines: dict[bytes, _Line] = {}
        self._by_number: dict[int, _Line] = {}
        self._last_number = 0
        self._events: deque[RelayCall | RelayHangUp] = deque()
        self._ahead: int | None = None

    @property
    def in_use(self) -> bool:
        """Whether any relay is."""
        return bool(self._lines)

    def next_event(self) -> RelayCall | RelayHangUp | None:
        """What is to be done about connections, oldest first."""
        return self._events.popleft() if self._events else None

    def tick(self, members: Sequence[Membership], now: int) -> None:
        """Call the relays that are used and due, let go of others, and hand over what had its time."""
        ahead, self._ahead = self._ahead, self._wall(now) - now
        if ahead is not None and self._ahead - ahead >= RELAY_SLEPT_MS:
            self.hurry(now)
        wanted = self._wanted(members, now)
        for key, line in list(self._lines.items()):
            if key not in wanted:
                self._end(line, now)
                self._events.append(RelayHangUp(line.number))
                del self._lines[key]
        for key, (address, users) in wanted.items():
            line = self._lines.setdefault(key, _Line(address))
            if line.address != address or _reads_again(line, now):
                self._move(line, address, now)
            if line.client is None and now >= line.retry_at:
                self._call(line)
            self._serve(line, users, now)

    def committed(self, now: int) -> None:
        """Something was written: hand over what is ours."""
        for line in self._lines.values():
            self._post(line, now)

    def hurry(self, now: int) -> None:
        """There is reason to try soon what could not be reached: as soon as not all would come at once by it."""
        for line in self._lines.values():
            if line.client is None:
                line.retry_at = min(line.retry_at, max(line.eager_at, now))

    def opened(self, number: int, now: int) -> None:
        """A connection stands."""
        line = self._by_number.get(number)
        if line is not None:
            line.connected, line.last_heard, line.trouble, line.shut = True, now, "", {}
            self.hurry(now)

    def receive(self, number: int, data: bytes, now: int) -> None:
        """Take a message of a relay's, and act on it."""
        line = self._by_number.get(number)
        if line is None or line.client is None:
            return
        line.last_heard = now
        client = line.client
        client.receive(data)
        with self._or_anew(line, now):
            while line.client is client and (event := client.next_event()) is not None:
                self._act(line, event, now)
        self._post(line, now)

    def to_send(self, number: int) -> list[bytes]:
        """Messages to send on a connection now."""
        line = self._by_number.get(number)
        return [] if line is None or line.client is None else line.client.messages_to_send()

    def closed(self, number: int, why: str, now: int) -> None:
        """A connection is gone, or could not be made; `why` is for a person."""
        line = self._by_number.get(number)
        if line is not None:
            self._end(line, now)
            self._fail(line, why, now)

    def status(self, member: Membership) -> list[RelayStatus]:
        """How an identity stands with each relay of a space."""
        found = []
        for address in relay_places.used(self._context(member, 0)):
            line = self._lines.get(address.key)
            if line is not None and line.address != address:
                line = None  # it moved, and is called there at the next tick
            kept = self._home.store.relays
            at = Use(member.account, member.space, kept.number(address.key))
            faults = kept.faults(at)
            heard, trouble = (None, "") if line is None else (line.last_heard, _troubles(line))
            unposted = lacking(self._home, member, at, UNPOSTED_SHOWN)
            state = _state(line, member)
            retry = _retry_at(line, member) if line is not None and trouble else 0
            found.append(
                RelayStatus(address, state, unposted, heard, trouble, retry, kept.missed(at), faults)
            )
        return found

    # --- inside

    def _context(self, member: Membership, now: int) -> Context:
        return Context(self._home, self._wall(now), member.account, member)

    def _wanted(
        self, members: Sequence[Membership], now: int
    ) -> dict[bytes, tuple[RelayAddress, list[Membership]]]:
        wanted: dict[bytes, tuple[RelayAddress, list[Membership]]] = {}
        for member in members:
            for address in self._relays(self._context(member, now)):
                wanted.setdefault(address.key, (address, []))[1].append(member)
        return wanted

    def _relays(self, ctx: Context) -> list[RelayAddress]:
        """Those of a space, of the link by which somebody is about to come in, or of all of an identity's spaces."""
        member = ctx.member
        if member.kind == SIBLINGS:
            spaces = self._home.store.memberships.of_account(member.account)
            every = [one for space in spaces for one in relay.used(ctx.within(space))]
            return list({one.key: one for one in every}.values())[:MAX_RELAYS]
        if member.kind in DOORS:
            return []
        return relay_places.used(ctx)

    def _hanging(self, line: _Line, client: RelayClient, key: _Key, member: Membership) -> _Hanging:
        found = line.uses.get(key)
        if found is None:
            base = self._home, member, line.address, client, self._changed
            found = line.uses[key] = RelayDoor(*base) if key[2] else RelayUse(*base, self._frugal)
        return found

    def _call(self, line: _Line) -> None:
        self._last_number += 1
        line.number, line.client = self._last_number, RelayClient(line.address.key)
        self._by_number[line.number] = line
        self._events.append(RelayCall(line.number, line.address.url))

    def _move(self, line: _Line, address: RelayAddress, now: int) -> None:
        """A relay is found elsewhere from now on, or read once more: whether it is there, shows at once."""
        if line.client is not None:
            self._end(line, now)
            self._events.append(RelayHangUp(line.number))
        line.address, line.retry_at = address, now

    def _serve(self, line: _Line, users: Sequence[Membership], now: int) -> None:
        """Open what its users have to open there, and close what is nobody's any more."""
        if line.client is None or not line.connected:
            return
        here = {key: member for member in users for key in _keys(member)}
        for key in [key for key in line.uses if key not in here]:
            gone = line.uses.pop(key)
            line.shut.pop(gone, None)
            for n in gone.numbers:
                line.client.leave(n)
        with self._or_anew(line, now):
            hanging = [self._hanging(line, line.client, key, member) for key, member in here.items()]
            for one, most in zip(
                hanging, shares([one.wanted for one in hanging], MAX_MAILBOXES), strict=True
            ):
                one.open_mailboxes(self._now(now), most)
            line.boxes = {n: one for one in hanging for n in one.numbers}
        self._post(line, now)

    def _post(self, line: _Line, now: int) -> None:
        for use in list(line.uses.values()):
            use.post(self._now(now))

    def _now(self, now: int) -> Now:
        return Now(now, self._wall(now))

    def _act(self, line: _Line, event: RelayEvent, now: int) -> None:
        if isinstance(event, Fault):
            self._blame(line, event, now)
        elif isinstance(event, Refused) and event.n == 0:
            self._hang_up(line, event.refusal.text, now, event.refusal.retry_ms)
        elif (use := line.boxes.get(event.n)) is not None:
            self._tell(line, use, event, now)

    def _tell(self, line: _Line, use: _Hanging, event: RelayEvent, now: int) -> None:
        if isinstance(event, Came):
            use.came(event, self._now(now))
            line.failures = 0
            if use.rest_until <= now:  # else it is another mailbox that is shut
                line.shut.pop(use, None)
        elif isinstance(event, Posted):
            line.trouble = ""
            use.posted(event)
        elif isinstance(event, Unposted):
            line.trouble = line.trouble if event.refusal is None else event.refusal.text
            use.unposted_by(event, self._now(now))
        elif isinstance(event, Grew) and isinstance(use, RelayUse):
            use.grew(event.n)
        elif isinstance(event, Refused):
            line.shut[use] = event.refusal.text
            use.refused(event.n, event.refusal.retry_ms, self._now(now))

    def _blame(self, line: _Line, fault: Fault, now: int) -> None:
        """A relay broke its word: note it, for everybody whom it concerns, and begin anew with it.

        Each time it takes longer until that: an operator who puts an old copy back twice is soon forgiven, and what
        does so all the time costs little. What answers in its place may be gone in a moment.
        """
        kept, rest = self._home.store.relays, 0
        use = line.boxes.get(fault.n)
        for at in {one.use for one in ([use] if use is not None else line.uses.values())}:
            with self._home.store.transaction():
                if fault.n:
                    rest = max(rest, _rest(line, at, now))
                    kept.start_over(at)
                kept.add_fault(at, FaultRow(self._wall(now), fault.misdeed, fault.before, fault.now))
        self._hang_up(line, _told(fault, rest), now, rest)

    @contextmanager
    def _or_anew(self, line: _Line, now: int) -> Iterator[None]:
        """What came and could not be kept comes again on another connection, from where the store stands: this one
        is ended. Passes on HomeError.
        """
        try:
            with self._home.store.db.plain_errors():
                yield
        except HomeError as error:
            self._hang_up(line, str(error), now)
            raise

    def _hang_up(self, line: _Line, why: str, now: int, rest: int = 0) -> None:
        self._end(line, now)
        self._fail(line, why, now, rest)
        self._events.append(RelayHangUp(line.number))

    def _end(self, line: _Line, now: int) -> None:
        uses = list(line.uses.values())
        self._by_number.pop(line.number, None)
        line.client, line.connected = None, False
        line.uses, line.boxes = {}, {}
        for use in uses:
            # What cannot be kept now comes again: it is not noted as read.
            with suppress(HomeError), self._home.store.db.plain_errors():
                use.closed(self._now(now))

    def _fail(self, line: _Line, why: str, now: int, rest: int = 0) -> None:
        line.trouble, line.shut = why, {}
        wait = min(RELAY_RETRY_MS << min(line.failures, 16), MAX_RELAY_RETRY_MS)
        # Not all come back at the same moment after an outage.
        wait += int.from_bytes(self._home.entropy(2)) * wait >> 16
        line.failures += 1
        line.retry_at = now + max(wait, rest)
        eager = RELAY_EAGER_MS + (int.from_bytes(self._home.entropy(2)) * RELAY_EAGER_MS >> 16)
        line.eager_at = now + max(eager, rest)


def _told(fault: Fault, rest: int) -> str:
    """What a person is told beside the fault itself."""
    if fault.n:
        return _AGAIN if rest else ""
    return _NO_RELAY[fault.misdeed]


def _rest(line: _Line, at: Use, now: int) -> int:
    """How long (ms) a relay is left alone that broke its word once more: not for the first time in a day."""
    times, last = line.broken.get(at[:2], (0, now))
    times = 1 if now - last > RELAY_FORGIVEN_MS else times + 1
    line.broken[at[:2]] = times, now
    return min(RELAY_REST_MS << 2 * (times - 2), MAX_RELAY_REST_MS) if times > 1 else 0


def _keys(member: Membership) -> list[_Key]:
    """What hangs on a connection for a member: no events for who is none yet, nor at a siblings' door."""
    at = (member.account, member.space)
    return [(*at, True)] if member.kind in (JOINING, SIBLINGS) else [(*at, False), (*at, True)]


def _reads_again(line: _Line, now: int) -> bool:
    return any(isinstance(use, RelayUse) and use.again_at <= now for use in line.uses.values())


def _troubles(line: _Line) -> str:
    return line.trouble or next(iter(line.shut.values()), "")


def _retry_at(line: _Line, member: Membership) -> int:
    if line.client is None:
        return line.retry_at
    hanging = [line.uses.get(key) for key in _keys(member)]
    return max((one.rest_until for one in hanging if one is not None), default=0)


def _state(line: _Line | None, member: Membership) -> RelayState:
    if line is None:
        return "waiting"
    if line.client is None or not line.connected:
        return "unreachable" if line.failures else "waiting"
    if line.trouble or line.shut:
        return "refused"
    hanging = [line.uses.get(key) for key in _keys(member)]
    return "in-sync" if all(one is not None and one.in_sync for one in hanging) else "syncing"
