"""The sketches that a store keeps are those of what it holds, whatever happens to it."""

from pathlib import Path

import pytest

from quire.core import cells
from quire.core.encoding import from_text
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.events.verify import verify
from quire.limits import FILTER_IDS
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Space, add_holder, digest, give, make_home, undone


def ids_held(home: Home, member: Membership) -> list[bytes]:
    rows = home.store.db.all(
        "SELECT b.event_id FROM received AS r JOIN blobs AS b ON b.n = r.event WHERE r.account = ? AND r.space = ?",
        (member.account, member.space),
    )
    return [from_text(event_id, 32) for (event_id,) in rows]


def of_scratch(home: Home, member: Membership) -> list[cells.Cells]:
    key = home.store.memberships.sketch_key(member.account, member.space)
    return cells.parts_of(key, [cells.name_of(event_id) for event_id in ids_held(home, member)])


def is_true(home: Home, member: Membership) -> bool:
    sketch = home.store.index(member.account, member.space).sketch()
    assert sketch is not None
    return list(sketch.parts) == of_scratch(home, member) and any(any(part) for part in sketch.parts)


@pytest.fixture
def there() -> Space:
    return Space()


def test_they_grow_with_what_arrives_and_are_there_after_a_restart(there: Space, tmp_path: Path) -> None:
    home = make_home(tmp_path / "quire.db")
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, carol.introduce())
    assert is_true(home, alice)
    give(home, alice, *carol.says(f"{n}" for n in range(60)))
    assert is_true(home, alice)
    home.close()
    home = make_home(tmp_path / "quire.db")
    assert is_true(home, alice)
    give(home, alice, *carol.says(["more"]))
    assert is_true(home, alice)
    home.close()


def test_what_waits_counts_too_and_a_rollback_leaves_nothing(there: Space) -> None:
    home = make_home()
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, carol.say("before she is known"))
    assert is_true(home, alice)
    index = home.store.index(alice.account, alice.space)
    before = [list(part) for part in index.sketch().parts]  # type: ignore[union-attr]
    with undone(home.store.db):
        home.store.sketches.add(alice.account, alice.space, [1, 2, 3])
    assert [list(part) for part in index.sketch().parts] == before  # type: ignore[union-attr]
    home.close()


def test_a_rebuild_and_a_home_of_before_make_them_anew(there: Space, tmp_path: Path) -> None:
    home = make_home(tmp_path / "quire.db")
    alice, carol = add_holder(home, there, "alice"), Author(there, "carol")
    give(home, alice, carol.introduce(), *carol.says(f"{n}" for n in range(9)))
    home.store.buckets.count_arrivals()
    home.store.db.execute("UPDATE sketches SET cells = zeroblob(1020)")
    home.store.sketches._kept.clear()
    assert not is_true(home, alice)
    assert [one.what for one in verify(home).damage] == ["summary"]
    rebuild(home, NOW)
    assert is_true(home, alice)
    # As it is after an update, for homes that were there before.
    home.store.db.execute("DROP TABLE sketches")
    home.store.db.execute("CREATE INDEX blobs_by_id ON blobs (substr(event_id, 1, 11))")
    for table in (
        "ids",
        "ids_behind",
        "frontiers",
        "relays",
        "relay_mailboxes",
        "relay_posts",
        "relayed",
        "relay_faults",
        "power",
    ):
        home.store.db.execute(f"DROP TABLE {table}")
    names = "'sketches', 'frontiers', 'relays', 'ids', 'power', 'heights', 'times', 'claims'"
    home.store.db.execute(f"DELETE FROM migrations WHERE name IN ({names})")
    home.close()
    home = make_home(tmp_path / "quire.db")
    assert is_true(home, alice)
    home.close()


def test_ids_are_found_by_their_short_names(there: Space) -> None:
    home = make_home()
    alice, bob = add_holder(home, there, "alice"), add_holder(home, Space("elsewhere"), "bob")
    carol = Author(there, "carol")
    give(home, alice, carol.introduce(), *carol.says(f"{n}" for n in range(200)))
    index = home.store.index(alice.account, alice.space)
    held = ids_held(home, alice)
    wanted = [cells.name_of(event_id) for event_id in held[:40]]
    assert sorted(event_id for _, event_id in index.called(wanted)) == sorted(held[:40])
    assert index.called(wanted) == sorted(index.called(wanted))
    assert index.called([]) == []
    assert index.called([cells.name_of(digest("of nothing"))]) == []
    assert home.store.index(bob.account, bob.space).called(wanted) == [], "of this identity and space alone"
    assert len(held) < FILTER_IDS
    home.close()


def test_there_are_none_where_newcomers_do_not_get_what_was_there_before() -> None:
    there, home = Space(history="from-join"), make_home()
    alice = add_holder(home, there, "alice")
    give(home, alice, there.founder.say("before"))
    assert home.store.index(alice.account, alice.space).sketch() is None
    home.close()
