"""Terse communities for tests: `ann` founds with device `ann1`; names are roots, a digit makes a device."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.dag import Node
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.roles import Role
from quire.graph.state import FOREVER

NEVER = FOREVER


def invite(role: Role = Role.MEMBER, uses: int = 100, expires: int = NEVER, public: str = "pub") -> AnyChange:
    return changes.Invite(public, role, uses, expires, False)


def admit(
    member: str, device: str, invite: str = "invite", seq: int = 0, public: str = "pub", root: str = ""
) -> changes.Admit:
    return changes.Admit(member, device, f"wrap-{device}", invite, seq, public, root)


def link(device: str) -> changes.Link:
    return changes.Link(device, f"wrap-{device}")


def recover(member: str, root: str = "") -> changes.Recover:
    return changes.Recover(member, root or member, "wrap")


def role(member: str, role: Role, **marks: int) -> changes.SetRole:
    return changes.SetRole(member, role, {device: (seq, "last") for device, seq in marks.items()})


def remove(member: str, **marks: int) -> changes.SetRole:
    return role(member, Role.NONE, **marks)


def revoke(device: str, seq: int = 0) -> changes.Revoke:
    return changes.Revoke(device, seq, "last")


def key(
    *recipients: str, generation: int = 1, parents: Sequence[str] = (), scope: str = ""
) -> changes.NewKey:
    return changes.NewKey(scope, generation, tuple(parents), recipients)


class Space:
    """A graph that is written to; every event builds on all before it, unless told otherwise."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.entries: list[Entry] = []
        self.clock = 0
        self.do("ann1", changes.Found("ann", "wrap-ann1"), "found")

    def entry(
        self, device: str, change: AnyChange, name: str = "", after: Sequence[str] | None = None, ts: int = 0
    ) -> Entry:
        """An event that is not written yet."""
        self.clock += 10
        if after is None:
            after = self.heads()
        name = name or f"event-{len(self.entries):04}"
        return Entry(name, device, len(self.entries) + 1, ts or self.clock, list(after), change)

    def do(self, *args: Any, **options: Any) -> str:
        """Write an event; gives its id."""
        entry = self.entry(*args, **options)
        self.entries.append(entry)
        self.graph.add([entry])
        return entry.event_id

    def why_not(self, *args: Any, **options: Any) -> str:
        """The slug by which an event would be refused."""
        return self.graph.why_not(self.entry(*args, **options))

    def let_in(self, member: str, as_: Role = Role.MEMBER, by: str = "ann1") -> str:
        """A member comes in with its first device, by an invite of its own; gives the Admit's id."""
        made = self.do(by, invite(as_), f"invite-{member}")
        return self.do(by, admit(member, f"{member}1", made), f"admit-{member}")

    def with_people(self, *members: str, as_: Role = Role.MEMBER) -> "Space":
        """Let in several."""
        for member in members:
            self.let_in(member, as_)
        return self

    def heads(self) -> list[str]:
        """What nothing builds on yet, whether it counts or not."""
        dag = self.graph.ledger.dag
        return sorted(node.event_id for node in dag.latest((1 << len(dag.nodes)) - 1))

    def role(self, member: str) -> Role:
        return self.graph.ledger.role(member, self.graph.valid)

    def counts(self, event_id: str) -> bool:
        return self.graph.counts(event_id)

    def node(self, event_id: str) -> Node:
        node = self.graph.ledger.node(event_id)
        assert node is not None
        return node

    def replayed(self, order: Sequence[str]) -> Graph:
        """The same events, come in another order."""
        graph = Graph()
        for name in order:
            graph.add([next(entry for entry in self.entries if entry.event_id == name)])
        return graph


def dated(entry: Entry, ts: int) -> Entry:
    """The same event with another date."""
    return replace(entry, ts=ts)
