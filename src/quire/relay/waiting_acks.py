"""Acknowledgements that a store has not written yet: the latest of each device in each mailbox.

Owns: which wait, until they are written. Must not know: where and when they are written.

They wait, so that what is read costs no write of its own. A crash loses those that wait, and their devices are given
the same again; nothing is ever skipped.
"""

from collections.abc import Mapping

from quire.relay.log_store import Position


class WaitingAcks:
    """By mailbox, then by device; places only go forward."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, dict[bytes, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, mailbox: bytes, device: bytes, seq: int) -> None:
        """A device has all up to a place."""
        waiting = self._waiting.setdefault(mailbox, {})
        self._count += device not in waiting
        waiting[device] = max(seq, waiting.get(device, 0))

    def all(self) -> list[tuple[bytes, bytes, int]]:
        """Mailbox, device and place of each that waits."""
        return [
            (box, device, seq) for box, waiting in self._waiting.items() for device, seq in waiting.items()
        ]

    def of(self, mailbox: bytes) -> dict[bytes, int]:
        """Device and place of each that waits for a mailbox."""
        return dict(self._waiting.get(mailbox, {}))

    def written(self, acks: list[tuple[bytes, bytes, int]]) -> None:
        """These are kept now: what came meanwhile waits on."""
        for mailbox, device, seq in acks:
            waiting = self._waiting[mailbox]
            if waiting[device] == seq:
                del waiting[device]
                self._count -= 1
            if not waiting:
                del self._waiting[mailbox]

    def over(self, mailbox: bytes, positions: Mapping[bytes, Position]) -> dict[bytes, Position]:
        """Positions as they are written, with what waits."""
        found = dict(positions)
        for device, seq in self.of(mailbox).items():
            known = found.get(device, Position())
            found[device] = known._replace(synced=max(seq, known.synced))
        return found
