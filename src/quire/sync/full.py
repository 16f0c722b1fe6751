"""`full`: when count or fingerprint differ, push everything. The smallest thing that works.

Owns: nothing beyond one range to push. Must not know: sessions, blobs. The oracle for the others.
"""

from quire.limits import SYNC_RECEIVED_PER_SECOND
from quire.sync.allowance import Allowance
from quire.sync.index import END, START, EventIndex
from quire.sync.messages import Root, decode, encode_root
from quire.sync.pushes import Pushes
from quire.sync.strategy import FREELY, SALT_BYTES, BadMessage, Entropy, Pace, fingerprint


class FullStrategy:
    """See Strategy. `key` is the space's sync key, 32 bytes."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._key = key
        self._entropy = entropy
        self._pushes = Pushes()
        self._reading = Allowance()
        self.in_sync: bool | None = None
        self.peer_count: int | None = None

    @property
    def pushing(self) -> bool:
        """Whether `next_pushes` has something left to look at."""
        return self._pushes.active

    @property
    def asked_at(self) -> int:
        """When the peer said what `next_pushes` gave last, or the earliest of it (ms)."""
        return self._pushes.asked_at

    @property
    def asking(self) -> bool:
        """Never."""
        return False

    def heartbeat(self, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """Count and fingerprint."""
        salt, whole = self._entropy(SALT_BYTES), index.whole()
        return [encode_root(Root(salt, whole.count, fingerprint(self._key, salt, whole), self.pushing))]

    def receive(self, message: bytes, index: EventIndex, now: int, pace: Pace = FREELY) -> list[bytes]:
        """A peer's heartbeat: push everything if it differs. Raises BadMessage."""
        root = decode(message)
        if not isinstance(root, Root):
            raise BadMessage("kind")
        if not self._reading.take(SYNC_RECEIVED_PER_SECOND, now):
            return []
        self.peer_count = root.held
        self.in_sync = fingerprint(self._key, root.salt, index.whole()) == root.print
        if self.in_sync:
            self._pushes.clear()
        elif not self.pushing:
            self._pushes.add(START, END, None, now)
        return []

    def questions(self, index: EventIndex, now: int, most: int) -> list[bytes]:
        """There are none."""
        return []

    def forget(self) -> None:
        """Leave what is to be pushed."""
        self._pushes.clear()

    def next_pushes(self, index: EventIndex, limit: int, now: int) -> list[bytes]:
        """The next of all ids, in time order."""
        return self._pushes.next(index, limit, now)
