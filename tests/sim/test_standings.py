"""The checker must see who is taken for what, and what those keep to who have heard that somebody is out."""

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from quire.events.home import Home
from quire.sim import standings
from quire.sim.entitled import EXPIRED, LEFT, USED, Truth, work_out
from quire.sim.ground import DONE
from quire.sim.scenario import Faults, People, Writing
from tests.sim.test_checker import SMALL, Finished, run_it

LEAVING = structs.replace(
    SMALL,
    people=People(count=3, join_within_s=1, leavers=1),
    writing=Writing(writes=60, within_s=30, at_once=25),
)

CROWDED = structs.replace(
    SMALL,
    people=People(count=5, join_within_s=1, rivals=2, too_late=1),
    writing=Writing(writes=40, within_s=80),
    faults=Faults(parted_rivals=True),
)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run in which somebody left, on device3 or device2."""
    run = run_it(tmp_path_factory.mktemp("left"), LEAVING)
    yield run
    run.stop()


@pytest.fixture(scope="module")
def turned_away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run in which two came for one seat, on two sides of a divided network, and one too late."""
    run = run_it(tmp_path_factory.mktemp("turned-away"), CROWDED)
    yield run
    run.stop()


def _truth(run: Finished) -> tuple[Truth, str]:
    """What is true, and who left."""
    truth = work_out(run.ground)
    [gone] = truth.removed
    return truth, gone


def _said(run: Finished, look: Callable[..., Iterator[str]]) -> str:
    return "\n".join(look(run.case()))


def _undone(run: Finished, device: str, change: str, back: str, look: Callable[..., Iterator[str]]) -> str:
    """What is said while a store is changed by one statement, which another undoes."""
    run.sql(device, change)
    found = _said(run, look)
    run.sql(device, back)
    return found


def test_a_healthy_run_passes(left: Finished) -> None:
    assert left.judge() == ""
    truth, gone = _truth(left)
    assert truth.removed[gone].why == LEFT
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


def _who(run: Finished, why: str) -> tuple[str, str, Home]:
    """Key, name and home of the one who is out for a reason."""
    run.checker.expect()
    truth = run.checker._truth
    [key] = [one for one, gone in truth.removed.items() if gone.why == why]
    return key, truth.names[key], run.devices[truth.devices[key]].home


def _judged(run: Finished, device: str, change: str, back: str) -> str:
    """The whole verdict while a store is changed by one statement, which another undoes."""
    run.sql(device, change)
    run.devices[device].home.forget_graphs()
    looks = (standings.disagreed_on, standings.not_turned_away)
    found = "\n".join(said for look in looks for said in look(run.case(run.checker._truth)))
    run.sql(device, back)
    run.devices[device].home.forget_graphs()
    return found


def test_of_two_one_has_the_seat_and_nobody_comes_too_late(turned_away: Finished) -> None:
    assert turned_away.judge() == ""
    truth = turned_away.checker._truth
    [rivals] = truth.rivals
    assert rivals.seats == 1
    assert len(rivals.people) == 2
    assert sorted(gone.why for gone in truth.removed.values()) == [EXPIRED, USED]
    [winner] = set(rivals.people) - truth.removed.keys()
    assert any(w.happened and winner in w.seen_by for w in truth.writes)


def test_who_does_not_know_that_it_is_turned_away_is_seen(turned_away: Finished) -> None:
    _, late, home = _who(turned_away, EXPIRED)
    (account, reason), *_ = home.store.db.all("SELECT account, reason FROM joining")
    assert reason == EXPIRED
    change, back = (
        f"UPDATE joining SET reason = '{said}' WHERE account = {account}" for said in ("waiting", reason)
    )
    device = turned_away.checker._truth.devices[_who(turned_away, EXPIRED)[0]]
    assert f"{late} does not know that it is not let in" in _judged(turned_away, device, change, back)


def test_who_is_let_in_too_late_is_seen(turned_away: Finished) -> None:
    key, late, _ = _who(turned_away, EXPIRED)
    winner = next(
        one for one in turned_away.checker._truth.rivals[0].people if one != _who(turned_away, USED)[0]
    )
    swap = "UPDATE graph_events SET change = replace(change, '{}', '{}') WHERE change LIKE '[\"Admit\"%'"
    found = _judged(turned_away, "device1", swap.format(winner, key), swap.format(key, winner))
    assert f"{late} was let in by an invite that had expired" in found


def test_keys_and_messages_of_who_was_never_let_in_are_seen(turned_away: Finished) -> None:
    key, late, home = _who(turned_away, EXPIRED)
    truth = turned_away.checker._truth
    founder = turned_away.devices["device1"].home
    (boss,) = founder.store.memberships.all()
    (member,) = home.store.memberships.all()
    home.store.memberships.add_key(member, boss.epochs[boss.content][0], "later")
    found = _judged(turned_away, truth.devices[key], "SELECT 1", "SELECT 1")
    assert f"{late} was never let in and holds 1 keys" in found
    assert f"{late} on device3 was removed and holds 1 keys that were made later" in turned_away.judge()
    home.store.db.execute("DELETE FROM space_keys").fetchall()


def test_a_seat_too_many_is_seen(turned_away: Finished) -> None:
    loser, name, _ = _who(turned_away, USED)
    truth = turned_away.checker._truth
    insert = (
        "INSERT INTO members (account, space, member, role, since)"
        f" SELECT account, space, '{loser}', 3, since FROM members LIMIT 1"
    )
    turned_away.sql("device1", insert)
    turned_away.checker.expect()
    found = "\n".join(standings.not_turned_away(turned_away.case(turned_away.checker._truth)))
    turned_away.sql("device1", f"DELETE FROM members WHERE member = '{loser}'")
    turned_away.checker.expect()
    assert "an invite for 1 let in 2" in found
    assert truth.names[loser] == name
