"""Streams in whole runs: newcomers fetch over them, whatever the network does."""

from pathlib import Path
from typing import Any

import pytest

from quire.sim.run import has_streams, run_scenario
from quire.sim.scenario import Conditions, Faults, People, Scenario, Writing


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
