"""What one session says of what is held, and how much of the path its questions may take.

Owns: when the strategy of the session is asked for messages, and what it tells. Must not know: packets, standing.

What is asked while events are on their way is answered by what they change: there questions take a part of what the
path carries, so that on a narrow one they do not cost more than the events do. Nobody can make them wait for good: some
may go each second, whatever the peer says or brings. Else they go as the congestion window lets them.
"""

from quire.limits import ASKS_IN_VAIN, ASKS_IN_VAIN_PER_SECOND, ASKS_PART, ASKS_WHILE_MOVING, MAX_ROUND_MS
from quire.net.control import Control
from quire.net.flight import Flight
from quire.net.notices import SyncChanged
from quire.net.outbox import Outbox, Ref
from quire.sync.index import EventIndex
from quire.sync.messages import is_root
from quire.sync.strategy import Pace, Strategy


class Comparing:
    """With one peer, to which `control` and `outbox` go; times in ms."""

    def __init__(
        self, strategy: Strategy, index: EventIndex, outbox: Outbox, control: Control, now: int
    ) -> None:
        self._strategy = strategy
        self._index = index
        self._outbox = outbox
        self._control = control
        self._in_sync: bool | None = None
        # Questions that may go while events are on their way: what a second brings, at most.
        self._level = float("inf")
        # Questions that may go to a peer who gives nothing: what it lacks itself is among the answers.
        self._vain = float(ASKS_IN_VAIN)
        self._at = now
        # When records came last; until when nothing is asked, since it could not be kept.
        self._came: int | None = None
        self._held_until = now

    def came(self, now: int) -> None:
        """Records came from the peer."""
        self._came = now

    def hold(self, until: int) -> None:
        """Ask for nothing until then: what comes could not be kept."""
        self._held_until = until

    def take(self, message: bytes, flight: Flight[Ref | bytes], now: int) -> None:
        """Take a message of the peer's strategy; what follows from it is asked by `ask`. Raises BadMessage."""
        self._strategy.receive(message, self._index, now, Pace(0, _round_trip(flight)))

    def beat(self, now: int) -> None:
        """Say a heartbeat."""
        self._control.sync(self._strategy.heartbeat(self._index, now, Pace(0, 0)))

    def ask(self, flight: Flight[Ref | bytes], now: int, given: bool) -> None:
        """Say as many of the questions that wait as may go now; `given`: the peer gives us what we lack."""
        if not self._strategy.asking or now < self._held_until:
            return
        self._renew(flight.window / _round_trip(flight) / ASKS_PART, now)
        room = flight.room - len(self._control)
        moving = self._outbox.busy or self._comes(flight, now)
        most = min(room, int(self._level)) if moving else room
        questions = self._strategy.questions(self._index, now, most if given else min(most, int(self._vain)))
        if moving:
            self._level -= len(questions)
        if not given:
            self._vain -= len(questions)
        self._control.sync(questions)

    def changes(self, message: bytes) -> list[SyncChanged]:
        """After a message of the peer's strategy: whether the stores are equal, where that is news."""
        in_sync = self._strategy.in_sync
        if in_sync and is_root(message):  # else it may be older than what waits
            self._outbox.clear()
        if in_sync is None or in_sync == self._in_sync:
            return []
        self._in_sync = in_sync
        return [SyncChanged(in_sync)]

    def _comes(self, flight: Flight[Ref | bytes], now: int) -> bool:
        return self._came is not None and now - self._came < 2 * _round_trip(flight)

    def _renew(self, per_ms: float, now: int) -> None:
        self._vain = min(ASKS_IN_VAIN, self._vain + ASKS_IN_VAIN_PER_SECOND * (now - self._at) / 1_000)
        second = max(1_000 * per_ms, ASKS_WHILE_MOVING)
        self._level = min(second, self._level + second * (now - self._at) / 1_000)
        self._at = now


def _round_trip(flight: Flight[Ref | bytes]) -> int:
    """In ms; however slow a peer is with what it acknowledges, no more than a bound."""
    return min(MAX_ROUND_MS, flight.rtt)
