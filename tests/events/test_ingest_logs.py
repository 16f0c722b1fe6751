"""Devices' logs as they arrive: unsigned, forged, forked, with holes, and out of time."""

from typing import Any

import pytest

from quire.core import canonical
from quire.core.encoding import to_text
from quire.events import home as home_module
from quire.events import ingest as ingest_module
from quire.events.append import append
from quire.events.home import Home
from quire.events.ingest import release_held
from quire.events.opening import open_stored
from quire.events.rebuild import rebuild
from quire.limits import MAX_CLOCK_AHEAD_MS, MAX_INTEGER
from quire.store import blobs as blobs_module
from quire.store.memberships import Membership
from tests.events.builders import (
    NOW,
    Author,
    Space,
    add_holder,
    bodies,
    digest,
    give,
    make_home,
    state_of,
    undone,
    waits,
)

SPACE = Space()


# --- Unsigned, and claims to others' logs -------------------------------------------------------------


def test_an_unsigned_event_waits_for_its_signed_successor(
    home: Home, alice: Membership, carol: Author
) -> None:
    first, second, third = carol.says(["1", "2", "3"])
    assert give(home, alice, second).blocked == 1
    assert give(home, alice, first).blocked == 1
    assert bodies(home, alice) == []
    assert waits(home, alice) == sorted((f"vouch {one.event_id}", one.event_id) for one in (first, second))
    assert give(home, alice, third).valid == 3
    assert bodies(home, alice) == ["1", "2", "3"]
    assert waits(home, alice) == []


def test_the_waiting_list_is_bounded(
    home: Home, alice: Membership, carol: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MAX_BLOCKED: more unsigned events than that are dropped, counted, and taken when they come again."""
    monkeypatch.setattr(ingest_module, "MAX_BLOCKED", 3)
    run = carol.says(str(number) for number in range(8))
    report = give(home, alice, *run[:-1])
    assert (report.blocked, report.rejected) == (3, {"waiting-list-full": 4})
    assert give(home, alice, run[0]).rejected in ({"waiting-list-full": 1}, {})
    assert home.store.waiting.count(alice.account, alice.space) == 3
    give(home, alice, run[-1])
    for _ in run:
        give(home, alice, *run)
    assert bodies(home, alice) == [str(number) for number in range(8)]


def test_forks_are_opened_once_for_all_that_stand_below_them(
    home: Home, alice: Membership, carol: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of many claims to one place would cost as much as there are forks above it."""
    opened: list[int] = []
    real = open_stored
    monkeypatch.setattr(
        ingest_module,
        "open_stored",
        lambda home, member, row: opened.append(row.n) or real(home, member, row),
    )
    fork = carol.draft("message", {"channel": "general"}, seq=9)
    claim = carol.draft("message", {"channel": "general"}, seq=8, prev=carol.introduce().event_id)
    below = [SPACE.made(canonical.encode({**claim, "body": str(number)})) for number in range(12)]
    above = [
        SPACE.made(carol.signed({**fork, "body": str(number), "prev": below[number].event_id}))
        for number in range(5)
    ]
    give(home, alice, *above)
    report = give(home, alice, *below)
    assert (report.valid, report.blocked) == (5, 7)
    assert len(opened) == len(above)


def test_claims_to_the_places_of_a_log_are_not_read_for_each_event_of_it(
    home: Home, alice: Membership, carol: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may make up as many as there is room for."""
    give(home, alice, *carol.says(str(n) for n in range(10)))
    run = carol.says(f"later {n}" for n in range(6))
    for seq in range(carol.seq - 8, carol.seq + 1):
        draft = carol.draft("message", {"channel": "general"}, seq=seq, prev=run[0].event_id)
        claims = [SPACE.made(canonical.encode({**draft, "body": f"claim {n}"})) for n in range(20)]
        assert give(home, alice, *claims).valid == 0
    read: list[int] = []
    real = blobs_module.BlobRow
    monkeypatch.setattr(blobs_module, "BlobRow", lambda *row: read.append(row[0]) or real(*row))
    for one in (run[3], run[4], run[0], run[2], run[1]):
        assert give(home, alice, one).blocked == 1
    assert give(home, alice, run[-1]).valid == 6
    assert len(read) < 60
    assert bodies(home, alice)[-6:] == [f"later {n}" for n in range(6)]


def test_what_is_genuine_at_a_place_is_found_without_reading_all_that_is_claimed_there(
    home: Home, alice: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []
    db = home.store.db
    real = db.execute

    def explained(sql: str, values: Any = ()) -> Any:
        plans.extend(str(row[3]) for row in real("EXPLAIN QUERY PLAN " + sql, values))
        return real(sql, values)

    monkeypatch.setattr(db, "execute", explained)
    home.store.blobs.at(alice.account, 1, 5)
    home.store.blobs.genuine_at(1, [5])
    assert sum("blobs_by_log (device=? AND seq=? AND genuine=?)" in plan for plan in plans) == 2


@pytest.mark.parametrize("kept_open", [0, 3, 1_000])
def test_events_that_wait_are_kept_open_within_bounds(
    home: Home, alice: Membership, carol: Author, monkeypatch: pytest.MonkeyPatch, kept_open: int
) -> None:
    """MAX_DOUBTFUL_OPEN: what does not fit is opened again from the store, with the same outcome."""
    monkeypatch.setattr(home_module, "MAX_DOUBTFUL_OPEN", kept_open)
    run = carol.says(str(number) for number in range(8))
    give(home, alice, *run[:-1])
    assert len(home.doubtful) == {0: 1, 3: 1, 1_000: 7}[kept_open]
    give(home, alice, run[-1])
    assert bodies(home, alice) == [str(number) for number in range(8)]
    assert home.doubtful == {}


@pytest.mark.parametrize("far", [0, 1, 10**9])
def test_claims_to_our_own_log_move_nothing(home: Home, alice: Membership, far: int) -> None:
    """Unsigned events in our name: never vouched for, never our head, whatever place they claim."""
    device = home.store.names.device_number(alice.space, alice.device)
    head = home.store.blobs.head(device)
    forger = Author(SPACE, "alice")
    forger.seq, forger.prev = head[0] + far, head[1]
    forged = [forger.say("not mine", sign=False), forger.say("nor this", sign=False)]
    report = give(home, alice, *forged)
    assert (report.valid, report.blocked) == (0, 2)
    assert home.store.blobs.head(device) == head
    for text in ("mine", "mine too"):
        append(home, alice, "message", [{"body": text, "channel": "general"}] * 2, NOW)
    assert bodies(home, alice) == ["mine", "mine", "mine too", "mine too"]
    assert home.store.blobs.head(device)[0] == head[0] + 4
    assert {state_of(home, alice, made) for made in forged} == {"blocked"}
    assert home.store.db.all("SELECT * FROM forks") == []


def test_claims_to_anothers_log_move_nothing(home: Home, alice: Membership, carol: Author) -> None:
    forger = Author(SPACE, "carol")
    forger.seq, forger.prev = carol.seq, carol.prev
    forged = [forger.say(f"forged {number}", sign=False) for number in range(3)]
    give(home, alice, *forged)
    true = [carol.say("true"), carol.say("true too"), carol.say("and the last")]
    assert give(home, alice, *true).valid == 3
    assert bodies(home, alice) == ["and the last", "true", "true too"]
    assert {state_of(home, alice, made) for made in forged} == {"blocked"}
    assert home.store.db.all("SELECT * FROM forks") == []
    forging = Author(SPACE, "carol")  # a broken signature does not help
    forging.seq, forging.prev = forger.seq, forger.prev
    draft = forging.draft("message", {"body": "vouching", "channel": "general"})
    bad = SPACE.made(Author(SPACE, "mallory").signed(draft))
    assert give(home, alice, bad).rejected == {"bad-signature": 1}
    assert {state_of(home, alice, made) for made in forged} == {"blocked"}


def test_another_device_cannot_vouch(home: Home, alice: Membership, carol: Author) -> None:
    mallory = Author(SPACE, "mallory")
    give(home, alice, mallory.introduce())
    forger = Author(SPACE, "carol")
    forger.seq, forger.prev = carol.seq, carol.prev
    forged = forger.say("forged", sign=False)
    mallory.seq, mallory.prev = forger.seq, forged.event_id
    citing = mallory.say("I cite another's event as my own")
    for batch in ([forged], [citing], [forged, citing], [citing, forged]):
        give(home, alice, *batch)
    assert state_of(home, alice, forged) == "blocked"
    assert bodies(home, alice) == ["I cite another's event as my own"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_successor_that_cites_the_wrong_place_vouches_for_nothing(order: int) -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    intro, called = carol.introduce(), carol.is_called()
    unsigned = carol.say("at 2", sign=False)
    carol.seq += 3
    late = carol.say("at 6, citing 2")
    give(home, alice, intro, called)
    for made in (unsigned, late)[::order]:
        give(home, alice, made)
    assert (state_of(home, alice, unsigned), state_of(home, alice, late)) == ("blocked", "valid")
    home.close()


# --- Holes, forks, and other shapes of a log ----------------------------------------------------------


def test_a_hole_in_a_log_is_no_obstacle(home: Home, alice: Membership, carol: Author) -> None:
    run = [carol.say(str(number)) for number in range(5)]
    give(home, alice, run[4], run[1])
    assert bodies(home, alice) == ["1", "4"]
    give(home, alice, run[0], run[3], run[2])
    assert bodies(home, alice) == ["0", "1", "2", "3", "4"]
    strange = carol.say("prev points to nothing", prev=to_text(digest("nothing")))
    assert give(home, alice, strange).valid == 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_a_fork_is_kept_and_noted_alike_everywhere(order: tuple[int, ...]) -> None:
    carol = Author(SPACE, "carol")
    intro = [carol.introduce(), carol.is_called()]
    seq, prev, ts = carol.seq, carol.prev, carol.ts
    left = [carol.say("left", sign=False), carol.say("left end")]
    carol.seq, carol.prev, carol.ts = seq, prev, ts
    right = [carol.say("right"), carol.say("right end")]
    home = make_home()
    alice = add_holder(home, SPACE, "alice")
    give(home, alice, *intro)
    for place in order:
        give(home, alice, (*left, *right)[place])
    assert bodies(home, alice) == ["left", "left end", "right", "right end"]
    assert home.store.db.all("SELECT seq FROM forks ORDER BY seq") == [(2,), (3,)]
    home.close()


def test_a_fork_is_noted_after_reopening_and_release(tmp_path: Any) -> None:
    """The head is read from the store, and not taken from what was vouched for last."""
    path = tmp_path / "quire.db"
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    intro, doubted = carol.introduce(), carol.is_called(sign=False)
    ahead = carol.say("ahead", ts=NOW + MAX_CLOCK_AHEAD_MS + 10)
    later = [carol.say("3"), carol.say("4"), carol.say("5")]
    give(home, alice, intro, doubted)
    give(home, alice, *later)
    home.close()
    home = make_home(path)
    alice = home.store.memberships.get(alice.account, alice.space)
    give(home, alice, ahead)
    release_held(home, alice, NOW + 60_000)
    device = home.store.names.device_number(alice.space, carol.id)
    assert home.store.blobs.head(device) == (5, later[-1].event_id)
    assert bodies(home, alice) == ["3", "4", "5", "ahead"]
    home.close()


def test_vouching_reads_the_head_from_the_store() -> None:
    """`mark_genuine` on a log whose head is not in memory must not take an old event for the head."""
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    intro, unsigned = carol.introduce(), carol.is_called(sign=False)
    later = [carol.say("2"), carol.say("3")]
    give(home, alice, intro, unsigned)
    give(home, alice, later[1])
    with undone(home.store.db):
        pass  # what was in memory is gone
    number, _ = home.store.blobs.known(alice.account, alice.space, [unsigned.event_id])[unsigned.event_id]
    row = home.store.blobs.read([number])[0]
    with home.store.transaction():
        home.store.blobs.mark_genuine([row])
    device = home.store.names.device_number(alice.space, carol.id)
    assert home.store.blobs.head(device) == (3, later[1].event_id)
    home.close()


def test_what_comes_back_from_others_is_ours(home: Home, alice: Membership) -> None:
    """After a loss (an old copy of the home), our own later events come back by sync, and we go on from there."""
    lost = Author(SPACE, "alice")
    device = home.store.names.device_number(alice.space, alice.device)
    lost.seq, lost.prev = home.store.blobs.head(device)
    lost.ts = NOW + 1_000
    give(home, alice, *lost.says(["lost", "and found"]))
    opened = append(home, alice, "message", [{"body": "new", "channel": "general"}], NOW)
    assert (opened[0].event.seq, opened[0].event.prev) == (lost.seq + 1, lost.prev)
    assert opened[0].event.ts >= lost.ts - 1
    assert bodies(home, alice) == ["and found", "lost", "new"]
    assert home.store.db.all("SELECT * FROM forks") == []


# --- Time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ts", [NOW + MAX_CLOCK_AHEAD_MS + 1, NOW * 2, MAX_INTEGER])
def test_a_timestamp_far_ahead_is_held(home: Home, alice: Membership, carol: Author, ts: int) -> None:
    ahead = carol.say("ahead", ts=ts)
    before = home.store.index(alice.account, alice.space).whole().count
    report = give(home, alice, ahead, carol.say("now"))
    assert (report.valid, report.blocked) == (1, 1)
    assert bodies(home, alice) == ["now"]
    assert home.clock(alice.account).last <= NOW + MAX_CLOCK_AHEAD_MS + 1, "our clock is not pulled along"
    index = home.store.index(alice.account, alice.space)
    assert index.whole().count == before + 2
    assert (ts, ahead.event_id) in [(at, to_text(raw)) for at, raw in index.page((0, b""), (2**53, b""), 10)]
    assert release_held(home, alice, ts - MAX_CLOCK_AHEAD_MS - 1).valid == 0
    assert release_held(home, alice, ts - MAX_CLOCK_AHEAD_MS).valid == 1
    assert bodies(home, alice) == ["ahead", "now"]
    assert waits(home, alice) == []


def test_the_edge_of_what_is_ahead(home: Home, alice: Membership, carol: Author) -> None:
    assert give(home, alice, carol.say("edge", ts=NOW + MAX_CLOCK_AHEAD_MS)).valid == 1
    assert append(home, alice, "message", [{"body": "after", "channel": "general"}], NOW)[0].event.ts == (
        NOW + MAX_CLOCK_AHEAD_MS + 1
    ), "what is written after another's event was seen sorts after it"


def test_a_timestamp_of_zero(home: Home, alice: Membership, carol: Author) -> None:
    assert give(home, alice, carol.say("epoch", ts=0)).valid == 1
    assert bodies(home, alice) == ["epoch"]


def test_our_own_words_are_shown_although_our_clock_was_set_back(home: Home, alice: Membership) -> None:
    day = 86_400_000
    for now, text in ((NOW + day, "tomorrow"), (NOW, "today")):
        append(home, alice, "message", [{"body": text, "channel": "general"}], now)
    assert bodies(home, alice) == ["today", "tomorrow"]
    rebuild(home, NOW)
    assert bodies(home, alice) == ["today", "tomorrow"]


def test_a_request_from_the_future_is_refused(home: Home, alice: Membership, carol: Author) -> None:
    body = {"to": alice.account_id, "count": 1, "fingerprint": "x"}
    ahead = carol.write("sync-peers", body, ts=NOW + MAX_CLOCK_AHEAD_MS + 1)
    assert give(home, alice, ahead).rejected == {"clock-ahead": 1}
    unsigned = carol.write("sync-peers", body, sign=False)
    assert give(home, alice, unsigned).rejected == {"bad-signature": 1}
    stranger = Author(SPACE, "stranger")
    assert give(home, alice, stranger.write("sync-peers", body)).rejected == {}, (
        "not introduced yet: not heard"
    )
    assert home.store.db.all("SELECT * FROM sync_requests") == []
