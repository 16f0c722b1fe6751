"""The checker must see what is wrong: each mutation here breaks a healthy run in one way."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from msgspec import structs

from quire.events.home import Home
from quire.events.ingest import ingest
from quire.sim import checker as checker_module
from quire.sim import laws
from quire.sim.case import Case
from quire.sim.checker import MAX_TOLD, Checker
from quire.sim.device import Device
from quire.sim.entitled import Truth, work_out
from quire.sim.ground import DONE, DOWN, REFUSED, GroundTruth
from quire.sim.notes import Notes
from quire.sim.scenario import People, Scenario, Writing
from quire.sim.workload import write_plan
from quire.sim.world import World

SMALL = Scenario(
    about="x",
    settle_s=30,
    people=People(count=3, join_within_s=1),
    writing=Writing(writes=40, within_s=4, direct=0.4, at_once=25),
)


class Finished(NamedTuple):
    """A run that went well."""

    ground: GroundTruth
    checker: Checker
    devices: dict[str, Device]

    def judge(self) -> str:
        self.checker.expect()
        return "\n".join(self.checker.judge())

    def sql(self, device: str, *statements: str) -> None:
        for statement in statements:
            self.devices[device].home.store.db.execute(statement).fetchall()

    def case(self, truth: Truth | None = None) -> Case:
        devices = list(self.devices.values())
        return Case(truth or work_out(self.ground), {}, devices, devices, Notes())

    def stop(self) -> None:
        for device in self.devices.values():
            device.stop()
        self.ground.close()


def run_it(folder: Path, scenario: Scenario = SMALL) -> Finished:
    ground = GroundTruth()
    write_plan(ground, scenario, 1)
    world = World(ground, folder, 1, "bloom", lambda _: None)
    checker = Checker(ground, world.devices)
    world.run(world.last_step + 500)
    checker.expect()
    while not all(checker.settled(device) for device in world.devices.values()):
        world.run(world.now + 500)
    return Finished(ground, checker, world.devices)


def copy(source: apsw.Connection, target: apsw.Connection) -> None:
    with target.backup("main", source, "main") as backup:
        backup.step()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    run = run_it(tmp_path_factory.mktemp("run"))
    yield run
    run.stop()


@pytest.fixture
def finished(untouched: Finished) -> Iterator[Finished]:
    """The one run, put right again after each test."""
    live = [untouched.ground._db, *(device.home.store.db for device in untouched.devices.values())]
    saved = [apsw.Connection(":memory:") for _ in live]
    for db, kept in zip(live, saved, strict=True):
        copy(db.connection, kept)
    yield Finished(untouched.ground, Checker(untouched.ground, untouched.devices), untouched.devices)
    for db, kept in zip(live, saved, strict=True):
        copy(kept, db.connection)
        kept.close()
    for device in untouched.devices.values():
        device.troubles.clear()
        device.home.forget_graphs()
        device.home.search._forget()


def test_a_healthy_run_passes(finished: Finished) -> None:
    assert finished.judge() == ""
    assert all(finished.checker.settled(device) for device in finished.devices.values())


FOREIGN = (
    "(SELECT m.n FROM message_rows AS m JOIN devices AS d ON d.n = m.sender WHERE d.device <> (SELECT device"
)
ONE_FOREIGN = f"{FOREIGN} FROM device_keys) LIMIT 1)"
ONE_OWN = ONE_FOREIGN.replace("<>", "=")
FRESH_FOREIGN = ONE_FOREIGN.replace(
    " LIMIT", " AND m.event IN (SELECT event FROM arrivals WHERE NOT counted) LIMIT"
)
LAST_OF_MANY = (
    "(SELECT n FROM message_rows WHERE sender = (SELECT sender FROM message_rows GROUP BY sender ORDER BY count(*) DESC"
    " LIMIT 1) ORDER BY ts DESC LIMIT 1)"
)
LAST_OWN = (
    "(SELECT max(b.n) FROM blobs AS b JOIN devices AS d ON d.n = b.device JOIN device_keys AS k ON k.device = d.device"
    " JOIN arrivals AS r ON r.event = b.n AND NOT r.counted JOIN memberships AS m ON m.space = b.space"
    " WHERE m.kind <> 'home')"
)
FORGET = "DELETE FROM received WHERE event = (SELECT event FROM message_rows WHERE n = {})"
#: (account, space, channel, ts, seq, event, sender, body_text) with one column changed.
COPY = (
    "INSERT INTO message_rows (account, space, channel, ts, seq, event, sender, body_text)"
    " SELECT account, space, channel, ts, {seq}, event, sender, {body} FROM message_rows LIMIT 1"
)

BROKEN_STORES = {
    "a message is gone": (f"DELETE FROM message_rows WHERE n = {ONE_FOREIGN}", "lacks "),
    "a stranger's message": (COPY.format(seq="seq + 1000", body="'hello'"), "sees 'hello' without right"),
    "a message twice": (COPY.format(seq="seq + 1000", body="body_text"), "twice"),
    "a message altered": (
        f"UPDATE message_rows SET body_text = 'x' WHERE n = {ONE_FOREIGN}",
        "sees 'x' without right",
    ),
    "an event is gone": (FORGET.format(ONE_FOREIGN), "holds other events than"),
    "an own event is gone": (FORGET.format(ONE_OWN), "lost what was acknowledged"),
    "an event is blocked": ("UPDATE received SET state = 1", "events that are not valid"),
    "another order": (f"UPDATE message_rows SET ts = 1 WHERE n = {LAST_OF_MANY}", "another order"),
    "something refused": ("INSERT INTO rejections VALUES (1, 'x', 'bad-signature', 3, 1)", "refused 3 honest"),
    "a view is wrong": ("DELETE FROM graph_events WHERE place = 1", "other views after a rebuild"),
    "a view depends on order": ("DELETE FROM graph_events WHERE place = 1", "had the events come"),
    "a conversation of others": (
        "INSERT INTO audience_keys SELECT g.account, g.space, g.event_id, 'x', x'00' FROM graph_events AS g"
        " JOIN accounts AS a ON a.n = g.account WHERE g.change LIKE '%OpenAudience%'"
        " AND g.change NOT LIKE '%' || a.account_id || '%' LIMIT 1",
        "holds 1 keys of conversations of others",
    ),
    "an event of tomorrow": (
        f"UPDATE received SET received_ts = 1 WHERE event = (SELECT event FROM message_rows WHERE n = {FRESH_FOREIGN})",
        "let in 1 events that were dated too far ahead",
    ),
    "no key came": (
        "INSERT INTO locked SELECT account, space, x'00', x'00', x'00', 'x' FROM memberships WHERE kind <> 'home'",
        "was given 1 events that it has no key for",
    ),
    "a view too many": ("UPDATE graph_events SET counts = 1 - counts", "had the events come"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_STORES)
def test_a_broken_store_is_seen(name: str, finished: Finished) -> None:
    statement, told = BROKEN_STORES[name]
    finished.sql("device2", statement)
    assert told in finished.judge()


#: Of the founder's own log.
BROKEN_LOGS = {
    "a nonce twice": (
        "UPDATE blobs SET sealed = unhex((SELECT hex(substr(sealed, 1, 24)) FROM blobs WHERE n = {last})"
        " || hex(substr(sealed, 25))) WHERE device = (SELECT device FROM blobs WHERE n = {last})"
        " AND epoch = (SELECT epoch FROM blobs WHERE n = {last})",
        "with 1 nonces that were used before",
    ),
    "a fork": ("UPDATE blobs SET seq = seq - 1 WHERE n = {last}", "holds 1 forks and does not know of them"),
    "a gap": ("UPDATE blobs SET seq = seq + 1 WHERE n = {last}", "left places of its own log free"),
    "an effect before its cause": ("UPDATE blobs SET ts = 1 WHERE n = {last}", "dated 1 events before others"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_LOGS)
def test_a_broken_log_is_seen(name: str, finished: Finished) -> None:
    statement, told = BROKEN_LOGS[name]
    finished.sql("device1", statement.format(last=LAST_OWN))
    assert told in "\n".join(laws.broken(finished.case()))


@pytest.mark.parametrize("told", [-1, 1])
def test_a_node_that_does_not_tell_what_arrived_is_seen(told: int, finished: Finished) -> None:
    device = finished.devices["device2"]
    device.cursor += told
    found = finished.judge()
    device.cursor -= told
    assert f"device2 has told of arrivals up to {device.cursor + told}, there are {device.cursor}" in found


def test_what_is_gone_everywhere_is_seen(finished: Finished) -> None:
    writes = work_out(finished.ground).writes
    text = next(write.texts[0] for write in writes if write.happened and len(write.seen_by) > 1)
    for device in finished.devices.values():
        device.home.store.db.execute("DELETE FROM message_rows WHERE body_text = ?", (text,))
    assert finished.judge().count("lacks") >= 2


def test_a_direct_message_that_a_third_sees_is_seen(finished: Finished) -> None:
    truth = work_out(finished.ground)
    write = next(w for w in truth.writes if w.happened and set(w.seen_by) < set(truth.names))
    third = next(key for key in truth.names if key not in write.seen_by)
    home = finished.devices[truth.devices[third]].home
    home.store.db.execute(
        "INSERT INTO message_rows (account, space, channel, ts, seq, event, sender, body_text)"
        " SELECT account, space, 1, ts, 999, event, sender, ? FROM message_rows LIMIT 1",
        (write.texts[0],),
    )
    assert "without right or reason" in finished.judge()


def _planned(finished: Finished) -> dict[str, object]:
    """The details of a write that somebody on device2 could make."""
    event = next(e for e in finished.ground.plan() if e.action == "write" and e.detail["device"] == "device2")
    return event.detail | {"to": "#general", "texts": ["new one", "new two"], "actor": event.actor}


def _unwritten(finished: Finished) -> None:
    detail = _planned(finished)
    n = finished.ground.add(4_000, str(detail["actor"]), "write", detail)
    finished.ground.add(4_000, "x", DONE, {"of": n, "event_ids": ["x", "y"]})


def _refused(finished: Finished) -> None:
    detail = _planned(finished)
    n = finished.ground.add(4_000, str(detail["actor"]), "write", detail)
    finished.ground.add(4_000, "x", REFUSED, {"of": n, "why": "bad-request", "words": "no"})


def _unknown_again(finished: Finished) -> None:
    detail = _planned(finished)
    for outcome, told in ((DONE, {"event_ids": []}), (REFUSED, {"why": "not-found", "words": "no"})):
        n = finished.ground.add(4_000, str(detail["actor"]), "write", detail)
        finished.ground.add(4_000, "x", outcome, {"of": n, **told})


def _idle(finished: Finished) -> None:
    detail = _planned(finished)
    for _ in range(1_000):
        n = finished.ground.add(4_000, str(detail["actor"]), "write", detail)
        finished.ground.add(4_000, "x", REFUSED, {"of": n, "why": DOWN, "words": "the device is down"})


def _broken_down(finished: Finished) -> None:
    n = finished.ground.add(4_000, "device2", "restart", {"host": "10.0.0.2"})
    finished.ground.add(
        4_000, "device2", REFUSED, {"of": n, "why": "damaged", "words": "its file is no database"}
    )


def _torn(finished: Finished) -> None:
    detail = _planned(finished)
    finished.ground.add(4_000, str(detail["actor"]), "write", detail)
    finished.sql(
        "device2",
        "INSERT INTO channel_rows (n, account, space, channel_id, kind)"
        " SELECT 99, 1, space, 'general', 'public' FROM channel_rows WHERE channel_id <> 'general' LIMIT 1"
        " ON CONFLICT DO NOTHING",
        "INSERT INTO message_rows (account, space, channel, ts, seq, event, sender, body_text)"
        " SELECT m.account, m.space, c.n, ts, 999, event, sender, 'new one' FROM message_rows AS m"
        f" JOIN channel_rows AS c ON c.channel_id = 'general' WHERE m.n = {ONE_OWN}",
    )


def _shut_out(finished: Finished) -> None:
    finished.ground.add(4_000, "zoe", "join", {"device": "device1", "space": "commons"})


def _in_trouble(finished: Finished) -> None:
    finished.devices["device3"].troubles.append("the disk is full")


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (_unwritten, "lost what was acknowledged"),
        (_unwritten, "lacks 'new one'"),
        (_refused, "was refused: bad-request"),
        (_unknown_again, "was refused: not-found"),
        (_idle, "messages were written"),
        (_broken_down, "device2 cannot start again: its file is no database"),
        (_torn, "holds a part of what was written at once"),
        (_shut_out, "zoe could not join"),
        (_in_trouble, "was in trouble: the disk is full"),
    ],
)
def test_a_broken_world_is_seen(break_it: Callable[[Finished], None], told: str, finished: Finished) -> None:
    break_it(finished)
    assert told in finished.judge()


def test_a_write_cut_off_by_a_crash_may_be_there_or_not_but_the_same_for_all(finished: Finished) -> None:
    detail = _planned(finished)
    finished.ground.add(4_000, str(detail["actor"]), "write", detail)
    assert finished.judge() == ""


def test_losses_are_seen_at_the_restart_already(finished: Finished) -> None:
    device = finished.devices["device2"]
    finished.checker.check_restart(device)
    assert finished.checker.lost == []
    finished.sql("device2", FORGET.format(ONE_OWN))
    finished.checker.check_restart(device)
    assert "after a restart" in finished.checker.lost[0]


def test_faults_of_one_kind_are_told_in_a_bounded_number(finished: Finished) -> None:
    finished.sql("device2", "DELETE FROM message_rows")
    lines = finished.judge().splitlines()
    assert sum("lacks" in line for line in lines) == MAX_TOLD
    assert any("more of this kind" in line for line in lines)


@pytest.mark.slow
def test_removed_people_who_know_more_are_seen(tmp_path: Path) -> None:
    people = People(count=3, join_within_s=1, removals=1)
    run = run_it(
        tmp_path, structs.replace(SMALL, people=people, writing=Writing(writes=60, within_s=30, at_once=25))
    )
    assert run.judge() == ""
    truth = work_out(run.ground)
    [(removed, gone)] = truth.removed.items()
    founders, theirs = (run.devices[truth.devices[who]].home for who in (gone.by, removed))
    later = next(
        w
        for w in truth.writes
        if w.writer == gone.by and w.at_ms > gone.at_ms and w.event_ids and "general" in w.seen_by.values()
    )
    (member,), (boss,) = theirs.store.memberships.all(), founders.store.memberships.all()
    blob = founders.store.db.one("SELECT sealed FROM blobs WHERE event_id = ?", (later.event_ids[0],))
    assert blob is not None
    record = founders.store.names.key_id(boss.content) + blob[0]
    ingest(theirs, member, [record], boss.device, 1 << 42)
    assert "was removed and given 1 events afterwards by who removed it" in run.judge()
    theirs.store.memberships.add_key(member, boss.epochs[boss.content][0], "later")
    assert "was removed and holds 1 keys that were made later" in run.judge()
    ingest(theirs, theirs.store.memberships.get(member.account, member.space), [record], "x", 1 << 42)
    assert "was removed and sees 1 messages under later keys" in run.judge()
    assert "was removed and handed 1 keys by who knew of it" in _handed_a_key(run, removed)
    assert "is under an old key" in _under_old_key(run, later.event_ids[0])
    run.stop()


def _handed_a_key(run: Finished, removed: str) -> str:
    """The verdict when the key that was made at the removal is wrapped to who was removed as well."""
    truth, home = work_out(run.ground), run.devices["device1"].home
    [device] = [key for key, owner in truth.owners.items() if owner == removed]
    home.store.db.execute(
        "UPDATE graph_events SET change = json_insert(change, '$[4][#]', ?) WHERE place = (SELECT max(place)"
        ' FROM graph_events WHERE change LIKE \'["NewKey","",%\')',
        (device,),
    ).fetchall()
    home.forget_graphs()
    return "\n".join(checker_module._removed_know_more(run.case()))


def _under_old_key(run: Finished, event_id: str) -> str:
    """The verdict when the remover's write is sealed under a key that was there before."""
    home = run.devices["device1"].home
    home.store.db.execute(
        "UPDATE blobs SET epoch = (SELECT min(epoch) FROM blobs WHERE space ="
        " (SELECT space FROM blobs WHERE event_id = ?1)) WHERE event_id = ?1",
        (event_id,),
    )
    return "\n".join(checker_module._removed_know_more(run.case()))


def test_a_device_that_met_nobody_is_seen(tmp_path: Path) -> None:
    run = run_it(tmp_path)
    run.devices["device3"].crash()
    run.devices["device3"].start(30_000)
    assert "device3 is not connected to device1" in run.judge()
    run.stop()


def test_what_is_forged_is_seen_where_it_is_shown(finished: Finished) -> None:
    device = finished.devices["device2"]
    shown = device.home.store.db.all("SELECT body_text FROM message_index LIMIT 1")[0][0]
    lie = finished.ground.add(1, "device3", "lie", {"how": "forge"})
    finished.ground.add(2, "device3", DONE, {"of": lie, "event_ids": [], "texts": [shown]})
    assert "which is forged" in finished.judge()


def make_liar(finished: Finished, device: str) -> str:
    """The identity that is a liar from now on."""
    finished.ground._db.execute(
        "UPDATE sim_events SET detail_json = json_set(detail_json, '$.lying', json('true'))"
        " WHERE action = 'boot' AND actor = ?",
        (device,),
    ).fetchall()
    return next(iter(work_out(finished.ground).liars))


def test_of_liars_nothing_is_asked(finished: Finished) -> None:
    make_liar(finished, "device3")
    finished.sql("device3", "DELETE FROM message_rows", "DELETE FROM received")
    assert finished.judge() == ""
    assert finished.checker.settled(finished.devices["device3"])


def test_all_others_have_to_agree_on_what_liars_wrote(finished: Finished) -> None:
    liar = make_liar(finished, "device3")
    finished.sql(
        "device2",
        "DELETE FROM message_rows WHERE event = (SELECT b.n FROM blobs AS b JOIN message_index AS i USING (event_id)"
        f" WHERE i.sender = '{liar}' AND i.channel_id = 'general' LIMIT 1)",
    )
    finished.checker.expect()
    assert not finished.checker.settled(finished.devices["device2"])
    assert "sees other messages by liars" in finished.judge()


def test_another_verdict_on_a_fork_is_seen(finished: Finished) -> None:
    make_liar(finished, "device3")
    liar = finished.devices["device3"].home.store.memberships.all()[0].device
    # All events of its log in one place.
    finished.sql(
        "device2",
        f"UPDATE blobs SET seq = 7 WHERE device = (SELECT n FROM devices WHERE device = '{liar}')",
        f"INSERT INTO forks SELECT n, 7 FROM devices WHERE device = '{liar}'",
    )
    assert "knows of other forks" in finished.judge()


def test_a_node_that_says_too_much_is_seen(finished: Finished) -> None:
    device = finished.devices["device2"]
    for count in ("datagrams_sent", "bytes_sent"):
        before = getattr(device, count)
        setattr(device, count, 100 * before)
        assert f"device2 sent {100 * before:,} {count.removesuffix('_sent')}" in finished.judge()
        setattr(device, count, before)


def test_a_node_whose_memory_grows_is_seen_even_if_it_shrinks_again(finished: Finished) -> None:
    noted = finished.devices["device2"].home.noted
    for number in range(5_000):
        noted["leak", number] = b"x" * 50
    finished.checker.watch()
    noted.clear()
    told = finished.judge()
    assert "device2 keeps" in told
    assert told.count("keeps") == 1


def test_notes_are_taken_anew_when_a_store_changes(finished: Finished) -> None:
    notes, device = Notes(), finished.devices["device2"]
    asked: list[str] = []

    def look(home: Home, what: str) -> int:
        asked.append(what)
        return len(home.store.db.all("SELECT 1 FROM message_index"))

    before = notes.of(device, look, "a")
    assert notes.of(device, look, "a") == before
    notes.of(finished.devices["device1"], look, "a")
    notes.of(device, look, "b")
    assert asked == ["a", "a", "b"]
    finished.sql("device2", "DELETE FROM message_rows WHERE event = (SELECT max(event) FROM message_rows)")
    assert notes.of(device, look, "a") == before - 1
