"""Taking in events: what is added counts or says why not; junk harms nobody."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.graph import changes, state
from quire.graph.graph import Graph
from quire.graph.ledger import Entry
from quire.graph.roles import Role
from tests.graph.builders import Space, invite, remove, role
from tests.graph.communities import community, summary

TEXT = st.sampled_from(["", "ann", "ann1", "found", "e0", "e1", "e5", "nowhere", "\x00"])
MARKS = st.dictionaries(TEXT, st.tuples(st.integers(), TEXT), max_size=2)
JUNK = st.one_of(
    st.builds(changes.Void),
    st.builds(changes.Merge),
    st.builds(changes.Rename, TEXT),
    st.builds(changes.Found, TEXT, TEXT),
    st.builds(changes.Invite, TEXT, st.sampled_from(Role), st.integers(), st.integers(), st.booleans()),
    st.builds(changes.RevokeInvite, TEXT),
    st.builds(changes.Admit, TEXT, TEXT, TEXT, TEXT, st.integers(), TEXT, TEXT),
    st.builds(changes.SetRole, TEXT, st.sampled_from(Role), MARKS),
    st.builds(changes.Link, TEXT, TEXT),
    st.builds(changes.Revoke, TEXT, st.integers(), TEXT),
    st.builds(changes.Recover, TEXT, TEXT, TEXT),
    st.builds(changes.Rotate, TEXT, TEXT),
    st.builds(changes.Readmit, TEXT, TEXT, MARKS),
    st.builds(changes.OpenAudience, st.lists(TEXT, max_size=3).map(tuple), st.booleans()),
    st.builds(changes.SetAudience, TEXT, TEXT, st.booleans()),
    st.builds(
        changes.NewKey,
        TEXT,
        st.integers(),
        st.lists(TEXT, max_size=2).map(tuple),
        st.lists(TEXT, max_size=2).map(tuple),
    ),
    st.builds(changes.ShareKey, TEXT, st.lists(TEXT, max_size=2).map(tuple)),
)


def test_an_event_counts_at_once_and_says_so() -> None:
    space = Space()
    entry = space.entry("ann1", invite())
    effect = space.graph.add([entry])
    assert [node.event_id for node in effect.counted] == [entry.event_id]
    assert effect.voided == []
    assert space.counts(entry.event_id)
    assert not space.counts("nowhere")


def test_an_event_that_is_there_changes_nothing() -> None:
    space = Space().with_people("bob")
    before = summary(space.graph)
    assert space.graph.add(space.entries).counted == []
    assert summary(space.graph) == before


def test_a_removal_that_comes_late_voids_what_had_counted() -> None:
    space = Space().with_people("bob")
    heads = space.heads()
    act = space.do("bob1", invite(), after=heads)
    effect = space.graph.add([space.entry("ann1", remove("bob"), "gone", after=heads)])
    assert [node.event_id for node in effect.counted] == ["gone"]
    assert [node.event_id for node in effect.voided] == [act]


def test_a_missing_parent_is_an_error_and_what_came_before_it_is_taken_in() -> None:
    space = Space().with_people("bob")
    heads = space.heads()
    act = space.do("bob1", invite(), after=heads)
    gone = space.entry("ann1", remove("bob"), "gone", after=heads)
    with pytest.raises(KeyError):
        space.graph.add([gone, space.entry("ann1", invite(), after=["nowhere"])])
    assert space.counts("gone")
    assert not space.counts(act)
    with pytest.raises(KeyError):
        space.why_not("ann1", invite(), after=["nowhere"])


def test_why_not_explains_what_is_there_and_what_might_be() -> None:
    space = Space().with_people("bob")
    heads = space.heads()
    space.do("bob1", invite(), after=heads)
    space.do("bob1", role("ann", Role.NONE), after=heads)
    space.do("ann1", remove("bob"), after=heads)
    assert [space.graph.why_not(entry) for entry in space.entries[-3:]] == ["concurrent", "admin", ""]
    assert space.why_not("bob1", invite(), after=heads) == "concurrent"
    assert [space.graph.why_void(node) for node in space.graph.ledger.dag.nodes[:2]] == ["", ""]


def test_a_second_founding_by_the_founder_says_nothing_new() -> None:
    """Whoever takes in events has held it against the space's id: it is the same founder and device."""
    space = Space().with_people("bob")
    before = list(state.members(space.graph))
    again = space.do("ann1", changes.Found("ann", "wrap-ann1"), after=[], ts=11)
    assert space.counts(again)
    assert list(state.members(space.graph)) == before
    space.do("ann1", remove("ann"), after=["found"])
    assert space.role("ann") == Role.NONE


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 20), st.data())
def test_junk_never_raises(seed: int, data: st.DataObject) -> None:
    graph: Graph = community(seed, 15).graph
    for place in range(4):
        known = sorted(graph.ledger.dag.by_id)
        parents = data.draw(st.lists(st.sampled_from(known), max_size=3))
        device = data.draw(st.sampled_from(["ann1", "bob1", "x1"]))
        ts = data.draw(st.sampled_from([0, 10**6 + place, -1]))
        graph.add([Entry(f"junk{place}", device, data.draw(st.integers()), ts, parents, data.draw(JUNK))])
    assert summary(graph)["members"]
