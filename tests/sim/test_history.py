import pytest
from msgspec.structs import replace

from quire.sim.ground import CRASHED, DONE, REFUSED, SimEvent
from quire.sim.history import MAX_TEXT, MAX_TEXTS, History, history
from quire.sim.run import Result
from quire.sim.witness import Held, Witness

WRITE = {"device": "device1", "space": "commons", "to": "#general", "texts": ["one", "two"]}


def of(*steps: tuple[SimEvent, SimEvent | None], held: dict[str, list[Held]] | None = None) -> History:
    """The history of a plan, with what came of each of its rows."""
    witness = Witness()
    boots = [SimEvent(-n, 0, f"device{n}", "boot", {"host": "10.0.0.1"}) for n in (1, 2)]
    witness.plan = [*boots, *(event for event, _ in steps)]
    witness.outcomes = {event.n: outcome for event, outcome in steps if outcome is not None}
    witness.held, witness.now = held or {}, 9_000
    return history("x", 1, witness)


@pytest.mark.slow
def test_lines_end_at_what_each_device_holds(told: History, witnessed: tuple[Result, Witness]) -> None:
    result, _ = witnessed
    assert {lane.device: lane.held[-1][1] for lane in told.lanes} == {
        device.device: device.events for device in result.devices
    }
    assert {lane.device: lane.people for lane in told.lanes} == {d.device: d.people for d in result.devices}
    assert told.lanes[0].spaces == ["commons", "workshop"]


def test_each_write_reaches_all_devices_of_its_space(
    told: History, witnessed: tuple[Result, Witness]
) -> None:
    assert len(told.writes) == witnessed[0].writes
    for write in told.writes:
        assert write.reached.keys() == {lane.device for lane in told.lanes if write.space in lane.spaces}
        assert write.reached[write.device] == write.at_ms == min(write.reached.values())


def test_a_write_has_come_when_all_of_it_has() -> None:
    event = SimEvent(1, 100, "ada", "write", WRITE)
    done = SimEvent(2, 100, "ada", DONE, {"event_ids": ["a", "b"]})
    held = {
        "device1": [Held(100, "A", "a"), Held(100, "A", "b")],
        "device2": [Held(150, "B", "b"), Held(180, "C", "b"), Held(200, "B", "a"), Held(300, "C", "a")],
    }
    write = of((event, done), held=held).writes[0]
    assert write.reached == {"device1": 100, "device2": 200}
    del held["device2"][2:]
    assert of((event, done), held=held).writes[0].reached == {"device1": 100}


def test_long_writes_are_cut_short() -> None:
    detail = WRITE | {"texts": ["x" * (MAX_TEXT + 1)] * (MAX_TEXTS + 5)}
    event = SimEvent(1, 100, "ada", "write", detail)
    write = of((event, SimEvent(2, 100, "ada", DONE, {"event_ids": []}))).writes[0]
    assert (write.count, len(write.texts)) == (MAX_TEXTS + 5, MAX_TEXTS)
    assert write.texts[0] == "x" * MAX_TEXT + f"… ({MAX_TEXT + 1} characters)"


def test_what_lasts_is_a_band() -> None:
    groups = [["device1"], ["device2"]]
    bands = of(
        (SimEvent(1, 100, "device1", "offline", {}), None),
        (SimEvent(2, 200, "network", "partition", {"groups": groups}), None),
        (SimEvent(3, 300, "device1", "online", {}), None),
        (SimEvent(4, 400, "device2", "crash", {}), SimEvent(9, 450, "device2", CRASHED, {})),
        (SimEvent(5, 500, "network", "heal", {}), None),
        (SimEvent(6, 600, "network", "clog", {"device": "device1", "until_ms": 99_000}), None),
    ).bands
    assert [(band.kind, band.device, band.start_ms, band.end_ms) for band in bands] == [
        ("offline", "device1", 100, 300),
        ("partition", "", 200, 500),
        ("down", "device2", 450, 9_000),
        ("clog", "device1", 600, 9_000),
    ]
    assert bands[1].sides == groups


def test_a_disk_is_bad_until_it_is_mended() -> None:
    made = of(
        (SimEvent(1, 100, "device1", "disk", {"full": True, "failing": 0.0}), None),
        (SimEvent(2, 200, "device1", "disk", {"full": False, "failing": 0.0}), None),
        (SimEvent(3, 300, "device2", "tear", {"after_writes": 0}), SimEvent(8, 310, "device2", CRASHED, {})),
        (SimEvent(4, 400, "device2", "restart", {"host": "10.0.0.2"}), None),
    )
    assert [(band.kind, band.device, band.start_ms, band.end_ms) for band in made.bands] == [
        ("bad disk", "device1", 100, 200),
        ("down", "device2", 310, 400),
    ]
    assert made.marks == []


def test_removals_are_bands_and_other_things_marks() -> None:
    person = {"device": "device2", "space": "commons"}
    made = of(
        (SimEvent(1, 100, "ben", "join", person), SimEvent(7, 120, "ben", DONE, {})),
        (SimEvent(2, 200, "device1", "clock", {"ahead_ms": -5_000}), None),
        (SimEvent(3, 300, "ben", "write", WRITE), SimEvent(8, 300, "ben", REFUSED, {"words": "no key"})),
        (SimEvent(4, 400, "device2", "lie", {"how": "forge"}), None),
        (SimEvent(5, 500, "ada", "remove", WRITE | {"who": "ben"}), SimEvent(9, 510, "ada", DONE, {})),
    )
    assert [(band.kind, band.device, band.start_ms, band.end_ms) for band in made.bands] == [
        ("removed", "device2", 510, 9_000)
    ]
    assert [(mark.kind, mark.device, mark.at_ms) for mark in made.marks] == [
        ("join", "device2", 120),
        ("clock", "device1", 200),
        ("refused", "device1", 300),
        ("lie", "device2", 400),
        ("remove", "device1", 510),
    ]
    assert "no key" in made.marks[2].words
    assert made.marks[3].words == "device2: lie forge"


def test_every_fault_of_a_run_is_told(told: History) -> None:
    kinds = {band.kind for band in told.bands} | {mark.kind for mark in told.marks}
    assert {"partition", "offline", "down", "clock", "join", "found"} <= kinds
    assert told.calm_ms < told.end_ms
    assert replace(told, seed=1) != told


def test_leaving_lasts_and_is_marked() -> None:
    found = of(
        (SimEvent(1, 100, "ben", "join", WRITE | {"device": "device2"}), SimEvent(2, 100, "ben", DONE, {})),
        (SimEvent(3, 500, "ben", "leave", WRITE | {"device": "device2"}), SimEvent(4, 510, "ben", DONE, {})),
    )
    [band] = found.bands
    assert (band.kind, band.device, band.start_ms, band.words) == ("removed", "device2", 510, "ben left")
    assert [(mark.kind, mark.device, mark.at_ms) for mark in found.marks][1:] == [("leave", "device2", 510)]
