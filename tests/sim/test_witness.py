from pathlib import Path

import pytest

from quire.events.context import Context
from quire.handlers import identity, space
from quire.sim.device import Device
from quire.sim.ground import GroundTruth
from quire.sim.run import Result, simulate
from quire.sim.witness import Witness


@pytest.mark.slow
def test_a_witness_changes_nothing(witnessed: tuple[Result, Witness]) -> None:
    result, _ = witnessed
    assert result == simulate(result.scenario, result.seed)


def test_it_notes_each_event_of_each_device_once_and_in_order(witnessed: tuple[Result, Witness]) -> None:
    result, witness = witnessed
    for device in result.devices:
        held = witness.held[device.device]
        assert len(held) == device.events
        assert len({(one.identity, one.event_id) for one in held}) == device.events
        assert [one.at_ms for one in held] == sorted(one.at_ms for one in held)
    assert witness.now == result.virtual_ms
    assert 0 < witness.planned_ms < result.virtual_ms < witness.latest_ms


def test_it_looks_at_what_was_committed_before_a_crash_too(witnessed: tuple[Result, Witness]) -> None:
    result, witness = witnessed
    crashed = {device.device for device in result.devices if device.crashes}
    assert crashed
    for event in witness.plan:
        outcome = witness.outcomes.get(event.n)
        if event.action == "write" and outcome is not None and event.detail["device"] in crashed:
            held = {one.event_id for one in witness.held[event.detail["device"]]}
            assert held.issuperset(outcome.detail.get("event_ids", []))


def test_one_that_is_not_thorough_counts_only() -> None:
    witness = Witness(thorough=False)
    result = simulate("two-peers", 3, None, witness)
    assert witness.held == {}
    assert witness.arrived.keys() == {device.device for device in result.devices}
    assert all(witness.arrived[device.device] >= device.events for device in result.devices)


def test_what_no_node_told_of_is_noted_at_the_end(tmp_path: Path) -> None:
    device = Device("device1", tmp_path / "device1", "10.0.0.1", 1, "bloom")
    device.start(0)
    ctx = Context(device.home, device.wall(0))
    identity.create(ctx, "ada")
    space.create(Context(device.home, device.wall(0), 1), "commons")
    witness, ground = Witness(), GroundTruth()
    witness.end(ground, [device], 700)
    assert {one.at_ms for one in witness.held["device1"]} == {700}
    device.stop()
    ground.close()
