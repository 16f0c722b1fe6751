"""Membership of a community of 1,000 with 10,000 changes: ordinary changes, contested ones, loading, an attack."""

import gc
import time
from collections.abc import Callable
from random import Random

from bench.figures import Figure
from quire.graph import changes
from quire.graph.changes import AnyChange
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.roles import Role
from quire.runtime.run import COLLECT

MEMBERS = 1_000
CHANGES = 10_000
ROUNDS = 20
NEVER = 2**50


class Log:
    """One event after the other, each on the last one unless told otherwise."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, device: str, change: AnyChange, after: str | None = None, ts: int | None = None) -> str:
        place = len(self.entries)
        last = [self.entries[-1].event_id] if self.entries else []
        parents = last if after is None else [after]
        self.entries.append(Entry(f"e{place}", device, place, place if ts is None else ts, parents, change))
        return f"e{place}"


def community(log: Log, roles_change: bool) -> str:
    """ann founds; bea lets everybody in, and changes roles or invites; gives the event before bea began."""
    log.add("ann1", changes.Found("ann", "wrap"))
    admins = log.add("ann1", _invite(Role.ADMIN))
    people = log.add("ann1", _invite(Role.MEMBER))
    for name in ("bea", "eve"):
        log.add("ann1", changes.Admit(name, f"{name}1", "wrap", admins, 0, "pub"))
    for place in range(ROUNDS + 1):
        log.add("ann1", changes.Admit(f"old{place}", f"old{place}-1", "wrap", people, 0, "pub"))
    before = log.entries[-1].event_id
    for place in range(MEMBERS):
        log.add("bea1", changes.Admit(f"m{place}", f"m{place}-1", "wrap", people, 0, "pub"))
    while not roles_change and len(log.entries) < CHANGES:
        log.add("bea1", _invite(Role.MEMBER))
    random, roles = Random(7), [Role.MEMBER] * MEMBERS
    while len(log.entries) < CHANGES:
        place = random.randrange(MEMBERS)
        roles[place] = Role.GUEST if roles[place] == Role.MEMBER else Role.MEMBER
        log.add("bea1", changes.SetRole(f"m{place}", roles[place], {}))
    return before


def _invite(role: Role) -> AnyChange:
    return changes.Invite("pub", role, 2 * CHANGES, NEVER, False)


def membership() -> list[Figure]:
    """Everything of the graph that must stay quick, with the collector set as in every running node."""
    gc.set_threshold(*COLLECT)
    log = Log()
    before = community(log, roles_change=True)
    loaded = Graph()
    load = _seconds(lambda: loaded.add(log.entries))
    graph = Graph()
    graph.add(log.entries[:-MEMBERS])
    ordinary = _seconds(lambda: [graph.add([entry]) for entry in log.entries[-MEMBERS:]])
    contested = [_contested(graph, log, place, before) for place in range(ROUNDS)]
    attack = _attacked()
    return [
        Figure("membership, ordinary changes one by one", MEMBERS / ordinary, "changes/s", ">= 40000"),
        Figure("membership, 10,000 changes from scratch", load * 1e3, "ms", "<= 400"),
        Figure("membership, a removal that meets an act: the first", contested[0] * 1e3, "ms", "<= 50"),
        Figure("membership, a removal that meets an act: later ones", max(contested[1:]) * 1e3, "ms", "<= 5"),
        Figure("membership, an admin undoes 10,000 changes", attack[0] * 1e3, "ms", "<= 500"),
        Figure("membership, each contested removal after that", max(attack[1:]) * 1e3, "ms", "<= 250"),
    ]


def _contested(graph: Graph, log: Log, place: int, before: str) -> float:
    """Somebody acts without knowing that ann removes them."""
    last = log.entries[-1].event_id
    log.add(f"old{place}-1", _invite(Role.MEMBER), after=before)
    log.add("ann1", changes.SetRole(f"old{place}", Role.NONE, {}), after=last)
    act, removal = log.entries[-2:]
    graph.add([act])
    seconds = _seconds(lambda: graph.add([removal]))
    assert graph.counts(removal.event_id)
    assert not graph.counts(act.event_id)
    return seconds


def _attacked() -> list[float]:
    """eve removes bea on old parents, so that all that bea did is void, then one person after the other."""
    graph, log = Graph(), Log()
    before = community(log, roles_change=False)
    graph.add(log.entries)
    start = int(before[1:]) + 1
    last = log.add("eve1", changes.SetRole("bea", Role.NONE, {}), after=before, ts=start)
    found = [_seconds(lambda: graph.add(log.entries[-1:]))]
    assert graph.valid.bit_count() < CHANGES // 10
    for place in range(ROUNDS):
        victim = f"old{place}"
        log.add(f"{victim}-1", _invite(Role.MEMBER), after=before)
        graph.add(log.entries[-1:])
        last = log.add("eve1", changes.SetRole(victim, Role.NONE, {}), after=last, ts=start + 1 + place)
        found.append(_seconds(lambda: graph.add(log.entries[-1:])))
    return found


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
