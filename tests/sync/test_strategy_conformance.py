"""The conformance suite, over every strategy."""

from random import Random
from typing import Any

import pytest

from tests.sync.conformance import NAMES, Network, ids, index_of, pair
from tests.sync.memory import MemoryIndex

BAD: dict[str, Any] = {"loss": 0.3, "twice": 0.2, "altered": 0.05, "shuffle": True}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("span", [1, 10**4, 10**8, 10**11])
@pytest.mark.parametrize(
    ("shared", "left", "right"), [(0, 1, 0), (0, 0, 700), (0, 600, 800), (900, 30, 0), (900, 3, 700)]
)
def test_converges(name: str, span: int, shared: int, left: int, right: int) -> None:
    random = Random(span)
    both, mine, theirs = (ids(random, count, span) for count in (shared, left, right))
    run = pair(name, index_of(both, mine), index_of(both, theirs))
    assert run.converge(4) >= 1
    assert len(run.sides[0].index) == shared + left + right
    run.tick()
    assert [side.strategy.in_sync for side in run.sides] == [True, True]
    assert [side.strategy.peer_count for side in run.sides] == [shared + left + right] * 2


@pytest.mark.parametrize("span", [1, 10**10])
def test_converges_over_a_bad_network(name: str, span: int) -> None:
    random = Random(3)
    both, mine, theirs = ids(random, 1_500, span), ids(random, 200, span), ids(random, 200, span)
    run = pair(name, index_of(both, mine), index_of(both, theirs), Network(random, **BAD))
    run.converge(40)
    assert run.network.spoilt > 0


def test_empty_against_many(name: str) -> None:
    run = pair(name, MemoryIndex(), index_of(ids(Random(4), 20_000)))
    assert run.converge(3) == 1
    assert run.pushed == 20_000
    assert run.messages < 100


def test_equal_stores_cost_one_small_message_per_heartbeat(name: str) -> None:
    same = ids(Random(5), 3_000)
    run = pair(name, index_of(same), index_of(same))
    for _ in range(5):
        run.tick()
    assert (run.messages, run.pushed) == (10, 0)
    assert len(run.sides[0].strategy.heartbeat(run.sides[0].index, 0)[0]) <= 32


def test_heartbeats_of_one_store_never_look_alike(name: str) -> None:
    side = pair(name, index_of(ids(Random(6), 10)), MemoryIndex()).sides[0]
    beats = [side.strategy.heartbeat(side.index, 0)[0] for _ in range(20)]
    assert len({beat[2:18] for beat in beats}) == 20


def test_event_added_while_pushing_still_arrives(name: str) -> None:
    random = Random(7)
    run = pair(name, index_of(ids(random, 3_000)), index_of(ids(random, 3_000)))
    run.tick()
    for side in run.sides:
        for ts, event_id in ids(random, 50):
            side.index.add(ts, event_id, event_id)
            side.times[event_id] = ts
    run.converge(4)
    assert len(run.sides[0].index) == 6_100


def test_runs_come_over_streams_and_gaps_by_sketches() -> None:
    random = Random(8)
    run = pair("frontier", index_of(log := ids(random, 5_000)), index_of(sorted(log)[:300]))
    run.tick()
    assert (run.pushed, run.messages) == (4_700, 2 * 2 + 4 + 2)
    gaps = pair("frontier", index_of(log), index_of(sorted(log)[10:]))
    gaps.converge(3)
    assert gaps.pushed == 10


def test_what_was_to_be_pushed_can_be_left_and_is_found_again(name: str) -> None:
    """A stream may bring it meanwhile."""
    random = Random(9)
    both, mine = ids(random, 600, 10**10), ids(random, 300, 10**10)
    run = pair(name, index_of(both, mine), index_of(both))
    run.tick()
    for side in run.sides:
        side.strategy.forget()
    assert [side.strategy.pushing for side in run.sides] == [False, False]
    run.converge(4)
    assert len(run.sides[1].index) == 900
