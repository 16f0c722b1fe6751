from typing import Any

from quire.sim.entitled import work_out
from quire.sim.ground import CRASHED, DONE, GroundTruth

ADA: dict[str, Any] = {"device": "device1", "space": "commons"}


def test_a_power_cut_may_take_what_the_disk_had_not_yet_and_nothing_else() -> None:
    ground = GroundTruth()
    n = ground.add(0, "ada", "found", ADA)
    ground.add(0, "x", DONE, {"of": n, "pubkey": "A", "space_id": "S", "device_key": "D"})
    for at in (10, 20, 30):
        n = ground.add(at, "ada", "write", ADA | {"to": "#general", "texts": [str(at)]})
        ground.add(at, "x", DONE, {"of": n, "event_ids": [str(at)]})
    n = ground.add(25, "device1", "power", {"after_statements": 0})
    ground.add(25, "device1", CRASHED, {"of": n, "kept_ms": 15})
    truth = work_out(ground)
    assert [truth.may_be_gone(write) for write in truth.writes] == [False, True, False]
