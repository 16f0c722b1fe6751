"""The membership graph of one space: takes in events in any order that keeps causes first, and says what counts.

Owns: doing no more than is needed. Most changes are at odds with nothing and are decided by their own past;
removals are weighed again only when one meets what the removed did concurrently, or an invite runs out of seats.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field

from quire.graph import changes
from quire.graph.contests import Contests, opponents
from quire.graph.dag import Mask, Node, has
from quire.graph.ledger import Entry, Ledger
from quire.graph.resolve import Memory, Verdict, weigh
from quire.graph.rules import broken, flaw


@dataclass
class Effect:
    """What taking in entries did: nodes that count now and did not before, and the other way round."""

    counted: list[Node] = field(default_factory=list)
    voided: list[Node] = field(default_factory=list)


class Graph:
    """What is known of one space's membership."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._contests = Contests()
        self._memory = Memory(self.ledger)
        self._verdict = Verdict(0)
        #: What would count if no removal voided anything.
        self._plain: Mask = 0

    @property
    def valid(self) -> Mask:
        """The nodes that count."""
        return self._verdict.valid

    def add(self, entries: Iterable[Entry]) -> Effect:
        """Take in events, each after its parents; those that are there already change nothing.

        Raises KeyError when a parent is missing; what came before it is taken in.
        """
        before = self.valid
        at_odds = False
        try:
            for entry in entries:
                if self.ledger.node(entry.event_id) is None:
                    at_odds = self._enter(entry) or at_odds
        finally:
            if at_odds:
                self._verdict = weigh(self.ledger, self._contests, self._memory, self._plain)
        return self._effect(before)

    def _enter(self, entry: Entry) -> bool:
        """Take in one event; True when removals are to be weighed again."""
        node = self._draft(entry)
        self.ledger.add(node)
        if node.flaw:
            return False
        at_odds = self._contests.add(self.ledger, node)
        self._decide(node)
        change = node.change
        return at_odds or (isinstance(change, changes.Admit) and self.ledger.is_crowded(change.invite))

    def _decide(self, node: Node) -> None:
        """Let a node count if its past allows. What is decided already does not hang on it."""
        verdict, bit = self._verdict, 1 << node.index
        counts = verdict.allows(self.ledger, self._contests, node)
        if counts:
            self._verdict = Verdict(verdict.valid | bit, verdict.counted, verdict.dropped)
        same = counts or not (self._contests.against.get(node.index, 0) & verdict.counted)
        if same and not node.past & (self._plain ^ verdict.valid):
            plain = counts
        else:
            plain = not broken(self.ledger, node, node.past & self._plain)
        if plain:
            self._plain |= bit

    def _draft(self, entry: Entry) -> Node:
        node = self.ledger.draft(entry)
        node.flaw = flaw(self.ledger, node)
        return node

    def _effect(self, before: Mask) -> Effect:
        dag, after = self.ledger.dag, self.valid
        if after == before:
            return Effect()
        return Effect(list(dag.each(after & ~before)), list(dag.each(before & ~after)))

    def without(self, mask: Mask) -> "Graph":
        """The same where some nodes, on which nothing else builds, do not count: to look at, not to add to."""
        seen = copy(self)
        seen._verdict = self._verdict._replace(valid=self.valid & ~mask)
        return seen

    def counts(self, event_id: str) -> bool:
        """Whether an event is there and counts."""
        node = self.ledger.node(event_id)
        return node is not None and has(self.valid, node)

    def why_not(self, entry: Entry) -> str:
        """The slug of the rule by which an event does not count, or would not if it were added now; or "".

        Raises KeyError when a parent is missing.
        """
        node = self.ledger.node(entry.event_id)
        if node is not None:
            return self.why_void(node)
        draft = self._draft(entry)
        slug = broken(self.ledger, draft, draft.past & self.valid)
        if not slug and opponents(self.ledger, draft) & self.valid:
            return "concurrent"
        return slug

    def why_void(self, node: Node) -> str:
        """The slug of the rule by which a node of the graph does not count, or ""."""
        if has(self.valid, node):
            return ""
        slug = broken(self.ledger, node, node.past & self.valid)
        if slug or not isinstance(node.change, changes.Admit) or not has(self._verdict.dropped, node):
            return slug or "concurrent"
        return "invite-used"
