from pathlib import Path

import apsw
import pytest

from quire.core.encoding import from_text
from quire.core.event import Event
from quire.errors import QuireError
from quire.events.append import append, make_event
from quire.events.handler import Handler, Registry
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.rebuild import rebuild
from quire.handlers import REGISTRY
from quire.limits import MAX_EVENT_BYTES
from quire.store.database import Bindings, Row
from quire.store.memberships import Membership
from tests.events.builders import (
    MINUTE,
    NOW,
    Author,
    Space,
    add_holder,
    bodies,
    give,
    make_home,
    registry_with,
    undone,
    views,
    waits,
)

SPACE = Space()


class NoteEvent(Event):
    note: str


def note_handler(column: str = "note") -> Handler:
    return Handler(
        type="note",
        event=NoteEvent,
        tables=("note_rows",),
        schema=f"CREATE TABLE note_rows (account INTEGER, event INTEGER, {column} TEXT,"
        " PRIMARY KEY (account, event)) STRICT;\n",
        project=lambda view, batch: view.write(
            "INSERT OR IGNORE INTO note_rows VALUES (?, ?, ?)",
            [(o.account, o.number, o.event.note) for o in batch],
        ),
    )


def test_a_rollback_forgets_everything_that_was_learned_in_it() -> None:
    """Names, heads, numbers, waits, memberships, search and clocks: nothing outlives what was undone."""
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    append(home, alice, "peer", [{"pubkey": alice.account_id, "name": "alice"}], NOW)
    device = home.store.names.device_number(alice.space, alice.device)
    before = views(home, alice), home.store.blobs.head(device), home.clock(alice.account).last
    carol.ts = NOW + 4 * MINUTE
    made = [carol.introduce(), carol.say("a"), carol.say("unsigned", sign=False)]
    with undone(home.store.db):
        give(home, alice, *made)
        append(home, alice, "message", [{"body": "undone", "channel": "general"}], NOW)
        home.search.catch_up()
        assert home.clock(alice.account).last > before[2]
    assert (views(home, alice), home.store.blobs.head(device), home.clock(alice.account).last) == (
        before[0],
        before[1],
        before[2] + 1,  # set anew from what is held: the next one comes after it
    )
    assert home.store.names.known_device(alice.space, carol.id) is None
    assert home.search.indexed() == 0
    opened = append(home, alice, "message", [{"body": "kept", "channel": "general"}], NOW)
    assert (opened[0].event.seq, opened[0].event.prev) == (before[1][0] + 1, before[1][1])
    assert opened[0].event.ts < NOW + MINUTE
    assert give(home, alice, *made).valid == 2
    home.search.catch_up()
    assert bodies(home, alice) == ["a", "kept"]
    home.close()


def test_a_stopped_rebuild_is_not_forgotten(tmp_path: Path) -> None:
    """Views of another version are made anew at the next start, even if the first attempt never ended."""
    path = tmp_path / "quire.db"
    home = make_home(path, registry_with(note_handler()))
    assert not home.stale_views
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.write("note", {"note": "remember"}))
    home.close()
    newer = registry_with(note_handler("text"))
    for _ in range(2):
        home = make_home(path, newer)
        assert home.stale_views
        home.close()  # killed before the rebuild
    home = make_home(path, newer)
    rebuild(home, NOW)
    assert home.store.db.all("SELECT text FROM note_rows") == [("remember",)]
    assert not home.stale_views
    home.close()
    home = make_home(path, newer)
    assert not home.stale_views
    home.close()


def test_all_views_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    make_home(path).close()
    changed = Registry(
        tuple(
            Handler(
                **{**{f: getattr(h, f) for f in h.__dataclass_fields__}, "schema": h.schema + "-- newer\n"}
            )
            for h in REGISTRY.handlers
        )
    )
    home = make_home(path, changed)
    assert home.stale_views
    rebuild(home, NOW)
    home.close()


def test_a_failing_rebuild_leaves_the_old_views() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce(), *carol.says(["a", "b"]))
    before = views(home, alice)

    def stop(_: int) -> None:
        raise QuireError

    with pytest.raises(QuireError):
        rebuild(home, NOW, stop)
    assert views(home, alice) == before
    told: list[int] = []
    held = len(before["states"])
    assert rebuild(home, NOW, told.append).events == held
    assert told == [held]
    assert views(home, alice) == before
    home.close()


def _opened_again(path: Path) -> tuple[Home, Membership]:
    """A home of alice's that has heard of somebody three minutes ahead, and was closed since."""
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce(ts=NOW + 3 * MINUTE))
    home.close()
    home = make_home(path)
    return home, home.store.memberships.get(alice.account, alice.space)


def test_the_clock_goes_on_after_reopening(tmp_path: Path) -> None:
    home, alice = _opened_again(tmp_path / "quire.db")
    opened = append(home, alice, "peer", [{"pubkey": alice.account_id, "name": "a"}], NOW)
    assert opened[0].event.ts > NOW + 3 * MINUTE, "what was seen comes before what is written after"
    home.close()


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_the_clock_is_read_again_where_the_disk_failed_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    home, alice = _opened_again(tmp_path / "quire.db")
    real, left = home.store.db.all, [reads]

    def failing(sql: str, bindings: Bindings = ()) -> list[Row]:
        if not left[0]:
            raise apsw.IOError("bad sector")
        left[0] -= 1
        return real(sql, bindings)

    with monkeypatch.context() as patch:
        patch.setattr(home.store.db, "all", failing)
        with pytest.raises(apsw.IOError):
            home.clock(alice.account)
    assert home.clock(alice.account).last > NOW + 3 * MINUTE
    home.close()


def _say(home: Home, member: Membership, now: int) -> int:
    """Write something; its timestamp."""
    opened = append(home, member, "message", [{"body": str(now), "channel": "general"}], now)
    return int(opened[0].event.ts)


def test_the_clock_remembers_what_was_written_before_one_heard_of_its_own_admission() -> None:
    """Else, when a clock is set back, a log would be read in another order than it was written in."""
    home = make_home()
    alice = add_holder(home, SPACE, "alice", let_in=False)
    first = _say(home, alice, NOW + MINUTE)
    assert [need for need, _ in waits(home, alice)] == [f"device {alice.device}"]
    with undone(home.store.db):
        _say(home, alice, NOW)
    assert _say(home, alice, NOW) >= first
    home.close()


def test_the_clock_follows_what_comes_back_of_ones_own_log_and_waits() -> None:
    home = make_home()
    alice, lost = add_holder(home, SPACE, "alice", let_in=False), Author(SPACE, "alice")
    lost.ts = NOW + 2 * MINUTE
    give(home, alice, lost.say("of no genuine successor: anybody may have made it", sign=False))
    assert _say(home, alice, NOW) == NOW
    lost.ts = NOW + MINUTE
    assert give(home, alice, lost.say("written before the loss")).blocked == 1
    assert _say(home, alice, NOW) >= NOW + MINUTE
    home.close()


def test_the_clock_remembers_that_it_was_set_right(tmp_path: Path) -> None:
    """What was written while it was far ahead does not hide what was written since."""
    home = make_home(tmp_path / "quire.db")
    alice = add_holder(home, SPACE, "alice")
    _say(home, alice, NOW + 24 * 60 * MINUTE)
    since = _say(home, alice, NOW)
    assert since < NOW + MINUTE
    home.close()
    home = make_home(tmp_path / "quire.db")
    assert _say(home, home.store.memberships.get(alice.account, alice.space), NOW - MINUTE) >= since
    home.close()


def test_append_makes_one_log() -> None:
    home = make_home()
    alice = add_holder(home, SPACE, "alice")
    first = append(home, alice, "peer", [{"pubkey": alice.account_id, "name": "alice"}], NOW)
    run = append(home, alice, "message", [{"body": str(n), "channel": "general"} for n in range(3)], NOW + 1)
    assert append(home, alice, "message", [], NOW) == []
    log = first + run
    assert [o.event.seq for o in log] == [1, 2, 3, 4]
    assert [o.event.prev for o in log] == [None, *(o.event_id for o in log[:-1])]
    assert [isinstance(o.event.sig, str) for o in log] == [True, False, False, True]
    index = home.store.index(alice.account, alice.space)
    other = make_home()
    bob = add_holder(other, SPACE, "bob")
    give(other, bob, Author(SPACE, "alice").introduce())
    report = ingest(other, bob, index.blobs([from_text(o.event_id) for o in log]), "alice", NOW)
    assert report.valid == 4
    other.close()
    home.close()


def test_an_event_that_is_too_large_is_refused_and_leaves_nothing() -> None:
    home = make_home()
    alice = add_holder(home, SPACE, "alice")
    append(home, alice, "peer", [{"pubkey": alice.account_id, "name": "alice"}], NOW)
    before = views(home, alice)
    with pytest.raises(QuireError, match="too long"):
        append(home, alice, "message", [{"body": "ok"}, {"body": "x" * MAX_EVENT_BYTES}], NOW)
    assert views(home, alice) == before
    assert append(home, alice, "message", [{"body": "x", "channel": "c"}], NOW)[0].event.seq == 2
    with pytest.raises(ValueError, match="no events"):
        make_event(REGISTRY.get("outgoing"), NOW, alice.account_id, 1, None, {})
    with pytest.raises(KeyError):
        REGISTRY.get("nothing")
    home.close()
