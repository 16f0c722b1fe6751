"""`kill -9` of a process that appends: nothing acknowledged is lost, nothing is there twice, the chain holds."""

import time
from pathlib import Path
from random import Random

import pytest

from tests.relay.appenders import Acknowledged, appending, examine


def _append_and_kill(path: Path, seed: int, kills: int, size: int = 0) -> int:
    random = Random(seed)
    acknowledged: Acknowledged = {}
    count = 0
    for _ in range(kills):
        with appending(path, size) as run:
            run.next(random.randrange(1, 200))
            time.sleep(random.random() ** 2 * 0.1)
        acknowledged |= run.acknowledged
        assert run.refusals == []
        if random.random() < 0.7:  # else it is the next run that finds the file as it was left
            count = examine(path, acknowledged, pruned=bool(size))
    return count


def _make_and_kill(folder: Path, seed: int, kills: int) -> None:
    random = Random(seed)
    for number in range(kills):
        path = folder / f"new {number}"
        with appending(path) as run:
            time.sleep(random.random() * 0.02)
        examine(path, run.acknowledged)


@pytest.mark.slow
def test_killed_appenders_lose_nothing(tmp_path: Path) -> None:
    assert _append_and_kill(tmp_path / "relay.db", 1, kills=8) > 1_000


def test_killed_appenders_lose_nothing_while_old_records_go(tmp_path: Path) -> None:
    assert _append_and_kill(tmp_path / "relay.db", 2, kills=5, size=100_000) > 0


def test_a_store_that_is_killed_while_it_is_made_is_a_store(tmp_path: Path) -> None:
    _make_and_kill(tmp_path, 3, kills=6)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_appenders_lose_nothing_however_often(tmp_path: Path) -> None:
    assert _append_and_kill(tmp_path / "relay.db", 4, kills=20) > 5_000
    assert _append_and_kill(tmp_path / "pruned.db", 5, kills=12, size=200_000) > 0
    _make_and_kill(tmp_path, 6, kills=20)
