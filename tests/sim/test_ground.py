from pathlib import Path

import apsw
import pytest

from quire.sim.ground import DONE, GroundTruth


def test_plan_in_order_of_time_and_outcomes_beside_it(tmp_path: Path) -> None:
    ground = GroundTruth(tmp_path / "sim.db")
    late = ground.add(20, "ben", "write", {"texts": ["ö"], "a": 1})
    early = ground.add(10, "ada", "join", {})
    also_early = ground.add(10, "ada", "write", {})
    ground.add(21, "ben", DONE, {"of": late, "event_ids": ["x"]})
    assert [event.n for event in ground.plan()] == [early, also_early, late]
    assert ground.plan()[2].detail == {"texts": ["ö"], "a": 1}
    assert {of: event.action for of, event in ground.outcomes().items()} == {late: DONE}
    ground.close()


def test_anybody_can_read_the_table(tmp_path: Path) -> None:
    ground = GroundTruth(tmp_path / "sim.db")
    ground.add(10, "ada", "join", {"b": 1, "a": 2})
    ground.close()
    rows = list(apsw.Connection(str(tmp_path / "sim.db")).execute("SELECT * FROM sim_events"))
    assert rows == [(1, 10, "ada", "join", '{"a":2,"b":1}')]


def test_a_table_is_written_once(tmp_path: Path) -> None:
    GroundTruth(tmp_path / "sim.db").close()
    with pytest.raises(apsw.SQLError):
        GroundTruth(tmp_path / "sim.db")
