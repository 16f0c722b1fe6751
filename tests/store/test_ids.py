"""Where events are found by their ids: at once if few came, sorted in together before the next look if many did."""

from pathlib import Path

import pytest

from quire.core.encoding import from_text
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.events.verify import verify
from quire.store import ids as ids_module
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Made, Space, add_holder, give, make_home, undone

SPACE = Space()


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module, "_MANY", 4)


def behind(home: Home) -> list[int]:
    return [event for (event,) in home.store.db.all("SELECT event FROM ids_behind")]


def sorted_in(home: Home) -> int:
    return len(home.store.db.all("SELECT event FROM ids"))


def found(home: Home, member: Membership, made: list[Made]) -> bool:
    """Whether all of them are, which is a look."""
    known = home.store.blobs.known(member.account, member.space, [one.event_id for one in made])
    return known.keys() == {one.event_id for one in made}


def a_home(path: Path | str = ":memory:") -> tuple[Home, Membership, Author]:
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce())
    home.store.ids.catch_up()
    return home, alice, carol


def test_few_are_found_at_once() -> None:
    home, alice, carol = a_home()
    before = sorted_in(home)
    made = carol.says("abc")
    give(home, alice, *made)
    assert (behind(home), sorted_in(home)) == ([], before + 3)
    assert not home.store.ids.catch_up()
    assert found(home, alice, made)
    home.close()


def test_many_are_sorted_in_before_the_next_look() -> None:
    home, alice, carol = a_home()
    before = sorted_in(home)
    made = carol.says("abcd")
    give(home, alice, *made)
    few = carol.says("ef")
    give(home, alice, *few)
    assert len(behind(home)) == 1
    assert sorted_in(home) == before, "what comes after them waits too, however little"
    assert found(home, alice, made + few)
    assert (behind(home), sorted_in(home)) == ([], before + 6)
    assert home.store.ids.missing() == 0
    home.close()


@pytest.mark.parametrize("look", ["known", "called", "blobs"])
def test_every_look_finds_what_came_just_now(look: str) -> None:
    home, alice, carol = a_home()
    made = carol.says("abcd")
    give(home, alice, *made)
    index, wanted = home.store.index(alice.account, alice.space), [from_text(one.event_id) for one in made]
    assert behind(home)
    if look == "known":
        assert found(home, alice, made)
    elif look == "called":
        names = [int.from_bytes(raw[:8], "big") for raw in wanted]
        assert {raw for _, raw in index.called(names)} == set(wanted)
    else:
        assert index.blobs(wanted) == [one.sealed for one in made]
    home.close()


def test_so_many_wait_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDS_BEHIND: beyond it they are sorted in within the batch that brings more."""
    monkeypatch.setattr(ids_module, "IDS_BEHIND", 8)
    home, alice, carol = a_home()
    give(home, alice, *carol.says("abcd"))
    give(home, alice, *carol.says("efgh"))
    assert behind(home)
    give(home, alice, *carol.says("i"))
    assert behind(home) == []
    assert home.store.ids.missing() == 0
    home.close()


def test_what_waits_is_known_after_reopening_and_after_a_rollback(tmp_path: Path) -> None:
    home, alice, carol = a_home(tmp_path / "quire.db")
    made = carol.says("abcd")
    give(home, alice, *made)
    waiting = behind(home)
    with undone(home.store.db):
        assert home.store.ids.catch_up()
    assert behind(home) == waiting
    home.close()
    home = make_home(tmp_path / "quire.db")
    assert found(home, alice, made)
    with undone(home.store.db):
        give(home, alice, *carol.says("efgh"))
    assert not home.store.ids.catch_up(), "nothing of it is left"
    home.close()


def test_damage_is_found_and_mended() -> None:
    home, alice, carol = a_home()
    made = carol.says("abcd")
    give(home, alice, *made)
    home.store.ids.catch_up()
    home.store.db.execute("DELETE FROM ids WHERE short IN (SELECT short FROM ids LIMIT 2)")
    damage = [one.detail for one in verify(home).damage]
    assert damage == ["2 events are not found by their ids; `quire rebuild` mends that"]
    rebuild(home, NOW)
    assert verify(home).damage == []
    assert found(home, alice, made)
    home.close()
