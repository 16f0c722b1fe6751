"""A verdict hangs on another only through a name that both have."""

from hypothesis import given, settings
from hypothesis import strategies as st

from quire.graph import changes
from quire.graph.rules import broken
from quire.graph.subjects import Readers, reads, touches
from tests.graph.builders import Space, key, link
from tests.graph.communities import community


def test_an_admission_touches_whom_it_lets_in_and_reads_the_inviter() -> None:
    space = Space()
    node = space.node(space.let_in("bob"))
    assert touches(node) == ("bob", "bob1", "invite-bob", "admit-bob")
    assert list(reads(space.graph.ledger, node)) == ["ann", "ann1", "bob", "bob1", "bob", "invite-bob", "ann"]


def test_a_key_reads_everyone_it_is_for() -> None:
    space = Space().with_people("bob")
    node = space.node(space.do("ann1", key("bob1")))
    assert list(reads(space.graph.ledger, node)) == ["ann", "ann1", "", "bob1", "bob"]
    assert touches(node) == ("", node.event_id)


def test_readers_are_found_by_what_they_read() -> None:
    space = Space().with_people("bob")
    linked = space.node(space.do("bob1", link("bob2")))
    readers = Readers(space.graph.ledger)
    assert readers.of(space.node("admit-bob")) == 1 << linked.index | 1 << linked.index - 1
    assert readers.of(space.node("invite-bob")) == 1 << linked.index - 1
    later = space.node(space.do("bob1", link("bob3")))
    assert readers.of(space.node("admit-bob")) >> later.index == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_no_verdict_changes_with_what_shares_no_name(seed: int) -> None:
    """Take any one node out of what counts: only its readers can be decided otherwise."""
    graph = community(seed, 50).graph
    ledger, readers = graph.ledger, Readers(graph.ledger)
    for gone in ledger.dag.each(graph.valid):
        left = graph.valid & ~(1 << gone.index)
        for node in ledger.dag.nodes:
            if broken(ledger, node, node.past & left) != broken(ledger, node, node.past & graph.valid):
                assert readers.of(gone) >> node.index & 1


def test_what_says_nothing_touches_itself_alone() -> None:
    space = Space()
    name = space.do("ann1", changes.Void())
    assert touches(space.node(name)) == (name,)
