"""The events of the graph, each with everything that its author built on.

Owns: ancestry, as bit masks: bit i of a mask stands for node i. Must not know: what changes mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quire.graph.changes import AnyChange

Mask = int


@dataclass(slots=True, eq=False)
class Node:
    """One event of the graph. `past` holds all that it builds on, itself left out."""

    index: int
    event_id: str
    device: str
    seq: int
    ts: int
    change: AnyChange
    past: Mask
    parents: tuple[int, ...]
    #: Whose device wrote it, as its own past tells; "" for a stranger's.
    author: str = ""
    #: The rule that it breaks whatever else counts, or "". Such a node says nothing to anybody.
    flaw: str = ""

    @property
    def key(self) -> tuple[int, str]:
        """The order of dates: causes first, since `ts` grows along the graph."""
        return self.ts, self.event_id


class Dag:
    """Nodes by the order in which they came."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.by_id: dict[str, Node] = {}
        #: The latest date of any (ms).
        self.newest = 0

    def draft(
        self, event_id: str, device: str, seq: int, ts: int, parents: Sequence[str], change: AnyChange
    ) -> Node:
        """A node that is not in the graph yet. Raises KeyError when a parent is not there."""
        above = [self.by_id[parent] for parent in parents]
        past = 0
        for node in above:
            past |= node.past | 1 << node.index
        places = tuple(node.index for node in above)
        return Node(len(self.nodes), event_id, device, seq, ts, change, past, places)

    def add(self, node: Node) -> None:
        """Put a draft into the graph, at once and only once."""
        self.nodes.append(node)
        self.by_id[node.event_id] = node
        self.newest = max(self.newest, node.ts)

    def each(self, mask: Mask) -> Iterator[Node]:
        """The nodes of a mask, as they came."""
        while mask:
            lowest = mask & -mask
            yield self.nodes[lowest.bit_length() - 1]
            mask ^= lowest

    def latest(self, mask: Mask) -> list[Node]:
        """The nodes of a mask that no other of them builds on; takes time by their number alone."""
        found = []
        while mask:
            # Nodes come after what they build on, so that nothing left can build on the last one.
            node = self.nodes[mask.bit_length() - 1]
            found.append(node)
            mask &= ~(node.past | 1 << node.index)
        return found


def has(mask: Mask, node: Node) -> bool:
    """Whether a node is in a mask."""
    return bool(mask >> node.index & 1)


def concurrent(one: Node, other: Node) -> bool:
    """Whether neither of two nodes builds on the other."""
    return one is not other and not has(one.past, other) and not has(other.past, one)
