from pathlib import Path
from typing import Any

import pytest

from quire.sim.device import Device
from quire.sim.entitled import work_out
from quire.sim.ground import CRASHED, DONE, REFUSED, GroundTruth
from quire.sim.world import PATIENCE_MS, TRY_AGAIN_MS, Stuck, World

ADA = {"device": "device1", "space": "commons"}


def world(folder: Path, *steps: tuple[int, str, str, dict[str, Any]]) -> tuple[World, GroundTruth, list[str]]:
    ground = GroundTruth()
    ground.add(0, "device1", "boot", {"host": "10.0.0.1"})
    ground.add(0, "ada", "found", ADA)
    for step in steps:
        ground.add(*step)
    restarted: list[str] = []
    return World(ground, folder, 1, "bloom", lambda device: restarted.append(device.name)), ground, restarted


def outcomes(ground: GroundTruth) -> dict[int, str]:
    return {of: event.action for of, event in ground.outcomes().items()}


def write(at: int, text: str, to: str = "#general") -> tuple[int, str, str, dict[str, object]]:
    return at, "ada", "write", ADA | {"to": to, "texts": [text]}


def test_what_came_of_the_plan_is_noted(tmp_path: Path) -> None:
    made, ground, _ = world(tmp_path, write(10, "one"), write(20, "two", "@nobody"))
    made.run(1_000)
    assert outcomes(ground) == {2: DONE, 3: DONE, 4: REFUSED}
    assert ground.outcomes()[4].detail["why"] == "not-found"
    assert ground.outcomes()[3].at_ms == 10
    made.stop()


def test_a_device_that_is_down_refuses_and_comes_back_with_what_it_held(tmp_path: Path) -> None:
    made, ground, restarted = world(
        tmp_path,
        write(10, "one"),
        (20, "device1", "crash", {"after_statements": 0}),
        write(20, "cut off"),
        write(30, "refused"),
        (40, "device1", "restart", {"host": "10.0.0.7"}),
        write(50, "two"),
    )
    made.run(1_000)
    assert outcomes(ground) == {2: DONE, 3: DONE, 4: CRASHED, 6: REFUSED, 8: DONE}
    assert restarted == ["device1"]
    device = made.devices["device1"]
    rows = device.home.store.db.all("SELECT body_text FROM message_index ORDER BY ts")
    assert rows == [("one",), ("two",)]
    assert device.node.addresses == ("10.0.0.7:7700",)
    made.stop()


def test_a_crash_that_never_came_comes_at_the_restart(tmp_path: Path) -> None:
    made, ground, _ = world(
        tmp_path,
        (20, "device1", "crash", {"after_statements": 10**6}),
        (40, "device1", "restart", {"host": "10.0.0.1"}),
    )
    made.run(1_000)
    assert ground.outcomes()[3].at_ms == 40
    assert made.devices["device1"].crashes == 1
    made.stop()


def test_a_device_that_never_starts_again_is_given_up_and_told_of(tmp_path: Path) -> None:
    made, ground, _ = world(
        tmp_path,
        (20, "device1", "crash", {"after_statements": 0}),
        write(20, "cut off"),
        (40, "device1", "restart", {"host": "10.0.0.1"}),
    )
    made.run(30)
    for name in ("quire.db", "quire.db-wal"):
        (tmp_path / "device1" / name).unlink(missing_ok=True)
    made.devices["device1"].database.write_bytes(b"no database" * 1_000)
    made.run(made.last_step + PATIENCE_MS)
    while made.now < made.last_step:
        made.run(made.last_step)
    assert made.last_step <= PATIENCE_MS + 40 + TRY_AGAIN_MS
    assert outcomes(ground)[5] == REFUSED
    (told,) = work_out(ground).shut_out
    assert told.startswith("device1 cannot start again: ")


def test_people_try_again_until_what_keeps_them_from_it_is_mended_and_not_for_ever(tmp_path: Path) -> None:
    late = 2 * PATIENCE_MS
    made, ground, _ = world(
        tmp_path,
        (0, "device2", "boot", {"host": "10.0.0.2"}),
        (10, "ben", "join", {"device": "device2", "space": "commons"}),
        (20, "cai", "join", {"device": "device2", "space": "commons"}),
        (late, "ada", "invite", ADA | {"guest": "ben"}),
    )
    made.run(late + 2 * PATIENCE_MS)
    assert outcomes(ground) == {2: DONE, 4: DONE, 5: REFUSED, 6: DONE}
    assert late <= ground.outcomes()[4].at_ms <= late + TRY_AGAIN_MS
    assert ground.outcomes()[5].at_ms < late + PATIENCE_MS + 2 * TRY_AGAIN_MS
    made.stop()


def test_a_node_that_is_busy_without_end_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _, _ = world(tmp_path)
    monkeypatch.setattr(Device, "pump", lambda *_: [])
    with pytest.raises(Stuck):
        made.run(1_000)
    made.stop()
