import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from quire.errors import UserError
from quire.sim import checker, evidence, run, scenario
from quire.sim.device import Device
from quire.sim.run import Result, run_scenario, simulate, strategy_of
from quire.sim.witness import Witness
from quire.sim.world import World
from quire.sync import STRATEGIES
from quire.sync.messages import WHOLE
from quire.sync.sketch import SketchStrategy
from tests.net.asking_all import AskingAll


@cache
def simulated(name: str, seed: int) -> Result:
    return simulate(name, seed)


def finds(name: str, seed: int) -> Result:
    result = simulated(name, seed)
    assert result.faults == [], f"replay with: {result.replay}"
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_passes(name: str) -> None:
    result = finds(name, 7)
    assert result.rounds is not None
    assert result.rounds <= result.most_rounds
    assert sum(device.messages for device in result.devices) > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [
        # Somebody was removed in the midst of writing a run, whose end reached nobody.
        3008,
        # Between two removals somebody who had heard of the first alone made a key, for the second as well.
        3011,
    ],
)
def test_what_was_found_once(seed: int, tmp_path: Path) -> None:
    made = scenario.load("removal")
    then = msgspec.structs.replace(  # what it was when that was found
        made,
        writing=scenario.Writing(writes=100, within_s=45, at_once=25),
        network=scenario.Conditions(loss=0.1, reorder=0.1),
    )
    assert run_scenario("x", then, seed, tmp_path, ":memory:").faults == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_passes_with_many_seeds(name: str, seed: int) -> None:
    finds(name, seed)


def test_the_seed_decides_how_nodes_sync_where_the_scenario_does_not_say() -> None:
    made = scenario.load("two-peers")
    found = Counter(strategy_of(made, seed) for seed in range(100))
    assert found.keys() == {"sketch", "bloom"}
    assert found["sketch"] > 60
    said = msgspec.structs.replace(made, strategy="full")
    assert strategy_of(said, 1) == "full"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crash-and-restart", "five-peers-lossy", "liars", "power-cuts"])
def test_sketches_are_exchanged_in_spite_of_faults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[int] = Counter()
    compare = SketchStrategy._compare

    def count(*args: Any) -> None:
        made[args[1].part] += 1
        compare(*args)

    monkeypatch.setattr(SketchStrategy, "_compare", count)
    seed = next(n for n in range(7, 99) if strategy_of(scenario.load(name), n) == "sketch")
    assert simulate(name, seed).faults == []
    assert made[WHOLE] > 10


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "bloom"])
def test_the_other_strategies_pass_too(strategy: str, tmp_path: Path) -> None:
    made = msgspec.structs.replace(scenario.load("crash-and-restart"), strategy=strategy)
    assert run_scenario("x", made, 5, tmp_path, ":memory:").faults == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crash-and-restart", "late-joins"])  # the latter fetches many logs at once
def test_same_seed_same_bytes_whatever_the_hash_seed(name: str) -> None:
    program = (
        "import msgspec; from quire.sim.run import simulate;"
        f"print(msgspec.json.encode(simulate('{name}', 3)))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    ]
    assert found[0] == found[1]
    assert b"fingerprint" in found[0]


def test_another_seed_is_another_run() -> None:
    assert finds("two-peers", 1).fingerprint != finds("two-peers", 2).fingerprint


def test_faults_really_happen() -> None:
    lossy, crashing = finds("five-peers-lossy", 7), finds("crash-and-restart", 7)
    sent = sum(device.datagrams for device in lossy.devices)
    assert 0.25 < sum(device.lost for device in lossy.devices) / sent < 0.4
    assert sum(device.corrupted for device in lossy.devices) > 0.02 * sent
    assert sum(device.crashes for device in crashing.devices) >= 4


@pytest.mark.slow
def test_disks_really_go_bad_and_heal(tmp_path: Path) -> None:
    ground = tmp_path / "sim.db"
    result = run_scenario("x", scenario.load("bad-disks"), 9, tmp_path / "homes", ground)
    assert result.faults == []
    assert 0 < result.refused < result.writes
    found = apsw.Connection(str(ground))
    why = list(found.execute("SELECT detail_json ->> 'words' FROM sim_events WHERE action = 'refused'"))
    torn = list(
        found.execute(
            "SELECT count(*) FROM sim_events AS c JOIN sim_events AS p ON p.n = c.detail_json ->> 'of'"
            " WHERE c.action = 'crashed' AND p.action = 'tear'"
        )
    )
    found.close()
    assert any("disk is full" in words for (words,) in why)
    assert any("cannot be read or written" in words for (words,) in why)
    assert torn[0][0] >= 2


@pytest.mark.slow
def test_a_newcomer_gets_a_long_history(tmp_path: Path) -> None:
    made = scenario.load("newcomer-100k")
    made = msgspec.structs.replace(made, writing=msgspec.structs.replace(made.writing, history=1_500))
    result = run_scenario("x", made, 7, tmp_path, ":memory:")
    assert result.faults == []
    assert all(device.messages > 1_500 for device in result.devices)


@pytest.mark.slow
def test_many_devices_come_and_go(tmp_path: Path) -> None:
    made = scenario.load("fifty-devices-churn")
    made = msgspec.structs.replace(made, people=msgspec.structs.replace(made.people, count=8))
    result = run_scenario("x", made, 7, tmp_path, ":memory:")
    assert result.faults == []
    assert sum(device.crashes for device in result.devices) > 3


def test_sessions_that_are_not_asked_have_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = finds("crash-and-restart", 7).fingerprint
    monkeypatch.setattr("quire.node.node.Endpoint", AskingAll)
    before = AskingAll.asked
    assert simulate("crash-and-restart", 7).fingerprint == fingerprint
    assert AskingAll.asked > before + 1_000


def test_kept_homes_are_homes(tmp_path: Path) -> None:
    simulate("two-peers", 1, tmp_path / "kept")
    for device in ("device1", "device2"):
        database = apsw.Connection(str(tmp_path / "kept" / device / "quire.db"))
        rows = list(database.execute("SELECT count(*) FROM message_index"))
        assert rows[0][0] > 30
        database.close()
    assert (tmp_path / "kept" / "sim.db").exists()
    with pytest.raises(UserError, match="not empty"):
        simulate("two-peers", 1, tmp_path / "kept")


def test_what_a_node_raises_is_a_fault_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(Device, "pump", explode)
    result = simulate("two-peers", 1)
    assert len(result.faults) == 1
    assert "KeyError" in result.faults[0]
    assert result.replay == "quire sim run two-peers --seed 1"


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (evidence, "rebuilt_views"),
        (evidence, "in_another_order"),
        (evidence, "damage"),
        (evidence, "holds_many"),
        (checker, "work_out"),
        (run, "write_plan"),
        (run, "work_out"),
        (World, "stop"),
        (Witness, "end"),
    ],
)
def test_what_raises_anywhere_is_a_fault_of_the_run(
    where: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(where, name, explode)
    result = simulate("two-peers", 1, None, Witness(thorough=False))
    assert any("KeyError: 'boom' (in explode, test_run.py line" in fault for fault in result.faults)
    assert result.replay == "quire sim run two-peers --seed 1"


def test_what_was_found_before_judging_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(Device, "receive", lambda *_: None)
    monkeypatch.setattr(evidence, "forks", explode)
    faults = simulate("two-peers", 1).faults
    told = " ".join(faults)
    assert "is not connected to" in told
    assert "judging the outcome raised KeyError" in told
    assert "not all had settled" in faults[-1]


def test_never_settling_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "receive", lambda *_: None)
    result = simulate("two-peers", 1)
    assert result.rounds is None
    assert any("not all had settled" in fault for fault in result.faults)
