from itertools import islice

import pytest

from quire.runtime.soak import Outcome, lived, pace, pairs, soak, timed
from quire.sim.run import simulate


def test_every_scenario_is_run_by_one_seed_after_the_other() -> None:
    assert list(pairs(["a", "b"], 3, 2)) == [("a", 3), ("b", 3), ("a", 4), ("b", 4)]
    assert list(islice(pairs(["a"], 1, 0), 3)) == [("a", 1), ("a", 2), ("a", 3)]


@pytest.mark.slow
def test_runs_on_several_cores_are_the_same_as_on_one() -> None:
    def facts(jobs: int) -> list[tuple[str, int, list[str], int | None, int]]:
        outcomes = sorted(soak(["two-peers"], 1, 3, 60, jobs), key=lambda one: one.seed)
        return [(one.scenario, one.seed, one.faults, one.settled_ms, one.lived_ms) for one in outcomes]

    assert facts(2) == facts(1)
    assert [fact[:3] for fact in facts(1)] == [("two-peers", seed, []) for seed in (1, 2, 3)]


@pytest.mark.slow
def test_what_has_begun_when_the_time_is_over_is_finished() -> None:
    outcomes = list(soak(["two-peers"], 5, 0, 0, 2))
    assert sorted(one.seed for one in outcomes) == [5, 6]
    assert all(isinstance(one, Outcome) and one.cpu_ms > 0 and one.lived_ms > 0 for one in outcomes)


def test_the_pace_is_device_hours_for_each_cpu_minute() -> None:
    assert pace(2 * 3_600_000, 30_000) == 4.0
    assert pace(0, 0) == 0.0
    result, cpu_ms = timed(lambda: simulate("two-peers", 1))
    assert lived(result) == 2 * result.virtual_ms
    assert cpu_ms > 0
