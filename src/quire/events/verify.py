"""Rehash and re-verify every stored blob, and say exactly what is damaged.

Owns: `quire verify`. Changes nothing. Must not know: any event type.
"""

from collections.abc import Callable, Iterator

import apsw
import msgspec

from quire.core import event as core_event
from quire.core.cells import Sketch, parts_of
from quire.core.encoding import from_text
from quire.core.event import Event
from quire.core.sealing import open_blob
from quire.errors import BadEvent, QuireError
from quire.events.home import Home
from quire.events.opening import decode
from quire.limits import INGEST_BATCH, MAX_DAMAGE_LISTED
from quire.store.blobs import BlobRow
from quire.store.buckets import held_names, recount

_REASONS = {
    "cannot-open": "cannot be opened: its bytes were altered",
    "too-large": "is larger than an event can be",
    "not-canonical": "is not in canonical form",
}


class Damage(msgspec.Struct):
    """`what` is `database`, `blob`, `log`, `signature` or `summary`; `event_id` is "" where none is meant."""

    what: str
    event_id: str
    detail: str


class Verification(msgspec.Struct):
    """What was checked, in counts, and the damage found (the first MAX_DAMAGE_LISTED, of `damaged` in all).

    `unproven` events are whole, but what vouched for them is damaged or lost.
    """

    events: int
    signatures: int
    unproven: int
    damaged: int
    damage: list[Damage]

    def add(self, what: str, event_id: str, detail: str) -> None:
        """Note damage."""
        self.damaged += 1
        if len(self.damage) < MAX_DAMAGE_LISTED:
            self.damage.append(Damage(what, event_id, detail))


def verify(home: Home, progress: Callable[[int], None] = lambda _: None) -> Verification:
    """Check the database file, each blob, each log's chain and signatures, and the sync summaries.

    `progress` is told how many events are done.
    """
    found = Verification(0, 0, 0, 0, [])
    steps = (("the file", _check_file), ("the logs", _check_logs), ("what identities hold", _check_holdings))
    for what, step in steps:
        try:
            for _ in step(home, found):
                progress(found.events)
        except (apsw.Error, QuireError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Damage can put anything in a row: whatever stumbles over it is a finding, not a failure.
            found.add("database", "", f"{what} cannot be read: {error}")
    return found


def _check_file(home: Home, found: Verification) -> Iterator[None]:
    for (line,) in home.store.db.execute("PRAGMA integrity_check(100)"):
        if line != "ok":
            found.add("database", "", line)
        yield


def _check_logs(home: Home, found: Verification) -> Iterator[None]:
    keys: dict[int, tuple[bytes, bytes]] = {}
    for account, space in home.store.db.all("SELECT account, space FROM memberships"):
        keys |= home.store.memberships.get(account, space).epochs
    for device, author, space_id in home.store.db.all(
        "SELECT d.n, d.device, s.space_id FROM devices AS d JOIN spaces AS s ON s.n = d.space"
    ):
        log = _Log(home, found, keys, author, from_text(space_id, 32))
        for row in home.store.blobs.log_backwards(device, INGEST_BATCH):
            log.check(row)
            found.events += 1
            if found.events % INGEST_BATCH == 0:
                yield
    yield


class _Log:
    """One device's log, checked from its head down."""

    def __init__(
        self,
        home: Home,
        found: Verification,
        keys: dict[int, tuple[bytes, bytes]],
        author: str,
        space_id: bytes,
    ) -> None:
        self._home = home
        self._found = found
        self._keys = keys
        self._author = author
        self._space_id = space_id
        #: Ids that genuine events cite as the one before, by the place they cite it at.
        self._cited: dict[int, set[str]] = {}
        #: Below damage: the id that the run goes on with, "" where the damage hides it; None elsewhere.
        self._unproven: str | None = None

    def check(self, row: BlobRow) -> None:
        """One event, after all that come later in the log."""
        for place in [place for place in self._cited if place > row.seq]:
            del self._cited[place]
        try:
            key, context = self._keys[row.epoch]
            data = open_blob(key, row.sealed, context)
            event = decode(self._home, data)[0]
        except BadEvent as error:
            self._found.add("blob", row.event_id, _REASONS.get(error.reason, f"is not valid: {error.reason}"))
            self._unproven = ""
            return
        except KeyError:
            self._found.add("blob", row.event_id, "is sealed with a key that this home does not have")
            return
        if core_event.event_id(data) != row.event_id:
            self._found.add("blob", row.event_id, f"hashes to another id: {core_event.event_id(data)}")
        elif (event.author, event.seq, event.ts) != (self._author, row.seq, row.ts):
            self._found.add("log", row.event_id, "stands at another place than its bytes say")
        elif row.genuine:
            self._check_author(row, event, data)

    def _check_author(self, row: BlobRow, event: Event, data: bytes) -> None:
        proven = row.event_id in self._cited.get(row.seq, ())
        if not proven:
            self._found.signatures += 1
            proven = core_event.signature_holds(data, self._space_id)
        if proven:
            self._unproven = None
            if event.prev is not None:
                self._cited.setdefault(event.seq - 1, set()).add(event.prev)
            return
        if self._unproven is None:
            self._found.add(
                "signature", row.event_id, "neither its signature nor a later event vouches for it"
            )
        elif self._unproven not in ("", row.event_id):
            self._found.add("log", row.event_id, "does not belong to the run that it stands in")
        self._found.unproven += 1
        self._unproven = event.prev


def _sketched(home: Home, account: int, space: int, sketch: Sketch | None) -> bool:
    if sketch is None:
        return True
    return parts_of(sketch.key, held_names(home.store.db, account, space)) == list(sketch.parts)


def _check_holdings(home: Home, found: Verification) -> Iterator[None]:
    """What identities hold exists, and the summaries that sync compares are those of what is held."""
    for event, account in home.store.db.execute(
        "SELECT r.event, r.account FROM received AS r LEFT JOIN blobs AS b ON b.n = r.event WHERE b.n IS NULL"
    ):
        found.add("log", "", f"identity {home.store.names.account_name(account)} lacks event number {event}")
        yield
    lost = home.store.ids.missing()
    if lost:
        found.add("database", "", f"{lost:,} events are not found by their ids; `quire rebuild` mends that")
    home.store.buckets.count_arrivals()
    for account, space in home.store.db.all("SELECT account, space FROM memberships"):
        counted = recount(home.store.db, account, space, home.store.memberships.apart(account, space))
        index = home.store.index(account, space)
        if counted != index.every() or not _sketched(home, account, space, index.sketch()):
            name = home.store.names.space_name(space)
            found.add(
                "summary",
                "",
                f"the sync summaries of space {name} are wrong; `quire rebuild` makes them anew",
            )
        yield
