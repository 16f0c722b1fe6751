"""Each kind of liar among honest people: it does what it is there for, and the honest live well with it."""

from pathlib import Path
from typing import Any, get_args

import apsw
import pytest

from quire.limits import MAX_UNKNOWN_SESSIONS
from quire.sim.device import Device
from quire.sim.ground import DONE, GroundTruth
from quire.sim.liar import LIES
from quire.sim.liar_streams import Dribble, LyingCarrier
from quire.sim.run import Result, run_scenario
from quire.sim.scenario import Conditions, Faults, Lie, People, Scenario, Writing
from quire.sim.world import World


def lied_to(how: Lie, folder: Path, seed: int = 1) -> Result:
    scenario = Scenario(
        about="x",
        settle_s=30,
        people=People(count=4, join_within_s=1),
        writing=Writing(writes=20, within_s=12),
        faults=Faults(byzantine=(how,), lies=2),
    )
    return run_scenario("x", scenario, seed, folder / "homes", folder / "sim.db")


def ask(folder: Path, sql: str, file: str = "homes/device1/quire.db") -> list[tuple[Any, ...]]:
    db = apsw.Connection(str(folder / file))
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_every_kind_that_a_scenario_can_name_is_there() -> None:
    assert set(get_args(Lie)) == set(LIES)


@pytest.mark.slow
def test_forgeries_are_refused_or_held_back(tmp_path: Path) -> None:
    assert lied_to("forge", tmp_path).faults == []
    reasons = dict(ask(tmp_path, "SELECT reason, count FROM rejections"))
    assert {"bad-signature", "cannot-open", "not-json"} <= reasons.keys()
    assert ask(tmp_path, "SELECT count(*) FROM blocked") == [(4,)]
    assert ask(tmp_path, "SELECT count(*) FROM locked") == [(2,)]
    assert ask(tmp_path, "SELECT count(*) FROM auth_graph WHERE action = 'setrole' AND NOT counts") == [(2,)]
    assert ask(tmp_path, "SELECT count(*) FROM message_index WHERE body_text LIKE 'forged%'") == [(0,)]


@pytest.mark.slow
def test_both_histories_of_a_fork_come_to_everyone(tmp_path: Path) -> None:
    assert lied_to("fork", tmp_path).faults == []
    for device in ("device1", "device2", "device3"):
        home = f"homes/{device}/quire.db"
        assert ask(tmp_path, "SELECT count(*) FROM forks", home)[0][0] >= 6
        told = "SELECT count(*) FROM message_index WHERE body_text LIKE '%history%'"
        assert ask(tmp_path, told, home) == [(12,)]


def test_what_one_withholds_comes_from_the_others(tmp_path: Path) -> None:
    assert lied_to("withhold", tmp_path, seed=2).faults == []
    count = "SELECT count(*) FROM received"
    assert ask(tmp_path, count, "homes/device4/quire.db") < ask(tmp_path, count)


def test_what_is_sent_again_changes_nothing(tmp_path: Path) -> None:
    assert lied_to("replay", tmp_path).faults == []
    assert ask(tmp_path, "SELECT count(*) FROM rejections") == [(0,)]


@pytest.mark.slow
def test_a_flood_is_taken_in_where_it_is_something(tmp_path: Path) -> None:
    result = lied_to("flood", tmp_path)
    assert result.faults == []
    told = "SELECT count(*) FROM message_index WHERE body_text LIKE 'flood%'"
    assert ask(tmp_path, told) == [(120,)]
    liar, honest = result.devices[3], result.devices[0]
    assert liar.datagrams > honest.datagrams + 300


TOLD_ON_STREAMS = {
    "promise": (LyingCarrier, "logs_for"),
    "cheat": (LyingCarrier, "logs_for"),
    "withhold": (LyingCarrier, "logs_for"),
    "dribble": (Dribble, "give"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", TOLD_ON_STREAMS)
def test_a_newcomer_gets_everything_whatever_is_said_on_streams(
    how: Lie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    kind, name = TOLD_ON_STREAMS[how]
    real = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda *what: told.append(what) or real(*what))
    scenario = Scenario(
        about="x",
        settle_s=60,
        people=People(count=4, gathered=True, latecomers=1),
        writing=Writing(writes=10, within_s=9, history=300),
        network=Conditions(uplink_kb=100),
        faults=Faults(byzantine=(how,)),
        streams=True,
    )
    assert run_scenario("x", scenario, 2, tmp_path / "homes", tmp_path / "sim.db").faults == []
    assert [what for what in told if not isinstance(what[0], LyingCarrier) or what[0].how == how]
    count = "SELECT count(*) FROM message_index WHERE body_text LIKE 'long ago%'"
    assert ask(tmp_path, count, "homes/device4/quire.db") == [(300,)]


@pytest.mark.parametrize("how", LIES)
def test_a_liar_that_is_not_let_in_can_do_nothing(how: Lie, tmp_path: Path) -> None:
    ground = GroundTruth()
    ground.add(0, "device1", "boot", {"host": "10.0.0.1", "lying": True})
    number = ground.add(10, "device1", "lie", {"how": how})
    world = World(ground, tmp_path, 1, "bloom", lambda _: None)
    world.run(1_000)
    assert ground.outcomes()[number].detail["why"] == "not-in"
    world.stop()


def test_devices_that_are_made_up_get_few_places(tmp_path: Path) -> None:
    ground = GroundTruth()
    ada = {"device": "device1", "space": "commons"}
    ground.add(0, "device1", "boot", {"host": "10.0.0.1"})
    ground.add(0, "device2", "boot", {"host": "10.0.0.2", "lying": True})
    ground.add(0, "ada", "found", ada)
    ground.add(1, "ada", "invite", {**ada, "guest": "ben"})
    ground.add(2, "ben", "join", {"device": "device2", "space": "commons"})
    lie = ground.add(5_000, "device2", "lie", {"how": "flood"})
    world = World(ground, tmp_path, 1, "sketch", lambda _: None)
    world.run(6_000)
    assert ground.outcomes()[lie].action == DONE
    device: Device = world.devices["device1"]
    sessions = device.node.sessions(device.home.store.memberships.all()[0])
    assert MAX_UNKNOWN_SESSIONS >= len(sessions) - 1 > 10
    world.stop()
