"""Communities made up at random: people with devices in partitions, honest and not, doing everything there is."""

from collections.abc import Sequence
from random import Random

from quire.graph import changes, state
from quire.graph.changes import AnyChange
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.roles import Role

PEOPLE = ("ann", "bob", "cat", "dan", "eve", "fay", "gus")
STRANGERS = ("x1", "x2")
NEVER = 2**50


class Community:
    """Events in the order in which they were made, and who has seen which."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.graph = Graph()
        self.entries: list[Entry] = []
        self.seen: dict[str, set[str]] = {}
        self.seqs: dict[str, int] = {}
        self.liars = set(random.sample(PEOPLE[1:], random.randrange(4)))
        self.write("ann1", [], 1, changes.Found("ann", "wrap"))
        first = self.write("ann1", ["e0"], 2, changes.Invite("pub", Role.ADMIN, 3, NEVER, False))
        self.write("ann1", [first], 3, changes.Admit("bob", "bob1", "wrap", first, 0, "pub"))

    # --- Writing.

    def write(self, device: str, parents: Sequence[str], ts: int, change: AnyChange) -> str:
        event_id = f"e{len(self.entries)}"
        self.seqs[device] = self.seqs.get(device, 0) + 1
        entry = Entry(event_id, device, self.seqs[device], ts, tuple(parents), change)
        self.entries.append(entry)
        self.graph.add([entry])
        known = self.seen.setdefault(device, set())
        node = self.graph.ledger.node(event_id)
        assert node is not None
        known.update(other.event_id for other in self.graph.ledger.dag.each(node.past))
        known.add(event_id)
        return event_id

    def heads(self, device: str) -> list[str]:
        dag = self.graph.ledger.dag
        mask = sum(1 << dag.by_id[name].index for name in self.seen.get(device, {"e0"}))
        return [node.event_id for node in dag.latest(mask)]

    def ts(self, parents: Sequence[str]) -> int:
        return max((self.graph.ledger.dag.by_id[parent].ts for parent in parents), default=0)

    # --- Steps.

    def step(self) -> None:
        """Devices meet, or one of them does something."""
        devices = list(self.seen)
        device = self.random.choice(devices)
        if self.random.random() < 0.25:
            self.seen[device] |= self.seen[self.random.choice(devices)]
        elif device[:3] in self.liars or device in STRANGERS:
            self.lie(device)
        else:
            self.act(device)
        if self.random.random() < 0.03:
            self.seen.setdefault(self.random.choice(STRANGERS), {"e0"})

    def act(self, device: str) -> None:
        """Do something that is allowed, as far as the device knows."""
        parents = self.heads(device)
        ts = max(self.ts(parents), len(self.entries)) + self.random.randrange(1, 4)
        for _ in range(8):
            change = self.change(device, device[:3])
            if self.graph.why_not(Entry("draft", device, 1, ts, parents, change)) not in ("", "concurrent"):
                continue
            writer = (
                f"{device[:3]}{self.random.randrange(1, 5)}"
                if isinstance(change, changes.Recover)
                else device
            )
            self.write(writer, parents, ts, change)
            return

    def lie(self, device: str) -> None:
        """Do anything, on whatever parents, with whatever date."""
        known = list(self.graph.ledger.dag.by_id)
        parents = self.random.sample(known, min(len(known), self.random.randrange(1, 4)))
        if self.random.random() < 0.85:
            own = [name for name in self.seen[device] if self.graph.counts(name)]
            parents = [self.random.choice(sorted(own) or ["e0"]), *self.claims(device)]
        late = self.random.choice((1, 1, 1, 1, 0, len(self.entries)))
        subject = self.random.choice(PEOPLE)
        self.write(device, parents, self.ts(parents) + late, self.change(device, subject))

    def claims(self, device: str) -> list[str]:
        ledger = self.graph.ledger
        found = [claim.node.event_id for claim in ledger.claims(device, -1)]
        found += [node.event_id for node, _ in ledger.role_changes(device[:3], -1)[:2]]
        return [name for name in found if self.random.random() < 0.95]

    # --- What there is to do.

    def change(self, device: str, member: str) -> AnyChange:
        """Any change at all, with subjects that exist."""
        pick = self.random.choice
        other, role = (
            pick(PEOPLE),
            pick((Role.BANNED, Role.NONE, Role.NONE, Role.GUEST, Role.MEMBER, Role.ADMIN)),
        )
        kind = pick(
            (
                "invite",
                "admit",
                "admit",
                "admit",
                "role",
                "role",
                "role",
                "own",
                "own",
                "rare",
                "audience",
                "key",
                "key",
            )
        )
        if kind == "invite":
            return changes.Invite(
                "pub",
                pick((Role.GUEST, Role.MEMBER, Role.ADMIN)),
                pick((1, 2, 9)),
                pick((NEVER, NEVER, 30)),
                False,
            )
        if kind == "admit":
            joiner = f"{other}{pick((1, 1, 1, 2))}"
            return changes.Admit(
                other,
                joiner,
                "wrap",
                self.some(changes.Invite),
                pick((0, 5)),
                pick(("pub",) * 9 + ("no",)),
                pick(("", "", "", f"{other}-root-1")),
            )
        if kind == "role":
            marks = {f"{other}{n}": (pick((0, 3, 9)), "x") for n in range(1, pick((1, 3)))}
            return changes.SetRole(pick((other, other, other, member)), role, marks)
        if kind == "own":
            return self.own(member)
        if kind == "rare":
            return pick(
                (
                    changes.Void(),
                    changes.Rename(f"name-{len(self.entries)}") if len(self.entries) % 3 else changes.Merge(),
                    changes.RevokeInvite(self.some(changes.Invite)),
                    changes.Readmit(other, pick(PEOPLE), {}),
                    changes.Found(other, "wrap"),
                )
            )
        return self.audience(member, other) if kind == "audience" else self.key()

    def own(self, member: str) -> AnyChange:
        pick, ledger = self.random.choice, self.graph.ledger
        device = f"{member}{pick((1, 1, 2, 3, 4))}"
        if device[:3] in self.liars and self.random.random() < 0.2:
            device = f"{pick(sorted(self.liars))}1"  # lent to each other
        root = pick((ledger.root(member, self.graph.valid), member))
        return pick(
            (
                changes.Link(device, "wrap"),
                changes.Link(device, "wrap"),
                changes.Revoke(device, pick((0, 2, 9)), "x"),
                changes.Recover(member, root, "wrap"),
                changes.Rotate(root, f"{member}-root-{pick((1, 2))}"),
            )
        )

    def audience(self, member: str, other: str) -> AnyChange:
        if self.random.random() < 0.4:
            return changes.OpenAudience((member, other), self.random.random() < 0.4)
        return changes.SetAudience(
            self.some(changes.OpenAudience), self.random.choice((member, other)), self.random.random() < 0.5
        )

    def key(self) -> AnyChange:
        pick = self.random.choice
        scope = pick(("", "", self.some(changes.OpenAudience)))
        last = state.last_keys(self.graph, scope)
        generation = max(
            (node.change.generation for node in last if isinstance(node.change, changes.NewKey)), default=0
        )
        holders = pick((state.entitled(self.graph, scope), [f"{pick(PEOPLE)}1"]))
        if last and self.random.random() < 0.3:
            return changes.ShareKey(pick(last).event_id, tuple(holders))
        ahead = pick((1, 1, 1, 1, 2, 10**9))
        return changes.NewKey(
            scope, generation + ahead, tuple(node.event_id for node in last), tuple(holders)
        )

    def some(self, kind: type[AnyChange]) -> str:
        found = [node.event_id for node in self.graph.ledger.dag.nodes if isinstance(node.change, kind)]
        return self.random.choice(found or ["e0"])


def community(seed: int, steps: int) -> Community:
    """A community after so many steps; the same for the same seed."""
    made = Community(Random(seed))
    for _ in range(steps):
        made.step()
    return made


def shuffled(entries: Sequence[Entry], random: Random) -> list[Entry]:
    """Another order that keeps parents first."""
    waiting = list(entries)
    order: list[Entry] = []
    there: set[str] = set()
    while waiting:
        ready = [entry for entry in waiting if there.issuperset(entry.parents)]
        entry = random.choice(ready if random.random() < 0.7 else ready[-2:])
        waiting.remove(entry)
        there.add(entry.event_id)
        order.append(entry)
    return order


def summary(graph: Graph) -> dict[str, object]:
    """All that a graph says."""
    people = list(state.members(graph))
    scopes = sorted(
        {
            n.change.scope
            for n in graph.ledger.dag.nodes
            if isinstance(n.change, changes.NewKey) and not n.flaw
        }
    )
    ids = sorted(name for name in graph.ledger.dag.by_id if graph.counts(name))
    devices = sorted({d for person in people for d in state.known_devices(graph, person.member)})
    audiences = [
        name for name in ids if isinstance(graph.ledger.dag.by_id[name].change, changes.OpenAudience)
    ]
    return {
        "valid": ids,
        "name": state.space_name(graph),
        "members": people,
        "hidden": {device: state.hidden(graph, device) for device in devices},
        "keys": {scope: getattr(state.current_key(graph, scope), "event_id", "") for scope in scopes},
        "last": {scope: [node.event_id for node in state.last_keys(graph, scope)] for scope in scopes},
        "entitled": {scope: state.entitled(graph, scope) for scope in scopes},
        "stale": [scope for scope in scopes if state.is_stale(graph, scope)],
        "audiences": {name: state.audience_members(graph, name) for name in audiences},
        "invites": [(i.node.event_id, i.taken, i.revoked) for i in state.open_invites(graph, 0)],
    }
