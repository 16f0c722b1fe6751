"""Which nodes count, when removals meet what the removed did at the same time.

Owns: the rule for concurrent, contradicting changes. It depends on the set of nodes alone.

1. A change counts when it breaks no rule as of what its author built on, so far as that counts.
2. A removal (also: a lesser role, a revoked device, a root key given up, an invite taken back, being taken
   out of an audience) voids what the removed did concurrently and would no longer be allowed to.
3. Removals are weighed by seniority, as it is by then: who has had the right for longer comes first, then
   whose device is older. What has been weighed stays, even if a more junior removal then takes away what it
   stood on: of two who remove each other, the more senior stays. Whoever gives a right is senior to who gets
   it, since dates grow along the graph; so a right lends no more weight than whoever gave it has.
4. Of more people let in by an invite than it has seats, those whose admission is dated first stay.
"""

import heapq
from typing import NamedTuple

from quire import limits
from quire.graph.contests import Contests, is_removal, opponents
from quire.graph.dag import Mask, Node, concurrent
from quire.graph.ledger import Ledger, admitted
from quire.graph.rules import broken
from quire.graph.subjects import Readers

#: Since when the author has had its role, and the device has been one of its, each as (ms, event id).
Seniority = tuple[tuple[int, str], tuple[int, str]]


class Verdict(NamedTuple):
    """`valid` nodes count; `counted` removals void others; `dropped` admissions found no seat."""

    valid: Mask
    counted: Mask = 0
    dropped: Mask = 0

    def allows(self, ledger: Ledger, contests: Contests, node: Node) -> bool:
        """Whether a new node counts, given what is decided about all that it builds on."""
        if contests.against.get(node.index, 0) & self.counted:
            return False
        return not broken(ledger, node, node.past & self.valid)


class Memory:
    """Who hangs on whom, and what the rules said of nodes that were looked at again, by what counted before them.

    So that whoever has removals weighed again and again does not have all that hangs on them judged again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.readers = Readers(ledger)
        #: By node and by what counts of its past: whether it breaks a rule.
        self.said: dict[tuple[int, Mask], bool] = {}

    def is_broken(self, ledger: Ledger, node: Node, known: Mask) -> bool:
        """Whether a node breaks a rule."""
        said, asked = self.said, (node.index, known)
        if asked not in said:
            if len(said) >= limits.MAX_VERDICTS_REMEMBERED:
                del said[next(iter(said))]
            said[asked] = bool(broken(ledger, node, known))
        return said[asked]


def resolve(ledger: Ledger) -> Mask:
    """The nodes that count, from the nodes alone."""
    contests = Contests()
    plain = Verdict(0)
    for node in ledger.dag.nodes:
        _compare(ledger, contests, node)
        if plain.allows(ledger, contests, node):
            plain = Verdict(plain.valid | 1 << node.index)
    return weigh(ledger, contests, Memory(ledger), plain.valid).valid


def _compare(ledger: Ledger, contests: Contests, node: Node) -> None:
    """Note what voids a node, looking at the whole graph."""
    if node.flaw:
        return
    for removal in ledger.dag.each(opponents(ledger, node)):
        if concurrent(removal, node):
            contests.against[node.index] = contests.against.get(node.index, 0) | 1 << removal.index
            contests.voids[removal.index] = contests.voids.get(removal.index, 0) | 1 << node.index
            contests.removals |= 1 << removal.index
            if is_removal(node.change):
                contests.removals |= 1 << node.index


def weigh(ledger: Ledger, contests: Contests, memory: Memory, plain: Mask) -> Verdict:
    """What counts, given what would (`plain`) if no removal voided anything and no seat were lacking."""
    dropped = 0
    for _ in range(limits.MAX_SEAT_ROUNDS):
        weighing = _Weighing(ledger, contests, memory, plain, dropped)
        lost = _without_seat(ledger, weighing.run())
        if not lost:
            return Verdict(weighing.valid, weighing.counted, dropped)
        dropped |= lost  # and once more, for all that these did is undone
    # Only a chain built for it comes to here: then seats go by date alone, whoever counts otherwise.
    dropped |= _without_seat(ledger, -1)
    weighing = _Weighing(ledger, contests, memory, plain, dropped)
    return Verdict(weighing.run(), weighing.counted, dropped)


class _Weighing:
    """Lets removals count, the most senior first, and looks again at what hangs on what they void."""

    def __init__(
        self, ledger: Ledger, contests: Contests, memory: Memory, plain: Mask, dropped: Mask
    ) -> None:
        self._ledger, self._contests, self._readers, self._memory = ledger, contests, memory.readers, memory
        self.valid, self.counted, self._dropped = plain, 0, dropped
        self._waiting: list[tuple[Seniority, int]] = []
        self._in_line: Mask = 0
        #: What the ranks of those in line rest on, and of those who were.
        self._ground: Mask = 0
        self._ranks: dict[tuple[str, Mask], Seniority] = {}

    def run(self) -> Mask:
        """What counts in the end."""
        self._settle(self._dropped)
        self._line_up()
        while self._waiting:
            hit = self._next()
            self._rank_anew(self._settle(hit & ~self.counted))
            self._line_up()
        return self.valid

    def _line_up(self) -> None:
        """Rank the removals that have come to count."""
        fresh = self._contests.removals & self.valid & ~self.counted & ~self._in_line
        self._in_line |= fresh
        for node in self._ledger.dag.each(fresh):
            self._ground |= self._ledger.rights(node.author, node.device)
            heapq.heappush(self._waiting, (self._seniority(node), node.index))

    def _rank_anew(self, changed: Mask) -> None:
        """Rank those in line as it is now: what gave one of them its right may count no more, or again."""
        if not changed & self._ground:
            return
        nodes = self._ledger.dag.nodes
        still = [nodes[index] for _, index in self._waiting if self.valid >> index & 1]
        self._waiting = [(self._seniority(node), node.index) for node in still]
        self._in_line = sum(1 << node.index for node in still)
        heapq.heapify(self._waiting)

    def _next(self) -> Mask:
        """Let the most senior removals count; gives what they void."""
        hit, first = 0, self._waiting[0][0]
        while self._waiting and self._waiting[0][0] == first:
            _, index = heapq.heappop(self._waiting)
            self._in_line &= ~(1 << index)
            if self.valid >> index & 1:
                self.counted |= 1 << index
                hit |= self._contests.voids.get(index, 0)
        return hit

    def _settle(self, due: Mask) -> Mask:
        """Decide nodes anew, and all that hangs on those whose verdict changes: these."""
        nodes, changed, todo = self._ledger.dag.nodes, 0, due
        while todo:
            bit = todo & -todo
            todo ^= bit
            node = nodes[bit.bit_length() - 1]
            if (bit & due or node.past & changed) and self._stands(node, bit) != bool(self.valid & bit):
                self.valid ^= bit
                changed |= bit
                todo |= self._readers.of(node) & -(bit << 1)
        return changed

    def _stands(self, node: Node, bit: Mask) -> bool:
        if (self._dropped | self.counted) & bit:
            return bool(self.counted & bit)
        if self._contests.against.get(node.index, 0) & self.counted:
            return False
        return not self._memory.is_broken(self._ledger, node, node.past & self.valid)

    def _seniority(self, node: Node) -> Seniority:
        """Asked for once for all that a device did with the same rights."""
        ledger, known = self._ledger, node.past & self.valid
        rights = known & ledger.rights(node.author, node.device)
        if (node.device, rights) not in self._ranks:
            given = ledger.status(node.author, known).given
            claim = ledger.claims(node.device, known)[0]
            self._ranks[node.device, rights] = min(other.key for other in given), claim.node.key
        return self._ranks[node.device, rights]


def _without_seat(ledger: Ledger, valid: Mask) -> Mask:
    """The admissions beyond an invite's seats."""
    found = 0
    for invite, seats in ledger.crowded():
        taken: set[str] = set()
        for admit in ledger.admits(invite, valid):
            if admitted(admit) not in taken and len(taken) >= seats:
                found |= 1 << admit.index
            else:
                taken.add(admitted(admit))
    return found
