from pathlib import Path

from quire.core.encoding import from_text, to_text
from quire.events.append import append
from quire.limits import EVENTS_AT_HAND
from quire.store.blobs import as_run
from tests.events.builders import NOW, Author, Space, add_holder, give, make_home, undone

SPACE = Space()


def test_numbers_go_on_after_reopening_and_after_a_rollback(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    home = make_home(path)
    assert home.store.blobs.take_numbers(3) == range(1, 4)
    assert home.store.blobs.take_numbers(0) == range(4, 4)
    with undone(home.store.db):
        home.store.blobs.take_numbers(5)
    assert home.store.blobs.take_numbers(1) == range(1, 2), "numbers of nothing are given again"
    alice = add_holder(home, SPACE, "alice", let_in=False)
    home.store.blobs._forget()
    give(home, alice, *(Author(SPACE, name).introduce() for name in "abc"))
    home.close()
    home = make_home(path)
    assert home.store.blobs.take_numbers(2) == range(4, 6)
    home.close()


def test_heads_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    run = [carol.is_called(), *carol.says(["a", "b"])]
    forged = Author(SPACE, "carol")
    forged.seq, forged.prev = 10, run[0].event_id
    give(home, alice, *run[::-1], forged.say("no head", sign=False))
    device = home.store.names.device_number(alice.space, carol.id)
    assert home.store.blobs.head(device) == (3, run[2].event_id)
    assert home.store.blobs.head(device + 100) == (0, None)
    home.close()
    home = make_home(path)
    assert home.store.blobs.head(device) == (3, run[2].event_id)
    home.close()


def test_ids_that_share_their_beginning_are_told_apart() -> None:
    """The index knows 66 bits of an id; what it finds is compared as a whole."""
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    made = carol.introduce()
    give(home, alice, made)
    near = made.event_id[:11] + made.event_id[11:][::-1]
    assert near != made.event_id
    assert set(home.store.blobs.known(alice.account, alice.space, [near, made.event_id])) == {made.event_id}
    home.close()


def test_arrivals_are_in_order_and_each_identitys_own() -> None:
    home = make_home()
    alice, bob = add_holder(home, SPACE, "alice"), add_holder(home, SPACE, "bob")
    carol, before = Author(SPACE, "carol"), home.store.blobs.last_cursor()
    run = [carol.introduce(), carol.say("a"), carol.say("b")]
    give(home, alice, run[1])
    give(home, alice, run[0])
    give(home, bob, *run)
    give(home, alice, run[2])
    own = append(home, alice, "peer", [{"pubkey": alice.account_id, "name": "alice"}], NOW)[0]
    arrived = home.store.blobs.arrived_after(alice.account, before, 100)
    assert [row.event_id for _, row in arrived] == [
        run[0].event_id,
        run[1].event_id,
        run[2].event_id,
        own.event_id,
    ]
    cursors = [cursor for cursor, _ in arrived]
    assert cursors == sorted(cursors)
    assert home.store.blobs.last_cursor() == cursors[-1]
    assert home.store.blobs.arrived_after(alice.account, cursors[1], 1) == [arrived[2]]
    assert home.store.blobs.arrivals_by_own_devices(0) == [(alice.account, alice.space, own.event_id)]
    assert home.store.blobs.arrivals_by_own_devices(cursors[-1]) == []
    home.close()


def test_held_after_gives_pages() -> None:
    home = make_home()
    alice, bob = add_holder(home, SPACE, "alice", let_in=False), add_holder(home, SPACE, "bob")
    carol = Author(SPACE, "carol")
    give(home, bob, carol.introduce())
    run = carol.says(str(number) for number in range(7))
    give(home, alice, *run)
    found, after = [], 0
    while page := home.store.blobs.held_after(alice.account, alice.space, after, 3):
        assert len(page) <= 3
        found += [row.event_id for row, _ in page]
        after = page[-1][0].n
    assert sorted(found) == sorted(one.event_id for one in run)
    home.close()


def test_runs_of_numbers() -> None:
    assert as_run(list(range(5, 40))) == range(5, 40)
    assert as_run([*range(5, 20), 19, *range(21, 40)]) is None
    assert as_run(list(range(40, 5, -1))) is None
    assert as_run([1, 2, 3]) is None, "for few one statement each is as good"
    assert as_run([]) is None


def test_what_is_held_at_once_is_held_as_one_by_one() -> None:
    """A long batch takes the way of one statement, a short one that of a statement for each."""
    found = []
    for size in (40, 7):
        home = make_home()
        alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
        give(home, alice, carol.introduce())
        run = [carol.say(f"{n}") for n in range(40)]
        for start in range(0, 40, size):
            give(home, alice, *run[start : start + size])
        held = "SELECT account, space, ts, state, received_ts FROM received ORDER BY ts, event"
        came = (
            "SELECT r.account, b.event_id, r.counted FROM arrivals AS r JOIN blobs AS b ON b.n = r.event"
            " ORDER BY cursor"
        )
        found.append([home.store.db.all(held), home.store.db.all(came)])
        home.close()
    assert found[0] == found[1]
    assert len(found[0][0]) > 40


def test_places_of_a_log_with_something_genuine() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    run = [carol.say("a"), carol.say("b", sign=False), carol.say("c"), carol.say("d", sign=False)]
    give(home, alice, carol.introduce(), run[0], run[2], run[3])
    device = home.store.names.known_device(alice.space, to_text(carol.key.public))
    assert device is not None
    assert home.store.blobs.genuine_at(device, [1, 2, 3, 4, 5]) == {1, 3}
    home.close()


def test_lone_events_are_at_hand_for_whoever_holds_them_and_for_nobody_else() -> None:
    home = make_home()
    alice, bob = add_holder(home, SPACE, "alice"), add_holder(home, SPACE, "bob")
    carol, blobs = Author(SPACE, "carol"), home.store.blobs
    give(home, alice, carol.introduce())
    give(home, alice, carol.say("first"))
    made = carol.say("hello")
    give(home, alice, made)
    kept = blobs.at_hand(alice.account, alice.space, made.event_id)
    assert kept is not None
    assert kept == blobs.read([kept.n])[0]
    assert blobs.at_hand(bob.account, bob.space, made.event_id) is None
    assert blobs.at_hand(alice.account, alice.space + 1, made.event_id) is None
    index = home.store.index(alice.account, alice.space)
    closed = home.store.index(alice.account, alice.space, lambda: frozenset([kept.epoch]))
    raw = from_text(made.event_id)
    record = home.store.names.key_id(kept.epoch) + kept.sealed
    assert (index.blobs([raw]), closed.blobs([raw])) == ([record], [])
    with undone(home.store.db):
        undone_one = carol.say("never")
        give(home, alice, undone_one)
        assert blobs.at_hand(alice.account, alice.space, undone_one.event_id) is not None
    assert blobs.at_hand(alice.account, alice.space, undone_one.event_id) is None
    assert index.blobs([raw]) == [record], "read again"
    home.close()


def test_few_events_are_kept_at_hand() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    made = [carol.say(f"message {n}") for n in range(2 * EVENTS_AT_HAND)]
    for one in made:
        give(home, alice, one)
    at_hand = [home.store.blobs.at_hand(alice.account, alice.space, one.event_id) for one in made]
    assert at_hand[-1] is not None
    assert 0 < sum(one is not None for one in at_hand) <= EVENTS_AT_HAND
    home.close()


def test_damaged_bytes_are_not_at_hand_any_more() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    made = carol.say("hello")
    give(home, alice, made)
    row = home.store.blobs.at_hand(alice.account, alice.space, made.event_id)
    assert row is not None
    with home.store.transaction():
        home.store.blobs.set_aside(alice.account, [row])
    assert home.store.blobs.at_hand(alice.account, alice.space, made.event_id) is None
    assert home.store.index(alice.account, alice.space).blobs([from_text(made.event_id)]) == []
    home.close()


def test_the_top_of_a_log_is_the_greatest_place_that_anybody_claims() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    blobs = home.store.blobs
    give(home, alice, carol.introduce())
    device = home.store.names.device_number(alice.space, carol.id)
    assert blobs.top(device) == carol.seq
    give(home, alice, carol.say("alone"))
    assert blobs.top(device) == carol.seq
    give(home, alice, *[carol.say(text) for text in "ab"])
    assert blobs.top(device) == carol.seq
    forged = Author(SPACE, "carol")
    forged.seq, forged.prev = 50, "A" * 43
    give(home, alice, forged.say("unsigned", sign=False))
    assert blobs.top(device) == 51
    with undone(home.store.db):
        give(home, alice, carol.say("never"))
    assert blobs.top(device) == 51
    assert blobs.top(device + 100) == 0
    home.close()
