"""What a history of writes and reads comes to, judged as Maelstrom judges `broadcast` and `g-set`, and stricter.

Maelstrom asks that the latest read has every known value (acknowledged, or read once). Here every node has to read
all of them in the end, nothing is read that nobody wrote, or twice, and no node forgets what it has shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

#: `fail` is what certainly was not done, `info` what may have been (no answer came).
Outcome = Literal["ok", "fail", "info"]


@dataclass
class Op:
    """One request. `invoked` and `completed` are seconds; `values` are the one written, or those read."""

    kind: Literal["write", "read"]
    node: str
    invoked: float
    values: list[int]
    completed: float = float("inf")
    outcome: Outcome = "info"
    final: bool = False


@dataclass
class Verdict:
    """What was found. Each list but `never_read` and `latencies` has to be empty."""

    #: Known (acknowledged, or read somewhere), and missing in a node's final read: `(value, node)`.
    lost: list[tuple[int, str]] = field(default_factory=list)
    #: Read, and never written.
    invented: list[int] = field(default_factory=list)
    #: Missing in a read of a node that had shown it in an earlier one: `(value, node)`.
    vanished: list[tuple[int, str]] = field(default_factory=list)
    #: More than once in one read.
    repeated: list[int] = field(default_factory=list)
    #: Nodes that gave no final read.
    silent: list[str] = field(default_factory=list)
    #: Unacknowledged, and read nowhere: no harm.
    never_read: list[int] = field(default_factory=list)
    #: In the final reads of all nodes.
    stable: int = 0
    acknowledged: int = 0
    #: Seconds from the acknowledgement to the last read anywhere that lacked the value, for each stable one.
    latencies: list[float] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether all is well; a history without one acknowledged write shows nothing."""
        wrong = (self.lost, self.invented, self.vanished, self.repeated, self.silent)
        return self.acknowledged > 0 and not any(wrong)


def judge(history: Iterable[Op], nodes: Sequence[str]) -> Verdict:
    """The verdict on a history of these nodes, in which each has one final read."""
    ops = sorted(history, key=lambda op: op.invoked)
    reads = [op for op in ops if op.kind == "read" and op.outcome == "ok"]
    writes = {op.values[0]: op for op in ops if op.kind == "write"}
    finals = {op.node: set(op.values) for op in reads if op.final}
    acknowledged = {value for value, op in writes.items() if op.outcome == "ok"}
    seen = {value for op in reads for value in op.values}
    everywhere = set.intersection(*finals.values()) if finals else set()
    return Verdict(
        lost=sorted((v, node) for node, held in finals.items() for v in (acknowledged | seen) - held),
        invented=sorted(seen - writes.keys()),
        vanished=sorted(_vanished(reads)),
        repeated=sorted({v for op in reads if len(set(op.values)) < len(op.values) for v in _twice(op)}),
        silent=[node for node in nodes if node not in finals],
        never_read=sorted(writes.keys() - acknowledged - seen),
        stable=len(everywhere),
        acknowledged=len(acknowledged),
        latencies=_latencies(reads, {v: writes[v].completed for v in everywhere & acknowledged}),
    )


def _twice(op: Op) -> list[int]:
    return [value for value in set(op.values) if op.values.count(value) > 1]


def _vanished(reads: Sequence[Op]) -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for node in {op.node for op in reads}:
        shown: list[tuple[float, set[int]]] = []
        for op in (op for op in reads if op.node == node):
            before = set[int]().union(*(held for completed, held in shown if completed < op.invoked))
            found |= {(value, node) for value in before - set(op.values)}
            shown.append((op.completed, set(op.values)))
    return found


def _latencies(reads: Sequence[Op], acknowledged: dict[int, float]) -> list[float]:
    last_absent = dict(acknowledged)
    for op in reads:
        held = set(op.values)
        for value in acknowledged.keys() - held:
            last_absent[value] = max(last_absent[value], op.invoked)
    return sorted(last_absent[value] - at for value, at in acknowledged.items())
