"""Who is at odds with whom: told alike from the removal and from what it voids."""

from hypothesis import given, settings
from hypothesis import strategies as st

from quire.graph import changes
from quire.graph.contests import Contests, is_removal
from quire.graph.dag import concurrent
from quire.graph.ledger import Ledger
from quire.graph.roles import Role
from quire.graph.rules import flaw
from tests.graph.builders import Space, invite, remove, revoke, role
from tests.graph.communities import community


def contests(space: Space) -> dict[str, list[str]]:
    """By removal: what it would void."""
    ledger, found = Ledger(), Contests()
    for entry in space.entries:
        node = ledger.draft(entry)
        node.flaw = flaw(ledger, node)
        ledger.add(node)
        found.add(ledger, node)
    nodes = ledger.dag.nodes
    return {
        nodes[index].event_id: [node.event_id for node in ledger.dag.each(mask)]
        for index, mask in found.voids.items()
    }


def meanwhile(change: changes.AnyChange, act: changes.AnyChange, removal_first: bool) -> dict[str, list[str]]:
    space = Space().with_people("bob", "cat")
    heads = space.heads()
    writer = "ann1" if not isinstance(change, changes.Revoke) else "bob1"
    first, second = [(writer, change, "removal"), ("bob1", act, "act")][:: 1 if removal_first else -1]
    space.do(*first, after=heads)
    space.do(*second, after=heads)
    return contests(space)


def test_a_removal_and_an_act_meet_in_either_order() -> None:
    for first in (True, False):
        assert meanwhile(remove("bob"), invite(), first) == {"removal": ["act"]}
        assert meanwhile(role("bob", Role.GUEST), invite(), first) == {"removal": ["act"]}
        assert meanwhile(role("bob", Role.MEMBER), invite(), first) == {}
        assert meanwhile(remove("cat"), invite(), first) == {}
        assert meanwhile(revoke("bob1"), invite(), first) == {"removal": ["act"]}


def test_what_is_known_is_not_at_odds() -> None:
    space = Space().with_people("bob")
    space.do("bob1", invite())
    space.do("ann1", remove("bob"))
    assert contests(space) == {}


def test_what_takes_nothing_is_no_removal() -> None:
    assert not is_removal(role("bob", Role.ADMIN))
    assert not is_removal(changes.SetAudience("a", "bob", True))
    assert is_removal(changes.SetAudience("a", "bob", False))
    assert not is_removal(invite())


def test_one_more_void_act_is_no_reason_to_weigh_again() -> None:
    ledger, found = Ledger(), Contests()
    space = Space().with_people("bob")
    heads = space.heads()
    space.do("ann1", remove("bob"), after=heads)
    space.do("bob1", invite(), after=heads)
    space.do("bob1", invite(), after=heads)
    answers = []
    for entry in space.entries:
        node = ledger.draft(entry)
        ledger.add(node)
        answers.append(found.add(ledger, node))
    assert answers[-3:] == [False, True, False]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_only_concurrent_nodes_are_at_odds_and_both_sides_know(seed: int) -> None:
    graph = community(seed, 60).graph
    ledger, found = Ledger(), Contests()
    for node in graph.ledger.dag.nodes:
        ledger.add(node)
        found.add(ledger, node)
    nodes = ledger.dag.nodes
    pairs = {(index, node.index) for index, mask in found.voids.items() for node in ledger.dag.each(mask)}
    assert pairs == {
        (node.index, index) for index, mask in found.against.items() for node in ledger.dag.each(mask)
    }
    for removal, victim in pairs:
        assert is_removal(nodes[removal].change)
        assert concurrent(nodes[removal], nodes[victim])
