"""What holds for made-up communities, in every order and at every step."""

from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quire.graph.resolve as resolve_module
from quire.graph import changes, state
from quire.graph.contests import is_removal, leaves
from quire.graph.dag import Mask, concurrent, has
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.resolve import _Weighing, resolve
from quire.graph.roles import Role
from quire.graph.rules import may_hold
from tests.graph.communities import Community, community, shuffled, summary

SEEDS = st.integers(0, 2**32)


# --- Every order, every batching.


def orders(made: Community, seed: int) -> list[Graph]:
    """The same events in other orders: one by one, all at once, in batches."""
    random = Random(seed)
    graphs = []
    for batch in (1, 1, len(made.entries), 5):
        graph, order = Graph(), shuffled(made.entries, random)
        for start in range(0, len(order), batch):
            graph.add(order[start : start + batch])
        graphs.append(graph)
    return graphs


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_every_order_ends_with_the_same(seed: int) -> None:
    made = community(seed, 90)
    expected = summary(made.graph)
    for graph in orders(made, seed):
        assert summary(graph) == expected
        assert resolve(graph.ledger) == graph.valid


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_every_step_equals_a_fresh_start(seed: int) -> None:
    graph = Graph()
    for entry in community(seed, 60).entries:
        before = graph.valid
        effect = graph.add([entry])
        assert graph.valid == resolve(graph.ledger)
        for node in effect.counted:
            before |= 1 << node.index
        for node in effect.voided:
            before &= ~(1 << node.index)
        assert before == graph.valid


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_strangers_change_nothing(seed: int) -> None:
    made = community(seed, 60)
    random, expected = Random(seed), summary(made.graph)
    graph, order = Graph(), shuffled(made.entries, random)
    for entry in order:
        graph.add([entry])
        made.graph = graph
        parents = random.sample(sorted(graph.ledger.dag.by_id), min(2, len(graph.ledger.dag.by_id)))
        change = made.change("x9", random.choice(("x9x", "bob", "ann")))
        if not isinstance(change, changes.Recover):
            graph.add(
                [Entry(f"x{len(graph.ledger.dag.nodes)}", "x9", 1, made.ts(parents) + 1, parents, change)]
            )
    assert summary(graph) == expected


# --- What holds in every state.


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_what_always_holds(seed: int) -> None:
    graph = community(seed, 90).graph
    people = {person.member: person for person in state.members(graph)}
    _has_a_founder(graph)
    for member in graph.ledger.people():
        assert member in people or graph.ledger.role(member, graph.valid) <= Role.NONE
    for member, person in people.items():
        if person.role >= Role.GUEST:
            assert graph.ledger.entries(member, graph.valid)
        _has_no_more_than_given(graph, member)
    for made in state.open_invites(graph, 0):
        assert isinstance(made.node.change, changes.Invite)
        assert made.taken <= made.node.change.uses
    for node in graph.ledger.dag.each(graph.valid):
        _was_allowed(graph, node)


def _has_a_founder(graph: Graph) -> None:
    left = any(
        node.author == "ann" and isinstance(node.change, changes.SetRole) and node.change.member == "ann"
        for node in graph.ledger.dag.each(graph.valid)
    )
    assert left or graph.ledger.role("ann", graph.valid) == Role.FOUNDER


def _has_no_more_than_given(graph: Graph, member: str) -> None:
    """Never above its invite, unless one with the right to promoted it."""
    given = []
    for node, what in graph.ledger.role_changes(member, graph.valid):
        given.append(what)
        if isinstance(node.change, changes.SetRole) and what > Role.NONE and not has(_weighed(graph), node):
            assert graph.ledger.role(node.author, node.past & graph.valid) >= Role.ADMIN
        if isinstance(node.change, changes.Admit):
            assert graph.counts(node.change.invite)
    assert graph.ledger.role(member, graph.valid) <= max(given)


def _weighed(graph: Graph) -> int:
    """Removals that have been weighed, and stay whatever becomes of what they stood on."""
    return graph._verdict.counted


def _was_allowed(graph: Graph, node) -> None:  # type: ignore[no-untyped-def]
    ledger, known = graph.ledger, node.past & graph.valid
    if isinstance(node.change, changes.NewKey | changes.ShareKey):
        scope = (
            node.change.scope if isinstance(node.change, changes.NewKey) else ledger.scope_of(node.change.key)
        )
        assert all(may_hold(ledger, scope, device, known) for device in node.change.recipients)
    ends = list(ledger.dag.each(ledger.removals(node.author) & graph.valid))
    ends = [
        end for end in ends if not isinstance(end.change, changes.SetRole) or end.change.role <= Role.NONE
    ]
    ends += ledger.dag.each(ledger.revocations(node.device) & graph.valid)
    for end in ends:
        if concurrent(end, node) and not isinstance(node.change, changes.Found):
            assert is_removal(node.change)
            # Nobody is kept from leaving. Of two removals the one weighed first stays: see below which one that is.
            assert leaves(node) or has(_weighed(graph), node)


class _Watched(_Weighing):
    """Looks at each step whether it is the most senior removals that come to count, as their rights are by then."""

    def _next(self) -> Mask:
        ledger, before = self._ledger, self.counted
        ranks = {}
        for _, index in self._waiting:
            node = ledger.dag.nodes[index]
            known = node.past & self.valid
            if has(self.valid, node):
                since = min(given.key for given in ledger.status(node.author, known).given)
                ranks[index] = since, ledger.claims(node.device, known)[0].node.key
        hit = super()._next()
        fresh = {index for index in ranks if (self.counted & ~before) >> index & 1}
        if fresh:  # else those whose turn it was count no more
            assert fresh == {index for index, rank in ranks.items() if rank == min(ranks.values())}
        return hit


def _resolve_watched(seed: int) -> None:
    graph = community(seed, 90).graph
    with patch.object(resolve_module, "_Weighing", _Watched):
        assert resolve(graph.ledger) == graph.valid


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_the_most_senior_removal_is_weighed_first(seed: int) -> None:
    _resolve_watched(seed)


@pytest.mark.parametrize("seed", [19008, 20238, 1000640, 1004523])
def test_seniority_is_as_it_is_when_a_removal_is_weighed(seed: int) -> None:
    """What gave an author its right, or its device, is voided by a removal that was weighed before."""
    _resolve_watched(seed)


def test_the_communities_do_everything() -> None:
    """The properties say something only of what happens: every change counts somewhere, and is void somewhere."""
    counted: set[type] = set()
    voided: set[type] = set()
    for seed in range(60):
        graph = community(seed, 90).graph
        for node in graph.ledger.dag.nodes:
            (counted if has(graph.valid, node) else voided).add(type(node.change))
    assert counted == voided - {changes.Void} | counted
    assert {kind.__name__ for kind in voided} == {kind.__name__ for kind in counted} | {"Void"}


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_every_order_of_long_histories_ends_with_the_same(seed: int) -> None:
    made = community(seed, 250)
    expected = summary(made.graph)
    for graph in orders(made, seed):
        assert summary(graph) == expected
