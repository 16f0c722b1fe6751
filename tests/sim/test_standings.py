"""The checker must see who is taken for what, and what those keep to who have heard that somebody is out."""

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from quire.sim import standings
from quire.sim.entitled import Truth, work_out
from quire.sim.ground import DONE
from quire.sim.scenario import People, Writing
from tests.sim.test_checker import SMALL, Finished, run_it

LEAVING = structs.replace(
    SMALL,
    people=People(count=3, join_within_s=1, leavers=1),
    writing=Writing(writes=60, within_s=30, at_once=25),
)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run in which somebody left, on device3 or device2."""
    run = run_it(tmp_path_factory.mktemp("left"), LEAVING)
    yield run
    for device in run.devices.values():
        device.stop()
    run.ground.close()


def _truth(run: Finished) -> tuple[Truth, str]:
    """What is true, and who left."""
    truth = work_out(run.ground)
    [gone] = truth.removed
    return truth, gone


def _said(run: Finished, look: Callable[..., Iterator[str]]) -> str:
    devices = list(run.devices.values())
    return "\n".join(look(work_out(run.ground), devices, devices))


def _undone(run: Finished, device: str, change: str, back: str, look: Callable[..., Iterator[str]]) -> str:
    """What is said while a store is changed by one statement, which another undoes."""
    run.sql(device, change)
    found = _said(run, look)
    run.sql(device, back)
    return found


def test_a_healthy_run_passes(left: Finished) -> None:
    assert left.judge() == ""
    truth, gone = _truth(left)
    assert truth.removed[gone].left
    assert any(w.writer == gone and w.texts[0].startswith("goodbye") and w.happened for w in truth.writes)
    assert any(w.writer != gone and w.at_ms > truth.removed[gone].at_ms and w.happened for w in truth.writes)


def test_another_opinion_of_who_is_in_is_seen(left: Finished) -> None:
    truth, gone = _truth(left)
    for device, said in (
        ("device1", f"takes {truth.names[gone]} for a member"),
        (truth.devices[gone], f"{truth.names[gone]} does not know that it left"),
    ):
        change, back = (f"UPDATE members SET role = {role} WHERE member = '{gone}'" for role in (3, 1))
        assert said in _undone(left, device, change, back, standings.disagreed_on)
    founder = truth.members[truth.removed[gone].space_id][0]
    change, back = (f"UPDATE members SET role = {role} WHERE member = '{founder}'" for role in (4, 5))
    staying = next(truth.devices[one] for one in truth.names if one not in (gone, founder))
    assert "knows of other roles than the founder" in _undone(
        left, staying, change, back, standings.disagreed_on
    )
    change = f"UPDATE members SET role = 0 WHERE member = '{founder}'"
    assert "takes ada for no member" in _undone(left, staying, change, back, standings.disagreed_on)


def test_writing_under_a_key_of_who_is_known_to_be_out_is_seen(left: Finished) -> None:
    truth, gone = _truth(left)
    assert _said(left, standings.careless) == ""
    late = next(
        w
        for w in reversed(truth.writes)
        if w.writer != gone and w.event_ids and w.at_ms > truth.removed[gone].at_ms + 5_000
    )
    home = left.devices[late.device].home
    where = f"WHERE event_id = '{late.event_ids[0]}'"
    (epoch, space), *_ = home.store.db.all(f"SELECT epoch, space FROM blobs {where}")
    change = f"UPDATE blobs SET epoch = (SELECT min(epoch) FROM blobs WHERE space = {space}) {where}"
    found = _undone(
        left, late.device, change, f"UPDATE blobs SET epoch = {epoch} {where}", standings.careless
    )
    assert f"wrote 1 messages under keys of {truth.names[gone]}, having heard" in found


def test_who_writes_where_it_has_left_is_seen(left: Finished) -> None:
    truth, gone = _truth(left)
    device, name = truth.devices[gone], truth.names[gone]
    detail = {"device": device, "space": "commons", "to": "#general", "texts": ["me again"]}
    written = left.ground.add(truth.removed[gone].at_ms + 1, name, "write", detail)
    done = left.ground.add(truth.removed[gone].at_ms + 1, name, DONE, {"of": written, "event_ids": []})
    found = _said(left, standings.careless)
    left.ground._db.execute("DELETE FROM sim_events WHERE n IN (?, ?)", (written, done)).fetchall()
    assert f"{name} wrote at" in found
    assert "when it had left" in found
