"""Rewritten logs: which events are not of the history that a removal, or a revocation, named the end of.

Owns: the ways back from those ends, as far as they were walked. Callers hold the transaction.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from quire.events.home import Home
from quire.events.opening import open_stored
from quire.graph.graph import Graph
from quire.graph.state import ends
from quire.limits import MAX_INTEGER, MAX_PATH_EVENTS
from quire.store.memberships import Membership

#: The place and the id of the last event of a log that counts.
End = tuple[int, str]


@dataclass
class Path:
    """The events that lead to an end, from the last one back: their places, negated, and their numbers; and the id of
    the one before, which may be missing yet (None: the log begins there).
    """

    expected: str | None
    places: "array[int]" = field(default_factory=lambda: array("q"))
    numbers: "array[int]" = field(default_factory=lambda: array("q"))

    def leads_over(self, seq: int, number: int) -> bool:
        """Whether an event at a place is one of them."""
        at = bisect_left(self.places, -seq)
        return at < len(self.places) and self.places[at] == -seq and self.numbers[at] == number


@dataclass
class Histories:
    """What is known of a log with forks: the ways to its ends, and how many forks it had when they were looked at."""

    paths: dict[End, Path] = field(default_factory=dict)
    forks: int = 0


def note_forks(
    home: Home, member: Membership, graph: Graph, came: Mapping[str, Iterable[int] | None]
) -> None:
    """Write down which events of rewritten logs are not of the history that a removal named the end of.

    Whoever was removed, or has a stolen device, could otherwise put other events in the places before that end.
    `came`: devices, and the places of their logs at which something came; None where these are not known.
    """
    for device, places in came.items():
        number = home.store.names.known_device(member.space, device)
        forked = home.store.blobs.forked(number) if number is not None else set()
        if number is None or not forked:
            continue
        known = _histories(home, member.account, number)
        before, now = known.paths, ends(graph, device)
        known.paths = {end: before.get(end) or Path(end[1]) for end in now}
        moved = [_walk(home, member, number, end, path, forked) for end, path in known.paths.items()]
        looked, known.forks = known.forks, len(forked)
        moot = places is not None and forked.isdisjoint(places) and looked == known.forks and not any(moved)
        if looked and before.keys() == known.paths.keys() and (moot or not known.paths):
            continue  # most events are like that, and a way back may be long
        disowned = {
            event
            for event, seq in home.store.blobs.rivals(member.account, number)
            for end, path in known.paths.items()
            if seq <= end[0] and not path.leads_over(seq, event)
        }
        home.store.graph.set_disowned(member.account, number, sorted(disowned))


def _histories(home: Home, account: int, device: int) -> Histories:
    known = home.histories.get((account, device))
    if known is None:
        if (
            sum(len(path.places) for one in home.histories.values() for path in one.paths.values())
            > MAX_PATH_EVENTS
        ):
            home.histories.clear()
        known = home.histories[account, device] = Histories()
    return known


def _walk(home: Home, member: Membership, device: int, end: End, path: Path, forked: set[int]) -> bool:
    """Go on along a way as far back as there are forks; whether it led over anything new."""
    blobs = home.store.blobs
    lowest = min((place for place in forked if place <= end[0]), default=end[0] + 1)
    before = len(path.places)
    above = -path.places[-1] if path.places else MAX_INTEGER + 1
    while (
        path.expected is not None
    ):  # from event to event, not from place to place: there may be gaps of any size
        number, state = blobs.known(member.account, member.space, [path.expected]).get(
            path.expected, (0, None)
        )
        row = blobs.read([number])[0] if state is not None else None
        if row is None or not row.genuine or row.device != device or not lowest <= row.seq < above:
            break
        above = row.seq
        path.places.append(-row.seq)
        path.numbers.append(row.n)
        opened = open_stored(home, member, row)
        path.expected = opened[0].prev if opened is not None else None
    return len(path.places) > before
