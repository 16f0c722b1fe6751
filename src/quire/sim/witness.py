"""The witness: when each device first held each event, noted while a simulation runs.

Owns: the notes. Must not know: what was to happen, who is right, how notes are shown. It reads through connections
of its own and changes nothing, not even what a device's disk is asked for: a run is the same with and without it.
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw

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
    """Give `look` to a World as its `watch`. Other threads may read the numbers at any time.

    Only one that is `thorough` notes each event; others know how much has arrived.
    """

    def __init__(self, thorough: bool = True) -> None:
        #: By device, in order of time.
        self.held: dict[str, list[Held]] = {}
        #: Arrivals at each device, its own log's among them.
        self.arrived: dict[str, int] = {}
        #: Virtual time (ms), and when the last planned thing happens and the run is given up.
        self.now = 0
        self.planned_ms = 0
        self.latest_ms = 0
        #: What was to happen and what came of it (by number), once the run has ended.
        self.plan: list[SimEvent] = []
        self.outcomes: dict[int, SimEvent] = {}
        self._thorough = thorough
        self._looked: dict[str, tuple[int, int]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._cursors: dict[str, int] = {}

    def begin(self, planned_ms: int, settle_ms: int) -> None:
        """A run begins: its plan is so long, and then all have so long to settle."""
        self.planned_ms, self.latest_ms = planned_ms, planned_ms + settle_ms

    def look(self, device: Device, now: int) -> None:
        """Note what a running device has come to hold since the last look."""
        self.now = now
        self.arrived[device.name] = device.cursor
        # What was committed just before a crash is told by no node; and what came after may count from earlier on.
        state = device.crashes, device.cursor
        crashes, _ = self._looked.get(device.name, state)
        if crashes != device.crashes:
            self._cursors.pop(device.name, None)
        if self._thorough and self._looked.get(device.name) != state:
            self._looked[device.name] = state
            self._note(device.name, device.database, now)

    def _note(self, name: str, database: Path, now: int) -> None:
        held = self.held.setdefault(name, [])
        with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            rows: Any = connection.execute(_ARRIVED, (self._cursors.get(name, 0),)).fetchall()
        for cursor, identity, event_id in rows:
            self._cursors[name] = cursor
            if (identity, event_id) not in self._seen:
                self._seen.add((identity, event_id))
                held.append(Held(now, identity, event_id))

    def end(self, ground: GroundTruth, devices: Iterable[Device], now: int) -> None:
        """The run has ended. What no node came to tell of is noted now, and not before."""
        self.now = now
        for device in devices if self._thorough else ():
            self._note(device.name, device.database, now)
        self.plan, self.outcomes = ground.plan(), ground.outcomes()
