import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from msgspec import structs

from quire.runtime import soak as soaking
from quire.runtime.soak import Outcome, lived, pace, pairs, soak, timed
from quire.sim.homes import NoRoom
from quire.sim.run import simulate
from quire.sim.scenario import load


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
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        _, *workers = map(int, started.stdout.readline().split())
        started.kill()
        assert workers
        # What they inherited is closed once they are gone.
        started.stdout.read()


@pytest.mark.slow
def test_what_has_begun_when_the_time_is_over_is_finished() -> None:
    outcomes = list(soak(["two-peers"], 5, 0, 0, 2))
    assert sorted(one.seed for one in outcomes) == [5, 6]
    assert all(isinstance(one, Outcome) and one.cpu_ms > 0 and one.lived_ms > 0 for one in outcomes)


def test_what_a_scenario_is_was_read_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load("two-peers")
    short = structs.replace(made, writing=structs.replace(made.writing, writes=10, within_s=6))
    monkeypatch.setattr(soaking, "load", lambda _: short)
    outcome, *_ = soak(["two-peers"], 1, 1, 60, 1)
    assert outcome.faults == []
    assert 2 * 6_000 <= outcome.lived_ms < 2 * made.writing.within_s * 1_000


def dies_at_two(_: object, pair: tuple[str, int]) -> Outcome:
    if pair[1] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(*pair, [], "", 0, 0, 0)


def test_a_run_whose_process_dies_has_failed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soaking, "_run", dies_at_two)
    outcomes = {one.seed: one for one in soak(["two-peers"], 1, 4, 60, 1)}
    assert [outcomes[seed].faults for seed in (1, 3, 4)] == [[], [], []]
    assert "SIGKILL" in outcomes[2].faults[0]
    assert outcomes[2].replay == "quire sim run two-peers --seed 2"


def hangs_at_two(_: object, pair: tuple[str, int]) -> Outcome:
    while pair[1] == 2:
        time.sleep(0.01)
    return Outcome(*pair, [], "", 0, 0, 0)


def test_a_run_that_has_no_end_has_failed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soaking, "_run", hangs_at_two)
    monkeypatch.setattr(soaking, "MOST_S", 5.0)
    outcomes = {one.seed: one for one in soak(["two-peers"], 1, 3, 60, 1)}
    assert [outcomes[seed].faults for seed in (1, 3)] == [[], []]
    assert outcomes[2].faults == ["the process that ran it was ended, as it had not come to an end after 5 s"]
    assert outcomes[2].replay == "quire sim run two-peers --seed 2"


def test_whatever_is_raised_around_a_run_is_a_fault_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(soaking, "simulate", explode)
    outcome = soaking._run({"two-peers": load("two-peers")}, ("two-peers", 2))
    assert "KeyError: 'boom' (in explode" in outcome.faults[0]
    assert outcome.replay == "quire sim run two-peers --seed 2"


def raises_no_room(*_: object) -> Outcome:
    raise NoRoom("full")


def test_where_homes_have_no_room_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soaking, "_run", raises_no_room)
    with pytest.raises(NoRoom, match="full"):
        list(soak(["two-peers"], 1, 0, 60, 1))


def test_the_pace_is_device_hours_for_each_cpu_minute() -> None:
    assert pace(2 * 3_600_000, 30_000) == 4.0
    assert pace(0, 0) == 0.0
    result, cpu_ms = timed(lambda: simulate("two-peers", 1))
    assert lived(result) == 2 * result.virtual_ms
    assert cpu_ms > 0
