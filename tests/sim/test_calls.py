"""Streams in whole runs: newcomers fetch over them, whatever the network does."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quire.limits import STREAM_IDLE_MS
from quire.sim import evidence
from quire.sim.ground import GroundTruth
from quire.sim.run import has_streams, run_scenario
from quire.sim.scenario import Conditions, Faults, People, Scenario, Writing
from quire.sim.world import World

HISTORY, KB = 2_500, 30


def scenario(streams: bool | None, **faults: Any) -> Scenario:
    return Scenario(
        about="Two join what is there already.",
        settle_s=60,
        people=People(count=3),
        writing=Writing(writes=10, within_s=10, history=2_100),
        network=Conditions(loss=0.05),
        faults=Faults(**faults),
        streams=streams,
    )


@pytest.mark.slow
def test_history_comes_over_streams(tmp_path: Path) -> None:
    result = run_scenario("history", scenario(True), 1, tmp_path, ":memory:")
    assert result.faults == []
    founder = result.devices[0]
    assert founder.bytes_sent > 2_400 * founder.datagrams


@pytest.mark.slow
def test_what_breaks_is_taken_up_again(tmp_path: Path) -> None:
    faults = {"partitions": 2, "one_way": 1, "crashes": 4, "absences": 2}
    result = run_scenario("history", scenario(True, **faults), 1, tmp_path, ":memory:")
    assert result.faults == []


def test_the_seed_decides_where_nothing_is_said() -> None:
    assert {has_streams(scenario(None), seed) for seed in range(20)} == {True, False}
    assert has_streams(scenario(True), 1)
    assert not has_streams(scenario(False), 1)


def newcomer(folder: Path, *faults: tuple[int, str, str, dict[str, Any]]) -> World:
    """Ben joins at 100 ms what Ada has written much in, and fetches it over her uplink for some twenty seconds."""
    ground = GroundTruth()
    ada = {"device": "device1", "space": "commons"}
    ground.add(0, "device1", "boot", {"host": "10.0.0.1", "power": False})
    ground.add(0, "device2", "boot", {"host": "10.0.0.2"})
    ground.add(0, "network", "conditions", {"uplink_kb": KB})
    ground.add(0, "ada", "found", ada)
    for first in range(0, HISTORY, 500):
        texts = [f"no. {number}" for number in range(first, first + 500)]
        ground.add(1 + first // 50, "ada", "write", {**ada, "to": "#general", "texts": texts})
    ground.add(99, "ada", "invite", {**ada, "guest": "ben"})
    ground.add(100, "ben", "join", {"device": "device2", "space": "commons"})
    for fault in faults:
        ground.add(*fault)
    return World(ground, folder, 1, "sketch", lambda _: None, True)


def messages(world: World, device: str) -> int:
    home = world.devices[device].home
    return sum(evidence.count_messages(home, one.account_id) for one in home.store.memberships.all())


POWER, BACK = (8_000, "device1", "power", {"after_statements": 0}), (40_000, "device1", "restart")


def test_whose_peer_lost_power_hears_nothing_of_it(tmp_path: Path) -> None:
    """Until its own timer says that it is over."""
    world = newcomer(tmp_path, POWER, (*BACK, {"host": "10.0.0.1"}))
    world.run(7_900)
    assert world.devices["device2"].node.fetching
    world.run(8_500)
    assert not world.devices["device1"].running
    world.run(8_000 + STREAM_IDLE_MS - 500)
    assert world.devices["device2"].node.fetching
    world.run(8_500 + STREAM_IDLE_MS)
    assert not world.devices["device2"].node.fetching
    assert messages(world, "device2") < HISTORY
    world.run(90_000)
    assert messages(world, "device2") == HISTORY
    world.stop()


@pytest.mark.parametrize("host", ["10.0.0.1", "10.0.0.9"])
def test_what_comes_from_a_former_stream_disturbs_no_new_one(host: str, tmp_path: Path) -> None:
    """The power is back at once, at the same address or another."""
    world = newcomer(tmp_path, POWER, (8_100, "device1", "restart", {"host": host}))
    world.run(90_000)
    assert messages(world, "device2") == HISTORY
    world.stop()


def test_a_program_that_died_is_heard_of_from_its_machine(tmp_path: Path) -> None:
    world = newcomer(tmp_path, (8_000, "device1", "crash", {"after_statements": 0}))
    world.run(7_900)
    assert world.devices["device2"].node.fetching
    world.run(9_000)
    assert not world.devices["device1"].running
    assert not world.devices["device2"].node.fetching
    world.stop()


def test_a_short_partition_is_no_end(tmp_path: Path) -> None:
    parted = {"groups": [["device1"], ["device2"]]}
    world = newcomer(tmp_path, (8_000, "network", "partition", parted), (12_000, "network", "heal", {}))
    world.run(12_000)
    assert messages(world, "device2") < HISTORY
    while world.devices["device2"].node.fetching:
        world.run(world.now + 100)
    assert messages(world, "device2") == HISTORY
    assert world.calls.carried["device1"] < 300 * HISTORY, "nothing came twice"
    world.stop()


def test_a_narrow_uplink_is_filled_and_datagrams_get_through(tmp_path: Path) -> None:
    world = newcomer(tmp_path)
    world.run(12_000)
    sent = world.calls.carried["device1"]
    assert world.devices["device2"].node.fetching
    assert world.devices["device1"].bytes_sent > 10_000
    assert sent < KB * 12_000 + 512 * 1024, "what it wrote has left, or waits"
    tally = world.network.tally("device1")
    assert tally.lost < 0.1 * tally.sent
    world.stop()


def test_a_run_with_streams_can_be_had_again(tmp_path: Path) -> None:
    faults = {"partitions": 1, "power_cuts": 3, "crashes": 2, "absences": 2, "clogs": 1, "moves": True}
    lossy = Conditions(loss=0.1, corrupt=0.02, uplink_kb=100)
    kind = msgspec.structs.replace(
        scenario(True, **faults), network=lossy, writing=Writing(writes=10, within_s=10, history=500)
    )
    results = [run_scenario("again", kind, 3, tmp_path / name, ":memory:") for name in "ab"]
    assert results[0].faults == []
    assert results[0] == results[1]
