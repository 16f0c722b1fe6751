"""Records received from one peer and not yet collected by the node.

Owns: putting fragments together, and the batch. Must not know: acknowledgement, standing, what a record holds.
"""

from quire.limits import MAX_UNCOLLECTED_BYTES
from quire.net import wire
from quire.net.fragments import Reassembly


class Inbox:
    """Of one session; times in ms."""

    def __init__(self) -> None:
        self.reassembly = Reassembly()
        self._records: list[bytes] = []
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether the node should collect before more is taken."""
        return self._size > MAX_UNCOLLECTED_BYTES

    def add(self, kind: int, body: bytes, now: int) -> None:
        """Take an EVENTS or FRAGMENT frame. Raises BadFrame."""
        if kind == wire.EVENTS:
            records = wire.read_events(body)
        else:
            record = self.reassembly.add(wire.read_fragment(body), now)
            records = [] if record is None else [record]
        self._records += records
        self._size += sum(map(len, records))

    def collect(self) -> list[bytes]:
        """Everything whole since the last time."""
        records, self._records, self._size = self._records, [], 0
        return records
