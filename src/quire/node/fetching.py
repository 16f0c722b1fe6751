"""What one node gives and takes over streams, as its streams ask for it.

Owns: which logs a peer may see, the ingest of what peers give, and for how long nothing is to be asked for where that
could not be kept. Must not know: what is asked of whom.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from quire.core.encoding import to_text
from quire.errors import Damaged, HomeError
from quire.events.home import Home
from quire.events.ingest import Tail
from quire.events.settle import Report
from quire.handlers import incoming
from quire.limits import MAX_HOLD_MS, TICK_MS
from quire.net.endpoint import Endpoint, SessionId
from quire.net.session import Session
from quire.net.streams import Taken
from quire.node.log_view import LogView
from quire.store.memberships import DOORS, Membership
from quire.sync.frontier import Logs

#: Reasons for refusing an event that say nothing against who gave it. A signature that does not hold is passed over
#: where a genuine successor vouches for the event: who heard of that first holds both, and gives both in good faith.
_NO_FAULT = frozenset({"waiting-list-full", "bad-signature"})

#: What to do after a commit in a space (32 bytes), now (ms).
Committed = Callable[[bytes, int], None]


class Fetching:
    """`members` are the node's, by space and device key; `wall` gives the time of day (ms) at a `now`."""

    def __init__(
        self,
        home: Home,
        endpoint: Endpoint,
        members: Mapping[tuple[bytes, bytes], Membership],
        wall: Callable[[int], int],
        committed: Committed,
    ) -> None:
        self._home = home
        self._endpoint = endpoint
        self.keeping = Keeping(endpoint)
        self._members = members
        self._wall = wall
        self._committed = committed
        self._tails: dict[tuple[int, int], Tail] = {}
        #: Those whose stream is over, and whose session compares again once what came is counted.
        self._over: dict[SessionId, None] = {}

    def logs_for(self, session_id: SessionId) -> Logs | None:
        """The logs that one of our identities shows to a peer: to members, where all of them may have the same."""
        member = self._members.get((session_id.space_id, session_id.local))
        if member is None or member.kind in DOORS or member.apart or not self._endpoint.is_member(session_id):
            return None
        return LogView(self._home.store.logs(member.account, member.space))

    def take(self, session_id: SessionId, records: Sequence[bytes], more: bool, now: int) -> Taken:
        """Ingest what came over a stream."""
        member = self._members.get((session_id.space_id, session_id.local))
        if member is None:
            return Taken(0, 0)
        at = (member.account, member.space)
        tail = self._tails.pop(at, Tail())
        if not records and not tail:
            return Taken(0, 0)
        peer = to_text(session_id.peer)
        come = self._home, member, records, peer, self._wall(now), tail, more
        report = self.keeping.keep(partial(incoming.receive, *come), now)
        if tail:
            self._tails[at] = tail
        session = self._endpoint.session(session_id)
        if session is not None:
            blame(session, report, now)
        self._committed(session_id.space_id, now)
        fresh = report.valid + report.blocked + report.locked + report.carried
        return Taken(fresh + report.known, fresh)

    def failed(self, session_id: SessionId, reason: str, proven: bool, now: int) -> None:
        """What came on a stream was none of what may: count it against the peer if that is `proven` to have sent it."""
        session = self._endpoint.session(session_id)
        if proven and session is not None:
            session.blame(reason, now)
        else:
            self._endpoint.drop(reason)

    def carried(self, session_id: SessionId, streams: bool, now: int) -> None:
        """A stream brings what a session would have to, or does so no more.

        A session compares sums of all that is held: those of a million events take seconds, so they are worked out in
        steps before it may. That is seen to at the next timer, which comes again where the store cannot be read.
        """
        self._over.pop(session_id, None)
        if streams:
            self._set(session_id, True, now)
        else:
            self._over[session_id] = None

    def next_timer(self) -> int | None:
        """When `handle_timer` should be called: at once, while a session waits for it."""
        return 0 if self._over else None

    def handle_timer(self, now: int) -> None:
        """Count a step's worth of what streams brought; where the rest is no more than that, sessions compare again."""
        buckets = self._home.store.buckets
        if self._over and not (buckets.far_behind() and buckets.step()):
            for session_id in list(self._over):
                self._set(session_id, False, now)
            self._over.clear()

    def _set(self, session_id: SessionId, streams: bool, now: int) -> None:
        session = self._endpoint.session(session_id)
        if session is not None:
            session.set_streams(streams, now)


class Keeping:
    """Keeps what came of asking, and has nothing asked for while that cannot be: a full disk would have all of a long
    history sent again each second.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._until = self._rest = 0

    def holds(self, now: int) -> bool:
        """Whether nothing is to be asked for now."""
        return now < self._until

    def keep(self, receive: Callable[[], Report], now: int) -> Report:
        """What `receive` reports. Raises what it raises: HomeError, Damaged."""
        try:
            report = receive()
        except (HomeError, Damaged):
            self._rest = min(2 * self._rest or TICK_MS, MAX_HOLD_MS)
            self._until = now + self._rest
            self._endpoint.hold(self._until)
            raise
        if report.arrived:
            self._rest = 0
        return report


def blame(session: Session, report: Report, now: int) -> None:
    """Count what was refused against who gave it."""
    for reason in report.rejected:
        if reason not in _NO_FAULT:
            session.blame(reason, now)
