"""The ground truth: `sim_events`, a global timeline of what people and networks did (seed 004).

Owns: the table. Rows are written twice over: the plan, before the run, and what came of it (`of` names the
planned row), as it happened. Must not know: who writes or reads them.
"""

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from quire.store.database import Database

#: Actions that tell what came of a planned row.
DONE, REFUSED, CRASHED = "done", "refused", "crashed"
OUTCOMES = (DONE, REFUSED, CRASHED)
#: Why something was refused, when no handler was even asked; else the code of the handler's error.
DOWN = "down"
#: The guest that a link is for when it is for all who come.
ANYONE = ""


class SimEvent(NamedTuple):
    """A row of `sim_events`; `at_ms` is virtual time since the start."""

    n: int
    at_ms: int
    actor: str
    action: str
    detail: dict[str, Any]


def guest_of(event: SimEvent) -> str:
    """Whom the link was made for by which somebody joins; themselves, if nothing else is said."""
    return str(event.detail.get("by", event.actor))


class GroundTruth:
    """The table, in memory or in a file that outlives the run."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._db = Database(path)
        self._db.execute(
            "CREATE TABLE sim_events (n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,"
            " action TEXT NOT NULL, detail_json TEXT NOT NULL) STRICT"
        )

    def add(self, at_ms: int, actor: str, action: str, detail: dict[str, Any]) -> int:
        """Append a row; gives its number."""
        text = orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode()
        return self._db.insert(
            "INSERT INTO sim_events (at_ms, actor, action, detail_json) VALUES (?, ?, ?, ?)",
            (at_ms, actor, action, text),
        )

    def plan(self) -> list[SimEvent]:
        """What was to happen, in order of time."""
        return [event for event in self._read("ORDER BY at_ms, n") if event.action not in OUTCOMES]

    def outcomes(self) -> dict[int, SimEvent]:
        """What came of planned rows, by their number."""
        return {e.detail["of"]: e for e in self._read("ORDER BY n") if e.action in OUTCOMES}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _read(self, order: str) -> list[SimEvent]:
        rows = self._db.all(f"SELECT n, at_ms, actor, action, detail_json FROM sim_events {order}")
        return [SimEvent(n, at, actor, action, orjson.loads(text)) for n, at, actor, action, text in rows]
