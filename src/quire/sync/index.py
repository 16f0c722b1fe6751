"""What a strategy may ask of the store: one identity's events in one space, by id and time only.

Owns: what a store must be able to tell.
Must not know: blobs' contents, event types, peers, or how the answers are stored.
"""

from collections.abc import Sequence
from typing import Protocol

from quire.core.cells import Sketch
from quire.core.summary import COARSE, FINE, Position, Summary

__all__ = [
    "COARSE",
    "EMPTY",
    "END",
    "FINE",
    "START",
    "EventIndex",
    "Position",
    "Summary",
    "after",
    "separator",
]

START: Position = (0, b"")
END: Position = (2**53, b"")

EMPTY = Summary(0, 0)


class EventIndex(Protocol):
    """Read access to the held events; none of it may cost more than it returns."""

    def whole(self) -> Summary:
        """Summary of everything held."""
        ...

    def count(self) -> int:
        """How many events are held; told also where the store is in trouble, if it can be."""
        ...

    def buckets(self, level: int, first: int, last: int, limit: int) -> list[tuple[int, Summary]]:
        """Non-empty buckets `first` <= n < `last` of a level, ascending, at most `limit`."""
        ...

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        """Held positions in `[low, high)`, in order, at most `limit`."""
        ...

    def sketch(self) -> Sketch | None:
        """The sketches of everything held; None where none are kept."""
        ...

    def called(self, names: Sequence[int]) -> list[Position]:
        """Held positions whose ids have these short names, in order."""
        ...

    def blobs(self, ids: Sequence[bytes]) -> list[bytes]:
        """`key_id(8) ‖ blob` of each id held, in the order asked; ids not held are left out."""
        ...


def separator(below: Position, above: Position) -> Position:
    """The shortest bound `b` with `below < b <= above` (Negentropy's minimal bound)."""
    if below[0] != above[0]:
        return above[0], b""
    length = 1
    while below[1][:length] == above[1][:length]:
        length += 1
    return above[0], above[1][:length]


def after(position: Position) -> Position:
    """The least bound above a position."""
    return position[0], position[1] + b"\0"
