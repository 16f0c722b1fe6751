"""What goes to one peer next: lost records again, then live events, then what reconciliation found.

Owns: queues of event ids and the packing of their records into frames. Must not know: counters,
windows, time to send. Queues hold ids; records are read from the index just before they are sent.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from quire.limits import (
    MAX_EAGER,
    MAX_FRAGMENTED,
    MAX_RECENT,
    MAX_RECENT_MS,
    MIN_RECENT_MS,
    PUSH_BATCH,
    RECENT_KEPT,
)
from quire.net import wire
from quire.net.fragments import cut
from quire.sync.index import EventIndex
from quire.sync.strategy import Strategy

WHOLE = -1


class Ref(NamedTuple):
    """One record, or one fragment of it, under way."""

    event_id: bytes
    place: int


class Outbox:
    """The queues for one peer."""

    def __init__(self, index: EventIndex, strategy: Strategy) -> None:
        self._index = index
        self._strategy = strategy
        #: Whether to look for what the peer lacks (else something other than this session brings it).
        self.looks = True
        self._again: deque[Ref] = deque()
        self._eager: deque[bytes] = deque()
        self._large: deque[bytes] = deque()
        # Large records under way, and by place those of their fragments that are not acknowledged.
        self._open: dict[bytes, dict[int, bytes]] = {}
        # Read and ready to pack: a record for WHOLE, else a FRAGMENT frame.
        self._ready: deque[tuple[Ref, bytes]] = deque()
        # Ids from the moment they are queued to the moment they are acknowledged.
        self._busy: dict[bytes, None] = {}
        # Ids that the peer got, or sent us, a short while ago, and how often: its filters may be older than that, or
        # it may keep the event unopened, and ask for it again for as long as its key does not come.
        self._recent: dict[bytes, tuple[int, int]] = {}

    @property
    def queued(self) -> int:
        """Records and fragments known to wait (what reconciliation has yet to find is not among them)."""
        return len(self._again) + len(self._eager) + len(self._ready) + len(self._large)

    @property
    def busy(self) -> bool:
        """Whether records wait, or are under way."""
        return bool(self._eager or self._busy)

    @property
    def waiting(self) -> bool:
        """Whether `fill` may find something."""
        large = bool(self._large) and len(self._open) < MAX_FRAGMENTED
        return bool(self._ready or self._again or self._eager) or large or self._may_look

    @property
    def _may_look(self) -> bool:
        return self.looks and self._strategy.pushing and len(self._large) < PUSH_BATCH

    def push(self, ids: Sequence[bytes]) -> None:
        """Queue live events; what exceeds MAX_EAGER is left to reconciliation."""
        self._eager.extend(ids[: max(0, MAX_EAGER - len(self._eager))])

    def peer_holds(self, ids: Sequence[bytes], now: int) -> None:
        """Do not send these back for a while."""
        for event_id in ids:
            self._remember(event_id, now)

    def delivered(self, refs: Sequence[Ref], now: int) -> None:
        """The peer acknowledged these."""
        for ref in refs:
            if ref.place != WHOLE:
                left = self._open.get(ref.event_id)
                if left is None:
                    continue
                left.pop(
                    ref.place, None
                )  # not a count: fragments of an earlier round may still be acknowledged
                if left:
                    continue
                del self._open[ref.event_id]
            self._busy.pop(ref.event_id, None)
            self._remember(ref.event_id, now)

    def lost(self, refs: Sequence[Ref]) -> None:
        """Send these again, before anything else (but no fragments of a record given up since)."""
        self._again.extend(ref for ref in refs if ref.place == WHOLE or ref.place in self._left(ref))

    def clear(self) -> None:
        """The peer holds everything that we hold."""
        for queue in (self._again, self._eager, self._large, self._ready, self._open, self._busy):
            queue.clear()

    def read(self, now: int, rtt: int) -> None:
        """Have ready what `fill` gives next; `rtt` in ms. Work per call is bounded.

        Raises what the index raises; nothing is lost by it, and the next call tries again.
        """
        if not self._ready:
            self._read(now, max(4 * rtt, MIN_RECENT_MS))

    def fill(self, room: int) -> tuple[list[bytes], list[Ref]]:
        """Frames of at most `room` bytes of what was read, and what they carry."""
        frames: list[bytes] = []
        records: list[bytes] = []
        refs: list[Ref] = []
        room -= wire.FRAME_BYTES
        while self._ready:
            ref, data = self._ready[0]
            whole = ref.place == WHOLE
            room -= len(data) + (wire.RECORD_BYTES if whole else 0)
            if room < 0:
                break
            (records if whole else frames).append(data)
            refs.append(ref)
            self._ready.popleft()
        if records:
            frames.append(wire.events(records))
        return frames, refs

    def _read(self, now: int, horizon: int) -> None:
        while self._again and len(self._ready) < PUSH_BATCH:
            self._take_again(self._again[0])
            self._again.popleft()
        room = PUSH_BATCH - len(self._ready)
        if room > 0 and self._eager:
            eager = list(islice(self._eager, room))
            self._take_fresh(eager, now, horizon)
            for _ in eager:
                self._eager.popleft()
            room -= len(eager)
        if room > 0 and self._may_look:
            found = self._strategy.next_pushes(self._index, room, now)
            # What the peer got since it said that it lacks it, it has.
            self._take_fresh(found, now, horizon + now - self._strategy.asked_at)
        while self._large and len(self._open) < MAX_FRAGMENTED:
            self._open_large(self._large[0])
            self._large.popleft()

    def _take_fresh(self, ids: list[bytes], now: int, horizon: int) -> None:
        fresh = self._fresh(ids, now, horizon)
        try:
            self._take(fresh)
        except Exception:
            for event_id in fresh:  # they are not under way, and may be found again
                self._busy.pop(event_id, None)
            raise

    def _take_again(self, ref: Ref) -> None:
        if ref.place == WHOLE:
            self._take([ref.event_id])
        elif ref.place in (left := self._left(ref)):  # else it was acknowledged, or given up, since
            self._ready.append((ref, left[ref.place]))

    def _left(self, ref: Ref) -> Mapping[int, bytes]:
        return self._open.get(ref.event_id, {})

    def _take(self, ids: Sequence[bytes]) -> None:
        records = self._index.blobs(ids)
        if len(records) != len(ids):
            # Some are no longer held, and the answer does not say which: ask one by one.
            self._take_singly(ids)
            return
        for event_id, record in zip(ids, records, strict=True):
            if len(record) <= wire.MAX_INLINE:
                self._ready.append((Ref(event_id, WHOLE), record))
            else:
                self._large.append(event_id)

    def _take_singly(self, ids: Sequence[bytes]) -> None:
        for event_id in ids:
            if len(ids) > 1:
                self._take([event_id])
            else:
                self._busy.pop(event_id, None)

    def _open_large(self, event_id: bytes) -> None:
        records = self._index.blobs([event_id])
        if not records:
            self._busy.pop(event_id, None)
            return
        frames = self._open[event_id] = dict(enumerate(wire.fragment(part) for part in cut(records[0])))
        self._ready.extend((Ref(event_id, place), data) for place, data in frames.items())

    def _fresh(self, ids: list[bytes], now: int, horizon: int) -> list[bytes]:
        recent, busy = self._recent, self._busy
        fresh = []
        for event_id in ids:
            known = recent.get(event_id)
            if event_id not in busy and (known is None or now - known[0] >= _rest(known[1], horizon)):
                busy[event_id] = None
                fresh.append(event_id)
        self._forget(2 * len(ids), now, horizon)
        return fresh

    def _remember(self, event_id: bytes, now: int) -> None:
        _, times = self._recent.pop(event_id, (0, 0))
        self._recent[event_id] = now, times + 1
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]

    def _forget(self, most: int, now: int, horizon: int) -> None:
        for event_id, (at, times) in list(islice(self._recent.items(), most)):
            if now - at >= RECENT_KEPT * _rest(times, horizon):
                del self._recent[event_id]


def _rest(times: int, horizon: int) -> int:
    """How long an id is not pushed that the peer got so many times, lately (ms)."""
    return max(horizon, min(MAX_RECENT_MS, horizon << min(times - 1, 16)))
