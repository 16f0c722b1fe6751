"""Ancestry."""

import pytest

from quire.graph.changes import Void
from quire.graph.dag import Dag, concurrent, has


def diamond() -> Dag:
    """a, then b and c on it, then d on both."""
    dag = Dag()
    for name, parents in (("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])):
        dag.add(dag.draft(name, "device", 1, 10 + len(dag.nodes), parents, Void()))
    return dag


def test_the_past_holds_everything_below_and_not_itself() -> None:
    assert [node.past for node in diamond().nodes] == [0, 0b1, 0b1, 0b111]


def test_a_missing_parent_is_an_error() -> None:
    with pytest.raises(KeyError):
        diamond().draft("e", "device", 1, 99, ["nowhere"], Void())


def test_concurrent_are_those_that_do_not_build_on_each_other() -> None:
    a, b, c, d = diamond().nodes
    assert concurrent(b, c)
    assert not any(concurrent(*pair) for pair in ((a, b), (b, a), (d, a), (b, b)))


def test_each_and_latest() -> None:
    dag = diamond()
    assert [node.event_id for node in dag.each(0b1011)] == ["a", "b", "d"]
    assert [node.event_id for node in dag.latest(0b0111)] == ["c", "b"]
    assert [node.event_id for node in dag.latest(0b1111)] == ["d"]
    assert dag.latest(0) == []


def test_has() -> None:
    dag = diamond()
    assert has(0b100, dag.by_id["c"])
    assert not has(0b100, dag.by_id["d"])
