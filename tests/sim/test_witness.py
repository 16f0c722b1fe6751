from quire.sim.run import Result, simulate
from quire.sim.witness import Witness


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
