"""One mailbox open on one connection: what was sent and not acknowledged, and what its reader may see.

Owns: the window, and the step from kept records to entries. Must not know: the store, connections, messages' bytes.
"""

from typing import NamedTuple

from quire.limits import MAX_RELAY_RECORD, RELAY_WINDOW_BYTES
from quire.net.relay_wire import Entry, Hello, Scope, may_have
from quire.relay.log_store import Kept

#: What an entry takes beside its data, and a device's key, at most (bytes).
_ENTRY, _DEVICE = 80, 34
#: With less room than for one entry of the largest size nothing is read.
LEAST_ROOM = MAX_RELAY_RECORD + _ENTRY + _DEVICE


class Page(NamedTuple):
    """Entries with the devices that they name, and what they take of the window (bytes)."""

    devices: list[bytes]
    entries: list[Entry]
    size: int


class Reader:
    """Somebody who has proven `scope` of a mailbox, and reads it from the place `sent` on."""

    __slots__ = (
        "_added",
        "_known",
        "_waiting",
        "acknowledged",
        "awake",
        "device",
        "device_bytes",
        "frugal",
        "mailbox",
        "n",
        "owed",
        "room",
        "scope",
        "sent",
    )

    def __init__(self, hello: Hello) -> None:
        self.n = hello.n
        self.mailbox = hello.keys.id
        self.scope: Scope = hello.scope
        self.device = hello.device
        self.frugal = hello.frugal
        #: The last place that was sent, and the last that was acknowledged here.
        self.sent = self.acknowledged = 0
        #: Bytes of this device that the mailbox keeps.
        self.device_bytes = 0
        #: Whether news may be sent (after the greeting), and whether a page is due though it be empty.
        self.awake = self.owed = False
        #: What may be sent before the next acknowledgement (bytes).
        self.room = RELAY_WINDOW_BYTES
        self._known = hello.local
        self._added = (0, 0)
        self._waiting: list[tuple[int, int]] = []  # an empty deque takes 0.6 KB, for each idle reader

    def took(self, had: int, taken: int) -> None:
        """This connection added its device's records after `had` up to `taken`: it need not be given them."""
        if taken > had:
            self._added = (self._added[0] if self._added[1] == had else had, taken)

    def page(self, records: list[Kept], most: int, own: bool = False) -> Page:
        """As many of these as fit into `most` bytes, at least one; the data only of what the reader may have.

        Its own that it has anyway are given by digest too, unless `own`.
        """
        devices: dict[bytes, int] = {}
        entries: list[Entry] = []
        size = 0
        for kept in records:
            given = may_have(self.scope, kept.record.scope) and (own or not self._has(kept))
            cost = _ENTRY + (len(kept.record.data) if given else 0)
            cost += 0 if kept.device in devices else _DEVICE
            if entries and size + cost > most:
                break
            size += cost
            entries.append(_entry(kept, devices.setdefault(kept.device, len(devices)), given))
        return Page(list(devices), entries, size)

    def was_sent(self, place: int, size: int) -> None:
        """Entries up to a place are on their way."""
        self.sent = max(self.sent, place)
        if size:
            self.room -= size
            self._waiting.append((place, size))

    def acknowledge(self, place: int) -> None:
        """All up to a place has come."""
        self.acknowledged = max(self.acknowledged, place)
        while self._waiting and self._waiting[0][0] <= place:
            self.room += self._waiting.pop(0)[1]

    def _has(self, kept: Kept) -> bool:
        local = kept.record.local
        return kept.device == self.device and (
            local <= self._known or self._added[0] < local <= self._added[1]
        )


def _entry(kept: Kept, sender: int, given: bool) -> Entry:
    record = kept.record
    if given:
        return Entry(sender, record.local, record.ts, record.scope, record.data)
    return Entry(sender, record.local, record.ts, record.scope, None, kept.digest)
