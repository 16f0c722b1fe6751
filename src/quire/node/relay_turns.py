"""Which mailboxes of a relay are open, where there are more than one connection opens: all are looked at in turn.

Owns: whose turn it is. Must not know: relays, what a mailbox holds.

Those of the newest keys stay open, and those in which something happens. What is read to its end gives way to the
others, and is looked at again now and then: somebody who was away may still write under an old key.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from quire.limits import OLD_MAILBOX_MS


class Turn(NamedTuple):
    """The epochs whose mailboxes are to be left, and then those whose are to be opened, as their keys came."""

    leave: list[int]
    fresh: list[int]


class Turns:
    """On one connection, of the epochs of one space; times are of a clock that never runs backwards (ms)."""

    def __init__(self) -> None:
        #: Those that something waits to be handed over to.
        self.needed: Collection[int] = ()
        self._read: set[int] = set()
        self._left: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self._rests: dict[int, int] = {}

    @property
    def rests_until(self) -> int:
        """When the last of those that the relay did not open is tried again."""
        return max(self._rests.values(), default=0)

    def all_read(self, epochs: Collection[int]) -> bool:
        """Whether all were read to their end since the connection stands."""
        return self._read.issuperset(epochs)

    def awaited(self, epochs: Collection[int]) -> bool:
        """Whether some are still to be read, other than those that the relay does not open."""
        return not self._read.union(self._rests).issuperset(epochs)

    def used(self, epoch: int, now: int) -> None:
        """Something came of it, or was handed over to it: a sign of use, but for the old that comes first."""
        if epoch in self._read:
            self._used[epoch] = now

    def reached(self, epoch: int) -> None:
        """It is read to its end."""
        self._read.add(epoch)
        self._rests.pop(epoch, None)

    def left(self, epoch: int, now: int) -> None:
        """It is not open any more."""
        self._left[epoch] = now

    def refused(self, epoch: int, until: int) -> None:
        """The relay does not open it, or shut it: it is not tried until then."""
        self._read.discard(epoch)
        self._rests[epoch] = until

    def next(
        self,
        epochs: Collection[int],
        current: Collection[int],
        opened: Mapping[int, bool],
        most: int,
        now: int,
    ) -> Turn:
        """Of so many that may be open at `most`; `opened`: those that are, and whether they can be left now.

        `current`: those that new events go to.
        """

        def rank(epoch: int) -> tuple[bool, int, int]:
            used = self._used.get(epoch, 0)
            return epoch in current, used if now - used < OLD_MAILBOX_MS else 0, epoch

        ranked = sorted(epochs, key=rank, reverse=True)
        stay = set(ranked if len(ranked) <= most else ranked[: most - in_turn(most)])
        closed = [one for one in ranked if one not in opened and self._rests.get(one, now) <= now]
        due = [one for one in closed if one not in stay and self._is_due(one, now)]
        due.sort(key=lambda one: (one not in self.needed, self._left.get(one, -1)))
        fresh = [one for one in closed if one in stay] + due
        over = max(len(opened) + len(fresh) - most, 0)
        free = [one for one in reversed(ranked) if opened.get(one) and one not in stay]
        leave = [one for one in free if one not in self.needed][:over]
        return Turn(leave, sorted(fresh[: max(most - len(opened) + len(leave), 0)]))

    def _is_due(self, epoch: int, now: int) -> bool:
        return epoch in self.needed or epoch not in self._left or now - self._left[epoch] >= OLD_MAILBOX_MS


def in_turn(most: int) -> int:
    """How many of so many that may be open are for those that do not stay open."""
    return max(most // 4, 1)


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many each of those who want so many gets of what there is: no less than others who want more."""
    given = [0] * len(wanted)
    for nth, place in enumerate(sorted(range(len(wanted)), key=lambda place: wanted[place])):
        given[place] = min(wanted[place], room // (len(wanted) - nth))
        room -= given[place]
    return given
