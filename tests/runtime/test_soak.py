import subprocess
import sys
from itertools import islice
from pathlib import Path

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


def test_what_is_done_is_not_run_again() -> None:
    outcomes = list(soak(["two-peers"], 1, 2, 60, 1, {("two-peers", 1)}))
    assert [one.seed for one in outcomes] == [2]


@pytest.mark.slow
def test_workers_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    program = (
        "import os\nfrom quire.runtime.soak import soak\n"
        "if __name__ == '__main__':\n"
        "    for one in soak(['two-peers'], 1, 0, 60, 1):\n"
        "        print(one.seed, *[c.pid for c in __import__('multiprocessing').active_children()], flush=True)\n"
    )
    script = tmp_path / "soaking.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as soaking:
        assert soaking.stdout is not None
        _, *workers = map(int, soaking.stdout.readline().split())
        soaking.kill()
        assert workers
        # What they inherited is closed once they are gone.
        soaking.stdout.read()


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
