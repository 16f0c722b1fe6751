"""The witness: when each device first held each event, noted while a simulation runs.

Owns: the notes. Must not know: what was to happen, who is right, how notes are shown. It reads and changes
nothing, so that a run is the same with and without it.
"""

from typing import NamedTuple

from quire.sim.device import Device
from quire.sim.ground import GroundTruth, SimEvent

#: Of what became valid after a cursor; an identity's own log is its own business.
_ARRIVED = (
    "SELECT r.cursor, a.account_id, b.event_id FROM arrivals AS r JOIN blobs AS b ON b.n = r.event"
    " JOIN accounts AS a ON a.n = r.account JOIN memberships AS m ON m.account = r.account AND m.space = b.space"
    " WHERE r.cursor > ? AND m.kind <> 'home' ORDER BY r.cursor"
)


class Held(NamedTuple):
    """An identity holds an event, and it counts there, from `at_ms` on (virtual time)."""

    at_ms: int
    identity: str
    event_id: str


class Witness:
    """Give `look` to a World as its `watch`. Other threads may read the numbers at any time."""

    def __init__(self) -> None:
        #: By device, in order of time.
        self.held: dict[str, list[Held]] = {}
        #: Virtual time (ms), and when the last planned thing happens and the run is given up.
        self.now = 0
        self.planned_ms = 0
        self.latest_ms = 0
        #: What was to happen and what came of it (by number), once the run has ended.
        self.plan: list[SimEvent] = []
        self.outcomes: dict[int, SimEvent] = {}
        self._seen: set[tuple[str, str]] = set()
        self._cursors: dict[str, int] = {}

    def begin(self, planned_ms: int, settle_ms: int) -> None:
        """A run begins: its plan is so long, and then all have so long to settle."""
        self.planned_ms, self.latest_ms = planned_ms, planned_ms + settle_ms

    def look(self, device: Device, now: int) -> None:
        """Note what a running device has come to hold since the last look."""
        self.now = now
        held = self.held.setdefault(device.name, [])
        for cursor, identity, event_id in device.home.store.db.all(
            _ARRIVED, (self._cursors.get(device.name, 0),)
        ):
            self._cursors[device.name] = cursor
            if (identity, event_id) not in self._seen:
                self._seen.add((identity, event_id))
                held.append(Held(now, identity, event_id))

    def end(self, ground: GroundTruth, now: int) -> None:
        """The run has ended."""
        self.now = now
        self.plan, self.outcomes = ground.plan(), ground.outcomes()
