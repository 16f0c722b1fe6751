import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from quire.sim.history import History
from quire.sim.picture import convergence
from quire.sim.run import Result
from quire.sim.witness import Witness


def test_each_device_has_a_line_that_ends_at_its_events(
    told: History, witnessed: tuple[Result, Witness]
) -> None:
    result, _ = witnessed
    found = ElementTree.fromstring(convergence(told))
    lines = {e.get("data-line"): e.get("data-last", "").split() for e in found.iter() if e.get("data-line")}
    assert {name: int(last) for name, (_, last) in lines.items()} == {
        f"{device.device} ({', '.join(device.people)})": device.events for device in result.devices
    }
    assert {float(at) for at, _ in lines.values()} == {result.virtual_ms / 1000}


def test_partitions_are_shaded(told: History) -> None:
    found = ElementTree.fromstring(convergence(told))
    shaded = [e for e in found.iter() if e.get("class") == "shade"]
    assert len(shaded) == sum(band.kind == "partition" for band in told.bands) > 0


def test_a_run_that_came_to_nothing_can_be_drawn() -> None:
    empty = History("x", 1, 0, 0, [], [], [], [])
    assert ElementTree.fromstring(convergence(empty)).tag.endswith("svg")


@pytest.mark.slow
def test_same_seed_same_bytes_whatever_the_hash_seed() -> None:
    program = (
        "from quire.sim.run import simulate; from quire.sim.witness import Witness;"
        "from quire.sim.history import history; from quire.sim.picture import convergence;"
        "from quire.sim.timeline import timeline; w = Witness(); simulate('two-peers', 3, None, w);"
        "h = history('two-peers', 3, w); print(convergence(h), timeline(h))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    ]
    assert found[0] == found[1]
    assert b"<svg" in found[0]
